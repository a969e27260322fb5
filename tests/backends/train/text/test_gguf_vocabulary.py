"""Tokenizers as GGUF stores them: recognised, or refused by what is odd about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gguf.constants import TokenType
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

from aigc_cli.backends.train.text.gguf_vocabulary import LLAMA3, QWEN2, read_vocabulary
from aigc_cli.core.errors import UsageError
from tests.backends.tiny_models import VOCAB_SIZE, build_tokenizer

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(cutter: Any = None, normalizer: Any = None, **model: Any) -> PreTrainedTokenizerFast:
    alphabet = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE({**alphabet, "ab": 256, "你"[:0] + "Ġa": 257, "<end>": 258}, [("a", "b"), ("Ġ", "a")], **model))
    backend.pre_tokenizer = cutter or pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if normalizer:
        backend.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), BYTES])


@pytest.mark.parametrize(
    ("cutter", "ignore_merges", "name"),
    [
        (None, False, "gpt-2"),
        (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]), False, "smollm"),
        (split(QWEN2), False, "qwen2"),
        (split(LLAMA3), True, "llama-bpe"),
        (split(LLAMA3), False, "smaug-bpe"),
    ],
)
def test_ways_of_cutting_are_recognised(cutter: Any, ignore_merges: bool, name: str) -> None:
    vocabulary = read_vocabulary(byte_level(cutter, ignore_merges=ignore_merges), 259)
    assert (vocabulary.model, vocabulary.pre) == ("gpt2", name)
    assert vocabulary.merges == ["a b", "Ġ a"]


def test_tokens_are_told_apart_and_rows_without_one_are_filled_up(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    tokenizer.add_tokens(["<思考>"])
    vocabulary = read_vocabulary(tokenizer, VOCAB_SIZE + 3)
    assert vocabulary.tokens[VOCAB_SIZE:] == ["<思考>", f"[PAD{VOCAB_SIZE + 1}]", f"[PAD{VOCAB_SIZE + 2}]"]
    assert vocabulary.types[VOCAB_SIZE:] == [TokenType.USER_DEFINED, TokenType.UNUSED, TokenType.UNUSED]
    assert vocabulary.types[tokenizer.eos_token_id] == TokenType.CONTROL
    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.cautions) == (False, False, ())


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), BYTES])), "in a way of its own"),
        (lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)), "in a way of its own"),
        (lambda: byte_level(BYTES), "not at all"),
        (lambda: byte_level(split(QWEN2), ignore_merges=True), "as qwen2 does, with ignore_merges True"),
        (lambda: byte_level(normalizer=normalizers.Lowercase()), "it changes text first (Lowercase)"),
        (lambda: PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a"))), "of the kind WordLevel"),
    ],
)
def test_what_llama_cpp_has_no_equal_of_is_refused(tokenizer: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_vocabulary(tokenizer(), 300)
    assert words in caught.value.message


def test_tokens_around_a_text(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.bos_token = "a"
    ends = [("<end>", 258), ("a", tokenizer.bos_token_id), ("b", tokenizer.convert_tokens_to_ids("b"))]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("a $A <end>", None, ends)
    vocabulary = read_vocabulary(tokenizer, 259)
    assert (vocabulary.add_bos, vocabulary.add_eos) == (True, True)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("b $A", None, ends)
    with pytest.raises(UsageError, match="other tokens around a text"):
        read_vocabulary(tokenizer, 259)


def test_composing_is_said_to_be_lost() -> None:
    assert "NFC" in read_vocabulary(byte_level(normalizer=normalizers.NFC()), 259).cautions[0]


def test_a_vocabulary_larger_than_the_model_is_refused() -> None:
    with pytest.raises(UsageError, match="the tokenizer has 259 tokens and the model only 100"):
        read_vocabulary(byte_level(), 100)


def sentencepiece(merges: list[tuple[str, str]], *tokens: str) -> PreTrainedTokenizerFast:
    plain = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "c", *tokens]
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate(plain)}, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_merges_become_scores() -> None:
    vocabulary = read_vocabulary(sentencepiece([("a", "b"), ("▁", "ab"), ("▁a", "b"), ("▁", "a")], "ab", "▁ab", "▁a"), 266)
    scores = dict(zip(vocabulary.tokens, vocabulary.scores or (), strict=True))
    assert scores["ab"] > scores["▁ab"] > scores["▁a"] > scores["a"]
    assert (vocabulary.model, vocabulary.add_space_prefix, vocabulary.merges) == ("llama", True, None)
    assert vocabulary.types[:4] == [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE]


@pytest.mark.parametrize(
    ("merges", "words"),
    [
        ([("a", "b"), ("ab", "c"), ("b", "c"), ("▁", "a")], "never merges to 'abc' what could be"),
        ([("a", "b"), ("b", "c"), ("ab", "c"), ("▁", "a"), ("a", "bc")], "do not follow from the order"),
    ],
)
def test_merges_that_scores_cannot_express_are_refused(merges: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_vocabulary(sentencepiece(merges, "ab", "bc", "abc", "▁a"), 267)
    assert words in caught.value.message


def test_real_tokenizers(data: Path) -> None:
    found = {}
    for kind, name in ((AutoTokenizer, "tokenizers/qwen3"), (GPT2Tokenizer, "tokenizers/gpt2"), (AutoTokenizer, "models/stories260K-hf")):
        tokenizer = kind.from_pretrained(data / name)
        vocabulary = read_vocabulary(tokenizer, len(tokenizer))
        found[name.split("/")[1]] = (vocabulary.model, vocabulary.pre, vocabulary.add_bos)
    assert found == {
        "qwen3": ("gpt2", "qwen2", False),
        "gpt2": ("gpt2", "gpt-2", False),
        "stories260K-hf": ("llama", "default", True),
    }
