"""The engine at the other end of HTTP, met as a user meets it: from the command line, against a local server."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.backends.openai_http import OpenAIEngine
from aigc_cli.backends.openai_request import request_body
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.events import TextDelta
from aigc_cli.core.request import Message, TextRequest
from tests.conftest import Result
from tests.openai_server import Answer, OpenAIServer, chunk, data, refuses, says

CANARY = "sk-canary-0123456789"
Ask = Callable[..., Result]


@pytest.fixture
def ask(run: Callable[..., Result], server: OpenAIServer) -> Ask:
    """`aigc complete` with this server's model; "hi" is the prompt."""
    return lambda *args: run("complete", "-m", "openai:test", "--base-url", server.url, "hi", *args)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, taken at once."""
    naps: list[float] = []
    monkeypatch.setattr("aigc_cli.backends.openai_http.time.sleep", naps.append)
    return naps


def assert_fails(result: Result, status: int, *words: str) -> None:
    assert result.status == status, result.stderr
    assert "Traceback" not in result.stderr
    message = result.stderr.splitlines()
    assert len(message) >= 2, "an error has a line of what happened and one of what to do"
    for word in words:
        assert word in result.stderr


def kinds(result: Result) -> list[str]:
    """The events' names in order, a row of the same ones as one."""
    return [name for name, _ in itertools.groupby(event["event"] for event in result.events)]


def text(result: Result, kind: str = "text") -> str:
    return "".join(event["text"] for event in result.events if event["event"] == kind)


# what is sent


def test_the_reply_is_all_there_is_on_stdout(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [says("你好", "，世", "界 ", "👩", "\u200d", "💻", "!\n")]
    result = ask("-s", "Be brief")
    assert (result.stdout, result.stderr, result.status) == ("你好，世界 👩‍💻!\n", "", 0)
    body = server.bodies[0]
    assert server.requests[0].path == "/v1/chat/completions"
    assert "Authorization" not in server.requests[0].headers
    assert isinstance(body.pop("seed"), int)
    assert body == {
        "model": "test",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 1024,
    }


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("--temperature 0", "temperature", 0.0),
        ("--top-p 0.9", "top_p", 0.9),
        ("--presence-penalty 0.5", "presence_penalty", 0.5),
        ("--frequency-penalty -1", "frequency_penalty", -1.0),
        ("--logit-bias 50256=-100 --logit-bias 7=1.5", "logit_bias", {"50256": -100.0, "7": 1.5}),
        ("--max-new-tokens 5", "max_tokens", 5),
        ("--stop a --stop 句号", "stop", ["a", "句号"]),
        ("--seed 0", "seed", 0),
        ("-n 3", "n", 3),
    ],
)
def test_options_travel_under_the_names_of_the_protocol(ask: Ask, server: OpenAIServer, options: str, field: str, value: Any) -> None:
    assert ask(*options.split()).status == 0
    assert server.bodies[0][field] == value


@pytest.mark.parametrize(
    "options",
    [
        "--top-k 0",
        "--min-p 0.1",
        "--typical-p 0.5",
        "--repetition-penalty 1.1",
        "--no-repeat-ngram-size 2",
        "--num-beams 2",
        "--min-new-tokens 3",
        "--truncate oldest",
        "--device cpu",
        "--dtype float32",
        "--stop a --stop b --stop c --stop d --stop e",
        "--logit-bias 5=101",
    ],
)
def test_an_option_the_protocol_lacks_is_refused_before_any_traffic(ask: Ask, server: OpenAIServer, options: str) -> None:
    assert_fails(ask(*options.split()), 2, options.split()[0], "leave")
    assert server.requests == []


def test_an_alias_is_the_users_own_and_the_endpoint_gets_its_own_name(run: Callable[..., Result], server: OpenAIServer) -> None:
    run("models", "alias", "gpt", "openai:test")
    result = run("complete", "-m", "gpt", "--base-url", server.url, "hi", "--json")
    assert (server.bodies[0]["model"], result.events[-1]["model"]) == ("test", "openai:test")


def test_raw_mode_continues_the_text(ask: Ask, server: OpenAIServer) -> None:
    result = ask("--raw", "--seed", "3", "--json")
    assert server.requests[0].path == "/v1/completions"
    assert (server.bodies[0]["prompt"], server.bodies[0]["max_tokens"]) == ("hi", 1024)
    assert result.events[-1]["mode"] == "raw"
    assert text(result)


def test_only_openai_itself_is_told_max_completion_tokens() -> None:
    request = TextRequest(messages=(Message("user", "hi"),), max_new_tokens=9)
    assert request_body(request, "gpt", "chat", "api.openai.com")["max_completion_tokens"] == 9
    assert request_body(request, "gpt", "raw", "api.openai.com")["max_tokens"] == 9
    assert request_body(request, "gpt", "chat", "localhost")["max_tokens"] == 9


def test_openai_is_known_by_its_host(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigc_cli.backends.openai_request.OPENAI_HOST", "127.0.0.1")
    server.answers = [says("ok")]
    assert ask("--max-new-tokens", "9").status == 0
    assert server.bodies[0]["max_completion_tokens"] == 9


def test_a_seed_is_drawn_sent_and_reported(ask: Ask, server: OpenAIServer) -> None:
    seeds = [ask("--json").events[-1]["seed"] for _ in range(2)]
    assert seeds == [body["seed"] for body in server.bodies]
    assert seeds[0] != seeds[1]


def test_what_nobody_asked_for_is_left_out_when_the_endpoint_refuses_it(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [
        refuses(400, 'Unknown name "seed": Cannot find field.'),
        refuses(422, "stream_options: extra fields are not permitted"),
        refuses(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        says("ok"),
    ]
    result = ask("--json")
    assert result.status == 0
    assert set(server.bodies[-1]) == {"model", "messages", "stream", "max_completion_tokens"}
    assert "seed" not in result.events[-1]


def test_a_seed_that_was_asked_for_is_not_dropped(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [refuses(400, 'Unknown name "seed"')]
    assert_fails(ask("--seed", "1"), 2, 'Unknown name "seed"')
    assert len(server.requests) == 1


# what comes back


def test_done_says_what_the_endpoint_said(ask: Ask, server: OpenAIServer) -> None:
    end: list[Any] = [chunk(finish="length", model="test-2026"), {"choices": [], "usage": {}}, "[DONE]"]
    end[1]["usage"] = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    server.answers = [Answer([*data(chunk("one ")), 0.02, *data(chunk("two")), *data(*end)])]
    result = ask("--json", "--seed", "5")
    loaded, done = result.events[0], result.events[-1]
    assert (loaded["event"], loaded["model"], loaded["device"]) == ("loaded", "openai:test", "remote")
    assert text(result) == "one two"
    expected = {"finish_reason": "length", "prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 4, "seed": 5}
    expected |= {"model": "openai:test", "revision": "test-2026", "device": "remote", "mode": "chat"}
    assert {name: done[name] for name in expected} == expected
    assert 0 < done["ttft"] < done["seconds"]
    assert done["tokens_per_second"] > 0


def test_what_the_endpoint_does_not_count_is_not_invented(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [says("one ", "two ", "three")]
    done = ask("--json").events[-1]
    assert not {"prompt_tokens", "completion_tokens", "tokens_per_second", "revision"} & set(done)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_in_a_field_of_their_own(ask: Ask, server: OpenAIServer, name: str) -> None:
    thoughts = [chunk("想一", name=name), chunk("想 👨\u200d", name=name), chunk("👩", name=name)]
    server.answers = [Answer(data(*thoughts, chunk("Yes"), chunk(finish="stop"), "[DONE]"))]
    result = ask("--json")
    assert kinds(result) == ["loaded", "reasoning", "text", "done"]
    assert (text(result, "reasoning"), text(result)) == ("想一想 👨‍👩", "Yes")


def test_thoughts_between_tags(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [says("<thi", "nk>hm", "m</th", "ink>Yes")]
    result = ask()
    assert (result.stdout, result.stderr.strip()) == ("Yes", "hmm")


def test_no_delta_splits_a_character(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [says(*"👩‍💻e\u0301🇨🇳好👍🏽")]  # one code point a chunk
    deltas = [event["text"] for event in ask("--json").events if event["event"] == "text"]
    assert deltas == ["👩‍💻", "e\u0301", "🇨🇳", "好", "👍🏽"]


def test_halves_of_a_surrogate_pair_are_joined(ask: Ask, server: OpenAIServer) -> None:
    halves = [b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half for half in (rb"a\ud83d", rb"\ude00b \ud83d", b"c")]
    server.answers = [Answer([*halves, *data("[DONE]")])]
    assert ask().stdout == "a😀b \ufffdc"


def test_stop_strings_hold_even_where_the_endpoint_ignores_them(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [Answer([*data(chunk("one E"), chunk("ND two")), 30.0])]
    result = ask("--stop", "END", "--json")
    assert text(result) == "one "
    assert result.events[-1]["finish_reason"] == "stop"


def test_several_completions(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [Answer(data(*(chunk(text, index=at, finish="stop") for at, text in ((1, "乙"), (0, "甲"), (2, "丙"))), "[DONE]"))]
    assert ask("-n", "3").stdout == "甲\n---\n乙\n---\n丙"


def test_an_endpoint_that_does_not_stream_is_understood(ask: Ask, server: OpenAIServer) -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "好的"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    server.answers = [Answer([json.dumps(whole).encode()], headers={"Content-Type": "application/json"})]
    result = ask("--json")
    assert (kinds(result), text(result)) == (["loaded", "text", "done"], "好的")
    assert result.events[-1]["completion_tokens"] == 2


@pytest.mark.parametrize(("answer", "words"), [(says("a", finish="content_filter"), "content_filter"), (says(), "without a word")])
def test_an_odd_end_is_pointed_out(ask: Ask, server: OpenAIServer, answer: Answer, words: str) -> None:
    server.answers = [answer]
    result = ask("-q")
    assert result.status == 0
    assert words in result.stderr


# what goes wrong

REFUSALS = [
    (refuses(400, "temperature must be at most 2"), 2, ["temperature must be at most 2"]),
    (refuses(401, "invalid api key"), 3, ["invalid api key", "OPENAI_API_KEY"]),
    (refuses(403, "not for you"), 3, ["not for you", "OPENAI_API_KEY"]),
    (refuses(400, "This model's maximum context length is 8 tokens", code="context_length_exceeded"), 6, ["8 tokens", "shorten"]),
    (refuses(500, "the request exceeds the available context size", code="exceed_context_size_error"), 6, ["context"]),
    (refuses(429, "You exceeded your current quota", code="insufficient_quota"), 3, ["quota"]),
    (refuses(429, "slow down", Retry_After="3600"), 3, ["slow down", "3600 s"]),
    (refuses(501, "not here"), 3, ["501", "not here"]),
    (refuses(302, Location="https://elsewhere.example/v1?token=x"), 3, ["https://elsewhere.example/v1", "--base-url"]),
    (Answer([b'{"detail": "Not authenticated"}'], 401), 3, ["Not authenticated"]),
    (Answer([b"<html>\x1b[31mBad\r\nGateway</html>"], 418), 2, ["418", "<html> [31mBad Gateway</html>"]),
    (Answer([b""], 404), 3, ["has the model, but no /chat/completions", "Not Found"]),
    (Answer([b"<!DOCTYPE html>\n<html>welcome"], headers={"Content-Type": "text/html"}), 1, ["<!DOCTYPE html>", "--base-url"]),
    (Answer([b"\x00\xff\x1b]0;evil\x07" * 50]), 1, ["something else than a reply", "…"]),
    (Answer([b"data: {not json}\n\n"]), 1, ["{not json}"]),
    (Answer([b'data: "text"\n\n']), 1, ['"text"']),
    (Answer(data({"choices": "?"})), 1, ['"?"']),
    (Answer(data({"choices": [{"delta": {"content": 5}}]})), 1, ["something else"]),
    (Answer(data({"choices": [{"delta": [1], "index": 0}]})), 1, ["something else"]),
    (Answer(data({"choices": [{"delta": {"content": "x"}, "index": 9}]})), 1, ["something else"]),
    (Answer([b"[1, 2]"], headers={"Content-Type": "application/json"}), 1, ["[1, 2]"]),
    (Answer(data({"error": {"message": "out of GPU memory", "code": 500}})), 1, ["out of GPU memory"]),
    (Answer(data({"object": "error", "message": "engine died"})), 1, ["engine died"]),
    (Answer([b'error: {"code": 500, "message": "slot lost"}\n\n']), 1, ["slot lost"]),
    (Answer(data({"error": {"message": "exceeds the available context size"}})), 6, ["context size"]),
    (Answer(data("[DONE]")), 1, ["cut after 0 characters"]),
    (Answer([], headers={"Content-Type": "text/event-stream"}, hangs_up=True), 1, ["cut after 0 characters"]),
]


@pytest.mark.parametrize(("answer", "status", "words"), REFUSALS)
def test_a_failure_has_a_message_of_its_own(ask: Ask, server: OpenAIServer, answer: Answer, status: int, words: list[str]) -> None:
    server.answers = [answer, answer]
    result = ask("--json")
    assert_fails(result, status, *words)
    assert "\x1b" not in result.stderr
    error = result.events[-1]
    assert (error["event"], error["status"]) == ("error", status)
    assert error["message"] in result.stderr
    assert "done" not in [event["event"] for event in result.events]


def test_nothing_listens(run: Callable[..., Result]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        assert_fails(run("complete", "-m", "openai:test", "--base-url", url, "hi"), 3, f"nothing answers at {url}", "start the server")


def test_an_unknown_host(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert_fails(ask("--base-url", "http://nowhere.example/v1"), 3, "nowhere.example cannot be found")


def test_no_tls_at_the_other_end(ask: Ask, server: OpenAIServer) -> None:
    assert_fails(ask("--base-url", server.url.replace("http:", "https:")), 3, "no secure connection")


def test_something_else_than_http(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "aigc_cli", "complete", "-m", "openai:test", "--base-url", url, "hi"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.close()
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 3
    assert f"no answer from {url}" in stderr


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host/v1", "http://", "http://me:secret@host:port", "http://host:99999", "no url"])
def test_an_impossible_address(run: Callable[..., Result], url: str) -> None:
    result = run("complete", "-m", "openai:test", "--base-url", url, "hi")
    assert_fails(result, 2, "--base-url", "for example")
    assert "secret" not in result.stderr


def test_neither_address_nor_key(run: Callable[..., Result]) -> None:
    assert_fails(run("complete", "-m", "openai:test", "hi"), 2, "--base-url", "OPENAI_API_KEY")


def test_a_proxy_that_cannot_be(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy:21")
    assert_fails(ask(), 2, "proxy", "ALL_PROXY")


def test_an_unknown_model_is_offered_the_nearest(run: Callable[..., Result], server: OpenAIServer) -> None:
    result = run("complete", "-m", "openai:qwen3-smal", "--base-url", server.url, "hi")
    assert_fails(result, 3, "no model qwen3-smal", "qwen3-small")
    assert "llama" not in result.stderr


def test_a_model_without_this_path(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [refuses(404, "no route")]
    assert_fails(ask("--raw"), 3, "/completions", "--instruct")


# trying again


@pytest.mark.parametrize("wait", ["7", "Wed, 01 Jan 2020 00:00:00 GMT"])
def test_a_rate_limit_is_waited_for(ask: Ask, server: OpenAIServer, naps: list[float], wait: str) -> None:
    server.answers = [refuses(429, "slow down", Retry_After=wait), says("ok")]
    result = ask("--json")
    seconds = 7 if wait == "7" else 0
    assert (naps, result.status) == ([seconds], 0)
    assert kinds(result) == ["loaded", "warning", "text", "done"]
    assert result.events[1]["message"] == f"rate limited; trying again in {seconds} s"
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_trying_ends(ask: Ask, server: OpenAIServer, naps: list[float], status: int) -> None:
    server.answers = [refuses(status, "busy") for _ in range(9)]
    result = ask()
    assert_fails(result, 3, "busy", "trying again in")
    assert len(server.requests) == 4
    assert [round(nap / 2**at) for at, nap in enumerate(naps)] == [1, 1, 1]
    assert result.stdout == ""


def test_all_waits_together_are_bounded(ask: Ask, server: OpenAIServer, naps: list[float]) -> None:
    server.answers = [refuses(429, "slow down", Retry_After="50") for _ in range(9)]
    assert_fails(ask(), 3, "it asks to wait 50 s")
    assert naps == [50, 50]


# a reply that breaks off


@pytest.mark.parametrize(
    "answer",
    [
        Answer(data(chunk("一 two")), hangs_up=True),
        Answer(data(chunk("一 two"))),
        Answer([*data(chunk("一 two")), b'data: {"choices": [{"del']),
    ],
)
def test_a_cut_is_never_silent(ask: Ask, server: OpenAIServer, answer: Answer) -> None:
    server.answers = [answer]
    result = ask()
    assert result.stdout.rstrip("\n") == "一 two"
    assert_fails(result, 1, "cut after 5 characters", "try again")
    assert len(server.requests) == 1


def test_an_error_inside_the_stream_says_how_much_came(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [Answer(data(chunk("one"), {"error": {"message": "GPU lost"}}))]
    result = ask()
    assert "one" in result.stdout
    assert_fails(result, 1, "failed after 3 characters: GPU lost")


def test_completions_that_never_came_are_missed(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [says("only one")]
    assert_fails(ask("-n", "2"), 1, "made 1 of 2 completions")


def test_a_missing_last_mark_is_no_cut(ask: Ask, server: OpenAIServer) -> None:
    server.answers = [Answer(data(chunk("all", finish="stop")), hangs_up=True)]
    assert (ask().stdout, server.answers) == ("all", [])


def test_a_silent_endpoint(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_TIMEOUT", "0.2")
    server.answers = [Answer([*data(chunk("one")), 30.0])]
    result = ask()
    assert "one" in result.stdout
    assert_fails(result, 1, "sent nothing for 0.2 s", "timeout")


def endless(text: str) -> Answer:
    def pieces() -> Any:
        while True:
            yield from data(chunk(text))
            yield 0.01

    return Answer(pieces())


def test_closing_the_iterator_hangs_up(server: OpenAIServer) -> None:
    server.answers = [endless("more ")]
    engine = OpenAIEngine(ModelSource("openai:test", "openai"), EngineOptions(base_url=server.url))
    stream = engine.stream(TextRequest(messages=(Message("user", "hi"),)))
    assert isinstance(next(stream), TextDelta)
    stream.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(5)
    engine.close()


def test_ctrl_c_hangs_up_and_keeps_what_came(server: OpenAIServer) -> None:
    server.answers = [endless("more ")]
    command = [sys.executable, "-m", "aigc_cli", "complete", "-m", "openai:test", "--base-url", server.url, "hi"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.read(4) == b"more"
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (130, b"")
    assert time.monotonic() - started < 5
    assert server.hung_up.wait(5)


# the key


def test_the_key_goes_to_the_endpoint_alone(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = OpenAIServer()
    monkeypatch.setenv("OPENAI_API_KEY", f" {CANARY}\n")
    server.answers = [refuses(307, Location=f"{elsewhere.url}/chat/completions")]
    assert ask().status == 3
    assert server.requests[0].headers["Authorization"] == f"Bearer {CANARY}"
    assert elsewhere.requests == []
    elsewhere.close()


def test_the_variable_of_the_key_can_be_named(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    monkeypatch.setenv("AIGC_API_KEY_ENV", "MY_KEY")
    server.answers = [refuses(401, "wrong")]
    assert_fails(ask(), 3, "MY_KEY")
    assert server.requests[0].headers["Authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "answer",
    [
        says("fine"),
        refuses(400, f"bad header Bearer {CANARY}"),
        refuses(401, f"Incorrect API key provided: {CANARY}."),
        refuses(404, CANARY),
        refuses(429, "x" * 295 + CANARY, code="insufficient_quota"),
        refuses(302, Location=f"https://elsewhere.example/{CANARY}"),
        Answer([CANARY.encode()]),
        Answer([b"x" * 90 + CANARY.encode()], 400),
        Answer(data({"error": CANARY})),
        Answer(data(chunk("one")), hangs_up=True),
    ],
)
def test_the_key_is_never_shown(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    server.models = [f"echo-{CANARY}"]
    server.answers = [answer]
    result = ask("--json", "--traceback", "-v")
    assert CANARY[:12] not in result.stdout + result.stderr


@pytest.mark.parametrize("key", [f"{CANARY}\nX-Evil: 1", f"{CANARY}é", f"密{CANARY}"])
def test_an_impossible_key_is_refused_unseen(ask: Ask, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    result = ask("--traceback")
    assert result.status == 2
    assert "OPENAI_API_KEY" in result.stderr
    assert CANARY not in result.stderr
    assert server.requests == []


def test_an_engine_does_not_carry_the_key_in_its_repr() -> None:
    options = EngineOptions(base_url=f"http://me:{CANARY}@localhost/v1?key={CANARY}", api_key=CANARY)
    engine = OpenAIEngine(ModelSource("openai:test", "openai"), options)
    assert CANARY not in f"{engine!r} {engine.endpoint!r} {engine.loaded!r} {engine.endpoint.place}"


# settings


def test_the_address_from_the_users_settings(run: Callable[..., Result], server: OpenAIServer) -> None:
    folder = Path(os.environ["AIGC_HOME"]) / "config"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'model = "openai:test"\nbase_url = "{server.url}"\n')
    assert run("complete", "hi").status == 0
    assert server.bodies[0]["model"] == "test"


@pytest.mark.parametrize("setting", ['base_url = "http://evil.example/v1"', 'api_key_env = "AWS_SECRET_ACCESS_KEY"'])
def test_a_project_file_may_not_say_where_data_goes(ask: Ask, server: OpenAIServer, setting: str) -> None:
    Path("aigc.toml").write_text(setting + "\n")
    assert_fails(ask(), 2, "aigc.toml", "a project file may not set", setting.split()[0])
    assert server.requests == []
