"""What is asked of an engine: frozen values that check themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from aigc_cli.core.errors import UsageError

Role = Literal["system", "user", "assistant"]
Mode = Literal["auto", "chat", "raw"]
Truncate = Literal["oldest", "middle"]

DEFAULT_MAX_NEW_TOKENS = 1024
DEFAULT_TEMPERATURE = 0.7
DEFAULT_TOP_P = 0.95
ALL_TOKENS = {"top_p": 1.0, "typical_p": 1.0}  # with these the options drop none


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn. None leaves a setting to the model's own generation_config.

    temperature: 0 is greedy.  top_k: 0 is off.  logit_bias: (token id, bias added to its logit) pairs.
    repetition_penalty: divides or multiplies the logits of tokens seen, prompt included (CTRL, arXiv:1909.05858);
    presence_penalty and frequency_penalty are subtracted for tokens generated, as in OpenAI's API.

    Raises: UsageError naming the option that is out of range.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        check("--temperature", self.temperature, 0.0, 100.0)
        check("--top-k", self.top_k, 0)
        check("--top-p", self.top_p, 0.0, 1.0, low_open=True)
        check("--min-p", self.min_p, 0.0, 1.0)
        check("--typical-p", self.typical_p, 0.0, 1.0, low_open=True)
        check("--repetition-penalty", self.repetition_penalty, 0.0, low_open=True)
        check("--presence-penalty", self.presence_penalty, -2.0, 2.0)
        check("--frequency-penalty", self.frequency_penalty, -2.0, 2.0)
        check("--no-repeat-ngram-size", self.no_repeat_ngram_size, 0)
        for token, bias in self.logit_bias:
            check("--logit-bias", token, 0)
            if math.isnan(bias) or bias == math.inf:
                raise UsageError(f"--logit-bias: a bias must be a number or -inf, not {bias}")


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """Text to continue or a conversation to answer.

    messages: the whole conversation; an engine that keeps a KV cache finds out by itself what it has already seen.
    mode: "chat" applies the model's template, "raw" continues the single user message as it stands, "auto" follows
        the model.
    max_new_tokens: None means until the model ends, at most DEFAULT_MAX_NEW_TOKENS or what the context leaves.
    n: completions, each with a seed of its own derived from `seed`.  seed: None draws a fresh one, which Done reports.
    truncate: None refuses an input that does not fit; "oldest" and "middle" say what to drop.

    Raises: UsageError naming the option that is out of range or contradicts another.
    """

    messages: tuple[Message, ...]
    mode: Mode = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    max_new_tokens: int | None = None
    min_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    n: int = 1
    seed: int | None = None
    truncate: Truncate | None = None
    num_beams: int = 1
    early_stopping: bool = False
    length_penalty: float | None = None

    def __post_init__(self) -> None:
        if not self.messages or not any(message.content.strip() for message in self.messages if message.role == "user"):
            raise UsageError("there is no text to work on", "give it as an argument, with -f FILE, or on stdin")
        check("--max-new-tokens", self.max_new_tokens, 1)
        check("--min-new-tokens", self.min_new_tokens, 0)
        check("-n", self.n, 1, 1024)
        check("--seed", self.seed, 0, 2**63 - 1)
        check("--num-beams", self.num_beams, 1, 256)
        if self.max_new_tokens is not None and self.min_new_tokens > self.max_new_tokens:
            raise UsageError(f"--min-new-tokens {self.min_new_tokens} is more than --max-new-tokens {self.max_new_tokens}")
        if any(not stop for stop in self.stop):
            raise UsageError("--stop: an empty string would stop every text at once")
        if self.mode == "raw" and len(self.messages) != 1:
            raise UsageError("raw mode continues one text", "leave out --system, or use --instruct")
        self._check_beams()

    def _check_beams(self) -> None:
        if self.num_beams == 1:
            for name, given in (("--early-stopping", self.early_stopping), ("--length-penalty", self.length_penalty is not None)):
                if given:
                    raise UsageError(f"{name} belongs to beam search", "add --num-beams N, N above 1")
            return
        if self.n > self.num_beams:
            hint = "a beam search has one completion for each beam at most"
            raise UsageError(f"-n {self.n} is more than --num-beams {self.num_beams}", hint)
        if self.sampling.temperature:
            hint = "beam search here is deterministic: leave out one of the two"
            raise UsageError("--temperature and --num-beams contradict each other", hint)
        for name in ("top_k", "top_p", "min_p", "typical_p", "presence_penalty", "frequency_penalty"):
            if getattr(self.sampling, name) not in (None, 0, ALL_TOKENS.get(name)):
                raise UsageError(f"--{name.replace('_', '-')} and --num-beams contradict each other", "leave out one of the two")


def check(option: str, value: float | None, low: float, high: float = math.inf, *, low_open: bool = False) -> None:
    """Raises UsageError unless value is None or lies in [low, high] ((low, high] if low_open)."""
    if value is None:
        return
    if math.isnan(value) or math.isinf(value) or not (low < value if low_open else low <= value) or value > high:
        above = "above" if low_open else "at least"
        bound = f"{above} {low:g}" + ("" if math.isinf(high) else f" and at most {high if isinstance(high, int) else format(high, 'g')}")
        raise UsageError(f"{option} must be {bound}, not {value if isinstance(value, int) else format(value, 'g')}")
