from __future__ import annotations

import json

import pytest

from tests.training_run import training_report


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "我的"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(training_report().to_json(), ensure_ascii=False), "utf-8")
    return folder


def test_the_summary_goes_to_stdout(run, mine):
    result = run("report", mine)
    assert result.status == 0
    assert result.stderr == ""
    assert "validation loss" in result.stdout
    assert "北京是中国的首都，也是文化中心。" in result.stdout


def test_json_is_the_report_on_one_line(run, mine):
    [report] = run("report", mine, "--json").events
    assert report == json.loads((mine / "report.json").read_text("utf-8"))


def test_a_page_is_written_whole_in_another_s_place(run, mine):
    page = mine / "report.html"
    page.write_text("old")
    result = run("report", mine, "--html", page)
    assert (result.status, result.stdout) == (0, "")
    assert result.stderr.startswith(f"{page}: ")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in mine.iterdir()) == ["report.html", "report.json"]


def test_a_page_may_go_to_stdout(run, mine):
    assert run("report", mine, "--html", "-").stdout.startswith("<!doctype html>")


def test_page_and_json_at_once(run, mine):
    result = run("report", mine, "--html", mine / "x.html", "--json", "-q")
    assert result.events[0]["model"]["name"] == "builtin:text"
    assert (mine / "x.html").is_file()
    assert run("report", mine, "--html", "-", "--json").status == 2


@pytest.mark.parametrize(
    ("files", "said", "hint"),
    [
        ({}, "holds no run of aigc finetune", "name the folder"),
        ({"run.json": "{}"}, "is not finished, so it has no report yet", "aigc finetune --resume -o "),
    ],
)
def test_a_folder_without_a_report(run, tmp_path, files, said, hint):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    result = run("report", tmp_path)
    assert result.status == 2
    assert said in result.stderr
    assert hint in result.stderr


def test_what_is_no_folder(run, tmp_path):
    assert "does not exist" in run("report", tmp_path / "nothing").stderr
    (tmp_path / "file").touch()
    assert "is a file" in run("report", tmp_path / "file").stderr


def test_a_broken_report_is_named(run, mine):
    (mine / "report.json").write_text('{"version": 1}')
    result = run("report", mine, "--json")
    assert result.status == 1
    assert "report.json is no report that can be read: created: field required" in result.stderr
    assert result.events[-1]["event"] == "error"


def test_a_page_needs_a_place(run, mine):
    assert "is a folder, not a file" in run("report", mine, "--html", mine).stderr
    assert "there is no folder" in run("report", mine, "--html", mine / "no" / "x.html").stderr


def test_without_a_run_it_is_a_usage_error(run):
    assert run("report").status == 2
