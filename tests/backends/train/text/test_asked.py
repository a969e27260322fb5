"""Which rows are asked about."""

from __future__ import annotations

from aigc_cli.backends.train.text.asked import QuestionPicker
from aigc_cli.backends.train.text.encode import Encoded
from aigc_cli.core.sample import CompletionSample, Origin, Sample, Split


class Prompts:
    """Stands for an encoder: asks what the row asks, and leaves out what asks nothing."""

    def encode(self, samples: list[Sample]) -> list[Encoded]:
        return [Encoded([1], [True], 1, "" if isinstance(sample, CompletionSample) and sample.prompt else "refused") for sample in samples]

    def prompt_of(self, sample: Sample) -> object:
        assert isinstance(sample, CompletionSample)
        return type("Question", (), {"reference": sample.completion, "prompt": sample.prompt})


def picked(rows: list[tuple[Split, Origin, Sample]], count: int) -> list[str]:
    picker = QuestionPicker(count, Prompts())  # type: ignore[arg-type]
    assert list(picker.watch(iter(rows))) == rows
    return [asked.question.reference for asked in picker.questions()]


def rows_at(lines: list[int]) -> list[tuple[Split, Origin, Sample]]:
    return [("validation", Origin("d.json", line), CompletionSample("问", f"答{number}")) for number, line in enumerate(lines)]


def test_rows_that_are_left_out_are_not_asked_and_others_take_their_place() -> None:
    rows = [(split, origin, CompletionSample("", "x") if origin.line % 2 else sample) for split, origin, sample in rows_at(list(range(50)))]
    found = picked(rows, 9)
    assert len(found) == 9
    assert "x" not in found


def test_rows_that_stand_in_one_line_are_told_apart() -> None:
    """A list of JSON without newlines, or a book without paragraphs."""
    in_one_line, in_many = picked(rows_at([1] * 50), 5), picked(rows_at(list(range(1, 51))), 5)
    assert in_one_line == in_many
    assert len(set(in_one_line)) == 5
    assert set(in_one_line) != {f"答{number}" for number in range(5)}


def test_a_smaller_choice_is_the_beginning_of_a_larger_one() -> None:
    rows = rows_at(list(range(1, 51)))
    assert picked(rows, 9)[:4] == picked(rows, 4)
