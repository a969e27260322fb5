"""Data as `aigc finetune` takes them: every format, from files, folders and stdin; splits, packing, what is cut."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.finetuning import BRIEF, exchanges, finetune, logged, losses, token_count, write_rows
from tests.conftest import Result

Run = Callable[..., Result]
QUICK = (*BRIEF, "--max-steps", "1", "--samples", "0")


def questions(count: int) -> list[tuple[str, str]]:
    return [(row["prompt"], row["completion"]) for row in exchanges(count)]


FORMATS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {  # what the report calls it, how the model is asked, rows
    "text": ("text", "raw", [{"text": f"{question} {answer}"} for question, answer in questions(12)]),
    "prompt and completion": ("completion", "chat", exchanges(12)),
    "instruction": ("instruction", "chat", [{"instruction": "Answer.", "input": q, "output": a} for q, a in questions(12)]),
    "messages": (
        "chat",
        "chat",
        [
            {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": q}, {"role": "assistant", "content": a}]}
            for q, a in questions(12)
        ],
    ),
    "conversations": (
        "chat",
        "chat",
        [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in questions(12)],
    ),
}


def report(folder: str = "mine") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "report.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_trained_on(name: str, tiny: Path) -> None:
    row_format, mode, rows = FORMATS[name]
    finetune(write_rows("data.jsonl", rows), "-m", tiny, "-o", "mine", *QUICK)
    assert report()["data"]["row_format"] == row_format
    assert json.loads(Path("mine/aigc.json").read_text())["mode"] == mode
    facts = report()["data"]["splits"]["train"]
    assert facts["rows"] == 11
    assert facts["trained_tokens"] in range(facts["tokens"] // 10, facts["tokens"] * 3 // 4) or name == "text"


def csv_file(path: Path, delimiter: str) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(exchanges(12))
    return path


def parquet_file(path: Path) -> Path:
    table = pytest.importorskip("pyarrow").Table.from_pylist(exchanges(12))
    pytest.importorskip("pyarrow.parquet").write_table(table, path)
    return path


def packed_file(path: Path, open_it: Callable[..., Any]) -> Path:
    with open_it(path, "wb") as file:
        file.write(write_rows("plain.jsonl", exchanges(12)).read_bytes())
    return path


def json_file(path: Path) -> Path:
    path.write_text(json.dumps(exchanges(12), ensure_ascii=False, indent=1), "utf-8")
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: csv_file(Path("数据.csv"), ","),
        lambda: csv_file(Path("data.tsv"), "\t"),
        lambda: json_file(Path("data.json")),
        lambda: parquet_file(Path("data.parquet")),
        lambda: packed_file(Path("data.jsonl.gz"), gzip.open),
        lambda: packed_file(Path("data.jsonl.xz"), lzma.open),
    ],
    ids=["csv", "tsv", "json", "parquet", "gz", "xz"],
)
def test_the_kind_of_file_makes_no_difference(make: Callable[[], Path], tiny: Path, plain_steps: list[dict[str, Any]]) -> None:
    finetune(make(), "-m", tiny, "-o", "mine", *QUICK)
    assert logged("mine", "train_step") == plain_steps


@pytest.fixture(scope="module")
def plain_steps(tiny: Path) -> list[dict[str, Any]]:
    """What training on the twelve rows of a .jsonl file is like."""
    folder = tiny.parent / "plain"
    finetune(write_rows(tiny.parent / "plain.jsonl", exchanges(12)), "-m", tiny, "-o", folder, *QUICK)
    return logged(folder, "train_step")


def test_a_pipe_makes_no_difference(tiny: Path, plain_steps: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in exchanges(12))
    finetune("-", "-m", tiny, "-o", "mine", *QUICK, input=text)
    assert logged("mine", "train_step") == plain_steps


def test_running_text_and_a_folder_of_files(run: Run, tiny: Path) -> None:
    Path("corpus/部分").mkdir(parents=True)
    Path("corpus/a.txt").write_text("床前明月光，疑是地上霜。\n\n举头望明月，低头思故乡。\n" * 3, "utf-8")
    Path("corpus/部分/b.md").write_text("# The fox\n\nThe quick brown fox jumps over the lazy dog.\n", "utf-8")
    Path("corpus/photo.png").write_bytes(b"")
    result = run("finetune", "corpus", "-m", tiny, "-o", "mine", *QUICK)
    assert result.status == 0, result.stderr
    assert "not read as data: corpus/photo.png" in result.stderr
    assert [file["path"] for file in report()["data"]["files"]] == ["corpus/a.txt", "corpus/部分/b.md"]


def test_texts_and_conversations_are_learnt_together_where_that_is_asked_for(run: Run, tiny: Path) -> None:
    write_rows("texts.jsonl", FORMATS["text"][2])
    write_rows("talks.jsonl", FORMATS["messages"][2][:4])
    asked = ("finetune", "texts.jsonl", "talks.jsonl", "-m", tiny, "-o", "mine", *QUICK)
    result = run(*asked)
    assert (result.status, "--mix learns rows of several formats together" in result.stderr) == (2, True)
    result = run(*asked, "--mix")
    assert result.status == 0, result.stderr
    assert report()["data"]["row_format"] == "text and chat"
    assert sum(split["rows"] for split in report()["data"]["splits"].values()) == 16


def test_files_named_for_validation_and_test(tiny: Path, rows: Path) -> None:
    write_rows("validation.jsonl", exchanges(5, first=100))
    write_rows("test.jsonl", exchanges(3, first=200))
    finetune(rows, "-m", tiny, "-o", "mine", "--validation", "validation.jsonl", "--test", "test.jsonl", *BRIEF)
    assert {split: facts["rows"] for split, facts in report()["data"]["splits"].items()} == {"train": 40, "validation": 5, "test": 3}
    assert sorted(losses("mine")) == [0, 3, 6]
    assert sorted(losses("mine", "test")) == [0, 6]


def test_shares_are_kept_back_for_validation_and_test(tiny: Path, rows: Path) -> None:
    finetune(rows, "-m", tiny, "-o", "mine", "--val-split", "0.3", "--test-split", "0.2", *QUICK)
    found = {split: facts["rows"] for split, facts in report()["data"]["splits"].items()}
    assert sum(found.values()) == 40
    assert all(found[split] > 2 for split in ("train", "validation", "test"))


def test_rows_of_the_validation_file_that_are_trained_on_are_said(run: Run, tiny: Path, rows: Path) -> None:
    write_rows("validation.jsonl", exchanges(4, first=38))
    result = run("finetune", rows, "-m", tiny, "-o", "mine", "--validation", "validation.jsonl", *QUICK)
    assert "2 rows that are trained on also stand in the files for validation or test" in result.stderr
    assert report()["data"]["leaked"] == 2


def test_packed_rows_learn_the_same_rows_in_fewer_steps(tiny: Path, rows: Path) -> None:
    options = (*BRIEF[: BRIEF.index("--max-steps")], "--epochs", "1", "--batch-size", "2", "--eval-steps", "10", "--samples", "0")
    for name, packing in (("packed", ("--packing",)), ("plain", ())):
        finetune(rows, "-m", tiny, "-o", name, *packing, *options)
    packed, plain = (logged(name, "train_step") for name in ("packed", "plain"))
    assert len(packed) < len(plain) / 2
    assert packed[-1]["tokens"] == plain[-1]["tokens"]  # each row once
    assert losses("packed")[0] == losses("plain")[0] > losses("packed")[len(packed)]


def test_rows_that_are_too_long_are_cut_and_counted(run: Run, tiny: Path) -> None:
    long = {"prompt": "Say it.", "completion": "the dog sleeps " * 400}
    write_rows("data.jsonl", [*exchanges(11), long])
    result = run("finetune", "data.jsonl", "-m", tiny, "-o", "mine", *QUICK)
    assert result.status == 0
    assert "rows longer than 256 tokens: 1; " in result.stderr
    assert report()["data"]["cut"] == 1


def test_of_a_text_that_is_longer_than_the_context_nothing_is_lost(tiny: Path) -> None:
    text = " ".join(f"{number} 举头望明月，the fox does not." for number in range(120))
    write_rows("data.jsonl", [*({"text": f"第{number}"} for number in range(5)), {"text": text}])
    finetune("data.jsonl", "-m", tiny, "-o", "mine", "--validation", write_rows("held-out.jsonl", [{"text": "床前明月光"}]), *QUICK)
    facts = report()["data"]
    assert facts["cut"] == 0
    assert facts["splits"]["train"]["trained_tokens"] >= token_count(tiny, text) > 5 * 256


def test_rows_whose_answer_is_cut_off_are_left_out_and_named(run: Run, tiny: Path) -> None:
    write_rows("data.jsonl", [*exchanges(11), {"prompt": "the dog sleeps " * 400, "completion": "好"}])
    result = run("finetune", "data.jsonl", "-m", tiny, "-o", "mine", *QUICK)
    assert result.status == 0
    assert "nothing can be learnt, left out: 1 (data.jsonl:12: " in result.stderr
    assert "a longer --max-length may keep the answers" in result.stderr
    assert report()["data"]["untrained"] == 1


@pytest.fixture
def without_system(tiny: Path) -> Path:
    """A model whose chat template knows no system prompt, as Gemma 2."""
    model = Path(shutil.copytree(tiny, "without-system"))
    template = (model / "chat_template.jinja").read_text("utf-8")
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    (model / "chat_template.jinja").write_text(refusal + template, "utf-8")
    return model


def conversations(count: int, first: int = 0, *, system: bool) -> list[dict[str, Any]]:
    said = [{"role": "system", "content": "Be short."}] if system else []
    return [
        {"messages": [*said, {"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in exchanges(count, first)
    ]


def test_rows_that_the_chat_template_refuses_are_left_out_and_not_asked(run: Run, without_system: Path) -> None:
    rows = write_rows("data.jsonl", conversations(12, system=False))
    held_out = write_rows("held-out.jsonl", [*conversations(8, 100, system=True), *conversations(2, 200, system=False)])
    result = run("finetune", rows, "-m", without_system, "-o", "mine", "--validation", held_out, *QUICK, "--samples", "2")
    assert result.status == 0, result.stderr
    assert "left out: 8 (held-out.jsonl:1: the model's chat template refuses this conversation: System role" in result.stderr
    assert "--max-length" not in result.stderr
    assert {answer["prompt"] for answer in logged("mine", "answer")} == {row["prompt"] for row in exchanges(2, 200)}
    dry = run("finetune", rows, "-m", without_system, "-o", "mine2", "--validation", held_out, *QUICK, "--dry-run")
    assert "8  left out: nothing can be learnt from them" in dry.stdout


def test_data_of_which_nothing_can_be_learnt(run: Run, tiny: Path, without_system: Path) -> None:
    result = run("finetune", write_rows("system.jsonl", conversations(3, system=True)), "-m", without_system, "-o", "mine", *QUICK)
    assert (result.status, "nothing can be learnt from any row" in result.stderr) == (2, True)
    assert "--max-length" not in result.stderr
    long = [{"prompt": "the dog sleeps " * 400, "completion": str(number)} for number in range(3)]
    result = run("finetune", write_rows("long.jsonl", long), "-m", tiny, "-o", "mine", *QUICK)
    assert (result.status, "a longer --max-length may keep the answers" in result.stderr) == (2, True)


def test_one_row_is_enough_but_nothing_can_be_measured(run: Run, tiny: Path) -> None:
    result = run("finetune", write_rows("data.jsonl", exchanges(1)), "-m", tiny, "-o", "mine", *BRIEF)
    assert result.status == 0
    assert "there is one row: nothing is kept back for validation" in result.stderr
    assert (len(logged("mine", "train_step")), losses("mine")) == (6, {})


def test_bad_rows_are_left_out_on_request(run: Run, tiny: Path) -> None:
    write_rows("data.jsonl", [*exchanges(12), {"prompt": 3, "completion": "x"}, {"text": "of another shape"}])
    refused = run("finetune", "data.jsonl", "-m", tiny, "-o", "mine", *QUICK)
    assert (refused.status, Path("mine").exists()) == (2, False)
    result = run("finetune", "data.jsonl", "-m", tiny, "-o", "mine", "--skip-bad", *QUICK)
    assert result.status == 0
    assert "2 of 14 rows are bad and left out" in result.stderr
    rejected = [json.loads(line) for line in Path("mine/rejects.jsonl").read_text("utf-8").splitlines()]
    assert [reject["line"] for reject in rejected] == [13, 14]
    assert rejected[0]["error"] == "prompt is a number, it should be text"
    dry = run("finetune", "data.jsonl", "-m", tiny, "--skip-bad", "--dry-run", *QUICK)
    assert (dry.status, "rejects" in dry.stderr) == (0, False)
    assert "data.jsonl:13: prompt is a number, it should be text" in dry.stderr
    assert report()["data"]["left_out"] == 2
