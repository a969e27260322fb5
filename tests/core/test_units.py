from __future__ import annotations

import pytest

from aigc_cli.core.units import format_count, format_duration, format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1.5 * 2**30, "1.5 GiB"), (5000 * 2**30, "5000.0 GiB")],
)
def test_sizes_are_in_powers_of_1024(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1K"), (260_032, "260K"), (134_515_008, "135M"), (751_632_384, "752M"), (8_190_735_360, "8.19B")],
)
def test_counts_are_as_model_cards_write_them(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (367_200, "4 d 06 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
