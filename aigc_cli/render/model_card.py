"""README.md of a result: a model card as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.training_figures import (
    ENDINGS,
    file_name,
    format_change,
    format_figure,
    heading,
    manner,
    public_name,
    settings_of,
    trained_share,
    verdict,
)
from aigc_cli.render.width import one_line
from aigc_cli.training.data_facts import PictureFacts
from aigc_cli.training.report import RunReport, compare

MARKUP = re.compile(r"([\\`*_\[\]<>|~&$]|^[#+-]|(?<=^\d)[.)](?=\s|$))")
LONGEST_ANSWER = 2000  # characters

LOAD_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")"""
LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base}), ".")
tokenizer = AutoTokenizer.from_pretrained(".")"""

LOAD_PIPELINE = """\
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained(".")
pipeline("...").images[0].save("picture.png")"""
LOAD_LORA = """\
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained({base})
pipeline.load_lora_weights(".")
pipeline("...").images[0].save("picture.png")"""
LOADING = {  # by what was learnt from, and whether the result is an adapter
    ("rows", False): ("transformers", LOAD_MODEL),
    ("rows", True): ("peft", LOAD_ADAPTER),
    ("pictures", False): ("diffusers", LOAD_PIPELINE),
    ("pictures", True): ("diffusers", LOAD_LORA),
}


def model_card(report: RunReport, *, title: str, hub_id: str | None = None) -> str:
    """The text of README.md.

    title: what the result is called.  hub_id: the base model's, where it came from the Hub.
    """
    base = public_name(report.model.name)
    parts = [
        front_matter(report, hub_id),
        f"# {escaped(title)}",
        f"{escaped(base)}, {manner(report)} by aigc: {escaped(trained_share(report))}.",
        *usage(report, base, hub_id),
        *figures(report),
        *answers(report),
        *samples(report),
        *data(report),
        *training(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(report: RunReport, hub_id: str | None) -> str:
    """YAML between two rules. Each value is written as JSON, which is YAML too."""
    facts: dict[str, object] = {
        "base_model": hub_id,
        "base_model_relation": ("adapter" if report.model.is_adapter else "finetune") if hub_id else None,
        "library_name": LOADING[report.noun, report.model.is_adapter][0],
        "pipeline_tag": "text-to-image" if report.noun == "pictures" else "text-generation",
        "tags": ["aigc", report.model.method],
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in facts.items() if value is not None]
    return "\n".join(["---", *lines, "---"])


def usage(report: RunReport, base: str, hub_id: str | None) -> Iterator[str]:
    """How it is loaded, by aigc and by the library that it is made for."""
    model = f"-m {shlex.quote(base)} --adapter ." if report.model.is_adapter else "-m ."
    yield "## How to use it"
    yield "In this folder:"
    commands = {"raw": f'aigc complete {model} "..."', "image": f'aigc image {model} "..."'}
    yield fenced(commands.get(report.model.mode, f"aigc chat {model}"), "sh")
    yield fenced(LOADING[report.noun, report.model.is_adapter][1].format(base=json.dumps(hub_id or "BASE")), "python")
    if report.model.is_adapter and not hub_id:
        yield f"BASE is the folder of {escaped(base)}."


def figures(report: RunReport) -> Iterator[str]:
    compared = compare(report)
    yield "## Before and after"
    rows = [
        (heading(each), format_figure(each.before, each.unit), format_figure(each.after, each.unit), format_change(each))
        for each in compared
    ]
    yield table(("measured", "before", "after", "change"), rows) if rows else ""
    yield verdict(report)


def answers(report: RunReport) -> Iterator[str]:
    for number, pair in enumerate(report.answers, 1):
        yield f"### Answer {number}"
        for name, text in (("Prompt", pair.prompt), ("Wanted", pair.reference), ("Base", pair.base), ("Tuned", pair.tuned)):
            yield f"{name}:"
            yield fenced(text if len(text) <= LONGEST_ANSWER else text[:LONGEST_ANSWER] + " ...", "text")


def samples(report: RunReport) -> Iterator[str]:
    """What was drawn before and after; the pictures lie beside the card."""
    sheets = report.proofs
    if not sheets:
        return
    yield "## Samples"
    for sheet in sheets:
        when = f"After {sheet.step:,} steps" if sheet.step else "Before training"
        yield f"{when}:\n\n![{when}]({sheet.path})"
    pairs = zip(sheets[-1].prompts, sheets[-1].seeds, strict=True)
    yield "\n".join(f"{number}. {escaped(prompt)} (seed {seed})" for number, (prompt, seed) in enumerate(pairs, 1))


def data(report: RunReport) -> Iterator[str]:
    yield "## Data"
    if isinstance(report.data, PictureFacts):
        pictures = [(name, f"{split.rows:,}", f"{split.captions:,}", f"{split.wordless:,}") for name, split in report.data.splits.items()]
        yield table(("split", "pictures", "captions", "without words"), pictures)
    else:
        rows = [(name, f"{split.rows:,}", f"{split.tokens:,}", f"{split.trained_tokens:,}") for name, split in report.data.splits.items()]
        yield table(("split", "rows", "tokens", "trained on"), rows)
    yield "\n".join(f"- {escaped(file_name(file.path))}, sha256 {file.sha256}" for file in report.data.files)


def training(report: RunReport) -> Iterator[str]:
    facts, model = report.training, report.model
    yield "## Training"
    yield f"{ENDINGS[facts.finish_reason].capitalize()} after {facts.steps:,} steps on {escaped(model.device)} in {model.dtype}."
    yield table(("setting", "value"), [(name.replace("_", "-"), value) for name, value in settings_of(report).items()])
    yield table(("package", "version"), list(report.versions.items()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str, language: str) -> str:
    """A block that its own text cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{sanitize(text)}\n{fence}"


def escaped(text: str) -> str:
    """The text as Markdown that shows just that, on one line."""
    return MARKUP.sub(r"\\\1", one_line(sanitize(text), 200))
