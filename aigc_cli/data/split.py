"""Which rows are kept back: chosen by the hash of what they say, so that equal rows stay together and adding rows moves none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from aigc_cli.core.sample import CompletionSample, Sample, Split, TextSample
from aigc_cli.data.row import BadRowError

HASHES = 2**64


@dataclass(frozen=True)
class SplitRule:
    """A hash below `validation` is kept back for validation, one from there to below `test` for the test."""

    validation: int
    test: int

    @classmethod
    def of_shares(cls, validation: float, test: float) -> SplitRule:
        return cls(int(validation * HASHES), min(int((validation + test) * HASHES), HASHES - 1))

    def split_of(self, content_hash: int) -> Split:
        if content_hash < self.validation:
            return "validation"
        return "test" if content_hash < self.test else "train"


def hash_of(sample: Sample) -> int:
    """64 bits of the SHA-256 of all that the sample says; which turns are trained makes no difference.

    Raises: BadRowError for characters that no text has.
    """
    match sample:
        case TextSample(text):
            parts = [text]
        case CompletionSample(prompt, completion):
            parts = [prompt, completion]
        case _:
            parts = [part for turn in sample.turns for part in (turn.role, turn.content)]
    return short_hash(hashlib.sha256(content_bytes(parts)).digest())


def short_hash(digest: bytes) -> int:
    """Of a SHA-256 the 64 bits that a rule goes by."""
    return int.from_bytes(digest[:8], "big")


def content_bytes(parts: Sequence[str]) -> bytes:
    """Texts as one, so that other texts are other bytes. Raises: BadRowError for characters that no text has."""
    content = "\0".join(parts)
    if content.count("\0") != len(parts) - 1:
        raise BadRowError("a NUL character (\\u0000) in its text")
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise BadRowError(f"half a character (\\u{ord(content[error.start]):04x}) in its text") from None
