"""`aigc complete` as a user meets it, over the scripted engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.events import Done, ReasoningDelta, TextDelta
from aigc_cli.core.request import Sampling
from tests.conftest import Result
from tests.fake import FakeTextEngine

Run = Callable[..., Result]


def test_stdout_holds_the_text_and_nothing_else(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["你好， 世界 👩‍💻 \x1b[31mred"]
    result = run("complete", "say it", input="")
    assert (result.status, result.stdout, result.stderr) == (0, "你好， 世界 👩‍💻 \x1b[31mred", "")


def test_stdin_is_the_material_and_the_argument_the_instruction(run: Run, fake: type[FakeTextEngine]) -> None:
    run("complete", "Write a commit message", input="diff --git\n")
    assert fake.requests[0].messages[-1].content == "diff --git\n\nWrite a commit message"


@pytest.mark.parametrize("arguments", [[], [""], ["-f", "/dev/null"]])
def test_empty_input_is_refused_before_a_model_is_opened(run: Run, fake: type[FakeTextEngine], arguments: list[str]) -> None:
    result = run("complete", *arguments, input="")
    assert result.status == 2
    assert "no text" in result.stderr
    assert not fake.sources


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperature", "-1"], "--temperature must be at least 0"),
        (["--top-p", "2"], "--top-p must be above 0 and at most 1"),
        (["--max-new-tokens", "0"], "--max-new-tokens must be at least 1"),
        (["--raw", "--instruct"], "contradict"),
        (["-q", "-v"], "contradict"),
        (["--seed", "18446744073709551616"], "not 18446744073709551616"),
        (["--logit-bias", "5=inf"], "-inf"),
        (["--raw", "-s", "Be brief"], "system"),
        (["--early-stopping"], "--num-beams"),
        (["--num-beams", "4", "--temperature", "0.5"], "contradict"),
        (["--logit-bias", "the=1"], "TOKEN=BIAS"),
        (["--truncate", "newest"], "oldest"),
        (["-f", "."], "is a folder"),
    ],
)
def test_bad_options_are_refused_before_a_model_is_opened(run: Run, fake: type[FakeTextEngine], arguments: list[str], words: str) -> None:
    result = run("complete", "hi", *arguments, input="")
    assert (result.status, result.stdout) == (2, "")
    assert words in result.stderr
    assert not fake.sources


def test_options_reach_the_request(run: Run, fake: type[FakeTextEngine]) -> None:
    arguments = "-n 3 --temperature 0.8 --top-p 0.95 --top-k 50 --seed 7 --stop END --stop . --logit-bias 5=-1.5 --truncate middle"
    run("complete", "hi", *arguments.split(), input="")
    request = fake.requests[0]
    assert (request.n, request.seed, request.stop, request.truncate) == (3, 7, ("END", "."), "middle")
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.top_k) == (0.8, 0.95, 50)
    assert request.sampling.logit_bias == ((5, -1.5),)
    assert request.sampling.min_p is None


def test_a_system_prompt_makes_it_a_chat(run: Run, fake: type[FakeTextEngine]) -> None:
    run("complete", "hi", "-s", "Be brief", input="")
    assert fake.requests[0].mode == "chat"
    assert [message.role for message in fake.requests[0].messages] == ["system", "user"]


def test_completions_are_separated(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["one two", "one two"]
    assert run("complete", "x", "-n", "2", input="").stdout == "one two\n---\none two"
    assert run("complete", "x", "-n", "2", "--separator", "***", input="").stdout == "one two\n***\none two"


def test_json_events(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[ReasoningDelta(text="hm", t=0.1), TextDelta(text="你好", t=0.2), Done(finish_reason="stop", seed=7, t=0.3)]]
    result = run("complete", "x", "--json", input="")
    assert [event["event"] for event in result.events[:3]] == ["loaded", "reasoning", "text"]
    assert result.events[2] == {"event": "text", "t": 0.2, "text": "你好", "index": 0}
    assert "你好" in result.stdout  # not escaped


def test_reasoning_goes_to_stderr(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[ReasoningDelta(text="thinking"), TextDelta(text="answer")]]
    result = run("complete", "x", input="")
    assert result.stdout == "answer"
    assert "thinking" in result.stderr


def test_a_length_stop_and_a_cut_are_said(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[TextDelta(text="a"), Done(finish_reason="length", completion_tokens=1, kept=10, dropped=5)]] * 2
    result = run("complete", "x", input="")
    assert "stopped at 1 token" in result.stderr
    assert "10 tokens kept, 5 dropped" in result.stderr
    assert "5 dropped" in run("complete", "x", "-q", input="").stderr


def test_a_full_context_is_not_blamed_on_the_length(run: Run, fake: type[FakeTextEngine]) -> None:
    full = Done(finish_reason="length", prompt_tokens=3, completion_tokens=5, context_length=8)
    fake.replies = [[TextDelta(text="a"), full]]
    assert "the context of 8 tokens is full" in run("complete", "x", input="").stderr


def test_settings_fill_what_the_command_line_leaves_open(run: Run, fake: type[FakeTextEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("aigc.toml").write_text('temperature = 0.3\ntop_p = 0.5\nmodel = "from-project"\n')
    monkeypatch.setenv("AIGC_TOP_P", "0.6")
    run("complete", "x", "--temperature", "0.9", input="")
    assert (fake.requests[0].sampling.temperature, fake.requests[0].sampling.top_p) == (0.9, 0.6)
    assert fake.sources[0].name == "from-project"


def test_a_config_file_that_names_nonsense_is_refused(run: Run, fake: type[FakeTextEngine]) -> None:
    Path("aigc.toml").write_text('base_url = "http://evil.example"\n')
    result = run("complete", "x", input="")
    assert result.status == 2
    assert "a project file may not set 'base_url'" in result.stderr


def test_standing_settings_for_local_models_are_not_asked_of_a_remote_one(
    run: Run, fake: type[FakeTextEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGC_TOP_K", "20")
    monkeypatch.setenv("AIGC_TEMPERATURE", "0.4")
    run("complete", "x", "-m", "openai:any", input="")
    run("complete", "x", "-m", "local", input="")
    assert [request.sampling.top_k for request in fake.requests] == [None, 20]
    assert [request.sampling.temperature for request in fake.requests] == [0.4, 0.4]


def test_an_alias_of_a_remote_model_is_one(run: Run, fake: type[FakeTextEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_TOP_K", "20")
    run("models", "alias", "far", "openai:gpt-5")
    run("complete", "x", "-m", "far", input="")
    assert fake.requests[0].sampling.top_k is None


def test_a_project_file_may_not_choose_a_remote_model_by_the_users_alias(run: Run, fake: type[FakeTextEngine]) -> None:
    run("models", "alias", "far", "openai:gpt-5")
    Path("aigc.toml").write_text('model = "far"\n')
    for command in ("complete", "chat"):
        result = run(command, "a secret", input="")
        assert (result.status, fake.sources) == (2, [])
        assert "aigc: aigc.toml: a project file may not choose a remote model" in result.stderr
    assert run("complete", "x", "-m", "far", input="").status == 0


def test_standing_settings_for_drawing_are_not_asked_of_beam_search(
    run: Run, fake: type[FakeTextEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TEMPERATURE", "0.4"), ("TOP_P", "0.9"), ("TOP_K", "20"), ("MIN_P", "0.1"), ("REPETITION_PENALTY", "1.2")):
        monkeypatch.setenv(f"AIGC_{name}", value)
    assert run("complete", "x", "--num-beams", "3", input="").status == 0
    assert fake.requests[0].sampling == Sampling(repetition_penalty=1.2)
    assert run("complete", "x", "--num-beams", "3", "--top-p", "0.9", input="").status == 2


def test_options_that_drop_no_token_go_with_beam_search(run: Run, fake: type[FakeTextEngine]) -> None:
    assert run("complete", "x", "--num-beams", "3", "--top-p", "1", "--typical-p", "1", "--top-k", "0", input="").status == 0


def test_the_text_goes_to_a_file(run: Run, fake: type[FakeTextEngine]) -> None:
    Path("out.txt").write_text("what was there before")
    fake.replies = [RuntimeError("breaks before the first word"), "你好 there"]
    run("complete", "x", "-o", "out.txt", input="")
    assert Path("out.txt").read_text() == "what was there before"
    assert run("complete", "x", "-o", "out.txt", input="").stdout == ""
    assert Path("out.txt").read_text() == "你好 there"


@pytest.mark.parametrize("name", [".", "missing/out.txt"])
def test_a_file_that_cannot_be_written_is_refused_first(run: Run, fake: type[FakeTextEngine], name: str) -> None:
    assert run("complete", "x", "-o", name, input="").status == 2
    assert not fake.sources
