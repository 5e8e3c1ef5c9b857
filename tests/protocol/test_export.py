"""The exported description of all operations."""

import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta

from gameserver.protocol_export import export, fresh_files, general_errors, stale_files, to_text, write
from gameserver.rpc import Access, Context, Registry, Service, Tx
from gameserver.services import ALL
from gameserver.wire.errors import GameError, NoSession
from gameserver.wire.shapes import Reply, Request
from tests.protocol.openrpc import DOCUMENT

FOLDER = Path(__file__).parents[2] / "protocol"
REFERENCE = "#/components/schemas/"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return export(Registry(ALL))


def test_the_files_are_fresh() -> None:
    stale = [path.name for path in stale_files(Registry(ALL), FOLDER)]
    assert not stale, (
        f"run `gameserver protocol export`: {', '.join(stale)} in protocol/ is not what the code says"
    )


def test_the_document_has_the_structure_of_openrpc(document: dict[str, Any]) -> None:
    Draft202012Validator(DOCUMENT).validate(document)
    names = [method["name"] for method in document["methods"]]
    assert names == sorted(set(names))
    for method in document["methods"]:
        needed = [param["required"] for param in method["params"]]
        assert needed == sorted(needed, reverse=True), f"{method['name']}: required parameters come first"
        for unique in (
            [param["name"] for param in method["params"]],
            [error["code"] for error in method["errors"]],
        ):
            assert len(unique) == len(set(unique)), method["name"]


def test_every_shape_is_valid_json_schema_and_every_reference_leads_somewhere(
    document: dict[str, Any],
) -> None:
    schemas = list(document["components"]["schemas"].values())
    for method in document["methods"]:
        schemas += [param["schema"] for param in method["params"]] + [method["result"]["schema"]]
    used = set()
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
        used |= set(_references(schema))
    assert used == document["components"]["schemas"].keys(), "all that is used is there, and nothing else"


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    described = {method["name"] for method in document["methods"]}
    assert described == {operation.wire_name for operation in Registry(ALL)}


def test_the_same_code_yields_the_same_text(document: dict[str, Any]) -> None:
    assert to_text(export(Registry(ALL))) == to_text(document)
    assert json.loads(to_text(document)) == document


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


class Rename(Request, kw_only=True):
    shout: bool = False
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
    document = export(sample())
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
                "name": "place",
                "required": False,
                "schema": {"anyOf": [{"$ref": REFERENCE + "Place"}, {"type": "null"}], "default": None},
            },
        ],
        "result": {"name": "data", "schema": {"$ref": REFERENCE + "RenameReply"}},
        "errors": [
            {
                "code": 40910,
                "message": "Another player has this name.",
                "data": {"status": 409, "name": "NameTaken"},
            },
            {"code": 40911, "message": "Too long.", "data": {"status": 400, "name": "TooLong"}},
        ],
        "x-access": "player",
        "x-transaction": "write",
    }
    assert methods["sample.SET_NAME"]["x-same-as"] == "sample.RENAME"
    assert methods["sample.LOOK"]["x-access"] == "open"
    assert methods["sample.LOOK"]["result"]["schema"] == {"$ref": REFERENCE + "Seen"}
    assert methods["sample.FORGET"]["result"]["schema"] == {"type": "null"}
    assert methods["sample.DUMP"]["result"]["schema"]["type"] == "object"
    assert methods["sample.DUMP"]["x-access"] == "player"
    assert methods["sample.DUMP"]["x-server-without-player"] is True
    assert document["components"]["schemas"].keys() == {"Place", "RenameReply", "Seen"}


def test_writing_renews_the_document_and_the_tables(tmp_path: Path) -> None:
    prose = tmp_path / "errors.md"
    prose.write_text("Before.\n<!-- from code: general errors -->\nold\n<!-- end -->\nAfter.\n")
    document = tmp_path / "operations.json"
    assert write(sample(), tmp_path) == [document, prose]
    assert json.loads(document.read_text()) == export(sample())
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
