from __future__ import annotations

import sys

import pytest

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.extras import install_hint
from aigc_cli.training.metrics import WordsAndHan, as_label, check_metrics, classification_report, is_mostly_han, score

ENGLISH = (["the cat sat on the mat", "a dog"], ["the cat sat on a mat", "a cat"])
CHINESE = (["今天天气很好", "我爱北京"], ["今天天气真好", "我爱上海"])


def value(metric, answers, references):
    return score(metric, answers, references)[0].value


def test_exact_match_forgives_white_space_and_composition_alone():
    answers = [" 首都 \n", "cafe\u0301", "Yes", "no"]
    assert value("exact-match", answers, ["首都", "café", "yes", "no"]) == 75.0


def test_bleu_of_chinese_counts_characters():
    from sacrebleu import corpus_bleu

    answers, references = CHINESE
    assert value("bleu", answers, references) == corpus_bleu(answers, [references], tokenize="zh").score > 40
    assert "tok:zh" in score("bleu", answers, references)[0].signature


def test_bleu_of_english_is_the_library_s():
    from sacrebleu import corpus_bleu

    answers, references = ENGLISH
    assert value("bleu", answers, references) == corpus_bleu(answers, [references]).score
    assert "tok:13a" in score("bleu", answers, references)[0].signature


def test_chrf_is_the_library_s():
    from sacrebleu import corpus_chrf

    for answers, references in (ENGLISH, CHINESE):
        assert value("chrf", answers, references) == corpus_chrf(answers, [references]).score > 0


def test_rouge_l_by_hand():
    # 5 of 6 words in order, and 1 of 2
    assert value("rouge-l", *ENGLISH) == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)
    # 今天天气_好: 5 of 6 characters, and 2 of 4
    assert value("rouge-l", *CHINESE) == pytest.approx(100 * (5 / 6 + 2 / 4) / 2)


def test_words_and_characters():
    assert WordsAndHan().tokenize("Hello, 世界! Naïve ｶﾌｪ GPT4") == ["hello", "世", "界", "naïve", "カ", "フ", "ェ", "gpt4"]


def test_mostly_han():
    assert is_mostly_han(["今天很好 ok"])
    assert not is_mostly_han(["one word 字"])
    assert not is_mostly_han(["123"])


def test_classification_by_hand():
    references = ["yes", "no", "no", "no", "yes", "no"]
    answers = ["Yes.", "no", "perhaps", "yes", "no", '"No"\nbecause']
    no, yes = classification_report(answers, references)
    assert (no.label, no.support, no.precision, no.recall) == ("no", 4, 2 / 3, 2 / 4)
    assert no.f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert (yes.label, yes.support, yes.precision, yes.recall, yes.f1) == ("yes", 2, 1 / 2, 1 / 2, 1 / 2)
    accuracy, macro_f1 = score("accuracy", answers, references)
    assert accuracy.value == pytest.approx(100 * 3 / 6)
    assert macro_f1.value == pytest.approx(100 * (no.f1 + yes.f1) / 2)


def test_a_label_that_nobody_chose_scores_nothing():
    rows = classification_report(["甲", "甲"], ["甲", "乙"])
    assert [(row.label, row.precision, row.recall, row.f1) for row in rows] == [
        ("甲", 0.5, 1.0, pytest.approx(2 / 3)),
        ("乙", 0.0, 0.0, 0.0),
    ]


@pytest.mark.parametrize("text", ["正面", " 正面。", "「正面」", "**正面**\n因为……"])
def test_a_label_is_read_without_what_stands_around_it(text):
    assert as_label(text) == "正面"


def test_answers_that_are_no_labels_have_no_accuracy():
    with pytest.raises(UsageError, match="8 rows have 8 different answers"):
        score("accuracy", ["x"] * 8, [f"answer {number}" for number in range(8)])


def test_the_check_before_training_finds_the_same():
    check_metrics(("exact-match", "bleu", "chrf", "rouge-l", "accuracy"), ["yes", "no", "no"])
    with pytest.raises(UsageError):
        check_metrics(("accuracy",), [f"answer {number}" for number in range(8)])


@pytest.mark.parametrize(("metric", "package"), [("bleu", "sacrebleu"), ("chrf", "sacrebleu"), ("rouge-l", "rouge_score")])
def test_a_missing_extra_names_its_command(monkeypatch, metric, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AigcError, match=package) as error:
        check_metrics((metric,), ["yes"])
    assert error.value.hint == install_hint("eval")


def test_answers_and_references_go_in_pairs():
    for answers, references in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(ValueError, match="answers to"):
            score("exact-match", answers, references)


@pytest.mark.parametrize("metric", ["exact-match", "bleu", "chrf", "rouge-l", "accuracy"])
def test_empty_answers_score_nothing(metric):
    assert value(metric, ["", ""], ["yes", "no"]) == 0.0
