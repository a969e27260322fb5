"""Completion scripts, in the real shells: what TAB offers, and that it starts no program."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.commands.completion import Shell, script_path
from tests.conftest import Result

REPOSITORY = Path(__file__).parents[2]
DTYPES = ["auto", "bfloat16", "float16", "float32"]
FAKE_AIGC = '#!/bin/sh\nprintf "%s\\n" "$@" "" >>"$ANSWERS"\n'  # an empty line ends an answer
FAKE_PYTHON = '#!/bin/sh\necho "python $*" >>"$ANSWERS"\n'

# A line that ends in TAB -> what stands in the place of its last word afterwards
OFFERED = {
    # subcommands
    "aigc comp": ["complete", "completion"],
    "aigc config ": ["get", "list", "path", "set", "unset"],
    # choices, after a space and after an equals sign
    "aigc complete --dtype ": DTYPES,
    "aigc complete --dtype=b": ["--dtype=bfloat16"],
    "aigc chat --truncate ": ["middle", "oldest"],
    "aigc completion ": ["bash", "fish", "powershell", "zsh"],
    # flags; a prompt is any text, also a command's name
    "aigc complete --tr": ["--traceback", "--truncate"],
    "aigc complete config --tr": ["--traceback", "--truncate"],
    "aigc complete no": ["no"],
    "aigc complete --seed ": [],
    # settings and their values
    "aigc config get te": ["temperature"],
    "aigc config set dtype ": DTYPES,
    "aigc config set model builtin:t": ["builtin:text"],
    "aigc config set system no": ["no"],
    # models: names with a colon, the user's own from the [aliases] table alone, files and folders
    "aigc complete -m builtin:t": ["builtin:text"],
    "aigc complete --model=builtin:t": ["--model=builtin:text"],
    "aigc models show qwen3:0": ["qwen3:0.6b"],
    "aigc complete -m smal": ["small", "small-folder"],
    "aigc complete -m zh": ["zh:小"],
    "aigc complete -m alie": ["alie"],
    "aigc complete -m no": ["notes.txt"],
    # files
    "aigc complete -f no": ["notes.txt"],
    "aigc complete --file=no": ["--file=notes.txt"],
    "aigc complete -f 说": ["说明 一.txt"],
}

# Each shell's own command that puts all matches on the line, so that running the line shows what was offered
BASH_RC = """
source {script}
bind '"\\t": insert-completions'
"""
ZSH_RC = """
{before}
autoload -Uz compinit && compinit -u -D
{after}
zle -C all complete-word _generic
zstyle ':completion:all:*' insert true
zstyle ':completion:all::::' completer _all_matches _complete
bindkey '^I' all
"""


@pytest.fixture
def home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with aliases and files, and programs in the path that tell when they are started."""
    programs = own_home / "bin"
    programs.mkdir()
    for name, text in (("aigc", FAKE_AIGC), ("python", FAKE_PYTHON), ("python3", FAKE_PYTHON)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("ANSWERS", str(own_home / "answers"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("ZDOTDIR", str(own_home))
    settings = own_home / "aigc" / "config" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('model = "x"\n[aliases] # mine\nsmall = "org/a"\n  "zh:小" = "org/b"\n# no = "c"\n[other]\nalien = "d"\n', "utf-8")
    for name in ("notes.txt", "说明 一.txt", "small-folder/config.json"):
        file = own_home / "work" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    return own_home


def need(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


def offered_in_terminal(command: list[str], home: Path) -> dict[str, list[str]]:
    """Types each line and TAB into an interactive shell, runs it, and reads what aigc was called with."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    os.write(terminal, "".join(f"{line}\t\n" for line in [*OFFERED, "exit"]).encode())
    deadline = time.monotonic() + 30
    shown = b""
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the shell has left
                break
    os.close(terminal)
    os.waitpid(pid, 0)
    assert (home / "answers").is_file(), shown.decode(errors="replace")
    answers = (home / "answers").read_text("utf-8").split("\n\n")[:-1]
    assert len(answers) == len(OFFERED), answers  # one call for each line that was run: TAB itself starts nothing
    return {line: last_words(line, answer.splitlines()) for line, answer in zip(OFFERED, answers, strict=True)}


def last_words(line: str, words: list[str]) -> list[str]:
    """What follows the finished words of the line, sorted; a folder without its slash, which not every shell shows."""
    finished = line.split(" ")[1:-1]
    assert words[: len(finished)] == finished
    return sorted(word.rstrip("/") for word in words[len(finished) :] if word)


def test_bash_offers(home: Path) -> None:
    need("bash")
    (home / "rc").write_text(BASH_RC.format(script=script_path(Shell.BASH)))
    assert offered_in_terminal(["bash", "--noprofile", "--rcfile", str(home / "rc"), "-i"], home) == OFFERED


def test_zsh_offers_when_the_script_is_sourced(home: Path) -> None:
    need("zsh")
    (home / ".zshrc").write_text(ZSH_RC.format(before="", after=f"source {script_path(Shell.ZSH)}"))
    assert offered_in_terminal(["zsh", "-d", "-i"], home) == OFFERED


def test_zsh_offers_when_the_script_lies_on_fpath(home: Path) -> None:
    need("zsh")
    (home / "functions").mkdir()
    shutil.copy(script_path(Shell.ZSH), home / "functions" / "_aigc")
    (home / ".zshrc").write_text(ZSH_RC.format(before=f"fpath=({home}/functions $fpath)", after=""))
    assert offered_in_terminal(["zsh", "-d", "-i"], home) == OFFERED


def test_fish_offers(home: Path) -> None:
    need("fish")
    code = "".join(f"echo '>{line}'; complete -C '{line}'\n" for line in OFFERED)
    command = ["fish", "--no-config", "-c", f"source {script_path(Shell.FISH)}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    offered: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith(">"):
            offered[line[1:]] = []
        else:
            offered[list(offered)[-1]].append(line.partition("\t")[0].rstrip("/"))
    unchanged = {line: [word] for line, word in ((line, line.split(" ")[-1]) for line in OFFERED) if word and not offered[line]}
    assert {line: sorted(words) for line, words in (offered | unchanged).items()} == OFFERED
    assert done.stderr == ""
    assert not (home / "answers").exists(), "TAB started a program"


@pytest.mark.parametrize("shell_name", list(Shell))
def test_the_script_is_printed(run: Callable[..., Result], shell_name: Shell) -> None:
    result = run("completion", shell_name)
    assert (result.stdout, result.stderr, result.status) == (script_path(shell_name).read_text("utf-8"), "", 0)
    for word in ("max-new-tokens", "bfloat16", "builtin:text", "temperature"):
        assert word in result.stdout


def test_an_unknown_shell_is_refused(run: Callable[..., Result]) -> None:
    result = run("completion", "csh")
    assert (result.stdout, result.status) == ("", 2)
    assert "powershell" in result.stderr


def test_what_is_generated_is_fresh() -> None:
    check = [sys.executable, str(REPOSITORY / "scripts" / "generate_docs.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
