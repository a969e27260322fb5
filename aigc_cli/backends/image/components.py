"""Parts that go into a pipeline besides its own: another VAE, words of a textual inversion, a ControlNet."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from aigc_cli.backends.image.sizes import denoiser, latent_channels
from aigc_cli.backends.torch_load import reason
from aigc_cli.core.errors import ModelError

SHARED_WIDTHS = ("block_out_channels", "cross_attention_dim", "joint_attention_dim")  # of a ControlNet and its denoiser
ENCODERS_OF_XL = {"clip_l": "", "clip_g": "_2"}  # what is after "tokenizer" and "text_encoder"
A1111_NAMES = ("emb_params", "*")  # in place of a word: it is the file's name there


def check_is_there(path: Path) -> None:
    if not path.exists():
        raise ModelError(f"there is no file or folder {path}", "check the path")


def read_tensors(path: Path) -> dict[str, Any]:
    """What a file holds, at its top. An old pickle is read without running what it says. Raises: ModelError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {reason(error)}", "fetch it again") from error
    except Exception as error:  # torch raises almost anything for a file that it does not know
        raise ModelError(f"{path} is no file of tensors alone: {reason(error)}", "name a .safetensors file") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no named tensors", "name a .safetensors file")
    inner = content.get("state_dict")
    return inner if isinstance(inner, dict) else content


def pickle_remarks(path: Path) -> tuple[str, ...]:
    if path.is_dir() or path.suffix == ".safetensors":
        return ()
    return (f"{path.name} is an old pickle, read without running code in it: convert it to .safetensors with safetensors.torch.save_file",)


def read_config(folder: Path) -> dict[str, Any]:
    """Raises: ModelError for a folder without one."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return config if isinstance(config, dict) else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} has no config.json that can be read", "name a folder as diffusers saves it") from error


def replace_vae(pipe: Any, path: Path) -> None:
    """path: a folder of diffusers, its own or with a `vae` in it, or a single file.

    Raises: ModelError for one whose latents are not this model's.
    """
    check_is_there(path)
    own = pipe.vae
    try:
        vae = read_vae_folder(path, own.dtype) if path.is_dir() else read_vae_file(path, own)
    except ModelError:
        raise
    except Exception as error:  # diffusers raises almost anything for a file that it does not know
        raise ModelError(f"{path} cannot be read as a VAE: {reason(error)}", "name one of this model's family") from error
    pipe_channels = latent_channels(pipe)
    pipe.register_modules(vae=vae)
    if latent_channels(pipe) != pipe_channels:
        found = latent_channels(pipe)
        pipe.register_modules(vae=own)
        raise ModelError(f"the VAE {path} has latents of {found} channels, this model's {pipe_channels}", "name one of this model's family")


def read_vae_folder(path: Path, dtype: torch.dtype) -> Any:
    folder = path / "vae" if (path / "vae").is_dir() else path
    kind = read_config(folder).get("_class_name", "")
    if "Autoencoder" not in kind or not hasattr(diffusers, kind):
        raise ModelError(f"{folder} holds {kind or 'something'} and no VAE", "name a folder whose config.json names an Autoencoder")
    return getattr(diffusers, kind).from_pretrained(str(folder), dtype=dtype, use_safetensors=True, local_files_only=True)


def read_vae_file(path: Path, own: Any) -> Any:
    """With the config of the VAE that it replaces: a file has none, and diffusers would ask the Hub."""
    with TemporaryDirectory() as folder:
        own.save_config(folder)
        return type(own).from_single_file(str(path), config=folder, dtype=own.dtype, local_files_only=True)


def load_embedding(pipe: Any, path: Path) -> str:
    """Teaches the tokenizer a word, which it returns: the one in a file of diffusers, else the file's name without its end, as in A1111.

    Raises: ModelError for a file that is none, a word that is taken, or vectors of another model's width.
    """
    check_is_there(path)
    if not hasattr(pipe, "load_textual_inversion"):
        raise ModelError(f"a {type(pipe).__name__.removesuffix('Pipeline')} model takes no textual inversions", "leave out --embedding")
    word, vectors = read_embedding(path)
    for ending, tensor in vectors.items():
        tokenizer, encoder = getattr(pipe, f"tokenizer{ending}", None), getattr(pipe, f"text_encoder{ending}", None)
        if tokenizer is None or encoder is None:
            raise ModelError(f"{path} is for a model with two text encoders", "use it with Stable Diffusion XL")
        width = encoder.get_input_embeddings().weight.shape[1]
        if tensor.shape[-1] != width:
            raise ModelError(f"the vectors of {path} have {tensor.shape[-1]} numbers, this model's have {width}", "use one of its family")
        try:
            pipe.load_textual_inversion(tensor, token=word, tokenizer=tokenizer, text_encoder=encoder)
        except ValueError as error:
            raise ModelError(f"{path} cannot be loaded: {reason(error)}", "rename the file, or the word in it") from error
        end_by_number(encoder, tokenizer)
    return word


def read_embedding(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The word, and its vectors (n, D) by the ending of the encoder's name."""
    content = read_tensors(path)
    by_encoder = {ending: content[name] for name, ending in ENCODERS_OF_XL.items() if name in content}
    if by_encoder:
        return path.stem, by_encoder
    if "string_to_param" in content:
        content = content["string_to_param"]
    if len(content) != 1 or not isinstance(tensor := next(iter(content.values())), torch.Tensor):
        raise ModelError(f"{path} holds no textual inversion", "it has one tensor, or one for each of two text encoders")
    (name,) = content
    return path.stem if name in A1111_NAMES else name, {"": tensor.detach()}


def end_by_number(encoder: Any, tokenizer: Any) -> None:
    """Old configs have a wrong end token; CLIP then takes the token of the highest number for the end, which is now the new word."""
    text_model = getattr(encoder, "text_model", encoder)
    if getattr(text_model, "eos_token_id", None) == 2:
        text_model.eos_token_id = tokenizer.eos_token_id


def with_controlnet(pipe: Any, path: Path) -> Any:
    """The family's pipeline that follows a picture too, over the same weights. path: a folder, or a file beside its config.json.

    Raises: ModelError for what is no ControlNet, or one of another family.
    """
    check_is_there(path)
    controlnet = read_controlnet(path, denoiser(pipe).dtype)
    for width in SHARED_WIDTHS:
        ours, theirs = denoiser(pipe).config.get(width), controlnet.config.get(width)
        if ours is not None and theirs is not None and as_list(ours) != as_list(theirs):
            raise other_family(pipe, path, f"its {width} is {theirs}, the model's {ours}")
    try:
        controlled = diffusers.AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet)
    except ValueError as error:
        raise other_family(pipe, path, "diffusers has no pipeline for a ControlNet of this family") from error
    expected = str(inspect.signature(type(controlled).__init__).parameters["controlnet"].annotation)
    if not re.search(rf"\b{type(controlnet).__name__}\b", expected):
        raise other_family(pipe, path, f"it is a {type(controlnet).__name__}")
    return controlled


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def other_family(pipe: Any, path: Path, what: str) -> ModelError:
    kind = type(pipe).__name__.removesuffix("Pipeline")
    return ModelError(f"the ControlNet {path} does not fit this {kind} model: {what}", "name one that was trained for it")


def read_controlnet(path: Path, dtype: torch.dtype) -> Any:
    folder = path if path.is_dir() else path.parent
    kind = read_config(folder).get("_class_name", "")
    if "ControlNet" not in kind or not hasattr(diffusers, kind):
        raise ModelError(f"{folder} holds {kind or 'something'} and no ControlNet", "name a folder whose config.json names a ControlNet")
    controlnet_class = getattr(diffusers, kind)
    try:
        if path.is_dir():
            return controlnet_class.from_pretrained(str(path), dtype=dtype, use_safetensors=True, local_files_only=True)
        return controlnet_class.from_single_file(str(path), config=str(folder), dtype=dtype, local_files_only=True)
    except Exception as error:  # diffusers raises almost anything for a file that it does not know
        raise ModelError(f"the ControlNet {path} cannot be read: {reason(error)}", "fetch its files again") from error
