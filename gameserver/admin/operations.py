"""What operations there are, as `protocol/` describes them, with a recorded example of each."""

import asyncio
import functools
import json
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from gameserver import protocol_export
from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action, at_once
from gameserver.admin.rights import Right
from gameserver.rpc import Registry

Described = dict[str, dict[str, Any]]


@action(Right.APP_READ, "GET /apps/{app}/operations", pages=at_once)
async def operation_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the operations that may be called, by name, with a sentence for each."""
    app_of(server, app)
    return [
        {"name": name, "summary": method["summary"], "access": method["x-access"]}
        for name, method in sorted((await _operations(server)).items())
    ]


@action(Right.APP_READ, "GET /apps/{app}/operations/{operation}")
async def operation_show(server: Server, app: str, operation: str) -> dict[str, Any]:
    """Return what there is to know of an operation: parameters, refusals, an example with its answer."""
    app_of(server, app)
    method = (await _operations(server)).get(operation)
    if method is None:
        raise Refused(f"there is no operation {operation[:80]!r}")
    return {
        "name": operation,
        "summary": method["summary"],
        "description": method["description"],
        "access": method["x-access"],
        "params": method["params"],
        "result": method["result"]["schema"],
        "errors": method["errors"],
        "example": _examples(operation.partition(".")[0]).get(operation),
    }


ACTIONS = (operation_list, operation_show)


async def _operations(server: Server) -> Described:
    """Describe them once, in a thread: it takes as long as hundreds of packets."""
    return await asyncio.to_thread(_described, server.registry)


@functools.cache
def _described(registry: Registry) -> Described:
    """Return each operation as the exported protocol has it, with its refusals written out."""
    found: Described = {}
    documents = protocol_export.documents(registry)
    for document in (documents[protocol_export.file_of(each.name)] for each in registry.services):
        errors = document["components"]["errors"]
        for method in document["methods"]:
            told = [errors[each["$ref"].rpartition("/")[2]] for each in method["errors"]]
            found[method["name"]] = {**method, "errors": told}
    return found


@functools.cache
def _examples(service: str) -> dict[str, Any]:
    """Return the examples that the tests have recorded of a service."""
    file = _folder().joinpath(f"{service}.json")
    if not file.is_file():
        return {}
    told: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return told


def _folder() -> Traversable:
    """Return where the examples are: beside this package in a wheel, in `protocol/` of a source tree."""
    packaged = resources.files("gameserver").joinpath("examples")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "protocol" / "examples"
