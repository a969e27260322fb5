"""A result is a folder that transformers and peft themselves read, with the logits that were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.text.methods import prepare
from aigc_cli.backends.train.text.result import base_name, write_result
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.finetune import Method, Tuning
from tests.backends.tiny_models import VOCAB_SIZE, build_model

IDS = torch.arange(1, 40)[None] % VOCAB_SIZE


def trained(base: Path, out: Path, method: Method, *, narrow: torch.dtype | None = None, dtype: str = "float32") -> torch.Tensor:
    """Writes the result of a training, computed in `narrow`, that moved every weight a little. Returns: its logits, float32."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    trainable = prepare(model, Tuning(method=method, train_layers="last:1" if method == "freeze" else None), seed=0)
    masters = MasterWeights(trainable.parameters, None if trainable.peft else narrow)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in masters.weights.values():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    masters.write_back()
    out.mkdir(exist_ok=True)
    shown = model.config.dtype
    source = ModelSource(name=str(base), kind="folder", path=base)
    write_result(out, trainable, masters, AutoTokenizer.from_pretrained(base), source, mode="raw", dtype=dtype)
    assert model.config.dtype == shown
    for name, parameter in trainable.parameters.items():
        parameter.data = masters.weights[name].data.to(getattr(torch, dtype))
    return logits_of(model)


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval().float()(input_ids=IDS).logits
    return logits


def base_of(folder: Path, architecture: str = "llama", *, dtype: str = "float32", **config: Any) -> Path:
    build_model(folder, architecture, **config)
    if dtype != "float32":
        AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("narrow", [None, torch.bfloat16])
@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("method", ["full", "freeze"])
def test_transformers_reads_a_whole_model(tmp_path: Path, method: Method, is_tied: bool, narrow: torch.dtype | None, dtype: str) -> None:
    base = base_of(tmp_path / "base", dtype=dtype, tie_word_embeddings=is_tied)
    expected = trained(base, tmp_path / "out", method, narrow=narrow, dtype=dtype)
    torch.testing.assert_close(logits_of(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), expected, rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == dtype
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as stored:
        assert ("lm_head.weight" in stored.keys()) is not is_tied  # noqa: SIM118 - not a mapping
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {getattr(torch, dtype)}  # noqa: SIM118


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize(("architecture", "is_tied"), [("llama", False), ("llama", True), ("gpt2", True)])
def test_peft_reads_an_adapter(tmp_path: Path, method: Method, architecture: str, is_tied: bool) -> None:
    base = base_of(tmp_path / "base", architecture, tie_word_embeddings=is_tied)
    expected = trained(base, tmp_path / "out", method)
    read = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(tmp_path / "out"))
    torch.testing.assert_close(logits_of(read), expected, rtol=1e-4, atol=1e-4)
    with safe_open(tmp_path / "out" / "adapter_model.safetensors", "pt") as stored:
        assert all(".lora_" in name and stored.get_tensor(name).dtype == torch.float32 for name in stored.keys())  # noqa: SIM118


def test_generation_settings_go_along_however_odd(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base")
    settings = {"do_sample": False, "temperature": 0.3, "top_k": 7, "eos_token_id": [0, 2], "max_length": 5}
    (base / "generation_config.json").write_text(json.dumps(settings))
    trained(base, tmp_path / "out", "full")
    read = GenerationConfig.from_pretrained(tmp_path / "out")
    assert {name: getattr(read, name) for name in settings} == settings


@pytest.mark.parametrize("method", ["full", "lora"])
def test_no_file_but_what_names_the_base_has_a_folder_in_it(tmp_path: Path, method: Method) -> None:
    trained(base_of(tmp_path / "base"), tmp_path / "out", method)
    for path in (tmp_path / "out").iterdir():
        if path.name not in ("adapter_config.json", "aigc.json"):
            assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_a_base_is_named_as_another_program_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert base_name(ModelSource(name="m", kind="folder", path=tmp_path / "m", repo="owner/model")) == "owner/model"
    assert base_name(ModelSource(name="m", kind="folder", path=Path("m"))) == str(tmp_path / "m")
    assert base_name(ModelSource(name="builtin:text", kind="folder", path=tmp_path)) == "builtin:text"
