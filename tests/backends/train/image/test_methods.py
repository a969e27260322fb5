"""Which weights are trained, and that all others of the pipeline stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.methods import prepare
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune_image import ImageTuning
from tests.backends.image.tiny_pipelines import tiny_pipeline
from tests.backends.train.image.learning import FAMILIES, objective_of, pictures

LORA, FULL = ImageTuning(lora_rank=4), ImageTuning(method="full")


def adapted(part: nn.Module) -> set[str]:
    return {name for name, module in part.named_modules() if isinstance(module, LoraLayer)}


def kinds(part: nn.Module) -> set[str]:
    return {name.rpartition(".")[2] if not name.endswith(".0") else "to_out.0" for name in adapted(part)}


def trained(pipe: Any) -> set[str]:
    """Of all parts, by their names in the pipeline."""
    return {
        name for name, part in pipe.components.items() if isinstance(part, nn.Module) and any(p.requires_grad for p in part.parameters())
    }


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "pixart"])
def test_fresh_adapters_change_nothing(name: str) -> None:
    """The second matrix of each is zero; its gradient is not."""
    plain, _ = objective_of(tiny_pipeline(name), FULL)
    objective, trainable = objective_of(tiny_pipeline(name), LORA)
    loss = objective.loss(pictures(objective.family))
    torch.testing.assert_close(loss, plain.loss(pictures(plain.family)))
    loss.backward()
    ups = [weight.grad for key, weight in trainable.parameters.items() if ".lora_B." in key]
    assert any(grad is not None and grad.any() for grad in ups)
    assert {weight.dtype for weight in trainable.parameters.values()} == {torch.float32}


def test_adapters_stand_at_the_projections_of_attention() -> None:
    own = {"to_q", "to_k", "to_v", "to_out.0"}
    texts = {"add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"}
    for name, expected in (("sd", own), ("sdxl", own), ("sd3", own | texts), ("flux", own | texts)):
        pipe = tiny_pipeline(name)
        family = open_family(pipe)
        trainable = prepare(family, LORA, seed=0)
        assert kinds(family.denoiser) == expected, name
        assert trained(pipe) == {"unet" if name in ("sd", "sdxl") else "transformer"}
        assert trainable.is_adapter
        assert trainable.trained == sum(p.numel() for p in family.denoiser.parameters() if p.requires_grad)


def test_every_linear_layer_and_names_of_ones_own() -> None:
    family = open_family(tiny_pipeline("sd"))
    linear = {name for name, module in family.denoiser.named_modules() if isinstance(module, nn.Linear)}
    prepare(family, replace(LORA, target_modules="all-linear"), seed=0)
    assert adapted(family.denoiser) == linear
    family = open_family(tiny_pipeline("sd"))
    prepare(family, replace(LORA, target_modules="attn2.to_k, conv_in"), seed=0)
    assert "conv_in" in adapted(family.denoiser)
    assert kinds(family.denoiser) == {"to_k", "conv_in"}
    assert not any("attn1" in name for name in adapted(family.denoiser))


def test_a_seed_begins_alike() -> None:
    one, same, other = (prepare(open_family(tiny_pipeline("sd")), LORA, seed=seed).parameters for seed in (3, 3, 4))
    assert all(torch.equal(weight, same[name]) for name, weight in one.items())
    assert not all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize(("name", "encoders"), [("sd", 1), ("sdxl", 2), ("sd3", 2), ("flux", 1)])
@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_text_encoders_that_diffusers_knows_adapters_of(name: str, encoders: int, tuning: ImageTuning) -> None:
    pipe = tiny_pipeline(name)
    trainable = prepare(open_family(pipe), replace(tuning, train_text_encoder=True), seed=0)
    parts = ["text_encoder", "text_encoder_2"][:encoders]
    assert list(trainable.model) == ["denoiser", *parts]
    assert trained(pipe) == {*parts, "unet" if name in ("sd", "sdxl") else "transformer"}
    if tuning.is_adapter:
        assert kinds(pipe.text_encoder) == {"q_proj", "k_proj", "v_proj", "out_proj"}


def test_all_of_the_denoiser_and_never_the_autoencoder() -> None:
    for name in FAMILIES:
        pipe = tiny_pipeline(name)
        trainable = prepare(open_family(pipe), FULL, seed=0)
        assert trainable.trained == trainable.total == sum(weight.numel() for weight in open_family(pipe).denoiser.parameters())
        assert "vae" not in trained(pipe)
        assert not trainable.is_adapter


@pytest.mark.parametrize(
    ("name", "tuning", "why"),
    [
        ("sd", replace(LORA, target_modules="to_qq"), "no matrix of this model is called 'to_qq'"),
        ("sd", replace(LORA, target_modules=" , "), "names nothing"),
        ("sd", replace(LORA, target_modules="to_q", train_text_encoder=True), "to_q is nothing in the text_encoder"),
        ("pixart", LORA, "diffusers loads no LoRA into a PixArtSigma model"),
        ("pixart", replace(FULL, train_text_encoder=True), "the text encoder of a PixArtSigma model is not trained here"),
        ("sana", replace(LORA, train_text_encoder=True), "the text encoder of a Sana model is not trained here"),
    ],
)
def test_what_cannot_be_trained_is_refused(name: str, tuning: ImageTuning, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        prepare(open_family(tiny_pipeline(name)), tuning, seed=0)
    assert caught.value.hint


def test_a_name_nearly_right_is_guessed() -> None:
    with pytest.raises(UsageError) as caught:
        prepare(open_family(tiny_pipeline("sd")), replace(LORA, target_modules="to_qq"), seed=0)
    assert "did you mean to_q?" in caught.value.hint
