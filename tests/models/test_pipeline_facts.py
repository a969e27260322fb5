"""What the configs say of a pipeline is what diffusers makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.image.sizes import own_size, vae_scale
from aigc_cli.core.engine import Dtype
from aigc_cli.models.fit_image import activations
from aigc_cli.models.pipeline_facts import folder_pipeline
from tests.backends.image.tiny_pipelines import FAMILIES, tiny_pipeline


@pytest.mark.parametrize("family", FAMILIES)
def test_configs_and_headers_tell_size_scale_and_parameters(family: str, tmp_path: Path) -> None:
    pipe = tiny_pipeline(family)
    pipe.save_pretrained(tmp_path)
    facts = folder_pipeline(tmp_path)
    assert facts.pipeline == type(pipe).__name__
    assert facts.own_size == own_size(pipe, call_parameters(pipe))
    assert facts.vae_scale == vae_scale(pipe)
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    assert {part.name: part.count for part in facts.parts} == {name: len_of(part) for name, part in parts.items()}
    assert {part.role for part in facts.parts} == {"denoiser", "text encoder", "vae"}
    assert {part.dtype for part in facts.parts} == {"float32"}
    work = activations(facts, Dtype.FLOAT32)
    assert work.denoise > 0
    assert work.decode > 0


def len_of(part: torch.nn.Module) -> int:
    """Of all that is saved: parameters and the buffers that go with them."""
    return sum(tensor.numel() for tensor in {tensor.data_ptr(): tensor for tensor in part.state_dict().values()}.values())
