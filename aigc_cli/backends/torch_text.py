"""The text engine: any language model that transformers loads, driven by our own loop."""

from __future__ import annotations

import copy
import dataclasses
import gc
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from aigc_cli.backends import device as devices
from aigc_cli.backends.decoder import Decoder
from aigc_cli.backends.prompting import Prompt, Prompter
from aigc_cli.backends.sampling import make_sampler
from aigc_cli.backends.text_stream import Channel, DeltaBuffer, Detokenizer, byte_token_ids
from aigc_cli.backends.torch_load import LoadedModel, adapter_names, load, memory_errors
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Done, Event, Loaded, ReasoningDelta, TextDelta
from aigc_cli.core.request import Message, Sampling, TextRequest

CONTEXT_TOKENS = 16  # of the prompt, decoded along with the first new ones


class TorchTextEngine:
    """Implements TextEngine. Raises, when opened, ModelError, OutOfMemoryError, or UsageError for the device."""

    def __init__(self, source: ModelSource, options: EngineOptions) -> None:
        started = time.perf_counter()
        placement = devices.choose(options.device, options.dtype)
        parts = load(source, placement, options.adapters)
        self._hold(source, placement, parts, time.perf_counter() - started, adapter_names(options.adapters))

    @classmethod
    def over(cls, parts: LoadedModel, source: ModelSource, placement: devices.Placement) -> TorchTextEngine:
        """An engine over weights that are in place already, as those under training are."""
        engine = cls.__new__(cls)
        engine._hold(source, placement, parts, 0.0, None)
        return engine

    def _hold(
        self, source: ModelSource, placement: devices.Placement, parts: LoadedModel, seconds: float, adapters: tuple[str, ...] | None
    ) -> None:
        self.source, self.placement = source, placement
        self.tokenizer, self.end_ids, self.sampling = parts.tokenizer, parts.end_ids, parts.sampling
        self.byte_ids = byte_token_ids(parts.tokenizer.get_vocab())
        self.unsaid_cautions = list(parts.cautions)
        self.decoder = Decoder(parts.model)
        self.prompter = Prompter(parts.tokenizer, parts.context_length, self.decoder.is_encoder_decoder, source.mode)
        self.said_plain_format = False
        self.loaded = Loaded(
            model=source.name,
            revision=source.revision,
            device=placement.device,
            dtype=placement.dtype,
            seconds=seconds,
            reason=placement.reason,
            context_length=parts.context_length,
            adapters=adapters,
        )

    def stream(self, request: TextRequest) -> Generator[Event, None, None]:
        started = time.perf_counter()
        self._check_vocabulary(request.sampling)
        prompt = self.prompter.prompt(request)
        yield from self._cautions(request, prompt)
        seed = secrets.randbits(32) if request.seed is None else request.seed
        run = Run(request, prompt, seed, started, [self._completion(request, prompt, index) for index in range(request.n)])
        with memory_errors(self.placement.device):
            yield from self._search_beams(run) if request.num_beams > 1 else self._decode(run)
        yield self._done(run)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return self.prompter.count(messages)

    def forget(self) -> None:
        """Drops what was kept of earlier prompts: it is of no use once the weights change."""
        self.decoder.reset()

    def close(self) -> None:
        del self.decoder
        if self.placement.device.startswith("cuda"):
            gc.collect()
            torch.cuda.empty_cache()

    def _check_vocabulary(self, sampling: Sampling) -> None:
        size = self.decoder.model.get_output_embeddings().weight.shape[0]
        for token, _ in sampling.logit_bias:
            if token >= size:
                raise UsageError(f"--logit-bias: there is no token {token}", f"this model's vocabulary has {size} tokens, from 0 up")

    def _cautions(self, request: TextRequest, prompt: Prompt) -> Iterator[Event]:
        while self.unsaid_cautions:
            yield Caution(message=self.unsaid_cautions.pop(0))
        if prompt.mode == "chat" and not self.prompter.has_template and not self.said_plain_format:
            self.said_plain_format = True
            yield Caution(
                message=f"{self.source.name} has no chat template: it is given a plain transcript",
                hint='paragraphs that begin with "User:" and "Assistant:"; a model made for chat answers better',
            )
        if request.sampling.temperature == 0 and (ignored := sampling_flags(request.sampling)):
            yield Caution(message=f"--temperature 0 is greedy: {', '.join(ignored)} changes nothing")

    def _completion(self, request: TextRequest, prompt: Prompt, index: int) -> Completion:
        def decode(ids: list[int]) -> str:
            text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
            return text

        continues = prompt.mode == "raw" and not self.decoder.is_encoder_decoder
        context = prompt.ids[-CONTEXT_TOKENS:] if continues else []
        is_chat = prompt.mode == "chat"
        buffer = DeltaBuffer((*request.stop, *prompt.stops), reasoning=is_chat, in_reasoning=prompt.in_reasoning)
        return Completion(index, Detokenizer(decode, context, self.byte_ids), buffer, frozenset(self.end_ids))

    def _decode(self, run: Run) -> Iterator[Event]:
        """Samples token after token until every completion has ended."""
        request, prompt = run.request, run.prompt
        logits, prefix, run.cached_tokens = self.decoder.prefill(prompt.ids, request.n)
        length = prefix.shape[1]
        ids = torch.zeros(request.n, length + prompt.max_new_tokens, dtype=torch.long, device=prefix.device)  # (n, S)
        ids[:, :length] = prefix
        sampler = make_sampler(
            merge(self.sampling, request.sampling),
            seed=run.seed,
            n=request.n,
            prompt_length=length,
            min_new_tokens=request.min_new_tokens,
            end_ids=self.end_ids,
            forced=self._forced_tokens(length, prompt.max_new_tokens),
        )
        for end in range(length, length + prompt.max_new_tokens):
            tokens = sampler(logits, ids[:, :end])  # waits for the device, so the time stamp after it is honest
            yield from run.take(tokens)
            if run.has_ended or end == length + prompt.max_new_tokens - 1:
                break
            ids[:, end] = torch.tensor(tokens, device=ids.device)
            logits = self.decoder.decode_one_token(tokens)
        yield from run.finish("length")

    def _forced_tokens(self, length: int, max_new_tokens: int) -> dict[int, int]:
        """Position -> token that a model's own settings dictate there, as BART's do at both ends."""
        config = self.decoder.model.generation_config
        forced = {length: config.forced_bos_token_id, length + max_new_tokens - 1: config.forced_eos_token_id}
        return {at: token[0] if isinstance(token, list) else token for at, token in forced.items() if token is not None}

    def _search_beams(self, run: Run) -> Iterator[Event]:
        """transformers' own beam search; its best `n` come at the end, whole."""
        request, model = run.request, self.decoder.model
        sampling = merge(self.sampling, request.sampling)
        config = copy.deepcopy(model.generation_config)
        config.update(
            do_sample=False,
            **dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "typical_p", "max_length", "min_length"), None),
            num_beams=request.num_beams,
            num_return_sequences=request.n,
            early_stopping=request.early_stopping,
            length_penalty=request.length_penalty,
            max_new_tokens=run.prompt.max_new_tokens,
            min_new_tokens=request.min_new_tokens or None,
            repetition_penalty=sampling.repetition_penalty,
            no_repeat_ngram_size=sampling.no_repeat_ngram_size,
            sequence_bias=[[[token], bias] for token, bias in sampling.logit_bias] or None,
            eos_token_id=list(self.end_ids) or None,
            pad_token_id=config.pad_token_id if config.pad_token_id is not None else (self.end_ids or (0,))[0],
        )
        inputs = torch.tensor([run.prompt.ids], device=model.device)
        found = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)
        begin = 1 if self.decoder.is_encoder_decoder else inputs.shape[1]
        for completion, ids in zip(run.completions, found[:, begin:].tolist(), strict=True):
            for token in ids:
                yield from run.take_one(completion, token)
        yield from run.finish("length")

    def _done(self, run: Run) -> Done:
        reasons = tuple(completion.finish_reason or "length" for completion in run.completions)
        return Done(
            t=run.clock(),
            finish_reason=reasons[0],
            finish_reasons=reasons if len(reasons) > 1 else None,
            prompt_tokens=len(run.prompt.ids),
            cached_tokens=run.cached_tokens,
            completion_tokens=sum(completion.tokens for completion in run.completions),
            ttft=run.first_token_at,
            tokens_per_second=run.tokens_per_second(),
            seconds=run.clock(),
            seed=run.seed,
            model=self.source.name,
            revision=self.source.revision,
            device=self.placement.device,
            dtype=self.placement.dtype,
            mode=run.prompt.mode,
            kept=run.prompt.kept,
            dropped=run.prompt.dropped,
            context_length=self.prompter.context_length,
            adapters=self.loaded.adapters,
            peak_memory=devices.peak_memory(self.placement.device),
        )


@dataclass
class Completion:
    """One of the texts a request asks for, while it grows."""

    index: int
    detokenizer: Detokenizer
    buffer: DeltaBuffer
    end_ids: frozenset[int]
    tokens: int = 0
    finish_reason: str | None = None

    def push(self, token: int) -> list[tuple[Channel, str]]:
        """The pieces of text that become certain with this token; none once the text has ended."""
        if self.finish_reason:
            return []
        if token in self.end_ids:
            return self.finish("stop")
        self.tokens += 1
        pieces = self.buffer.feed(self.detokenizer.push(token))
        if self.buffer.stopped:
            self.finish_reason = "stop"
        return pieces

    def finish(self, reason: str) -> list[tuple[Channel, str]]:
        if self.finish_reason:
            return []
        self.finish_reason = reason
        pieces = self.buffer.feed(self.detokenizer.finish()) + self.buffer.flush()
        if self.buffer.stopped:  # the very last characters completed a stop string
            self.finish_reason = "stop"
        return pieces


@dataclass
class Run:
    """A request under way: its completions and its times, in seconds since `started`."""

    request: TextRequest
    prompt: Prompt
    seed: int
    started: float
    completions: list[Completion]
    first_token_at: float | None = None
    last_token_at: float = 0.0
    cached_tokens: int | None = None
    rounds: int = 0

    @property
    def has_ended(self) -> bool:
        return all(completion.finish_reason for completion in self.completions)

    def clock(self) -> float:
        return time.perf_counter() - self.started

    def take(self, tokens: Sequence[int]) -> Iterator[Event]:
        """One token for each completion, all made by one step."""
        self.rounds += 1
        for completion, token in zip(self.completions, tokens, strict=True):
            yield from self.take_one(completion, token)

    def take_one(self, completion: Completion, token: int) -> Iterator[Event]:
        self.last_token_at = self.clock()
        if self.first_token_at is None:
            self.first_token_at = self.last_token_at
        yield from self._events(completion.index, completion.push(token))

    def finish(self, reason: str) -> Iterator[Event]:
        for completion in self.completions:
            yield from self._events(completion.index, completion.finish(reason))

    def tokens_per_second(self) -> float | None:
        """Of decoding: without the first round, whose time is the prompt's."""
        elapsed = self.last_token_at - (self.first_token_at or 0.0)
        count = sum(completion.tokens for completion in self.completions) - len(self.completions)
        return count / elapsed if self.rounds > 1 and elapsed > 0 and count > 0 else None

    def _events(self, index: int, pieces: list[tuple[Channel, str]]) -> Iterator[Event]:
        for channel, text in pieces:
            kind: Callable[..., Event] = ReasoningDelta if channel == "reasoning" else TextDelta
            yield kind(t=self.clock(), text=text, index=index)


def merge(own: Sampling, asked: Sampling) -> Sampling:
    """The model's settings with the request's on top. Asking a greedy model for top-p asks it to sample."""
    given = {name: value for name, value in dataclasses.asdict(asked).items() if value not in (None, ())}
    if "temperature" not in given and own.temperature == 0 and sampling_flags(asked):
        given["temperature"] = 1.0
    return dataclasses.replace(own, **given)


def sampling_flags(sampling: Sampling) -> list[str]:
    """The flags given that only matter when tokens are drawn."""
    names = ("top_k", "top_p", "min_p", "typical_p")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(sampling, name) is not None]
