from __future__ import annotations

import sys

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.extras import install_hint
from aigc_cli.render.tensorboard import with_tensorboard
from tests.training_run import STEPS, train_step, training_events

pytest.importorskip("tensorboardX")


def scalars(folder):
    """Every figure of every file, as (tag, step, value)."""
    return [(value.tag, event.step, value.simple_value) for event in written(folder) for value in event.summary.value]


def written(folder):
    """Every event of every file."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401 - the format is read below, as it writes it

    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")  # then 4 bytes of checksum, the event, 4 bytes of checksum
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_events_pass_through_and_their_figures_are_written(tmp_path):
    events = list(training_events())
    assert list(with_tensorboard(events, tmp_path / "tensorboard")) == events
    found = scalars(tmp_path / "tensorboard")
    assert ("train/loss", STEPS, 1.0) in found
    assert sum(tag == "train/learning_rate" for tag, _, _ in found) == STEPS
    assert ("validation/exact-match", STEPS, 41.5) in found
    assert ("validation/loss", 0, pytest.approx(3.914)) in found


def test_nothing_is_made_where_nothing_is_trained(tmp_path):
    assert list(with_tensorboard([], tmp_path / "tensorboard")) == []
    assert not (tmp_path / "tensorboard").exists()


def test_a_start_from_the_beginning_takes_the_place_of_what_was_said_before(tmp_path):
    from tensorboardX.proto.event_pb2 import SessionLog

    list(with_tensorboard(training_events(), tmp_path))
    assert [event.step for event in written(tmp_path) if event.session_log.status == SessionLog.START] == [0]


def test_a_run_that_ends_early_has_what_came_before(tmp_path):
    events = with_tensorboard((train_step(step) for step in range(1, 10)), tmp_path)
    next(events)
    next(events)
    events.close()
    assert {step for _, step, _ in scalars(tmp_path)} == {1, 2}


def test_a_missing_package_is_an_error_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    trained = []
    events = with_tensorboard((trained.append(step) or train_step(step) for step in (1, 2)), tmp_path)
    with pytest.raises(AigcError, match="tensorboardX") as error:
        next(events)
    assert error.value.hint == install_hint("tensorboard")
    assert trained == []
