"""Captions, from the file beside a picture or from a row of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aigc_cli.data.row import BYTE_ORDER_MARK, BadRowError, encoding_error, kind_of
from aigc_cli.data.split import content_bytes

CAPTION_KEYS = ("text", "caption", "captions", "prompt")  # the first that a row has is taken
MAX_CAPTION = 2**16  # bytes; more is another kind of file
TOO_LONG = f"a caption of more than {MAX_CAPTION // 2**10} KiB"


def read_caption(path: Path) -> str:
    """The whole of the file is one caption, also where it has several lines; blanks at its ends are left out.

    Raises: BadRowError for what cannot be read or is no text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CAPTION + 1).removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise BadRowError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from None
    if len(raw) <= MAX_CAPTION and (wrong := encoding_error(raw)):
        raise BadRowError(wrong.replace("the row", str(path)))
    return cleaned(raw.decode("utf-8", "replace"))


def captions_in(row: dict[str, Any]) -> tuple[str, ...]:
    """The captions in a row of an index: a text, or in JSON a list of texts. An empty text stands for none, and must be there.

    Raises: BadRowError.
    """
    key = next((key for key in CAPTION_KEYS if row.get(key) is not None), None)
    if key is None:
        raise BadRowError(f"no caption: it has none of {', '.join(CAPTION_KEYS)}; an empty text learns the picture without words")
    value = row[key]
    if not value and isinstance(value, list):
        raise BadRowError(f"{key} is an empty list")
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise BadRowError(f"{key} {'holds' if text is not value else 'is'} {kind_of(text)}, it should be text or a list of texts")
    return tuple(map(cleaned, texts))


def cleaned(text: str) -> str:
    """With line ends and edges that make no difference. Raises: BadRowError for what no caption is."""
    if len(content_bytes([text])) > MAX_CAPTION:
        raise BadRowError(TOO_LONG)
    return text.replace("\r\n", "\n").strip()
