"""The loss of the trained positions alone, beside torch's own over all logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from aigc_cli.backends.train.text import loss as losses
from aigc_cli.backends.train.text.loss import IGNORED, SupervisedLoss
from tests.backends.tiny_models import VOCAB_SIZE, build_model


def model_of(tmp_path: Path, architecture: str, **config: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(build_model(tmp_path / architecture, architecture, **config))


def batch_of(rows: int = 3, width: int = 40) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCAB_SIZE, (rows, width), generator=generator)
    labels = ids.roll(-1, 1)
    labels[:, : width // 3] = IGNORED
    labels[:, -1] = IGNORED
    return {"input_ids": ids}, labels


def by_torch(model: Any, inputs: dict[str, torch.Tensor], labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    logits = model(**inputs, use_cache=False).logits.float()
    return functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3", "gemma2", "phi", "mamba"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_the_whole_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, smoothing: float
) -> None:
    monkeypatch.setattr(losses, "CHUNK_NUMBERS", 17 * VOCAB_SIZE)  # several pieces, the last one shorter
    monkeypatch.setattr(losses, "chunk_rows", lambda vocab_size: 17)
    model = model_of(tmp_path, architecture).eval()
    inputs, labels = batch_of()
    expected = by_torch(model, inputs, labels, smoothing)
    expected.backward()
    reference = gradients(model)

    supervised = SupervisedLoss(model, smoothing)
    supervised.training = True  # label smoothing is of training; the model itself stays without dropout
    assert supervised.knows_head
    found = supervised(inputs, labels)
    found.backward()

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    ours = gradients(model)
    assert ours.keys() == reference.keys()
    for name, gradient in reference.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_a_head_that_is_not_known_is_found_out_and_the_models_own_logits_are_taken(tmp_path: Path) -> None:
    model = model_of(tmp_path, "llama").eval()
    head = model.lm_head.forward
    model.lm_head.forward = lambda hidden: head(hidden) * 3.0  # as a family that does something of its own
    supervised = SupervisedLoss(model)
    inputs, labels = batch_of()
    assert not supervised.knows_head
    torch.testing.assert_close(supervised(inputs, labels), by_torch(model, inputs, labels))


def test_evaluation_smooths_no_labels_and_gives_each_row_its_own_loss(tmp_path: Path) -> None:
    model = model_of(tmp_path, "llama").eval()
    supervised = SupervisedLoss(model, 0.2).eval()
    inputs, labels = batch_of()
    sums, counts = supervised.row_losses(inputs, labels)
    for row in range(len(labels)):
        alone = by_torch(model, {"input_ids": inputs["input_ids"][row : row + 1]}, labels[row : row + 1])
        torch.testing.assert_close(sums[row], alone, rtol=1e-5, atol=1e-4)
    assert counts.tolist() == (labels != IGNORED).sum(1).tolist()
    torch.testing.assert_close(supervised(inputs, labels), sums.sum(), rtol=1e-5, atol=1e-4)


def test_a_frozen_head_gets_no_gradient_and_the_hidden_states_do(tmp_path: Path) -> None:
    model = model_of(tmp_path, "llama", tie_word_embeddings=False).eval()
    model.requires_grad_(False)
    model.model.layers[0].mlp.up_proj.requires_grad_(True)
    inputs, labels = batch_of()
    SupervisedLoss(model)(inputs, labels).backward()
    assert list(gradients(model)) == ["model.layers.0.mlp.up_proj.weight"]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_evaluation_takes_no_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    """That of the head's weight is as large as the head, and takes a product as long as the loss's own."""
    supervised = SupervisedLoss(model_of(tmp_path, "llama", tie_word_embeddings=False)).eval()
    forward, wanted = losses.LinearCrossEntropy.forward, []

    def watched(ctx: Any, *args: Any) -> torch.Tensor:
        wanted.append(any(ctx.needs_input_grad))
        return forward(ctx, *args)

    monkeypatch.setattr(losses.LinearCrossEntropy, "forward", staticmethod(watched))
    with context():
        supervised.row_losses(*batch_of(rows=3))
    supervised(*batch_of())
    assert wanted == [False, False, False, True]


def test_hidden_states_of_a_shared_length_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervised = SupervisedLoss(model_of(tmp_path, "llama"))
    inputs, labels = batch_of(rows=1, width=40)
    labels[:, :] = IGNORED
    labels[:, :16] = 3
    monkeypatch.setattr(losses.functional, "pad", None)
    assert supervised(inputs, labels) > 0


def test_logits_are_never_held_for_more_rows_than_a_piece() -> None:
    assert losses.chunk_rows(49152) * 49152 <= losses.CHUNK_NUMBERS
    assert losses.chunk_rows(2**24) == 64


def test_the_gradient_of_the_head_is_handed_over_and_not_held_twice(tmp_path: Path) -> None:
    """It is as large as the head, in float32."""
    model = model_of(tmp_path, "llama", tie_word_embeddings=False).eval()
    loss = SupervisedLoss(model)(*batch_of())
    node: Any = loss.grad_fn
    held = node.gradients[1].data_ptr()
    loss.backward()
    assert model.lm_head.weight.grad.data_ptr() == held
    assert not node.gradients
