"""Where pictures and their words may stand: files side by side, and indexes."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.picture_data.find import find_pictures
from tests.picture_data.conftest import Checked, Save


def index(path: Path, *rows: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def refused(*paths: Path, **options: object) -> list[str]:
    with pytest.raises(UsageError) as error:
        Checked(*paths, **options)
    return error.value.message.split("\n")


def test_captions_beside_pictures_in_all_folders(save: Save, tmp_path: Path) -> None:
    save("图/一.png", "\ufeff一只红狐狸\r\n在雪里\n")
    save("图/深/two.JPG", " two ")
    save("图/.hidden/three.png")
    checked = Checked(tmp_path / "图")
    assert checked.captions == {"一.png": ("一只红狐狸\n在雪里",), "two.JPG": ("two",)}
    assert [str(row.origin) for row in checked.dataset.rows] == [str(row.path) for row in checked.dataset.rows]
    assert checked.cautions == ""
    assert checked.progress[-1].done == checked.progress[-1].total == 2


def test_an_empty_caption_learns_without_words_and_that_is_said(save: Save, tmp_path: Path) -> None:
    save("p/a.png", "")
    checked = Checked(tmp_path / "p")
    assert checked.row.captions == ("",)
    assert "1 pictures are learnt without words" in checked.cautions


def test_what_lacks_its_other_half_is_bad(save: Save, tmp_path: Path) -> None:
    alone = save("p/alone.png", None)
    save("p/good.png")
    (tmp_path / "p/gone.txt").write_text("a picture that is not there")
    assert refused(tmp_path / "p") == [
        "2 of 3 pictures cannot be trained on",
        f"{alone}: no caption: write one into alone.txt, or learn it without words with an empty alone.txt",
        f"{tmp_path}/p/gone.txt: there is no picture beside this caption",
    ]


def test_captions_that_are_no_text(save: Save, tmp_path: Path) -> None:
    save("p/a.png", "狐狸".encode("gb18030"))
    save("p/b.png", "nul \0")
    save("p/c.png", "x" * 70_000)
    with pytest.raises(UsageError) as error:
        Checked(tmp_path / "p")
    _, first, second, third = error.value.message.split("\n")
    assert first.startswith(f"{tmp_path}/p/a.png: not UTF-8 at byte 0 of {tmp_path}/p/a.txt")
    assert second == f"{tmp_path}/p/b.png: a NUL character (\\u0000) in its text"
    assert third == f"{tmp_path}/p/c.png: a caption of more than 64 KiB"
    assert "iconv" in error.value.hint


def test_metadata_of_a_folder_names_its_pictures(save: Save, tmp_path: Path) -> None:
    save("p/in/a.png", "not this one")
    save("p/b.png", "beside")
    path = index(tmp_path / "p/metadata.jsonl", {"file_name": "in/a.png", "text": "named", "id": 7})
    checked = Checked(tmp_path / "p")
    assert checked.captions == {"a.png": ("named",), "b.png": ("beside",)}
    assert str(checked.dataset.rows[0].origin) == f"{path}:1"
    assert "1 caption files are not read, for an index names their pictures" in checked.cautions


def test_an_index_of_another_name_is_named_itself(save: Save, tmp_path: Path) -> None:
    for name in "ab":
        save(f"p/{name}.png", None)
    with (tmp_path / "p/词.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("path", "caption"), ("a.png", "一, 二"), ("b.png", "")])
    (caution,) = find_pictures([str(tmp_path / "p")]).cautions
    assert caution.message == f"not read as data: {tmp_path}/p/词.csv"
    assert "name other indexes themselves" in caution.hint
    assert Checked(tmp_path / "p/词.csv").captions == {"a.png": ("一, 二",), "b.png": ("",)}


def test_several_captions_of_one_picture(save: Save, tmp_path: Path) -> None:
    save("a.png", None)
    path = index(tmp_path / "i.jsonl", {"image": "a.png", "captions": ["cat, 3d", " 猫，立体 ", ""]})
    assert Checked(path).row.captions == ("cat, 3d", "猫，立体", "")


def test_a_compressed_index_and_one_list_of_rows(save: Save, tmp_path: Path) -> None:
    save("a.png", None)
    rows = [{"path": "a.png", "prompt": "one"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(json.dumps(rows[0]).encode()))
    assert Checked(tmp_path / "list.json").captions == Checked(tmp_path / "lines.jsonl.gz").captions == {"a.png": ("one",)}


def test_a_key_that_is_not_read_is_said(save: Save, tmp_path: Path) -> None:
    save("a.png", None)
    checked = Checked(index(tmp_path / "i.jsonl", {"image": "a.png", "prompt": "other", "text": "taken", "caption": None}))
    assert checked.row.captions == ("taken",)
    assert "not used: prompt, for another key of the row was read" in checked.cautions


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"text": "a"}, "it names no picture: it has none of file_name, image, path"),
        ({"image": {"bytes": ""}, "text": "a"}, "image is an object, it should be the name of a file"),
        ({"image": " ", "text": "a"}, "image is empty"),
        ({"image": "https://example.com/a.png", "text": "a"}, "image is an address in the web: download the picture first"),
        ({"image": "gone.png", "text": "a"}, "there is no file FOLDER/gone.png"),
        ({"image": "a\0.png", "text": "a"}, "there is no file FOLDER/a\0.png"),
        ({"image": "n" * 5000, "text": "a"}, f"there is no file FOLDER/{'n' * 5000}"),
        ({"image": "a.png"}, "no caption: it has none of text, caption, captions, prompt; an empty text learns the picture without words"),
        ({"image": "a.png", "text": None, "caption": []}, "caption is an empty list"),
        ({"image": "a.png", "text": 7}, "text is a number, it should be text or a list of texts"),
        ({"image": "a.png", "text": ["a", None]}, "text holds null, it should be text or a list of texts"),
        ({"image": "a.png", "text": "\ud800"}, "half a character (\\ud800) in its text"),
    ],
)
def test_bad_rows_of_an_index(save: Save, tmp_path: Path, row: dict[str, object], error: str) -> None:
    save("a.png", None)
    path = tmp_path / "i.jsonl"
    path.write_text(json.dumps({"image": "a.png", "text": "good"}) + "\n" + json.dumps(row) + "\n")
    assert refused(path) == ["1 of 2 pictures cannot be trained on", f"{path}:2: {error}".replace("FOLDER", str(tmp_path))]


def test_broken_lines_of_an_index(save: Save, tmp_path: Path) -> None:
    save("a.png", None)
    path = tmp_path / "i.jsonl"
    path.write_bytes(b'{"image": "a.png", "text": "good"}\nbroken\n{"image": "a.png", "text": "\xff\xff"}\n')
    _, second, third = refused(path)
    assert second.startswith(f"{path}:2: broken JSON at character 1")
    assert third.startswith(f"{path}:3: not UTF-8")
