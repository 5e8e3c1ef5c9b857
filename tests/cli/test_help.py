"""What `--help` of each command says: it teaches, and the same option is told in the same words."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import typer.main

from gameserver.cli.commands import app

SAME = {"--json", "--yes", "--data", "--apps", "--redis", "--database", "--limit"}
LONGER = {"script run --data"}  # of another meaning: it is the script's


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from commands(each, *path, name)
    else:
        yield " ".join(path), command


def test_each_command_teaches() -> None:
    told: dict[str, set[str]] = defaultdict(set)
    for name, command in commands(typer.main.get_command(app)):
        text = command.help or ""
        assert text.split("\n\n")[0].endswith("."), name
        assert "Examples:" in text + (command.epilog or "") or name == "version", name
        for parameter in command.params:
            words = getattr(parameter, "help", None)
            assert words, (name, parameter.name)
            assert words.endswith("."), (name, parameter.name)
            option = parameter.opts[-1]
            if option in SAME and f"{name} {option}" not in LONGER:
                told[option].add(words)
    assert {option: words for option, words in told.items() if len(words) > 1} == {}
