"""The options of `aigc finetune`. A default of None means "not given": then the file after --config counts, then the default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Mode

MODEL, DATA, METHOD, OPTIMIZER, PACE, PROOF, RUN = "Model", "Data", "Method", "Optimizer", "Length and pace", "Proof", "Run"
PICTURES = "Pictures"


class MethodName(StrEnum):
    FULL = "full"
    FREEZE = "freeze"
    LORA = "lora"
    DORA = "dora"
    QLORA = "qlora"


class OptimizerName(StrEnum):
    ADAMW = "adamw"
    MUON = "muon"
    SGD = "sgd"
    ADAFACTOR = "adafactor"


class ScheduleName(StrEnum):
    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"
    WSD = "wsd"


class MetricName(StrEnum):
    EXACT_MATCH = "exact-match"
    BLEU = "bleu"
    CHRF = "chrf"
    ROUGE_L = "rouge-l"
    ACCURACY = "accuracy"


class TrainOn(StrEnum):
    COMPLETION = "completion"
    ALL = "all"


@dataclass
class TrainedModelOptions:
    """Which model is trained, and where."""

    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Built-in name, alias, folder, file or Hub id.", rich_help_panel=MODEL)
    ] = None
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)] = None
    dtype: Annotated[
        Dtype | None, typer.Option(help="Number format to compute in; what is trained stays float32.", rich_help_panel=MODEL)
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large download.", rich_help_panel=MODEL)] = False


@dataclass
class DataOptions:
    """Rows, and what of them is learnt."""

    validation: Annotated[
        list[str] | None, typer.Option(help="File or folder to validate on, in place of a split; repeatable.", rich_help_panel=DATA)
    ] = None
    test: Annotated[list[str] | None, typer.Option(help="File or folder to test on at the end; repeatable.", rich_help_panel=DATA)] = None
    val_split: Annotated[
        float | None, typer.Option(help="Share of the rows to validate on, chosen by their hash; 0.05.", rich_help_panel=DATA)
    ] = None
    test_split: Annotated[float | None, typer.Option(help="Share of the rows to test on at the end; 0.", rich_help_panel=DATA)] = None
    raw: Annotated[bool | None, typer.Option("--raw", help="Prompts as they stand, without the chat template.", rich_help_panel=DATA)] = (
        None
    )
    instruct: Annotated[bool | None, typer.Option("--instruct", help="Prompts as messages to answer.", rich_help_panel=DATA)] = None
    train_on: Annotated[TrainOn | None, typer.Option(help="Learn answers alone, or prompts too.", rich_help_panel=DATA)] = None
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of a row that are kept; the model's context, at most 2048.", rich_help_panel=DATA)
    ] = None
    packing: Annotated[
        bool | None, typer.Option("--packing", help="Several rows in one sequence; none sees another.", rich_help_panel=DATA)
    ] = None
    skip_bad: Annotated[bool | None, typer.Option("--skip-bad", help="Leave bad rows out, into rejects.jsonl.", rich_help_panel=DATA)] = (
        None
    )
    mix: Annotated[
        bool | None, typer.Option("--mix", help="Learn rows of several formats together, such as texts and chats.", rich_help_panel=DATA)
    ] = None


@dataclass
class MethodOptions:
    """Which weights are trained."""

    method: Annotated[
        MethodName | None, typer.Option(help="Which weights are trained; lora. Of pictures lora or full.", rich_help_panel=METHOD)
    ] = None
    freeze_layers: Annotated[
        str | None, typer.Option(help="For freeze: layers to leave as they are: first:N, last:N, 0,2-5.", rich_help_panel=METHOD)
    ] = None
    train_layers: Annotated[str | None, typer.Option(help="For freeze: layers to train alone: last:2.", rich_help_panel=METHOD)] = None
    lora_rank: Annotated[int | None, typer.Option(help="Rank of the adapters; 16.", rich_help_panel=METHOD)] = None
    lora_alpha: Annotated[
        float | None, typer.Option(help="Their scale, times the rank; twice the rank, of pictures the rank.", rich_help_panel=METHOD)
    ] = None
    lora_dropout: Annotated[float | None, typer.Option(help="Dropout before the adapters; 0.", rich_help_panel=METHOD)] = None
    target_modules: Annotated[
        str | None, typer.Option(help="Matrices that get one: auto, all-linear, or names such as q_proj,v_proj.", rich_help_panel=METHOD)
    ] = None
    from_scratch: Annotated[
        str | None,
        typer.Option(
            metavar="CONFIG",
            help="Begin with a transformers config, or TOML that describes all parts; the tokenizer is trained too.",
            rich_help_panel=METHOD,
        ),
    ] = None
    vocab_size: Annotated[int | None, typer.Option(help="Tokens of a tokenizer that is trained.", rich_help_panel=METHOD)] = None
    continue_from: Annotated[
        str | None,
        typer.Option("--continue", metavar="FOLDER", help="Go on from an earlier result, with new data.", rich_help_panel=METHOD),
    ] = None


@dataclass
class PictureOptions:
    """What only training on pictures has."""

    image: Annotated[
        bool | None, typer.Option("--image", help="Train an image model on pictures with captions.", rich_help_panel=PICTURES)
    ] = None
    resolution: Annotated[
        int | None, typer.Option(help="Side of the square whose area pictures are brought to; the model's own.", rich_help_panel=PICTURES)
    ] = None
    flip: Annotated[
        bool | None,
        typer.Option("--flip", help="Also learn mirror images, unless a caption names a side or a text.", rich_help_panel=PICTURES),
    ] = None
    caption_dropout: Annotated[
        float | None, typer.Option(help="Share of the times without the caption, for guidance; 0.1.", rich_help_panel=PICTURES)
    ] = None
    train_text_encoder: Annotated[
        bool | None, typer.Option("--train-text-encoder", help="Train the text encoders too.", rich_help_panel=PICTURES)
    ] = None
    min_snr_gamma: Annotated[
        float | None, typer.Option(help="Weigh easy levels of noise less (min-SNR); 5 is usual.", rich_help_panel=PICTURES)
    ] = None
    average: Annotated[
        float | None, typer.Option(metavar="DECAY", help="Keep an average of the weights, such as 0.999.", rich_help_panel=PICTURES)
    ] = None
    sample_prompts: Annotated[
        list[str] | None,
        typer.Option("--sample-prompt", help="Draw this at every validation; repeatable.", rich_help_panel=PICTURES),
    ] = None
    sample_steps: Annotated[int | None, typer.Option(help="Steps of such a picture; 20.", rich_help_panel=PICTURES)] = None
    sample_seed: Annotated[int | None, typer.Option(help="Seed of the first of them; 0.", rich_help_panel=PICTURES)] = None


@dataclass
class OptimizationOptions:
    """How the weights move."""

    optimizer: Annotated[OptimizerName | None, typer.Option(help="adamw unless given.", rich_help_panel=OPTIMIZER)] = None
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak; by method and width of the model unless given, which SGD needs.", rich_help_panel=OPTIMIZER)
    ] = None
    schedule: Annotated[ScheduleName | None, typer.Option(help="How the rate falls; cosine unless given.", rich_help_panel=OPTIMIZER)] = (
        None
    )
    warmup: Annotated[float | None, typer.Option(help="Share of the steps in which it rises; 0.03.", rich_help_panel=OPTIMIZER)] = None
    decay: Annotated[float | None, typer.Option(help="For wsd: share of the steps in which it falls; 0.2.", rich_help_panel=OPTIMIZER)] = (
        None
    )
    weight_decay: Annotated[float | None, typer.Option(help="On matrices, not on norms and biases; 0.", rich_help_panel=OPTIMIZER)] = None
    max_grad_norm: Annotated[float | None, typer.Option(help="Clip gradients to this norm; 1, 0 is off.", rich_help_panel=OPTIMIZER)] = None
    label_smoothing: Annotated[float | None, typer.Option(help="Share of each target spread evenly; 0.", rich_help_panel=OPTIMIZER)] = None
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing", help="Less memory for a third more time.", rich_help_panel=OPTIMIZER)
    ] = None


@dataclass
class PaceOptions:
    """How long, and how often things happen."""

    epochs: Annotated[float | None, typer.Option(help="Passes over the data; 3.", rich_help_panel=PACE)] = None
    max_steps: Annotated[int | None, typer.Option(help="End after this many updates instead.", rich_help_panel=PACE)] = None
    batch_size: Annotated[int | None, typer.Option(help="Rows that run together; 8.", rich_help_panel=PACE)] = None
    gradient_accumulation_steps: Annotated[
        int | None, typer.Option(help="Batches for each update of the weights; 1.", rich_help_panel=PACE)
    ] = None
    eval_steps: Annotated[int | None, typer.Option(help="Validate after so many steps; ten times in a run.", rich_help_panel=PACE)] = None
    save_steps: Annotated[int | None, typer.Option(help="Save after so many steps; after each validation.", rich_help_panel=PACE)] = None
    keep: Annotated[int | None, typer.Option(help="Checkpoints to keep besides the best one; 2.", rich_help_panel=PACE)] = None
    early_stopping_patience: Annotated[
        int | None, typer.Option(help="Stop after so many validations without a gain; 0 is off.", rich_help_panel=PACE)
    ] = None
    seed: Annotated[int | None, typer.Option(help="Of new weights, order and dropout; 0.", rich_help_panel=PACE)] = None


@dataclass
class ProofOptions:
    """What is measured before and after."""

    samples: Annotated[
        int | None,
        typer.Option(
            help="Prompts that base and tuned answer, side by side; 3. Of pictures captions that they draw; 4.", rich_help_panel=PROOF
        ),
    ] = None
    metrics: Annotated[
        list[MetricName] | None, typer.Option("--metric", help="Also measure the answers; repeatable.", rich_help_panel=PROOF)
    ] = None
    metric_samples: Annotated[int | None, typer.Option(help="Rows whose answers are measured; 100.", rich_help_panel=PROOF)] = None
    max_eval_samples: Annotated[
        int | None, typer.Option(help="Rows that a loss is taken over; 1000, pictures 200.", rich_help_panel=PROOF)
    ] = None
    max_new_tokens: Annotated[int | None, typer.Option(help="Length of an answer; 200.", rich_help_panel=PROOF)] = None


@dataclass
class RunOptions:
    """The run as a whole."""

    output: Annotated[str | None, typer.Option("-o", "--output", help="Folder of the run and its result.", rich_help_panel=RUN)] = None
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with options by their names; flags go before it.", rich_help_panel=RUN)
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data, count tokens, estimate memory and time; train nothing.", rich_help_panel=RUN)
    ] = False
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.", rich_help_panel=RUN)] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.", rich_help_panel=RUN)] = False
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.", rich_help_panel=RUN)] = False
    html: Annotated[bool, typer.Option("--html", help="Also write report.html.", rich_help_panel=RUN)] = False


def given_options(paths: list[str], *groups: Any) -> dict[str, Any]:
    """What the command line says, by the flags' names as a config file has them; what it leaves open is not there."""
    values: dict[str, Any] = {"data": tuple(paths)} if paths else {}
    for group in groups:
        for name, value in vars(group).items():
            if value not in (None, []):
                values["continue" if name == "continue_from" else name] = plain(value)
    raw, instruct = values.pop("raw", False), values.pop("instruct", False)
    if raw and instruct:
        raise UsageError("--raw and --instruct contradict each other", "leave out one of the two")
    if raw or instruct:
        mode: Mode = "raw" if raw else "chat"
        values["mode"] = mode
    return values


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(plain(item) for item in value)
    return value.value if isinstance(value, StrEnum) else value
