"""What is asked of training: frozen values that check themselves. Text today; pictures will bring a request of their own."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Mode, check

Method = Literal["full", "freeze", "lora", "dora", "qlora"]
Optimizer = Literal["adamw", "muon", "sgd", "adafactor"]
Schedule = Literal["cosine", "linear", "constant", "wsd"]
Metric = Literal["exact-match", "bleu", "chrf", "rouge-l", "accuracy"]

ADAPTER_METHODS = ("lora", "dora", "qlora")
LAYERS = re.compile(r"(first|last):[1-9]\d*|\d+(-\d+)?(,\d+(-\d+)?)*")


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Where rows come from and how they become tokens.

    paths, validation, test: files and folders; "-" in paths is stdin.  val_split, test_split: shares of the rows,
    chosen by the hash of their content; with files named for a split its share is 0.
    mode: as in TextRequest: "chat" puts prompts and instructions into the model's template, "raw" leaves them as they
    stand, "auto" follows the model and the data.
    train_on: "completion" trains on answers alone, "all" on prompts too.
    max_length: tokens of a row that are kept, None for the model's context, at most 2048.
    packing: several rows end to end in one sequence, none of which sees another.
    mix: rows of several formats, such as texts and conversations, are learnt together.
    """

    paths: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    val_split: float = 0.05
    test_split: float = 0.0
    mode: Mode = "auto"
    train_on: Literal["completion", "all"] = "completion"
    max_length: int | None = None
    packing: bool = False
    skip_bad: bool = False
    mix: bool = False

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("there is no data to train on", "name a file or a folder: aigc finetune data.jsonl -m MODEL -o mine/")
        for option, share in (("--val-split", self.val_split), ("--test-split", self.test_split)):
            check(option, share, 0.0)
            if share >= 1.0:
                raise UsageError(f"{option} {share:g} would leave nothing to train on", "it is a share of the rows, such as 0.05")
        if self.val_split + self.test_split >= 1.0:
            message = "--val-split and --test-split together would leave nothing to train on"
            raise UsageError(message, "they are shares of the rows, such as 0.05")
        check("--max-length", self.max_length, 2)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which weights are trained.

    freeze_layers, train_layers: for the method "freeze": "first:N", "last:N", or numbers such as "0,2-5".
    lora_alpha: None for twice the rank.  target_modules: "auto", "all-linear", or names joined by commas.
    from_scratch: a transformers config file; weights and tokenizer begin there.
    continue_from: the folder of an earlier result.
    """

    method: Method = "lora"
    freeze_layers: str | None = None
    train_layers: str | None = None
    lora_rank: int = 16
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    target_modules: str = "auto"
    from_scratch: str | None = None
    vocab_size: int | None = None
    continue_from: str | None = None

    def __post_init__(self) -> None:
        check("--lora-rank", self.lora_rank, 1, 4096)
        check("--lora-alpha", self.lora_alpha, 0.0, low_open=True)
        check("--lora-dropout", self.lora_dropout, 0.0, 0.999)
        check("--vocab-size", self.vocab_size, 257, 2**24)
        for option, layers in (("--freeze-layers", self.freeze_layers), ("--train-layers", self.train_layers)):
            if layers is None:
                continue
            if self.method != "freeze":
                raise UsageError(f"{option} belongs to --method freeze", "add --method freeze, or leave it out")
            if not LAYERS.fullmatch(layers):
                raise UsageError(f"{option}: {layers!r} names no layers", "write last:2, first:4, or numbers such as 0,2-5")
        if self.method == "freeze" and (self.freeze_layers is None) == (self.train_layers is None):
            raise UsageError("--method freeze wants --freeze-layers or --train-layers", "for example --train-layers last:2")
        if self.from_scratch and self.method != "full":
            raise UsageError(f"--from-scratch trains every weight, --method {self.method} does not", "leave out --method")
        if self.from_scratch and self.continue_from:
            raise UsageError("--from-scratch and --continue contradict each other", "leave out one of the two")
        if self.vocab_size and not self.from_scratch:
            raise UsageError("--vocab-size belongs to --from-scratch", "a model brings its own vocabulary")

    @property
    def is_adapter(self) -> bool:
        return self.method in ADAPTER_METHODS

    @property
    def alpha(self) -> float:
        return 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights move.

    learning_rate: None for a value by method and width of the model (see `default_learning_rate`); SGD has none that suits.
    warmup: share of the steps.  decay: share of the steps in which "wsd" comes down.
    max_grad_norm: 0 does not clip.
    """

    optimizer: Optimizer = "adamw"
    learning_rate: float | None = None
    schedule: Schedule = "cosine"
    warmup: float = 0.03
    decay: float = 0.2
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        check("--learning-rate", self.learning_rate, 0.0, 10.0, low_open=True)
        if self.optimizer == "sgd" and self.learning_rate is None:
            raise UsageError(
                "--optimizer sgd wants a --learning-rate",
                "its steps are as long as the gradients, which differ from model to model: try 0.1, and ten times more or less",
            )
        check("--warmup", self.warmup, 0.0, 1.0)
        check("--decay", self.decay, 0.0, 1.0)
        check("--weight-decay", self.weight_decay, 0.0, 10.0)
        check("--max-grad-norm", self.max_grad_norm, 0.0)
        check("--label-smoothing", self.label_smoothing, 0.0, 0.999)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long, in which pieces, and how often things are measured and saved.

    epochs: passes over the data; max_steps, where given, ends training instead.
    batch_size: rows (packed sequences, with packing) that run together; times gradient_accumulation_steps they make a step.
    eval_steps: None for ten times in a run.  save_steps: None for each evaluation; a checkpoint is also written when ten
    minutes have passed since the last.
    keep: checkpoints, besides the best one.  early_stopping_patience: evaluations without a gain; 0 is off.
    """

    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    eval_steps: int | None = None
    save_steps: int | None = None
    keep: int = 2
    early_stopping_patience: int = 0

    def __post_init__(self) -> None:
        check("--epochs", self.epochs, 0.0, low_open=True)
        for option in ("max_steps", "batch_size", "gradient_accumulation_steps", "eval_steps", "save_steps", "keep"):
            check(f"--{option.replace('_', '-')}", getattr(self, option), 1)
        check("--early-stopping-patience", self.early_stopping_patience, 0)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is measured before and after.

    samples: prompts of rows kept back that base and tuned answer, side by side.
    metrics: of the answers to up to `metric_samples` rows kept back.  max_eval_samples: rows that a loss is taken over.
    """

    samples: int = 3
    metrics: tuple[Metric, ...] = ()
    metric_samples: int = 100
    max_eval_samples: int = 1000
    max_new_tokens: int = 200

    def __post_init__(self) -> None:
        check("--samples", self.samples, 0, 1000)
        check("--metric-samples", self.metric_samples, 1)
        check("--max-eval-samples", self.max_eval_samples, 1)
        check("--max-new-tokens", self.max_new_tokens, 1)


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """One run of training. Raises: UsageError naming the option that is out of range or contradicts another."""

    model: str
    data: DataChoice
    tuning: Tuning = field(default_factory=Tuning)
    optimization: Optimization = field(default_factory=Optimization)
    pace: Pace = field(default_factory=Pace)
    proof: Proof = field(default_factory=Proof)
    seed: int = 0

    def __post_init__(self) -> None:
        check("--seed", self.seed, 0, 2**63 - 1)

    def to_json(self) -> dict[str, Any]:
        """Nested objects of plain values; `from_json` makes an equal request of it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FinetuneRequest:
        """Raises: UsageError, TypeError or KeyError for what `to_json` did not make."""
        groups = {"data": DataChoice, "tuning": Tuning, "optimization": Optimization, "pace": Pace, "proof": Proof}

        def fields_of(name: str) -> dict[str, Any]:
            return {key: tuple(field) if isinstance(field, list) else field for key, field in value[name].items()}

        made = {name: group(**fields_of(name)) for name, group in groups.items()}
        return cls(model=value["model"], seed=value["seed"], **made)


def default_learning_rate(method: Method, hidden_size: int, *, from_scratch: bool = False) -> float:
    """A start that suits the method and the model's width.

    LoRA takes about ten times what full training takes, and narrow models take more: the exponent 0.78 and the factor
    are those found by Thinking Machines for Llama models ("LoRA Without Regret", 2025), anchored at 2e-4 for a
    LoRA of width 2048, and at most 1e-3: above it, models of width 64 were seen to get worse. From scratch it meets
    GPT-3's 6e-4 at width 768 (arXiv:2005.14165, table 2.1).
    """
    by_width = (2048 / hidden_size) ** 0.78
    if method in ADAPTER_METHODS:
        return min(1e-3, float(f"{2e-4 * by_width:.2g}"))
    return float(f"{(3e-4 if from_scratch else 2e-5) * by_width:.2g}")
