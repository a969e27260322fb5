"""Requests check themselves, and name the flag that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message, Sampling, TextRequest

HELLO = (Message("user", "Hello"),)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"temperature": -1.0}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"temperature": float("inf")}, "--temperature"),
        ({"top_p": 2.0}, "--top-p"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_k": -1}, "--top-k"),
        ({"min_p": 1.1}, "--min-p"),
        ({"repetition_penalty": 0.0}, "--repetition-penalty"),
        ({"presence_penalty": 3.0}, "--presence-penalty"),
        ({"logit_bias": ((1, float("nan")),)}, "--logit-bias"),
    ],
)
def test_sampling_out_of_range(settings: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        Sampling(**settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_new_tokens": 0}, "--max-new-tokens"),
        ({"n": 0}, "-n must be at least 1"),
        ({"seed": -1}, "--seed"),
        ({"stop": ("",)}, "--stop"),
        ({"max_new_tokens": 5, "min_new_tokens": 6}, "--min-new-tokens 6"),
        ({"early_stopping": True}, "--early-stopping belongs to beam search"),
        ({"num_beams": 2, "n": 3}, "-n 3"),
        ({"num_beams": 2, "sampling": Sampling(temperature=1.0)}, "--temperature and --num-beams"),
        ({"num_beams": 2, "sampling": Sampling(top_p=0.5)}, "--top-p and --num-beams"),
        ({"mode": "raw", "messages": (Message("system", "Be brief"), *HELLO)}, "raw mode"),
        ({"messages": (Message("user", " \n"),)}, "no text"),
        ({"messages": ()}, "no text"),
    ],
)
def test_requests_that_contradict_themselves(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TextRequest(**{"messages": HELLO, **options})
