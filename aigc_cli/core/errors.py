"""What can go wrong, each with one line of what to do about it and the exit status it leads to."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitStatus(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MODEL = 3  # not found, gated, or offline
    OUT_OF_MEMORY = 4
    PARTIAL = 5  # a batch finished, some rows failed
    CONTEXT = 6  # the input does not fit the context
    BUSY = 75  # another run holds the output folder
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class AigcError(Exception):
    """A failure that a user may read: one line of what happened, one of what to do."""

    status = ExitStatus.FAILED
    is_in_json = False  # an error event stands where the other events went

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self, status: ExitStatus | None = None) -> dict[str, Any]:
        """The `error` event."""
        return {"event": "error", "t": 0.0, "message": self.message, "hint": self.hint, "status": int(status or self.status)}


class UsageError(AigcError):
    """Bad options or bad input."""

    status = ExitStatus.USAGE


class ModelError(AigcError):
    """A model that cannot be found, had or loaded."""

    status = ExitStatus.MODEL


class OutOfMemoryError(AigcError):
    """The device's memory does not hold the model or the request."""

    status = ExitStatus.OUT_OF_MEMORY


class ContextOverflowError(AigcError):
    """Prompt and reply together do not fit the model's context."""

    status = ExitStatus.CONTEXT


class DiskFullError(AigcError):
    """The disk filled up, with all that was done kept: once there is room, the run can be gone on with."""


class BusyError(AigcError):
    """Another run holds the folder."""

    status = ExitStatus.BUSY
