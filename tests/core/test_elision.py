from __future__ import annotations

from pathlib import Path

from aigc_cli.core.elision import elided


def test_only_what_is_too_long_is_cut_and_only_in_its_middle():
    assert elided("狐狸.png") == "狐狸.png"
    path = Path("a" * 80) / ("b" * 80)
    assert elided(path) == str(path)
    assert elided(f"out/{'狐' * 90}.png/x") == f"out/{'狐' * 50}…{'狐' * 16}.png/x"
