"""What a run of `aigc finetune` is to do: options, the file after --config, settings and what is on record, in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.commands.finetune_request import changed_request, make_request
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.store.run_record import RunRecord, read_record, request_here

if TYPE_CHECKING:
    from aigc_cli.commands.finetune_options import RunOptions, TrainedModelOptions
    from aigc_cli.settings import Settings

OF_THE_RUN = ("output", "device", "dtype")  # they stand in a config file, but are no part of the request
OF_A_START = ("config", "dry_run", "resume", "overwrite", "tensorboard", "html", "yes")


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request, and how it is to be carried out. folder: None only for a dry run, which writes nothing."""

    request: TrainingRequest
    folder: Path | None
    device: str
    dtype: str
    assume_yes: bool = False
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False
    html: bool = False


def make_order(values: dict[str, Any], start: RunOptions, model: TrainedModelOptions, settings: Settings) -> Order:
    """Raises: UsageError for options that contradict one another, or a folder that is not named."""
    folder = values.get("output")
    if folder is None and (start.resume or values.get("data")) and not start.dry_run:  # without data that is said first
        raise UsageError("there is no folder for the result", "name one: -o mine/")
    if start.dry_run and start.resume:
        raise UsageError("--dry-run and --resume contradict each other", "leave out one of the two")
    record = read_record(Path(values["output"])) if start.resume else None
    request = requested(values, record, settings)
    tensorboard, html = start.tensorboard, start.html
    if record:  # where the run was begun goes before today's settings
        values = {"device": record.device, "dtype": record.dtype, **values}
        tensorboard, html = tensorboard or record.tensorboard, html or record.html
    return Order(
        request=request,
        folder=Path(folder) if folder else None,
        device=str(settings.get("device", values.get("device"))),
        dtype=str(settings.get("dtype", values.get("dtype"))),
        assume_yes=model.yes,
        resume=start.resume,
        overwrite=start.overwrite,
        tensorboard=tensorboard,
        html=html,
    )


def requested(values: dict[str, Any], record: RunRecord | None, settings: Settings) -> TrainingRequest:
    """What the options ask for; with --resume and no data, what the run was begun with, the options laid over it.

    record: of the run that is resumed, which says whether it learns from pictures.
    """
    from aigc_cli.commands.finetune_continue import continued

    asked = {name: value for name, value in values.items() if name not in (*OF_THE_RUN, *OF_A_START)}
    image = asked.pop("image", False)
    if record:
        if image and isinstance(record.request, FinetuneRequest):
            raise UsageError(
                "the run that was begun learns from texts: --image does not go with it", "leave out --image, or choose another -o"
            )
        image = isinstance(record.request, ImageFinetuneRequest)
        if not asked.get("data"):
            return changed_request(request_here(record), asked)
    if "continue" in asked and not asked.get("from_scratch") and not image:
        asked = continued(asked)
    model = asked.get("from_scratch") or chosen_model(settings, asked.get("model"), image=image)
    return make_request(asked, str(model), image=image)


def chosen_model(settings: Settings, given: str | None, *, image: bool) -> str:
    """Raises: UsageError where there is none."""
    if name := settings.get("image_model" if image else "model", given):
        return str(name)
    hint = "name one: -m NAME (see: aigc models list), or for always: aigc config set image_model NAME"
    raise UsageError("no image model is chosen", hint)
