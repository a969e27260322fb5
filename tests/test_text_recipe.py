"""The recipe of the built-in language model: what it learns from and what it never sees, its configs, and how it is measured."""

from __future__ import annotations

import json
import lzma
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from aigc_cli.backends.train.text.scratch import build_model, read_blueprint
from aigc_cli.commands.finetune_request import make_request
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.models.catalogue import BUILTINS
from aigc_cli.store.train_config import read_config

RECIPES = Path(__file__).parents[1] / "recipes"
BUILT_IN = BUILTINS["builtin:text"].path
STORY = "Once upon a time, there was a {0} named {1}. {1} the {0} played in the park. " + "The sun was warm and the grass was green. " * 5
NAMES = ("Lily", "Tom", "Ben", "Sue", "Max", "Amy", "Zoe", "Leo", "Mia", "Sam", "Anna", "Finn")
THINGS = ("cat", "dog", "owl", "fox", "bear", "frog", "duck", "fish", "goat", "lion")


def talk(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows: dict[str, list[dict[str, Any]]] = {
        "text/tinystories": [{"text": STORY.format(thing, name)} for thing in THINGS for name in NAMES],
        "text/storybooks": [
            {"lang": "en", "text": f"Book {n} “tells” much.", "title": f"Title {n}", "author": "A", "translator": "T"} for n in range(10)
        ],
        "text/fairytaleqa": [{"sections": [f"Tale {n} begins.", "It ends."]} for n in range(10)],
        "text/books_children": [{"text": "\n\n".join("A long chapter. " * 40 for _ in range(8))}],
        "text/factbook_en": [{"country": "France", "facts": [["Government / Capital / name", "Paris"]]}],
        "chat/chitchat_en": [{"style": "friendly", **talk(f"How do you like number {n}?", "Very much.")} for n in range(100)],
        "chat/instruct_mix": [{"src": "chatterbot-corpus", **talk("What is a duck?", "A bird.")}],
    }
    for name, records in rows.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with lzma.open(folder / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return folder


@pytest.fixture(scope="module")
def corpus(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("corpus")
    run("corpus.py", data, output)
    return output


def run(script: str, *args: Path | str) -> str:
    return subprocess.run([sys.executable, RECIPES / "text" / script, *args], check=True, capture_output=True, text=True).stdout


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def said_in(file: Path) -> set[str]:
    return {text for row in rows(file) for text in ([row["text"]] if "text" in row else [m["content"] for m in row["messages"]])}


def test_the_same_data_give_the_same_rows(data: Path, corpus: Path, tmp_path: Path) -> None:
    run("corpus.py", data, tmp_path)
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*.*"))
    assert len(files) == 3 * 2 + 5 + 1
    assert all((tmp_path / file).read_bytes() == (corpus / file).read_bytes() for file in files)


def test_what_is_held_out_is_in_no_pass(corpus: Path) -> None:
    learnt = {text for file in corpus.glob("pass-*/*.jsonl") for text in said_in(file)}
    for name in ("stories", "fairy-tales", "picture-books"):
        held_out = said_in(corpus / "heldout" / f"{name}.jsonl")
        assert held_out, name
        assert not held_out & learnt
    for name in ("requests", "small-talk"):
        asked = rows(corpus / "heldout" / f"{name}.jsonl")
        assert asked, name
        texts = " ".join(learnt)
        place = 1 if name == "requests" else 0
        assert not [row for row in asked if row["messages"][place]["content"] in texts]


def test_passes_repeat_the_stories_and_draw_the_rest_anew(corpus: Path) -> None:
    first, second = (said_in(corpus / f"pass-{number}" / "texts.jsonl") for number in (1, 2))
    stories = {text for text in first if text.startswith("Once")}
    assert stories == {text for text in second if text.startswith("Once")}
    assert first - stories != second - stories
    assert 'Book 1 "tells" much.' in said_in(corpus / "heldout" / "picture-books.jsonl") | first | second
    assert "Title 1 - A, translated by T" in (corpus / "CREDITS.txt").read_text("utf-8")


def test_the_configs_are_what_the_model_in_the_package_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RECIPES.parent)
    path = Path("recipes/builtin-text.toml")
    blueprint = read_blueprint(path)
    tokenizer = AutoTokenizer.from_pretrained(BUILT_IN)
    made, shipped = build_model(blueprint, tokenizer, 0, torch.bfloat16), AutoModelForCausalLM.from_pretrained(BUILT_IN)
    assert {name: weight.shape for name, weight in made.state_dict().items()} == {n: w.shape for n, w in shipped.state_dict().items()}
    assert made.config.rope_parameters == shipped.config.rope_parameters
    assert blueprint.turns is not None
    assert blueprint.turns.chat_template == tokenizer.chat_template
    assert {blueprint.turns.end_of_turn, *blueprint.turns.special_tokens} <= set(tokenizer.all_special_tokens)
    sampling = {name: getattr(shipped.generation_config, name) for name in blueprint.generation}
    assert sampling == blueprint.generation
    short, long = (requested(RECIPES / name) for name in ("builtin-text.toml", "builtin-text-long.toml"))
    assert long.model == read_config(path)["output"]
    assert short.data.max_length is not None
    for stage in (short, long):
        assert stage.pace.batch_size * (stage.data.max_length or 0) == 8192


def requested(path: Path) -> FinetuneRequest:
    values = {name: value for name, value in read_config(path).items() if name not in ("output", "dtype")}
    request = make_request(values, str(values.get("from_scratch") or values["model"]), image=False)
    assert isinstance(request, FinetuneRequest)
    return request


def test_bits_per_byte_are_those_of_transformers(tmp_path: Path) -> None:
    text = "A " + "Once upon a time there was a café. 猫 " * 40  # byte 800 is within a character
    (tmp_path / "stories.jsonl").write_text(json.dumps({"text": text}) + "\n" + json.dumps({"text": "A cat."}), "utf-8")
    (tmp_path / "talks.jsonl").write_text(json.dumps(talk("Hello!", "Hi! How are you?")), "utf-8")
    found = {line.split(" | ")[0].strip("| "): line for line in run("evaluate.py", BUILT_IN, tmp_path, "--figures").splitlines()[2:]}
    tokenizer, model = AutoTokenizer.from_pretrained(BUILT_IN), AutoModelForCausalLM.from_pretrained(BUILT_IN, dtype=torch.float32)

    def bits(written: str, learnt_from: int = 1) -> float:
        ids = tokenizer(written, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            losses = model(ids).logits[0, :-1].log_softmax(-1)
        return -float(losses.gather(1, ids[0, 1:, None])[learnt_from - 1 :].sum()) / math.log(2)

    cut = text.encode()[:800].decode(errors="ignore")
    assert len(cut.encode()) < 800
    size = len(cut.encode()) + 6
    expected = (bits("<|endoftext|>" + cut) + bits("<|endoftext|>A cat.")) / size
    assert found["stories"] == f"| stories | 2 | {size:,} | {expected:.3f} |"
    prompt = "<|endoftext|><|user|>Hello!<|end|><|assistant|>"
    length = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    answer = bits(prompt + "Hi! How are you?<|end|>", length) / len("Hi! How are you?")
    assert found["talks"] == f"| talks | 1 | 16 | {answer:.3f} |"
