"""How good answers are beside their references. All are from 0 to 100, higher is better."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from aigc_cli.core.errors import UsageError
from aigc_cli.core.extras import extra
from aigc_cli.core.finetune import Metric
from aigc_cli.training.report import LabelScore

MOST_LABELS = 50
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # scripts that put no spaces between words
ROUGE_TOKENS = regex.compile(rf"[{UNSPACED}]|[\p{{L}}\p{{M}}\p{{N}}--[{UNSPACED}]]+", regex.V1)
HAN = regex.compile(r"\p{Han}")
LETTERS = regex.compile(r"\p{L}")
AROUND_LABELS = regex.compile(r"^[\p{P}\p{Z}\s]+|[\p{P}\p{Z}\s]+$")


@dataclass(frozen=True)
class Score:
    """One figure. signature: how it was computed, for whoever wants to compare."""

    name: str
    value: float
    unit: str = ""
    signature: str = ""


Scorer = Callable[[Sequence[str], Sequence[str]], list[Score]]


def score(metric: Metric, answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    """The metric over answers and references, pair by pair.

    Raises: AigcError where the extra `eval` is missing; UsageError for "accuracy" of references that are no labels;
        ValueError for none, or not as many of one as of the other.
    """
    if not references or len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers to {len(references)} references")
    return SCORERS[metric](answers, references)


def check_metrics(metrics: Sequence[Metric], references: Sequence[str]) -> None:
    """Finds out before training whether `score` could say no after it. Raises: as score."""
    for metric in metrics:
        score(metric, ["yes"], ["yes"])
    if "accuracy" in metrics:
        label_names(references)


def exact_match(answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    """The share of answers that are their reference, but for white space around them and Unicode's ways to write a letter."""
    same = sum(normalized(answer) == normalized(reference) for answer, reference in zip(answers, references, strict=True))
    return [Score("exact-match", 100 * same / len(references), "%", "NFC, stripped")]


def normalized(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def bleu(answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    """Corpus BLEU; text that is mostly Chinese is cut by character, as sacrebleu does it for zh."""
    with extra("eval", "BLEU"):
        from sacrebleu.metrics.bleu import BLEU
    metric = BLEU(tokenize="zh" if is_mostly_han(references) else "13a")
    value = metric.corpus_score(list(answers), [list(references)]).score
    return [Score("bleu", value, signature=str(metric.get_signature()))]


def chrf(answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    with extra("eval", "chrF"):
        from sacrebleu.metrics.chrf import CHRF
    metric = CHRF()
    value = metric.corpus_score(list(answers), [list(references)]).score
    return [Score("chrf", value, signature=str(metric.get_signature()))]


def is_mostly_han(texts: Sequence[str]) -> bool:
    letters = sum(len(LETTERS.findall(text)) for text in texts)
    return 2 * sum(len(HAN.findall(text)) for text in texts) > letters


class WordsAndHan:
    """Cuts text for ROUGE: into words, and into characters where a script has no spaces.

    rouge-score's own way knows a to z and digits alone, and gives 0 to any Chinese answer.
    """

    def tokenize(self, text: str) -> list[str]:
        tokens: list[str] = ROUGE_TOKENS.findall(unicodedata.normalize("NFKC", text).lower())
        return tokens


def rouge_l(answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    """The mean over rows of the F-measure of the longest common subsequence."""
    with extra("eval", "ROUGE-L"):
        from rouge_score.rouge_scorer import RougeScorer
    scorer = RougeScorer(["rougeL"], tokenizer=WordsAndHan())
    measures = [scorer.score(reference, answer)["rougeL"].fmeasure for answer, reference in zip(answers, references, strict=True)]
    return [Score("rouge-l", 100 * sum(measures) / len(measures), signature="rougeL|f|words, Han by character|no stemming")]


def accuracy(answers: Sequence[str], references: Sequence[str]) -> list[Score]:
    """Accuracy and macro F1 of answers that are labels."""
    labels = classification_report(answers, references)
    right = sum(as_label(answer) == as_label(reference) for answer, reference in zip(answers, references, strict=True))
    macro_f1 = sum(label.f1 for label in labels) / len(labels)
    signature = f"{len(labels)} labels"
    return [Score("accuracy", 100 * right / len(references), "%", signature), Score("macro-f1", 100 * macro_f1, "%", signature)]


def classification_report(answers: Sequence[str], references: Sequence[str]) -> list[LabelScore]:
    """Precision, recall and F1 for each label that a reference has, the most frequent first.

    An answer that is no label counts against the recall of the right one, and against no other's precision.
    Raises: UsageError for references that are no labels.
    """
    names = label_names(references)
    predicted, expected = list(map(as_label, answers)), list(map(as_label, references))
    chosen, support = Counter(predicted), Counter(expected)
    hits = Counter(label for label, other in zip(predicted, expected, strict=True) if label == other)
    return [
        LabelScore(
            label=names[label],
            precision=hits[label] / chosen[label] if chosen[label] else 0.0,
            recall=hits[label] / count,
            f1=2 * hits[label] / (chosen[label] + count),
            support=count,
        )
        for label, count in support.most_common()
    ]


def label_names(references: Sequence[str]) -> dict[str, str]:
    """The labels, each with how it is first written. Raises: UsageError where too few rows share theirs with another."""
    names: dict[str, str] = {}
    for reference in references:
        names.setdefault(as_label(reference), reference.strip())
    if len(names) > min(MOST_LABELS, max(2, len(references) // 2)):
        message = f"accuracy is for answers that are labels, and {len(references)} rows have {len(names)} different answers"
        raise UsageError(message, "measure exact-match instead, or raise --metric-samples")
    return names


def as_label(text: str) -> str:
    """The first line in lower case, without what stands around it: quotes, a full stop."""
    line = next(iter(text.strip().splitlines()), "")
    label: str = AROUND_LABELS.sub("", unicodedata.normalize("NFKC", line))
    return label.casefold()


SCORERS: dict[Metric, Scorer] = {
    "exact-match": exact_match,
    "bleu": bleu,
    "chrf": chrf,
    "rouge-l": rouge_l,
    "accuracy": accuracy,
}
