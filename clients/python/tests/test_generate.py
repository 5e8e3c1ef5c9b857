"""The generator, and what it made."""

import importlib
import importlib.util
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest

from gameserver_client import services
from gameserver_client.service import Invoker

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests" / "protocol"

spec = importlib.util.spec_from_file_location("generate", ROOT / "generate.py")
assert spec is not None
assert spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the type checker learns of the standard library, once for all tests."""
    return tmp_path_factory.mktemp("mypy")


def document(*methods: dict[str, Any], schemas: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"openrpc": "1.3.2", "methods": list(methods), "components": {"schemas": schemas or {}}}


def method(name: str, *params: dict[str, Any], access: str = "player", **more: Any) -> dict[str, Any]:
    return {"name": name, "params": list(params), "x-access": access, **more}


def param(name: str, schema: dict[str, Any], *, required: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "required": required, "schema": schema, **more}


def build(tmp_path: Path, *methods: dict[str, Any], schemas: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """Run generated modules; an invoker that hands back what would be sent."""
    name = f"made_{uuid.uuid4().hex}"
    (tmp_path / name).mkdir()
    for file, text in generate.sources([document(*methods, schemas=schemas)]).items():
        moved = text.replace("gameserver_client.services.", f"{name}.")
        (tmp_path / name / file).write_text(moved, encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        made: Any = importlib.import_module(name)
    finally:
        sys.path.remove(str(tmp_path))

    class Recorder(made.Services):  # type: ignore[misc]  # it was generated just now
        def _invoke(self, service: str, operation: str, data: Any) -> tuple[str, str, Any]:
            return service, operation, data

    return Recorder(), made


def test_services_never_hide_what_clients_do() -> None:
    from gameserver_client import AsyncClient, Bundle, Client  # noqa: PLC0415

    offered = {name for name in vars(services.Services) if not name.startswith("_")}
    for kind in (AsyncClient, Client, Bundle):
        own = set().union(*(vars(base) for base in kind.__mro__ if base not in {services.Services, Invoker}))
        assert not offered & own


def test_calls_carry_the_wire_names(tmp_path: Path) -> None:
    client, _ = build(
        tmp_path,
        method(
            "groupFile.UPDATE_INFO",
            param("newAcl", {"type": "object"}, required=False),
            param("groupId", {"type": "string"}),
            param("from", {"type": "integer"}, required=False),
            param("self", {"type": "string"}),
        ),
    )
    call = client.group_file.update_info
    assert call(group_id="g", self_="s") == ("groupFile", "UPDATE_INFO", {"groupId": "g", "self": "s"})
    assert call(group_id="g", self_="s", from_=0, new_acl={})[2] == {
        "groupId": "g",
        "self": "s",
        "from": 0,
        "newAcl": {},
    }
    with pytest.raises(TypeError, match="group_id"):
        call(self_="s")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "str"),
        ({"type": "integer", "minimum": 0}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "boolean"}, "bool"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "array"}, "list[Any]"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}, {"type": "number"}]}, "float | None"),
        ({"oneOf": [{"type": "string"}, {}]}, "Any"),
        ({"enum": ["ASC", "DESC"]}, 'Literal["ASC", "DESC"]'),
        ({"const": 2}, "Literal[2]"),
        ({"enum": [1.5]}, "Any"),
        ({"$ref": "#/components/schemas/Page"}, "dict[str, Any]"),
        ({"$ref": "#/components/schemas/a.Row"}, "Row"),
        ({"anyOf": [{"$ref": "#/components/schemas/a.Row"}, {"type": "null"}]}, "Row | None"),
        ({"$ref": "#/components/schemas/Colour"}, 'Literal["red"]'),
        ({"$ref": "#/components/schemas/Missing"}, "Any"),
        ({}, "Any"),
        (True, "Any"),
    ],
)
def test_types_come_from_the_schema(schema: dict[str, Any], kind: str) -> None:
    row = {"type": "object", "properties": {"x": {"type": "integer"}}}
    schemas = {"Page": {"type": "object"}, "Colour": {"enum": ["red"]}, "a.Row": row}
    assert generate.annotation(schema, schemas) == kind


def test_optional_parameters_may_be_none() -> None:
    maybe = param("x", {"type": ["string", "null"]}, required=False)
    made = generate.sources([document(method("a.B", maybe, param("y", {"type": "string"})))])["a.py"]
    assert "def b(self, *, y: str, x: str | None = None) -> Any:" in made


def test_answers_have_shapes() -> None:
    schemas = {
        "a.Reply": {
            "type": "object",
            "description": "What there is.",
            "required": ["rows"],
            "properties": {
                "rows": {"type": "array", "items": {"$ref": "#/components/schemas/a.Row"}},
                "more": {"type": "boolean", "default": False, "description": "Whether there are others."},
                "seldom": {"type": "string"},
            },
        },
        "a.Row": {"type": "object", "properties": {"class": {"type": "integer", "default": 0}}},
        "a.Unused": {"type": "object", "properties": {"x": {}}},
    }
    shaped = method("a.B", result={"name": "data", "schema": {"$ref": "#/components/schemas/a.Reply"}})
    absent = method("a.C", result={"name": "data", "schema": {"type": "null"}})
    made = generate.sources([document(shaped, absent, schemas=schemas)])["a.py"]
    assert (
        textwrap.dedent('''
        class Reply(TypedDict):
            """What there is."""

            rows: list[Row]
            more: bool
            """Whether there are others."""
            seldom: NotRequired[str]


        Row = TypedDict("Row", {"class": "int"})
    ''')
        in made
    )
    assert "Unused" not in made
    assert "def b(self) -> Reply:" in made
    assert "def c(self) -> dict[str, Any]:" in made


def test_what_has_a_default_may_be_left_out_of_parameters() -> None:
    look = {
        "type": "object",
        "required": ["to"],
        "properties": {"to": {"type": "string"}, "subject": {"type": "string", "default": ""}},
    }
    asked = method("a.B", param("look", {"$ref": "#/components/schemas/a.Look"}))
    made = generate.sources([document(asked, schemas={"a.Look": look})])["a.py"]
    assert "    to: str\n    subject: NotRequired[str]\n" in made


def test_what_a_call_hands_back_depends_on_who_calls(tmp_path: Path, mypy_cache: Path) -> None:
    """Blocking: the answer. On an event loop, and in a bundle: a future of it."""
    pytest.importorskip("mypy")
    checked = tmp_path / "checked.py"
    checked.write_text(
        textwrap.dedent("""
        import asyncio
        from concurrent.futures import Future
        from typing import assert_type

        from gameserver_client import AsyncClient, Client
        from gameserver_client.services.time import ReadTimeReply

        async def check(client: Client, on_loop: AsyncClient) -> None:
            assert_type(client.time.read(), ReadTimeReply)
            assert_type(on_loop.time.read(), asyncio.Future[ReadTimeReply])
            with client.bundle() as bundle:
                assert_type(bundle.time.read(), Future[ReadTimeReply])
            with on_loop.bundle() as waiting:
                assert_type(waiting.time.read(), asyncio.Future[ReadTimeReply])
        """)
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(mypy_cache), str(checked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_operations_for_servers_are_left_out_and_open_ones_are_listed(tmp_path: Path) -> None:
    client, made = build(
        tmp_path, method("a.OPEN", access="open"), method("a.PLAYER"), method("b.SYS", access="server")
    )
    assert {("a", "OPEN")} == made.OPEN_OPERATIONS
    assert client.a.player() == ("a", "PLAYER", {})
    assert not hasattr(client, "b")


@pytest.mark.parametrize(
    ("name", "python_name"),
    [
        ("playerState", "player_state"),
        ("authenticationV2", "authentication_v2"),
        ("globalFileV3", "global_file_v3"),
        ("s3Handling", "s3_handling"),
        ("UPDATE_NAME", "update_name"),
        ("profileID", "profile_id"),
        ("iOSToken", "i_os_token"),
        ("class", "class_"),
        ("some-name", "some_name"),
    ],
)
def test_python_names(name: str, python_name: str) -> None:
    assert generate.snake(name) == python_name


def test_two_operations_never_share_a_python_name() -> None:
    with pytest.raises(ValueError, match="more than one a_b"):
        generate.sources([document(method("s.A_B"), method("s.aB"))])


def test_prose_becomes_a_docstring_whatever_it_holds(tmp_path: Path) -> None:
    prose = 'Say "hi".\n\nA path is C:\\new, three quotes are """. ' + "Long words. " * 30
    told = param("x", {}, description='ends in "x"')
    client, _ = build(tmp_path, method("a.B", told, summary='Say "hi".', description=prose))
    text = " ".join(client.a.b.__doc__.split())
    assert text.startswith('Say "hi". A path is C:\\new, three quotes are """. Long words.')
    assert text.endswith('x: ends in "x"')


def test_generated_text_is_formatted_and_typed(tmp_path: Path, mypy_cache: Path) -> None:
    """The linter, the formatter and the type checker have nothing to say about awkward operations either."""
    pytest.importorskip("mypy")
    many = [param(f"parameterNumber{n}", {"type": "string"}, required=n % 2 == 0) for n in range(12)]
    made = generate.sources(
        [
            document(
                method("longOne.UPDATE_A_GREAT_MANY_THINGS", *many, summary="Change a lot"),
                method(
                    "longOne.LIST", param("list", {"type": "array", "items": {"enum": ["a"]}}), access="open"
                ),
                method(
                    "longOne.MIDDLE", *[param(f"aRatherLongName{n}", {"type": "string"}) for n in range(2)]
                ),
                method(
                    "longOne.READ",
                    param("type", {"type": "object"}),
                    param("id", {}, description="which one"),
                ),
                method("longOne.ODD", result={"schema": {"$ref": "#/components/schemas/longOne.Odd"}}),
                schemas={
                    "longOne.Odd": {
                        "type": "object",
                        "properties": {f"a-rather-long-name-{n}": {"type": "string"} for n in range(9)},
                    }
                },
            )
        ]
    )
    target = tmp_path / "long_one.py"
    target.write_text(made["long_one.py"])
    (tmp_path / "__init__.py").touch()
    folder = ROOT / "gameserver_client" / "services"  # what is ignored goes by it
    named = ["--stdin-filename", str(folder / target.name), "-"]
    for command in (
        ["ruff", "format", "--diff", "--no-cache", *named],
        ["ruff", "check", "--no-cache", *named],
        ["mypy", "--strict", "--cache-dir", str(mypy_cache), str(target)],
    ):
        run = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            input=target.read_text(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_script_writes_the_modules(tmp_path: Path) -> None:
    gone = tmp_path / "services" / "gone.py"
    gone.parent.mkdir()
    gone.touch()
    generate.main([str(SAMPLE), str(gone.parent)])
    assert not gone.exists()
    assert "class PlayerStateService" in (gone.parent / "player_state.py").read_text(encoding="utf-8")
