"""What `aigc finetune` refuses: with status 2 unless said otherwise, naming the line or the option, before a model is loaded."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aigc_cli.picture_data.find import only_pictures
from tests.backends.tiny_models import build_model
from tests.commands.finetuning import BRIEF, exchanges, write_rows
from tests.conftest import Result

Run = Callable[..., Result]


@pytest.fixture
def refused(run: Run, tiny: Path) -> Callable[..., str]:
    """Runs what must be refused, and gives what is said; nothing may be left behind."""

    def call(data: str | Path, *options: str | Path, status: int = 2, model: str | Path = tiny) -> str:
        result = run("finetune", data, "-m", model, "-o", "mine", *BRIEF, *options)
        assert (result.status, result.stdout) == (status, ""), result.stderr
        assert "Traceback" not in result.stderr
        assert not Path("mine").exists()
        return result.stderr

    return call


def lines(*rows: Any) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def chat(*turns: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


GOOD = exchanges(2)
TALK = chat(("user", "你好"), ("assistant", "你好！"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there is no row in data.jsonl"),
        (b"\n \n", "there is no row in data.jsonl"),
        (lines(*GOOD, {"text": "of another shape"}, *exchanges(3, 5)), "data.jsonl:3: "),
        (lines(*GOOD, {"id": 3, "名字": "x"}), "data.jsonl:3: no known format has the keys id, 名字"),
        (lines(*GOOD, b'{"prompt": "x", \n', GOOD[0]), "data.jsonl:3: broken JSON at character"),
        (lines(*GOOD, '{"prompt": "你", "completion": "好"}\n'.encode("gb18030")), "data.jsonl:3: not UTF-8 at byte"),
        (lines(TALK, {"messages": "hello"}), "data.jsonl:2: messages is text, it should be a list of messages"),
        (lines(TALK, {"messages": ["hello"]}), "data.jsonl:2: message 1 is text, it should be an object with role and content"),
        (lines(TALK, chat(("user", 3), ("assistant", "x"))), "data.jsonl:2: message 1: content is a number, it should be text"),
        (lines(TALK, chat(("user", "x"), ("assistant", None))), "data.jsonl:2: message 2: content is null"),
        (lines(TALK, chat(("user", "x"), ("robot", "y"))), "data.jsonl:2: message 2 has the unknown role 'robot'"),
        (lines(TALK, chat(("user", "x"), ("user", "y"))), "data.jsonl:2: messages has no assistant turn"),
        (lines(TALK, {"messages": []}), "data.jsonl:2: messages is empty"),
        (lines(*[{"prompt": "x", "chosen": "a", "rejected": "b"}] * 3), "preference pairs (chosen and rejected)"),
        (lines({"prompt": "x"}, {"prompt": "y"}), "no row has a format that is known; the keys that were found: prompt"),
        (lines(*GOOD, {"prompt": "x"}), "data.jsonl:3: it has prompt, but no completion"),
        (lines(*GOOD, {"prompt": "x", "completion": " "}), "data.jsonl:3: completion is empty"),
    ],
)
def test_data_that_cannot_be_trained_on(content: bytes, words: str, refused: Callable[..., str]) -> None:
    Path("data.jsonl").write_bytes(content)
    assert words in refused("data.jsonl")


def test_all_bad_rows_are_counted_and_twenty_shown(refused: Callable[..., str]) -> None:
    said = refused(write_rows("data.jsonl", [*GOOD, *[{"prompt": "x", "completion": 1}] * 30]))
    assert "30 of 32 rows cannot be trained on" in said
    assert "... and 10 more" in said
    assert said.count("data.jsonl:") == 20


def test_an_archive_cut_short(refused: Callable[..., str]) -> None:
    whole = lzma.compress(lines(*exchanges(3000)))
    Path("data.jsonl.xz").write_bytes(whole[: len(whole) // 2])
    said = refused("data.jsonl.xz")
    assert "data.jsonl.xz" in said
    assert "cut" in said or "ends" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--val-split", "1.0"), "--val-split 1 would leave nothing to train on"),
        (("--val-split", "0.6", "--test-split", "0.5"), "--val-split and --test-split together"),
        (("--learning-rate", "0"), "--learning-rate"),
        (("--learning-rate", "nan"), "--learning-rate"),
        (("--epochs", "0"), "--epochs"),
        (("--batch-size", "0"), "--batch-size"),
        (("--lora-rank", "0"), "--lora-rank"),
        (("--max-length", "100000"), "--max-length 100000 is more than the model's context of 256 tokens"),
        (("--target-modules", "q_proj,Wqkv"), "--target-modules: no matrix of this model is called 'Wqkv'"),
        (("--target-modules", "lm_head2"), "there is: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        (("--method", "freeze"), "--method freeze wants --freeze-layers or --train-layers"),
        (("--method", "freeze", "--train-layers", "last:3"), "'last:3' names layers that the model does not have"),
        (("--method", "freeze", "--freeze-layers", "first:2"), "--freeze-layers leaves nothing to train"),
        (("--train-layers", "last:1"), "--train-layers belongs to --method freeze"),
        (("--method", "magic"), "magic"),
        (("--raw", "--instruct"), "--raw and --instruct contradict each other"),
        (("--validation", "absent.jsonl"), "absent.jsonl: no such file or folder"),
        (("--device", "cuda:7"), "cuda:7"),
        (("--optimizer", "sgd"), "--optimizer sgd wants a --learning-rate"),
        (("--resume",), "there is no run in mine"),
        (("--vocab-size", "300"), "--vocab-size belongs to --from-scratch"),
    ],
)
def test_options_out_of_place(options: tuple[str, ...], words: str, refused: Callable[..., str], rows: Path) -> None:
    assert words in refused(rows, *options)


def test_a_missing_file_and_a_folder_without_data(refused: Callable[..., str]) -> None:
    assert "absent.jsonl: no such file or folder" in refused("absent.jsonl")
    Path("papers").mkdir()
    Path("papers/a.pdf").touch()
    assert "papers: there is no data in this folder" in refused("papers")
    assert "data cannot be read from this kind of file" in refused("papers/a.pdf")


def test_an_empty_stdin(run: Run, tiny: Path) -> None:
    assert "stdin is empty" in run("finetune", "-", "-m", tiny, "-o", "mine", *BRIEF, input="").stderr
    result = run("finetune", "-", "-m", tiny, "-o", "mine", *BRIEF, input=None)
    assert (result.status, Path("mine").exists()) == (2, False)
    assert "there is nothing on stdin to train on" in result.stderr


def test_models_that_cannot_be_trained(refused: Callable[..., str], rows: Path, tiny: Path) -> None:
    assert "openai:gpt-9 is at a remote endpoint" in refused(rows, model="openai:gpt-9")
    assert "is an encoder-decoder" in refused(rows, model=build_model(Path("t5"), "t5"))
    Path("pipeline").mkdir()
    Path("pipeline/model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    said = refused(rows, model="pipeline", status=3)
    assert "pipeline" in said
    bare = Path(shutil.copytree(tiny, "bare"))
    for file in bare.glob("*token*"):
        file.unlink()
    assert "tokenizer" in refused(rows, model=bare, status=3)
    assert "absent/model" in refused(rows, model="./absent/model", status=3)


def test_no_folder_for_the_result(run: Run, tiny: Path, rows: Path) -> None:
    result = run("finetune", rows, "-m", tiny)
    assert (result.status, "name one: -o mine/" in result.stderr) == (2, True)


def test_an_error_is_an_event_too(run: Run, tiny: Path) -> None:
    write_rows("data.jsonl", [*GOOD, {"prompt": 1, "completion": "x"}])
    result = run("finetune", "data.jsonl", "-m", tiny, "-o", "mine", *BRIEF, "--json")
    assert result.status == 2
    error = result.events[-1]
    assert (error["event"], error["status"]) == ("error", 2)
    assert "data.jsonl:3: prompt is a number, it should be text" in error["message"]


@pytest.fixture
def captioned(own_home: Path) -> Path:
    """A folder of pictures with captions, in the working folder."""
    folder = Path("my 图片")
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"第{number}只猫", "utf-8")
    return folder


@pytest.mark.parametrize("besides", [None, "README.md", "metadata.jsonl"])
def test_pictures_are_not_taken_for_texts(run: Run, captioned: Path, besides: str | None) -> None:
    if besides:
        (captioned / besides).write_text('{"file_name": "0.png", "text": "一只猫"}\n', "utf-8")
    result = run("finetune", captioned, "-m", "builtin:text", "-o", "mine")
    assert (result.status, Path("mine").exists()) == (2, False)
    assert f"{captioned} holds pictures, and without --image only texts are learnt" in result.stderr
    assert "aigc finetune 'my 图片' --image -m MODEL -o FOLDER" in result.stderr


def test_pictures_without_captions_are_not_either(run: Run, captioned: Path) -> None:
    for path in captioned.glob("*.txt"):
        path.unlink()
    assert "holds pictures, and without --image" in run("finetune", captioned, "-m", "builtin:text", "-o", "mine").stderr


@pytest.mark.parametrize("text", ["9.txt", "notes.md", "rows.jsonl"])
def test_texts_among_pictures_are_data(captioned: Path, text: str) -> None:
    assert only_pictures([str(captioned)]) == captioned
    (captioned / text).write_text("words", "utf-8")
    assert only_pictures([str(captioned)]) is None
    assert only_pictures([str(captioned / "0.txt")]) is None
