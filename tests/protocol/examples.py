"""Examples for other teams: for each operation one request and its answer, as a test has seen them.

`pytest --record-examples tests` writes those that `protocol/examples` lacks, or holds in a form that the
operation no longer has. What is right stays as it is, so that a change of the protocol reads as a diff.
"""

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from gameserver.rpc import Registry
from gameserver.services import ALL
from gameserver.wire.errors import GameError

PROTOCOL = Path(__file__).parents[2] / "protocol"
FOLDER = PROTOCOL / "examples"
REFUSED_ONLY = {"httpClient.PARSE_REQUEST"}  # that service is no more
ROOM = 1500  # characters of an example that is a pleasure to read

Example = dict[str, Any]


class Examples:
    """What a run of tests has seen, the best of each operation."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[tuple[int, ...], Example]] = {}

    def note(self, service: str, operation: str, data: Any, answer: Any) -> None:
        """Look at a call that succeeded."""
        name = f"{service}.{operation}"
        if (service, operation) not in Registry(ALL).operations:
            return  # of a service that a test has made
        methods = {method["name"]: method for method in _described(service)["methods"]}
        known = {param["name"] for param in methods[name]["params"]}
        sent = {key: value for key, value in (data or {}).items() if key in known}
        example = {"data": sent, "answer": answer}
        rank = _rank(example)
        if name not in self._best or rank > self._best[name][0]:
            self._best[name] = rank, example

    def write(self, folder: Path = FOLDER) -> list[str]:
        """Add what the files lack; returns the operations whose examples are new."""
        new = []
        folder.mkdir(exist_ok=True)
        for service in ALL:
            path = folder / f"{service.name}.json"
            kept = read(path)
            names = sorted(f"{service.name}.{operation}" for operation in service.operations)
            found = {}
            for name in names:
                if name in kept and not mistakes(name, kept[name]):
                    found[name] = kept[name]
                elif name in self._best and not mistakes(name, self._best[name][1]):
                    found[name] = self._best[name][1]
                    new.append(name)
            path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
        return new


def read(path: Path) -> dict[str, Example]:
    """Read the examples of a service, by operation."""
    kept: dict[str, Example] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return kept


def mistakes(name: str, example: Example) -> list[str]:
    """Say what is wrong with an example of an operation as it is now."""
    service, _, operation = name.partition(".")
    described = _described(service)
    [method] = [method for method in described["methods"] if method["name"] == name]
    known = {param["name"] for param in method["params"]}
    wrong = [f"no parameter {key}" for key in example["data"].keys() - known]
    try:
        Registry(ALL).operations[service, operation].reader.read(json.dumps(example["data"]).encode())
    except GameError as error:
        wrong.append(str(error))
    schema = {**method["result"]["schema"], "components": described["components"]}
    wrong += [error.message for error in Draft202012Validator(schema).iter_errors(example["answer"])]
    return wrong


@functools.cache
def _described(service: str) -> dict[str, Any]:
    text = (PROTOCOL / "services" / f"{service}.json").read_text("utf-8")
    described: dict[str, Any] = json.loads(text)
    return described


def _rank(example: Example) -> tuple[int, ...]:
    """Rank plain text before odd text, then what fits and what shows much, at last what is short."""
    text = json.dumps(example, ensure_ascii=False)
    fits = len(text) <= ROOM
    return (
        text.isascii() and "\\" not in text,
        fits,
        bool(example["answer"]),
        len(example["data"]) + _size(example["answer"]) if fits else 0,
        -len(text),
    )


def _size(value: Any) -> int:
    """How much an answer shows: its filled fields, some levels down."""
    match value:
        case dict():
            return sum(1 + _size(part) for part in value.values() if part not in (None, "", [], {}))
        case list():
            return max(map(_size, value), default=0)
        case _:
            return 0
