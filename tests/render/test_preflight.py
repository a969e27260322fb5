from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from aigc_cli.render.preflight import LONGEST_SAMPLE, render_preflight
from aigc_cli.training.preflight import Preflight
from tests.training_run import DATA

PREFLIGHT = Preflight(
    model="builtin:text",
    method="lora",
    mode="chat",
    device="cpu",
    dtype="bfloat16",
    trained_parameters=130_000,
    total_parameters=5_500_000,
    data=DATA,
    sample=(("<|user|>\n北京？\n<|assistant|>", False), ("首都。\n", True), ("yes<|end|>", True), ("\x1b[2J", False)),
    sample_origin="数据.jsonl:3",
    memory=(("weights", 11 * 2**20), ("activations", 300 * 2**20)),
    free=2**30,
    steps=356,
    seconds=754.0,
)


def written(screen, preflight=PREFLIGHT, **options):
    opened = screen(**options)
    render_preflight(preflight, opened.output)
    return opened.stdout.text


def test_in_a_pipe_brackets_mark_what_is_trained(screen):
    text = written(screen)
    assert "A row (数据.jsonl:3), ⟦between these⟧ where it is trained on\n<|user|>\n北京？\n<|assistant|>⟦首都。\nyes<|end|>⟧" in text
    assert re.search(r"method +lora, 130K of 5\.5M parameters", text)
    assert re.search(r"train +950 +120,000 +60,000", text)
    assert re.search(r"12 +longer than 512 tokens: the rest is cut off", text)
    assert re.search(r"1 +both trained on and measured on", text)
    assert re.search(r"to +32 +30 +━", text)
    assert re.search(r"total +311\.0 MiB", text)
    assert re.search(r"free +1\.0 GiB +it fits", text)
    assert re.search(r"about +12 min 34 s", text)


def test_on_a_terminal_colour_marks_it_line_by_line_and_nothing_drives_it(screen):
    text = written(screen, terminal="stdout")
    assert "\x1b[32m首都。\x1b[0m\n\x1b[32myes<|end|>\x1b[0m" in text
    assert "⟦" not in text
    assert "\x1b[2J" not in text


def test_without_colour_a_terminal_gets_brackets(screen, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "⟦首都。" in written(screen, terminal="stdout")


@pytest.mark.parametrize("width", [20, 60])
def test_bars_keep_to_the_width(screen, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = written(screen, terminal="stdout")
    assert all(line.count("━") < width for line in text.splitlines())


def test_a_long_row_is_shown_in_part_and_said_to_be(screen):
    text = written(screen, replace(PREFLIGHT, sample=(("字" * (LONGEST_SAMPLE + 1500), True),)))
    assert text.count("字") == LONGEST_SAMPLE
    assert "... and 1,500 more characters" in text


def test_what_does_not_fit_comes_with_advice(screen):
    tight = replace(PREFLIGHT, free=2**20, seconds=None, advice=("--gradient-checkpointing: 120 MiB",))
    text = written(screen, tight)
    assert "it does not fit" in text
    assert "To make it fit\n  --gradient-checkpointing: 120 MiB" in text
    assert "about" not in text


def test_in_json_it_is_plain_values():
    value = json.loads(json.dumps(PREFLIGHT.to_json()))
    assert value["memory"] == {"weights": 11 * 2**20, "activations": 300 * 2**20}
    assert value["total_memory"] == 311 * 2**20
    assert value["fits"] is True
    assert value["sample"][1] == {"text": "首都。\n", "trained": True}
    assert value["data"]["splits"]["train"]["rows"] == 950
