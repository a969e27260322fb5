"""What can be said of a run before it starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from aigc_cli.core.events import Planned
from aigc_cli.training.data_facts import DataFacts, PictureFacts


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A run as it would be.

    mode: as in ModelFacts.
    sample: a row as the model will see it, in pieces of text and whether the loss is taken over them; of a picture its caption.
    sample_origin: `file:line` of it.  sample_size: width and height that a picture is brought to.
    memory: its parts by name, in bytes, the biggest moment of the run; none for a family whose memory cannot be told.
    free: bytes there are.
    seconds: an estimate, None where nothing was timed.
    advice: what to change where it does not fit, the cheapest change first.
    """

    model: str
    method: str
    mode: str
    device: str
    dtype: str
    trained_parameters: int
    total_parameters: int
    data: DataFacts | PictureFacts
    sample: tuple[tuple[str, bool], ...]
    sample_origin: str
    memory: tuple[tuple[str, int], ...]
    free: int
    steps: int
    seconds: float | None
    advice: tuple[str, ...] = ()
    sample_size: tuple[int, int] | None = None

    @property
    def total_memory(self) -> int | None:
        return sum(size for _, size in self.memory) if self.memory else None

    @property
    def fits(self) -> bool | None:
        """None where that cannot be told."""
        return None if self.total_memory is None else self.total_memory <= self.free

    def planned(self, *, rows: int, tokens: int | None = None, trained_tokens: int | None = None) -> Planned:
        """What is about to happen, as an event. rows, tokens, trained_tokens: of one pass over the data."""
        return Planned(
            method=self.method,
            trained_parameters=self.trained_parameters,
            total_parameters=self.total_parameters,
            rows=rows,
            tokens=tokens,
            trained_tokens=trained_tokens,
            duplicates=self.data.duplicates,
            steps=self.steps,
            memory=self.total_memory or 0,
            free=self.free,
        )

    def to_json(self) -> dict[str, Any]:
        """One JSON object; memory as an object of bytes by part."""
        fields = dataclasses.asdict(self)
        fields["sample"] = [{"text": text, "trained": trained} for text, trained in self.sample]
        return {**fields, "memory": dict(self.memory), "total_memory": self.total_memory, "fits": self.fits}
