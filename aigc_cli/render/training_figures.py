"""Figures of training as people read them."""

from __future__ import annotations

from pathlib import PurePath

from aigc_cli.core.units import format_count
from aigc_cli.training.report import Comparison, RunReport, compare

ENDINGS = {
    "complete": "complete",
    "max_steps": "ended by --max-steps",
    "early_stopping": "ended early: no more gain",
    "interrupted": "interrupted",
}
SETTING_GROUPS = ("tuning", "diffusion", "optimization", "pace", "data")
NO_SETTINGS = ("paths", "validation", "test", "mode", "skip_bad", "from_scratch", "continue_from")
OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout", "target_modules")
OF_TEXTS = ("label_smoothing",)  # stands in every request, and has a meaning in theirs alone


def format_figure(value: float | None, unit: str = "") -> str:
    """Digits that matter: 2.113, 24.88, 1,204; shares as 71.4%; a dash for what was not measured."""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value:.1f}%"
    digits = 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


NAMES = {  # of what is measured of an autoencoder, by what is looked at; elsewhere the figure's own name is plain enough
    "psnr_colour": "of colours",
    "psnr_black": "over black",
    "psnr_white": "over white",
    "psnr_alpha": "of transparency",
}


def in_words(name: str, value: float, unit: str) -> str:
    """A figure in a sentence: "loss 0.260", "psnr 11.92 dB over black"."""
    if view := NAMES.get(name):
        return f"psnr {format_figure(value, unit)} {unit} {view}"
    return f"{name} {format_figure(value, unit)}"


def heading(figure: Comparison) -> str:
    """What a row of figures is of: "validation loss", "autoencoder psnr over black, dB"."""
    if view := NAMES.get(figure.name):
        return f"{figure.split} psnr {view}, {figure.unit}"
    return f"{figure.split} {figure.name}"


def format_change(compared: Comparison) -> str:
    """By how much a figure moved, and whether that is good."""
    if compared.before is None or compared.after is None or compared.gain is None:
        return "-"
    moved = compared.after - compared.before
    size = f"{abs(moved):.1f} points" if compared.unit == "%" else format_figure(abs(moved))
    if not size.partition(" ")[0].strip("0.,"):
        return "same"
    return f"{'+' if moved > 0 else '-'}{size} {'better' if compared.gain > 0 else 'worse'}"


def verdict(report: RunReport) -> str:
    """A sentence where training did not help, by the loss on rows that were kept back, and one where an earlier gain is lost."""
    noun = report.noun
    compared = (figure for figure in compare(report) if not figure.is_of_autoencoder)
    losses = [figure for figure in compared if figure.name == "loss" and figure.gain is not None]
    kept_back = [figure for figure in losses if not figure.is_of_earlier_run]
    worse = [figure.split for figure in kept_back if figure.gain is not None and figure.gain <= 0]
    lost = [figure.split for figure in losses if figure.is_of_earlier_run and format_change(figure).endswith("worse")]
    sentences = []
    if not kept_back:
        sentences.append(f"No {noun} were kept back, so there is no proof that training helped.")
    if worse:
        sentences.append(f"Training did not help: the loss on {' and '.join(worse)} {noun} is no lower than before.")
    if lost:
        sentences.append(f"Some of what was learnt in earlier runs is lost: the loss on {' and '.join(lost)} {noun} is higher than before.")
    return " ".join(sentences)


def searched(report: RunReport) -> str:
    """To follow "rows with the highest loss", or pictures: of how many, unless all were looked at."""
    if not report.searched or report.searched.rows == report.searched.drawn_from:
        return ""
    return f", of {report.searched.rows:,} {report.noun} drawn from {report.searched.drawn_from:,}"


def settings_of(report: RunReport) -> dict[str, str]:
    """The settings that make the result, by the names of their flags; paths are left out."""
    groups = (report.request.get(name, {}) for name in SETTING_GROUPS)
    chosen = {name: value for group in groups for name, value in group.items()}
    left_out = {*NO_SETTINGS, *(() if report.model.is_adapter else OF_ADAPTERS), *(OF_TEXTS if report.noun == "pictures" else ())}
    values = {"method": report.model.method, **chosen, "seed": report.training.seed}
    return {name: as_setting(value) for name, value in values.items() if value is not None and name not in left_out}


def as_setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def trained_share(report: RunReport) -> str:
    """How many parameters were trained, of how many."""
    model = report.model
    share = model.trained_parameters / model.total_parameters if model.total_parameters else 0.0
    return f"{format_count(model.trained_parameters)} of {format_count(model.total_parameters)} parameters ({share:.2%})"


def speed(report: RunReport) -> str:
    """Of training, in what was learnt from."""
    return format_speed(report.training.tokens_per_second, report.training.pictures_per_second)


def format_speed(tokens: float | None, pictures: float | None) -> str:
    """Of the one or the other a second."""
    if pictures:
        return f"{pictures:,.{0 if pictures >= 100 else 1 if pictures >= 1 else 3}f} pictures/s"
    return f"{tokens or 0.0:,.0f} tokens/s"


METHODS = {
    "full": "tuned in full",
    "freeze": "tuned in some of its layers",
    "lora": "tuned with LoRA",
    "dora": "tuned with DoRA",
    "qlora": "tuned with QLoRA",
}


def manner(report: RunReport) -> str:
    """How the model was trained, to go on a sentence."""
    return "trained from scratch" if report.request.get("tuning", {}).get("from_scratch") else METHODS[report.model.method]


def file_name(path: str) -> str:
    """A report is handed on: whose folder a file lay in is nobody's business."""
    return PurePath(path.replace("\\", "/")).name or path


def public_name(model: str) -> str:
    """The model's name, or of a path its last part."""
    is_path = model.startswith(("/", ".", "~")) or model.count("/") > 1 or "\\" in model
    return file_name(model) if is_path else model
