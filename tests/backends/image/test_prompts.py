"""Prompts become embeddings: the pipeline's own where it reads all, chunks and weights where CLIP is alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aigc_cli.backends.image.prompt_limits import check_prompt, unread
from aigc_cli.backends.image.prompts import PromptCache, PromptKey, encode
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import Drawn, ImageRequest
from tests.backends.image.conftest import OpenEngine
from tests.backends.image.tiny_pipelines import tiny_pipeline

CLIP_FAMILIES = ("sd", "sdxl")
OTHERS = ("sd3", "flux", "flux2", "pixart", "sana", "z-image", "qwen")
LONG = "fox ab " * 32  # 160 tokens of the tiny tokenizer: three chunks
CHINESE = "一只红色的狐狸"


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    return {family: tiny_pipeline(family) for family in (*CLIP_FAMILIES, *OTHERS)}


def request(prompt: str, **options: Any) -> ImageRequest:
    return ImageRequest(prompt=prompt, seed=1, **options)


@torch.no_grad()
def encoded(pipe: Any, *prompts: str, guided: bool = False, **options: Any) -> dict[str, Any]:
    return encode(pipe, [request(prompt, **options) for prompt in prompts], PromptCache(), guided=guided)


@pytest.mark.parametrize("family", CLIP_FAMILIES)
@pytest.mark.parametrize("prompt", ["a red fox", "(a:1.0) red fox", "a red fox [", "", CHINESE])
def test_without_weights_the_embedding_is_the_pipelines_own(pipes: dict[str, Any], family: str, prompt: str) -> None:
    pipe = pipes[family]
    plain = prompt.replace("(a:1.0)", "a")
    with torch.no_grad():
        own = pipe.encode_prompt(
            prompt=plain, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt="dog"
        )
    found = encoded(pipe, prompt, guided=True, negative_prompt="dog")
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    for name, value in zip(names, own, strict=False):
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_a_weight_moves_its_own_tokens_further_from_an_empty_prompt(pipes: dict[str, Any], family: str) -> None:
    plain, heavy, light, empty = (encoded(pipes[family], text)["prompt_embeds"][0] for text in ("a fox", "a (fox:2)", "a [fox]", ""))
    changed = (plain != heavy).any(dim=-1).nonzero().flatten().tolist()
    assert changed == [2, 3, 4]  # after the beginning and "a": f, o, x
    torch.testing.assert_close(heavy[2:5] - empty[2:5], 2 * (plain[2:5] - empty[2:5]))
    assert ((light - empty)[2:5].norm() < (plain - empty)[2:5].norm()).item()


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_a_long_prompt_is_read_in_chunks(pipes: dict[str, Any], family: str) -> None:
    pipe = pipes[family]
    found = encoded(pipe, LONG, guided=True)
    assert found["prompt_embeds"].shape[1] == 3 * 77
    assert found["negative_prompt_embeds"].shape == found["prompt_embeds"].shape
    alone = encoded(pipe, "fox ab " * 15)
    assert torch.equal(found["prompt_embeds"][:, :77], alone["prompt_embeds"])
    assert check_prompt(pipe, request(LONG)) == ()
    if family == "sdxl":
        assert torch.equal(found["pooled_prompt_embeds"], alone["pooled_prompt_embeds"])


def test_prompts_of_other_lengths_do_not_run_together(open_engine: OpenEngine) -> None:
    engine = open_engine("sd")
    short, long = (engine.complete(request(text, width=64, height=64, steps=2))[0] for text in ("a fox", LONG))
    negative = engine.complete(request("a fox", negative_prompt=LONG, width=64, height=64, steps=2))[0]
    assert engine.kind(short) != engine.kind(long) == engine.kind(negative)
    drawn = [event.pixels.data for event in engine.stream([long, negative]) if isinstance(event, Drawn)]
    assert len(set(drawn)) == 2


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_clip_skip_takes_an_earlier_layer(pipes: dict[str, Any], family: str) -> None:
    pipe = pipes[family]
    found = encoded(pipe, "a fox", clip_skip=1)["prompt_embeds"]
    assert not torch.equal(found, encoded(pipe, "a fox")["prompt_embeds"])
    if family == "sdxl":
        own = pipe.encode_prompt(prompt="a fox", device="cpu", do_classifier_free_guidance=False, clip_skip=1)[0]
        assert torch.equal(found, own)
    with pytest.raises(UsageError, match="leaves no layer"):
        check_prompt(pipe, request("a fox", clip_skip=11))


@pytest.mark.parametrize("family", OTHERS)
def test_what_is_not_read_of_a_prompt_is_what_changes_nothing(pipes: dict[str, Any], family: str) -> None:
    pipe = pipes[family]
    limit = 1200 - len(unread(pipe, "a" * 1200))
    assert 200 < limit < 600
    assert unread(pipe, "a" * limit) == ""

    def embeds(prompt: str) -> torch.Tensor:
        found = encoded(pipe, prompt)["prompt_embeds"]
        return found[0]

    assert not torch.equal(embeds("a" * limit), embeds("a" * (limit - 1) + "b"))
    assert torch.equal(embeds("a" * limit + "c"), embeds("a" * limit + "d"))


def test_a_prompt_that_is_cut_says_so_with_the_text_that_is_lost(open_engine: OpenEngine) -> None:
    _, remarks = open_engine("pixart").complete(request("fox" * 99 + "the END"))
    assert len(remarks) == 1
    assert "does not read its last" in remarks[0]
    assert "'he END'" in remarks[0]


def test_stable_diffusion_3_without_t5_reads_what_clip_reads() -> None:
    pipe = tiny_pipeline("sd3")
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    assert unread(pipe, "a" * 75) == ""
    assert unread(pipe, "a" * 76 + "b") == "ab"


@pytest.mark.parametrize(("prompt", "count"), [("a (red:1.3) fox", 1), ("a cat (orange)", 0), (CHINESE, 0)])
def test_weights_where_there_are_none_are_reported(open_engine: OpenEngine, prompt: str, count: int) -> None:
    _, remarks = open_engine("qwen").complete(request(prompt))
    assert sum("takes no weights" in remark for remark in remarks) == count


@pytest.mark.parametrize("family", [*CLIP_FAMILIES, *OTHERS])
def test_equal_prompts_are_encoded_once(pipes: dict[str, Any], family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, calls = pipes[family], []
    forward = pipe.text_encoder.forward
    monkeypatch.setattr(pipe.text_encoder, "forward", lambda *given, **options: calls.append(1) or forward(*given, **options))
    cache = PromptCache()
    with torch.no_grad():
        encode(pipe, [request("a fox")], cache, guided=True)
        once = len(calls)
        found = encode(pipe, [request("a fox")] * 3, cache, guided=True)
    assert 0 < len(calls) == once
    assert len(found["prompt_embeds"]) == 3


def test_what_was_encoded_long_ago_is_forgotten() -> None:
    cache = PromptCache(limit=5 * 4)
    for number in range(8):
        cache.get(PromptKey(str(number), False, 0, 1), lambda: {"prompt_embeds": torch.zeros(1)})
        assert cache.is_full == (number > 4)
    assert [key.text for key in cache.entries] == ["3", "4", "5", "6", "7"]


def test_what_is_larger_than_the_cache_is_kept_alone() -> None:
    cache = PromptCache(limit=8)
    for text in ("a", "b"):
        assert len(cache.get(PromptKey(text, False, 0, 1), lambda: {"prompt_embeds": torch.zeros(100)})["prompt_embeds"]) == 100
    assert [key.text for key in cache.entries] == ["b"]


def test_no_negative_prompt_is_zeros_where_the_model_was_trained_so() -> None:
    pipe = tiny_pipeline("sdxl")
    assert pipe.config.force_zeros_for_empty_prompt
    found = encoded(pipe, "a fox", guided=True)
    assert not found["negative_prompt_embeds"].any()
    assert not found["negative_pooled_prompt_embeds"].any()
    assert encoded(pipe, "a fox", guided=True, negative_prompt="dog")["negative_prompt_embeds"].any()


def test_without_guidance_no_negative_prompt_is_encoded(pipes: dict[str, Any]) -> None:
    assert "negative_prompt_embeds" not in encoded(pipes["sd"], "a fox", negative_prompt="dog")


@pytest.mark.parametrize("family", ["sd", "sd3", "qwen"])
def test_a_negative_prompt_changes_the_picture(open_engine: OpenEngine, family: str) -> None:
    engine = open_engine(family)
    asked = [engine.complete(request("a fox", negative_prompt=text, width=64, height=64, steps=2))[0] for text in ("", "a dog, grass")]
    drawn = [event.pixels.data for each in asked for event in engine.stream([each]) if isinstance(event, Drawn)]
    assert drawn[0] != drawn[1]
