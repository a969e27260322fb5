"""The check as a whole: what is left out, kept back, and told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.core.errors import UsageError
from tests.picture_data.conftest import Checked, Save, noise


def test_skip_bad_leaves_bad_pictures_out_and_writes_them_down(save: Save, tmp_path: Path) -> None:
    save("p/a.png", None)
    save("p/b.png")
    (tmp_path / "i.jsonl").write_text('{"image": "p/b.png", "text": 7}\n')
    rejects = tmp_path / "out/rejects.jsonl"
    checked = Checked(tmp_path / "p", tmp_path / "i.jsonl", skip_bad=True, rejects=rejects)
    assert (checked.names("train"), checked.dataset.left_out) == (["b.png"], 2)
    assert f"2 of 3 pictures are bad and left out (they are in {rejects}, with what is wrong)" in checked.cautions
    first, second = map(json.loads, rejects.read_text("utf-8").splitlines())
    assert (first["file"], first["line"], first["row"]) == (str(tmp_path / "p/a.png"), 0, "")
    assert first["error"].startswith("no caption")
    assert second == {
        "file": str(tmp_path / "i.jsonl"),
        "line": 1,
        "error": "text is a number, it should be text or a list of texts",
        "row": '{"image": "p/b.png", "text": 7}\n',
    }


def test_skip_bad_without_a_file_lists_them(save: Save, tmp_path: Path) -> None:
    save("p/a.png", None)
    save("p/b.png")
    assert f"1 of 2 pictures are bad and left out\n{tmp_path}/p/a.png: no caption" in Checked(tmp_path / "p", skip_bad=True).cautions


def test_all_bad_leaves_nothing_to_train_on(save: Save, tmp_path: Path) -> None:
    save("p/a.png", None)
    with pytest.raises(UsageError, match="no picture is left to train on"):
        Checked(tmp_path / "p", skip_bad=True)


def test_the_first_twenty_bad_pictures_are_listed(save: Save, tmp_path: Path) -> None:
    for number in range(25):
        save(f"p/{number:02}.png", None)
    with pytest.raises(UsageError) as error:
        Checked(tmp_path / "p")
    assert error.value.message.split("\n")[21:] == ["... and 5 more"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "no such file or folder"),
        (lambda folder: folder.mkdir(), "there is no picture in this folder"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").write_text("a")), "there is no picture in this folder"),
        (lambda folder: folder.write_text("a"), "pictures cannot be read from this kind of file"),
    ],
)
def test_paths_without_pictures(tmp_path: Path, make, said: str) -> None:
    make(tmp_path / "图")
    with pytest.raises(UsageError, match=said):
        Checked(tmp_path / "图")


def test_an_index_without_rows(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text("")
    with pytest.raises(UsageError, match="there is no picture named in"):
        Checked(tmp_path / "i.jsonl")


def test_the_split_goes_by_pixels_and_stays(save: Save, tmp_path: Path) -> None:
    for number in range(40):
        save(f"p/{number:02}.png", image=noise(number))
    before = Checked(tmp_path / "p", val_split=0.3)
    kept = before.names("validation")
    assert 4 <= len(kept) <= 20
    assert len(before.names("train")) == 40 - len(kept)
    (tmp_path / "p" / kept[0]).with_suffix(".txt").write_text("other words")
    save("p/more.png", image=noise(100))
    assert set(kept) <= set(Checked(tmp_path / "p", val_split=0.3).names("validation"))
    assert Checked(tmp_path / "p", val_split=0.0).names("validation") == []


@pytest.mark.parametrize(("pictures", "kept"), [(9, 0), (10, 1)])
def test_of_ten_pictures_one_is_kept_back_whatever_their_hashes(save: Save, tmp_path: Path, pictures: int, kept: int) -> None:
    for number in range(pictures):
        save(f"p/{number}.png", image=noise(number))
    checked = Checked(tmp_path / "p", val_split=1e-9)
    assert len(checked.names("validation")) == kept
    assert len(checked.names("train")) == pictures - kept
    assert ("the one with the lowest hash was taken" if kept else "of so few pictures (9) nothing is kept back") in checked.cautions


def test_equal_pictures_are_counted_and_stay_together(save: Save, tmp_path: Path) -> None:
    for number in range(12):
        save(f"p/{number:02}.png", f"caption {number}", image=noise(number // 2))
    checked = Checked(tmp_path / "p", val_split=0.4)
    assert checked.dataset.duplicates == 6
    assert len(checked.dataset.rows) == 12
    kept = {int(Path(name).stem) // 2 for name in checked.names("validation")}
    assert kept
    assert not kept & {int(Path(name).stem) // 2 for name in checked.names("train")}


def test_pictures_named_for_validation_are_left_out_of_a_training_folder(save: Save, tmp_path: Path) -> None:
    for name in ("a", "val/b", "c"):
        save(f"p/{name}.png")
    assert f"{tmp_path}/p/val is trained on too (name it with --validation to keep it back)" in Checked(tmp_path / "p").cautions
    checked = Checked(tmp_path / "p", validation=(tmp_path / "p/val",), val_split=0.5)
    assert (checked.names("train"), checked.names("validation")) == (["a.png", "c.png"], ["b.png"])
    assert [file.split for file in checked.dataset.files] == ["train", "validation"]
    assert checked.cautions == ""


def test_an_index_for_validation_takes_its_pictures_out_of_a_folder(save: Save, tmp_path: Path) -> None:
    for name in "ab":
        save(f"p/{name}.png")
    (tmp_path / "held.jsonl").write_text('{"image": "p/b.png", "text": "b"}\n')
    checked = Checked(tmp_path / "p", validation=(tmp_path / "held.jsonl",))
    assert (checked.names("train"), checked.names("validation")) == (["a.png"], ["b.png"])


def test_what_is_named_for_both_splits_is_refused(save: Save, tmp_path: Path) -> None:
    picture = save("p/a.png")
    save("p/b.png")
    with pytest.raises(UsageError, match="is named for train and for validation"):
        Checked(picture, validation=(tmp_path / "p",))
    with pytest.raises(UsageError, match="there is no picture left to train on"):
        Checked(tmp_path / "p", validation=(tmp_path / "p",))


def test_a_picture_named_twice_is_read_once(save: Save, tmp_path: Path) -> None:
    picture = save("p/a.png")
    assert Checked(tmp_path / "p", picture, tmp_path / "p" / ".." / "p").names("train") == ["a.png"]


def test_leaks_are_counted_and_said(save: Save, tmp_path: Path) -> None:
    save("p/a.png", image=noise(1))
    save("p/b.png", image=noise(2))
    held = save("held/x.bmp", "other words", image=noise(2))
    checked = Checked(tmp_path / "p", validation=(held,))
    assert checked.dataset.leaked == 1
    assert "1 pictures that are trained on are also among those for validation" in checked.cautions


def test_nothing_good_to_measure_on_is_refused(save: Save, tmp_path: Path) -> None:
    save("p/a.png")
    held = save("held/b.png", None)
    with pytest.raises(UsageError, match="there is no picture to measure on"):
        Checked(tmp_path / "p", validation=(held,), skip_bad=True)


def test_the_hash_of_what_was_named_changes_with_every_pixel_and_every_word(save: Save, tmp_path: Path) -> None:
    path = save("p/a.png", "a thing", image=noise(1))
    save("p/b.png", "b", image=noise(2))

    def sha256() -> str:
        (named,) = Checked(tmp_path / "p").dataset.files
        assert named.path == str(tmp_path / "p")
        assert named.size == sum(file.stat().st_size for file in (tmp_path / "p").iterdir())
        return named.sha256

    before = sha256()
    path.with_suffix(".txt").write_text("a thing\n")
    save("p/a.png", None, image=noise(1), compress_level=1)
    assert sha256() == before
    path.with_suffix(".txt").write_text("a thinG")
    words = sha256()
    picture = Image.open(path)
    picture.putpixel((3, 3), (1, 2, 3))
    picture.save(path)
    assert len({before, words, sha256()}) == 3


def test_progress_is_told_to_the_end_and_not_too_often(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigc_cli.picture_data.looking.PROGRESS_STEPS", 3)
    for number in range(10):
        save(f"p/{number}.png")
    assert [(event.done, event.total, event.unit) for event in Checked(tmp_path / "p").progress] == [
        (4, 10, "pictures"),
        (8, 10, "pictures"),
        (10, 10, "pictures"),
    ]


def test_rows_keep_their_order_whatever_is_decoded_first(save: Save, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(30)]
    for number, name in enumerate(names):
        save(name, None, noise(number, (400, 400) if number % 3 == 0 else (8, 8)))
    rows = [{"image": name, "text": name} for name in [*names, *reversed(names)]]
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Checked(tmp_path / "i.jsonl").dataset.rows
    assert [row.captions[0] for row in found] == [row.path.name for row in found] == [row["image"] for row in rows]
    assert [row.origin.line for row in found] == list(range(1, 61))
