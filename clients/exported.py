"""What the generators of all clients share: reading `protocol/services`, and writing what they made."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PROTOCOL = Path(__file__).resolve().parent.parent / "protocol"
OPEN, PLAYER = "open", "player"

Schema = dict[str, Any]
Method = dict[str, Any]


class ServiceDocument(NamedTuple):
    """One service, as far as players may call it, and the shapes that its methods refer to."""

    name: str
    methods: list[Method]  # by their names
    schemas: dict[str, Schema]


def services(documents: Iterable[Schema]) -> list[ServiceDocument]:
    """Find what players may call, by the names of the services."""
    found: dict[str, ServiceDocument] = {}
    for document in documents:
        schemas = document.get("components", {}).get("schemas", {})
        for method in sorted(document["methods"], key=lambda one: str(one["name"])):
            if method.get("x-access") in {OPEN, PLAYER}:
                name = method["name"].partition(".")[0]
                found.setdefault(name, ServiceDocument(name, [], schemas)).methods.append(method)
    return [found[name] for name in sorted(found)]


def open_operations(found: Iterable[ServiceDocument]) -> list[str]:
    """Name the operations that need no session."""
    return sorted(method["name"] for one in found for method in one.methods if method["x-access"] == OPEN)


def operation_of(method: Method) -> str:
    """`leaderboard.POST_SCORE` is POST_SCORE."""
    return str(method["name"]).partition(".")[2]


def parameters(method: Method) -> list[dict[str, Any]]:
    """List the parameters of a method, those first that may not be left out."""
    return sorted(method.get("params", []), key=lambda param: not param.get("required", False))


def is_shape(schema: Any) -> bool:
    """Tell whether a schema is an object with members of its own."""
    return isinstance(schema, dict) and schema.get("type") == "object" and bool(schema.get("properties"))


def closure(parts: Iterable[Any], schemas: dict[str, Schema]) -> set[str]:
    """Name the shapes that some parts of a document refer to, also through others."""
    pending = list(parts)
    found: set[str] = set()
    while pending:
        for name in references(pending.pop()):
            if name not in found and name in schemas:
                found.add(name)
                pending.append(schemas[name])
    return found


def references(schema: Any) -> Iterator[str]:
    """Yield the names that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield reference(schema)
        for part in schema.values():
            yield from references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)


def reference(schema: Schema) -> str:
    """Return the name that a reference leads to."""
    return str(schema["$ref"]).rpartition("/")[2]


def write(
    sources: Callable[[Iterable[Schema]], dict[str, str]], target: Path, suffix: str, arguments: list[str]
) -> None:
    """Read the documents, write the files; those of services that are gone are deleted."""
    folder = Path(arguments[0]) if arguments else PROTOCOL
    target = Path(arguments[1]) if len(arguments) > 1 else target
    documents = [json.loads(path.read_text("utf-8")) for path in sorted((folder / "services").glob("*.json"))]
    made = sources(documents)
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob(f"*{suffix}"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (target / name).write_text(text, "utf-8")
