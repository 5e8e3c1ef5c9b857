"""The C# client, compiled by Mono, against a server in a process of its own."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.clients.game import Server, declare_app
from tests.clients.lossy import Lossy, losing
from tests.clients.pages import blocks

KIT = Path(__file__).parents[2] / "clients" / "csharp"
HERE = Path(__file__).parent / "csharp"


class Program(NamedTuple):
    """A compiled program, and the server it talks to."""

    folder: Path
    server: Server

    def run(self, name: str, *arguments: str, url: str = "") -> dict[str, Any]:
        """Run it; return what it tells, by name."""
        done = subprocess.run(
            ["mono", str(self.folder / name), *arguments],
            env=os.environ
            | {
                "SERVER_URL": url or self.server.url,
                "APP_ID": self.server.app_id,
                "APP_SECRET": self.server.secret,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line.split("=", 1) for line in done.stdout.splitlines()]
        return {told: json.loads(value) for told, value in lines}


def compile_(target: Path, *sources: Path, library: Path | None = None) -> None:
    """Compile as the page says, and take warnings for errors."""
    options = ["-langversion:7.2", "-warn:4", "-warnaserror", "-r:System.Net.Http", f"-out:{target}"]
    if target.suffix == ".dll":
        options.append("-target:library")
    if library is not None:
        options.append(f"-r:{library}")
    subprocess.run(["mcs", *options, *sources], check=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, compiled."""
    if shutil.which("mcs") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Mono is needed")
        pytest.skip("Mono is not installed")
    target = tmp_path_factory.mktemp("csharp") / "GameServer.Client.dll"
    compile_(target, *sorted((KIT / "Runtime").rglob("*.cs")))
    return target


@pytest.fixture(scope="module")
def program(library: Path, services: dict[str, str], migrated: object) -> Iterator[Program]:
    """The scenario, compiled, and a server."""
    compile_(library.parent / "scenario.exe", HERE / "Scenario.cs", library=library)
    with contextlib.ExitStack() as stack:
        folder = declare_app(library.parent / "server")
        yield Program(library.parent, Server(stack, folder, services))


def test_a_game_is_played(program: Program) -> None:
    assert program.run("scenario.exe", "play") == {
        "before": "SessionEndedException 403/40304",
        "open": "GameServerException 202/40208",
        "login": "true",
        "kept": True,
        "entity": [1, 1, True, {"name": 'Zoë "the" 🙂\n', "list": [1, 2.5, 0.1, None, True, 2**63 - 1]}, 0],
        "score": 42,
        "together": "True 40358 True",
        "event": "hello",
        "mistake": "a System.DateTime cannot be sent",
        "logout": 0,
        "after": "SessionEndedException 403/40304",
        "again": True,
        "replaced": "SessionEndedException 403/40356",
        "killed": "KillSwitchException 900/90200",
        "revived": True,
        "full disk": "true",
        "disposed": "disposed",
    }


@pytest.mark.parametrize("protocol", ["ws", "tcp"])
def test_messages_arrive_by_themselves_also_after_a_break(program: Program, protocol: str) -> None:
    assert program.run("scenario.exe", "listen", protocol) == {
        "too early": "SessionEndedException 403/40304",
        "opened": True,
        "heard": "chat INCOMING True",
        "connected again": True,
        "heard again": "chat INCOMING True",
        "replaced": "SessionEndedException 403/40356",
        "links": 3,
    }


@pytest.fixture
def lossy(program: Program) -> Iterator[Lossy]:
    """Lose answers to an update, refuse one call, and never let a second login through."""
    troubles = {
        "UPDATE": ["503", "lost", "garbled", "429"],
        "READ": ["", "404"],
        "AUTHENTICATE": ["", *["502"] * 1000],
    }
    with losing(program.server.url, troubles) as server:
        yield server


def test_a_packet_that_is_lost_is_sent_again_and_runs_once(program: Program, lossy: Lossy) -> None:
    assert program.run("scenario.exe", "lose", url=lossy.address) == {
        "wins": 1,
        "refused": "NoAnswerException 900/90001",
        "given up": "NoAnswerException 900/90001",
    }
    updates = [body for body in lossy.bodies if b'"UPDATE"' in body]
    assert (len(updates), len(set(updates))) == (5, 1)


def test_the_sample_for_unity_compiles(library: Path) -> None:
    _program, realtime = blocks("clients/csharp/README.md", "csharp")
    page = library.parent / "Realtime.cs"
    page.write_text(
        "using System.Threading.Tasks; using GameServer.Client; using UnityEngine;\n"
        f"static class Page {{ static async Task Run(GameClient client) {{\n{realtime}}} }}\n"
    )
    sources = [HERE / "UnityStub.cs", page, *sorted((KIT / "Samples~").rglob("*.cs"))]
    options = ["-langversion:7.2", "-target:library", f"-r:{library}", f"-out:{library.parent}/sample.dll"]
    subprocess.run(["mcs", *options, *sources], check=True)


def test_the_program_of_the_page_runs(library: Path, program: Program) -> None:
    text, _realtime = blocks("clients/csharp/README.md", "csharp")
    server = program.server
    text = text.replace("http://127.0.0.1:8080", server.url).replace('"10001"', f'"{server.app_id}"')
    text = text.replace('"10001"', f'"{server.app_id}"').replace('"the secret"', f'"{server.secret}"')
    source = library.parent / "Page.cs"
    source.write_text(text.replace('"main"', '"best"'))
    compile_(library.parent / "page.exe", source, library=library)
    done = subprocess.run(
        ["mono", library.parent / "page.exe"], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.fullmatch(r"[0-9a-f-]{36} has 42\n", done.stdout)
