"""The faster LoRA layer beside peft's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from aigc_cli.backends.train.lora_linear import speed_up
from tests.backends.tiny_models import VOCAB_SIZE, build_model


def adapted(folder: Path, **options: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(build_model(folder, "qwen2"))  # its q, k and v have biases
    torch.manual_seed(1)
    peft = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, **options))
    return peft.eval()


def loss_and_gradients(peft: Any, ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    peft.zero_grad()
    loss = peft(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), {name: weight.grad.clone() for name, weight in peft.named_parameters() if weight.grad is not None}


def test_loss_and_gradients_are_pefts_own(tmp_path: Path) -> None:
    peft = adapted(tmp_path)
    ids = torch.randint(VOCAB_SIZE, (2, 20), generator=torch.Generator().manual_seed(0))
    expected, reference = loss_and_gradients(peft, ids)
    assert speed_up(peft)
    found, ours = loss_and_gradients(peft, ids)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert ours.keys() == reference.keys()
    for name, gradient in reference.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_an_adapter_that_is_switched_off_is_off(tmp_path: Path) -> None:
    peft = adapted(tmp_path)
    ids = torch.arange(10)[None]
    with torch.no_grad(), peft.disable_adapter():
        base = peft(input_ids=ids).logits
    speed_up(peft)
    with torch.no_grad():
        tuned = peft(input_ids=ids).logits
        with peft.disable_adapter():
            torch.testing.assert_close(peft(input_ids=ids).logits, base)
    assert not torch.allclose(tuned, base)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_not_plain_lora_stays_pefts(tmp_path: Path, options: dict[str, Any]) -> None:
    peft = adapted(tmp_path, **options)
    assert not speed_up(peft)
    assert not any("forward" in vars(module) for module in peft.modules())
