"""What starts the emulator from Node.js and from pytest, as its page says."""

import os
import shutil
import stat
import sys
from pathlib import Path

from tests.cli.test_emulator import PLUGIN
from tests.clients.pages import ROOT, blocks, ran
from tests.clients.test_docs import at
from tests.processes import serve
from tests.servers import missing

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
