"""The generator, and what it made."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gameserver_client import services
from gameserver_client.service import Invoker

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests" / "operations.json"
EXPORT = ROOT.parent.parent / "protocol" / "operations.json"

spec = importlib.util.spec_from_file_location("generate", ROOT / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def document(*methods, schemas=None):
    return {"openrpc": "1.3.2", "methods": list(methods), "components": {"schemas": schemas or {}}}


def method(name, *params, access="player", **more):
    return {"name": name, "params": list(params), "x-access": access, **more}


def param(name, schema, *, required=True, **more):
    return {"name": name, "required": required, "schema": schema, **more}


def build(made):
    """Run generated text; an invoker that hands back what would be sent."""
    space = {}
    exec(made, space)

    class Recorder(space["Services"]):
        def _invoke(self, service, operation, data):
            return service, operation, data

    return Recorder(), space


def test_the_checked_in_services_are_fresh():
    source = EXPORT if EXPORT.exists() else SAMPLE
    made = generate.source(json.loads(source.read_text(encoding="utf-8")))
    assert Path(services.__file__).read_text(encoding="utf-8") == made, "run clients/python/generate.py"


def test_services_never_hide_what_clients_do():
    from gameserver_client import AsyncClient, Bundle, Client  # noqa: PLC0415

    offered = {name for name in vars(services.Services) if not name.startswith("_")}
    for kind in (AsyncClient, Client, Bundle):
        own = set().union(*(vars(base) for base in kind.__mro__ if base not in {services.Services, Invoker}))
        assert not offered & own


def test_calls_carry_the_wire_names():
    made = generate.source(
        document(
            method(
                "groupFile.UPDATE_INFO",
                param("newAcl", {"type": "object"}, required=False),
                param("groupId", {"type": "string"}),
                param("from", {"type": "integer"}, required=False),
                param("self", {"type": "string"}),
            )
        )
    )
    client, _ = build(made)
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
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, Any]"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "array"}, "list[Any]"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}, {"type": "number"}]}, "float | None"),
        ({"oneOf": [{"type": "string"}, {}]}, "Any"),
        ({"enum": ["ASC", "DESC"]}, 'Literal["ASC", "DESC"]'),
        ({"const": 2}, "Literal[2]"),
        ({"enum": [1.5]}, "Any"),
        ({"$ref": "#/components/schemas/Page"}, "dict[str, Any]"),
        ({"$ref": "#/components/schemas/Colour"}, 'Literal["red"]'),
        ({"$ref": "#/components/schemas/Missing"}, "Any"),
        ({}, "Any"),
        (True, "Any"),
    ],
)
def test_types_come_from_the_schema(schema, kind):
    schemas = {"Page": {"type": "object"}, "Colour": {"enum": ["red"]}}
    assert generate.annotation(schema, schemas) == kind


def test_optional_parameters_may_be_none():
    maybe = param("x", {"type": ["string", "null"]}, required=False)
    made = generate.source(document(method("a.B", maybe, param("y", {"type": "string"}))))
    assert "def b(self, *, y: str, x: str | None = None) -> R:" in made


def test_operations_for_servers_are_left_out_and_open_ones_are_listed():
    made = generate.source(
        document(method("a.OPEN", access="open"), method("a.PLAYER"), method("b.SYS", access="server"))
    )
    client, space = build(made)
    assert space["OPEN_OPERATIONS"] == {("a", "OPEN")}
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
def test_python_names(name, python_name):
    assert generate.snake(name) == python_name


def test_two_operations_never_share_a_python_name():
    with pytest.raises(ValueError, match="more than one a_b"):
        generate.source(document(method("s.A_B"), method("s.aB")))


def test_prose_becomes_a_docstring_whatever_it_holds():
    prose = 'Say "hi".\n\nA path is C:\\new, three quotes are """. ' + "Long words. " * 30
    made = generate.source(
        document(
            method("a.B", param("x", {}, description='ends in "x"'), summary='Say "hi".', description=prose)
        )
    )
    client, _ = build(made)
    text = " ".join(client.a.b.__doc__.split())
    assert text.startswith('Say "hi". A path is C:\\new, three quotes are """. Long words.')
    assert text.endswith('x: ends in "x"')


def test_generated_text_is_formatted_and_typed(tmp_path):
    """The linter, the formatter and the type checker have nothing to say about awkward operations either."""
    pytest.importorskip("mypy")
    many = [param(f"parameterNumber{n}", {"type": "string"}, required=n % 2 == 0) for n in range(12)]
    made = generate.source(
        document(
            method("longOne.UPDATE_A_GREAT_MANY_THINGS", *many, summary="Change a lot"),
            method("longOne.LIST", param("list", {"type": "array", "items": {"enum": ["a"]}}), access="open"),
            method("longOne.MIDDLE", *[param(f"aRatherLongName{n}", {"type": "string"}) for n in range(2)]),
            method("time.READ", param("type", {"type": "object"}), param("id", {}, description="which one")),
        )
    )
    target = tmp_path / "services.py"
    target.write_text(made)
    (tmp_path / "__init__.py").touch()
    config = str(ROOT / "pyproject.toml")
    for command in (
        ["ruff", "format", "--diff", "--config", config, "--no-cache"],
        ["ruff", "check", "--config", config, "--no-cache"],
        ["mypy", "--strict", "--cache-dir", str(tmp_path / "cache")],
    ):
        run = subprocess.run(
            [sys.executable, "-m", *command, str(target)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_script_writes_the_module(tmp_path):
    target = tmp_path / "services.py"
    generate.main([str(SAMPLE), str(target)])
    assert "class PlayerState" in target.read_text(encoding="utf-8")
