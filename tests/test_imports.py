"""The shape of the house: who may import whom, and what a quick command must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import aigc_cli

PACKAGE = Path(aigc_cli.__file__).parent
HEAVY = ("torch", "transformers", "diffusers", "numpy", "PIL")
ALLOWED = {
    "core": {"core"},
    "batch": {"batch", "core", "data", "pictures", "store", "text_input"},
    "data": {"core", "data"},
    "picture_data": {"core", "data", "picture_data", "pictures"},
    "pictures": {"core", "pictures", "backends"},  # of backends the table of sampler names, which imports no engine
    "training": {"core", "training"},
    "store": {"core", "store", "atomic_file"},
    "render": {"core", "pictures", "render", "training"},
    "backends": {"core", "backends", "installation"},
    "backends/image": {"core", "backends", "pictures"},
    "backends/train": {"core", "backends", "data", "store", "training", "atomic_file"},
    "backends/train/image": {"core", "backends", "picture_data", "pictures", "store", "training", "atomic_file"},
}
PACKAGE_OF = {"pillow": "PIL"}  # where what is imported is called otherwise
HTTP_AND_WEIGHTS = {"torch", "transformers", "peft", "tokenizers", "diffusers", "gguf", "httpx", "httpx2", "huggingface_hub"}
READS_HEADERS = PACKAGE / "models" / "headers.py"  # gguf has the table of its number formats


def imports(path: Path) -> set[str]:
    """The full names that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_point_at_core(folder: str) -> None:
    inner = {PACKAGE / other for other in ALLOWED if other.startswith(f"{folder}/")}
    for path in (path for path in (PACKAGE / folder).rglob("*.py") if not inner & set(path.parents)):
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("aigc_cli.")}
        assert ours <= ALLOWED[folder], path


def test_core_imports_the_standard_library_only() -> None:
    for path in (PACKAGE / "core").glob("*.py"):
        others = {name.split(".")[0] for name in imports(path)} - {"aigc_cli"}
        assert others <= set(sys.stdlib_module_names), path


def test_weights_and_http_live_in_backends_and_the_hub_modules() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "backends") or path.match("models/hub*.py"):
            continue
        found = {name.split(".")[0] for name in imports(path)} & HTTP_AND_WEIGHTS
        assert found == ({"gguf"} if path == READS_HEADERS else set()), path


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = [re.split(r"[<>=\[]", line)[0] for line in lines]
    declared = {PACKAGE_OF.get(name, name.replace("-", "_")) for name in names}
    for path in PACKAGE.rglob("*.py"):
        others = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"aigc_cli"}
        assert others <= declared, path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["complete", "--help"], ["chat", "--help"], ["config", "list"]])
def test_a_quick_command_loads_nothing_heavy_and_leaves_nothing_on_disk(arguments: list[str], own_home: Path) -> None:
    code = f"""
import sys
from aigc_cli.__main__ import main
status = main({arguments!r})
assert status == 0, status
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    before = sorted(own_home.rglob("*"))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert sorted(own_home.rglob("*")) == before
