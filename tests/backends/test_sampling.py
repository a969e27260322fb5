"""Each step against transformers' own, and the draws against their distribution."""

from __future__ import annotations

import collections

import pytest
import torch
from transformers.generation import logits_process as reference

from aigc_cli.backends import sampling
from aigc_cli.core.request import Sampling

VOCAB = 50
IDS = torch.tensor([[1, 2, 3, 1, 2, 7, 1, 2], [4, 4, 4, 9, 4, 4, 9, 9]])


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, VOCAB, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize(
    ("step", "processor"),
    [
        (sampling.penalise_repetition(1.3), reference.RepetitionPenaltyLogitsProcessor(1.3)),
        (sampling.forbid_repeated_ngrams(1), reference.NoRepeatNGramLogitsProcessor(1)),
        (sampling.forbid_repeated_ngrams(3), reference.NoRepeatNGramLogitsProcessor(3)),
        (sampling.forbid_repeated_ngrams(9), reference.NoRepeatNGramLogitsProcessor(9)),
        (sampling.add_bias(((5, 2.0), (6, -torch.inf))), reference.SequenceBiasLogitsProcessor([[[5], 2.0], [[6], -torch.inf]])),
        (sampling.forbid_end_before(9, [0, 3]), reference.MinNewTokensLengthLogitsProcessor(4, 5, [0, 3], device="cpu")),
        (sampling.keep_top_k(5), reference.TopKLogitsWarper(5)),
        (sampling.keep_top_k(500), reference.TopKLogitsWarper(500)),
        (sampling.keep_top_p(0.8), reference.TopPLogitsWarper(0.8)),
        (sampling.keep_top_p(0.01), reference.TopPLogitsWarper(0.01)),
        (sampling.keep_min_p(0.2), reference.MinPLogitsWarper(0.2)),
        (sampling.keep_typical(0.6), reference.TypicalLogitsWarper(0.6)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_step_equals_transformers(step, processor, seed: int) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(step(logits(seed), IDS), processor(IDS, logits(seed)))


def test_presence_and_frequency_count_only_what_was_generated() -> None:
    before = logits()
    after = sampling.penalise_generated(0.5, 0.25, prompt_length=5)(before.clone(), IDS)
    assert (before - after)[0, [7, 1, 2, 3]].tolist() == pytest.approx([0.75, 0.75, 0.75, 0.0], abs=1e-5)
    assert (before - after)[1, [4, 9]].tolist() == pytest.approx([0.75, 1.0], abs=1e-5)


def sampler(**settings):  # type: ignore[no-untyped-def]
    options = {"seed": 7, "n": 2, "prompt_length": 8} | {k: settings.pop(k) for k in list(settings) if k in ("seed", "n", "forced")}
    return sampling.make_sampler(Sampling(**settings), **options)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert sampler(temperature=0.0, top_k=3)(logits(), IDS) == logits().argmax(-1).tolist()


def test_draws_follow_the_distribution() -> None:
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.2]])
    draw = sampler(temperature=1.0, n=1)
    counts = collections.Counter(draw(probabilities.log(), IDS[:1])[0] for _ in range(4000))
    assert [counts[token] / 4000 for token in range(4)] == pytest.approx([0.5, 0.0, 0.3, 0.2], abs=0.03)


def test_a_row_draws_the_same_alone_and_beside_others() -> None:
    alone, beside = sampler(temperature=1.0, n=1), sampler(temperature=1.0, n=2)
    assert [alone(logits(s)[:1], IDS[:1])[0] for s in range(50)] == [beside(logits(s), IDS)[0] for s in range(50)]


def test_rows_and_seeds_draw_differently() -> None:
    flat = logits()[:1].repeat(2, 1) * 0.1
    draws = {tuple(sampler(temperature=1.0, seed=seed)(flat, IDS)) for seed in range(20)}
    assert len(draws) > 10
    assert any(first != second for first, second in draws)


def test_a_token_without_mass_is_never_drawn() -> None:
    probabilities = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert sampling.draw_tokens(probabilities, [uniform]) == [2]


def test_a_forced_position_wins() -> None:
    assert sampler(temperature=1.0, forced={8: 33})(logits(), IDS) == [33, 33]
