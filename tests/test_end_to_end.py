"""The command as a process of its own, on the model that ships with it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[1]
BUILT_IN = ROOT / "aigc_cli/builtin/text"
AIGC = [sys.executable, "-m", "aigc_cli"]

Aigc = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_text_flows_through_and_nothing_else(aigc: Aigc) -> None:
    result = aigc("complete", "--max-new-tokens", "20", "--seed", "7", input=b"Tom has a red ball. One day")
    assert result.returncode == 0
    assert len(result.stdout.decode().split()) > 8
    assert result.stderr == b"aigc: stopped at 20 tokens, before the model had ended (--max-new-tokens)\n"


def test_greedy_text_is_what_transformers_makes(aigc: Aigc) -> None:
    result = aigc("complete", "Once upon a time", "--temperature", "0", "--max-new-tokens", "40", "--dtype", "float32")
    tokenizer = AutoTokenizer.from_pretrained(BUILT_IN)
    inputs = tokenizer("Once upon a time", return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(BUILT_IN, dtype=torch.float32)
    expected = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=40)
    assert result.stdout.decode() == tokenizer.decode(expected[0, inputs.shape[1] :], skip_special_tokens=True)


def test_events_and_text_say_the_same(aigc: Aigc) -> None:
    options = ("--seed", "3", "--max-new-tokens", "30", "--dtype", "float32")
    events = [json.loads(line) for line in aigc("chat", "Tell me a story.", "--json", *options).stdout.splitlines()]
    plain = aigc("chat", "Tell me a story.", *options).stdout.decode()
    assert [event["event"] for event in events][:: len(events) - 1] == ["loaded", "done"]
    assert "".join(event["text"] for event in events if event["event"] == "text") == plain
    assert (events[-1]["seed"], events[-1]["mode"], events[-1]["dtype"]) == (3, "chat", "float32")


def test_the_model_ships_within_its_size_and_answers_as_its_card_says() -> None:
    files = list(BUILT_IN.iterdir())
    assert sum(file.stat().st_size for file in files) < 12_000_000
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "CREDITS.txt"} <= {file.name for file in files}
    card = (BUILT_IN / "README.md").read_text()
    model = AutoModelForCausalLM.from_pretrained(BUILT_IN)
    assert f"{model.num_parameters() / 1e6:.2f} million parameters" in card


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_ends_it_quietly(number: signal.Signals) -> None:
    draw = random.Random(number)
    for _ in range(15):
        command = [*AIGC, "complete", "Once upon a time", "--min-new-tokens", "700"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
        time.sleep(0.3 + draw.random() * 5)  # before 0.3 s Python itself may still be starting
        process.send_signal(number)
        sent = time.monotonic()
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], stderr
        assert time.monotonic() - sent < 5
        assert b"Traceback" not in stderr
