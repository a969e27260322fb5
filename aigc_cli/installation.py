"""What is installed, where things are kept, and what is amiss: facts that need no torch.

Imports packages only to see whether they can be; reading creates nothing on disk.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.extras import PINNED, torch_index
from aigc_cli.settings import Folders, folders

REQUIRED = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "numpy", "gguf", "typer", "rich", "prompt_toolkit")
OPTIONAL = ("diffusers", "accelerate", "peft", "torchao", "bitsandbytes", "llguidance")
TORCHVISION = "torchvision"
USE_TORCHVISION = ("transformers", "diffusers", "accelerate", "peft")  # the others through the first
LISTED = ("spandrel",)  # not imported: it takes torchvision, which is looked at by itself
FLOORS = {"torch": "2.10", "transformers": "5.3", "diffusers": "0.38"}  # below these there are known security holes
VARIABLES = (
    "AIGC_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "NO_COLOR",
    "FORCE_COLOR",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
SECRETS = ("HF_TOKEN", "OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY")  # a proxy's address may hold a password
LOW_DISK = 2**30


@dataclass(frozen=True)
class Problem:
    """Something amiss, and what to do about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Package:
    """version: None where it is not installed.  failure: what importing it raised."""

    name: str
    version: str | None
    failure: str = ""
    is_required: bool = True

    @property
    def works(self) -> bool:
        return self.version is not None and not self.failure

    def problem(self) -> Problem | None:
        name = self.name.replace("_", "-")
        if self.version is None and not self.failure:
            return Problem(f"{self.name} is not installed", f"pip install {name}") if self.is_required else None
        if self.failure:
            what = f"{self.name} {self.version}" if self.version else self.name
            return Problem(f"{what} cannot be imported: {self.failure}", f"pip install --force-reinstall --no-deps {name}")
        floor = FLOORS.get(self.name)
        if floor and numbers(self.version or "") < numbers(floor):
            return Problem(f"{self.name} {self.version} has known security holes", f"pip install '{name}>={floor}'")
        return None


@dataclass(frozen=True)
class FolderUse:
    """size: bytes of the files in it, None where there is no such folder.  free: bytes on its disk."""

    name: str
    path: Path
    size: int | None
    free: int
    is_writable: bool

    def problem(self) -> Problem | None:
        if not self.is_writable:
            return Problem(f"{self.path} cannot be written to ({self.name})", "set AIGC_HOME or HF_HOME to a folder of your own")
        if self.free < LOW_DISK:
            return Problem(
                f"{self.path} has {self.free / 2**20:.0f} MiB of disk left ({self.name})",
                "free some, or set AIGC_HOME or HF_HOME to another disk",
            )
        return None


def packages() -> list[Package]:
    """Every package that matters, those installed also imported: a broken one must be told from a missing one."""
    imported = [package(name, name in REQUIRED) for name in (*REQUIRED, TORCHVISION, *OPTIONAL)]
    return [*imported, *(Package(name, version_of(name), is_required=False) for name in LISTED)]


def package_problems(found: Sequence[Package]) -> Iterator[Problem]:
    """Where torchvision is broken, no word on those that fail with it."""
    by_name = {each.name: each for each in found}
    broken = torchvision_problem(by_name[TORCHVISION])
    for each in found:
        fails_with_it = broken and each.failure and each.name in (TORCHVISION, *USE_TORCHVISION)
        if not fails_with_it and (problem := each.problem()):
            yield problem
    if broken:
        yield broken


def package(name: str, is_required: bool) -> Package:
    version = version_of(name)
    failure = ""
    if version is not None or importlib.util.find_spec(name):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a broken package raises as it loads
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
    return Package(name, version, failure, is_required)


def version_of(name: str) -> str | None:
    """None where it is not installed, or its metadata is damaged."""
    try:
        return importlib.metadata.version(name)
    except Exception:
        return None


def torchvision_problem(torchvision: Package | None = None) -> Problem | None:
    """transformers imports it wherever it is installed, so one that was built for another torch breaks all that does the same."""
    torchvision = torchvision or package(TORCHVISION, False)
    if not torchvision.failure:
        return None
    index = torch_index()
    install = f"pip install --force-reinstall --no-deps {PINNED} {f'--index-url {index} ' if index else ''}{TORCHVISION}"
    beside = f"{TORCHVISION} {torchvision.version or ''} does not fit torch {version_of('torch')}"
    return Problem(
        f"{beside}, and transformers, which imports it, fails with it: {torchvision.failure}",
        f"pip uninstall {TORCHVISION} (only aigc upscale --model needs it), or in the folder of the clone: {install}",
    )


def numbers(version: str) -> tuple[int, ...]:
    """Major, minor, patch, as far as they are given."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, release[0].split(".")[:3])) if release else ()


def folder_uses(environ: Mapping[str, str] = os.environ) -> list[FolderUse]:
    ours: Folders = folders(environ)
    named = (("config", ours.config), ("data", ours.data), ("cache", ours.cache), ("Hugging Face cache", hub_cache(environ)))
    return [folder_use(name, path) for name, path in named]


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Where huggingface_hub keeps models, by its own rules."""
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def folder_use(name: str, path: Path) -> FolderUse:
    existing = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path("/"))
    is_writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return FolderUse(name, path, folder_size(path) if path.is_dir() else None, shutil.disk_usage(existing).free, is_writable)


def folder_size(path: Path) -> int:
    """Bytes of the files below; links are not followed, what cannot be read is left out."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            size += status.st_size
    return size


def environment(key_variable: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that matter and are set; of a secret only that it is."""
    shown = {name: without_password(environ[name]) for name in VARIABLES if environ.get(name)}
    secrets = dict.fromkeys((*SECRETS, key_variable))
    return shown | {name: "set" for name in secrets if environ.get(name) or environ.get(name.lower())}


def without_password(text: str) -> str:
    """The text with the user and password of any address in it blotted out."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
