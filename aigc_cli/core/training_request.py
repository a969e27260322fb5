"""A request of training, whether texts or pictures are learnt."""

from __future__ import annotations

from typing import Any

from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.finetune_image import ImageFinetuneRequest

TrainingRequest = FinetuneRequest | ImageFinetuneRequest


def request_from_json(value: dict[str, Any]) -> TrainingRequest:
    """What `to_json` of either made. Raises: UsageError, TypeError, KeyError or AttributeError for what it did not make."""
    return ImageFinetuneRequest.from_json(value) if value.get("kind") == "image" else FinetuneRequest.from_json(value)
