"""Pictures in the terminal: by its own protocol where it has one, else as half blocks in the colours that it has.

What a terminal can is told by its environment. To ask it would mean to read from stdin what others may want to read, and to wait
for those that do not answer.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TextIO

from aigc_cli.core.extras import install_hint
from aigc_cli.render.half_blocks import HALF_BLOCK, Depth, half_blocks
from aigc_cli.render.output import Output, stderr_columns

if TYPE_CHECKING:
    from PIL import Image

Protocol = Literal["kitty", "iterm2", "sixel"]
PROGRAMS: dict[str, Protocol | None] = {  # by TERM_PROGRAM, which no terminal passes on as its own, as it may the other variables
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "mintty": "iterm2",
    "ghostty": "kitty",
    "contour": "sixel",
    "Apple_Terminal": None,
    "vscode": None,  # can, but only where its user said so
}
SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
KONSOLE_WITH_KITTY = 220_400  # as KONSOLE_VERSION writes it
WIDEST = 60  # cells, where the caller does not say
CELL = (10, 20)  # pixels, of a terminal that does not tell: the VT340's
CHUNK = 4096  # bytes that one of kitty's escape codes holds


@dataclass(frozen=True)
class Terminal:
    """What one stream's terminal can. columns, lines: its size.  cell: width and height of a character in pixels.

    depth: None for no colours.  protocol: None for no pictures.
    """

    columns: int
    lines: int
    cell: tuple[int, int]
    depth: Depth | None
    protocol: Protocol | None


def draw(image: Image.Image, output: Output, columns: int | None = None) -> None:
    """Shows a picture on stdout, so many cells wide, narrower where the terminal is; nothing where stdout is no terminal."""
    if output.stdout_is_terminal:
        terminal = terminal_of(sys.stdout, shutil.get_terminal_size().columns, output.stdout_colour)
        say_what_is_missing(output)
        output.write(rendered(image, terminal, columns))


def draw_aside(image: Image.Image, output: Output, columns: int | None = None) -> None:
    """As draw, on stderr's terminal."""
    if output.stderr_redraws:
        say_what_is_missing(output)
        output.paint(rendered(image, stderr_terminal(output), columns))


def stderr_terminal(output: Output) -> Terminal:
    return terminal_of(sys.stderr, stderr_columns(), output.stderr_colour)


def terminal_of(stream: TextIO, columns: int, colour: bool, environ: Mapping[str, str] = os.environ) -> Terminal:
    can_half_blocks = encodes(stream, HALF_BLOCK)
    depth = colour_depth(environ) if colour and can_half_blocks else None
    protocol = picture_protocol(environ) if colour else None
    if protocol == "sixel" and not has_sixel_encoder():
        protocol = None
    return Terminal(columns, shutil.get_terminal_size().lines, cell_size(stream), depth, protocol)


def encodes(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def colour_depth(environ: Mapping[str, str]) -> Depth:
    """How many colours the terminal has, by COLORTERM and TERM."""
    term = environ.get("TERM", "")
    is_screen = term.startswith("screen") and "TMUX" not in environ  # hands COLORTERM on, and knows 256
    has_true_colour = environ.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct") or "WT_SESSION" in environ
    if has_true_colour and not is_screen:
        return "true"
    return "256" if "256color" in term or environ.get("TERM_PROGRAM") == "Apple_Terminal" else "16"


def picture_protocol(environ: Mapping[str, str]) -> Protocol | None:
    """What the terminal draws pictures with, if it does; None within tmux and screen, which keep it from that."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if "TMUX" in environ or "STY" in environ or term.startswith(("tmux", "screen")):
        return None
    if program in PROGRAMS:
        return PROGRAMS[program]
    konsole = environ.get("KONSOLE_VERSION", "")
    if term in ("xterm-kitty", "xterm-ghostty") or "KITTY_WINDOW_ID" in environ:
        return "kitty"
    if konsole.isdecimal() and int(konsole) >= KONSOLE_WITH_KITTY:
        return "kitty"
    if environ.get("LC_TERMINAL") == "iTerm2" or "WEZTERM_PANE" in environ:
        return "iterm2"
    return "sixel" if term.startswith(SIXEL_TERMS) or term.endswith("-sixel") else None


def has_sixel_encoder() -> bool:
    return find_spec("textual_image") is not None


def say_what_is_missing(output: Output) -> None:
    """A terminal of sixels gets half blocks where their encoder is not installed: no error, and said to those who ask."""
    if picture_protocol(os.environ) == "sixel" and not has_sixel_encoder():
        output.detail(f"this terminal shows sixels: for finer pictures, {install_hint('view')}")


def cell_size(stream: TextIO) -> tuple[int, int]:
    """Pixels of a character, as far as the terminal tells the system."""
    try:
        import fcntl  # not on Windows
        import struct
        import termios

        size = fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError):
        return CELL
    lines, columns, width, height = struct.unpack("HHHH", size)
    return (width // columns, height // lines) if lines and columns and width >= columns and height >= lines else CELL


def rendered(image: Image.Image, terminal: Terminal, columns: int | None = None) -> str:
    """What shows the picture, its last line ended. Without colours that is a line with its size."""
    if terminal.protocol is None and terminal.depth is None:
        return f"[picture, {image.width} x {image.height}]\n"
    columns, rows = cells_for(image, terminal, columns)
    match terminal.protocol:
        case "kitty":
            return kitty(image, terminal, columns, rows)
        case "iterm2":
            return iterm2(image, terminal, columns, rows)
        case "sixel":
            return sixel(image, terminal, columns, rows)
    assert terminal.depth
    return "".join(f"{line}\n" for line in half_blocks(image, columns, terminal.depth))


def cells_for(image: Image.Image, terminal: Terminal, columns: int | None) -> tuple[int, int]:
    """Columns and rows that the picture takes, its sides in proportion; it leaves one of each free."""
    width, height = terminal.cell if terminal.protocol else (1, 2)  # half blocks are not measured
    proportion = image.height / image.width * width / height  # rows for a column
    widest = min(columns or WIDEST, terminal.columns - 1, int((terminal.lines - 1) / proportion))
    columns = max(1, widest)
    return columns, max(1, round(columns * proportion))


def kitty(image: Image.Image, terminal: Terminal, columns: int, rows: int) -> str:
    """kitty's graphics protocol: PNG in pieces, answers off (sw.kovidgoyal.net/kitty/graphics-protocol)."""
    data = base64.b64encode(png(image, terminal, columns, rows)).decode()
    pieces = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    codes = [f"m={int(number < len(pieces))};{piece}" for number, piece in enumerate(pieces, start=1)]
    codes[0] = f"a=T,f=100,q=2,c={columns},r={rows},{codes[0]}"
    return "".join(f"\x1b_G{each}\x1b\\" for each in codes) + "\n"


def iterm2(image: Image.Image, terminal: Terminal, columns: int, rows: int) -> str:
    """iTerm2's inline images (iterm2.com/documentation-images.html)."""
    data = png(image, terminal, columns, rows)
    arguments = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={arguments}:{base64.b64encode(data).decode()}\a\n"


def sixel(image: Image.Image, terminal: Terminal, columns: int, rows: int) -> str:
    """DEC's sixels. The library's public classes ask the terminal as they are imported and print through Rich alone."""
    from textual_image._sixel import image_to_sixels

    return f"{image_to_sixels(fitted(image, terminal, columns, rows))}\n"


def png(image: Image.Image, terminal: Terminal, columns: int, rows: int) -> bytes:
    """The picture, no finer than the terminal shows it: each byte goes over the line. Smaller ones are enlarged there."""
    width, height = columns * terminal.cell[0], rows * terminal.cell[1]
    file = io.BytesIO()
    (fitted(image, terminal, columns, rows) if image.width > width or image.height > height else image).save(file, "PNG")
    return file.getvalue()


def fitted(image: Image.Image, terminal: Terminal, columns: int, rows: int) -> Image.Image:
    """The picture in as many pixels as its cells have, its sides in proportion."""
    from PIL import Image

    scale = min(columns * terminal.cell[0] / image.width, rows * terminal.cell[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
