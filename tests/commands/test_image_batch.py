"""Files of prompts: their rows, what runs together, rows that fail, and what is made of all pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.core.errors import AigcError
from tests.commands.imaging import OUT, TEN, draw, drawn, names, pixels, recipe, records, refused, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


def test_a_line_is_a_prompt() -> None:
    result = draw("--prompts", write("ideas.txt", "# ideas\n一只狐狸\n\n  a cat  \n"), "--seed", 7)
    assert result.stdout.splitlines() == ["out/0001-一只狐狸-7.png", "out/0002-a-cat-8.png"]
    assert drawn() == [[("一只狐狸", 7), ("a cat", 8)]]
    assert [record["origin"] for record in records()] == ["ideas.txt:2", "ideas.txt:4"]


def test_rows_of_a_table_set_for_themselves_what_they_like(fake_image: Fake) -> None:
    columns = "prompt,negative-prompt,seed,width,height,steps,guidance_scale,scheduler,filename,n"
    table = f"{columns}\n狐狸,模糊,5,128,96,2,1.5,ddim,主图,\ncat,,,,,,,,,2\n"
    draw("--prompts", write("products.csv", table), "--seed", 7, "--steps", 3, "--negative-prompt", "bad")
    first, second, third = (request for batch in fake_image.batches for request in batch)
    assert (first.prompt, first.negative_prompt, first.seed, first.width, first.height) == ("狐狸", "模糊", 5, 128, 96)
    assert (first.steps, first.guidance_scale, first.scheduler) == (2, 1.5, "ddim")
    assert (second.prompt, second.negative_prompt, second.seed, second.steps, second.width) == ("cat", "bad", 8, 3, 64)
    assert (third.prompt, third.seed) == ("cat", 9)
    assert names() == ["0002-cat-8.png", "0003-cat-9.png", "主图.png"]
    assert Image.open(OUT / "主图.png").size == (128, 96)


def test_rows_of_json() -> None:
    draw("--prompts", write("rows.jsonl", [{"prompt": "狐狸", "seed": 3, "steps": None}, {"prompt": "cat", "width": 72}]), "--seed", 7)
    assert names() == ["0001-狐狸-3.png", "0002-cat-8.png"]


@pytest.mark.parametrize("text", ["狐狸\ncat\n", "prompt\n狐狸\ncat\n", '{"prompt": "狐狸"}\n{"prompt": "cat"}\n'])
def test_a_pipe_is_told_by_its_first_line(text: str) -> None:
    draw("--prompts", "-", "--seed", 7, input=text)
    assert drawn() == [[("狐狸", 7), ("cat", 8)]]
    assert records()[0]["origin"].startswith("stdin:")


def test_names_of_pictures_in_a_table_are_relative_to_it(fake_image: Fake) -> None:
    Path("photos").mkdir()
    Image.new("RGB", (64, 64), "red").save("photos/图.png")
    draw("--prompts", write("photos/rows.csv", "prompt,init_image,strength\nfox,图.png,0.5\ncat,,\n"), "--seed", 7)
    (first,), (second,) = fake_image.batches
    assert (first.init_image, first.strength, second.init_image) == (Path("photos/图.png"), 0.5, None)


def test_alternatives_and_several_of_each() -> None:
    result = draw("a {red|蓝色} house, {oil painting|watercolour}", "-n", 4, "--seed", 7)
    assert len(result.stdout.splitlines()) == 16
    batches = drawn()
    assert [len(batch) for batch in batches] == [4] * 4
    assert [batch[0][0] for batch in batches] == [
        f"a {colour} house, {how}" for colour in ("red", "蓝色") for how in ("oil painting", "watercolour")
    ]
    assert all([seed for _, seed in batch] == [7, 8, 9, 10] for batch in batches)
    assert recipe(OUT / "0001-a-red-house-oil-painting-7.png")["typed_prompt"] == "a {red|蓝色} house, {oil painting|watercolour}"


def test_wildcards_are_drawn_by_the_seed() -> None:
    Path("cards").mkdir()
    write("cards/animal.txt", "猫\n3::fox\n# none\nowl\n")
    draw("a __animal__", "-n", 8, "--seed", 1, "--wildcards", "cards")
    prompts = [prompt for batch in drawn() for prompt, _ in batch]
    assert set(prompts) <= {"a 猫", "a fox", "a owl"}
    assert len(set(prompts)) > 1
    draw("a __animal__", "-n", 8, "--seed", 1, "--wildcards", "cards", "-o", "again")
    assert [prompt for batch in drawn() for prompt, _ in batch] == prompts


def test_every_combination_of_a_matrix(fake_image: Fake) -> None:
    draw("狐狸", "--matrix", "steps=2,3", "--matrix", "guidance-scale=5,7.5", "--seed", 7)
    requests = [request for batch in fake_image.batches for request in batch]
    assert [(request.steps, request.guidance_scale, request.seed) for request in requests] == [
        (2, 5.0, 7),
        (2, 7.5, 7),
        (3, 5.0, 7),
        (3, 7.5, 7),
    ]


def test_those_of_one_kind_run_together_in_the_order_of_their_first(fake_image: Fake) -> None:
    rows = [{"prompt": f"{number}", "width": 128 if number % 3 == 0 else 64} for number in range(9)]
    result = draw("--prompts", write("rows.jsonl", rows), "--seed", 0)
    assert [[prompt for prompt, _ in batch] for batch in drawn()] == [["0", "3", "6"], ["1", "2", "4", "5"], ["7", "8"]]
    assert len(result.stdout.splitlines()) == 9
    assert recipe(OUT / "0003-2-2.png")["batch_size"] == 4
    assert recipe(OUT / "0003-2-2.png")["batch_position"] == 1
    draw("--prompts", "rows.jsonl", "--seed", 0, "--batch-size", 2, "-o", "pairs")
    assert [len(batch) for batch in drawn()] == [2, 2, 2, 1, 2]
    assert pixels(Path("pairs")) == pixels()
    assert fake_image.encoded[0] == ("0", "3", "6", "1", "2", "4", "5", "7", "8")


def test_rows_that_fail_are_told_and_tried_again(run: Run, fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    fake_image.broken["第2只 cat"] = AigcError("the model stumbled", "try another one")
    result = run("image", "--prompts", prompts, "--seed", 7)
    assert result.status == 5
    assert "picture 3 (猫.txt:3) could not be drawn: the model stumbled\n      try another one" in result.stderr
    assert "1 of 10 pictures could not be drawn" in result.stderr
    assert len(names()) == len(result.stdout.splitlines()) == 9
    assert [(record["index"], record["message"]) for record in records() if record["status"] == "failed"] == [(2, "the model stumbled")]
    fake_image.broken.clear()
    drawn()
    assert draw("--prompts", prompts, "--seed", 7).stdout.splitlines()[-1] == "out/0003-第2只-cat-9.png"
    assert drawn() == [[(f"第{number}只 cat", 7 + number) for number in range(4)]]  # the batch it belongs to


def test_bad_rows_are_left_out_when_that_is_wanted(run: Run) -> None:
    prompts = write("rows.csv", "prompt,steps\n狐狸,4\n猫,abc\n,5\ncat,9999\n狗,5\n")
    result = draw("--prompts", prompts, "--skip-bad", "--seed", 7)
    assert "3 of 5 rows are bad and left out\nrows.csv:3: steps: 'abc' is no whole number\nrows.csv:4: " in result.stderr
    assert [prompt for batch in drawn() for prompt, _ in batch] == ["狐狸", "狗"]
    rejects = [json.loads(line) for line in (OUT / "rejects.jsonl").read_text("utf-8").split("\n")[:-1]]
    assert [(each["line"], each["row"]) for each in rejects] == [(3, "猫,abc\n"), (4, ",5\n"), (5, "cat,9999\n")]
    assert rejects[0]["error"] == "steps: 'abc' is no whole number"
    draw("--prompts", write("rows.csv", "prompt,steps\n狐狸,4\n"), "--skip-bad", "--seed", 7)
    assert not (OUT / "rejects.jsonl").exists()  # what it said is no longer so


def test_rows_that_the_model_cannot_do_are_all_told_before_the_first_is_drawn(run: Run, fake_image: Fake) -> None:
    from aigc_cli.core.errors import UsageError

    fake_image.refused = {f"第{number}只 cat": UsageError("this model takes no negative prompt", "leave it out") for number in (1, 3)}
    result = run("image", "--prompts", write("猫.txt", TEN), "--seed", 7)
    assert (result.status, drawn(), fake_image.closed) == (2, [], 1)
    assert "2 of 10 pictures cannot be drawn by this model" in result.stderr
    assert "猫.txt:2: this model takes no negative prompt" in result.stderr
    result = run("image", "--prompts", "猫.txt", "--seed", 7, "--skip-bad")
    assert (result.status, len(names())) == (5, 8)


def test_results_as_json_tell_all_of_the_batch(run: Run, fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    fake_image.stop = (5, KeyboardInterrupt())
    assert run("image", "--prompts", prompts, "--seed", 7).status == 130
    fake_image.stop = None
    fake_image.broken["第9只 cat"] = AigcError("the model stumbled", "try another one")
    result = run("image", "--prompts", prompts, "--seed", 7, "--json")
    *results, error = result.events
    assert result.status == error["status"] == 5
    assert [each["index"] for each in results] == list(range(10))
    assert [each["status"] for each in results] == ["done"] * 9 + ["failed"]
    assert [each.get("was_there") for each in results] == [True] * 4 + [None] * 6
    assert {name: results[5][name] for name in ("index", "status", "path", "seed", "width", "height", "prompt", "origin")} == {
        "index": 5,
        "status": "done",
        "path": "out/0006-第5只-cat-12.png",
        "seed": 12,
        "width": 64,
        "height": 64,
        "prompt": "第5只 cat",
        "origin": "猫.txt:6",
    }
    assert (results[9]["message"], results[9]["hint"], results[9]["origin"]) == ("the model stumbled", "try another one", "猫.txt:10")


def test_a_sheet_of_the_run() -> None:
    draw("狐狸", "--matrix", "steps=2,3", "--matrix", "guidance-scale=5,6,7", "--seed", 7, "--grid")
    sheet = Image.open(OUT / "grid.jpg")
    assert sheet.width > sheet.height  # three by two: a column for each value of the last option
    draw("--prompts", write("猫.txt", TEN), "--seed", 7, "--grid", "-o", "cats")
    first = (Path("cats") / "grid.jpg").read_bytes()
    (Path("cats") / "grid.jpg").unlink()
    draw("--prompts", "猫.txt", "--seed", 7, "--grid", "-o", "cats")
    assert (Path("cats") / "grid.jpg").read_bytes() == first  # also of pictures that were there


def test_a_sheet_takes_the_place_of_no_picture(run: Run) -> None:
    write("rows.csv", "prompt,filename\n狐狸,grid\ncat,\n")
    result = draw("--prompts", "rows.csv", "--seed", 7, "--grid")
    assert names() == ["0002-cat-8.png", "grid.jpg", "grid.png"]
    assert "contact sheet: out/grid.jpg" in result.stderr
    draw("--prompts", "rows.csv", "--seed", 7, "-o", "jpegs", "--format", "jpeg")
    result = run("image", "--prompts", "rows.csv", "--seed", 7, "-o", "jpegs", "--grid")
    assert (result.status, "jpegs/grid.jpg is there already" in result.stderr) == (2, True)


def test_a_page_of_the_folder_leaves_out_what_is_damaged() -> None:
    draw("fox", "-n", 2, "--seed", 7)
    (OUT / "0001-fox-7.png").write_bytes(b"x")
    draw("cat", "--seed", 7, "--webpage")
    assert (OUT / "index.html").read_text("utf-8").count("data:image/") == 2


def test_a_page_of_the_folder() -> None:
    draw("</script><b>狐狸", "--seed", 7)
    draw("--prompts", write("猫.txt", TEN), "--seed", 7, "--webpage")
    page = (OUT / "index.html").read_text("utf-8")
    assert page.count("data:image/") == 11
    assert "</script><b>" not in page
    assert "第9只 cat" in page
    assert "aigc image" in page


def test_rows_that_are_mended_change_nothing_for_the_others() -> None:
    draw("--prompts", write("rows.csv", "prompt,steps,n\n狐狸,4,\n猫,abc,2\n狗,5,\n鸟,5,\n"), "--skip-bad", "--seed", 7)
    assert [seed for batch in drawn() for _, seed in batch] == [7, 10, 11]
    draw("--prompts", write("rows.csv", "prompt,steps,n\n狐狸,4,\n猫,6,2\n狗,5,\n鸟,5,\n"), "--skip-bad", "--seed", 7)
    assert drawn() == [[("猫", 8), ("猫", 9)]]


def test_paths_come_as_soon_as_pictures_are_there(fake_image: Fake) -> None:
    fake_image.size = 2
    prompts = write("rows.csv", "prompt,width\n狐狸,64\ncat,128\ndog,64\nowl,128\n")
    in_order = [f"out/000{number}-{slug}-{number + 6}.png" for number, slug in enumerate(("狐狸", "cat", "dog", "owl"), 1)]
    first = draw("--prompts", prompts, "--seed", 7).stdout.splitlines()
    assert first == [in_order[index] for index in (0, 2, 1, 3)]  # those of one size together
    (OUT / "0001-狐狸-7.png").unlink()
    assert draw("--prompts", prompts, "--seed", 7).stdout.splitlines() == [*in_order[1:], in_order[0]]


def test_of_many_bad_rows_the_first_reasons_are_told() -> None:
    result = draw("--prompts", write("rows.csv", "prompt,steps\n狐狸,4\n" + "猫,abc\n" * 9), "--skip-bad")
    assert result.stderr.count("'abc' is no whole number") == 5
    assert "... and 4 more\n      they are in out/rejects.jsonl, with what is wrong" in result.stderr


def test_pictures_drawn_together_share_their_time() -> None:
    result = draw("--prompts", write("猫.txt", "猫\n狐狸\n"), "--seed", 7)
    assert [line.split(" · ")[3] for line in result.stderr.splitlines() if "seed" in line and "·" in line] == ["0.4 s for 2 together"] * 2


def test_a_folder_in_the_place_of_a_picture_is_told() -> None:
    Path("photos").mkdir()
    assert "rows.csv:2: init_image: photos: a folder, not a picture" in refused(
        "--prompts", write("rows.csv", "prompt,init_image\n猫,photos\n")
    )
