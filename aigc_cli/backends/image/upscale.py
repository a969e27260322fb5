"""Networks that enlarge pictures, ESRGAN and its kin, through spandrel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from aigc_cli.backends import torchvision_named
from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.core.errors import AigcError, ModelError, UsageError
from aigc_cli.core.extras import extra

OUT_OF_MEMORY_HINT = "use a smaller --tile, or --device cpu"
PICKLED = (".pth", ".pt")
READ = (".safetensors", *PICKLED)


class Upscaler:
    """A network in place; called, it enlarges a picture `scale` times.

    path: a file of weights, whose architecture spandrel tells by their names.  placement: its dtype counts where the network is
    known to bear it, or where it is `demanded`; float32 elsewhere.

    Raises: ModelError for a file that holds no network that enlarges pictures, UsageError for a dtype it does not bear,
        AigcError without spandrel, OutOfMemoryError.
    """

    def __init__(self, path: Path, placement: Placement, *, demanded: bool = False) -> None:
        weights = read_weights(path)
        spandrel = import_spandrel()
        try:
            with memory_errors(placement.device, OUT_OF_MEMORY_HINT):
                network = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(weights))
        except AigcError:
            raise
        except spandrel.UnsupportedModelError:
            raise ModelError(f"{path} holds no network that spandrel knows", "see its list of architectures: ESRGAN, SPAN, ...") from None
        except Exception as error:  # a file may be damaged in any way
            raise ModelError(f"{path} cannot be loaded: {reason(error)}", "get it again from where it came from") from error
        check_kind(path, network, spandrel)
        self.scale: int = network.scale
        self.architecture: str = network.architecture.name
        self.device = placement.device
        self.dtype = getattr(torch, dtype_for(network, placement.dtype, demanded=demanded))
        with memory_errors(self.device, OUT_OF_MEMORY_HINT):
            self.network: Any = network.to(torch.device(self.device), self.dtype).eval()

    def __call__(self, image: Image.Image) -> Image.Image:
        """Raises: OutOfMemoryError, AigcError for whatever else goes wrong in the network."""
        try:
            with memory_errors(self.device, OUT_OF_MEMORY_HINT):
                pixels = torch.from_numpy(np.array(image.convert("RGB"))).to(self.device)  # (H, W, 3)
                larger = self.network(pixels.permute(2, 0, 1)[None].to(self.dtype) / 255)[0]
                return Image.fromarray((larger.permute(1, 2, 0).float() * 255).round().to(torch.uint8).cpu().numpy())
        except AigcError:
            raise
        except Exception as error:  # a network raises almost anything for what its layers cannot do
            raise AigcError(f"{self.architecture} failed: {reason(error)}", "try another --tile; --traceback shows where") from error


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors by name; code in a pickled file is not run. Raises: ModelError."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "--model takes a file of weights of an upscaling network")
    if path.suffix.lower() not in READ:
        raise ModelError(f"{path} has no ending of a file of weights", f"there is: {', '.join(READ)}")
    try:
        if path.suffix.lower() in PICKLED:
            weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        else:
            weights = load_file(path)
    except Exception as error:  # a file may be damaged in any way
        raise ModelError(f"{path} cannot be read: {reason(error)}", "get it again, as .safetensors where there is one") from error
    return weights


def import_spandrel() -> Any:
    """Raises: AigcError where it is missing, ModelError where torchvision, which it brings, was built for another torch."""
    with extra("upscale", "upscaling with a model"), torchvision_named():
        import spandrel
    return spandrel


def check_kind(path: Path, network: Any, spandrel: Any) -> None:
    """Raises: ModelError for a network that does something else."""
    name = network.architecture.name
    if not isinstance(network, spandrel.ImageModelDescriptor) or network.scale < 2:
        raise ModelError(f"{path} holds {name}, which does not enlarge pictures", "name a super-resolution model")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise ModelError(f"{path} holds {name} for {network.input_channels} channels, not for RGB", "name a model for colour pictures")


def dtype_for(network: Any, dtype: str, *, demanded: bool) -> str:
    bears = {"float32": True, "bfloat16": network.supports_bfloat16, "float16": network.supports_half}
    if bears[dtype]:
        return dtype
    if demanded:
        raise UsageError(f"{network.architecture.name} does not bear {dtype}", "use --dtype float32")
    return "float32"
