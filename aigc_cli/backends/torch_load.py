"""A model source -> weights, tokenizer and what is known of them, through transformers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging
from transformers.utils.quantization_config import GgufConfig, QuantizationConfigMixin

from aigc_cli.backends.device import Placement
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, ModelError, OutOfMemoryError, UsageError
from aigc_cli.core.request import DEFAULT_TEMPERATURE, DEFAULT_TOP_P, Sampling

OUT_OF_MEMORY_HINT = "try a smaller model, --dtype bfloat16, a shorter prompt or a smaller -n"


@dataclass(frozen=True)
class LoadedModel:
    """Weights in place. end_ids: tokens that end a text.  context_length: None where the model has no limit.

    cautions: what is odd about the model's own settings.
    """

    model: Any
    tokenizer: Any
    end_ids: tuple[int, ...]
    context_length: int | None
    sampling: Sampling
    cautions: tuple[str, ...]


def load(
    source: ModelSource,
    placement: Placement,
    adapters: Sequence[tuple[Path, float]] = (),
    quantization: QuantizationConfigMixin | None = None,
) -> LoadedModel:
    """adapters: as in EngineOptions; merged into the weights.  quantization: of the weights, as they are read.

    Raises: ModelError for what transformers cannot load or an adapter that does not fit, OutOfMemoryError for what the
        device cannot hold.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, options = location(source)
    try:
        with memory_errors(placement.device):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
            tokenizer = load_tokenizer(folder, options)
            model, cautions = load_weights(source, config, placement, quantization)
            generation_config = read_generation_config(folder, model)
            ends = end_ids(generation_config, tokenizer)
            if adapters:
                from aigc_cli.backends.adapters import merge_adapters  # brings PEFT, which takes half a second

                merge_adapters(model, adapters)
                ends += adopt_template(tokenizer, adapters)
    except AigcError:
        raise
    except Exception as error:  # transformers raises almost anything for a file it does not know
        raise ModelError(f"{source.name} cannot be loaded: {reason(error)}", f"the files are in {source.path}") from error
    sampling, odd_settings = model_sampling(generation_config)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        end_ids=ends,
        context_length=context_length(config),
        sampling=sampling,
        cautions=(*cautions, *odd_settings),
    )


def location(source: ModelSource) -> tuple[Path, dict[str, Any]]:
    """The folder to load from, and what else transformers' loaders must be told."""
    assert source.path is not None
    if source.kind == "gguf":
        return source.path.parent, {"gguf_file": source.path.name}
    return source.path, {"local_files_only": True}


def reason(error: Exception) -> str:
    """What transformers says, in one sentence. Its advice is for its own callers."""
    message = " ".join(str(error).split())
    if "trust_remote_code" in message:
        return "it needs Python code of its own, and aigc never runs code that comes with a model"
    return re.split(r"(?<=[.!?]) (?=[A-Z])", message)[0][:300] or type(error).__name__


def load_tokenizer(folder: Path, options: dict[str, Any]) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:
        raise ModelError(f"the tokenizer in {folder} cannot be read: {reason(error)}", "fetch its files again") from error


def load_weights(
    source: ModelSource, config: Any, placement: Placement, quantization: QuantizationConfigMixin | None = None
) -> tuple[Any, tuple[str, ...]]:
    """The model in place, and what is odd about its file.

    Raises: ModelError where tensors are missing or have other shapes than the config says.
    """
    folder, options = location(source)
    if source.kind == "gguf":
        from transformers import modeling_gguf_pytorch_utils as gguf_reader  # for these files only

        gguf_reader.tqdm = lambda iterable, **options: iterable  # type: ignore[attr-defined]  # it draws a bar of its own, terminal or not
        options["quantization_config"] = GgufConfig(dequantize=True)  # a model that counts as packed is neither converted nor saved
    if quantization:
        options |= {"quantization_config": quantization, "device_map": {"": placement.device}}
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model, report = auto.from_pretrained(
        folder,
        dtype=placement.dtype,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,  # to be told their names
        output_loading_info=True,
        **options,
    )
    if mismatched := sorted(report["mismatched_keys"]):
        name, in_file, in_config = mismatched[0]
        sizes = f"{name} is {tuple(in_file)} in the file and {tuple(in_config)} by its config"
        raise ModelError(
            f"{source.path}: {len(mismatched)} tensors have the wrong shape: {sizes}", "weights and config do not belong together"
        )
    if missing := sorted(report["missing_keys"]):
        names = f"{len(missing)} tensors are missing, {missing[0]} among them"
        raise ModelError(f"{source.path}: {names}", "the files are not complete: fetch them again")
    unused = sorted(report["unexpected_keys"])
    cautions = (f"{len(unused)} tensors in the file belong to no part of this model, {unused[0]} among them",) if unused else ()
    return model.eval() if quantization else model.eval().to(placement.device), cautions


def read_generation_config(folder: Path, model: Any) -> GenerationConfig:
    """The folder's own, with None where it says nothing."""
    if (folder / "generation_config.json").exists():
        return GenerationConfig.from_pretrained(folder)
    config: GenerationConfig = model.generation_config
    return config


def end_ids(generation_config: GenerationConfig, tokenizer: Any) -> tuple[int, ...]:
    ids = generation_config.eos_token_id
    if ids is None:
        ids = tokenizer.eos_token_id
    return () if ids is None else tuple(ids) if isinstance(ids, list) else (ids,)


def adopt_template(tokenizer: Any, adapters: Sequence[tuple[Path, float]]) -> tuple[int, ...]:
    """Gives a model without a chat template the one that an adapter was trained with. Returns: what ends a turn there."""
    for folder, _ in adapters:
        if tokenizer.chat_template or not (folder / "tokenizer_config.json").exists():
            continue
        trained_with = load_tokenizer(folder, {"local_files_only": True})
        tokenizer.chat_template = trained_with.chat_template
        if tokenizer.chat_template and trained_with.eos_token in tokenizer.get_vocab():
            return (tokenizer.convert_tokens_to_ids(trained_with.eos_token),)
    return ()


def context_length(config: Any) -> int | None:
    """Positions the model was made for; None for one without a limit, such as T5 or Mamba."""
    text_config = config.get_text_config(decoder=True)
    length = getattr(text_config, "max_position_embeddings", None)
    return length if isinstance(length, int) and length > 0 else None


SAMPLING_NAMES = ("temperature", "top_k", "top_p", "min_p", "typical_p")
PENALTY_NAMES = ("repetition_penalty", "no_repeat_ngram_size")


def model_sampling(config: GenerationConfig) -> tuple[Sampling, tuple[str, ...]]:
    """The model's own sampling settings, else those of aigc, and what is odd about them.

    A model that says `do_sample: false` is greedy.
    """
    own: dict[str, Any] = {}
    cautions = []
    for name in SAMPLING_NAMES + PENALTY_NAMES:
        value: Any = getattr(config, name, None)
        settings: dict[str, Any] = {name: value}
        try:
            own[name] = getattr(Sampling(**settings), name)
        except (UsageError, TypeError):
            own[name] = None
            if not (name == "top_k" and value == -1):  # a common way to say "off"
                cautions.append(f"the model's generation_config has {name} = {value!r}, which is left out")
    penalties = {name: own[name] for name in PENALTY_NAMES}
    if config.do_sample is False:
        return Sampling(temperature=0.0, **penalties), tuple(cautions)
    if not config.do_sample and all(own[name] is None for name in SAMPLING_NAMES):
        return Sampling(temperature=DEFAULT_TEMPERATURE, top_p=DEFAULT_TOP_P, **penalties), tuple(cautions)
    return Sampling(**{**own, "temperature": 1.0 if own["temperature"] is None else own["temperature"]}), tuple(cautions)


def adapter_names(adapters: Sequence[tuple[Path, float]]) -> tuple[str, ...] | None:
    """As the user would write them; None without any."""
    return tuple(str(path) if scale == 1.0 else f"{path}:{scale:g}" for path, scale in adapters) or None


@contextmanager
def memory_errors(device: str, hint: str = OUT_OF_MEMORY_HINT) -> Iterator[None]:
    """Turns an allocation that failed into an OutOfMemoryError with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not is_named and not any(words in str(error) for words in ("allocate memory", "out of memory")):
            raise
        raise OutOfMemoryError(f"out of memory on {device}", hint) from error
