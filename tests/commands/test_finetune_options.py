"""Options of `aigc finetune` that have no effect are refused, before anything is read."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "full", "--lora-rank", "8"), "--lora-rank belongs to --method lora, dora or qlora"),
        (("--method", "freeze", "--train-layers", "last:1", "--target-modules", "q_proj"), "--target-modules belongs to --method"),
        (("--from-scratch", "config.json", "--lora-alpha", "8"), "--lora-alpha belongs to --method"),
        (("--decay", "0.5"), "--decay belongs to --schedule wsd"),
        (("--schedule", "linear", "--decay", "0.5"), "--decay belongs to --schedule wsd"),
        (("--metric-samples", "20"), "--metric-samples belongs to --metric"),
        (("--val-split", "0", "--early-stopping-patience", "3"), "--early-stopping-patience belongs to --val-split or --validation"),
        (("--val-split", "0", "--eval-steps", "3"), "--eval-steps belongs to --val-split or --validation"),
    ],
)
def test_an_option_without_effect_is_refused(run, options, words):
    result = run("finetune", "data.jsonl", "-o", "mine", *options)
    assert (result.status, result.stdout) == (2, "")
    assert f"aigc: {words}" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--lora-rank", "8"),
        ("--method", "dora", "--lora-alpha", "8"),
        ("--schedule", "wsd", "--decay", "0.5"),
        ("--metric", "bleu", "--metric-samples", "2"),
        ("--val-split", "0", "--validation", "data.jsonl", "--eval-steps", "3"),
    ],
)
def test_an_option_with_an_effect_is_taken(run, options):
    result = run("finetune", "data.jsonl", "-o", "mine", *options)
    assert "aigc: data.jsonl: no such file" in result.stderr


def test_in_a_config_file_too(run, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('data = "data.jsonl"\noutput = "mine"\nmethod = "full"\nlora-rank = 8\n')
    result = run("finetune", "--config", file)
    assert result.status == 2
    assert "--lora-rank belongs to --method" in result.stderr


def test_without_anything_the_whole_command_is_shown(run):
    result = run("finetune")
    assert result.status == 2
    assert "there is no data to train on" in result.stderr
    assert "aigc finetune data.jsonl -m MODEL -o mine/" in result.stderr


def test_data_without_a_folder(run):
    assert "there is no folder for the result" in run("finetune", "data.jsonl").stderr
    assert "there is no folder for the result" in run("finetune", "--resume").stderr
