"""What a dry run found, on stdout: the data, a row or a picture as the model sees it, memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from aigc_cli.core.units import format_count, format_duration, format_size
from aigc_cli.render.output import RESET, Output
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.table import BOLD, Section, room, write_sections
from aigc_cli.render.width import one_line
from aigc_cli.training.data_facts import Bucket, DataFacts, LengthBin, PictureFacts
from aigc_cli.training.preflight import Preflight

GREEN = "\x1b[32m"
FITS = {True: "it fits", False: "it does not fit", None: "whether it fits cannot be told for this kind of model"}
LONGEST_SAMPLE = 2000  # characters
LONGEST_BAR = 30  # cells

Piece = tuple[str, bool]  # text, and whether it is trained


def render_preflight(preflight: Preflight, output: Output) -> None:
    """Writes the whole of it; what is trained is green where there is colour, elsewhere it stands between ⟦ and ⟧."""
    model = Section("Model", tuple(model_rows(preflight)))
    cost = [Section("Memory", tuple(memory_rows(preflight))), Section("Time", tuple(time_rows(preflight)))]
    if isinstance(preflight.data, PictureFacts):
        shown = Section("A picture", tuple(picture_rows(preflight)))
        write_sections(output, [model, *picture_sections(preflight.data), shown, *cost])
    else:
        write_sections(output, [model, *data_sections(preflight.data)])
        write_sample(preflight, output)
        write_sections(output, cost)
    if preflight.advice:
        output.write("\n")
        write_sections(output, [Section("To make it fit", tuple((advice,) for advice in preflight.advice))])


def model_rows(preflight: Preflight) -> Iterator[tuple[str, str]]:
    yield "model", preflight.model
    trained, total = format_count(preflight.trained_parameters), format_count(preflight.total_parameters)
    yield "method", f"{preflight.method}, {trained} of {total} parameters"
    yield "runs on", f"{preflight.device} in {preflight.dtype}"
    if preflight.mode != "image":
        yield "prompts", "in the model's chat template" if preflight.mode == "chat" else "as they stand"


def data_sections(data: DataFacts) -> list[Section]:
    rows = [("", f"{'rows':>10}", f"{'tokens':>12}", f"{'trained on':>12}")]
    rows += [(name, f"{split.rows:10,}", f"{split.tokens:12,}", f"{split.trained_tokens:12,}") for name, split in data.splits.items()]
    return [
        Section("Data", rows),
        Section("Remarks on the data", tuple(data_remarks(data))),
        Section("Tokens in a row", tuple(histogram_rows(data.lengths))),
    ]


def picture_sections(data: PictureFacts) -> list[Section]:
    rows = [("", f"{'pictures':>10}", f"{'captions':>10}", f"{'wordless':>10}")]
    rows += [(name, f"{split.rows:10,}", f"{split.captions:10,}", f"{split.wordless:10,}") for name, split in data.splits.items()]
    return [
        Section("Data", rows),
        Section("Remarks on the data", tuple(picture_remarks(data))),
        Section("Learnt at", tuple(bucket_rows(data.buckets))),
    ]


def picture_remarks(data: PictureFacts) -> Iterator[tuple[str, str]]:
    """What is not as one might expect: pictures and what about them."""
    for what, count in data.changes.items():
        yield f"{count:10,}", what
    remarks = (
        (data.cut_captions, "captions longer than what the text encoder reads: the rest is not seen"),
        (data.duplicates, "equal to a picture before"),
        (data.leaked, "both trained on and measured on"),
        (data.left_out, "bad, left out by --skip-bad"),
    )
    for count, what in remarks:
        if count:
            yield f"{count:10,}", what
    if data.sizes:
        yield "", f"as they come, {' to '.join(f'{width} x {height}' for width, height in data.sizes)} pixels"


def bucket_rows(buckets: Sequence[Bucket]) -> Iterator[tuple[str, str, str]]:
    most = max((bucket.rows for bucket in buckets), default=0)
    longest = max(1, min(LONGEST_BAR, room() - 26))
    for bucket in buckets:
        yield f"{bucket.width} x {bucket.height}", f"{bucket.rows:10,}", "━" * -(-bucket.rows * longest // most)


def picture_rows(preflight: Preflight) -> Iterator[tuple[str, str]]:
    yield "file", preflight.sample_origin
    yield "caption", one_line("".join(text for text, _ in preflight.sample), LONGEST_SAMPLE) or "(none: learnt without words)"
    if preflight.sample_size:
        yield "learnt at", "{} x {}".format(*preflight.sample_size)


def data_remarks(data: DataFacts) -> Iterator[tuple[str, str]]:
    """What is not as one might expect: rows and what about them."""
    remarks = (
        (data.in_pieces, f"longer than {data.max_length:,} tokens: learnt in pieces"),
        (data.cut, f"longer than {data.max_length:,} tokens: the rest is cut off"),
        (data.untrained, "left out: nothing can be learnt from them"),
        (data.duplicates, "equal to a row before"),
        (data.leaked, "both trained on and measured on"),
        (data.left_out, "bad, left out by --skip-bad"),
    )
    for count, what in remarks:
        if count:
            yield f"{count:10,}", what


def histogram_rows(bins: Sequence[LengthBin]) -> Iterator[tuple[str, str, str]]:
    most = max((entry.rows for entry in bins), default=0)
    longest = max(1, min(LONGEST_BAR, room() - 26))
    for entry in bins:
        yield f"to {entry.up_to:6,}", f"{entry.rows:10,}", "━" * -(-entry.rows * longest // most)


def write_sample(preflight: Preflight, output: Output) -> None:
    """A row with its own line breaks and indentation; of a long one the beginning."""
    colour, title = output.stdout_colour, f"A row ({preflight.sample_origin}), {marking(output.stdout_colour)}"
    title = sanitize(title) if output.stdout_is_terminal else title
    shown, left_out = shortened(preflight.sample)
    pieces = [(sanitize(text) if output.stdout_is_terminal else text, trained) for text, trained in shown]
    text = coloured(pieces) if colour else bracketed(pieces)
    more = f"\n... and {left_out:,} more characters" if left_out else ""
    output.write(f"\n{BOLD}{title}{RESET}\n" if colour else f"\n{title}\n")
    output.write(f"{text}{more}\n\n")


def marking(colour: bool) -> str:
    return "green where it is trained on" if colour else "⟦between these⟧ where it is trained on"


def shortened(sample: Sequence[Piece]) -> tuple[list[Piece], int]:
    """The first pieces, neighbours of a kind joined, and how many characters were left out."""
    shown, room_left, left_out = [], LONGEST_SAMPLE, 0
    for trained, group in groupby(sample, key=lambda piece: piece[1]):
        text = "".join(text for text, _ in group)
        kept = text[:room_left]
        room_left -= len(kept)
        left_out += len(text) - len(kept)
        if kept:
            shown.append((kept, trained))
    return shown, left_out


def coloured(pieces: Sequence[Piece]) -> str:
    """Each line by itself, so that a pager shows it too."""
    return "".join("\n".join(f"{GREEN}{line}{RESET}" if line else "" for line in text.split("\n")) if on else text for text, on in pieces)


def bracketed(pieces: Sequence[Piece]) -> str:
    return "".join(f"⟦{text}⟧" if trained else text for text, trained in pieces)


def memory_rows(preflight: Preflight) -> Iterator[tuple[str, ...]]:
    for name, size in ((name, size) for name, size in preflight.memory if size):
        yield name, f"{format_size(size):>10}"
    total = "not known" if preflight.total_memory is None else format_size(preflight.total_memory)
    yield "total", f"{total:>10}"
    yield "free", f"{format_size(preflight.free):>10}", FITS[preflight.fits]


def time_rows(preflight: Preflight) -> Iterator[tuple[str, str]]:
    yield "steps", f"{preflight.steps:,}"
    if preflight.seconds is not None:
        yield "about", f"{format_duration(preflight.seconds)} of training"
