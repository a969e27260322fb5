"""Networks that enlarge pictures, small, with the names of real ones. Without spandrel their tests are skipped."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


def spandrel_module() -> Any:
    """spandrel imports torchvision for two architectures that enlarge nothing; where there is none, an empty one stands in meanwhile."""
    pytest.importorskip("einops")
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel is not installed")
    if "spandrel" not in sys.modules and importlib.util.find_spec("torchvision") is None:
        modules = {name: ModuleType(name) for name in TORCHVISION}
        for name in ("InterpolationMode", "rotate", "normalize"):
            setattr(modules[TORCHVISION[-1]], name, None)
        sys.modules.update(modules)
        try:
            import spandrel  # noqa: F401
        finally:
            for name in TORCHVISION:
                del sys.modules[name]
    return sys.modules.get("spandrel") or importlib.import_module("spandrel")


def esrgan(channels: int = 3, scale: int = 2) -> torch.nn.Module:
    """ESRGAN with one block of four filters, with random weights."""
    spandrel_module()
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    return ESRGAN(in_nc=channels, out_nc=channels, num_filters=4, num_blocks=1, scale=scale)


def save_esrgan(path: Path, **options: int) -> Path:
    weights = esrgan(**options).state_dict()
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path
