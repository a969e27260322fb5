"""CLIP's scores, on a small one with CLIP's real vocabulary."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.score import AestheticHead, ClipScorer
from aigc_cli.core.errors import ModelError
from aigc_cli.core.image import Pixels

CPU = Placement("cpu", "float32", "")
MERGES = 49_152 - 256 - 2  # of the file's lines these count, as in CLIP's own tokenizer
WIDTH = 16
BYTE_TOKENS = sorted(ByteLevel.alphabet())


def write_clip(folder: Path, tokens: list[str], merges: list[str]) -> Path:
    tokens = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", "utf-8")
    tokenizer = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=77)
    small = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    config = CLIPConfig(
        text_config={**small, **ends, "vocab_size": len(tokens)},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=WIDTH,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One token a byte."""
    return write_clip(tmp_path_factory.mktemp("clip"), [*BYTE_TOKENS, *(byte + "</w>" for byte in BYTE_TOKENS)], [])


@pytest.fixture(scope="module")
def scorer(folder: Path) -> ClipScorer:
    return ClipScorer(folder, CPU)


def picture(red: int, width: int = 48, height: int = 40) -> Pixels:
    return Pixels(width, height, bytes(channel for place in range(width * height) for channel in (red, place % 256, place // width)))


def test_a_score_is_the_cosine_that_clip_itself_computes(folder: Path, scorer: ClipScorer) -> None:
    from PIL import Image

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    shown, prompts = [picture(0), picture(255)], ["a fox", "一只狐狸"]
    images = [Image.frombytes("RGB", (each.width, each.height), each.data) for each in shown]
    with torch.no_grad():
        output = model(**processor(text=prompts, images=images, return_tensors="pt", padding=True))
    expected = (output.logits_per_image / model.logit_scale.exp()).diagonal().tolist()
    assert scorer.score(shown, prompts) == pytest.approx(expected, abs=1e-5)
    assert scorer.score(shown[1:], prompts[1:]) == pytest.approx(expected[1:], abs=1e-6)
    assert expected[0] != pytest.approx(expected[1], abs=1e-3)


def test_a_long_prompt_is_cut_and_that_is_told(scorer: ClipScorer) -> None:
    assert scorer.unread("a" * 75) == ""
    assert scorer.remark("a fox") is None
    assert scorer.unread("a" * 75 + "b狐狸") == "b狐狸"
    assert scorer.remark("a" * 75 + "b狐狸") == "CLIP reads 77 tokens: the score leaves out 'b狐狸'"
    assert scorer.score([picture(9)], ["a" * 200]) != scorer.score([picture(9)], ["b" * 200])


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read as a CLIP"):
        ClipScorer(tmp_path, CPU)


@pytest.mark.parametrize("form", ["linear", "numbered"])
def test_an_aesthetic_head_reads_the_embedding_of_the_picture(tmp_path: Path, scorer: ClipScorer, form: str) -> None:
    first, second = torch.nn.Linear(WIDTH, 5), torch.nn.Linear(5 if form == "numbered" else WIDTH, 1)
    tensors = {"weight": second.weight, "bias": second.bias}
    if form == "numbered":
        tensors = {
            "layers.2.weight": first.weight,
            "layers.2.bias": first.bias,
            "layers.10.weight": second.weight,
            "layers.10.bias": second.bias,
        }
    save_file({name: tensor.detach().clone() for name, tensor in tensors.items()}, tmp_path / "头.safetensors")
    embeds = torch.stack(scorer.embed_pictures([picture(0), picture(255)]))
    expected = second(first(embeds) if form == "numbered" else embeds).flatten().tolist()
    assert AestheticHead(tmp_path / "头.safetensors", scorer).score([picture(0), picture(255)]) == pytest.approx(expected, abs=1e-6)


def test_what_is_no_aesthetic_head_is_refused(tmp_path: Path, scorer: ClipScorer) -> None:
    cases = [
        ({"weight": torch.ones(1, 9)}, "embeddings of 9 numbers, this CLIP's have 16"),
        ({"weight": torch.ones(2, WIDTH)}, "holds no aesthetic head"),
        ({"0.weight": torch.ones(3, WIDTH), "1.weight": torch.ones(1, 4)}, "holds no aesthetic head"),
        ({"other": torch.ones(1)}, "holds no aesthetic head"),
    ]
    for tensors, words in cases:
        save_file(tensors, tmp_path / "a.safetensors")
        with pytest.raises(ModelError, match=words):
            AestheticHead(tmp_path / "a.safetensors", scorer)
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read"):
        AestheticHead(tmp_path / "a.safetensors", scorer)


def test_with_clips_real_vocabulary_a_word_is_a_token(tmp_path: Path, data: Path) -> None:
    lines = gzip.decompress((data / "tokenizers/clip/bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : MERGES + 1]
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]  # the order of CLIP's alphabet: bytes that print, then the others
    alphabet = [chr(code) for code in visible] + [chr(256 + place) for place in range(256 - len(visible))]
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *("".join(merge.split()) for merge in merges)]
    scorer = ClipScorer(write_clip(tmp_path / "clip", tokens, merges), CPU)
    assert len(scorer.tokenizer) == 49_408
    assert scorer.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]  # as CLIP's own has them
    assert scorer.unread("fox " * 75) == ""
    assert scorer.unread("fox " * 76) == "fox "
    assert scorer.unread("狐狸" * 60)
    assert -1 <= scorer.score([picture(5)], ["狐狸在雪地里"])[0] <= 1
