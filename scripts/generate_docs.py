"""Writes what is generated from the command tree: the shells' completions and docs/commands.md.

python scripts/generate_docs.py            # write them
python scripts/generate_docs.py --check    # say which are stale, and fail
"""

from __future__ import annotations

import sys
from pathlib import Path

from command_reference import command_reference
from command_tree import read_tree
from complete_bash import bash_script
from complete_fish import fish_script
from complete_powershell import powershell_script
from complete_zsh import zsh_script

REPOSITORY = Path(__file__).resolve().parent.parent
GENERATED = {
    "aigc_cli/completions/aigc.bash": bash_script,
    "aigc_cli/completions/aigc.zsh": zsh_script,
    "aigc_cli/completions/aigc.fish": fish_script,
    "aigc_cli/completions/aigc.ps1": powershell_script,
    "docs/commands.md": command_reference,
}


def main(arguments: list[str]) -> int:
    root = read_tree()
    texts = {REPOSITORY / name: generate(root) for name, generate in GENERATED.items()}
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(REPOSITORY)} is stale: run make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path], "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
