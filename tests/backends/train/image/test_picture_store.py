"""Pictures encoded once: what is kept, what a kill or a full disk leaves, and that it is what the model was given."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from aigc_cli.backends.train.image import picture_store, tensor_file
from aigc_cli.backends.train.image.buckets import Shape, fit, shapes
from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.image.picture_store import PictureStore, Wanted, make_store
from aigc_cli.backends.train.image.pixels import to_pixels
from aigc_cli.backends.train.image.tensor_file import TensorFile, fill
from aigc_cli.core.errors import AigcError, DiskFullError, UsageError
from aigc_cli.core.events import Event
from aigc_cli.picture_data.opening import open_row
from tests.backends.image.tiny_pipelines import tiny_pipeline
from tests.backends.train.image.picture_runs import followed, pictures, save_pictures


@pytest.fixture(scope="module")
def family() -> Family:
    return open_family(tiny_pipeline("sd"))


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    dataset = pictures(save_pictures(tmp_path_factory.mktemp("data") / "pictures", 9))
    fits = [fit(row.width, row.height, shapes(32, 8)) for row in dataset.rows]
    return Wanted(dataset.rows, fits, [number % 2 == 0 for number in range(9)], makes_embeddings=True)


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture reaches the disk before the next."""
    monkeypatch.setattr(picture_store, "PIXELS_AT_ONCE", 1)
    monkeypatch.setattr(picture_store, "CAPTIONS_AT_ONCE", 1)
    monkeypatch.setattr(tensor_file, "SYNC_SECONDS", 0.0)


def made(wanted: Wanted, family: Family, folder: Path) -> tuple[list[Event], PictureStore]:
    return followed(make_store(wanted, family, folder, "cpu"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*/*")}


class Counting:
    """The family, its pictures counted; told to, it fails at one of them."""

    def __init__(self, family: Family, fails_at: int = -1, error: BaseException | None = None) -> None:
        self.family, self.fails_at, self.error, self.pictures = family, fails_at, error, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.family, name)

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.pictures == self.fails_at and self.error:
            raise self.error
        self.pictures += len(pixels)
        return self.family.encode_pixels(pixels)


def test_every_row_has_its_own_latents_and_its_mirror_image(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    _, store = made(wanted, family, tmp_path)
    for number, row in enumerate(wanted.rows):
        pixels = to_pixels(open_row(row), wanted.fits[number].shape, 3)[None]
        assert torch.allclose(store.latents(number), family.encode_pixels(pixels)[0], atol=2e-3, rtol=2e-3)
        if wanted.mirrored[number]:
            assert torch.allclose(store.latents(number, is_mirrored=True), family.encode_pixels(pixels.flip(-1))[0], atol=2e-3, rtol=2e-3)
        else:
            with pytest.raises(ValueError, match="was not mirrored"):
                store.latents(number, is_mirrored=True)
    store.close()


@torch.no_grad()
def test_captions_are_what_the_text_encoder_makes_of_them(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    _, store = made(wanted, family, tmp_path)
    for caption in ("", "一个红色的圆"):
        told = store.conditioning(caption)
        expected = family.embed(family.tokens([caption]))
        assert told.keys() == expected.keys()
        assert all(torch.allclose(told[name], expected[name][0], atol=1e-6) for name in told)


def test_where_text_encoders_are_trained_tokens_are_kept(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    _, store = made(replace(wanted, makes_embeddings=False), family, tmp_path)
    told = store.conditioning("a red disc")
    assert torch.equal(told["input_ids"], family.tokens(["a red disc"])["input_ids"][0])


def test_a_second_start_encodes_nothing(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    made(wanted, family, tmp_path)
    counting = Counting(family)
    events, _ = made(wanted, counting, tmp_path)
    assert (events, counting.pictures) == ([], 0)


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize("pictures_before", [0, 1, 5, 13])
def test_killed_on_the_way_it_goes_on_where_it_was(tmp_path: Path, wanted: Wanted, family: Family, pictures_before: int) -> None:
    made(wanted, family, tmp_path / "whole")
    sample = 1  # of which the latents' shape is learnt
    with pytest.raises(KeyboardInterrupt):
        made(wanted, Counting(family, sample + pictures_before, KeyboardInterrupt()), tmp_path / "killed")
    for path in (tmp_path / "killed").glob("*/latents-*.bin"):  # what was written last need not have reached the disk
        path.write_bytes(path.read_bytes() + b"torn")
    rest = Counting(family)
    made(wanted, rest, tmp_path / "killed")
    assert rest.pictures == 14 - pictures_before
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert resumed.keys() == whole.keys()
    assert all(resumed[name].startswith(content) for name, content in whole.items())  # behind a finished file nobody reads


@pytest.mark.usefixtures("one_at_a_time")
def test_a_disk_that_fills_up_is_an_error_with_advice_and_what_is_done_is_kept(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    with pytest.raises(DiskFullError, match="no room is left") as raised:
        made(wanted, Counting(family, 6, OSError(errno.ENOSPC, "No space left on device")), tmp_path)
    assert "--resume" in raised.value.hint
    rest = Counting(family)
    made(wanted, rest, tmp_path)
    assert rest.pictures == 14 - 5


def test_a_disk_that_is_too_small_is_refused_before_anything_is_encoded(
    tmp_path: Path, wanted: Wanted, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**10))
    counting = Counting(family)
    with pytest.raises(AigcError, match=r"1\.0 KiB are free"):
        made(wanted, counting, tmp_path)
    assert counting.pictures == 1


def test_other_captions_or_shapes_make_another_store(wanted: Wanted) -> None:
    keys = {wanted.key, replace(wanted, makes_embeddings=False).key, replace(wanted, mirrored=[False] * 9).key}
    keys.add(replace(wanted, rows=wanted.rows[::-1]).key)
    keys.add(replace(wanted, fits=[replace(each, shape=Shape(64, 64)) for each in wanted.fits]).key)
    assert len(keys) == 5


def test_a_picture_that_has_changed_is_named(tmp_path: Path, family: Family) -> None:
    dataset = pictures(save_pictures(tmp_path / "pictures", 4))
    fits = [fit(row.width, row.height, shapes(32, 8)) for row in dataset.rows]
    Image.new("RGB", (64, 64)).save(dataset.rows[2].path)
    with pytest.raises(UsageError, match="has changed since"):
        made(Wanted(dataset.rows, fits, [False] * 4, makes_embeddings=True), family, tmp_path)


def test_latents_that_are_no_numbers_name_their_picture(tmp_path: Path, wanted: Wanted, family: Family) -> None:
    class Broken(Counting):
        def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().encode_pixels(pixels) * float("nan")

    with pytest.raises(AigcError, match=r"no finite numbers of .*\.png"):
        made(wanted, Broken(family), tmp_path)


def test_items_of_another_shape_are_refused(tmp_path: Path) -> None:
    file = TensorFile(tmp_path / "x.bin", (2, 3), torch.float16)
    with pytest.raises(ValueError, match="holds items of shape"):
        list(fill([file], [0], 1, lambda group: [torch.zeros(1, 3, 2)]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_tensors_come_back_as_they_were(tmp_path: Path, dtype: torch.dtype) -> None:
    items = torch.arange(24).reshape(4, 2, 3).to(dtype)
    file = TensorFile(tmp_path / "x.bin", (2, 3), dtype)

    def make(group: Iterator[int]) -> list[torch.Tensor]:
        return [torch.stack([items[number] for number in group])]

    assert list(fill([file], range(4), 3, make)) == [3, 4]
    assert all(torch.equal(file.read(number), items[number]) for number in range(4))
    with pytest.raises(IndexError):
        file.read(4)
    file.close()
