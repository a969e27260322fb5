"""prefill and decode_one_token over a KV cache that is kept between requests."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aigc_cli.core.errors import UsageError

CACHE_NAMES = ("past_key_values", "cache_params", "state")  # what transformers' models call theirs, commonest first


class Decoder:
    """A transformers model as two functions from token ids to next-token logits.

    A decoder-only model keeps its cache: of the next prompt only what differs from what it has seen is computed.
    For an encoder-decoder the prompt is the encoder's, and nothing is kept.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)
        parameters = inspect.signature(model.forward).parameters
        self.cache_name = next((name for name in CACHE_NAMES if name in parameters), CACHE_NAMES[0])
        self.extra = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self.reset()

    def reset(self) -> None:
        """Forgets what was seen."""
        self.cache: Any = None
        self.cached_ids: list[int] = []
        self.encoded: dict[str, Any] = {}
        self.is_consistent = True  # the cache holds cached_ids, all of them and nothing else, for one sequence

    def prefill(self, ids: Sequence[int], n: int) -> tuple[Tensor, Tensor, int]:
        """Logits (n, V) for what follows the prompt, the decoder's ids so far (n, S), and how many came from the cache."""
        if n > 1 and self.cache_name == "state":
            hint = "transformers gets its state wrong in a batch: ask several times instead, each with a seed of its own"
            raise UsageError("-n above 1 does not work with an RWKV model", hint)
        if not self.is_consistent:  # the last request was interrupted, or wrote several texts
            self.reset()
        if self.is_encoder_decoder:
            decoder_ids, reused = self._encode(ids), 0
        else:
            decoder_ids, reused = list(ids), self._roll_back(ids)
        logits = self._forward([decoder_ids[reused:]])
        self.cached_ids = list(decoder_ids)
        self.is_consistent = n == 1
        if n > 1:
            logits = self._widen(logits, n)
        return logits, torch.tensor([decoder_ids] * n, device=self.model.device), reused

    def decode_one_token(self, tokens: Sequence[int]) -> Tensor:
        """Appends one token to each sequence; logits (n, V) for what follows."""
        logits = self._forward([[token] for token in tokens])
        if len(tokens) == 1:
            self.cached_ids.append(tokens[0])
            self.is_consistent = True
        return logits

    def _widen(self, logits: Tensor, n: int) -> Tensor:
        """Repeats what one sequence has left behind, for `n` that go on from there."""
        try:
            self.cache.batch_repeat_interleave(n)
        except AttributeError:  # recurrent states have no such method: compute the prompt n times
            ids = self.cached_ids
            self.reset()
            return self._forward([ids] * n)
        self.encoded = {name: repeat(value, n) for name, value in self.encoded.items()}
        return logits.repeat(n, 1)

    def _roll_back(self, ids: Sequence[int]) -> int:
        """Shortens the cache to what it has in common with `ids`, and says how many of them that is.

        The last id is left to be computed in any case, for its logits are wanted.
        """
        common = common_prefix_length(self.cached_ids, ids[:-1])
        surplus = len(self.cached_ids) - common
        if surplus or not common:
            try:
                if not common or not getattr(self.cache, "is_croppable", False):
                    raise ValueError
                self.cache.crop(-surplus)
            except (RuntimeError, ValueError):  # recurrent states, and windows that have slid, cannot go back
                self.reset()
                return 0
        return common

    @torch.inference_mode()
    def _encode(self, ids: Sequence[int]) -> list[int]:
        self.reset()
        inputs = torch.tensor([list(ids)], device=self.model.device)
        self.encoded = {
            "encoder_outputs": self.model.get_encoder()(input_ids=inputs, attention_mask=torch.ones_like(inputs)),
            "attention_mask": torch.ones_like(inputs),
        }
        start = self.model.generation_config.decoder_start_token_id
        return [self.model.config.decoder_start_token_id if start is None else start]

    @torch.inference_mode()
    def _forward(self, rows: list[list[int]]) -> Tensor:
        """Runs (B, S) new tokens through the model; float32 logits (B, V) at the last position."""
        ids = torch.tensor(rows, device=self.model.device)
        names = {"decoder_input_ids" if self.is_encoder_decoder else "input_ids": ids, self.cache_name: self.cache}
        self.is_consistent = False  # until the caller has noted what the cache now holds; an interruption may come between
        output = self.model(**names, **self.encoded, **self.extra, use_cache=True, return_dict=True)
        self.cache = getattr(output, self.cache_name)
        logits: Tensor = output.logits[:, -1]
        return logits.float()


def repeat(value: Any, n: int) -> Any:
    """A tensor, or a model output full of them, n times along the batch."""
    if isinstance(value, Tensor):
        return value.repeat_interleave(n, dim=0)
    return type(value)(**{name: repeat(tensor, n) for name, tensor in value.items()})


def common_prefix_length(a: Sequence[int], b: Sequence[int]) -> int:
    for at, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return at
    return min(len(a), len(b))
