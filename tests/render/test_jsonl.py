from __future__ import annotations

import json

from aigc_cli.core.events import Done, Loaded, ReasoningDelta, TextDelta
from aigc_cli.render.jsonl import render_json
from aigc_cli.render.sanitize import UNSAFE


def test_every_event_is_one_line_with_its_name_first(screen):
    opened = screen(json=True)
    done = Done(finish_reason="stop", t=1.25)
    loaded = Loaded(model="m", device="cpu", dtype="float32", seconds=0.1)
    render_json([loaded, ReasoningDelta(text="hm"), TextDelta(text="你好\n\x1b[31m", t=0.5), done], opened.output)
    lines = opened.stdout.text.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["event"] * 4
    assert [json.loads(line)["event"] for line in lines] == ["loaded", "reasoning", "text", "done"]
    assert json.loads(lines[2]) == {"event": "text", "t": 0.5, "text": "你好\n\x1b[31m", "index": 0}
    assert opened.stderr.text == ""


def test_a_line_is_safe_for_a_terminal_and_one_line_for_every_reader(screen):
    opened = screen(terminal="stdout", json=True)
    text = "你好\x1b[31m\x9b\x7f\u202e\x85\u2028\ud800🙂"
    render_json([TextDelta(text=text)], opened.output)
    assert not UNSAFE.search(opened.stdout.text.rstrip("\n"))
    assert "你好" in opened.stdout.text
    (line,) = opened.stdout.text.splitlines()
    assert json.loads(line)["text"] == text


def test_fields_that_are_not_known_are_left_out(screen):
    opened = screen(json=True)
    render_json([Done(finish_reason="stop")], opened.output)
    assert "ttft" not in json.loads(opened.stdout.text)


def test_json_from_the_command_line(run, fake):
    fake.replies[:] = ["红 red"]
    result = run("complete", "--json", "prompt", input="")
    assert "".join(event["text"] for event in result.events if event["event"] == "text") == "红 red"
    assert result.events[-1]["event"] == "done"
