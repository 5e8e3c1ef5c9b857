"""Each quick start is followed from an empty folder, as far as its tools are here."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gameserver.serve import first_app
from tests.clients.pages import ROOT, blocks, ran, secret_of_the_sample
from tests.processes import serve
from tests.servers import missing

PLAYER = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class Started(NamedTuple):
    """A server with the sample app, as "Your first player" has it."""

    url: str
    secret: str

    def here(self, text: str) -> str:
        """What somebody with this server writes who follows a page."""
        return text.replace("http://127.0.0.1:8080", self.url).replace("the secret", self.secret)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The first steps of the page; the board is declared before the server looks, so nobody waits for it."""
    folder = tmp_path_factory.mktemp("server")
    first_app(folder / "apps")
    _install, _serve, _second, board, _packets = blocks("docs/first-player.md", "sh")
    ran(["bash", "-euc", board], folder)
    with serve(folder) as server:
        yield Started(server.url, secret_of_the_sample(folder))


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            missing(program)


def follow(started: Started, page: str, script: str, folder: Path, **files: str) -> str:
    """Write the files of a page, and run its commands."""
    for name, text in files.items():
        (folder / name).write_text(started.here(text))
    assert script in blocks(page, "sh")
    text = (ROOT / page).read_text("utf-8")
    assert all(text.index(source) < text.index(script) for name, source in files.items() if name in script)
    return ran(["bash", "-euc", script], folder, SOURCES=str(ROOT))


def test_raw_json(started: Started, tmp_path: Path) -> None:
    needs("curl")
    _install, _serve, _second, _board, packets = blocks("docs/first-player.md", "sh")
    told = ran(["bash", "-euc", started.here(packets)], tmp_path)
    assert told.count('"status":200') == 3
    assert '"score":42' in told


def test_python(started: Started, tmp_path: Path) -> None:
    [program] = blocks("docs/quick-start/python.md", "python")
    install, run = blocks("docs/quick-start/python.md", "sh")
    assert "clients/python" in install  # which is installed for the tests
    assert run == ".venv/bin/python game.py\n"
    (tmp_path / "game.py").write_text(started.here(program))
    assert re.fullmatch(rf"{PLAYER} has 42\n", ran([sys.executable, "-W", "error", "game.py"], tmp_path))


def test_javascript(started: Started, tmp_path: Path) -> None:
    needs("node", "npm")
    page = "docs/quick-start/browser.md"
    _copy, _serve, install = blocks(page, "sh")
    program, _official = blocks(page, "js")
    follow(started, page, install, tmp_path, **{"game.mjs": program})
    assert re.fullmatch(rf"{PLAYER} has 42\n", ran(["node", "game.mjs"], tmp_path))


def test_javascript_with_the_official_sdk(started: Started, tmp_path: Path) -> None:
    packages = Path(__file__).parent / "js" / "node_modules"
    if shutil.which("node") is None or not packages.exists():
        missing("node and the packages of tests/clients/js")
    _own, program = blocks("docs/quick-start/browser.md", "js")
    (tmp_path / "game.cjs").write_text(started.here(program))
    told = ran(["node", "game.cjs"], tmp_path, NODE_PATH=str(packages))
    assert re.search(rf"^200 {PLAYER}\n200\n200\n$", told, re.MULTILINE)


def test_csharp(started: Started, tmp_path: Path) -> None:
    needs("mcs", "mono")
    page = "docs/quick-start/unity.md"
    [build] = blocks(page, "sh")
    [program] = [block for block in blocks(page, "csharp") if "static void Main" in block]
    assert re.fullmatch(rf"{PLAYER} has 42\n", follow(started, page, build, tmp_path, **{"Game.cs": program}))


def test_cpp(started: Started, tmp_path: Path) -> None:
    needs("g++")
    page = "docs/quick-start/cpp.md"
    [build] = blocks(page, "sh")
    [program] = [block for block in blocks(page, "cpp") if "int main" in block]
    player, score = follow(started, page, build, tmp_path, **{"game.cpp": program}).splitlines()
    assert re.fullmatch(PLAYER, player)
    assert '"score":42' in score


def test_java(started: Started, tmp_path: Path) -> None:
    needs("javac")
    page = "docs/quick-start/java.md"
    [run] = blocks(page, "sh")
    [program] = [block for block in blocks(page, "java") if "public class Game" in block]
    player, score = follow(started, page, run, tmp_path, **{"Game.java": program}).splitlines()
    assert re.fullmatch(PLAYER, player)
    assert '"score":42' in score
