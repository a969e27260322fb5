"""`aigc config`, and which of the places a setting can stand in counts."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result
from tests.fake import FakeTextEngine

Run = Callable[..., Result]


@pytest.fixture
def user_file(own_home: Path) -> Path:
    """The user's own file; its folder is there, the file is not."""
    file = own_home / "aigc" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    return file


def setting(run: Run, key: str) -> tuple[object, str]:
    [answer] = run("config", "get", key, "--json").events
    return answer["value"], answer["origin"]


def test_each_place_counts_before_the_next(
    run: Run, fake: type[FakeTextEngine], user_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def temperature() -> float | None:
        run("complete", "hi")
        return fake.requests[-1].sampling.temperature

    assert (setting(run, "temperature"), temperature()) == ((None, "default"), None)
    user_file.write_text("temperature = 0.1")
    assert (setting(run, "temperature"), temperature()) == ((0.1, str(user_file)), 0.1)
    Path("aigc.toml").write_text("temperature = 0.2")
    assert (setting(run, "temperature"), temperature()) == ((0.2, "aigc.toml"), 0.2)
    monkeypatch.setenv("AIGC_TEMPERATURE", "0.3")
    assert (setting(run, "temperature"), temperature()) == ((0.3, "AIGC_TEMPERATURE"), 0.3)
    run("complete", "hi", "--temperature", "0.4")
    assert fake.requests[-1].sampling.temperature == 0.4


def test_list_shows_value_origin_and_help(run: Run, user_file: Path) -> None:
    user_file.write_text('system = "你是一名诗人。\\n只用中文回答。"')
    lines = {line.split()[0]: line for line in run("config", "list").stdout.splitlines()}
    assert lines["model"].split(maxsplit=3) == ["model", "builtin:text", "default", "the model to use when -m is not given"]
    assert lines["system"].startswith("system")
    assert "你是一名诗人。 只用中文回答。" in lines["system"]
    assert str(user_file) in lines["system"]
    events = {event["key"]: event for event in run("config", "list", "--json").events}
    assert events["system"]["value"] == "你是一名诗人。\n只用中文回答。"
    assert events["device"] == {
        "key": "device",
        "value": "auto",
        "origin": "default",
        "default": "auto",
        "help": "auto, cpu, cuda, cuda:N or mps",
    }
    assert list(events) == list(lines)


def test_get_prints_the_value_and_nothing_else(run: Run) -> None:
    assert (run("config", "get", "model").stdout, run("config", "get", "system").stdout) == ("builtin:text\n", "\n")
    result = run("config", "get", "model", "-v")
    assert (result.stdout, result.stderr) == ("builtin:text\n", "from: default\n")


def test_set_and_unset_change_one_line_and_keep_the_rest(run: Run, user_file: Path) -> None:
    before = '# mine\nmodel = "old" # for now\n\n[aliases]\n"小" = "org/name"  # a small one\n'
    user_file.write_text(before, "utf-8")
    user_file.chmod(0o600)
    assert run("config", "set", "model", "builtin:text").status == 0
    assert user_file.read_text("utf-8") == before.replace('"old"', '"builtin:text"')
    assert run("config", "set", "top_k", "40").stderr == f"top_k = 40  in {user_file}\n"
    assert tomllib.loads(user_file.read_text("utf-8")) == {"model": "builtin:text", "top_k": 40, "aliases": {"小": "org/name"}}
    assert setting(run, "top_k") == (40, str(user_file))
    assert run("config", "unset", "top_k").stderr == f"top_k is gone from {user_file}\n"
    assert user_file.read_text("utf-8").rstrip() == before.replace('"old"', '"builtin:text"').rstrip()
    assert user_file.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in user_file.parent.iterdir()] == ["config.toml"]
    assert run("config", "unset", "top_k").stderr == f"top_k was not set in {user_file}\n"


def test_set_makes_the_file_and_follows_a_link(run: Run, own_home: Path) -> None:
    assert run("config", "set", "system", "说中文", "-q").stderr == ""
    [where] = run("config", "path").stdout.splitlines()
    assert tomllib.loads(Path(where).read_text("utf-8")) == {"system": "说中文"}
    dotfile = own_home / "dotfiles.toml"
    Path(where).rename(dotfile)
    Path(where).symlink_to(dotfile)
    run("config", "set", "dtype", "float32")
    assert Path(where).is_symlink()
    assert tomllib.loads(dotfile.read_text("utf-8")) == {"system": "说中文", "dtype": "float32"}


def test_set_answers_in_json(run: Run, user_file: Path) -> None:
    assert run("config", "set", "temperature", "1", "--json").events == [{"key": "temperature", "value": 1.0, "origin": str(user_file)}]
    assert run("config", "unset", "temperature", "--json").events == [{"key": "temperature", "was_set": True, "path": str(user_file)}]
    assert run("config", "path", "--json").events == [{"path": str(user_file), "exists": True}]


def test_set_says_when_something_else_counts_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("aigc.toml").write_text("top_k = 5")
    assert "top_k is also set by aigc.toml, which counts here before your file" in run("config", "set", "top_k", "6", "-q").stderr
    monkeypatch.setenv("AIGC_TOP_K", "7")
    assert "top_k is also set by AIGC_TOP_K" in run("config", "set", "top_k", "6").stderr


@pytest.mark.parametrize("command", [("get",), ("set", "x"), ("unset",)])
def test_an_unknown_key_brings_the_nearest_names(run: Run, command: tuple[str, ...]) -> None:
    result = run("config", command[0], "temprature", *command[1:])
    assert result.status == 2
    assert result.stderr == "aigc: there is no setting 'temprature'\n      did you mean temperature or truncate?\n"
    assert "there is: model, image_model, device" in run("config", command[0], "颜色", *command[1:]).stderr


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("temperature", "-1", "--temperature must be at least 0"),
        ("temperature", "warm", "temperature must be a number, not 'warm'"),
        ("temperature", "nan", "not nan"),
        ("top_k", "1.5", "top_k must be a whole number, not '1.5'"),
        ("top_p", "2", "--top-p must be above 0 and at most 1"),
        ("max_new_tokens", "0", "max_new_tokens must be at least 1"),
        ("timeout", "0", "timeout must be above 0"),
        ("dtype", "half", "dtype must be one of auto, float32, bfloat16, float16, not 'half'"),
        ("device", "gpu", "device must be auto, cpu, cuda, cuda:N or mps, not 'gpu'"),
    ],
)
def test_a_bad_value_is_refused_wherever_it_stands(
    run: Run, user_file: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, words: str
) -> None:
    result = run("config", "set", key, value)
    assert (result.status, user_file.exists()) == (2, False)
    assert words in result.stderr
    user_file.write_text(f"{key} = {json.dumps(value)}")
    result = run("config", "list")
    assert result.status == 2
    assert result.stderr.startswith(f"aigc: {user_file}: ")
    assert words in result.stderr
    user_file.unlink()
    monkeypatch.setenv(f"AIGC_{key.upper()}", value)
    assert f"aigc: AIGC_{key.upper()}: " in run("config", "list").stderr


def test_a_number_in_a_file_must_be_of_the_right_kind(run: Run, user_file: Path) -> None:
    user_file.write_text("top_k = 2.7")
    assert "top_k must be a whole number, not 2.7" in run("config", "list").stderr
    user_file.write_text("temperature = 1")
    assert setting(run, "temperature") == (1.0, str(user_file))
    user_file.write_text("temperature = true")
    assert run("config", "list").status == 2


@pytest.mark.parametrize("key", ["base_url", "api_key_env", "timeout"])
def test_a_project_file_may_not_say_where_data_is_sent(run: Run, user_file: Path, key: str) -> None:
    Path("aigc.toml").write_text(f'{key} = "7"')
    result = run("config", "list")
    assert result.status == 2
    assert result.stderr == f"aigc: aigc.toml: a project file may not set '{key}'\n      set it in your own file: aigc config set\n"
    Path("aigc.toml").unlink()
    assert run("config", "set", key, "7").status == 0


def test_a_project_file_may_not_choose_a_remote_model(run: Run, user_file: Path) -> None:
    Path("aigc.toml").write_text('model = "openai:gpt-5"')
    result = run("config", "list")
    assert result.status == 2
    assert result.stderr.startswith("aigc: aigc.toml: a project file may not choose a remote model\n")
    Path("aigc.toml").unlink()
    user_file.write_text('model = "openai:gpt-5"')
    assert setting(run, "model") == ("openai:gpt-5", str(user_file))


def test_a_project_file_may_not_set_aliases(run: Run) -> None:
    Path("aigc.toml").write_text('[aliases]\nsmall = "somebody/elses"')
    assert run("config", "list").status == 2


@pytest.mark.parametrize("text", [b"model = ", b"= 3", b'model = "\xff"', b"[aliases\n"])
@pytest.mark.parametrize("is_project", [True, False])
def test_a_file_that_is_no_toml_is_named_and_left_alone(run: Run, user_file: Path, text: bytes, is_project: bool) -> None:
    file = Path("aigc.toml") if is_project else user_file
    file.write_bytes(text)
    for command in (("list",), ("get", "model"), ("set", "model", "x")):
        result = run("config", *command)
        assert (result.status, result.stdout) == (2, "")
        assert result.stderr.startswith(f"aigc: {file}: ")
        assert "mend the file" in result.stderr
    assert file.read_bytes() == text


def test_a_key_that_nobody_knows_can_be_taken_out(run: Run, user_file: Path) -> None:
    user_file.write_text("modle = 1\n")
    assert "there is no setting 'modle'" in run("config", "list").stderr
    assert run("config", "unset", "modle").status == 0
    assert run("config", "list").status == 0


def test_looking_creates_nothing(run: Run, own_home: Path) -> None:
    before = sorted(own_home.rglob("*"))
    for command in (
        ("--help",),
        ("--version",),
        ("config", "list"),
        ("config", "get", "model"),
        ("config", "path"),
        ("config", "unset", "model"),
    ):
        assert run(*command).status == 0
    assert sorted(own_home.rglob("*")) == before


def test_a_file_that_may_not_be_read_is_said_to_count_for_nothing(
    run: Run, fake: type[FakeTextEngine], user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_file.write_text("temperature = 0.1")
    open_path = Path.open

    def refuse(path: Path, *args: Any, **options: Any) -> Any:
        if path == user_file:
            raise PermissionError(13, "Permission denied", str(path))
        return open_path(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    for command in (("complete", "hi"), ("chat", "hi"), ("config", "get", "temperature")):
        result = run(*command, input="")
        assert result.status == 0
        assert result.stderr.count(f"aigc: {user_file} cannot be read, so nothing in it counts\n") == 1
    assert fake.requests[0].sampling.temperature is None


def test_a_folder_that_cannot_be_written_is_named(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = own_home / "file"
    blocker.write_text("in the way")
    monkeypatch.setenv("AIGC_HOME", str(blocker / "aigc"))
    result = run("config", "set", "model", "x")
    assert result.status == 1
    assert result.stderr.splitlines() == [
        f"aigc: {blocker}/aigc/config/config.toml cannot be written: Not a directory",
        "      set AIGC_HOME to a folder that you may write to",
    ]
    assert run("config", "list").status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_without_the_right_to_write(run: Run, user_file: Path) -> None:
    user_file.parent.chmod(0o500)
    result = run("config", "set", "model", "x")
    user_file.parent.chmod(0o700)
    assert (result.status, "Permission denied" in result.stderr) == (1, True)


def test_the_whole_file_or_nothing(run: Run, user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file.write_text('model = "x"\n')

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    result = run("config", "set", "model", "y")
    assert (result.status, user_file.read_text()) == (1, 'model = "x"\n')
    assert "cannot be written: No space left on device" in result.stderr
    assert [file.name for file in user_file.parent.iterdir()] == ["config.toml"]
