"""Which weights are trained, by each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MambaConfig, Qwen3MoeConfig

from aigc_cli.backends.train.text.methods import Trainable, layer_numbers, prepare, target_modules
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.finetune import Method, Tuning
from tests.backends.tiny_models import VOCAB_SIZE

LLAMA = LlamaConfig(
    vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2
)
GPT2 = GPT2Config(vocab_size=VOCAB_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=64)
MOE = Qwen3MoeConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    num_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    decoder_sparse_step=2,
    intermediate_size=64,
)


def model_of(config: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(type(config)(**{**config.to_dict(), **changes}))


def frozen(**options: Any) -> Trainable:
    return prepare(model_of(LLAMA), Tuning(method="freeze", **options), seed=0)


def layers_trained(trainable: Trainable) -> set[int]:
    return {int(name.split(".")[2]) for name in trainable.parameters if ".layers." in name}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("first:1", {0}), ("last:2", {2, 3}), ("first:4", {0, 1, 2, 3}), ("0,2-3", {0, 2, 3}), ("1", {1}), ("2-2", {2})],
)
def test_layers_are_named_by_side_and_number(text: str, numbers: set[int]) -> None:
    assert layer_numbers(text, 4) == numbers


@pytest.mark.parametrize("text", ["first:5", "last:5", "4", "2-7", "3-1"])
def test_layers_that_are_not_there(text: str) -> None:
    with pytest.raises(UsageError, match="names layers that the model does not have") as error:
        layer_numbers(text, 4)
    assert error.value.hint == "it has 4: 0 to 3"


def test_named_layers_are_trained_alone() -> None:
    trainable = frozen(train_layers="last:1")
    assert layers_trained(trainable) == {3}
    assert all(name.startswith("model.layers.3.") for name in trainable.parameters)


def test_what_is_not_frozen_is_trained_the_head_with_the_last_layer() -> None:
    trainable = frozen(freeze_layers="first:2")
    assert layers_trained(trainable) == {2, 3}
    assert {"lm_head.weight", "model.norm.weight"} <= trainable.parameters.keys()
    assert "model.embed_tokens.weight" not in trainable.parameters


def test_freezing_the_last_layers_leaves_the_embeddings() -> None:
    trainable = frozen(freeze_layers="last:3")
    assert layers_trained(trainable) == {0}
    assert "model.embed_tokens.weight" in trainable.parameters
    assert not {"lm_head.weight", "model.norm.weight"} & trainable.parameters.keys()


@pytest.mark.parametrize(("layers", "is_trained"), [("first:2", False), ("last:2", True)])
def test_a_tied_head_goes_with_the_embeddings(layers: str, is_trained: bool) -> None:
    trainable = prepare(model_of(LLAMA, tie_word_embeddings=True), Tuning(method="freeze", freeze_layers=layers), seed=0)
    assert trainable.model.lm_head.weight is trainable.model.model.embed_tokens.weight
    assert trainable.model.lm_head.weight.requires_grad is is_trained


def test_freezing_every_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        frozen(freeze_layers="0-3")


@pytest.mark.parametrize("names", ["auto", "all-linear"])
def test_every_matrix_but_the_head_is_adapted(names: str) -> None:
    expected = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert target_modules(model_of(LLAMA), names) == expected
    assert target_modules(model_of(LLAMA, tie_word_embeddings=True), names) == expected
    assert target_modules(model_of(GPT2), names) == ["c_attn", "c_fc", "c_proj"]


def test_target_modules_may_be_whole_names() -> None:
    tuning = Tuning(target_modules="model.layers.1.mlp.up_proj, q_proj")
    trainable = prepare(model_of(LLAMA), tuning, seed=0)
    adapted = {name.partition(".lora_")[0] for name in trainable.parameters}
    assert adapted == {"model.layers.1.mlp.up_proj", *(f"model.layers.{layer}.self_attn.q_proj" for layer in range(4))}


@pytest.mark.parametrize("names", ["q_prj", "q_proj,lm_heat", "proj", "embed_tokens", " , "])
def test_target_modules_that_match_nothing_are_told_what_there_is(names: str) -> None:
    with pytest.raises(UsageError, match="--target-modules") as error:
        target_modules(model_of(LLAMA), names)
    assert "there is: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in (error.value.hint or "")


def test_a_near_miss_is_named() -> None:
    with pytest.raises(UsageError, match="q_prj") as error:
        target_modules(model_of(LLAMA), "q_prj")
    assert "did you mean q_proj?" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("config", "method"),
    [(LLAMA, "lora"), (LLAMA, "dora"), (GPT2, "lora"), (GPT2, "dora"), (MOE, "lora"), (MOE, "dora")],
    ids=lambda value: str(value)[:4],
)
def test_an_adapter_changes_nothing_before_it_is_trained(config: Any, method: Method) -> None:
    model, ids = model_of(config).eval(), torch.arange(20)[None]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        trainable = prepare(model, Tuning(method=method), seed=0)
        torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=1e-4, atol=1e-4)
    assert all("lora_" in name for name in trainable.parameters)
    assert 0 < trainable.trained < trainable.total


def test_what_peft_takes_for_experts_gets_no_adapter() -> None:
    """For an adapter of those is one of a parameter, not of a matrix, and cannot be merged."""
    trainable = prepare(model_of(MOE), Tuning(), seed=0)
    assert trainable.passed_over == ("down_proj", "gate_proj", "up_proj")
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in trainable.parameters} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert prepare(model_of(LLAMA), Tuning(), seed=0).passed_over == ()
    for names in ("q_proj,up_proj", "model.layers.0.mlp.down_proj"):
        with pytest.raises(UsageError, match="for this model's experts") as error:
            prepare(model_of(MOE), Tuning(target_modules=names), seed=0)
        assert error.value.hint == "there is: k_proj, o_proj, q_proj, v_proj"


def test_a_matrix_that_peft_refuses_is_named() -> None:
    mamba = MambaConfig(vocab_size=VOCAB_SIZE, hidden_size=32, num_hidden_layers=2, state_size=8)
    with pytest.raises(UsageError, match=r"--method lora does not suit this model: .*out_proj"):
        prepare(model_of(mamba), Tuning(), seed=0)


def test_a_gradient_reaches_every_adapter_through_checkpointed_layers() -> None:
    ids = torch.arange(20)[None]
    gradients = []
    for checkpointed in (False, True):
        trainable = prepare(model_of(LLAMA).train(), Tuning(), seed=0)
        for parameter in trainable.parameters.values():
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
        if checkpointed:
            trainable.model.activation_checkpointing_enable({"use_reentrant": False})
        trainable.model(input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in trainable.parameters.items()})
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=0)


def test_the_same_seed_draws_the_same_adapter_and_leaves_the_random_state() -> None:
    state = torch.get_rng_state()
    model = model_of(LLAMA)
    torch.set_rng_state(state)
    first, second = (prepare(each, Tuning(), seed=3).parameters for each in (model, model_of(LLAMA)))
    torch.set_rng_state(state)
    prepare(model_of(LLAMA), Tuning(), seed=3)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_an_earlier_adapter_goes_on_and_nobody_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method) -> None:
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", None)
    tuning, ids = Tuning(method=method, lora_rank=3, target_modules="q_proj,down_proj"), torch.arange(20)[None]
    earlier = prepare(model_of(LLAMA).eval(), tuning, seed=0)
    with torch.no_grad():
        for parameter in earlier.parameters.values():
            parameter.add_(0.05)
        expected = earlier.model(input_ids=ids).logits
    earlier.peft.save_pretrained(tmp_path)  # type: ignore[union-attr]
    model = model_of(LLAMA).eval()
    model.name_or_path = "org/name"
    later = prepare(model, tuning, seed=1, continue_from=tmp_path)
    assert later.parameters.keys() == earlier.parameters.keys()
    assert all(torch.equal(later.parameters[name], parameter) for name, parameter in earlier.parameters.items())
    with torch.no_grad():
        torch.testing.assert_close(later.model(input_ids=ids).logits, expected)


def test_an_earlier_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    prepare(model_of(LLAMA), Tuning(), seed=0).peft.save_pretrained(tmp_path)  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="does not fit this LlamaForCausalLM"):
        prepare(model_of(LLAMA, hidden_size=64), Tuning(), seed=0, continue_from=tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match="cannot be loaded"):
        prepare(model_of(LLAMA), Tuning(), seed=0, continue_from=tmp_path)
