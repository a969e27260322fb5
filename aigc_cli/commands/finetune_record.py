"""What `aigc finetune` writes down of a run: with what it was begun."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from aigc_cli import __version__
from aigc_cli.commands.finetune_kind import Base, Kind
from aigc_cli.commands.finetune_order import Order
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.store.run_record import RunRecord

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers")
FOR_PICTURES = ("diffusers", "pillow")


def make_record(order: Order, kind: Kind, dataset: Any, base: Base) -> RunRecord:
    """Reads the model's files once, for their fingerprint."""
    return RunRecord(
        aigc=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        status="running",
        working_folder=os.getcwd(),
        request=order.request,
        files=kind.files(dataset),
        revision=base.source.revision,
        fingerprint=kind.fingerprint(order.request, base.source),
        blueprint=kind.blueprint(order.request),
        device=base.placement.device,
        dtype=base.placement.dtype,
        versions=versions(order.request),
        tensorboard=order.tensorboard,
        html=order.html,
    )


def versions(request: TrainingRequest) -> dict[str, str]:
    """Of all that has a part in the result."""
    names = (*PACKAGES, *(FOR_PICTURES if isinstance(request, ImageFinetuneRequest) else ()))
    return {"aigc": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}
