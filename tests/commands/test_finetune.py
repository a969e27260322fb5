"""`aigc finetune` as a user meets it: each method, what is said on the way, and a result that can be used at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.backends.tiny_adapters import peft_logits
from tests.backends.tiny_models import build_model
from tests.commands.finetuning import BRIEF, changed_weights, finetune, logged, logits, losses
from tests.conftest import Result

Run = Callable[..., Result]
GREEDY = ("--temperature", "0", "--max-new-tokens", "8", "--device", "cpu", "--dtype", "float32", "--json")


def said(result: Result) -> str:
    assert result.status == 0, result.stderr
    return "".join(event["text"] for event in result.events if event["event"] == "text")


def test_an_adapter_is_used_at_once(run: Run, tiny: Path, lora_run: Path) -> None:
    before, after = (run("complete", "what is 3?", "-m", tiny, *more, *GREEDY, input="") for more in ((), ("--adapter", lora_run)))
    assert said(before) != said(after)
    assert after.events[-1]["adapters"] == [str(lora_run)]


def test_peft_reads_the_adapter_and_computes_what_the_run_measured(tiny: Path, lora_run: Path) -> None:
    config = json.loads((lora_run / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (16, 32, str(tiny))
    checkpoint = lora_run / "checkpoints" / "step-00000006"  # the last is the best here, and an adapter too
    torch.testing.assert_close(peft_logits(tiny, lora_run, torch.arange(40)[None]), peft_logits(tiny, checkpoint, torch.arange(40)[None]))
    assert not torch.allclose(peft_logits(tiny, lora_run, torch.arange(40)[None]), logits(tiny), atol=0.1)


def test_a_whole_model_is_used_at_once(run: Run, tiny: Path, full_run: Path) -> None:
    assert said(run("complete", "what is 3?", "-m", full_run, *GREEDY, input="")) != said(
        run("complete", "what is 3?", "-m", tiny, *GREEDY, input="")
    )
    assert not torch.allclose(logits(full_run), logits(tiny), atol=0.01)


@pytest.mark.parametrize("name", ["lora_run", "full_run"])
def test_the_loss_falls_and_is_written_down(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    measured, report = losses(folder), json.loads((folder / "report.json").read_text())
    assert measured[6] < measured[0]
    assert json.loads((folder / "run.json").read_text())["status"] == "complete"
    assert json.loads((folder / "aigc.json").read_text())["mode"] == "chat"
    assert str(round(measured[6], 3))[:4] in (folder / "README.md").read_text("utf-8")
    assert report["training"]["steps"] == 6
    assert not (folder / "data" / "train").exists()
    assert (folder / "data" / "validation").exists()


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        (("--train-layers", "last:1"), {"model.layers.1"}),
        (("--freeze-layers", "first:1"), {"model.layers.1", "model.norm", "lm_head"}),
        (("--freeze-layers", "1"), {"model.embed_tokens", "model.layers.0"}),
    ],
)
def test_freezing_leaves_the_other_weights_as_they_are(options: tuple[str, ...], trained: set[str], tiny: Path, rows: Path) -> None:
    finetune(rows, "-m", tiny, "-o", "mine", "--method", "freeze", *options, "--learning-rate", "0.01", *BRIEF)
    changed = changed_weights(tiny, Path("mine"))
    assert {part for part in trained if any(name.startswith(part) for name in changed)} == trained
    assert all(name.startswith(tuple(trained)) for name in changed)
    assert losses("mine")[6] < losses("mine")[0]


@pytest.mark.parametrize("method", [("full",), ("freeze", "--train-layers", "last:1")])
def test_a_gguf_file_can_be_trained_as_a_whole(run: Run, tiny: Path, rows: Path, method: tuple[str, ...]) -> None:
    assert run("export", tiny, "--to", "gguf", "-o", "base.gguf").status == 0
    finetune(rows, "-m", "base.gguf", "-o", "mine", "--method", *method, *BRIEF)
    assert losses("mine")[6] < losses("mine")[0]
    assert not torch.allclose(logits(Path("mine")), logits(tiny), atol=0.01)
    assert said(run("complete", "what is 3?", "-m", "mine", *GREEDY, input=""))


def test_an_adapter_of_a_mixture_of_experts_is_used_at_once(run: Run, rows: Path) -> None:
    base = build_model(Path("moe"), "glm4_moe")
    result = finetune(rows, "-m", base, "-o", "mine", *BRIEF)
    assert "no adapters for down_proj, gate_proj, up_proj: peft takes these names for the model's experts" in result.stderr
    assert losses("mine")[6] < losses("mine")[0]
    before, after = (run("complete", "what is 3?", "-m", base, *more, *GREEDY, input="") for more in ((), ("--adapter", "mine")))
    assert said(before) != said(after)
    refused = run("finetune", rows, "-m", base, "-o", "mine2", *BRIEF, "--target-modules", "q_proj,up_proj")
    assert (refused.status, "there is: k_proj, o_proj, q_proj, v_proj" in refused.stderr) == (2, True)


def test_dora_is_an_adapter_that_peft_reads(tiny: Path, rows: Path) -> None:
    finetune(rows, "-m", tiny, "-o", "mine", "--method", "dora", "--lora-rank", "4", "--target-modules", "q_proj,v_proj", *BRIEF)
    config = json.loads(Path("mine/adapter_config.json").read_text())
    assert (config["use_dora"], sorted(config["target_modules"])) == (True, ["q_proj", "v_proj"])
    assert losses("mine")[6] < losses("mine")[0]
    assert isinstance(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), "mine"), PeftModel)


def test_the_events_and_their_order(tiny: Path, rows: Path) -> None:
    events = finetune(rows, "-m", tiny, "-o", "mine", *BRIEF, "--json").events
    kinds = [event["event"] for event in events if event["event"] not in ("progress", "warning")]
    measured = ["train_step"] * 3 + ["eval", "eval", "checkpoint"]
    assert kinds == ["planned", "loaded", "eval", "eval", "answer", *measured, *measured, "answer", "done"]
    assert all(list(event)[:2] == ["event", "t"] for event in events)
    steps = [event for event in events if event["event"] == "train_step"]
    assert [(step["step"], step["steps"]) for step in steps] == [(number, 6) for number in range(1, 7)]
    for field in ("loss", "learning_rate", "tokens", "tokens_per_second", "grad_norm", "epoch"):
        assert all(math.isfinite(step[field]) and step[field] > 0 for step in steps), field
    assert [step["tokens"] for step in steps] == sorted(step["tokens"] for step in steps)
    checkpoint = next(event for event in events if event["event"] == "checkpoint")
    assert checkpoint.keys() >= {"step", "path", "best"}
    assert Path(checkpoint["path"]).is_dir()
    done = events[-1]
    assert (done["finish_reason"], done["seed"], done["model"], done["dtype"]) == ("max_steps", 0, str(tiny), "float32")
    assert [kept["event"] for kept in logged_all("mine")] == kinds[2:-1]


def logged_all(folder: str) -> list[dict[str, Any]]:
    lines = Path(folder, "log.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] != "warning"]


def test_what_is_shown_without_a_terminal(run: Run, tiny: Path, rows: Path) -> None:
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert result.status == 0
    for words in ("before: validation loss", "step 6/6", "checkpoint, the best so far"):
        assert words in result.stderr
    for words in ("16.4K of 60.6K parameters", "validation loss", "The answer is", f"aigc chat -m {tiny} --adapter mine"):
        assert words in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_the_same_seed_gives_the_same_run_and_another_another(dropping: Path, rows: Path) -> None:
    for name, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        finetune(rows, "-m", dropping, "-o", name, "--method", "full", "--seed", seed, *BRIEF)
    assert logged("one", "train_step") == logged("again", "train_step") != logged("other", "train_step")


def test_the_answers_shown_are_those_of_the_result(run: Run, tiny: Path, lora_run: Path) -> None:
    before, after = logged(lora_run, "answer")
    assert (before["step"], after["step"]) == (0, 6)
    asked = ("complete", before["prompt"], "-m", tiny, "--instruct", *GREEDY[:2], "--max-new-tokens", "4", *GREEDY[4:])
    assert said(run(*asked, input="")) == before["text"]
    assert said(run(*asked, "--adapter", lora_run, input="")) == after["text"]


def test_a_dry_run_leaves_nothing_behind(run: Run, tiny: Path, rows: Path) -> None:
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF, "--dry-run", "--json")
    assert (result.status, list(Path().iterdir())) == (0, [])
    found = result.events[-1]
    assert (found["event"], found["steps"], found["data"]["splits"]["train"]["rows"]) == ("preflight", 6, 39)
    learnt, given = ("".join(piece["text"] for piece in found["sample"] if piece["trained"] is trained) for trained in (True, False))
    assert learnt.startswith("The answer is")
    assert "what is" in given
