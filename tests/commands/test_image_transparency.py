"""A model that draws transparency: it is kept, or something is seen through it; of others it is not asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.pictures.alpha import image_of, laid_on
from tests.commands.imaging import OUT, draw, drawn, names, recipe, records, refused, write
from tests.conftest import run_here
from tests.fake_image import FakeImageEngine, pattern

Fake = type[FakeImageEngine]


@pytest.fixture
def clear(fake_image: Fake) -> Fake:
    """The engine, drawing in RGBA."""
    fake_image.has_alpha = True
    return fake_image


def whole(engine: Fake) -> Image.Image:
    """The last picture as the engine drew it."""
    return image_of(pattern(engine.batches[-1][0], 4))


@pytest.mark.parametrize("form", ["png", "webp"])
def test_the_file_keeps_it(clear: Fake, form: str) -> None:
    draw("fox", "--transparent", "--format", form, *(("--quality", 100) if form == "webp" else ()))
    [name] = names()
    with Image.open(OUT / name) as file:
        assert (file.mode, file.tobytes()) == ("RGBA", whole(clear).tobytes())
    assert recipe(OUT / name)["settings"]["transparent"] is True


@pytest.mark.parametrize(
    ("options", "colour"), [((), "white"), (("--background", "#ff8800"), "#ff8800"), (("--background", "navy"), "navy")]
)
def test_else_it_is_laid_on_a_colour(clear: Fake, options: tuple[str, ...], colour: str) -> None:
    draw("fox", *options)
    with Image.open(OUT / names()[0]) as file:
        assert (file.mode, file.tobytes()) == ("RGB", laid_on(whole(clear), colour).tobytes())
    assert recipe(OUT / names()[0])["settings"].get("background") == (colour if options else None)


def test_show_tells_of_it(clear: Fake) -> None:
    draw("fox", "--transparent", "--seed", 1)
    draw("fox", "--background", "navy", "--seed", 2)
    one, other = (run_here("show", OUT / name).stdout.split() for name in names())
    assert tuple(one[one.index("transparent") :][:2]) == ("transparent", "yes")
    assert tuple(other[other.index("background") :][:2]) == ("background", "navy")


def test_rows_say_it_for_themselves_and_count_as_other_pictures(clear: Fake) -> None:
    plain = [{"prompt": "fox", "seed": 1}, {"prompt": "fox", "seed": 1, "transparent": False}]
    asked = [{"prompt": "fox", "seed": 1, "transparent": True}, {"prompt": "fox", "seed": 1, "background": "red"}]
    draw("--prompts", write("rows.jsonl", [*plain, *asked]))
    modes = [Image.open(OUT / record["file"]).mode for record in records()]
    assert modes == ["RGB", "RGB", "RGBA", "RGB"]
    assert len({record["key"] for record in records()}) == 4
    drawn()
    draw("--prompts", write("rows.jsonl", [*plain, *asked]))
    assert drawn() == []


def test_a_table_says_it_in_words(clear: Fake) -> None:
    draw("--prompts", write("rows.csv", "prompt,transparent,background\nfox,yes,\nfox,0,skyblue\n"))
    assert [(each.transparent, each.background) for batch in clear.batches for each in batch] == [(True, None), (False, "skyblue")]


def test_a_picture_is_drawn_again_as_it_was_or_otherwise(clear: Fake) -> None:
    draw("fox", "--transparent", "--seed", 7)
    original = OUT / names()[0]
    draw("--from", original, "-o", "same")
    assert (Path("same") / names()[0]).read_bytes() == original.read_bytes()
    draw("--from", original, "--background", "navy", "-o", "other")
    assert Image.open(Path("other") / names()[0]).mode == "RGB"
    draw("--from", Path("other") / names()[0], "--transparent", "-o", "third")
    assert Image.open(Path("third") / names()[0]).tobytes() == Image.open(original).tobytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--transparent", "--background", "red"), "--transparent and --background contradict each other"),
        (("--transparent", "--format", "jpeg"), "--transparent and --format jpeg contradict each other"),
        (("--matrix", "transparent=yes,no", "--format", "jpeg"), "--transparent and --format jpeg contradict each other"),
        (("--background", "blurple"), "'blurple' is no colour"),
        (("--background", "#ff000080"), "is a colour that one can see through"),
        (("--matrix", "background=red,blurple"), "background: 'blurple' is no colour"),
    ],
)
def test_what_cannot_be_meant(clear: Fake, options: tuple[str, ...], words: str) -> None:
    assert words in refused("fox", *options)


def test_bad_rows_are_named(clear: Fake) -> None:
    path = write("rows.csv", "prompt,transparent,background\nfox,perhaps,\nfox,,blurple\nfox,yes,red\n")
    said = refused("--prompts", path)
    assert "rows.csv:2: transparent: 'perhaps' is neither true nor false" in said
    assert "rows.csv:3: background: 'blurple' is no colour" in said
    assert "rows.csv:4: transparent and background contradict each other" in said
    assert "rows.csv:2: transparent and --format jpeg contradict each other" in refused(
        "--prompts", write("rows.csv", "prompt,transparent\na,1\n"), "--format", "jpeg"
    )


@pytest.mark.parametrize("option", [("--transparent",), ("--background", "red")])
def test_a_model_without_it_is_not_asked_for_it(fake_image: Fake, option: tuple[str, ...]) -> None:
    result = run_here("image", "fox", *option)
    assert (result.status, "draws no transparency" in result.stderr, fake_image.batches) == (2, True, [])


def test_the_colour_of_a_recipe_is_looked_at_too(clear: Fake) -> None:
    draw("fox", "--background", "navy", "--seed", 7)
    path = OUT / names()[0]
    path.write_bytes(encoded_with(path, "blurple"))
    assert "'blurple' is no colour" in run_here("image", "--from", path).stderr


def encoded_with(path: Path, background: str) -> bytes:
    """The picture with another background in its recipe."""
    from dataclasses import replace

    from aigc_cli.pictures.alpha import pixels_of
    from aigc_cli.pictures.metadata import encode_picture, read_recipe

    known, _ = read_recipe(path)
    return encode_picture(pixels_of(Image.open(path)), replace(known, settings={**known.settings, "background": background}))
