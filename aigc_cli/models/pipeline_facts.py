"""What is known of an image pipeline from its index, configs and headers alone; no weights are read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aigc_cli.models.check import CONFIG, PIPELINE_INDEX, read_header, read_json
from aigc_cli.models.check_image import WITHOUT_WEIGHTS, part_weights, pipeline_parts
from aigc_cli.models.checkpoints import PREFIX, VAE, is_whole
from aigc_cli.models.facts import commonest
from aigc_cli.models.headers import Header

Role = Literal["denoiser", "text encoder", "vae", "other"]
ROLES: dict[str, Role] = {"unet": "denoiser", "transformer": "denoiser", "vae": "vae", "vqvae": "vae", "movq": "vae"}
FILE_ROLES: dict[str, Role] = {  # by how the names of their tensors begin, in a file with all parts
    PREFIX: "denoiser",
    **dict.fromkeys(VAE, "vae"),
    **dict.fromkeys(("cond_stage_model.", "conditioner.", "text_encoders."), "text encoder"),
}
FIXED_SIZE = ("Flux", "QwenImage", "Sana", "ZImage")  # pipelines whose size is diffusers' default, whatever their configs say
OWN_SIDE = 1024  # pixels
Config = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network of a pipeline.

    name: of its folder.  kind: its class.  parameters: how many there are of each type, under safetensors' or GGUF's names.
    size: bytes of its weights on disk.
    """

    name: str
    kind: str
    role: Role
    config: Config = field(repr=False)
    parameters: Mapping[str, int]
    size: int

    @property
    def count(self) -> int:
        return sum(self.parameters.values())

    @property
    def dtype(self) -> str | None:
        return commonest(Counter(self.parameters))


@dataclass(frozen=True)
class PipelineFacts:
    """pipeline: diffusers' class."""

    pipeline: str
    parts: tuple[Part, ...]

    @property
    def count(self) -> int:
        """Of parameters, in all parts."""
        return sum(part.count for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of weights on disk."""
        return sum(part.size for part in self.parts)

    def config(self, role: Role) -> Config:
        """Of the first part with this role; empty where there is none."""
        return next((part.config for part in self.parts if part.role == role), {})

    @property
    def vae_scale(self) -> int:
        """Pixels that a latent stands for, each way."""
        config = self.config("vae")
        if "temporal_downsample" in config or "temperal_downsample" in config:  # Qwen-Image's, misspelt in diffusers too
            return int(2 ** len(config.get("temperal_downsample") or config["temporal_downsample"]))
        channels = config.get("block_out_channels") or config.get("encoder_block_out_channels") or (0,) * 4
        return int(2 ** (len(channels) - 1))

    @property
    def own_size(self) -> tuple[int, int]:
        """Width and height, in pixels, that the model was made for."""
        latents = self.config("denoiser").get("sample_size")
        if not latents or self.pipeline.startswith(FIXED_SIZE):
            return OWN_SIDE, OWN_SIDE
        rows, columns = latents if isinstance(latents, (list, tuple)) else (latents, latents)
        return columns * self.vae_scale, rows * self.vae_scale


@dataclass(frozen=True)
class PartWeights:
    """What the headers of one part's files say."""

    parameters: Mapping[str, int]
    size: int


def collect(
    index: Config, holder: Path | str, read_config: Callable[[str], Config], read_weights: Callable[[str], PartWeights]
) -> PipelineFacts:
    """Reads part by part, by name. holder: for messages. Raises: ModelError."""
    parts = []
    for name, (_, kind) in pipeline_parts(index, holder).items():
        if not WITHOUT_WEIGHTS.search(kind):
            weights = read_weights(name)
            role = role_of(name)
            parts.append(Part(name=name, kind=kind, role=role, config=read_config(name), parameters=weights.parameters, size=weights.size))
    return PipelineFacts(str(index["_class_name"]), tuple(parts))


def role_of(part: str) -> Role:
    return "text encoder" if part.startswith("text_encoder") else ROLES.get(part, "other")


def folder_pipeline(folder: Path, with_weights: bool = True) -> PipelineFacts:
    """Of a folder that passed its check; without weights, also of one that has only the configs. Raises: ModelError."""

    def read_weights(part: str) -> PartWeights:
        return weights_of(part_weights(folder / part)) if with_weights else PartWeights({}, 0)

    return collect(read_json(folder / PIPELINE_INDEX), folder, lambda part: read_json(folder / part / CONFIG), read_weights)


def weights_of(files: Iterable[Path]) -> PartWeights:
    parameters: Counter[str] = Counter()
    size = 0
    for file in files:
        parameters.update(read_header(file).parameters)
        size += file.stat().st_size
    return PartWeights(parameters, size)


def with_file(base: PipelineFacts, header: Header, size: int) -> PipelineFacts:
    """Of a single file of so many bytes, which passed its check: its own weights, the configs, and the parts that it lacks, of its base."""
    if not is_whole(header.shapes):
        parts = (own_weights(part, header.parameters, size) if part.role == "denoiser" else part for part in base.parts)
        return PipelineFacts(base.pipeline, tuple(parts))
    counts: Counter[Role] = Counter()
    for name, shape in header.shapes.items():
        if role := role_in_file(name):
            counts[role] += math.prod(shape)
    dtype, total = header.parameters.most_common(1)[0][0], header.parameters.total()
    firsts = {part.role: part for part in reversed(base.parts) if part.role in counts}  # the text encoders count as one
    parts = (own_weights(part, {dtype: counts[role]}, size * counts[role] // total) for role, part in firsts.items())
    return PipelineFacts(base.pipeline, tuple(parts))


def role_in_file(tensor: str) -> Role | None:
    """None for what is not loaded, such as the averages that training keeps."""
    return next((role for prefix, role in FILE_ROLES.items() if tensor.startswith(prefix)), None)


def own_weights(part: Part, parameters: Mapping[str, int], size: int) -> Part:
    return replace(part, parameters=parameters, size=size)
