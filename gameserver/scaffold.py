"""A new service's files, for who changes the server: what is mechanical, the rest marked "write me".

A catalogue is a JSON object whose `operations` are wire names, or objects with `operation`, the wire name,
and as far as known `summary`, `parameters` (`name`, `description`), `request.data` and `responses[].data`
(examples, whose types become the declared ones), `errors` (`code`), `client_callable` (false: for servers
alone) and `js_method`, the method of the npm client. What has the same fields gets one type.
"""

import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator
from pathlib import Path
from pprint import pformat
from typing import Any, TypeGuard

_MARK = "\n\nSERVICES"  # what the scenarios of the Python client stand before
FOR_SERVERS = 40346  # what a client is refused with that calls what is for servers alone
_PLAIN = {bool: "bool", int: "int", float: "float", str: "str"}


def write_service(root: Path, name: str, catalogue: dict[str, Any] | None = None) -> list[Path]:
    """Write the files of a service into a source tree, formatted; returns them.

    Raises `ValueError` for a name or a catalogue that makes no service, `FileExistsError` for a file
    that is there.
    """
    if not re.fullmatch(r"[a-z][A-Za-z0-9]*", name):
        raise ValueError(f"{name!r}: expected a name as on the wire, such as playbackStream")
    operations = _operations(catalogue or {})
    file = _python(name)
    texts = {
        root / "gameserver" / "services" / f"{file}.py": _service(name, operations),
        root / "tests" / "services" / f"test_{file}.py": _tests(name, operations),
    }
    if any(_is_for_clients(one) for one in operations):
        texts[root / "tests" / "clients" / "js" / "scenarios" / f"{file}.js"] = _scenario(name, operations)
    scenarios = root / "tests" / "clients" / "test_python.py"
    before, mark, behind = scenarios.read_text("utf-8").partition(_MARK)
    if not mark:
        raise ValueError(f"{scenarios}: there is no list of services to write a scenario before")
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path}: there is such a file")
    texts[scenarios] = before + _python_scenario(name, operations) + mark + behind
    listed = root / "gameserver" / "services" / "__init__.py"
    texts[listed] = _with_service(listed.read_text("utf-8"), file)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    formatted = [str(path) for path in texts if path.suffix == ".py"]
    for command in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *formatted], cwd=root, check=False)  # noqa: S603 - our own words
    return list(texts)


def _operations(catalogue: dict[str, Any]) -> list[dict[str, Any]]:
    found = catalogue.get("operations", [])
    rows = found if isinstance(found, list) else [found]
    found = [{"operation": one} if isinstance(one, str) else one for one in rows]
    if not all(
        isinstance(one, dict) and re.fullmatch(r"[A-Z][A-Z0-9_]*", str(one.get("operation"))) for one in found
    ):
        raise ValueError("the catalogue's operations are names such as READ, or objects with an `operation`")
    by_name = {one["operation"]: one for one in reversed(found)}
    return [by_name[name] for name in sorted(by_name)]


def _with_service(listing: str, file: str) -> str:
    """Add a service to the imports and to `ALL`, both in the order of the file names."""
    for opening, suffix in (("from gameserver.services import (\n", ""), ("= (\n", ".service")):
        before, found, rest = listing.partition(opening)
        rows, end, behind = rest.partition(")\n")
        if not found or not end:
            raise ValueError("services/__init__.py: there is no list to write the service into")
        names = sorted({*(row.strip(" ,").removesuffix(".service") for row in rows.splitlines()), file})
        listing = before + found + "".join(f"    {name}{suffix},\n" for name in names) + end + behind
    return listing


def _is_for_clients(one: dict[str, Any]) -> bool:
    return bool(one.get("client_callable", True))


# The service


def _service(name: str, operations: list[dict[str, Any]]) -> str:
    shapes: dict[str, str] = {}
    parts = [part for one in operations for part in _operation(one, shapes)]
    head = f'''\
"""{name}: write me."""

from typing import Annotated, Any

from msgspec import Meta, field

from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.shapes import FreeObject, Nothing, Reply, Request

service = Service("{name}")

'''
    return head + ("# Operations\n\n\n" if parts else "") + "\n\n".join(parts)


def _operation(one: dict[str, Any], shapes: dict[str, str]) -> Iterator[str]:
    """Yield an operation's types and its handler. `shapes`: the types that are there, by their fields."""
    name, kind = one["operation"], _class(one["operation"])
    asked = {p["name"]: _example(one).get(p["name"]) for p in one.get("parameters", [])} | _example(one)
    told = {str(p["name"]): str(p.get("description", "")) for p in one.get("parameters", [])}
    always: list[str] = []
    optional: list[str] = []
    for field, value in asked.items():
        annotation = _plain(value, free=True)
        maybe = value is None or "optional" in told.get(field, "").lower()
        (optional if maybe else always).append(_field(field, annotation, optional=maybe))
    request = (yield from _struct(kind, "Request", always + optional, shapes)) if asked else "Nothing"
    answer = _answer(one)
    returned = "None" if answer is None else "dict[str, Any]"
    if _is_shape(answer):
        returned = yield from _shapes(f"{kind}Reply", answer, shapes)
    tx = "Tx.READ" if re.match(r"(GET|READ|LIST)_?", name) else "Tx.WRITE"
    access = "" if _is_for_clients(one) else ", access=Access.SERVER"
    yield f'''\
@service.operation("{name}", tx={tx}{access})
async def {_python(name)}(ctx: Context, request: {request}) -> {returned}:
    """{_sentence(one)}"""
    raise NotImplementedError("write me")
'''


def _shapes(name: str, example: dict[str, Any], shapes: dict[str, str]) -> Generator[str, None, str]:
    """The shape of an answer, behind those of the objects in it; returns the name it has."""
    rows = []
    for field, value in example.items():
        inner = value[0] if isinstance(value, list) and value else value
        annotation = _plain(value)
        if _is_shape(inner):
            kind = yield from _shapes(name + _class(field), inner, shapes)
            annotation = f"list[{kind}]" if isinstance(value, list) else kind
        rows.append(_field(field, annotation))
    return (yield from _struct(name, "Reply", rows, shapes))


def _is_shape(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell names of fields from ids and the like, that differ from answer to answer."""
    return isinstance(value, dict) and bool(value) and all(re.fullmatch(r"[A-Za-z]\w*", key) for key in value)


def _struct(name: str, base: str, rows: list[str], shapes: dict[str, str]) -> Generator[str, None, str]:
    """A type, unless there is one with the same fields; returns its name."""
    fields = f"({base}):\n" + textwrap.indent("\n".join(rows), "    ") + "\n"
    if fields not in shapes:
        shapes[fields] = name
        yield f"class {name}{fields}"
    return shapes[fields]


def _field(wire: str, annotation: str, *, optional: bool = False) -> str:
    annotation += " | None" if optional and annotation != "Any" else ""
    annotation = f'Annotated[{annotation}, Meta(description="write me")]'
    name = _python(wire)
    name = f"{name}_" if keyword.iskeyword(name) else name
    first, *rest = name.split("_")
    if first + "".join(word.title() for word in rest) == wire and not keyword.iskeyword(wire):
        return f"{name}: {annotation}" + (" = None" if optional else "")
    return f"{name}: {annotation} = field(name={_quoted(wire)}{', default=None' if optional else ''})"


def _plain(value: Any, *, free: bool = False) -> str:
    if isinstance(value, list):
        return f"list[{_plain(value[0], free=free) if value else 'Any'}]"
    if isinstance(value, dict):
        return "FreeObject" if free else "dict[str, Any]"
    return _PLAIN.get(type(value), "Any")


# Its tests, and the clients' scenarios


def _tests(name: str, operations: list[dict[str, Any]]) -> str:
    text = f"""\
from typing import Any, NoReturn

import pytest

from tests.conftest import Game

SERVICE = "{name}"


def write_me(what: str) -> NoReturn:
    pytest.fail(f"write me: {{what}}")
"""
    for one in operations:
        caller, refusal = ("await game.player()", 0) if _is_for_clients(one) else ("game.server", FOR_SERVERS)
        wire, codes = one["operation"], ", ".join(str(e.get("code")) for e in one.get("errors", []))
        text += f"""

async def test_{_python(wire)}(game: Game) -> None:
    write_me("what {wire} does")
    caller = {caller}
    asked: dict[str, Any] = {_literal(_example(one))}
    expected: Any = {_literal(_answer(one))}
    assert await caller.call(SERVICE, "{wire}", **asked) == expected


async def test_{_python(wire)}_is_refused(game: Game) -> None:
    write_me("what {wire} refuses{f": {codes}" if codes else ""}")
    player = await game.player()
    assert (await player.refused(SERVICE, "{wire}")).reason_code == {refusal}
"""
    return text


def _scenario(name: str, operations: list[dict[str, Any]]) -> str:
    rows = ""
    for one in filter(_is_for_clients, operations):
        method = str(one.get("js_method") or "").rpartition(".")[2]
        called = f"{name}.{method}(…)" if method else f'raw("{name}", "{one["operation"]}", {{ … }})'
        rows += f"    // await {called}.gives(…);\n"
    # `raw` is for what the npm client has no method for.
    used = [word for word, call in ((name, f"await {name}."), ("raw", "await raw(")) if call in rows]
    return f"""\
const {{ player }} = require("../helper");

module.exports = {{
  async "{name}"() {{
    const {{ {", ".join(used)} }} = await player();
    throw new Error("write me: a call of each operation, and a refusal", {{ cause: [{", ".join(used)}] }});
{rows}  }},
}};
"""


def _python_scenario(name: str, operations: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"    # mine.{_python(one['operation'])}(…)\n" for one in operations if _is_for_clients(one)
    )
    return f"""

def {_python(name)}(players: Players) -> None:
    players()
{rows}    pytest.fail("write me: a call of each method of {name}, and a refusal")
"""


# Words


def _example(one: dict[str, Any]) -> dict[str, Any]:
    data = (one.get("request") or {}).get("data")
    return data if isinstance(data, dict) else {}


def _answer(one: dict[str, Any]) -> dict[str, Any] | None:
    found = [each.get("data") for each in one.get("responses", []) if each.get("status", 200) == 200]  # noqa: PLR2004 - "done"
    return found[0] if found and isinstance(found[0], dict) and found[0] else None


def _literal(value: Any) -> str:
    """Write a value over as many lines as it needs."""
    return pformat(value, width=80, sort_dicts=False)


def _python(name: str) -> str:
    """`playbackStream` and `ADD_EVENT` are playback_stream and add_event."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W", "_", parts).lower()


def _class(name: str) -> str:
    return "".join(word.title() for word in _python(name).split("_"))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _sentence(one: dict[str, Any]) -> str:
    said = str(one.get("summary") or "Write me").encode("ascii", "ignore").decode()
    said = " ".join(re.sub(r'[\\"`]', "", said).split()).partition(". ")[0].rstrip(". ") or "Write me"
    return textwrap.shorten(said[0].upper() + said[1:], 95, placeholder=" and so on") + "."
