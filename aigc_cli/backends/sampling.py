"""How the next token is chosen. Each setting becomes a function on the logits; a sampler is their composition.

Shapes: logits (B, V) in float32, one row a sequence; ids (B, S), the prompt and what was generated.
The order of the steps is transformers' own, so that equal settings choose from equal distributions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from aigc_cli.core.errors import AigcError
from aigc_cli.core.request import Sampling

LogitsStep = Callable[[Tensor, Tensor], Tensor]  # (logits, ids) -> logits
Sampler = Callable[[Tensor, Tensor], list[int]]  # (logits, ids) -> one token for each row


def make_sampler(
    sampling: Sampling,
    *,
    seed: int,
    n: int,
    prompt_length: int,
    min_new_tokens: int = 0,
    end_ids: Sequence[int] = (),
    forced: Mapping[int, int] | None = None,
) -> Sampler:
    """A sampler for `n` sequences of one prompt.

    Each row draws from a generator of its own, so that a completion does not depend on those beside it.
    forced: position -> token that must stand there.
    """
    steps = logits_steps(sampling, prompt_length, min_new_tokens, end_ids)
    greedy = not sampling.temperature
    draws = [random.Random(f"{seed}:{index}") for index in range(n)]

    @torch.inference_mode()
    def sample(logits: Tensor, ids: Tensor) -> list[int]:
        if not logits.amax(-1).isfinite().all():
            raise AigcError("the model's output is not a number", "its weights are damaged, or need --dtype float32")
        if forced and ids.shape[1] in forced:
            return [forced[ids.shape[1]]] * n
        for step in steps:
            logits = step(logits, ids)
        if greedy:
            return logits.argmax(-1).tolist()
        return draw_tokens(logits.softmax(-1), [draw.random() for draw in draws])

    return sample


def draw_tokens(probabilities: Tensor, uniforms: Sequence[float]) -> list[int]:
    """Inverse-CDF sampling: (B, V) probabilities and one number in [0, 1) a row, from the host's generator."""
    cumulative = probabilities.double().cumsum(-1)
    targets = torch.tensor(uniforms, dtype=torch.float64, device=cumulative.device)[:, None] * cumulative[:, -1:]
    # the first token whose cumulative mass is above the target, so a token without mass is never drawn
    return torch.searchsorted(cumulative, targets, right=True).clamp(max=cumulative.shape[-1] - 1)[:, 0].tolist()


def logits_steps(sampling: Sampling, prompt_length: int, min_new_tokens: int, end_ids: Sequence[int]) -> list[LogitsStep]:
    """Only the steps that change something, in order."""
    steps: list[LogitsStep] = []
    if sampling.logit_bias:
        steps.append(add_bias(sampling.logit_bias))
    if (penalty := sampling.repetition_penalty) and penalty != 1.0:
        steps.append(penalise_repetition(penalty))
    if sampling.presence_penalty or sampling.frequency_penalty:
        steps.append(penalise_generated(sampling.presence_penalty or 0.0, sampling.frequency_penalty or 0.0, prompt_length))
    if sampling.no_repeat_ngram_size:
        steps.append(forbid_repeated_ngrams(sampling.no_repeat_ngram_size))
    if min_new_tokens and end_ids:
        steps.append(forbid_end_before(prompt_length + min_new_tokens, end_ids))
    if not sampling.temperature:
        return steps
    if sampling.temperature != 1.0:
        steps.append(divide_by(sampling.temperature))
    if sampling.top_k:
        steps.append(keep_top_k(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        steps.append(keep_top_p(sampling.top_p))
    if sampling.min_p:
        steps.append(keep_min_p(sampling.min_p))
    if sampling.typical_p is not None and sampling.typical_p < 1.0:
        steps.append(keep_typical(sampling.typical_p))
    return steps


def add_bias(pairs: Sequence[tuple[int, float]]) -> LogitsStep:
    tokens, biases = zip(*pairs, strict=True)

    def step(logits: Tensor, ids: Tensor) -> Tensor:
        logits[:, list(tokens)] += logits.new_tensor(biases)
        return logits

    return step


def penalise_repetition(penalty: float) -> LogitsStep:
    """Positive logits of tokens seen, prompt included, are divided by the penalty, negative ones multiplied."""

    def step(logits: Tensor, ids: Tensor) -> Tensor:
        seen = logits.gather(1, ids)
        return logits.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))

    return step


def penalise_generated(presence: float, frequency: float, prompt_length: int) -> LogitsStep:
    def step(logits: Tensor, ids: Tensor) -> Tensor:
        generated = ids[:, prompt_length:]
        counts = torch.zeros_like(logits).scatter_add_(1, generated, torch.ones_like(generated, dtype=logits.dtype))
        return logits - presence * (counts > 0) - frequency * counts

    return step


def forbid_repeated_ngrams(size: int) -> LogitsStep:
    """A token that would complete an n-gram that is already there gets no mass."""

    def step(logits: Tensor, ids: Tensor) -> Tensor:
        if ids.shape[1] < size:
            return logits
        ngrams = ids.unfold(1, size, 1)  # (B, S - size + 1, size)
        prefix = ids[:, ids.shape[1] - size + 1 :]  # (B, size - 1); empty for size 1, which matches everything
        repeats = (ngrams[..., :-1] == prefix[:, None]).all(-1)
        for row, repeated in enumerate(repeats):
            logits[row, ngrams[row, repeated, -1]] = -torch.inf
        return logits

    return step


def forbid_end_before(length: int, end_ids: Sequence[int]) -> LogitsStep:
    def step(logits: Tensor, ids: Tensor) -> Tensor:
        if ids.shape[1] < length:
            logits[:, list(end_ids)] = -torch.inf
        return logits

    return step


def divide_by(temperature: float) -> LogitsStep:
    return lambda logits, ids: logits / temperature


def keep_top_k(k: int) -> LogitsStep:
    def step(logits: Tensor, ids: Tensor) -> Tensor:
        least = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
        return logits.masked_fill(logits < least, -torch.inf)

    return step


def keep_top_p(p: float) -> LogitsStep:
    """Nucleus sampling (arXiv:1904.09751): the fewest tokens whose mass reaches p."""

    def step(logits: Tensor, ids: Tensor) -> Tensor:
        ascending, order = logits.sort()
        drop = ascending.softmax(-1).cumsum(-1) <= 1 - p
        drop[:, -1] = False
        return logits.masked_fill(drop.scatter(1, order, drop), -torch.inf)

    return step


def keep_min_p(p: float) -> LogitsStep:
    def step(logits: Tensor, ids: Tensor) -> Tensor:
        probabilities = logits.softmax(-1)
        return logits.masked_fill(probabilities < p * probabilities.amax(-1, keepdim=True), -torch.inf)

    return step


def keep_typical(mass: float) -> LogitsStep:
    """Locally typical sampling (arXiv:2202.00666): tokens whose surprise is nearest to the entropy."""

    def step(logits: Tensor, ids: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)
        entropy = -(log_p * log_p.exp()).nansum(-1, keepdim=True)
        distance, order = (-log_p - entropy).abs().sort()
        mass_before = log_p.exp().gather(1, order).cumsum(-1)
        last = (mass_before < mass).sum(1).clamp(max=logits.shape[-1] - 1)
        drop = distance > distance.gather(1, last[:, None])
        return logits.masked_fill(drop.scatter(1, order, drop), -torch.inf)

    return step
