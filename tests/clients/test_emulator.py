"""What starts the emulator from Node.js and from pytest, as its page says."""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

from tests.cli.test_emulator import PLUGIN
from tests.clients.pages import ROOT, blocks, ran
from tests.clients.test_docs import at
from tests.clients.test_js_kit import MODULES
from tests.processes import serve
from tests.servers import missing

KIT = ROOT / "tests" / "clients" / "js_kit"
# The few names of Node that the sample needs, in place of a package with all of them.
GLOBALS = "declare const process: { env: Record<string, string | undefined> };\n"
TYPED = """\
from collections.abc import Iterator

import pytest

from gameserver.testing import CannotStart, Emulator, EmulatorRefused, emulator as started


@pytest.fixture
def one_player(emulator: Emulator) -> Emulator:
    taken: dict[str, int] = emulator.seed([{"type": "player", "profileId": "ada"}])
    assert taken == emulator.seed(b"") == emulator.seed("")
    return emulator


def test_time_goes_on(one_player: Emulator, running_emulator: Emulator) -> None:
    before: int = one_player.now_ms
    after: int = one_player.advance(1.5)
    assert after - before == 1500
    with pytest.raises(EmulatorRefused):
        running_emulator.restore("none")


def elsewhere() -> Iterator[str]:
    try:
        with started("apps", ["--seed", "7"]) as server:
            yield f"{server.url} {server.app_id} {server.secret}"
    except CannotStart as error:
        yield str(error)
"""
PACKAGE = ROOT / "clients" / "emulator-js"


def path_with_server(folder: Path) -> str:
    """A PATH on which the program is found."""
    folder.mkdir()
    program = folder / "gameserver"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gameserver "$@"\n')
    program.chmod(stat.S_IRWXU)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def node_tests(folder: Path, *files: str, **environment: str) -> None:
    if shutil.which("node") is None:
        missing("node")
    path = path_with_server(folder / "bin")
    ran(["node", "--test", *files], folder, PATH=path, PYTHONPATH=str(ROOT), **environment)


def test_the_package_for_node(tmp_path: Path) -> None:
    node_tests(tmp_path, *map(str, (PACKAGE / "test").glob("*.mjs")))


def test_the_types_of_the_package_for_node(tmp_path: Path) -> None:
    """A test in TypeScript compiles, with what it may not write refused, and does what it says."""
    modules, tsc = tmp_path / "node_modules", KIT / "node_modules" / "typescript" / "bin" / "tsc"
    if not tsc.exists():
        missing("the packages of tests/clients/js_kit")
    modules.mkdir()
    shutil.copytree(PACKAGE, modules / "gameserver-emulator")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "globals.d.ts").write_text(GLOBALS)
    shutil.copy(KIT / "emulated.ts", tmp_path)
    words = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", *MODULES]
    ran(["node", str(tsc), *words, "globals.d.ts", "emulated.ts"], tmp_path)
    path = path_with_server(tmp_path / "bin")
    told = ran(["node", "emulated.js"], tmp_path, PATH=path, PYTHONPATH=str(ROOT))
    assert json.loads(told) == [True, 60_000, {"player": 1}, {"player": 1}, True]


def test_the_types_of_the_package_for_pytest(tmp_path: Path) -> None:
    """Tests with the fixture are checked as strictly as anything, with the installed package."""
    (tmp_path / "test_game.py").write_text(TYPED)
    words = ["--strict", "--warn-unreachable", "--no-incremental", "--cache-dir", str(tmp_path / "cache")]
    told = ran([sys.executable, "-m", "mypy", *words, "test_game.py"], tmp_path, MYPYPATH="")
    assert told.startswith("Success")


def test_what_the_page_shows(tmp_path: Path) -> None:
    (seeding, script), [js] = blocks("docs/emulator.md", "sh"), blocks("docs/emulator.md", "js")
    [python], [toml] = blocks("docs/emulator.md", "python"), blocks("docs/emulator.md", "toml")
    with serve(tmp_path, "--ephemeral") as server:
        assert '"snapshots":[]' in ran(["bash", "-euc", at(server, script)], tmp_path).splitlines()[-1]
    seed, _, options = seeding.rpartition("gameserver serve ")
    ran(["bash", "-euc", seed], tmp_path)
    with serve(tmp_path, *options.replace("seed.jsonl", str(tmp_path / "seed.jsonl")).split()) as server:
        assert server.url
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "gameserver-emulator").symlink_to(PACKAGE)
    (tmp_path / "page.test.cjs").write_text(js)
    node_tests(tmp_path, "page.test.cjs")
    (tmp_path / "test_page.py").write_text(python)
    (tmp_path / "pyproject.toml").write_text(toml.replace('gameserver_apps = "apps"\n', ""))
    command = [sys.executable, "-m", "pytest", "-q", *PLUGIN, "test_page.py"]
    assert "2 passed" in ran(command, tmp_path, PYTHONPATH=str(ROOT))
