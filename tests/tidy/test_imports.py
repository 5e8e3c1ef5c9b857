"""Imports only point down, and floors beside each other do not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "gameserver"
CLIENT = Path(__file__).parents[2] / "clients" / "python" / "gameserver_client"

_FLOORS = {"wire", "frame", "apps", "storage", "sessions", "ranks"}
BELOW = {
    "wire": set[str](),
    "frame": set[str](),
    "apps": {"wire"},
    "storage": {"wire"},
    "sessions": {"frame", "wire"},
    "ranks": {"wire"},
    "realtime": {"sessions", "frame", "wire"},
    "jobs": {"storage", "apps", "wire", "frame"},
    "documents": {"storage", "frame", "wire"},
    "players": {"documents", "jobs", *_FLOORS},
    "domain": {"players", "documents", "jobs", "realtime", *_FLOORS},
}
BELOW["rpc"] = {"domain", *BELOW["domain"]}
BELOW["http_server"] = {"rpc", "frame", "wire"}
BELOW["scripts"] = {"rpc", *BELOW["rpc"]}
BELOW["services"] = {"scripts", *BELOW["scripts"]}
BELOW["faces"] = {"scripts", *BELOW["scripts"]}
BELOW["admin"] = {"protocol_export", "settings", "services", "faces", *BELOW["services"]}
BELOW["console"] = {"admin", *BELOW["admin"]}
BELOW["serve"] = {"app", "console", "emulator", "http_server", "logs", "tracing", *BELOW["console"]}
SEPARATE_INSIDE = {"services", "faces"}  # their modules do not import each other either


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Every module of ours that a file imports, also late and for type checking, as its parts."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=0) if module is not None:
                found = [f"{module}.{alias.name}" for alias in names]
            case ast.ImportFrom():
                raise AssertionError(f"{path.name}: imports are written out, not relative")
            case _:
                continue
        yield from (tuple(name.split(".")) for name in found if name.split(".")[0] == "gameserver")


def complaint(floor: str, module: str, target: tuple[str, ...]) -> str | None:
    """Say what is wrong with an import by a module of a floor, if anything is."""
    if len(target) < 2 or target[1].startswith("__"):
        return None  # the package's own facts, such as its version
    to_floor = target[1]
    if to_floor != floor:
        return None if to_floor in BELOW[floor] else f"{floor} must not know {to_floor}"
    if floor in SEPARATE_INSIDE and target[2:3] not in ((), (module,)):
        return f"{floor}/{module} must not know {floor}/{target[2]}"
    return None


@pytest.mark.parametrize("floor", BELOW)
def test_imports_point_down(floor: str) -> None:
    wrong = []
    for path in sorted((SERVER / floor).rglob("*.py")):
        module = path.relative_to(SERVER / floor).parts[0].removesuffix(".py")
        if floor in SEPARATE_INSIDE and module == "__init__":
            continue  # the list of them all
        wrong += [
            f"{path.relative_to(SERVER)} imports {'.'.join(target)}: {problem}"
            for target in imports(path)
            if (problem := complaint(floor, module, target))
        ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_has_its_floor() -> None:
    folders = {path.name for path in SERVER.iterdir() if (path / "__init__.py").exists()}
    assert folders - BELOW.keys() == {"cli"}, "a new folder needs a place among the floors"


def test_the_client_knows_nothing_of_the_server() -> None:
    for path in CLIENT.rglob("*.py"):
        assert list(imports(path)) == [], path.name


@pytest.mark.parametrize(
    ("floor", "module", "target", "allowed"),
    [
        ("services", "time", "gameserver.rpc.Context", True),
        ("services", "time", "gameserver.wire.json", True),
        ("services", "time", "gameserver.services.time.x", True),
        ("services", "time", "gameserver.services.entity", False),
        ("services", "time", "gameserver.faces.dispatcher", False),
        ("rpc", "packets", "gameserver.rpc.context", True),
        ("rpc", "packets", "gameserver.services.time", False),
        ("storage", "sqlite", "gameserver.sessions.ids", False),
        ("wire", "json", "gameserver.apps", False),
        ("faces", "pages", "gameserver.settings", False),
        ("wire", "json", "gameserver.__version__", True),
    ],
)
def test_the_rule_itself(floor: str, module: str, target: str, allowed: bool) -> None:
    assert (complaint(floor, module, tuple(target.split("."))) is None) == allowed
