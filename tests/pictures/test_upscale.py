from __future__ import annotations

import itertools

import pytest
from PIL import Image, ImageChops, ImageFilter

from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.upscale import OVERLAP, enlarge_tiled, fade, lanczos, target_size, tiles


def run_to_end(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


@pytest.mark.parametrize("length", [1, 95, 96, 97, 150, 160, 161, 500, 1080])
@pytest.mark.parametrize("tile", [96, 128, 512])
def test_tiles_cover_a_side_and_overlap(length, tile):
    found = tiles(length, tile)
    assert (found[0].start, found[-1].stop) == (0, length)
    assert {each.stop - each.start for each in found} == {min(tile, length)}
    for before, after in itertools.pairwise(found):
        assert after.start > before.start
        assert after.shared == before.stop - after.start >= OVERLAP


def test_a_tile_fades_in_from_its_neighbours():
    mask = fade((100, 100), 40, 0)
    assert [mask.getpixel((x, 50)) for x in (0, 9, 31, 99)] == [0, 0, 255, 255]
    assert 100 < mask.getpixel((20, 50)) < 155
    assert fade((10, 10), 0, 0).getextrema() == (255, 255)


def test_seams_cannot_be_seen():
    """With a function that looks no further than the overlap, tiles give what the whole does."""
    picture = Image.effect_noise((230, 170), 60).filter(ImageFilter.GaussianBlur(2)).convert("RGB")

    def enlarge(tile):
        return lanczos(tile.filter(ImageFilter.GaussianBlur(1)), (tile.width * 2, tile.height * 2))

    tiled, events = run_to_end(enlarge_tiled(picture, enlarge, 2, 96))
    assert tiled.size == (460, 340)
    assert max(high for _, high in ImageChops.difference(tiled, enlarge(picture)).getextrema()) <= 2
    assert [(event.done, event.total) for event in events] == [(done, 12) for done in range(13)]


def test_tiles_that_differ_meet_in_a_slope():
    shades = iter((0, 200))
    tiled, _ = run_to_end(enlarge_tiled(Image.new("RGB", (160, 20)), lambda tile: Image.new("RGB", tile.size, (next(shades),) * 3), 1, 96))
    row = [tiled.getpixel((x, 10))[0] for x in range(160)]
    assert (row[0], row[-1]) == (0, 200)
    assert max(after - before for before, after in itertools.pairwise(row)) <= 13


@pytest.mark.parametrize(("size", "scale", "form"), [((8000, 8000), 4, "png"), ((5000, 10), 4, "webp"), ((20000, 10), 4, "jpeg")])
def test_a_file_that_nobody_could_open_is_refused(size, scale, form):
    with pytest.raises(UsageError, match="pixels"):
        target_size(size, scale, form)


def test_a_side_is_rounded_and_never_nothing():
    assert target_size((101, 1), 1.5, "png") == (152, 2)
