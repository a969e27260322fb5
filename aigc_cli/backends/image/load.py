"""An image model's source -> a diffusers pipeline with its weights in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import GGUFQuantizationConfig

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.compiling import compile_blocks
from aigc_cli.backends.image.memory import check_offload, place
from aigc_cli.backends.image.packing import pack_convolutions
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.backends.image.step_cache import check_cache
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, ModelError
from aigc_cli.core.image import ImageEngineOptions

OUT_OF_MEMORY_HINT = "try a smaller model, --dtype bfloat16, a smaller size or --batch-size 1"
DENOISERS = ("transformer", "unet")
DRAW_FROM_TEXT = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")  # known without asking: see pipeline_class


@dataclass(frozen=True)
class LoadedPipeline:
    """cautions: what the user should know about this model."""

    pipe: Any
    cautions: tuple[str, ...]


def load_pipeline(source: ModelSource, placement: Placement, options: ImageEngineOptions | None = None) -> LoadedPipeline:
    """options: what goes on top of the model or in place of its parts; device and dtype are the placement's.

    Raises: ModelError for what diffusers cannot load or what is no text-to-image model, OutOfMemoryError.
    """
    options = options or ImageEngineOptions()
    if options.offload:
        check_offload(placement)
    be_quiet()
    assert source.path is not None
    try:
        with memory_errors(placement.device, OUT_OF_MEMORY_HINT):
            pipe, remarks = extend(read(source, getattr(torch, placement.dtype)), options)
            arrange(pipe, placement)
            place(pipe, placement.device, "parts" if options.offload else "device")
            remarks += speed_up(pipe, placement, options)
    except AigcError:
        raise
    except Exception as error:  # diffusers and transformers raise almost anything for a file they do not know
        raise ModelError(f"{source.name} cannot be loaded: {reason(error)}", f"the files are in {source.path}") from error
    return LoadedPipeline(pipe, (*cautions(pipe), *remarks))


def be_quiet() -> None:
    """Their bars and remarks would mix with ours on stderr."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def read(source: ModelSource, dtype: torch.dtype) -> Any:
    assert source.path is not None
    if source.kind == "diffusers":
        return from_folder(source.path, dtype)
    assert source.base is not None
    if source.kind == "checkpoint" and holds_every_part(source.path):
        return from_checkpoint(source.path, source.base, dtype)
    name, network = read_denoiser(source, source.base, dtype)
    return from_folder(source.base, dtype, **{name: network})


def from_folder(folder: Path, dtype: torch.dtype, **parts: Any) -> Any:
    """parts: those that are loaded already."""
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    return pipeline_class(folder).from_pretrained(str(folder), **options, **parts)


def pipeline_class(folder: Path) -> Any:
    """What loads the folder: diffusers' auto class, but where it would only give back the class that the folder names.

    It imports the pipelines of all families, which takes 0.6 s.
    """
    name = pipeline_name(folder)
    if name in DRAW_FROM_TEXT:
        return getattr(diffusers, name)
    if not is_text_to_image(name):
        raise ModelError(f"{folder} holds a {name}, which draws no pictures from text", "name a text-to-image model; see: aigc models list")
    return diffusers.AutoPipelineForText2Image


def pipeline_name(folder: Path) -> str:
    return str(diffusers.DiffusionPipeline.load_config(str(folder))["_class_name"])


def is_text_to_image(name: str) -> bool:
    """Whether diffusers' auto class knows a text-to-image pipeline for the one of this name."""
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING, _get_task_class

    return _get_task_class(AUTO_TEXT2IMAGE_PIPELINES_MAPPING, name, throw_error_if_not_exist=False) is not None


def holds_every_part(path: Path) -> bool:
    """Whether text encoders and VAE are in the file too."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return any(name.startswith(("first_stage_model.", "vae.")) for name in file.keys())  # noqa: SIM118 - it is no dict


def from_checkpoint(path: Path, base: Path, dtype: torch.dtype) -> Any:
    pipeline_class = getattr(diffusers, pipeline_name(base))
    return pipeline_class.from_single_file(str(path), config=str(base), dtype=dtype, local_files_only=True)


def read_denoiser(source: ModelSource, base: Path, dtype: torch.dtype) -> tuple[str, Any]:
    """Which part the file holds, and that part. GGUF weights stay quantised and are unpacked as they are used."""
    index = diffusers.DiffusionPipeline.load_config(str(base))
    name = next(name for name in DENOISERS if name in index)
    options: dict[str, Any] = {"config": str(base), "subfolder": name, "dtype": dtype, "local_files_only": True}
    if source.kind == "image-gguf":
        quantization: Any = GGUFQuantizationConfig
        options["quantization_config"] = quantization(compute_dtype=dtype)
    return name, getattr(diffusers, index[name][1]).from_single_file(str(source.path), **options)


def extend(pipe: Any, options: ImageEngineOptions) -> tuple[Any, tuple[str, ...]]:
    """The pipeline with all that was asked for besides the model, of which a ControlNet makes another one; and remarks on the files."""
    if not (options.vae or options.embeddings or options.adapters or options.controlnet):
        return pipe, ()
    from aigc_cli.backends.image import adapters, components  # bring PEFT, which takes half a second

    if options.vae:
        components.replace_vae(pipe, options.vae)
    words = [components.load_embedding(pipe, path) for path in options.embeddings]
    if options.adapters:
        adapters.load_adapters(pipe, options.adapters)
    if options.controlnet:
        pipe = components.with_controlnet(pipe, options.controlnet)
    remarks = [f"in prompts {word} stands for {path.name}" for word, path in zip(words, options.embeddings, strict=True)]
    given = [path for path in (options.vae, *options.embeddings, *(path for path, _ in options.adapters)) if path]
    return pipe, (*remarks, *(remark for path in given for remark in components.pickle_remarks(path)))


def arrange(pipe: Any, placement: Placement) -> None:
    """Readies the parts for drawing, their convolutions in the layout that 16-bit kernels are fastest in."""
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    if placement.dtype != "float32":
        for part in (getattr(pipe, "unet", None), getattr(pipe, "controlnet", None), pipe.vae):
            if part is not None and not has_3d_convolutions(part):
                part.to(memory_format=torch.channels_last)
    if hasattr(pipe.vae, "enable_slicing"):
        pipe.vae.enable_slicing()  # one picture after the other: a batch then needs no more memory than one


def speed_up(pipe: Any, placement: Placement, options: ImageEngineOptions) -> tuple[str, ...]:
    """What makes it draw faster, asked for or not, and remarks on it. Raises: UsageError for a model that cannot what was asked for."""
    if options.cache:
        check_cache(pipe)
    if options.compile:
        compile_blocks(denoiser(pipe), fuse=placement.device.startswith("cuda"))
    elif placement.device == "cpu":
        for network in (denoiser(pipe), getattr(pipe, "controlnet", None)):
            if network is not None:
                pack_convolutions(network)
    return ("--cache reuses parts of earlier steps: pictures differ a little from those without it",) if options.cache else ()


def has_3d_convolutions(part: torch.nn.Module) -> bool:
    return any(weight.dim() == 5 for weight in part.parameters())


def cautions(pipe: Any) -> list[str]:
    if getattr(pipe, "safety_checker", None) is not None:
        return ["this model has a safety checker: a picture that it takes for unfit is made black, and that is said"]
    return []
