"""A run that is begun again: what is there stays, what is missing, changed or damaged is drawn, and names stay whose they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.core.errors import AigcError
from tests.commands.imaging import OUT, TEN, draw, drawn, names, pixels, recipe, records, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


def test_the_same_again_draws_nothing_and_opens_nothing(fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    first = draw("--prompts", prompts)
    before = {path: path.stat().st_mtime_ns for path in OUT.iterdir()}
    result = draw("--prompts", prompts)
    assert len(fake_image.opened) == 1
    assert result.stdout == first.stdout  # what the run is about, whoever drew it
    assert "10 pictures, 10 of them there already" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in OUT.iterdir() if path in before} == before


@pytest.mark.parametrize("steps", [3, 5, 9])
def test_after_an_interruption_only_what_is_missing_is_drawn_in_the_same_batches(steps: int, run: Run, fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    draw("--prompts", prompts, "--seed", 7, "-o", "whole")
    whole = drawn()
    fake_image.steps_done, fake_image.stop = 0, (steps, KeyboardInterrupt())
    assert run("image", "--prompts", prompts, "--seed", 7).status == 130
    assert len(names()) == steps // 4 * 4
    fake_image.stop = None
    drawn()
    draw("--prompts", prompts, "--seed", 7)
    assert drawn() == whole[steps // 4 :]
    assert pixels() == pixels(Path("whole"))
    assert [record["index"] for record in records()] == list(range(10))


def test_of_a_batch_that_was_half_saved_all_is_drawn_and_the_rest_saved(fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    draw("--prompts", prompts, "--seed", 7)
    whole, stamps = pixels(), {path.name: path.stat().st_mtime_ns for path in OUT.iterdir()}
    drawn()
    lines = (OUT / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (OUT / "manifest.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])  # as a kill leaves it
    for record in map(json.loads, lines[5:]):
        (OUT / record["file"]).unlink()
    result = draw("--prompts", prompts, "--seed", 7)
    assert "its last line was cut short" in result.stderr
    assert [len(batch) for batch in drawn()] == [4, 2]
    assert len(result.stderr.split("picture ")) - 1 == 5
    assert sorted(result.stdout.splitlines()) == [f"out/{name}" for name in names()]
    assert pixels() == whole
    assert (OUT / names()[0]).stat().st_mtime_ns == stamps[names()[0]]


def test_a_file_that_is_begun_again_keeps_the_seed_of_its_folder(run: Run, fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    fake_image.stop = (5, KeyboardInterrupt())
    assert run("image", "--prompts", prompts).status == 130
    fake_image.stop = None
    seed = records()[0]["base_seed"]
    draw("one more, by itself", "--seed", 3)  # is no batch, and its seed not the folder's
    result = draw("--prompts", prompts)
    assert f"10 pictures, 4 of them there already, seed {seed}" in result.stderr
    assert {record["base_seed"] for record in records()} == {seed, 3}


def test_only_a_row_that_changed_is_drawn() -> None:
    write("rows.jsonl", [{"prompt": "狐狸", "seed": 1}, {"prompt": "cat", "seed": 2}, {"prompt": "dog", "seed": 3}])
    draw("--prompts", "rows.jsonl")
    before = names()
    drawn()
    write("rows.jsonl", [{"prompt": "dog", "seed": 3}, {"prompt": "狐狸", "seed": 1}, {"prompt": "cat", "seed": 2, "steps": 6}])
    draw("--prompts", "rows.jsonl")
    assert drawn() == [[("cat", 2)]]
    assert set(names()) == {*before, "0003-cat-2.png"}


LINES = [f"{prompt}\n" for prompt in ("狐狸", "cat", "dog", "cat", "owl")]


def drawn_of(lines: list[str], *options: str | int) -> list[tuple[str, int]]:
    """What is drawn and saved for a file of these lines, and that it is all there for the next run."""
    draw("--prompts", write("rows.txt", "".join(lines)), "--batch-size", 1, *options)
    saved = [picture for batch in drawn() for picture in batch]
    draw("--prompts", "rows.txt", "--batch-size", 1, *options)
    assert drawn() == []
    return saved


@pytest.mark.parametrize("options", [(), ("--seed", 7), ("-n", 2), ("--matrix", "steps=2,3")])
def test_rows_keep_their_pictures_wherever_they_stand(options: tuple[str | int, ...]) -> None:
    first = drawn_of(LINES, *options)
    before, base = names(), first[0][1]
    assert drawn_of(LINES[1:], *options) == []
    assert drawn_of(LINES[::-1], *options) == []
    assert names() == before
    each = first[: len(first) // len(LINES)]
    assert drawn_of(["bear\n", "\n", *LINES], *options) == [("bear", seed) for _, seed in each]
    assert drawn_of(["bear\n", *LINES, "cat\n"], *options) == [("cat", seed + 6 * len({seed for _, seed in each})) for _, seed in each]
    assert {record["base_seed"] for record in records()} == {base}


def test_of_equal_rows_each_is_another_picture() -> None:
    assert drawn_of(["cat\n", "dog\n"], "--seed", 7) == [("cat", 7), ("dog", 8)]
    assert drawn_of(["dog\n", "dog\n", "dog\n"], "--seed", 7) == [("dog", 7), ("dog", 9)]


def test_rows_that_keep_their_seeds_do_so_when_a_run_is_begun_again(run: Run, fake_image: Fake) -> None:
    drawn_of(LINES, "--seed", 7)
    write("rows.txt", "".join(["bear\n", "cat\n", *LINES, "cat\n"]))
    shutil.copytree(OUT, "whole")
    draw("--prompts", "rows.txt", "--seed", 7, "-o", "whole")
    whole = drawn()
    for steps in (3, 5):
        fake_image.steps_done, fake_image.stop = 0, (steps, KeyboardInterrupt())
        assert run("image", "--prompts", "rows.txt", "--seed", 7).status == 130
    fake_image.stop = None
    draw("--prompts", "rows.txt", "--seed", 7)
    assert all(batch in whole for batch in drawn())
    assert pixels() == pixels(Path("whole"))


def test_seeds_are_kept_by_the_rows_of_one_file_under_one_seed() -> None:
    drawn_of(["cat\n", "dog\n"], "--seed", 7)
    assert drawn_of(["dog\n"], "--seed", 11) == [("dog", 11)]
    draw("--prompts", write("others.txt", "dog\n"), "--seed", 7)
    assert drawn() == [[("dog", 7)]]
    assert drawn_of(["owl\n", "dog\n"]) == [("owl", 11)]  # goes on with its own latest seed, not the folder's


def test_a_row_that_says_its_seed_has_that_one() -> None:
    draw("--prompts", write("rows.csv", "prompt,seed\n狐狸,\ncat,3\n"), "--seed", 7)
    drawn()
    draw("--prompts", write("rows.csv", "prompt,seed\n狐狸,5\ncat,\n"), "--seed", 7)
    assert [picture for batch in drawn() for picture in batch] == [("狐狸", 5), ("cat", 8)]


def test_pictures_that_are_gone_or_damaged_are_drawn_again() -> None:
    draw("--prompts", write("猫.txt", TEN), "--seed", 7)
    whole = pixels()
    gone, damaged = names()[1], names()[9]
    (OUT / gone).unlink()
    (OUT / damaged).write_bytes((OUT / damaged).read_bytes()[:-20])
    drawn()
    result = draw("--prompts", "猫.txt", "--seed", 7)
    assert "1 of the 10 pictures that were drawn before are not there any more" in result.stderr
    assert "1 of the 10 pictures that were drawn before are damaged: drawn again in their place" in result.stderr
    assert [len(batch) for batch in drawn()] == [4, 2]
    assert result.stdout.splitlines()[-2:] == [f"out/{gone}", f"out/{damaged}"]
    assert pixels() == whole
    assert "10 pictures, 10 of them there already" in draw("--prompts", "猫.txt", "--seed", 7).stderr


def test_a_damaged_file_stays_until_its_picture_is_drawn(run: Run, fake_image: Fake) -> None:
    draw("--prompts", write("猫.txt", TEN), "--seed", 7)
    whole, damaged = pixels(), OUT / names()[9]
    os.truncate(damaged, 200)
    fake_image.broken["第9只 cat"] = AigcError("the model stumbled", "try another one")
    assert run("image", "--prompts", "猫.txt", "--seed", 7).status == 5
    assert damaged.stat().st_size == 200
    fake_image.broken.clear()
    draw("--prompts", "猫.txt", "--seed", 7, "--filename", "{seed}")  # it keeps its name
    assert pixels() == whole
    assert run("grid", *OUT.glob("*.png"), "-o", "sheet.png").status == 0


def test_a_picture_that_was_changed_stays_beside_the_one_that_is_drawn_again() -> None:
    draw("--prompts", write("rows.csv", "prompt,filename\n狐狸,主图\ncat,\n"), "--seed", 7)
    for name in names():
        with Image.open(OUT / name) as before:
            before.rotate(90).save(OUT / name)
    mine = pixels()
    result = draw("--prompts", "rows.csv", "--seed", 7)
    assert "2 of the 2 pictures that were drawn before are not as aigc wrote them: drawn again" in result.stderr
    said = "changed files stay, and their pictures are drawn beside them: 主图.png as 主图-2.png, 0002-cat-8.png as 0002-cat-8-2.png"
    assert said in " ".join(result.stderr.split())
    assert names() == ["0002-cat-8-2.png", "0002-cat-8.png", "主图-2.png", "主图.png"]
    assert {name: pixels()[name] for name in mine} == mine
    assert "2 of them there already" in draw("--prompts", "rows.csv", "--seed", 7).stderr


def test_overwrite_replaces_the_picture_of_a_row_that_changed_and_no_other() -> None:
    draw("--prompts", write("rows.csv", "prompt,filename\n狐狸,a\ncat,b\n"), "--seed", 7, "--batch-size", 1)
    kept = (OUT / "a.png").read_bytes()
    drawn()
    write("rows.csv", "prompt,filename\n狐狸,a\ndog,b\n")
    draw("--prompts", "rows.csv", "--seed", 7, "--batch-size", 1, "--overwrite")
    assert drawn() == [[("dog", 8)]]
    assert recipe(OUT / "b.png")["settings"]["prompt"] == "dog"
    assert (names(), (OUT / "a.png").read_bytes()) == (["a.png", "b.png"], kept)
    assert "there already" in draw("--prompts", "rows.csv", "--seed", 7).stderr


def test_a_name_that_a_row_asks_for() -> None:
    write("rows.csv", "prompt,filename,n\n狐狸,主图,2\ncat,cat.png,\ndog,CAT,\n")
    draw("--prompts", "rows.csv", "--seed", 7)
    assert names() == ["CAT-2.png", "cat.png", "主图-2.png", "主图.png"]
    assert "4 of them there already" in draw("--prompts", "rows.csv", "--seed", 7).stderr
    (OUT / "主图-2.png").unlink()
    draw("--prompts", "rows.csv", "--seed", 7)
    assert (OUT / "主图-2.png").exists()


def test_a_name_that_a_row_asks_for_and_another_picture_has(run: Run, fake_image: Fake) -> None:
    OUT.mkdir()
    (OUT / "主图.png").write_text("mine")
    result = run("image", "--prompts", write("rows.csv", "prompt,filename\n狐狸,主图\n"), "--seed", 7)
    assert (result.status, fake_image.opened) == (2, [])
    assert "rows.csv:2: filename: out/主图.png is there already" in result.stderr
    assert (OUT / "主图.png").read_text() == "mine"
    draw("--prompts", "rows.csv", "--seed", 7, "--overwrite")
    assert recipe(OUT / "主图.png")["settings"]["prompt"] == "狐狸"


HOLD = """
from pathlib import Path
from aigc_cli.batch.output_folder import hold_output
with hold_output(Path("out")):
    print("held", flush=True)
    input()
"""


def test_a_second_run_on_the_folder(run: Run, fake_image: Fake) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    (OUT / "rejects.jsonl").write_text("the other run's")
    prompts = write("rows.csv", "prompt,steps\n狐狸,4\n猫,abc\n")
    result = run("image", "--prompts", prompts, "--skip-bad", "--seed", 7)
    assert (result.status, f"another run holds out (process {holder.pid})" in result.stderr) == (75, True)
    assert not fake_image.opened
    assert (OUT / "rejects.jsonl").read_text() == "the other run's"
    holder.kill()
    holder.communicate()
    draw("fox", "--seed", 7)  # a killed holder holds nothing


def test_what_is_there_with_metadata_keeps_it_and_that_is_said() -> None:
    draw("fox", "-n", 2, "--seed", 7)
    said = draw("fox", "-n", 3, "--seed", 7, "--no-metadata").stderr
    assert "2 of the 2 pictures that are there already were written with metadata and stay so" in said
    assert "were written" not in draw("fox", "-n", 2, "--seed", 7).stderr
    said = draw("fox", "-n", 3, "--seed", 7).stderr
    assert "1 of the 3 pictures that are there already were written without metadata and stay so" in said


def test_pictures_of_rows_that_changed_are_told() -> None:
    draw("by itself", "--seed", 7)
    draw("--prompts", write("other.txt", "owl\n"), "--seed", 7)
    draw("--prompts", write("rows.txt", "狐狸\ncat\ndog\n"), "--seed", 7)
    write("rows.txt", "狐狸\na black cat\ndog\n")
    said = draw("--prompts", "./rows.txt", "--seed", 7).stderr
    assert "out still holds what earlier runs drew from rows.txt and this one has no row for: 1 (0002-cat-8.png)" in said
    assert "out/manifest.jsonl lists them" in said
    (OUT / "0002-cat-8.png").unlink()
    assert "still holds" not in draw("--prompts", "rows.txt", "--seed", 7).stderr


def test_a_file_on_top_of_the_model_counts_with_what_is_read_beside_it() -> None:
    Path("parts").mkdir()
    for name in ("lora.safetensors", "net.safetensors", "词.pt", "adapter_config.json", "config.json"):
        (Path("parts") / name).write_bytes(b"{}")

    def is_drawn(*options: str) -> bool:
        draw("fox", "--seed", 7, *options)
        return drawn() != []

    options = {"adapter_config.json": ("--adapter", "parts/lora.safetensors"), "config.json": ("--controlnet", "parts/net.safetensors")}
    for config, option in options.items():
        assert (is_drawn(*option), is_drawn(*option)) == (True, False)
        (Path("parts") / config).write_text('{"lora_alpha": 8}')
        assert (is_drawn(*option), is_drawn(*option)) == (True, False)
    assert (is_drawn("--embedding", "parts/词.pt"), is_drawn("--embedding", "parts/词.pt")) == (True, False)
    Path("parts/词.pt").rename("parts/另一个.pt")
    assert is_drawn("--embedding", "parts/另一个.pt")  # its name may be its word


def test_what_lies_beside_the_parts_of_a_model_draws_nothing_again(tmp_path: Path) -> None:
    draw("fox", "--seed", 7)
    drawn()
    (tmp_path / "model" / "notes.txt").write_text("good one")
    draw("fox", "--seed", 7)
    assert drawn() == []
