"""A new pipeline is told by what its tables say, not by the text that says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.store.blueprint import Tables, canonical, existing_autoencoder, read_tables, table_changes

TEXT = """
max-steps = 60
[unet]  # 去噪
sample_size = 16
channels = [32, 64]
[vae]
path = "~/vae"
"""


def tables(folder: Path, text: str) -> Tables:
    path = folder / "新.toml"
    path.write_text(text, "utf-8")
    return read_tables(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max-steps = 60", "max-steps = 90"),
        ("# 去噪", ""),
        ("sample_size = 16\nchannels = [32, 64]", "channels = [\n  32,\n  64,\n]\nsample_size = 16"),
        ("[unet]", '[vae]\npath = "~/vae"\n[unet]'),
        ('"~/vae"', '"elsewhere/vae"'),
    ],
)
def test_what_says_the_same_is_the_same(tmp_path: Path, old: str, new: str) -> None:
    changed = TEXT.replace(old, new)
    if changed.count("[vae]") == 2:  # the tables in another order
        changed = changed.removesuffix('[vae]\npath = "~/vae"\n')
    assert changed != TEXT
    before, now = tables(tmp_path, TEXT), tables(tmp_path, changed)
    assert canonical(before) == canonical(now)
    assert table_changes(before, now) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sample_size = 16", "sample_size = 32", ["[unet] sample_size was 16, is 32"]),
        ("[32, 64]", "[64, 32]", ["[unet] channels was [32, 64], is [64, 32]"]),
        ("sample_size = 16\n", 'class = "甲"\n', ["[unet] sample_size was 16, is not given", '[unet] class was not given, is "甲"']),
        ("[vae]", "[scheduler]\nborn = 2026-11-23\n[vae]", ['[scheduler] born was not given, is "2026-11-23"']),
    ],
)
def test_a_change_is_told_by_its_table_and_field(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    before, now = tables(tmp_path, TEXT), tables(tmp_path, TEXT.replace(old, new))
    assert canonical(before) != canonical(now)
    assert table_changes(before, now) == words


def test_an_autoencoder_that_is_there_counts_with_its_files(tmp_path: Path) -> None:
    assert existing_autoencoder(tables(tmp_path, TEXT)) == Path("~/vae").expanduser()
    assert existing_autoencoder(tables(tmp_path, "[unet]\n")) is None
