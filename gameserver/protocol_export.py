"""The protocol for other teams, written from the code: a document for each service, an index, and tables.

`documents` describes every operation a registry offers; `fresh_files` says what the files in `protocol/`
should hold. Both are stable: the same code always yields the same text, so a change of the protocol reads as
a diff.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Any

from msgspec.structs import fields

from gameserver import __version__
from gameserver.apps.fields import PLATFORMS
from gameserver.domain.leaderboards.boards import BOARD_TYPES
from gameserver.domain.leaderboards.periods import ROTATIONS
from gameserver.players.proofs import CREDENTIALS
from gameserver.players.webhooks import EventData
from gameserver.players.webhooks.delivering import Body
from gameserver.rpc import Access, Operation, Registry
from gameserver.services.entity import storage as entity
from gameserver.services.global_entity import storage as global_entity
from gameserver.services.group import entity_storage as group_entities
from gameserver.services.leaderboard import configs as leaderboard
from gameserver.services.user import pages as user
from gameserver.sessions import interface as sessions
from gameserver.wire import errors, http, packet
from gameserver.wire import json as wire_json
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import json_schemas

OPENRPC_VERSION = "1.3.2"
INDEX = "operations.json"
SERVICES = "services"
WEBHOOKS = "webhooks.json"
TITLE = "gameserver"

_SCHEMAS = "#/components/schemas/"
_ERRORS = "#/components/errors/"
_ABOUT_INDEX = (
    "Every operation of the dispatcher, by name: who may call it, the names of its parameters, and the"
    " refusals of its own. Any operation may also be refused with those in components.errors. `document` is"
    " the file with the rest. x-access says who may call: a player with a session, anybody (open), or servers"
    " only."
)
_ABOUT = (
    "The operations of one service. A method `service.OPERATION` is called by a message that names both,"
    " with the parameters as the fields of `data`; the result is the `data` of the answer. `errors` of a"
    " method are the refusals of its own; the general ones are in operations.json. x-access says who may"
    " call: a player with a session, anybody (open), or servers only. x-same-as names the first spelling of"
    " an operation that has several; x-server-without-player says that a server need not name a player to"
    " call it."
)
_ABOUT_WEBHOOKS = (
    "What outgoing webhooks post: `body`, whose `data` has the form of the event that `type` names."
    " `custom.*` stands for each event that an app declares for itself. webhooks.md tells how to check where"
    " a request comes from."
)
_MARKED = re.compile(r"(?P<head><!-- from code: (?P<name>[a-z ]+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL)

Document = dict[str, Any]


def documents(registry: Registry) -> dict[str, Document]:
    """Describe every operation of `registry`, by the name of the file below `protocol/`, ready for JSON.

    Raises `TypeError` when a request or reply type cannot be put into JSON Schema.
    """
    operations = sorted(registry, key=lambda operation: (operation.service, operation.name))
    first = _first_names(registry)
    described = {
        file_of(service): _service_document(service, list(group), first)
        for service, group in groupby(operations, lambda operation: operation.service)
    }
    return {INDEX: _index(described)} | described


def to_text(document: Mapping[str, Any]) -> str:
    """Write a document the way it is checked in."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def fresh_files(registry: Registry, folder: Path) -> dict[Path, str | None]:
    """Tell what the exported files below `folder` should hold: documents, and prose with fresh tables.

    Prose is that of the folder, and of a folder `docs` beside it. None for a document of a service that is
    no more. Raises `ValueError` when prose asks for a table that does not exist, `OSError` when it cannot
    be read.
    """
    files: dict[Path, str | None] = dict.fromkeys(sorted((folder / SERVICES).glob("*.json")))
    files |= {folder / name: to_text(document) for name, document in documents(registry).items()}
    files[folder / WEBHOOKS] = to_text(webhooks(registry)) if registry.events else None
    for path in sorted([*folder.glob("*.md"), *(folder.parent / "docs").glob("*.md")]):
        text = path.read_text("utf-8")
        if _MARKED.search(text):
            files[path] = _MARKED.sub(partial(_renewed, registry), text)
    return files


def write(registry: Registry, folder: Path) -> list[Path]:
    """Bring the exported files below `folder` up to date; returns those that changed."""
    changed = stale_files(registry, folder)
    (folder / SERVICES).mkdir(parents=True, exist_ok=True)
    for path, text in fresh_files(registry, folder).items():
        if path in changed and text is not None:
            path.write_text(text, "utf-8")
        elif path in changed:
            path.unlink(missing_ok=True)
    return changed


def stale_files(registry: Registry, folder: Path) -> list[Path]:
    """List the exported files below `folder` that are missing, not up to date, or of no service."""
    fresh = fresh_files(registry, folder)
    return [
        path
        for path, text in fresh.items()
        if path.exists() != (text is not None) or (text is not None and path.read_text("utf-8") != text)
    ]


def general_errors() -> list[type[GameError]]:
    """List the refusals any operation may end in, by reason code."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GameError)]
    return sorted((kind for kind in kinds if kind is not GameError), key=lambda kind: kind.reason_code)


# Documents


def _index(described: Mapping[str, Document]) -> Document:
    """List all operations, with what tells them apart."""
    methods = []
    for name, document in described.items():
        own = document["components"]["errors"]
        methods += [
            {
                "name": method["name"],
                "summary": method["summary"],
                "document": name,
                "x-access": method["x-access"],
                "params": [
                    {"name": param["name"], "required": param["required"]} for param in method["params"]
                ],
                "errors": [own[error["$ref"].removeprefix(_ERRORS)] for error in method["errors"]],
            }
            for method in document["methods"]
        ]
    return {
        "info": {"title": TITLE, "version": __version__, "description": _ABOUT_INDEX},
        "methods": sorted(methods, key=lambda method: str(method["name"])),
        "components": {"errors": {kind.__name__: _error(kind) for kind in general_errors()}},
    }


def _service_document(service: str, operations: list[Operation], first: Mapping[Any, Operation]) -> Document:
    shapes = _Shapes(service, operations)
    refusals = {operation.name: _named(_unique_codes(operation.errors)) for operation in operations}
    own = {name: kind for named in refusals.values() for name, kind in named.items()}
    for kind in (kind for operation in operations for kind in operation.errors):
        if own[kind.__name__].reason_code != kind.reason_code:
            raise TypeError(f"{service}: two refusals are called {kind.__name__}")
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": f"{TITLE}: {service}", "version": __version__, "description": _ABOUT},
        "methods": [
            _method(operation, first[operation.handler], shapes, refusals[operation.name])
            for operation in operations
        ],
        "components": {
            "schemas": shapes.components,
            "errors": {name: _error(own[name]) for name in sorted(own)},
        },
    }


def file_of(service: str) -> str:
    """Name the file of a service below `protocol/`."""
    return f"{SERVICES}/{service}.json"


# Webhooks


def webhooks(registry: Registry) -> Document:
    """Describe what outgoing webhooks tell: the body, and the data of each event, as JSON Schema."""
    events = _events(registry)
    schemas, components = json_schemas([Body, *events.values()], _SCHEMAS)
    short = {name: name.rpartition(".")[2] for name in components}
    body, *data = (_renamed(schema, short) for schema in schemas)
    return {
        "info": {"title": f"{TITLE}: webhooks", "version": __version__, "description": _ABOUT_WEBHOOKS},
        "body": body,
        "events": [
            {"type": name, "description": _words(event), "data": schema}
            for (name, event), schema in zip(events.items(), data, strict=True)
        ],
        "components": {
            "schemas": {short[name]: _renamed(components[name], short) for name in sorted(components)}
        },
    }


def _events(registry: Registry) -> dict[str, type[EventData]]:
    return dict(sorted(registry.events.items()))


def _words(event: type[EventData]) -> str:
    return " ".join((event.__doc__ or "").split())


# Methods


def _first_names(registry: Registry) -> dict[Any, Operation]:
    """Find the first name that each handler was declared under."""
    first: dict[Any, Operation] = {}
    for operation in registry:
        first.setdefault(operation.handler, operation)
    return first


def _method(
    operation: Operation, first: Operation, shapes: "_Shapes", refusals: Mapping[str, type[GameError]]
) -> Document:
    method: Document = {
        "name": operation.wire_name,
        "summary": _summary(operation.description),
        "description": operation.description,
        "tags": [{"name": operation.service}],
        "paramStructure": "by-name",
        "params": shapes.params(operation),
        "result": {"name": "data", "schema": shapes.of(operation.reply)},
        "errors": [{"$ref": _ERRORS + name} for name in refusals],
        "x-access": str(Access.PLAYER if operation.access is Access.SIGNED_IN else operation.access),
    }
    if operation.access is Access.SIGNED_IN:  # for clients the same as PLAYER
        method["x-server-without-player"] = True
    if first is not operation:
        method["x-same-as"] = first.wire_name
    return method


def _summary(description: str) -> str:
    """Return the first sentence, on one line."""
    paragraph = " ".join(description.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]


def _error(kind: type[GameError]) -> Document:
    return {
        "code": kind.reason_code,
        "message": meaning(kind),
        "data": {"status": int(kind.status), "name": kind.__name__},
    }


def _unique_codes(kinds: Iterable[type[GameError]]) -> list[type[GameError]]:
    """One refusal for each reason code: a document must not list a code twice."""
    by_code: dict[int, type[GameError]] = {}
    for kind in kinds:
        by_code.setdefault(kind.reason_code, kind)
    return [by_code[code] for code in sorted(by_code)]


def _named(kinds: Iterable[type[GameError]]) -> dict[str, type[GameError]]:
    """Name refusals as components: by their own name, which one code has in one service."""
    return {kind.__name__: kind for kind in kinds}


def meaning(kind: type[GameError]) -> str:
    """Say what a refusal means: its docstring, or its name in words."""
    if kind.__doc__ and kind.__doc__ != GameError.__doc__:
        return " ".join(kind.__doc__.split())
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
    return words.capitalize() + "."


class _Shapes:
    """The JSON Schemas of the requests and replies of a service, named `service.Shape`."""

    def __init__(self, service: str, operations: list[Operation]) -> None:
        requests = list(dict.fromkeys(operation.request for operation in operations))
        replies = _distinct(operation.reply for operation in operations if operation.reply is not None)
        schemas, components = json_schemas([*requests, *replies], _SCHEMAS)
        names = _short_names(service, components)
        schemas, components = (
            _renamed(schemas, names),
            {names[name]: _renamed(schema, names) for name, schema in components.items()},
        )
        self._requests = dict(zip(requests, schemas, strict=False))
        self._replies = list(zip(replies, schemas[len(requests) :], strict=True))
        self._all = components
        used = self._reachable(operations)
        self.components = {name: components[name] for name in sorted(used)}

    def of(self, reply: Any) -> Document:
        if reply is None:
            return {"type": "null"}
        return next(schema for kind, schema in self._replies if kind is reply or kind == reply)

    def params(self, operation: Operation) -> list[Document]:
        """Describe the fields of the request, the required ones first."""
        shape = self._all[self._requests[operation.request]["$ref"].removeprefix(_SCHEMAS)]
        required = set(shape.get("required", ()))
        params = []
        for name, schema in shape["properties"].items():
            schema = dict(schema)  # noqa: PLW2901 - the description moves out of it
            param: Document = {"name": name, "required": name in required}
            if description := schema.pop("description", ""):
                param["description"] = description
            params.append(param | {"schema": schema})
        return sorted(params, key=lambda param: not param["required"])

    def _reachable(self, operations: Iterable[Operation]) -> set[str]:
        """Name the components that some parameter or result refers to; requests are spelled out as params."""
        pending: list[Any] = [schema for _, schema in self._replies]
        for operation in operations:
            pending += [param["schema"] for param in self.params(operation)]
        found: set[str] = set()
        while pending:
            for name in _references(pending.pop()):
                if name not in found:
                    found.add(name)
                    pending.append(self._all[name])
        return found


def _short_names(service: str, names: Iterable[str]) -> dict[str, str]:
    """Name the shapes of a service without the path of their Python module, unless two are alike."""
    short: dict[str, list[str]] = {}
    for name in names:
        short.setdefault(name.rpartition(".")[2], []).append(name)
    named = {}
    for last, alike in short.items():
        for name in alike:
            module = name.rpartition(".")[0].rpartition(".")[2]
            words = "".join(word.capitalize() for word in module.split("_")) if len(alike) > 1 else ""
            named[name] = f"{service}.{words}{last}"
    return named


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    match schema:
        case dict():
            return {
                key: _SCHEMAS + names[value.removeprefix(_SCHEMAS)]
                if key == "$ref" and isinstance(value, str)
                else _renamed(value, names)
                for key, value in schema.items()
            }
        case list():
            return [_renamed(part, names) for part in schema]
        case str() if schema.startswith(_SCHEMAS):  # the mapping of a discriminator
            return _SCHEMAS + names[schema.removeprefix(_SCHEMAS)]
        case _:
            return schema


def _distinct(kinds: Iterable[Any]) -> list[Any]:
    """Each type once. Types such as `dict[str, Any]` are equal without being the same object."""
    found: list[Any] = []
    for kind in kinds:
        if kind not in found:
            found.append(kind)
    return found


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(_SCHEMAS)
        case dict():
            for part in schema.values():
                yield from _references(part)
        case list():
            for part in schema:
                yield from _references(part)


# Tables for the prose


def _renewed(registry: Registry, found: re.Match[str]) -> str:
    name = found["name"]
    if name in _TABLES_OF:
        table = _TABLES_OF[name](registry)
    elif name in _TABLES:
        table = _TABLES[name]()
    else:
        raise ValueError(f"there is no table {name!r} to export")
    return f"{found['head']}{table}{found['tail']}"


def _events_table(registry: Registry) -> str:
    rows = (
        (f"`{name}`", _words(event), ", ".join(f"`{field.encode_name}`" for field in fields(event)))
        for name, event in _events(registry).items()
    )
    return _table(("event", "meaning", "data"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def _errors_table() -> str:
    rows = (
        (
            kind.reason_code,
            f"{int(kind.status)} {HTTPStatus(kind.status).phrase}",
            kind.__name__,
            meaning(kind),
        )
        for kind in general_errors()
    )
    return _table(("reason_code", "status", "name", "meaning"), rows)


def _codes_table(registry: Registry) -> str:
    """List the reason codes, general ones and those of single services."""
    where: dict[int, set[str]] = {}
    meanings: dict[int, dict[str, None]] = {}
    for kind in general_errors():
        where[kind.reason_code] = {"any"}
        meanings.setdefault(kind.reason_code, {})[meaning(kind)] = None
    for operation in registry:
        for kind in operation.errors:
            if "any" not in where.setdefault(kind.reason_code, set()):
                where[kind.reason_code].add(f"`{operation.service}`")
            meanings.setdefault(kind.reason_code, {})[meaning(kind)] = None
    rows = (
        (code, " Or: ".join(sorted(meanings[code])), ", ".join(sorted(where[code]))) for code in sorted(where)
    )
    return _table(("code", "meaning", "of"), rows)


def _limits_table() -> str:
    return _table(
        ("what", "limit"),
        (
            ("bytes of a request body", http.BODY_BYTES_MAX),
            ("bytes of a body after gunzip", http.INFLATED_BYTES_MAX),
            (
                f"unpacked size : gzip size, for texts above {http.INFLATED_BYTES_FREE} bytes",
                f"{http.INFLATED_RATIO_MAX} : 1",
            ),
            ("messages in a packet", packet.MESSAGES_MAX),
            ("characters of a service or operation name", packet.NAME_MAX),
            ("largest packetId", packet.PACKET_ID_MAX),
            ("levels of nested objects and arrays", wire_json.DEPTH_MAX),
            ("largest whole number, up or down from zero, but in free data", wire_json.INTEGER_MAX),
            ("packets of one session in a minute", sessions.PACKETS_PER_MINUTE_MAX),
        ),
    )


def _types_table() -> str:
    rows = ((f"`{name}`", *CREDENTIALS[name]) for name in CREDENTIALS)
    return _table(("authenticationType", "externalId", "authenticationToken"), rows)


def _values_table(head: tuple[str, str], meanings: Mapping[Any, str]) -> str:
    return _table(head, ((f"`{value}`", meaning) for value, meaning in meanings.items()))


def _searches_table() -> str:
    rows = (
        (f"`{name}`", ", ".join(f"`{field}`" for field in (*fields.columns, *fields.documents)))
        for name, fields in SEARCHES.items()
    )
    return _table(("searches of", "fields"), rows)


SEARCHES = {
    "entity": entity.FIELDS,
    "globalEntity": global_entity.FIELDS,
    "group.READ_GROUP_ENTITIES_PAGE": group_entities.FIELDS,
    "leaderboard.SYS_GET_LEADERBOARD_CONFIGS_PAGE": leaderboard.FIELDS,
    "user.SYS_GET_PAGE": user.FIELDS,
}
_TABLES = {
    "general errors": _errors_table,
    "limits": _limits_table,
    "authentication types": _types_table,
    "board types": lambda: _values_table(("leaderboardType", "a further score of a player"), BOARD_TYPES),
    "rotations": lambda: _values_table(("rotationType", "the board begins anew"), ROTATIONS),
    "platforms": lambda: _values_table(("platform", "meaning"), PLATFORMS),
    "searches": _searches_table,
}
_TABLES_OF: dict[str, Callable[[Registry], str]] = {
    "webhook events": _events_table,
    "all reason codes": _codes_table,
}
