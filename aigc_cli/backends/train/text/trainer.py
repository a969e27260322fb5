"""The trainer of language models. Its stages are objects, each made by the one before:

TextTrainer, a model's config and a request -> PreparedRun, with the data as tokens -> LoadedRun, with the weights.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoConfig, GenerationConfig
from transformers.utils import logging

from aigc_cli.backends import device as devices
from aigc_cli.backends.torch_load import context_length, end_ids, load_tokenizer, location, reason
from aigc_cli.backends.train.plan import Plan
from aigc_cli.backends.train.text.corpus import tokenizer_for
from aigc_cli.backends.train.text.encode import Encoder
from aigc_cli.backends.train.text.encode_dataset import Statistics
from aigc_cli.backends.train.text.prepared_data import PreparedData, prepare_data
from aigc_cli.backends.train.text.prepared_run import Base, PreparedRun
from aigc_cli.backends.train.text.quantized import check_quantizable
from aigc_cli.backends.train.text.scratch import read_blueprint
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import AigcError, ModelError, UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.data.dataset import Dataset
from aigc_cli.training.metrics import check_metrics

LONGEST_UNASKED = 2048  # tokens of a row that are kept, unless --max-length says more
EXAMPLES = 3  # of rows left out


class TextTrainer:
    """What is known before the data are tokenized.

    source: the model to begin with; from scratch, named after its config file.
    Raises, when opened: UsageError for the device or a model of another kind, ModelError for one that cannot be read.
    """

    def __init__(self, source: ModelSource, options: EngineOptions, request: FinetuneRequest) -> None:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if request.tuning.method == "qlora":
            check_quantizable(source)
        placement = devices.choose(options.device, options.dtype)
        if (placement.device, placement.dtype) == ("cpu", "float16"):
            raise UsageError(
                "float16 is not trained in on a CPU: nothing would scale its gradients there", "use --dtype bfloat16 or float32"
            )
        blueprint = read_blueprint(Path(source.name)) if request.tuning.from_scratch else None
        config = blueprint.config if blueprint else read_model_config(source)
        if config.is_encoder_decoder:
            raise UsageError(
                f"{source.name} is an encoder-decoder, and what is trained here are decoders", "choose a causal language model"
            )
        self.base = Base(source, placement, config, blueprint)
        self.request = request
        self.max_length = longest_row(config, request.data.max_length)

    def prepare(self, dataset: Dataset, folder: Path) -> Generator[Event, None, PreparedRun]:
        """Tokenizes the data into `folder`, or finds there what an earlier start made. No weights are needed for that.

        Raises: UsageError where data, mode, and metrics do not suit one another.
        """
        tokenizer = yield from self._open_tokenizer(dataset, folder)
        data, proof = self.request.data, self.request.proof
        encoder = Encoder(
            tokenizer,
            mode=data.mode,
            default_mode=self.base.source.mode,
            max_length=self.max_length,
            train_on=data.train_on,
            end_ids=end_ids(self._generation_config(tokenizer), tokenizer) or None,
        )
        count = max(proof.samples, proof.metric_samples if proof.metrics else 0)
        prepared = yield from prepare_data(dataset, encoder, folder, count)
        yield from cut_rows(prepared.statistics, self.max_length)
        if prepared.questions:
            check_metrics(proof.metrics, [asked.question.reference for asked in prepared.questions])
        return PreparedRun(self.base, self.request, tokenizer, prepared, self._plan(prepared), self.max_length)

    def _plan(self, prepared: PreparedData) -> Plan:
        if "train" not in prepared.stores:
            raise UsageError(f"nothing can be learnt from any row: {left_out(prepared.statistics)}", to_keep_more(prepared.statistics))
        pace = self.request.pace
        return Plan(
            prepared.stores["train"].lengths,
            rows_per_step=pace.batch_size * pace.gradient_accumulation_steps,
            epochs=pace.epochs,
            max_steps=pace.max_steps,
            packing=self.request.data.packing,
            max_length=self.max_length,
            seed=self.request.seed,
        )

    def _open_tokenizer(self, dataset: Dataset, folder: Path) -> Generator[Event, None, Any]:
        if self.base.blueprint:
            tokenizer = yield from tokenizer_for(dataset, self.base.blueprint, self.request.tuning.vocab_size, folder / "tokenizer")
            return tokenizer
        path, options = location(self.base.source)
        tokenizer = load_tokenizer(path, options)
        if not len(tokenizer):
            raise ModelError(f"{self.base.source.name} has no tokenizer", "a tokenizer.json belongs into its folder")
        return tokenizer

    def _generation_config(self, tokenizer: Any) -> GenerationConfig:
        if self.base.blueprint:
            return GenerationConfig(eos_token_id=tokenizer.eos_token_id)  # type: ignore[no-untyped-call]
        folder = self.base.source.path
        if folder and (folder / "generation_config.json").exists():
            return GenerationConfig.from_pretrained(folder)
        return GenerationConfig.from_model_config(self.base.config)


def cut_rows(statistics: Statistics, max_length: int) -> Iterator[Caution]:
    """Rows that are not learnt, or not whole."""
    if statistics.cut_rows:
        message = (
            f"rows longer than {max_length:,} tokens: {statistics.cut_rows:,}; {statistics.cut_tokens:,} tokens at their ends are cut off"
        )
        yield Caution(message=message, hint=f"the longest has {statistics.longest:,}; --max-length says how many are kept")
    if statistics.left_out:
        message = f"rows from which nothing can be learnt, left out: {statistics.left_out:,} ({left_out(statistics)})"
        yield Caution(message=message, hint=to_keep_more(statistics))


def left_out(statistics: Statistics) -> str:
    return "; ".join(f"{origin}: {why}" for origin, why in statistics.left_out_examples[:EXAMPLES])


def to_keep_more(statistics: Statistics) -> str:
    """Advice where the cut is why rows are left out."""
    return "a longer --max-length may keep the answers" if statistics.cut_away else ""


def read_model_config(source: ModelSource) -> Any:
    """Raises: ModelError."""
    folder, options = location(source)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    except AigcError:
        raise
    except Exception as error:  # transformers raises almost anything for a file it does not know
        raise ModelError(f"{source.name} cannot be loaded: {reason(error)}", f"the files are in {source.path}") from error


def longest_row(config: Any, asked: int | None) -> int:
    """Raises: UsageError for more than the model's context holds."""
    context = context_length(config)
    if asked and context and asked > context:
        raise UsageError(f"--max-length {asked} is more than the model's context of {context} tokens", f"choose at most {context}")
    return asked or min(context or LONGEST_UNASKED, LONGEST_UNASKED)
