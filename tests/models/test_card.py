"""What is read off a model's card."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.models.card import Card, read_card
from aigc_cli.models.catalogue import BUILTINS

CARD = """\
---
license: apache-2.0
language: [en, zh]
---

# A model

| of two columns | with headings |
|---|---|
| no | fact |

| | |
|---|---|
| shape | `a\\|b`, 3 million |
| 数据 | icons \\<CC BY\\> |

| | |
|---|---|
| a second | table |
"""


def test_the_licence_and_the_table_of_facts(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD, "utf-8")
    assert read_card(tmp_path) == Card("apache-2.0", {"shape": "a|b, 3 million", "数据": "icons <CC BY>"})


@pytest.mark.parametrize("content", [None, b"", b"license: mit\n", b"\xff\xfe", b"---\nlanguage: en\n---\n| | |\n|---|---|\n"])
def test_a_card_that_tells_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "README.md").write_bytes(content)
    assert read_card(tmp_path) == Card()


def test_every_built_in_model_has_one() -> None:
    for builtin in BUILTINS.values():
        if builtin.path.is_dir():
            card = read_card(builtin.path)
            assert card.licence, builtin.name
            assert card.facts, builtin.name
