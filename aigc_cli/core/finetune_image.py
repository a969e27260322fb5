"""What is asked of training on pictures: frozen values that check themselves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import Optimization, Pace
from aigc_cli.core.request import check

ImageMethod = Literal["lora", "full"]


@dataclass(frozen=True, kw_only=True)
class PictureChoice:
    """Where pictures come from and how they become what is learnt.

    paths, validation: folders, index files (metadata.jsonl, .csv) and pictures.  val_split: share of the pictures that is
    kept back, chosen by the hash of their content; 0 where files are named for validation.
    resolution: side in pixels of the square whose area pictures are brought to; None for the model's own.
    flip: half of the pictures are mirrored each time they are seen, but for those whose caption names a side or a text.
    caption_dropout: share of the times at which a picture is learnt without its caption, so that guidance can work.
    """

    paths: tuple[str, ...]
    validation: tuple[str, ...] = ()
    val_split: float = 0.05
    resolution: int | None = None
    flip: bool = False
    caption_dropout: float = 0.1
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("there are no pictures to train on", "name a folder: aigc finetune pictures/ --image -m MODEL -o mine/")
        check("--val-split", self.val_split, 0.0)
        if self.val_split >= 1.0:
            raise UsageError(
                f"--val-split {self.val_split:g} would leave nothing to train on", "it is a share of the pictures, such as 0.05"
            )
        check("--resolution", self.resolution, 8, 8192)
        check("--caption-dropout", self.caption_dropout, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ImageTuning:
    """Which weights are trained.

    lora_alpha: None for the rank itself, as diffusers' own scripts have it.
    target_modules: "auto" for the projections of attention, "all-linear", or names joined by commas.
    train_text_encoder: adapters (or all weights, with "full") of the text encoders too.
    from_scratch: a TOML file that describes every part of a new pipeline; its weights and its tokenizer begin there.
    """

    method: ImageMethod = "lora"
    lora_rank: int = 16
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    target_modules: str = "auto"
    train_text_encoder: bool = False
    from_scratch: str | None = None

    def __post_init__(self) -> None:
        check("--lora-rank", self.lora_rank, 1, 4096)
        check("--lora-alpha", self.lora_alpha, 0.0, low_open=True)
        check("--lora-dropout", self.lora_dropout, 0.0, 0.999)
        if self.from_scratch and self.method != "full":
            raise UsageError(f"--from-scratch trains every weight, --method {self.method} does not", "leave out --method")

    @property
    def is_adapter(self) -> bool:
        return self.method == "lora"

    @property
    def alpha(self) -> float:
        return float(self.lora_rank) if self.lora_alpha is None else self.lora_alpha


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """The loss.

    min_snr_gamma: levels of noise whose signal-to-noise ratio is above it weigh less (Hang et al. 2023, arXiv:2303.09556);
    None weighs all alike. It has no meaning for flow matching.
    average: decay of the weights' exponential average, which then is the result; None for the last weights.
    """

    min_snr_gamma: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        check("--min-snr-gamma", self.min_snr_gamma, 0.0, low_open=True)
        check("--average", self.average, 0.0, 0.999999)


@dataclass(frozen=True, kw_only=True)
class ImageProof:
    """What is shown and measured on the way.

    sample_prompts: drawn at every validation, each with seed `sample_seed` and its own number added; none for captions of
    pictures that were kept back.  samples: how many of these captions.  sample_steps: of denoising.
    max_eval_samples: pictures that the validation loss is taken over.
    """

    sample_prompts: tuple[str, ...] = ()
    samples: int = 4
    sample_steps: int = 20
    sample_seed: int = 0
    max_eval_samples: int = 200

    def __post_init__(self) -> None:
        check("--samples", self.samples, 0, 100)
        check("--sample-steps", self.sample_steps, 1, 1000)
        check("--max-eval-samples", self.max_eval_samples, 1)


@dataclass(frozen=True, kw_only=True)
class ImageFinetuneRequest:
    """One run of training on pictures. Raises: UsageError naming the option that is out of range or contradicts another."""

    model: str
    data: PictureChoice
    tuning: ImageTuning = field(default_factory=ImageTuning)
    diffusion: Diffusion = field(default_factory=Diffusion)
    optimization: Optimization = field(default_factory=Optimization)
    pace: Pace = field(default_factory=Pace)
    proof: ImageProof = field(default_factory=ImageProof)
    seed: int = 0

    def __post_init__(self) -> None:
        check("--seed", self.seed, 0, 2**63 - 1)

    def to_json(self) -> dict[str, Any]:
        """Nested objects of plain values; `from_json` makes an equal request of it."""
        return {"kind": "image", **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ImageFinetuneRequest:
        """Raises: UsageError, TypeError or KeyError for what `to_json` did not make."""
        groups = {
            "data": PictureChoice, "tuning": ImageTuning, "diffusion": Diffusion,
            "optimization": Optimization, "pace": Pace, "proof": ImageProof,
        }  # fmt: skip

        def fields_of(name: str) -> dict[str, Any]:
            return {key: tuple(field) if isinstance(field, list) else field for key, field in value[name].items()}

        made = {name: group(**fields_of(name)) for name, group in groups.items()}
        return cls(model=value["model"], seed=value["seed"], **made)


def default_image_learning_rate(method: ImageMethod, *, from_scratch: bool = False) -> float:
    """As in diffusers' own training scripts for LoRA and for all weights; a new, narrow pipeline takes more."""
    if method == "lora":
        return 1e-4
    return 5e-4 if from_scratch else 1e-5
