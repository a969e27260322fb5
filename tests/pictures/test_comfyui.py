from __future__ import annotations

import json

import pytest
from PIL import Image, PngImagePlugin

from aigc_cli.pictures.comfyui import parse_graph
from aigc_cli.pictures.metadata import read_recipe
from aigc_cli.pictures.recipe import Part


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def graph(**changes):
    """The graph that ComfyUI starts with, Chinese in its prompt."""
    nodes = {
        "3": node(
            "KSampler",
            **{"seed": 42, "steps": 20, "cfg": 8, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1},
            **{"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="sd/v1-5.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text="一只红狐狸, snow", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    }
    return {**nodes, **changes}


def test_the_usual_graph():
    found, remarks = parse_graph(graph())
    assert found.settings == {
        "prompt": "一只红狐狸, snow",
        "negative_prompt": "blurry",
        "seed": 42,
        "steps": 20,
        "guidance_scale": 8.0,
        "scheduler": "dpm++2m-karras",
        "width": 512,
        "height": 768,
    }
    assert (found.model, found.source, remarks) == ("sd/v1-5.safetensors", "comfyui", ())


def sampler(**changes):
    found = graph()["3"]
    return node(changes.pop("kind", "KSampler"), **{**found["inputs"], **changes})


def test_loras_and_clip_skip_stand_in_the_chains_to_the_model():
    found, remarks = parse_graph(
        graph(
            **{
                "3": sampler(model=["11", 0]),
                "6": node("CLIPTextEncode", text="x", clip=["12", 0]),
                "10": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.7, strength_clip=1, model=["4", 0], clip=["4", 1]),
                "11": node("LoraLoaderModelOnly", lora_name="墨.safetensors", strength_model=1, model=["10", 0]),
                "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
            }
        )
    )
    assert found.parts == (Part("lora", "ink.safetensors", 0.7), Part("lora", "墨.safetensors", 1.0))
    assert found.settings["clip_skip"] == 1
    assert found.model == "sd/v1-5.safetensors"
    assert remarks == ()


def test_flux_guides_beside_its_prompt():
    found, _ = parse_graph(
        graph(
            **{
                "3": sampler(cfg=1, sampler_name="euler", scheduler="simple", positive=["10", 0]),
                "4": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
                "5": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
                "10": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
            }
        )
    )
    assert found.settings["guidance_scale"] == 3.5
    assert found.settings["scheduler"] == "flow-euler"
    assert (found.settings["prompt"], found.model) == ("一只红狐狸, snow", "flux1-dev.safetensors")


def test_the_advanced_sampler_and_a_prompt_from_another_node():
    found, remarks = parse_graph(
        graph(
            **{
                "3": sampler(kind="KSamplerAdvanced", noise_seed=9, seed=None) | {},
                "6": node("CLIPTextEncode", text=["10", 0], clip=["4", 1]),
                "10": node("PrimitiveString", value="from afar"),
            }
        )
    )
    assert found.settings["prompt"] == "from afar"
    assert "nodes not understood: PrimitiveString" in remarks


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"3": sampler(seed=1071208483241017 * 2**8)}, "its seed 274229371709700352 could not be taken"),
        ({"3": sampler(sampler_name="res_multistep")}, "no scheduler like its sampler res_multistep karras"),
        ({"20": node("FaceDetailer", image=["8", 0])}, "nodes not understood: FaceDetailer"),
        ({"20": node("VAELoader", vae_name="x")}, "files loaded apart from the model not taken: VAELoader"),
        ({"20": sampler(latent_image=["3", 0])}, "only the first of its 2 samplers taken"),
        ({"5": node("EmptyLatentImage", width=8, height=8, batch_size=4)}, "one of 4 that were drawn from one seed"),
        ({"5": node("VAEEncode", pixels=["20", 0]), "3": sampler(denoise=0.6)}, "begun from another picture, with strength 0.6"),
        ({"6": node("CLIPTextEncode", text=["99", 0])}, "its prompt could not be found"),
    ],
)
def test_what_cannot_be_taken_is_said(changes, said):
    _, remarks = parse_graph(graph(**changes))
    assert said in "\n".join(remarks)


def test_links_in_a_circle_end():
    nodes = {"10": node("ConditioningCombine", conditioning_1=["11", 0]), "11": node("ConditioningCombine", conditioning_1=["10", 0])}
    _, remarks = parse_graph(graph(**nodes, **{"3": sampler(positive=["10", 0], model=["3", 0])}))
    assert "its prompt could not be found" in remarks


@pytest.mark.parametrize("value", [None, [], "x", {}, {"1": 2}, {"1": {"class_type": "KSampler"}}, {"1": node("SaveImage")}])
def test_what_is_no_graph(value):
    with pytest.raises(ValueError, match=r"no (graph|sampler)"):
        parse_graph(value)


def test_it_is_read_from_png_and_webp(tmp_path):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("prompt", json.dumps(graph()))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(graph())}"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", exif=exif)
    for name in ("a.png", "a.webp"):
        assert read_recipe(tmp_path / name)[0].settings["seed"] == 42
