"""LoRA adapters with random weights, as PEFT itself writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM


def build_adapter(folder: Path, base: Path, *, seed: int = 1, strength: float = 0.1, **config: Any) -> Path:
    """An adapter of the model in `base` that changes what it says. config: fields of LoraConfig."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuned = get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **config}))
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data += strength * torch.randn_like(parameter)
    tuned.save_pretrained(str(folder))
    return folder


def peft_logits(base: Path, adapter: Path, ids: torch.Tensor) -> torch.Tensor:
    """What PEFT computes, the adapter beside the weights."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(ids).logits
    return logits
