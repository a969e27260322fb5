from __future__ import annotations

import random
import unicodedata

import pytest

from aigc_cli.render.sanitize import LONGEST_STRING, ControlFilter, sanitize

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b[2J\x1b[Hb", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1b]52;c;ZWNobyBldmls\x07b", "ab"),
        ("a\x1bP1$r0m\x1b\\b", "ab"),
        ("a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"),
        ("a\x9b31mb\x9d0;title\x9cc\x90dcs\x9cd", "abcd"),
        ("a\x1bcb\x1b(Bc\x1b#8d\x1b=e", "abcde"),
        ("a\x1b]0;title\x1b[31mb", "ab"),  # a sequence in a sequence ends it
        ("a\x1b[3中文", "a中文"),
        ("a\x1b中文", "a中文"),
        ("a\x1b[12\x18b", "ab"),
        ("bell\x07 back\x08 nul\x00 del\x7f next\x85", "bell back nul del next"),
        ("one\r\ntwo\rthree\n\rfour", "one\ntwo\nthree\n\nfour"),
        ("user\u202etxt.exe\u2066", "usertxt.exe"),
        ("cut\x1b", "cut"),
        ("cut\x1b[38;5", "cut"),
        ("kept\tas\nit is: 中文 🙂 e\u0301 👨\u200d👩\u200d👧 [31m ]0;", "kept\tas\nit is: 中文 🙂 e\u0301 👨\u200d👩\u200d👧 [31m ]0;"),
    ],
)
def test_sequences_go_with_their_payload(payload, shown):
    assert sanitize(payload) == shown


def test_an_osc_that_nobody_ends_does_not_swallow_the_answer():
    assert sanitize("a\x1b]0;never ended\nthe next line") == "a\nthe next line"
    assert sanitize("a\x1b]0;" + "x" * LONGEST_STRING + "the rest").endswith("the rest")
    assert sanitize("a\x1b[" + "1;" * 500 + "the rest").endswith("the rest")


def test_no_payload_gets_through_wherever_it_is_cut():
    draw = random.Random(1)
    for _ in range(500):
        payload = "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 8)))
        whole = sanitize(payload)
        assert not [char for char in whole if is_unsafe(char)], repr(payload)
        assert sanitize(whole) == whole
        for at in range(len(payload) + 1):
            control = ControlFilter()
            assert control.feed(payload[:at]) + control.feed(payload[at:]) == whole, repr(payload)
        control = ControlFilter()
        assert "".join(map(control.feed, payload)) == whole, repr(payload)


PIECES = [
    *("\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b_", "\x1b\\", "\x9b", "\x9d", "\x90", "\x9c", "\x07", "\x18", "\r", "\n", "\r\n"),
    *("31m", "0;title", "?1049h", "52;c;ZXZpbA==", "1;1H", "\x1b]8;;http://x\x1b\\", "\x1b]0;evil", "\x00", "\x7f", "\x85"),
    *("\u202e", "\u2066", "text", "中文", "🙂", " ", "(B", "c", "m", ";", "\\", "\u0301"),
]


def is_unsafe(char: str) -> bool:
    return (unicodedata.category(char) == "Cc" and char not in "\n\t") or char in BIDI
