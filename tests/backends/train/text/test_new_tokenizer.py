"""A tokenizer learnt from a corpus: any script survives it, the same corpus gives the same file, and a big one takes no more memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from aigc_cli.backends.train.text.new_tokenizer import CHATML, TurnFormat, choose_vocab_size, even_sample, train_tokenizer
from tests.backends.tiny_models import TRAINING_TEXT

CORPUS = TRAINING_TEXT * 20


@pytest.mark.parametrize(
    "text", ["Hello, world!  two  spaces\n\n\tend ", "床前明月光，疑是地上霜。", "👩‍💻 naïve Ω Привет", "3.14 和 2026年"]
)
def test_any_text_survives_a_round_trip(text: str, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, 600, tmp_path, turns=None, context_length=128)
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_the_saved_folder_is_the_tokenizer_and_equal_each_time(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(CORPUS), 600, tmp_path / "a", turns=CHATML, context_length=128)
    train_tokenizer(CORPUS, 600, tmp_path / "b", turns=CHATML, context_length=128)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert loaded("你好 world").input_ids == tokenizer("你好 world").input_ids
    assert loaded.model_max_length == 128


def test_digits_stand_alone_and_chinese_words_become_tokens(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([*CORPUS, "room 2026 2026 2026"], 700, tmp_path, turns=None, context_length=None)
    assert tokenizer.tokenize("2026") == ["2", "0", "2", "6"]
    assert len(tokenizer.tokenize("明月")) < len("明月".encode())


def test_characters_are_composed(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, 500, tmp_path, turns=None, context_length=None)
    assert tokenizer("e\u0301").input_ids == tokenizer("\u00e9").input_ids


def test_a_text_begins_with_the_end_of_the_one_before(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, 500, tmp_path, turns=None, context_length=None)
    assert tokenizer("fox").input_ids[0] == tokenizer.bos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.chat_template is None


def test_a_chat_ends_its_turns_with_the_token_that_ends_a_reply(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, 500, tmp_path, turns=CHATML, context_length=None)
    messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "Hello"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<|endoftext|><|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True).endswith("<|im_start|>assistant\n")


def test_turns_are_written_as_they_are_described(tmp_path: Path) -> None:
    template = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|stop|>{% endfor %}"
    turns = TurnFormat(template, "<|stop|>", ("<|user|>", "<|assistant|>"))
    tokenizer = train_tokenizer(CORPUS, 500, tmp_path, turns=turns, context_length=None)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "你好"}], tokenize=False)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<|user|>", "<|stop|>"]
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "你好"


def test_an_older_transformers_knows_its_names(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, 500, tmp_path, turns=CHATML, context_length=None)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["tokenizer_class"], config["additional_special_tokens"]) == ("PreTrainedTokenizerFast", ["<|im_start|>"])
    assert "extra_special_tokens" not in config
    assert AutoTokenizer.from_pretrained(tmp_path).all_special_tokens == tokenizer.all_special_tokens


def test_a_small_corpus_gives_fewer_tokens_than_were_asked_for(tmp_path: Path) -> None:
    assert 256 < len(train_tokenizer(["one two one two"], 5000, tmp_path, turns=None, context_length=None)) < 300


def test_a_line_that_a_corpus_repeats_is_no_token(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["=" * 200] * 50, 600, tmp_path, turns=None, context_length=None)
    assert max(map(len, tokenizer.get_vocab())) <= 48


@pytest.mark.parametrize(
    ("corpus_bytes", "asked", "in_config", "size", "reason"),
    [
        (10**6, 999, 4096, 999, "as asked"),
        (10**8, None, 4096, 4096, "as in the config"),
        (10**6, None, 32_000, 2496, "too small"),
        (10**6, None, None, 2496, "examples"),
        (10**9, None, None, 16_960, "embeddings"),
        (10, None, None, 512, "examples"),
    ],
)
def test_the_vocabulary_follows_flag_config_corpus_and_model(
    corpus_bytes: int, asked: int | None, in_config: int | None, size: int, reason: str
) -> None:
    chosen = choose_vocab_size(corpus_bytes, asked=asked, in_config=in_config, body_per_width=17_000)
    assert chosen.size == size
    assert reason in chosen.reason


def test_no_vocabulary_above_the_limit_is_chosen_unasked() -> None:
    assert choose_vocab_size(10**10, asked=None, in_config=None, body_per_width=10**6).size == 32_768


def test_a_sample_is_spread_over_the_whole_corpus() -> None:
    texts = [f"text {number:04d}" for number in range(1000)]
    sample = even_sample(texts, 2000)
    assert 1000 <= sum(map(len, sample)) <= 2000
    assert sample == texts[:: 1000 // len(sample)]
    assert even_sample(texts) == texts


def test_text_without_spaces_counts_for_more() -> None:
    assert len(even_sample(["月光" * 50] * 64, 10_000)) < len(even_sample(["ab" * 50] * 64, 10_000))


def test_a_whole_book_in_one_row_is_sampled_in_pieces() -> None:
    assert sum(map(len, even_sample(["word " * 100_000], 50_000))) <= 50_000
