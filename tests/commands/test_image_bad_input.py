"""What `aigc image` refuses: with a word on what is wrong, status 2, and before a model is opened where that can be."""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import PngImagePlugin

from aigc_cli.core.errors import UsageError
from aigc_cli.models.catalogue import BUILTINS
from tests.commands.imaging import OUT, draw, drawn, names, picture, records, refused, write
from tests.conftest import Result, run_here
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.txt", "", "empty.txt holds no prompt"),
        ("none.txt", "# only\n\n# remarks\n", "none.txt holds no prompt"),
        ("empty.csv", "prompt,steps\n", "empty.csv holds no prompt"),
        ("text.csv", "text,steps\nfox,3\n", "text.csv: the header names no column 'prompt'"),
        ("column.csv", "prompt,stepps\nfox,3\n", "column.csv: there is no column 'stepps', did you mean steps?"),
        ("twice.csv", "prompt,steps,steps\nfox,3,4\n", "the header names the column 'steps' twice"),
        ("rows.csv", "prompt,steps\n" + "fox,4\n" * 15 + "狐狸,abc\n", "rows.csv:17: steps: 'abc' is no whole number"),
        ("rows.csv", "prompt,steps\nfox,0\n", "rows.csv:2: steps must be at least 1 and at most 1000, not 0"),
        ("rows.csv", "prompt,width\nfox,99999\n", "rows.csv:2: width must be"),
        ("rows.csv", "prompt,n\nfox,0\n", "rows.csv:2: n: must be at least 1, not 0"),
        ("rows.csv", "prompt,strength\nfox,0.5\n", "rows.csv:2: strength belongs to init_image"),
        ("rows.csv", "prompt,scheduler\nfox,eulr\n", "rows.csv:2: scheduler: "),
        ("rows.csv", "prompt,seed\nfox,4294967296\n", "rows.csv:2: seed must be"),
        ("rows.csv", "prompt,init_image\nfox,gone.png\n", "rows.csv:2: init_image: gone.png: no such file"),
        (
            "rows.csv",
            "prompt,filename\nfox,../../etc/x\n",
            "rows.csv:2: filename: '../../etc/x' is a path: pictures stay in the output folder",
        ),
        ("rows.csv", "prompt,filename\nfox,CON\n", "rows.csv:2: filename: 'CON' is the name of a device on Windows"),
        ("rows.csv", "prompt,filename\nfox," + "狐" * 100 + "\n", "takes 300 bytes, 240 are the limit"),
        ("rows.csv", "prompt,filename\nfox," + "狐" * 100 + "\n", f"filename: '{'狐' * 50}…{'狐' * 20}' takes"),
        ("rows.csv", "prompt,init_image\nfox," + "a" * 300 + "\n", f"rows.csv:2: init_image: {'a' * 50}…{'a' * 20}: file name too long"),
        ("rows.csv", "prompt,filename\nfox,a.jpg\n", "ends in .jpg, but .png files are written"),
        ("rows.txt", "a {red|blue house\n", "rows.txt:1: the prompt's { at character 3 has no partner"),
        ("rows.txt", "a __animal__\n", "rows.txt:1: there is no folder to look for the wildcard __animal__ in"),
        ("rows.jsonl", '{"prompt": ""}\n', "rows.jsonl:1: prompt: empty"),
        ("rows.jsonl", '{"prompt": "fox", "steps": [3]}\n', "rows.jsonl:1: steps: a list, not one value"),
        ("rows.jsonl", '{"prompt": "fox"\n', "rows.jsonl:1: "),
        ("rows.xlsx", "x", "rows.xlsx: prompts cannot be read from this kind of file"),
    ],
)
def test_files_of_prompts(name: str, content: str, words: str) -> None:
    said = refused("--prompts", write(name, content), "--seed", 7)
    assert words in said.replace("\n      ", " ")
    assert not OUT.exists()


def test_lines_that_are_left_out_are_counted_for_those_who_ask() -> None:
    prompts = write("猫.txt", "# one\n#two\ncat\n\n#艺术\n")
    assert "猫.txt: 3 lines that begin with # are left out" in draw("--prompts", prompts, "-v", "--seed", 7).stderr
    assert "#" not in draw("--prompts", prompts, "--seed", 8).stderr
    assert "lines that begin with # are no prompts" in run_here("image", "--prompts", write("none.txt", "# only\n")).stderr
    assert len(drawn()) == 2


def test_a_file_that_is_no_utf_8_or_not_there() -> None:
    Path("gbk.txt").write_bytes("狐狸\n".encode("gb18030"))
    assert "gbk.txt:1: not UTF-8" in refused("--prompts", "gbk.txt")
    assert "gone.txt" in refused("--prompts", "gone.txt")
    Path("folder.txt").mkdir()
    assert "cannot be read from a folder" in refused("--prompts", "folder.txt")


def test_a_scheduler_that_lacks_a_package_is_neither_offered_nor_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "scipy" else real(name, *rest))
    assert "--scheduler lms needs the package scipy, which is not installed\n      pip install scipy" in refused(
        "fox", "--scheduler", "LMS"
    )
    assert "lms" not in refused("fox", "--scheduler", "lsm").replace("'lsm'", "")


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_prompt(text: str | None) -> None:
    said = refused(input=text) if text != "  \n" else refused("  ", input=text)
    assert "there is no prompt to draw" in said
    assert "--prompts FILE" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--prompts", "猫.txt", "fox"), "--prompts and a prompt contradict each other"),
        (("--prompts", "猫.txt", "--from", "x.png"), "--prompts and --from contradict each other"),
        (("fox", "--steps", "0"), "--steps must be"),
        (("fox", "--seed", "-1"), "--seed must be"),
        (("fox", "--width", "99999"), "--width must be"),
        (("fox", "-n", "0"), "-n must be at least 1"),
        (("fox", "-n", "200000"), "that makes 200,000 pictures, and a run draws 100,000 at most"),
        (("fox", "--batch-size", "0"), "--batch-size must be auto or a number from 1 on, not '0'"),
        (("fox", "--batch-size", "many"), "--batch-size must be auto or a number from 1 on, not 'many'"),
        (("fox", "--strength", "0.5"), "--strength belongs to --init-image"),
        (("fox", "--mask", "红.png"), "--mask belongs to --init-image"),
        (("fox", "--outpaint", "8"), "--outpaint belongs to --init-image"),
        (("fox", "--init-image", "红.png", "--mask", "红.png", "--outpaint", "8"), "--mask and --outpaint contradict each other"),
        (("fox", "--init-image", "gone.png"), "--init-image gone.png: no such file"),
        (("fox", "--adapter", "gone.safetensors:0.7"), "--adapter gone.safetensors: no such file or folder"),
        (("fox", "--vae", "gone"), "--vae gone: no such file or folder"),
        (("fox", "--scheduler", "eulr"), "eulr"),
        (("fox", "--matrix", "steps"), "--matrix steps: an option and its values are wanted"),
        (("fox", "--matrix", "steps=1,x"), "--matrix steps: 'x' is no whole number"),
        (("fox", "--matrix", "n=1,2"), "--matrix cannot change n"),
        (("fox", "--steps", "3", "--matrix", "steps=1,2"), "--steps is given, and --matrix steps too"),
        (("fox", "--quality", "80"), "--quality belongs to --format jpeg or webp"),
        (("fox", "--quality", "101", "--format", "jpeg"), "--quality must be"),
        (("fox", "--filename", "{nothing}"), "the file name template has no field {nothing}"),
        (("fox", "--filename", "../{slug}"), "is a path: pictures stay in the output folder"),
        (("fox", "--filename", ""), "is empty"),
        (("fox", "--best-of", "1"), "--best-of must be at least 2"),
        (("fox", "--keep", "2"), "--keep belongs to --best-of"),
        (("fox", "--init-image", "."), "--init-image . is a folder, not a picture"),
        (("fox", "--filename", "{seed}.jpg"), "--filename: '{seed}.jpg' ends in .jpg, but .png files are written"),
        (("fox", "--draft-steps", "2"), "--draft-steps belongs to --best-of"),
        (("fox", "--best-of", "4", "--keep", "5"), "--keep must be"),
        (("fox", "--best-of", "4", "-n", "2"), "-n and --best-of contradict each other"),
        (("fox", "--aesthetic", "gone.safetensors"), "--aesthetic gone.safetensors: no such file"),
        (("a __bird__", "--wildcards", "."), "there is no wildcard 'bird'"),
        (("a {b", "--seed", "3"), "has no partner"),
        (("fox", "--format", "gif"), "gif"),
        (("fox", "--stepps", "3"), "--stepps"),
        (("--from", "gone.png"), "there is no file gone.png"),
        (("--from", "红.png"), "红.png does not tell how it was made\n      aigc, A1111 and ComfyUI write it into the file"),
        (("--from", "broken.png"), "broken.png does not tell how it was made: what it holds as 'aigc' cannot be read"),
        (("--from", "a" * 300), f"aigc: {'a' * 50}…{'a' * 20} cannot be read: file name too long\n"),
        (("fox", "--init-image", "a" * 300), f"aigc: {'a' * 50}…{'a' * 20}: file name too long\n      check the path\n"),
        (("fox", "--filename", "狐" * 100), f"the file name template '{'狐' * 50}…{'狐' * 20}' takes 300 bytes"),
        (("fox", "-o", "a" * 300), f"aigc: {'a' * 50}…{'a' * 20}: file name too long\n"),
    ],
)
def test_options(options: tuple[str, ...], words: str) -> None:
    write("猫.txt", "cat\n")
    picture("红.png")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("aigc", "{broken")
    picture("broken.png", pnginfo=chunks)
    assert words in refused(*options)
    assert not OUT.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-n", "2"), "-o - is for one picture, and that makes 2"),
        (("--grid",), "--grid needs a folder, and -o - is stdout"),
        (("--webpage",), "--webpage needs a folder"),
        (("--overwrite",), "--overwrite needs a folder"),
    ],
)
def test_stdout_takes_one_picture(options: tuple[str, ...], words: str) -> None:
    assert words in refused("fox", "-o", "-", *options)


def test_json_and_a_picture_do_not_share_stdout(run: Run) -> None:
    result = run("image", "fox", "-o", "-", "--json")
    assert (result.status, "--json and -o - both want stdout" in result.stderr) == (2, True)


def test_several_rows_do_not_go_to_stdout() -> None:
    assert "-o - is for one picture, and that makes 2" in refused("--prompts", write("猫.txt", "cat\ndog\n"), "-o", "-")
    assert "--skip-bad needs a folder" in refused("--prompts", "猫.txt", "-o", "-", "--skip-bad")


@pytest.mark.parametrize("name", ["fox.png", "狐狸.JPG", "out/a.webp"])
def test_an_output_that_looks_like_a_file(name: str) -> None:
    assert f"-o takes a folder, and {name} looks like a file" in refused("fox", "-o", name)
    assert not Path(name).exists()


def test_an_output_folder_that_is_a_file_or_below_one() -> None:
    OUT.write_text("mine")
    assert "out is a file, not a folder" in refused("fox")
    assert "out/below cannot be written" in refused("fox", "-o", "out/below")
    rows = write("rows.csv", "prompt,steps\nfox,abc\ncat,3\n")
    assert "out/below cannot be written" in refused("--prompts", rows, "--skip-bad", "-o", "out/below")
    assert OUT.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_is_read_only() -> None:
    OUT.mkdir(mode=0o555)
    assert "out cannot be written: permission denied" in refused("fox")


def test_an_output_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "out")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert "out cannot be written: permission denied" in refused("fox")


def test_a_full_folder_keeps_what_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Path.replace, iter(range(100))

    def replace(self: Path, target: Path) -> Path:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    write("猫.txt", "cat\ndog\n狐狸\nowl\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        result = run("image", "--prompts", "猫.txt", "--seed", 7)
    assert result.status == 1
    assert "no room is left in out\n      make room, and give the same command again: what is done stays done" in result.stderr
    assert names() == ["0001-cat-7.png", "0002-dog-8.png"]
    assert not list(OUT.glob("*.part"))
    draw("--prompts", "猫.txt", "--seed", 7)
    assert len(names()) == 4


def test_a_damaged_manifest_is_not_read_over(run: Run) -> None:
    draw("fox", "--seed", 7)
    FakeImageEngine.opened.clear()
    (OUT / "manifest.jsonl").write_text("nonsense\n")
    assert "out/manifest.jsonl:1: no record of a picture" in refused("fox", status=1)


def test_a_model_of_another_kind_is_refused_before_it_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from aigc_cli.models.resolve_image import resolve_image

    monkeypatch.setattr("aigc_cli.commands.image_run.resolve_image", resolve_image)
    assert "is a language model: it draws no pictures" in refused("fox", "-m", "builtin:text", status=3)
    assert "is a language model behind an endpoint" in refused("fox", "-m", "openai:gpt", status=3)
    assert "gone" in refused("fox", "-m", "./gone", status=3)
    monkeypatch.delenv("AIGC_IMAGE_MODEL")
    monkeypatch.setitem(BUILTINS, "builtin:image", replace(BUILTINS["builtin:image"], path=Path("gone")))
    assert "lacks its built-in model builtin:image" in refused("fox", "-m", "builtin:image", status=3)
    assert "no image model is chosen" in refused("fox")


def test_what_only_the_model_can_tell(run: Run, fake_image: Fake) -> None:
    fake_image.refused["fox"] = UsageError("this model takes no negative prompt", "leave it out")
    result = run("image", "fox", "--seed", 7)
    assert (result.status, drawn(), fake_image.closed) == (2, [], 1)
    assert result.stderr == "aigc: this model takes no negative prompt\n      leave it out\n"
    assert not OUT.exists()


def test_a_size_that_is_rounded_is_said_once() -> None:
    result = draw("fox", "--width", 100, "-n", 3, "--seed", 7)
    assert result.stderr.count("100 x 64 is drawn as 96 x 64") == 1
    assert "(3 pictures)" in result.stderr
    assert {record["width"] for record in records()} == {96}


def test_prompts_that_would_be_obeyed_by_a_terminal(run: Run) -> None:
    result = draw("fox \x1b]0;owned\x07\x1b[2J", "--seed", 7)
    assert "\x1b" not in result.stdout + result.stderr


def test_cells_that_would_be_obeyed_by_a_terminal() -> None:
    assert "\x1b" not in refused("--prompts", write("rows.csv", "prompt,steps\nfox,\x1b[2J3\n"))


def test_n_of_a_row_contradicts_best_of() -> None:
    assert "rows.csv:2: n and --best-of contradict each other" in refused(
        "--prompts", write("rows.csv", "prompt,n\nfox,2\n"), "--best-of", "4"
    )
