from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from aigc_cli.backends.device import Placement
from aigc_cli.core.errors import ModelError, UsageError
from tests.backends.image.tiny_upscalers import esrgan, save_esrgan, spandrel_module

FLOAT32 = Placement("cpu", "float32", "as asked")


@pytest.fixture(autouse=True)
def spandrel():
    spandrel_module()


@pytest.fixture
def upscaler():
    from aigc_cli.backends.image.upscale import Upscaler

    return Upscaler


@pytest.mark.parametrize("name", ["小.safetensors", "old.pth"])
def test_it_does_what_the_network_does(tmp_path, upscaler, name):
    network = upscaler(save_esrgan(tmp_path / name), FLOAT32)
    assert (network.scale, network.architecture) == (2, "ESRGAN")
    picture = Image.effect_noise((20, 12), 80).convert("RGB")
    larger = network(picture)
    assert larger.size == (40, 24)
    with torch.no_grad():
        expected = esrgan().eval()(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255)[0].clamp(0, 1)
    assert np.abs(np.array(larger) / 255 - expected.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_in_bfloat16_it_is_nearly_the_same(tmp_path, upscaler):
    path = save_esrgan(tmp_path / "a.safetensors")
    picture = Image.effect_noise((20, 12), 80).convert("RGB")
    one, other = (np.array(upscaler(path, placement)(picture)).astype(int) for placement in (FLOAT32, Placement("cpu", "bfloat16", "")))
    assert np.abs(one - other).max() <= 4


def test_a_network_that_does_not_bear_a_dtype():
    from aigc_cli.backends.image.upscale import dtype_for

    network = SimpleNamespace(supports_bfloat16=False, supports_half=True, architecture=SimpleNamespace(name="HAT"))
    assert dtype_for(network, "bfloat16", demanded=False) == "float32"
    assert dtype_for(network, "float16", demanded=True) == "float16"
    with pytest.raises(UsageError, match="HAT does not bear bfloat16"):
        dtype_for(network, "bfloat16", demanded=True)


def test_what_is_no_such_network(tmp_path, upscaler):
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    save_esrgan(tmp_path / "grey.safetensors", channels=1)
    torch.save({"model": print}, tmp_path / "evil.pth")
    for name, said in (
        ("gone.safetensors", "there is no file"),
        ("text.safetensors", "cannot be read"),
        ("evil.pth", "cannot be read"),
        ("other.safetensors", "no network that spandrel knows"),
        ("grey.safetensors", "not for RGB"),
    ):
        with pytest.raises(ModelError, match=said):
            upscaler(tmp_path / name, FLOAT32)
