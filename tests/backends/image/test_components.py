"""Another VAE, words of textual inversions, ControlNets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.components import load_embedding, replace_vae, with_controlnet
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.prompts import PromptCache, encode
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from tests.backends.image.tiny_pipelines import kl_vae, tiny_pipeline


@torch.no_grad()
def embeds(pipe: Any, prompt: str) -> torch.Tensor:
    found: torch.Tensor = encode(pipe, [ImageRequest(prompt=prompt, seed=1)], PromptCache(), guided=False)["prompt_embeds"]
    return found


def write_embedding(path: Path, form: str) -> Path:
    vectors = torch.arange(64.0).reshape(2, 32) / 64
    if form == "pickle":
        torch.save({"string_to_param": {"*": torch.nn.Parameter(vectors)}, "name": "other"}, path / "小猫.pt")
        return path / "小猫.pt"
    save_file({"小猫" if form == "diffusers" else "emb_params": vectors}, path / "小猫.safetensors")
    return path / "小猫.safetensors"


@pytest.mark.parametrize("form", ["diffusers", "a1111", "pickle"])
def test_a_textual_inversion_is_a_word(tmp_path: Path, form: str) -> None:
    pipe = tiny_pipeline("sd")
    before = embeds(pipe, "a 小猫")
    assert load_embedding(pipe, write_embedding(tmp_path, form)) == "小猫"
    after = embeds(pipe, "a 小猫")
    assert not torch.equal(before, after)
    assert torch.equal(after, embeds(pipe, "(a:1.0) 小猫"))
    ids = pipe.tokenizer(pipe.maybe_convert_prompt("小猫", pipe.tokenizer), add_special_tokens=False).input_ids
    assert len(ids) == 2  # two vectors
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[ids[0]], torch.arange(32.0) / 64)


def test_stable_diffusion_xl_has_vectors_for_both_encoders(tmp_path: Path) -> None:
    pipe = tiny_pipeline("sdxl")
    save_file({"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 32)}, tmp_path / "cat.safetensors")
    before = embeds(pipe, "cat")
    assert load_embedding(pipe, tmp_path / "cat.safetensors") == "cat"
    after = embeds(pipe, "cat")
    assert not torch.equal(before[..., :32], after[..., :32])
    assert not torch.equal(before[..., 32:], after[..., 32:])


def test_an_embedding_of_another_model_is_refused(tmp_path: Path) -> None:
    save_file({"cat": torch.ones(1, 48)}, tmp_path / "a.safetensors")
    save_file({"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 32)}, tmp_path / "xl.safetensors")
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "b.safetensors")
    pipe = tiny_pipeline("sd")
    for name, words in (("a", "48 numbers, this model's have 32"), ("xl", "two text encoders"), ("b", "no textual inversion")):
        with pytest.raises(ModelError, match=words):
            load_embedding(pipe, tmp_path / f"{name}.safetensors")
    load_embedding(pipe, write_embedding(tmp_path, "a1111"))
    with pytest.raises(ModelError, match="already in tokenizer"):
        load_embedding(pipe, write_embedding(tmp_path, "a1111"))
    with pytest.raises(ModelError, match="takes no textual inversions"):
        load_embedding(tiny_pipeline("pixart"), tmp_path / "a.safetensors")


@pytest.mark.parametrize("form", ["folder", "pipeline", "file"])
def test_another_vae_takes_the_place_of_the_models_own(tmp_path: Path, form: str) -> None:
    torch.manual_seed(5)
    other = kl_vae()
    other.save_pretrained(tmp_path / "vae")
    path = {"folder": tmp_path / "vae", "pipeline": tmp_path, "file": tmp_path / "vae/diffusion_pytorch_model.safetensors"}[form]
    pipe = tiny_pipeline("sd")
    replace_vae(pipe, path)
    assert torch.equal(pipe.vae.decoder.conv_in.weight, other.decoder.conv_in.weight)


def test_a_vae_of_another_family_is_refused(tmp_path: Path) -> None:
    kl_vae(16).save_pretrained(tmp_path / "wide")
    tiny_pipeline("sd").unet.save_pretrained(tmp_path / "unet")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    pipe = tiny_pipeline("sd")
    own = pipe.vae
    for name, words in (
        ("wide", "latents of 16 channels"),
        ("unet", "UNet2DConditionModel and no VAE"),
        ("broken.safetensors", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=words):
            replace_vae(pipe, tmp_path / name)
    assert pipe.vae is own


def new_controlnet(family: str, pipe: Any) -> Any:
    heads = {"num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}
    if family == "flux":
        return diffusers.FluxControlNetModel.from_transformer(pipe.transformer, num_single_layers=1, **heads)
    if family == "qwen":
        return diffusers.QwenImageControlNetModel.from_transformer(pipe.transformer, **heads)
    if family == "sd3":
        return diffusers.SD3ControlNetModel.from_transformer(pipe.transformer, num_layers=1, num_extra_conditioning_channels=0)
    return diffusers.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(4, 8, 8, 8))


@pytest.fixture(scope="module")
def controlnets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {}
    for family in ("sd", "sdxl", "sd3", "flux", "qwen"):
        torch.manual_seed(3)
        network = new_controlnet(family, tiny_pipeline(family))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)  # a new one has zeros where it joins the model
        paths[family] = tmp_path_factory.mktemp(family)
        network.save_pretrained(paths[family])
    return paths


@pytest.fixture
def edges(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "边.png", tmp_path / "other.png"]
    Image.new("RGB", (64, 64), "white").save(paths[0])
    Image.radial_gradient("L").save(paths[1])
    return paths


def engine_over(pipe: Any) -> TorchImageEngine:
    return TorchImageEngine.over(pipe, ModelSource(name="tiny", kind="diffusers"), Placement("cpu", "float32", ""))


def drawn(engine: TorchImageEngine, asked: list[ImageRequest]) -> list[np.ndarray[Any, Any]]:
    pixels = [event.pixels for event in engine.stream(asked) if isinstance(event, Drawn)]
    return [np.frombuffer(each.data, np.uint8).astype(int) for each in pixels]


@pytest.mark.parametrize(
    ("family", "begins"),
    [("sd", False), ("sdxl", False), ("sd3", False), ("flux", False), ("qwen", False), ("sd", True), ("sdxl", True), ("flux", True)],
)
def test_a_controlnet_follows_each_picture_of_a_batch(controlnets: dict[str, Path], edges: list[Path], family: str, begins: bool) -> None:
    engine = engine_over(with_controlnet(tiny_pipeline(family), controlnets[family]))
    options: dict[str, Any] = {"seed": 1, "width": 64, "height": 64, "steps": 4} | ({"init_image": edges[1]} if begins else {})
    asked = [engine.complete(ImageRequest(prompt="a fox", control_image=path, **options))[0] for path in edges]
    assert engine.kind(asked[0]) == engine.kind(asked[1])
    together = drawn(engine, asked)
    assert (together[0] != together[1]).any()
    assert np.abs(drawn(engine, asked[1:])[0] - together[1]).max() <= 1


@pytest.mark.parametrize("family", ["sd", "sd3", "flux"])
def test_a_controlnet_of_no_share_changes_nothing(controlnets: dict[str, Path], edges: list[Path], family: str) -> None:
    controlled, plain = engine_over(with_controlnet(tiny_pipeline(family), controlnets[family])), engine_over(tiny_pipeline(family))
    options: dict[str, Any] = {"prompt": "a fox", "seed": 1, "width": 64, "height": 64, "steps": 4, "guidance_scale": 3.0}
    asked = controlled.complete(ImageRequest(control_image=edges[1], control_scale=0.0, **options))[0]
    other = plain.complete(ImageRequest(**options))[0]
    assert np.abs(drawn(controlled, [asked])[0] - drawn(plain, [other])[0]).max() <= 1


def test_a_controlnet_without_a_picture_is_refused(controlnets: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="follows a picture"):
        engine_over(with_controlnet(tiny_pipeline("sd"), controlnets["sd"])).complete(ImageRequest(prompt="x", seed=1))


def test_a_controlnet_of_another_family_is_refused(controlnets: dict[str, Path], tmp_path: Path) -> None:
    tiny_pipeline("sd").vae.save_pretrained(tmp_path / "vae")
    cases = [
        ("sd", controlnets["sdxl"], "cross_attention_dim is 64, the model's 32"),
        ("sd", tmp_path / "vae", "AutoencoderKL and no ControlNet"),
        ("sana", controlnets["sd"], "does not fit this Sana model"),
        ("flux", controlnets["sd"], "it is a ControlNetModel"),
        ("sd", tmp_path / "nothing", "there is no file or folder"),
    ]
    for family, path, words in cases:
        with pytest.raises(ModelError, match=words):
            with_controlnet(tiny_pipeline(family), path)


def test_all_of_them_are_opened_with_a_model(tmp_path: Path, controlnets: dict[str, Path], edges: list[Path]) -> None:
    from aigc_cli.backends import open_image_engine

    tiny_pipeline("sd").save_pretrained(tmp_path / "model")
    kl_vae().save_pretrained(tmp_path / "vae")
    word = write_embedding(tmp_path, "pickle")
    options = ImageEngineOptions(device="cpu", dtype="float32", vae=tmp_path / "vae", embeddings=(word,), controlnet=controlnets["sd"])
    engine = open_image_engine(ModelSource(name="tiny", kind="diffusers", path=tmp_path / "model"), options)
    asked, _ = engine.complete(ImageRequest(prompt="a 小猫", seed=1, control_image=edges[0], width=64, height=64, steps=2))
    events = list(engine.stream([asked]))
    said = [event.message for event in events if event.event == "warning"]  # type: ignore[attr-defined]
    assert said[0] == "in prompts 小猫 stands for 小猫.pt"
    assert "old pickle" in said[1]
    assert any(isinstance(event, Drawn) for event in events)
