from __future__ import annotations

import base64
import io
import re
import sys

import pytest
from PIL import Image

from aigc_cli.render import terminal_image
from aigc_cli.render.output import Output
from aigc_cli.render.terminal_image import Terminal, cells_for, colour_depth, draw, draw_aside, picture_protocol, rendered
from aigc_cli.render.width import cells

PICTURE = Image.linear_gradient("L").convert("RGB").resize((192, 128))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (
        "COLORTERM",
        "TERM_PROGRAM",
        "KITTY_WINDOW_ID",
        "TMUX",
        "STY",
        "WT_SESSION",
        "KONSOLE_VERSION",
        "LC_TERMINAL",
        "WEZTERM_PANE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environ", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "true"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "true"),
        ({"TERM": "xterm-direct"}, "true"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "256"),
        ({"TERM": "tmux-256color", "COLORTERM": "truecolor", "TMUX": "/tmp/x"}, "true"),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor", "STY": "1.x"}, "256"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "linux"}, "16"),
        ({}, "16"),
    ],
)
def test_colours(environ, depth):
    assert colour_depth(environ) == depth


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210400"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen", "STY": "1.x", "LC_TERMINAL": "iTerm2"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-256color"}, None),
    ],
)
def test_protocols(environ, protocol):
    assert picture_protocol(environ) == protocol


def terminal(protocol=None, depth="true", columns=80, lines=24, cell=(8, 16)):
    return Terminal(columns, lines, cell, depth, protocol)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 24), (10, 24), (80, 6), (2, 8)])
@pytest.mark.parametrize("protocol", [None, "kitty"])
def test_a_picture_fits_the_terminal(columns, lines, protocol):
    for size in ((192, 128), (128, 1024), (1024, 8)):
        wide, high = cells_for(Image.new("RGB", size), terminal(protocol, columns=columns, lines=lines), 60)
        assert 1 <= wide < columns
        assert 1 <= high < lines


class TestKitty:
    def test_png_in_pieces_between_which_nothing_stands(self):
        noise = Image.effect_noise((256, 256), 90).convert("RGB")
        text = rendered(noise, terminal("kitty"), 30)
        codes = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", text)
        assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in codes) + "\n" == text
        assert codes[0][0] == "a=T,f=100,q=2,c=30,r=15,m=1"
        assert [keys for keys, _ in codes[1:]] == ["m=1"] * (len(codes) - 2) + ["m=0"]
        assert max(len(data) for _, data in codes) == 4096
        shown = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in codes))))
        assert shown.size == (240, 240)  # no finer than its cells

    def test_a_small_picture_goes_as_it_is(self):
        [(keys, data)] = re.findall(r"\x1b_G([^;]*);(.*?)\x1b\\", rendered(PICTURE.resize((24, 16)), terminal("kitty"), 30))
        assert keys.endswith("m=0")
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (24, 16)


def test_iterm2_is_told_size_and_place():
    text = rendered(PICTURE, terminal("iterm2"), 30)
    arguments, data = re.fullmatch(r"\x1b\]1337;File=([^:]*):(.*)\a\n", text).groups()
    assert arguments == f"inline=1;size={len(base64.b64decode(data))};width=30;height=10;preserveAspectRatio=1"


def test_sixels_come_from_the_library():
    pytest.importorskip("textual_image")
    text = rendered(PICTURE, terminal("sixel"), 10)
    assert text.startswith('\x1bP0;0;0q"1;1;72;48')  # three rows of 16 pixels high, so narrower than ten columns
    assert text.endswith("\x1b\\\n")


def test_without_their_encoder_there_are_half_blocks_and_a_word_for_those_who_ask(screen, monkeypatch):
    monkeypatch.setattr(terminal_image, "has_sixel_encoder", lambda: False)
    opened = screen(terminal="stdout stderr", verbose=True)
    monkeypatch.setenv("TERM", "foot")
    draw(PICTURE, opened.output, 20)
    assert "▀" in opened.stdout.text
    assert "'.[view]'" in opened.stderr.text.replace("\n", " ")


class TestDraw:
    def test_half_blocks_no_wider_than_asked_or_than_the_terminal(self, screen):
        for asked, expected in ((20, 20), (60, 39), (None, 39)):
            opened = screen(terminal="stdout")
            draw(PICTURE, opened.output, asked)
            lines = opened.stdout.text.splitlines()
            assert {cells(line) for line in lines} == {expected}

    def test_nothing_where_stdout_is_no_terminal(self, screen):
        opened = screen(terminal="stderr")
        draw(PICTURE, opened.output)
        assert (opened.stdout.text, opened.stderr.text) == ("", "")

    def test_without_colours_a_line_says_what_it_is(self, screen, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-kitty")
        opened = screen(terminal="stdout")
        draw(PICTURE, opened.output)
        assert opened.stdout.text == "[picture, 192 x 128]\n"

    def test_a_terminal_that_has_no_half_blocks_gets_that_line_too(self, screen):
        opened = screen(terminal="stdout")
        sys.stdout.reconfigure(encoding="latin-1")
        draw(PICTURE, opened.output)
        assert opened.stdout.text == "[picture, 192 x 128]\n"

    def test_aside_it_goes_to_stderr(self, screen):
        opened = screen(terminal="stdout stderr")
        draw_aside(PICTURE, opened.output, 20)
        assert opened.stdout.text == ""
        assert "▀" in opened.stderr.text
        assert Output(quiet=True).stderr_redraws is False


def test_show_draws_in_a_terminal(tmp_path, screen):
    from aigc_cli.commands.show import draw_picture

    PICTURE.save(tmp_path / "狐狸.png")
    opened = screen(terminal="stdout")
    draw_picture(tmp_path / "狐狸.png", opened.output, after_another=False)
    assert len(opened.stdout.text.splitlines()) == 13
