"""Every event of a run, one JSON object a line, only ever appended to.

After a resume the log reads as that of an undisturbed run, but for `t`, which counts from each start.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aigc_cli.atomic_file import replace_file
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Checkpoint, Evaluation, Event, Progress


def logged(events: Iterable[Event], path: Path) -> Generator[Event, None, None]:
    """Passes events on, each written first: a killed process has lost none that anybody saw.

    Evaluations and checkpoints are synced, so that a power cut takes a few steps' lines at most.
    """
    with path.open("ab") as log:
        for event in events:
            if not isinstance(event, Progress):  # said of a moment, and nobody reads it again
                log.write(to_line(event))
                log.flush()
            if isinstance(event, (Checkpoint, Evaluation)):
                os.fsync(log.fileno())
            yield event


def rewind(path: Path, checkpoint: Checkpoint | None, split: str | None = None) -> None:
    """Cuts off what happened after a checkpoint, for what follows from it will happen again; None: all of it.

    split: of the part of the model that goes on, see TrainStep. What is there of a part that was trained before it stays.

    The checkpoint's own line is the last that stays, and is added where a kill came between the two. A step that was saved
    twice, as when it was measured only after a resume, counts from its last line. Lines that are torn or damaged go too.
    """
    events = [(line, event) for line in lines_of(path) if (event := parsed(line)) is not None]
    begin = 0 if split else end_of_earlier_parts([event for _, event in events])
    before = [line for line, _ in events[:begin]]
    if checkpoint is None:
        replace_file(path, b"".join(before)) if before else path.unlink(missing_ok=True)
        return
    kept: list[bytes] = []
    end, t = None, 0.0
    for line, event in events[begin:]:
        if event.get("step", 0) > checkpoint.step:
            break
        if event["event"] == "checkpoint" and event["step"] == checkpoint.step:
            end, t = len(kept), event.get("t", t)
            continue
        kept.append(line)
        if end is None:
            t = event.get("t", t)
    replace_file(path, b"".join([*before, *kept[:end], to_line(dataclasses.replace(checkpoint, t=t))]))


def end_of_earlier_parts(events: Sequence[Mapping[str, Any]]) -> int:
    """How many there are up to the last checkpoint of a part that was trained by itself."""
    return max((at for at, event in enumerate(events, 1) if event["event"] == "checkpoint" and "split" in event), default=0)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a run, as JSON objects; a last line that a kill tore is left out, a log that is not there is empty.

    Raises: AigcError naming another line that is damaged.
    """
    events = []
    for number, line in enumerate(lines_of(path), 1):
        if (event := parsed(line)) is not None:
            events.append(event)
        elif line.endswith(b"\n"):
            raise AigcError(f"{path}:{number}: not an event", "the log is damaged there: delete that line")
    return events


def lines_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as log:
            yield from log
    except FileNotFoundError:
        return


def parsed(line: bytes) -> dict[str, Any] | None:
    """None for a line that is torn or damaged."""
    try:
        event = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def to_line(event: Event) -> bytes:
    return (json.dumps(event.to_json(), ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
