"""What is known of a data set once it was read: for the dry run and for the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from aigc_cli.core.sample import Split


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file that rows were read from, as the user named it. size: bytes.  split: None where its rows were split by hash."""

    path: str
    sha256: str
    size: int
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """tokens: after cutting, without padding; of these the loss is taken over trained_tokens."""

    rows: int
    tokens: int
    trained_tokens: int


@dataclass(frozen=True, kw_only=True)
class LengthBin:
    """Rows that have at most up_to tokens, and more than the bin before."""

    up_to: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Counts of rows, unless they say otherwise.

    row_format: of mixed rows all, the commonest first, joined by "and".
    cut: longer than max_length tokens, their ends left out.  in_pieces: plain texts longer than that, learnt in pieces.
    untrained: left out, for nothing can be learnt from them: the chat template refuses them, or the cut takes the answer.
    duplicates: equal to a row before.  leaked: training rows that also stand in a split that is measured on.
    left_out: bad rows, with --skip-bad.  lengths: a histogram of the rows before they were cut, the shortest first.
    """

    files: tuple[DataFile, ...]
    splits: dict[Split, SplitFacts]
    row_format: str
    max_length: int
    cut: int = 0
    in_pieces: int = 0
    untrained: int = 0
    duplicates: int = 0
    leaked: int = 0
    left_out: int = 0
    lengths: tuple[LengthBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PictureSplit:
    """captions: different ones.  wordless: pictures that are learnt without words."""

    rows: int
    captions: int
    wordless: int = 0


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A size in pixels that training pictures are brought to, and how many of them."""

    width: int
    height: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """Counts of pictures, unless they say otherwise.

    buckets: the fullest first.  sizes: the smallest and the largest training picture by its area, as width and height.
    changes: how many were changed on opening, or are on their way to the autoencoder, by what is done to them.
    cut_captions: captions of which the text encoders do not see the end.
    duplicates: equal to a picture before.  leaked: training pictures that are also measured on.  left_out: bad rows, with --skip-bad.
    """

    files: tuple[DataFile, ...]
    splits: dict[Split, PictureSplit]
    buckets: tuple[Bucket, ...]
    sizes: tuple[tuple[int, int], ...] = ()
    changes: dict[str, int] = field(default_factory=dict)
    cut_captions: int = 0
    duplicates: int = 0
    leaked: int = 0
    left_out: int = 0
