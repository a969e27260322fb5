"""Saved conversations: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aigc_cli.chat.session import Turn
from aigc_cli.chat.transcript import Transcript, load_transcript, save_transcript
from aigc_cli.core.errors import AigcError, UsageError

TALK = Transcript((Turn("你好", "Hi!\n"), Turn("why?", "Bec", interrupted=True)), "Be brief.", "fake", {"top_k": 5, "stop": ["x"]})


def test_json_holds_everything(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    save_transcript(file, TALK)
    assert load_transcript(file) == TALK
    assert json.loads(file.read_text())["messages"][0] == {"role": "system", "content": "Be brief."}


def test_markdown_is_readable(tmp_path: Path) -> None:
    file = tmp_path / "a.MD"
    save_transcript(file, TALK)
    assert file.read_text() == (
        "# Chat with fake\n\n## System\n\nBe brief.\n\n## User\n\n你好\n\n## Assistant\n\nHi!\n\n"
        "## User\n\nwhy?\n\n## Assistant\n\nBec\n\n*(stopped here)*\n"
    )


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    file, link = tmp_path / "a.json", tmp_path / "link.json"
    file.touch(mode=0o600)
    link.symlink_to(file)
    save_transcript(link, TALK)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_transcript(file) == TALK


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AigcError, match="not saved: no such file"):
        save_transcript(tmp_path / "no" / "a.json", TALK)


def test_a_bare_list_of_messages_is_taken_and_its_open_question_is_a_draft(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    messages = [("user", "a"), ("assistant", "b"), ("user", "c")]
    file.write_text(json.dumps([{"role": role, "content": content} for role, content in messages]))
    assert load_transcript(file) == Transcript((Turn("a", "b"),), question="c")


def test_a_character_in_two_escapes_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(r'[{"role": "user", "content": "\ud83d\ude00"}]')
    assert load_transcript(file).question == "\N{GRINNING FACE}"


def message(role: str, content: object = "x") -> dict[str, object]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "a.json:1: not JSON"),
        ("3", "no list of messages"),
        ([], "no message in it"),
        ('[{"role": "user", "content": "\\ud83d"}]', r"\\ud83d is half a character"),
        ('{"messages": [], "settings": {"stop": ["\\ude00"]}}', r"\\ude00 is half a character"),
        ("[" * 100_000, "too deep"),
        ("[" + "9" * 5000 + "]", "a number that is too long"),
        ({"messages": 3}, "no list of messages"),
        ({"messages": [], "settings": []}, "no list of messages"),
        ([3], "message 1 has no text"),
        ([message("user"), message("assistant", None)], "message 2 has no text"),
        ([message("assistant"), message("user")], "role 'assistant' where 'user' is due"),
        ([message("user"), message("user")], "a question without an answer"),
        ([message("user"), message("tool")], "role 'tool' where 'assistant' is due"),
        ({"messages": [], "settings": {"warmth": 1}}, "there is no option 'warmth'"),
        ({"messages": [], "settings": {"top_k": "5"}}, "top_k must be a whole number, not '5'"),
        ({"messages": [], "settings": {"top_k": True}}, "top_k must be a whole number"),
        ({"messages": [], "settings": {"stop": "x"}}, "stop must be text"),
        ({"messages": [], "settings": {"truncate": "newest"}}, "truncate must be oldest or middle"),
        ({"messages": [], "settings": {"top_p": 7}}, "--top-p must be above 0 and at most 1"),
    ],
)
def test_what_is_no_saved_chat_is_refused(tmp_path: Path, value: object, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(UsageError, match=said) as caught:
        load_transcript(file)
    assert str(file) in caught.value.message
