"""QLoRA: an adapter trained beside a base in 4 bits, good for the base as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import LoadedModel, load
from aigc_cli.backends.train.text.methods import prepare
from aigc_cli.backends.train.text.quantized import four_bits, keep_layout
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.finetune import Tuning
from tests.backends.tiny_models import build_model
from tests.commands.finetuning import exchanges, finetune, history, losses, result_files, write_rows
from tests.conftest import Result, run_here

pytest.importorskip("bitsandbytes")
SHAPE = {"hidden_size": 64, "intermediate_size": 160}  # a row of q_proj is one block of 64, whose scale is one number
BRIEF = ("--device", "cpu", "--max-steps", "12", "--eval-steps", "6", "--batch-size", "4", "--samples", "1", "--max-new-tokens", "4")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "base", "llama", **SHAPE)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "data.jsonl", exchanges(40))


def quantized(base: Path, dtype: str = "float32") -> LoadedModel:
    source = ModelSource(name=str(base), kind="folder", path=base)
    parts = load(source, Placement("cpu", dtype, ""), quantization=four_bits(dtype))
    keep_layout(parts.model)
    return parts


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_matrices_take_half_a_byte_a_number_head_and_embeddings_stay(base: Path, dtype: str) -> None:
    model, plain = quantized(base, dtype).model, AutoModelForCausalLM.from_pretrained(base)
    for name, weight in plain.named_parameters():
        stored = model.get_parameter(name)
        if "_proj" in name:
            assert (stored.dtype, stored.numel()) == (torch.uint8, weight.numel() / 2), name
        else:
            assert stored.dtype == getattr(torch, dtype), name
    assert prepare(model, Tuning(method="qlora"), seed=0).total == prepare(plain, Tuning(), seed=0).total


def test_the_gradient_is_that_of_the_rounded_weights_also_after_measuring(base: Path) -> None:
    import bitsandbytes

    quantised, rounded = quantized(base).model, AutoModelForCausalLM.from_pretrained(base).eval()
    for name, module in quantised.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            rounded.get_submodule(name).weight.data = bitsandbytes.functional.dequantize_4bit(module.weight, module.weight.quant_state)
    ids = torch.arange(20)[None]
    gradients = []
    for model in (quantised, rounded):
        trainable = prepare(model, Tuning(method="qlora"), seed=0)
        with torch.no_grad():
            for parameter in trainable.parameters.values():
                parameter.fill_(0.02)
            model.eval()(input_ids=ids)
        model.train()(input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in trainable.parameters.items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[1].items():
        assert gradient is not None
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_loss_falls_and_the_adapter_serves_the_plain_base(base: Path, rows: Path, tmp_path: Path, dtype: str) -> None:
    folder = tmp_path / "mine"
    finetune(rows, "-m", base, "-o", folder, "--method", "qlora", "--learning-rate", "0.01", "--dtype", dtype, *BRIEF)
    measured = losses(folder)
    assert measured[12] < measured[0] - 0.3
    plain = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = plain(input_ids=ids).logits
        after = PeftModel.from_pretrained(plain, str(folder))(input_ids=ids).logits
    assert not torch.allclose(before, after, atol=0.1)
    result = run_here("complete", "-m", base, "--adapter", folder, "-n", "3", "what is 3?")
    assert result.status == 0, result.stderr


def test_a_run_that_was_killed_ends_as_one_that_was_not(base: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aigc_cli.backends.train.update import Updater

    options = (rows, "-m", base, "--method", "qlora", *BRIEF)
    whole, resumed = tmp_path / "whole" / "mine", tmp_path / "resumed" / "mine"
    finetune(*options, "-o", whole)
    update, made = Updater.update, []

    def die_at_the_ninth(self: Updater, *args: object) -> object:
        made.append(1)
        if len(made) == 9:
            raise MemoryError
        return update(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Updater, "update", die_at_the_ninth)
        assert run_here("finetune", *options, "-o", resumed).status != 0
    finetune("--resume", "-o", resumed)
    assert history(resumed) == history(whole)
    assert result_files(resumed) == result_files(whole)


def failed(*args: str | Path) -> Result:
    result = run_here("finetune", *args)
    assert result.status != 0
    return result


def test_without_bitsandbytes_the_command_that_installs_it_is_told(
    base: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    result = failed(rows, "-m", base, "-o", tmp_path / "mine", "--method", "qlora")
    assert "--method qlora needs the package bitsandbytes" in result.stderr
    assert "'.[quant]'" in result.stderr


def test_a_gguf_file_is_refused(rows: Path, tmp_path: Path) -> None:
    source = ModelSource(name="m.gguf", kind="gguf", path=tmp_path / "m.gguf")
    from aigc_cli.backends.train.text.quantized import check_quantizable
    from aigc_cli.core.errors import UsageError

    with pytest.raises(UsageError, match="GGUF"):
        check_quantizable(source)
