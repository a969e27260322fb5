"""Which pictures are kept: scores, the best of several, drafts."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.core.events import Caution, Event
from aigc_cli.models.resolve_clip import resolve_clip
from tests.commands.imaging import OUT, draw, drawn, names, recipe, records, refused, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]


class FakeJudge:
    """Scores by the seed: `best` is best, then those below it and so on around."""

    def __init__(self) -> None:
        self.best = 3
        self.scored: list[tuple[int, int]] = []  # seed and steps of each

    def score(self, picture: Any) -> Generator[Event, None, float]:
        request = picture.item.request
        self.scored.append((request.seed, request.steps))
        if request.prompt == "long":
            yield Caution(message="CLIP reads 77 tokens: the score leaves out 'x'")
        return float((request.seed + 7 - self.best) % 8) / 10


@pytest.fixture(autouse=True)
def judge(fake_image: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeJudge:
    def resolve(name: str, **options: Any) -> Generator[Event, None, Path]:
        yield from ()
        return folder

    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    judge = FakeJudge()
    monkeypatch.setattr("aigc_cli.commands.image_run.resolve_clip", resolve)
    monkeypatch.setattr("aigc_cli.commands.image_run.open_judge", lambda *_: judge)
    return judge


def seeds(batch: list[tuple[str, int]]) -> list[int]:
    return [seed for _, seed in batch]


def test_a_score_is_told_everywhere() -> None:
    result = draw("狐狸", "--seed", 3, "--score", "clip")
    assert "score 0.700" in result.stderr
    assert records()[0]["score"] == 0.7
    assert recipe(OUT / "0001-狐狸-3.png")["score"] == 0.7
    events = draw("狐狸", "--seed", 2, "--score", "clip", "--json").events
    assert [event["score"] for event in events if event["event"] == "image"] == [0.6]
    assert "the score leaves out" in draw("long", "--score", "clip").stderr


def test_none_that_scores_too_little_is_kept(judge: FakeJudge) -> None:
    result = draw("狐狸", "-n", 8, "--seed", 0, "--min-score", "0.5")
    assert names() == ["0002-狐狸-1.png", "0003-狐狸-2.png", "0004-狐狸-3.png"]
    assert len(result.stdout.splitlines()) == 3
    assert "5 pictures not kept, by their scores, of which 0.400 is the best" in result.stderr
    assert [(record["status"], record["score"]) for record in records() if record["status"] == "rejected"] == [
        ("rejected", score) for score in (0.4, 0.0, 0.1, 0.2, 0.3)
    ]
    drawn()
    again = draw("狐狸", "-n", 8, "--seed", 0, "--min-score", "0.5")
    assert drawn() == []  # those that were not kept are known, too
    assert "8 pictures, 3 of them there already" in again.stderr
    assert "5 pictures not kept, by their scores" in again.stderr


def test_the_best_of_several(judge: FakeJudge) -> None:
    result = draw("狐狸", "--best-of", 8, "--seed", 0)
    assert result.stdout == "out/0004-狐狸-3.png\n"
    assert len(judge.scored) == 8
    assert sorted(record["status"] for record in records()) == ["done", *["rejected"] * 7]


def test_as_many_of_the_best_as_are_wanted() -> None:
    draw("狐狸", "--best-of", 8, "--keep", 3, "--seed", 0)
    assert names() == ["0002-狐狸-1.png", "0003-狐狸-2.png", "0004-狐狸-3.png"]


def test_drafts_are_ranked_and_only_the_best_finished(judge: FakeJudge, fake_image: Fake) -> None:
    result = draw("狐狸", "--best-of", 8, "--draft-steps", 2, "--keep", 2, "--steps", 9, "--seed", 0)
    assert [(seeds([(r.prompt, r.seed) for r in batch]), batch[0].steps) for batch in fake_image.batches] == [
        ([0, 1, 2, 3], 2),
        ([4, 5, 6, 7], 2),
        ([2, 3], 9),
    ]
    assert judge.scored[-2:] == [(2, 9), (3, 9)]
    assert names() == ["0003-狐狸-2.png", "0004-狐狸-3.png"]
    assert recipe(OUT / "0004-狐狸-3.png")["settings"]["steps"] == 9
    assert len(result.stdout.splitlines()) == 2


def test_drafts_of_as_many_steps_are_finished_pictures(judge: FakeJudge, fake_image: Fake) -> None:
    result = draw("狐狸", "--best-of", 4, "--draft-steps", 9, "--steps", 9, "--seed", 0)
    assert "--draft-steps 9 is no fewer than the steps of a finished picture: all candidates are drawn in full\n" in result.stderr
    assert len(fake_image.batches) == 1
    assert names() == ["0004-狐狸-3.png"]


def test_the_best_of_each_prompt() -> None:
    result = draw("--prompts", write("猫.txt", "猫\n狐狸 {a|b}\n"), "--best-of", 4, "--seed", 0, "--json")
    results = [each for each in result.events if each["status"] == "done"]
    assert [(each["prompt"], each["seed"]) for each in results] == [("猫", 3), ("狐狸 a", 7), ("狐狸 b", 7)]
    assert len(result.events) == 12


def test_a_name_that_a_row_asks_for_goes_to_the_best() -> None:
    rows = write("rows.csv", "prompt,filename\n狐狸,主图\ncat,\n")
    draw("--prompts", rows, "--best-of", 4, "--seed", 0)
    assert "主图.png" in names()
    assert recipe(OUT / "主图.png")["settings"]["seed"] == 3
    assert len(names()) == 2
    drawn()
    draw("--prompts", rows, "--best-of", 4, "--seed", 0)
    assert drawn() == []
    draw("--prompts", rows, "--best-of", 4, "--keep", 2, "--seed", 0, "-o", "two")
    assert {"主图.png", "主图-2.png"} <= set(names(Path("two")))
    assert recipe(Path("two") / "主图.png")["settings"]["seed"] == 3


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 8, 13])
@pytest.mark.parametrize("options", [(), ("--draft-steps", "2"), ("--draft-steps", "2", "--keep", "2")])
def test_a_choice_that_was_interrupted_ends_as_an_undisturbed_one(steps: int, options: tuple[str, ...], run: Run, fake_image: Fake) -> None:
    command: tuple[str | Path | int, ...] = (
        "--prompts",
        write("猫.txt", "猫\n狐狸\n"),
        "--best-of",
        4,
        "--seed",
        0,
        "--steps",
        4,
        *options,
    )
    draw(*command, "-o", "whole")
    fake_image.steps_done, fake_image.stop = 0, (steps, KeyboardInterrupt())
    assert run("image", *command).status in (0, 130)
    fake_image.stop = None
    draw(*command)
    assert names() == names(Path("whole"))
    assert {record["key"]: record["status"] for record in records()} == {each["key"]: each["status"] for each in records(Path("whole"))}
    drawn()
    assert "there already" in draw(*command).stderr
    assert drawn() == []


def test_a_candidate_that_fails_does_not_stop_the_choice(run: Run, fake_image: Fake) -> None:
    fake_image.broken["狐狸 b"] = AigcError("the model stumbled")
    result = run("image", "狐狸 {a|b}", "--best-of", 4, "--seed", 0)
    assert (result.status, result.stdout) == (5, "out/0004-狐狸-a-3.png\n")
    assert "4 of 8 pictures could not be drawn" in result.stderr


def test_a_draft_that_cannot_be_finished_makes_room_for_the_next(run: Run, fake_image: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fake_image.stream

    def stream(self: Any, requests: Any, previews: Any) -> Generator[Event, None, None]:
        if any((request.seed, request.steps) in ((3, 4), (2, 4)) for request in requests):
            raise OutOfMemoryError("out of memory", "")
        yield from real(self, requests, previews)

    monkeypatch.setattr(fake_image, "stream", stream)
    command = ("狐狸", "--best-of", 8, "--draft-steps", 2, "--seed", 0)
    result = run("image", *command)
    assert (result.status, result.stdout) == (5, "out/0002-狐狸-1.png\n")
    assert result.stderr.count("a draft that was chosen could not be finished: the next best takes its place") == 2
    assert "2 of 8 pictures could not be drawn" in result.stderr
    assert sorted(record["status"] for record in records()) == ["done", *["failed"] * 2, *["rejected"] * 5]
    assert run("image", *command).status == 0  # what was kept stays kept, and those that failed compete no more
    drawn()
    assert draw(*command).stdout == "out/0002-狐狸-1.png\n"
    assert (names(), drawn()) == (["0002-狐狸-1.png"], [])


def test_another_choice_is_another_run() -> None:
    draw("狐狸", "--best-of", 4, "--seed", 0)
    drawn()
    draw("狐狸", "--best-of", 4, "--seed", 0, "--keep", 2)
    assert len(drawn()) == 1


def test_nothing_on_stdout_is_a_failure(run: Run) -> None:
    result = run("image", "狐狸", "--seed", 0, "--min-score", "0.5", "-o", "-")
    assert (result.status, result.stdout) == (1, "")
    assert "the picture scores too little to be kept (0.400), and nothing is written" in result.stderr


def test_the_best_to_stdout(run: Run) -> None:
    assert "-o - is for one picture, and that makes 2" in refused("狐狸", "--best-of", 4, "--keep", 2, "-o", "-")


def rewrite(keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leaves in the manifest only some of its lines."""
    path = OUT / "manifest.jsonl"
    path.write_text("".join(line for line in path.read_text("utf-8").splitlines(keepends=True) if keep(json.loads(line))), "utf-8")


def test_what_was_kept_stays_kept_when_a_better_candidate_comes_later(judge: FakeJudge) -> None:
    command = ("狐狸", "--best-of", 4, "--seed", 0)
    draw(*command)
    rewrite(lambda record: record["seed"] != 1)
    judge.best = 1
    draw(*command)
    assert names() == ["0004-狐狸-3.png"]
    assert 1 in [record["seed"] for record in records() if record["status"] == "rejected"]


def test_rejections_without_a_winner_are_none() -> None:
    """As a kill leaves them."""
    command = ("狐狸", "--best-of", 4, "--seed", 0)
    draw(*command)
    rewrite(lambda record: record["status"] == "rejected")
    (OUT / "0004-狐狸-3.png").unlink()
    draw(*command)
    assert names() == ["0004-狐狸-3.png"]


@pytest.mark.parametrize("options", [("--best-of", 2), ("--min-score", "0.2")])
def test_offline_a_clip_on_this_machine_can_be_named(monkeypatch: pytest.MonkeyPatch, options: tuple[str | int, ...]) -> None:
    monkeypatch.setattr("aigc_cli.commands.image_run.resolve_clip", resolve_clip)
    monkeypatch.setattr("aigc_cli.models.hub.is_offline", lambda: True)
    said = refused("fox", *options, status=3)
    assert "scores need a CLIP model: openai/clip-vit-large-patch14 is not in the cache" in said
    assert "name a CLIP that is on this machine: --score FOLDER" in said


def test_a_damaged_file_of_the_best_is_replaced() -> None:
    rows = write("rows.csv", "prompt,filename\n狐狸,主图\n")
    draw("--prompts", rows, "--seed", 0, "--best-of", 4)
    whole = (OUT / "主图.png").read_bytes()
    (OUT / "主图.png").write_bytes(whole[:200])
    draw("--prompts", rows, "--seed", 0, "--best-of", 4)
    assert (names(), (OUT / "主图.png").read_bytes()) == (["主图.png"], whole)
