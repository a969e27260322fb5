"""Packed convolutions compute what they computed before, within rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from aigc_cli.backends import open_image_engine
from aigc_cli.backends.image import load
from aigc_cli.backends.image.packing import DTYPES, can_pack, is_worth_packing, pack_convolutions
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from tests.backends.image.tiny_pipelines import tiny_pipeline

is_packed_here = pytest.mark.skipif(not can_pack(), reason="nothing is packed on this machine")


@is_packed_here
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("stride", "has_bias"), [(1, True), (2, True), (1, False)])
def test_a_convolution_gives_the_same(dtype: torch.dtype, stride: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 96, 3, stride=stride, padding=1, bias=has_bias).to(dtype, memory_format=torch.channels_last)
    inputs = [torch.randn(count, 64, side, side).to(dtype, memory_format=torch.channels_last) for count, side in ((2, 8), (1, 5), (3, 16))]
    with torch.no_grad():
        before = [layer(x) for x in inputs]
        pack_convolutions(layer)
        assert layer.weight.layout == torch._mkldnn
        after = [layer(x) for x in inputs]
    tolerance = 64 * torch.finfo(dtype).eps if dtype == torch.float32 else 0.0  # sums of 576 products, in another order
    assert all(torch.allclose(one, other, tolerance, tolerance) for one, other in zip(before, after, strict=True))
    assert all(other.is_contiguous(memory_format=torch.channels_last) for other in after)


def test_what_is_left_as_it_is() -> None:
    layers = [nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, padding_mode="circular"), nn.Conv2d(8, 8, 3).half()]
    layers += [nn.Conv2d(8, 8, 3, padding="same")]
    assert not any(map(is_worth_packing, [*layers, nn.Linear(8, 8), nn.Conv1d(8, 8, 3)]))


@is_packed_here
def test_a_model_is_packed_as_it_is_loaded_and_draws_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path)
    source = ModelSource(name="sd", kind="diffusers", path=tmp_path)

    def picture() -> bytes:
        engine = open_image_engine(source, ImageEngineOptions(device="cpu", dtype="float32"))
        request, _ = engine.complete(ImageRequest(prompt="狐狸", seed=1, width=64, height=64, steps=2))
        assert (engine.pipe.unet.conv_in.weight.layout == torch._mkldnn) == is_packing  # type: ignore[attr-defined]
        return next(event.pixels.data for event in engine.stream([request]) if isinstance(event, Drawn))

    is_packing = True
    packed = picture()
    monkeypatch.setattr(load, "pack_convolutions", lambda network: None)
    is_packing = False
    plain = picture()
    assert max(abs(one - other) for one, other in zip(packed, plain, strict=True)) <= 1
