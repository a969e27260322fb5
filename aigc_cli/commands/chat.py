"""`aigc chat`: a conversation."""

from __future__ import annotations

from aigc_cli.options import ModelOptions


def chat(model: ModelOptions) -> None:
    """Talk with a model; with a message, one reply and out."""
    raise NotImplementedError
