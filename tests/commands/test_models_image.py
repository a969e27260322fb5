"""`aigc models` and image models, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import ExitStatus
from aigc_cli.models.catalogue import catalogue
from aigc_cli.models.fit import Memory
from aigc_cli.models.fit_image import RUNTIME
from tests.commands.test_models import cells
from tests.conftest import Result
from tests.hub_server import HubServer
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, safetensors_bytes, write_files
from tests.models.image_files import FLUX, SD1, WHOLE, gguf_of, pipeline_files, safetensors_of

Run = Callable[..., Result]
NAME = "org/drawer"


def with_memory(monkeypatch: pytest.MonkeyPatch, *memories: Memory) -> None:
    monkeypatch.setattr("aigc_cli.commands.models_fit.memories", lambda: list(memories))


def test_pull_takes_of_a_real_repositorys_files_those_that_drawing_needs(run: Run, hub: HubServer) -> None:
    needed = pipeline_files() | {"tokenizer/merges.txt": b""}
    beside = {
        "v1-5-pruned.safetensors": b"everything again",
        "v1-5-pruned-emaonly.ckpt": b"and again",
        "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
        "unet/diffusion_pytorch_model.non_ema.safetensors": b"not averaged",
        "unet/diffusion_pytorch_model.bin": b"pickle",
        "unet/model.onnx": b"x",
        "text_encoder/model.fp16.safetensors": b"half",
        "text_encoder/flax_model.msgpack": b"x",
        "vae_1_0/diffusion_pytorch_model.safetensors": b"another one",
        "vae_1_0/config.json": b"{}",
        "README.md": b"",
    }
    hub.add(catalogue()["sd1.5"].id, needed | beside)
    result = run("models", "pull", "sd1.5")
    assert result.status == ExitStatus.DONE, result.stderr
    root = Path(result.stdout.strip())
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == sorted(needed)


def test_pull_takes_the_shards_of_full_precision(run: Run, hub: HubServer) -> None:
    files = pipeline_files()
    part = files.pop("unet/diffusion_pytorch_model.safetensors")
    shards = {f"unet/diffusion_pytorch_model-0000{at}-of-00002.safetensors": part + bytes(at) for at in (1, 2)}
    index = {"weight_map": {str(at): name.removeprefix("unet/") for at, name in enumerate(shards)}}
    files |= {**shards, "unet/diffusion_pytorch_model.safetensors.index.json": json.dumps(index).encode()}
    half = {f"unet/diffusion_pytorch_model.fp16-0000{at}-of-00002.safetensors": b"half" for at in (1, 2)}
    hub.add(NAME, files | half)
    result = run("models", "pull", NAME)
    assert result.status == ExitStatus.DONE, result.stderr
    assert sorted(path.name for path in Path(result.stdout.strip()).glob("unet/*.safetensors")) == [Path(name).name for name in shards]


@pytest.mark.parametrize(
    ("lacks", "has", "words"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin", "has its unet only as a pickle"),
        ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", "no unet in full precision"),
        ("text_encoder/model.safetensors", "README.md", "no text_encoder in full precision"),
    ],
)
def test_pull_downloads_nothing_of_a_repository_that_could_not_be_loaded(
    run: Run, hub: HubServer, lacks: str, has: str, words: str
) -> None:
    files = pipeline_files() | {has: b"x"}
    del files[lacks]
    hub.add(NAME, files)
    result = run("models", "pull", NAME)
    assert (result.status, words in result.stderr) == (ExitStatus.MODEL, True), result.stderr
    assert hub.downloads() == []


def test_a_downloaded_pipeline_is_listed_shown_and_removed(run: Run, hub: HubServer) -> None:
    repository = hub.add(NAME, pipeline_files() | {"text_encoder/model.safetensors": safetensors_bytes(500)})
    run("models", "pull", NAME)
    size = sum(map(len, set(repository.files.values())))  # the cache keeps equal files once
    assert cells(run("models", "list"))[NAME][:2] == ["downloaded", "image"]
    (shown,) = run("models", "show", NAME, "--json").events
    assert shown == {
        "name": NAME,
        "status": "downloaded",
        "id": NAME,
        "modality": "image",
        "parameters": 1500,
        "size": size,
        "path": shown["path"],
        "commit": repository.commit,
        "architecture": "StableDiffusionPipeline",
        "own_size": [512, 512],
        "parts": [
            {"name": "unet", "kind": "UNet2DConditionModel", "parameters": 1000, "dtype": "float32", "size": len(safetensors_bytes())},
            {"name": "text_encoder", "kind": "CLIPTextModel", "parameters": 500, "dtype": "float32", "size": len(safetensors_bytes(500))},
        ],
    }
    lines = cells(run("models", "show", NAME))
    assert (lines["own size"], lines["unet"]) == (["512 x 512"], ["UNet2DConditionModel, 1K parameters, float32, 4.0 KiB"])
    assert run("models", "rm", NAME, "--yes").status == ExitStatus.DONE
    assert NAME not in cells(run("models", "list"))


def test_show_of_folders_and_files(run: Run, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "画", pipeline_files())
    assert cells(run("models", "show", folder))["architecture"] == ["StableDiffusionPipeline"]
    (tmp_path / "sd.safetensors").write_bytes(safetensors_of(SD1 | WHOLE, **{"modelspec.license": "许可 1.0"}))
    lines = cells(run("models", "show", tmp_path / "sd.safetensors"))
    assert (lines["modality"], lines["architecture"], lines["dtype"]) == (["image"], ["Stable Diffusion 1.5"], ["float32"])
    assert lines["licence"] == ["许可 1.0"]
    write_files(folder, {"unet/diffusion_pytorch_model.safetensors": b"x"})
    damaged = run("models", "show", folder)
    assert (damaged.status, "is damaged" in damaged.stderr) == (ExitStatus.MODEL, True)


def test_one_checkpoint_of_a_repository_is_named(run: Run, hub: HubServer) -> None:
    files = {"sd.safetensors": safetensors_of(SD1 | WHOLE), "other.safetensors": safetensors_of(SD1), "README.md": b""}
    repository = hub.add(NAME, files)
    unnamed = run("models", "pull", NAME)
    assert unnamed.status == ExitStatus.MODEL
    assert f"name it: -m {NAME}:other.safetensors" in unnamed.stderr
    absent = run("models", "pull", f"{NAME}:模.safetensors")
    assert absent.status == ExitStatus.MODEL
    assert "it has other.safetensors, sd.safetensors" in run("models", "pull", f"{NAME}:no.safetensors").stderr
    assert hub.downloads() == []
    result = run("models", "pull", f"{NAME}:sd.safetensors")
    path = Path(result.stdout.strip())
    assert (path.name, path.parent.name, path.read_bytes()) == ("sd.safetensors", repository.commit, files["sd.safetensors"])
    assert cells(run("models", "show", f"{NAME}:sd.safetensors"))["architecture"] == ["Stable Diffusion 1.5"]


def test_fit_tells_what_a_picture_takes(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_memory(monkeypatch, Memory("cpu", 2**32, ("bfloat16", "float32")))
    folder = write_files(tmp_path / "m", pipeline_files())
    result = run("models", "fit", folder)
    assert result.status == ExitStatus.DONE, result.stderr
    assert result.stdout.splitlines()[0].startswith("cpu\tbfloat16\tyes\t")
    assert f"{folder} has 2K parameters and draws 512 x 512: it fits on cpu in bfloat16\n" in result.stderr
    with_memory(monkeypatch, Memory("cpu", 2**28, ("bfloat16", "float32")))
    result = run("models", "fit", folder, "--json")
    assert result.status == ExitStatus.OUT_OF_MEMORY
    (found,) = result.events
    assert (found["best"], found["width"], [fit["fits"] for fit in found["fits"]]) == (None, 512, [False, False])


def test_fit_of_a_pipeline_on_the_hub_reads_headers_only(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, Memory("cpu", 2**32, ("float32",)))
    files = pipeline_files()
    hub.add(NAME, files | {"unet/diffusion_pytorch_model.safetensors": safetensors_bytes(1_000_000)})
    (remote,) = run("models", "fit", NAME, "--json").events
    assert remote["parameters"] == 1_001_000
    assert all(request.headers["range"] == "bytes=0-100000" for request in hub.downloads())
    run("models", "pull", NAME)
    assert run("models", "fit", NAME, "--json").events == [remote]


def test_fit_of_a_single_file_takes_the_rest_from_its_familys_repository(
    run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_memory(monkeypatch, Memory("cpu", 2**32, ("float32",)))
    vae = {"vae/config.json": b'{"block_out_channels": [8, 8]}', "vae/diffusion_pytorch_model.safetensors": safetensors_bytes()}
    hub.add("stable-diffusion-v1-5/stable-diffusion-v1-5", pipeline_files(vae=["diffusers", "AutoencoderKL"]) | vae)
    content = safetensors_of(SD1 | {"first_stage_model.w": (300,), "cond_stage_model.w": (20,), "model_ema.w": (1000,)})
    (tmp_path / "sd.safetensors").write_bytes(content)
    hub.add(NAME, {"sd.safetensors": content})
    for name in (str(tmp_path / "sd.safetensors"), f"{NAME}:sd.safetensors"):
        result = run("models", "fit", name, "--json")
        assert result.status == ExitStatus.DONE, result.stderr
        assert result.events[0]["parameters"] == 33 + 300 + 20  # and not the averages


def test_fit_of_a_denoiser_alone_counts_what_completes_it(
    run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_memory(monkeypatch, Memory("cpu", 2**33, ("float32",)))
    parts = pipeline_files(_class_name="FluxPipeline", unet=None, transformer=["diffusers", "FluxTransformer2DModel"])
    parts |= {"transformer/config.json": b"{}", "transformer/diffusion_pytorch_model.safetensors": safetensors_bytes(5)}
    hub.add("black-forest-labs/FLUX.1-schnell", parts)
    (tmp_path / "flux.gguf").write_bytes(gguf_of("flux", FLUX))
    result = run("models", "fit", tmp_path / "flux.gguf", "--json")
    assert result.status == ExitStatus.DONE, result.stderr
    assert (result.events[0]["parameters"], result.events[0]["pipeline"]) == (1 + 8 * 64 + 1000, "FluxPipeline")


def test_a_pipeline_is_no_language_model(run: Run, hub: HubServer, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "m", pipeline_files())
    result = run("complete", "-m", folder, "hello")
    assert (result.status, "holds an image model, not a language model" in result.stderr) == (ExitStatus.MODEL, True), result.stderr
    hub.add(NAME, pipeline_files() | {"sd.safetensors": safetensors_of(SD1 | WHOLE)})
    result = run("complete", "-m", NAME, "hello")
    assert (result.status, f"{NAME} is an image model: it writes no text" in result.stderr) == (ExitStatus.MODEL, True), result.stderr
    result = run("complete", "-m", f"{NAME}:sd.safetensors", "hello")
    assert (result.status, "a language model needs its config too" in result.stderr) == (ExitStatus.MODEL, True), result.stderr
    assert hub.downloads() == []


@pytest.mark.parametrize("command", [("complete",), ("models", "fit"), ("models", "show")])
def test_what_is_no_whole_model_is_told_with_what_to_name(run: Run, tmp_path: Path, data: Path, command: tuple[str, ...]) -> None:
    def refusal(path: Path) -> str:
        result = run(*command, *(("-m", path, "hello") if command == ("complete",) else (path,)))
        assert result.status == ExitStatus.MODEL
        return result.stderr

    folder = write_files(tmp_path / "画", pipeline_files() | {"unet/config.json": b'{"_class_name": "UNet2DConditionModel"}'})
    assert "holds one part of an image model, a UNet2DConditionModel" in refusal(folder / "unet")
    assert f"name the whole of it: aigc image -m {folder}" in refusal(folder / "unet")
    write_files(tmp_path / "c", {"sd.safetensors": safetensors_of(SD1 | WHOLE)})
    assert f"it holds an image model: aigc image -m {tmp_path / 'c/sd.safetensors'}" in refusal(tmp_path / "c")
    if command != ("models", "show"):
        assert "it holds an adapter, which goes on top of a model: -m MODEL --adapter" in refusal(data / "models/lora-sd15-weapons")


def test_an_adapter_is_shown_for_what_it_is(run: Run, data: Path) -> None:
    shown = cells(run("models", "show", data / "models/lora-sd15-weapons"))
    assert (shown["modality"], shown["parameters"]) == (["image adapter"], ["797K"]), shown


def test_a_clip_that_was_fetched_is_no_fault(run: Run, hub: HubServer) -> None:
    files = model_files(model_type="clip", architectures=["CLIPModel"]) | {"preprocessor_config.json": b"{}"}
    hub.add("org/clip", files)
    assert run("models", "pull", "org/clip").status == ExitStatus.DONE
    assert cells(run("models", "list"))["org/clip"][:2] == ["downloaded", "clip"]
    assert cells(run("models", "show", "org/clip"))["modality"] == ["clip"]


def test_fit_of_a_language_model_is_as_before(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_memory(monkeypatch, Memory("cpu", 2**32, ("float32",)))
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(LLAMA_GGUF, 100))
    assert "has 100 parameters: it fits on cpu in float32" in run("models", "fit", tmp_path / "x.gguf").stderr


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (12.0, "fits on cuda:0 in float32\n"),
        (8.05, "fits on cuda:0 in float32 once its text encoders are freed"),
        (6.0, "fits on cuda:0 in float32 with --offload"),
        (4.0, "fits on cpu in float32\n"),
    ],
)
def test_fit_names_the_measure_that_is_enough(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, room: float, words: str) -> None:
    """room: MB beside what the libraries take."""
    with_memory(monkeypatch, Memory("cuda:0", RUNTIME + round(room * 1e6), ("float32",)), Memory("cpu", 2**33, ("float32",)))
    files = pipeline_files(vae=["diffusers", "AutoencoderKL"]) | {
        "unet/config.json": b'{"sample_size": 8, "block_out_channels": [8, 8]}',
        "unet/diffusion_pytorch_model.safetensors": safetensors_bytes(1_000_000),
        "text_encoder/model.safetensors": safetensors_bytes(1_000_000),
        "vae/config.json": b'{"block_out_channels": [8, 8]}',
        "vae/diffusion_pytorch_model.safetensors": safetensors_bytes(),
    }
    assert words in run("models", "fit", write_files(tmp_path / "m", files)).stderr
