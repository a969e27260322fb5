"""What the denoiser is told of a caption is what its pipeline's own `encode_prompt` would tell it."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.family import Conditioning
from tests.backends.image.tiny_pipelines import tiny_pipeline

CAPTIONS = ["A red Fox, 3D", "一只狐狸"]
POOLED = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
RETURNS = {
    "sd": ("prompt_embeds", "negative_prompt_embeds"),
    "sdxl": POOLED,
    "sd3": POOLED,
    "flux": ("prompt_embeds", "pooled_prompt_embeds"),
    "pixart": MASKED,
    "sana": MASKED,
}


@torch.no_grad()
def own_encoding(pipe: Any, name: str, captions: list[str]) -> dict[str, Tensor]:
    options: dict[str, Any] = {"prompt": captions, "device": "cpu", "num_images_per_prompt": 1}
    if name == "sd3":
        options |= {"prompt_2": None, "prompt_3": None}
    if name == "sana":
        options["complex_human_instruction"] = ["Rewrite the prompt:", "- well", "User Prompt: "]
    if name != "flux":
        options["do_classifier_free_guidance"] = True
    return dict(zip(RETURNS[name], pipe.encode_prompt(**options), strict=False))


@pytest.fixture
def short_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Sana's own, which is long."""
    call: Any = diffusers.SanaPipeline.__call__
    signature = inspect.signature(call)
    instruction = signature.parameters["complex_human_instruction"].replace(default=["Rewrite the prompt:", "- well", "User Prompt: "])
    changed = [instruction if each.name == instruction.name else each for each in signature.parameters.values()]
    monkeypatch.setattr(call, "__signature__", signature.replace(parameters=changed), raising=False)


@torch.no_grad()
def ours(pipe: Any, captions: list[str]) -> Conditioning:
    family = open_family(pipe)
    return family.embed(family.tokens(captions))


@pytest.mark.usefixtures("short_instruction")
@pytest.mark.parametrize("name", RETURNS)
def test_it_is_the_pipelines_own(name: str) -> None:
    pipe = tiny_pipeline(name)
    own = {key: value for key, value in own_encoding(pipe, name, CAPTIONS).items() if not key.startswith("negative_")}
    found = ours(pipe, CAPTIONS)
    assert set(found) == set(own)
    for key, value in own.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("short_instruction")
@pytest.mark.parametrize("name", [name for name in RETURNS if name != "flux"])
def test_a_caption_left_out_is_what_guidance_leads_away_from(name: str) -> None:
    """Beside a caption that is there, and with Sana's instruction, which a negative prompt has none of."""
    pipe = tiny_pipeline(name)
    own = own_encoding(pipe, name, CAPTIONS[:1])
    if name == "sdxl":
        own |= {f"negative_{key}": torch.zeros_like(own[key]) for key in ("prompt_embeds", "pooled_prompt_embeds")}
    found = ours(pipe, ["", CAPTIONS[0]])
    for key in found:
        torch.testing.assert_close(found[key], torch.cat([own[f"negative_{key}"], own[key]]), rtol=1e-5, atol=1e-5)


def test_an_xl_pipeline_says_what_an_empty_caption_becomes() -> None:
    pipe = tiny_pipeline("sdxl")
    assert not ours(pipe, [""])["prompt_embeds"].any()
    pipe.register_to_config(force_zeros_for_empty_prompt=False)
    assert ours(pipe, [""])["prompt_embeds"].any()


def test_stable_diffusion_3_does_without_t5() -> None:
    pipe = tiny_pipeline("sd3")
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    own = own_encoding(pipe, "sd3", CAPTIONS)
    found = ours(pipe, CAPTIONS)
    torch.testing.assert_close(found["prompt_embeds"], own["prompt_embeds"])
    assert not found["prompt_embeds"][:, 77:].any()


def test_a_mask_where_the_encoder_was_trained_with_one() -> None:
    pipe = tiny_pipeline("sd")
    pipe.text_encoder.config.use_attention_mask = True
    torch.testing.assert_close(ours(pipe, CAPTIONS)["prompt_embeds"], own_encoding(pipe, "sd", CAPTIONS)["prompt_embeds"])


@pytest.mark.usefixtures("short_instruction")
@pytest.mark.parametrize(("name", "room"), [("sd", 75), ("sdxl", 75), ("sd3", 255), ("flux", 511), ("pixart", 299), ("sana", 298)])
def test_what_is_not_read_is_counted(name: str, room: int) -> None:
    """One token a letter. Where one of the encoders reads it, it is read."""
    family = open_family(tiny_pipeline(name))
    letters = "x" * 600
    whole = family.cut_tokens(letters)
    assert whole > 0
    fits = len(letters) - whole
    assert abs(fits - room) <= 1  # T5 puts a space before
    assert family.cut_tokens("x" * fits) == 0
    assert family.cut_tokens("x" * (fits + 3)) == 3
    assert family.cut_tokens("") == 0


def test_tokens_of_one_caption_are_a_row_of_those_of_many() -> None:
    for name in RETURNS:
        family = open_family(tiny_pipeline(name))
        together, alone = family.tokens([*CAPTIONS, ""]), [family.tokens([caption]) for caption in (*CAPTIONS, "")]
        for key, value in together.items():
            assert torch.equal(value, torch.cat([each[key] for each in alone])), (name, key)
