"""The frozen base of QLoRA: its matrices in 4 bits, NormalFloat with double quantisation (Dettmers et al., arXiv:2305.14314)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BitsAndBytesConfig

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.extras import extra


def check_quantizable(source: ModelSource) -> None:
    """Raises: AigcError where bitsandbytes is missing, UsageError for a model that cannot be quantised while it is read."""
    if source.kind == "gguf":
        raise UsageError(
            f"--method qlora cannot begin with a GGUF file such as {source.name}", "name the model's own folder, or leave it lora"
        )
    with extra("quant", "--method qlora"):
        import bitsandbytes  # noqa: F401


def four_bits(dtype: str) -> BitsAndBytesConfig:
    """What transformers is to make of every matrix but the head, as it reads them. dtype: what is computed in."""
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def keep_layout(model: Any) -> None:
    """Keeps a CPU's layers as they are.

    When it evaluates, bitsandbytes may repack them for AVX-512: that works for a multiple of 32 rows only, rounds their
    scales to bfloat16, and afterwards no gradient passes through them.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
