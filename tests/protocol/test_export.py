"""The exported description of all operations."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta

from gameserver.app import registry
from gameserver.apps.login_types import LOGIN_TYPES
from gameserver.domain.leaderboards.boards import BOARD_TYPES, BoardType
from gameserver.domain.leaderboards.periods import ROTATIONS, Rotation
from gameserver.players.proofs import CREDENTIALS, PROOFS
from gameserver.protocol_export import (
    INDEX,
    _short_names,
    documents,
    fresh_files,
    general_errors,
    stale_files,
    to_text,
    write,
)
from gameserver.rpc import Access, Context, Registry, Service, Tx
from gameserver.services import ALL
from gameserver.wire.errors import GameError, NoSession
from gameserver.wire.shapes import Reply, Request
from tests.protocol.openrpc import DOCUMENT

FOLDER = Path(__file__).parents[2] / "protocol"
REFERENCE, ERRORS = "#/components/schemas/", "#/components/errors/"


@pytest.fixture(scope="module")
def exported() -> dict[str, dict[str, Any]]:
    return documents(Registry(ALL))


@pytest.fixture(scope="module")
def of_services(exported: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [document for name, document in exported.items() if name != INDEX]


def test_the_files_are_fresh() -> None:
    stale = [path.name for path in stale_files(registry(), FOLDER)]
    assert not stale, (
        f"run `gameserver protocol export`: {', '.join(stale)} in protocol/ is not what the code says"
    )


def test_the_documents_have_the_structure_of_openrpc(of_services: list[dict[str, Any]]) -> None:
    for document in of_services:
        Draft202012Validator(DOCUMENT).validate(document)
        names = [method["name"] for method in document["methods"]]
        assert names == sorted(set(names))
        for method in document["methods"]:
            needed = [param["required"] for param in method["params"]]
            assert needed == sorted(needed, reverse=True), f"{method['name']}: required parameters come first"
            params = [param["name"] for param in method["params"]]
            assert len(params) == len(set(params)), method["name"]


def test_every_shape_is_valid_json_schema_and_every_reference_leads_somewhere(
    of_services: list[dict[str, Any]],
) -> None:
    for document in of_services:
        components = document["components"]
        schemas = list(components["schemas"].values())
        for method in document["methods"]:
            schemas += [param["schema"] for param in method["params"]] + [method["result"]["schema"]]
        used = set()
        for schema in schemas:
            Draft202012Validator.check_schema(schema)
            used |= set(_references(schema))
        assert used == components["schemas"].keys(), "all that is used is there, and nothing else"
        raised = {name for method in document["methods"] for name in _references(method["errors"])}
        assert raised == {ERRORS + name for name in components["errors"]}


def test_shapes_are_named_by_their_service(of_services: list[dict[str, Any]]) -> None:
    for document in of_services:
        [service] = {method["tags"][0]["name"] for method in document["methods"]}
        for name in document["components"]["schemas"]:
            assert re.fullmatch(rf"{service}\.[A-Z][A-Za-z0-9_]*", name), name


def test_every_operation_is_described_and_in_the_index(
    exported: dict[str, dict[str, Any]], of_services: list[dict[str, Any]]
) -> None:
    described = {method["name"]: method for document in of_services for method in document["methods"]}
    assert described.keys() == {operation.wire_name for operation in Registry(ALL)}
    listed = exported[INDEX]["methods"]
    assert [method["name"] for method in listed] == sorted(described)
    for method in listed:
        whole = described[method["name"]]
        assert method["document"] == f"services/{method['name'].partition('.')[0]}.json"
        assert [param["name"] for param in method["params"]] == [param["name"] for param in whole["params"]]
        assert len(method["errors"]) == len(whole["errors"])
        codes = [error["code"] for error in method["errors"]]
        assert codes == sorted(set(codes))


def test_the_same_code_yields_the_same_text(exported: dict[str, dict[str, Any]]) -> None:
    again = documents(Registry(ALL))
    assert {name: to_text(document) for name, document in again.items()} == {
        name: to_text(document) for name, document in exported.items()
    }


def test_general_errors_have_codes_of_their_own() -> None:
    codes = [kind.reason_code for kind in general_errors()]
    assert NoSession.reason_code in codes
    assert len(codes) == len(set(codes))


# An export of a registry made here, where every word is known


class NameTaken(GameError):
    """Another player has this name."""

    status = 409
    reason_code = 40910


class TooLong(GameError):
    reason_code = 40911


class Place(Request):
    x: int
    y: int = 0


Volume = Annotated[int, Meta(ge=0, description="How loud, in decibels.")]


class Rename(Request, kw_only=True):
    shout: bool = False
    volume: Volume | None = None
    player_name: Annotated[str, Meta(min_length=1, description="The new name.")]
    place: Place | None = None


class RenameReply(Reply):
    player_name: str


class Seen(TypedDict):
    seen: int


def sample() -> Registry:
    service = Service("sample")

    @service.operation("RENAME", "SET_NAME", tx=Tx.WRITE, errors=(TooLong, NameTaken, NameTaken))
    async def rename(ctx: Context, request: Rename) -> RenameReply:
        """Rename the caller. Refused
        when the name is taken.

        More about it.
        """
        return RenameReply(player_name=request.player_name)

    @service.operation("LOOK", tx=Tx.READ, access=Access.OPEN)
    async def look(ctx: Context, request: Request) -> Seen:
        """Look around."""
        return {"seen": 1}

    @service.operation("FORGET", tx=Tx.NONE, access=Access.SERVER)
    async def forget(ctx: Context, request: Request) -> None:
        """Forget."""

    @service.operation("DUMP", tx=Tx.NONE, access=Access.SIGNED_IN)
    async def dump(ctx: Context, request: Request) -> dict[str, Any]:
        """Dump."""
        return {}

    return Registry([service])


def test_an_operation_is_described_from_its_declaration() -> None:
    exported = documents(sample())
    assert exported.keys() == {INDEX, "services/sample.json"}
    document = exported["services/sample.json"]
    Draft202012Validator(DOCUMENT).validate(document)
    methods = {method["name"]: method for method in document["methods"]}
    assert methods["sample.RENAME"] == {
        "name": "sample.RENAME",
        "summary": "Rename the caller.",
        "description": "Rename the caller. Refused\nwhen the name is taken.\n\nMore about it.",
        "tags": [{"name": "sample"}],
        "paramStructure": "by-name",
        "params": [
            {
                "name": "playerName",
                "required": True,
                "description": "The new name.",
                "schema": {"type": "string", "minLength": 1},
            },
            {"name": "shout", "required": False, "schema": {"type": "boolean", "default": False}},
            {
                "name": "volume",
                "required": False,
                "description": "How loud, in decibels.",
                "schema": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None},
            },
            {
                "name": "place",
                "required": False,
                "schema": {
                    "anyOf": [{"$ref": REFERENCE + "sample.Place"}, {"type": "null"}],
                    "default": None,
                },
            },
        ],
        "result": {"name": "data", "schema": {"$ref": REFERENCE + "sample.RenameReply"}},
        "errors": [{"$ref": ERRORS + "NameTaken"}, {"$ref": ERRORS + "TooLong"}],
        "x-access": "player",
    }
    assert document["components"]["errors"] == {
        "NameTaken": {
            "code": 40910,
            "message": "Another player has this name.",
            "data": {"status": 409, "name": "NameTaken"},
        },
        "TooLong": {"code": 40911, "message": "Too long.", "data": {"status": 400, "name": "TooLong"}},
    }
    assert methods["sample.SET_NAME"]["x-same-as"] == "sample.RENAME"
    assert methods["sample.LOOK"]["x-access"] == "open"
    assert methods["sample.LOOK"]["result"]["schema"] == {"$ref": REFERENCE + "sample.Seen"}
    assert methods["sample.FORGET"]["result"]["schema"] == {"type": "null"}
    assert methods["sample.DUMP"]["result"]["schema"]["type"] == "object"
    assert methods["sample.DUMP"]["x-access"] == "player"
    assert methods["sample.DUMP"]["x-server-without-player"] is True
    assert document["components"]["schemas"].keys() == {"sample.Place", "sample.RenameReply", "sample.Seen"}
    [listed] = [method for method in exported[INDEX]["methods"] if method["name"] == "sample.RENAME"]
    assert listed == {
        "name": "sample.RENAME",
        "summary": "Rename the caller.",
        "document": "services/sample.json",
        "x-access": "player",
        "params": [
            {"name": "playerName", "required": True},
            {"name": "shout", "required": False},
            {"name": "volume", "required": False},
            {"name": "place", "required": False},
        ],
        "errors": list(document["components"]["errors"].values()),
    }


def test_two_shapes_of_one_name_keep_their_modules() -> None:
    names = ["a.b.rules.Entity", "a.b.lists_of.Entity", "Entities"]
    assert _short_names("s", names) == {
        "a.b.rules.Entity": "s.RulesEntity",
        "a.b.lists_of.Entity": "s.ListsOfEntity",
        "Entities": "s.Entities",
    }


def test_two_refusals_of_one_name_are_an_error() -> None:
    service = Service("sample")
    other = type("NameTaken", (GameError,), {"reason_code": 40999})

    @service.operation("ACT", tx=Tx.NONE, errors=(NameTaken, other))
    async def act(ctx: Context, request: Request) -> None:
        """Act."""

    with pytest.raises(TypeError, match="NameTaken"):
        documents(Registry([service]))


def test_writing_renews_the_document_and_the_tables(tmp_path: Path) -> None:
    prose = tmp_path / "errors.md"
    prose.write_text("Before.\n<!-- from code: general errors -->\nold\n<!-- end -->\nAfter.\n")
    index, service, gone = (
        tmp_path / name for name in ("operations.json", "services/sample.json", "services/gone.json")
    )
    gone.parent.mkdir()
    gone.write_text("{}")
    assert write(sample(), tmp_path) == [gone, index, service, prose]
    assert not gone.exists()
    assert json.loads(service.read_text()) == documents(sample())["services/sample.json"]
    text = prose.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")
    assert "| 40304 | 403 Forbidden | NoSession |" in text
    assert "old" not in text
    assert write(sample(), tmp_path) == []
    assert stale_files(sample(), tmp_path) == []


def test_prose_that_asks_for_an_unknown_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "errors.md").write_text("<!-- from code: nothing known -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="nothing known"):
        fresh_files(sample(), tmp_path)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"].removeprefix(REFERENCE)] if isinstance(schema.get("$ref"), str) else []
        return own + [name for part in schema.values() for name in _references(part)]
    if isinstance(schema, list):
        return [name for part in schema for name in _references(part)]
    return []


def test_every_authentication_type_and_value_is_told() -> None:
    assert CREDENTIALS.keys() == PROOFS.keys() == set(LOGIN_TYPES)
    assert BOARD_TYPES.keys() == set(BoardType)
    assert ROTATIONS.keys() == set(Rotation)
