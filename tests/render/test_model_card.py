from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import yaml
from markdown_it import MarkdownIt

from aigc_cli.render.model_card import escaped, model_card
from tests.training_run import HOSTILE, MODEL, training_report


def front_matter(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card[4:].partition("\n---\n")[0])


def test_the_hub_reads_what_it_is():
    card = model_card(training_report(), title="mine", hub_id="Qwen/Qwen3-0.6B")
    assert front_matter(card) == {
        "base_model": "Qwen/Qwen3-0.6B",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["aigc", "lora"],
    }
    assert 'AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")' in card


def test_what_is_not_known_is_left_out():
    card = model_card(training_report(model=dataclasses.replace(MODEL, method="full")), title="mine")
    assert front_matter(card) == {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["aigc", "full"]}
    assert "aigc chat -m ." in card
    assert "peft import" not in card


def test_it_has_figures_settings_and_no_folders():
    card = model_card(training_report(), title="新的模型")
    assert "# 新的模型\n" in card
    assert "| validation loss | 3.914 | 1.200 | -2.714 better |" in card.replace("\\", "")
    assert "| learning-rate | 0.0002 |" in card
    assert "数据.jsonl" in card
    assert "someone" not in card


def test_a_model_in_a_folder_keeps_its_place_to_itself():
    card = model_card(training_report(model=dataclasses.replace(MODEL, name="/home/someone/qwen base")), title="mine")
    assert "aigc chat -m 'qwen base' --adapter ." in card
    assert "someone" not in card


def test_what_a_model_says_cannot_leave_its_block():
    report = training_report()
    pair = dataclasses.replace(report.answers[0], tuned="```\n# a heading\n<b>bold</b>\n````")
    card = model_card(dataclasses.replace(report, answers=(pair,)), title="mine")
    tokens = MarkdownIt("commonmark").parse(card.partition("\n---\n")[2])
    blocks = [token.content for token in tokens if token.type == "fence"]
    assert "```\n# a heading\n<b>bold</b>\n````\n" in blocks
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings == ["mine", "How to use it", "Before and after", "Answer 1", "Data", "Training"]
    assert not [token for token in tokens if token.type == "html_block"]
    assert "\x1b" not in card


@pytest.mark.parametrize("text", [HOSTILE, "# 1", "- x", "1. first", "a_b*c*[d](e)", "<b>", "&amp;", "a|b"])
def test_escaped_text_shows_itself(text):
    inline = MarkdownIt("commonmark").parse(escaped(text))
    shown = "".join(child.content for child in inline[1].children if child.type in ("text", "text_special"))
    assert [token.type for token in inline] == ["paragraph_open", "inline", "paragraph_close"]
    assert shown == text.replace("\x1b]0;evil\x07", "")
