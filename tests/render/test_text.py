from __future__ import annotations

import contextlib

import pytest

from aigc_cli.core.events import Caution, Done, Loaded, Progress, ReasoningDelta, TextDelta
from aigc_cli.render.chat import render_answer
from aigc_cli.render.output import DIM, RESET
from aigc_cli.render.text import details, figures, render_text, show_figures

DONE = Done(finish_reason="stop", completion_tokens=3)
EVIL = "a\x1b]0;evil\x07\x1b[31mb\u202e 你好 🙂\r\n[bold]"


def text(*pieces: str, index: int = 0) -> list[TextDelta]:
    return [TextDelta(text=piece, index=index) for piece in pieces]


def done(*reasons: str) -> Done:
    return Done(finish_reason=reasons[0], finish_reasons=reasons, completion_tokens=9)


class TestInAPipe:
    def test_bytes_are_exact_and_nothing_is_added(self, screen):
        opened = screen()
        assert render_text([*text(EVIL), DONE], opened.output) == DONE
        assert opened.stdout.buffer.getvalue() == EVIL.encode()
        assert opened.stderr.text == ""

    def test_completions_come_in_order_with_a_separator_between(self, screen):
        opened = screen()
        events = [
            *text("b1", index=1),
            *text("a1 "),
            *text("c1", index=2),
            *text(" b2", index=1),
            *text("a2"),
            done("stop", "stop", "stop"),
        ]
        render_text(events, opened.output)
        assert opened.stdout.text == "a1 a2\n---\nb1 b2\n---\nc1"

    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            (text("b", index=1), "\n---\nb\n---\n"),
            (text("a"), "a\n---\n\n---\n"),
            (text("c", index=2), "\n---\n\n---\nc"),
            ([], "\n---\n\n---\n"),
        ],
    )
    def test_an_empty_completion_keeps_its_place(self, screen, events, expected):
        opened = screen()
        render_text([*events, done("stop", "stop", "stop")], opened.output)
        assert opened.stdout.text == expected

    def test_another_separator(self, screen):
        opened = screen()
        render_text([*text("甲"), *text("乙", index=1), done("stop", "stop")], opened.output, "＊＊＊")
        assert opened.stdout.text == "甲\n＊＊＊\n乙"

    def test_thoughts_stay_out_of_the_result(self, screen):
        opened = screen()
        render_text([ReasoningDelta(text="hm"), *text("answer"), DONE], opened.output)
        assert opened.stdout.text == "answer"
        assert opened.stderr.text == "hm\n"

    def test_thoughts_of_later_completions_wait_with_them(self, screen):
        opened = screen()
        render_text(
            [ReasoningDelta(text="second", index=1), ReasoningDelta(text="first"), *text("a"), *text("b", index=1), DONE], opened.output
        )
        assert opened.stdout.text == "a\n---\nb"
        assert opened.stderr.text == "first\nsecond\n"

    def test_a_failure_leaves_what_was_written(self, screen):
        def events():
            yield from text("half")
            raise RuntimeError

        opened = screen()
        with pytest.raises(RuntimeError):
            render_text(events(), opened.output)
        assert opened.stdout.text == "half"

    def test_colour_may_be_forced_but_not_into_the_result(self, screen, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        opened = screen()
        render_text([*text("answer"), done("length")], opened.output)
        assert opened.stdout.text == "answer"
        assert opened.stderr.text.startswith(DIM)


class TestOnATerminal:
    def test_control_characters_are_dropped_also_when_cut(self, screen):
        for pieces in ([EVIL], list(EVIL)):
            opened = screen(terminal="stdout stderr")
            render_text([*text(*pieces), DONE], opened.output)
            assert opened.stdout.text == "ab 你好 🙂\n[bold]\n"

    def test_a_newline_is_added_unless_there_is_one(self, screen):
        for answer, expected in (("end", "end\n"), ("end\n", "end\n"), ("", "")):
            opened = screen(terminal="stdout")
            render_text([*text(answer), DONE], opened.output)
            assert opened.stdout.text == expected

    def test_a_sequence_left_open_spares_the_next_completion(self, screen):
        opened = screen(terminal="stdout")
        render_text([*text("a\x1b]0;open"), *text("b", index=1), done("stop", "stop")], opened.output)
        assert opened.stdout.text == "a\n---\nb\n"

    def test_thoughts_are_dim_and_on_lines_of_their_own(self, screen):
        opened = screen(terminal="stdout stderr")
        render_text([ReasoningDelta(text="hm"), *text("answer"), DONE], opened.output)
        assert opened.stdout.text == "answer\n"
        assert opened.stderr.text == f"{DIM}hm{RESET}\n"

    def test_no_color_is_honoured(self, screen, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        opened = screen(terminal="stdout stderr")
        render_text([ReasoningDelta(text="hm"), Caution(message="careful"), *text("answer"), done("length")], opened.output)
        assert "\x1b" not in opened.stdout.text + opened.stderr.text

    def test_an_interruption_ends_the_line(self, screen):
        def events():
            yield from text("half")
            raise KeyboardInterrupt

        opened = screen(terminal="stdout stderr")
        with pytest.raises(KeyboardInterrupt):
            render_text(events(), opened.output)
        assert opened.stdout.text == "half\n"


@pytest.mark.parametrize("render", [render_text, render_answer])
@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt, None])
def test_a_bar_is_wiped_off_however_the_stream_ends(screen, render, end):
    def events():
        yield Progress(phase="download", done=5, total=10)
        if end:
            raise end

    opened = screen(terminal="stdout stderr")
    with pytest.raises(end) if end else contextlib.nullcontext():
        render(events(), opened.output)
    assert "50%" in opened.stderr.text
    assert opened.stderr.text.endswith("\r\x1b[K")


def test_a_length_stop_is_said_for_one_and_for_many(screen):
    opened = screen()
    render_text([*text("a"), done("length")], opened.output)
    assert opened.stderr.text == "aigc: stopped at 9 tokens, before the model had ended (--max-new-tokens)\n"
    opened = screen()
    render_text([*text("a"), done("stop", "length", "length")], opened.output)
    assert opened.stderr.text == "aigc: 2 of 3 completions stopped before the model had ended (--max-new-tokens)\n"


def test_quiet_leaves_the_result_and_cautions(screen):
    opened = screen(quiet=True)
    events = [ReasoningDelta(text="hm"), *text("a"), Done(finish_reason="length", kept=5, dropped=7)]
    render_text(events, opened.output)
    assert opened.stdout.text == "a"
    assert opened.stderr.text == "aigc: the input was cut: 5 tokens kept, 7 dropped\n"


def test_verbose_says_what_was_loaded_and_what_it_took(screen):
    opened = screen(verbose=True)
    loaded = Loaded(model="tiny", device="cpu", dtype="float32", seconds=0.5, reason="no GPU here")
    render_text([loaded, *text("a"), DONE], opened.output)
    assert opened.stderr.text == "tiny on cpu in float32, loaded in 0.50 s (no GPU here)\n3 tokens · ended by stop\n"


def test_only_what_is_known_is_said():
    bare = Done(finish_reason="stop")
    assert (figures(bare), details(bare)) == ([], ["ended by stop"])
    assert figures(Done(finish_reason="stop", completion_tokens=3, seed=0)) == ["3 tokens", "seed 0"]


def test_figures_are_for_a_person_at_a_terminal(screen):
    done = Done(finish_reason="stop", completion_tokens=3, tokens_per_second=42.04, seed=7)
    in_a_pipe = screen()
    show_figures(done, in_a_pipe.output)
    assert in_a_pipe.stderr.text == ""
    at_terminal = screen(terminal="stderr")
    show_figures(done, at_terminal.output)
    assert at_terminal.stderr.text == f"{DIM}3 tokens · 42.0 tokens/s · seed 7{RESET}\n"


def test_completions_in_a_pipe_from_the_command_line(run, fake):
    fake.replies[:] = ["\x1b[31m红 red"]
    result = run("complete", "-n", "2", "--separator", "==", "prompt", input="")
    assert result.stdout == "\x1b[31m红 red\n==\n\x1b[31m红 red"
    assert result.status == 0
