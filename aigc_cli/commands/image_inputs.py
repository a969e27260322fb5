"""The pictures that rows begin with, looked at whole before anything slow happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aigc_cli.batch.plan import Common, fields_of
from aigc_cli.batch.rows import PromptRow
from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.opening import open_picture


class InputPictures:
    """Opens each file once, however many rows name it."""

    def __init__(self) -> None:
        self.sizes: dict[Path, tuple[int, int]] = {}

    def check(self, row: PromptRow, common: Common) -> None:
        """Raises: UsageError for a file that cannot be used as a picture, and for a mask of another size than its picture."""
        for point in common.matrix:
            fields = fields_of(row.values, common, point)
            sizes = {name: self._size(path) for name, path in pictures_in(fields).items()}
            if "mask" in sizes and sizes["mask"] != sizes.get("init_image", sizes["mask"]):
                (width, height), wanted = sizes["mask"], sizes["init_image"]
                message = f"--mask {fields['mask']} is {width} x {height}, its picture {wanted[0]} x {wanted[1]}"
                raise UsageError(message, "a mask has its picture's size: white is drawn anew, black stays")

    def _size(self, path: Path) -> tuple[int, int]:
        if path not in self.sizes:
            self.sizes[path] = open_picture(path)[0].size
        return self.sizes[path]


def pictures_in(fields: Mapping[str, Any]) -> dict[str, Path]:
    return {name: value for name, value in fields.items() if isinstance(value, Path)}
