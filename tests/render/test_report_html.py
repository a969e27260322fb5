from __future__ import annotations

import base64
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.extras import install_hint
from aigc_cli.render.report_html import report_html
from tests.training_run import training_report

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Collects what a page would load and run, and checks that its elements nest."""

    VOID = ("meta", "img", "source", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "background")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_runs_nothing():
    page = Page(report_html(training_report(), Path()))
    assert len(page.addresses) == 4
    for address in page.addresses:
        head, _, data = address.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(PNG)
    assert "script" not in page.tags
    assert "link" not in page.tags


def test_whatever_a_model_says_is_text():
    text = report_html(training_report(), Path())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "\x1b" not in text
    assert "evil" not in text


def test_it_holds_what_the_summary_does_and_no_folders():
    text = report_html(training_report(), Path())
    for expected in ("<title>builtin:text, tuned with LoRA: training report</title>", "3.914", "-2.714 better", "+41.5 points better"):
        assert expected in text
    for expected in ("北京是中国的首都，也是文化中心。", "数据.jsonl:17, loss 8.311", "正面|a_b", "nrefs:1|tok:zh", "0.0002", "2.13.0"):
        assert expected in text
    assert "/home/someone" not in text
    assert 'charset="utf-8"' in text
    assert "width=device-width" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_a_run_with_nothing_to_show_makes_a_page():
    page = Page(
        report_html(training_report(before={}, after={}, answers=(), hardest=(), labels=(), curve=(), evaluations=(), cautions=()), Path())
    )
    assert page.addresses == []


def test_a_model_in_a_folder_is_called_by_its_last_part():
    report = training_report()
    text = report_html(training_report(model=type(report.model)(**{**vars(report.model), "name": "/home/someone/models/qwen"})), Path())
    assert re.search(r"<h1>qwen, tuned with LoRA</h1>", text)
    assert "someone" not in text


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AigcError, match="matplotlib, which is not installed") as error:
        report_html(training_report(), Path())
    assert error.value.hint == install_hint("plot")
