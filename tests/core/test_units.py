from __future__ import annotations

import pytest

from aigc_cli.core.units import format_count, format_size


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
