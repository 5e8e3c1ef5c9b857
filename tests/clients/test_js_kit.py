"""The JavaScript client as its package holds it: types by TypeScript, the rest by Node against a server."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.clients.game import Server, declare_app
from tests.clients.lossy import losing
from tests.servers import missing

KIT = Path(__file__).parents[2] / "clients" / "js"
HERE = Path(__file__).parent / "js_kit"
MODULES = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]


class Game(NamedTuple):
    """A folder with the package and a compiled program, and the server it talks to."""

    folder: Path
    server: Server

    def run(self, what: str, url: str = "") -> dict[str, Any]:
        """Run a part of the program; return what it tells, by name."""
        told = ran(
            ["node", "scenario.js", what],
            self.folder,
            SERVER_URL=url or self.server.url,
            APP_ID=self.server.app_id,
            APP_SECRET=self.server.secret,
        )
        lines = [line.split("=", 1) for line in told.splitlines()]
        return {name: json.loads(value) for name, value in lines}


def ran(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"NODE_OPTIONS": "--experimental-global-webcrypto"} | environment,  # for Node 18
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `npm pack` makes it, installed in a folder of its own."""
    if shutil.which("npm") is None or not (HERE / "node_modules").exists():
        missing("npm and the packages of tests/clients/js_kit")
    folder = tmp_path_factory.mktemp("js")
    (folder / "node_modules").mkdir()
    [packed] = json.loads(ran(["npm", "pack", "--json", "--pack-destination", str(folder)], KIT))
    with tarfile.open(folder / packed["filename"]) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(folder / "node_modules" / "gameserver-client")
    for path in (HERE / "node_modules").iterdir():
        if not path.name.startswith("."):
            (folder / "node_modules" / path.name).symlink_to(path)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.fixture(scope="module")
def game(folder: Path, services: dict[str, str], migrated: object) -> Iterator[Game]:
    """The scenario, compiled, and a server."""
    shutil.copy(HERE / "scenario.ts", folder)
    ran(["node", "node_modules/typescript/bin/tsc", "--strict", *MODULES, "scenario.ts"], folder)
    with contextlib.ExitStack() as stack:
        yield Game(folder, Server(stack, declare_app(folder / "server"), services))


def test_the_package_holds_what_games_load_and_nothing_else(folder: Path) -> None:
    package = folder / "node_modules" / "gameserver-client"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    sources = {path.relative_to(KIT).as_posix() for path in (KIT / "src").rglob("*.*s")}
    assert files == sources | {"package.json", "README.md"}
    assert "dependencies" not in json.loads((package / "package.json").read_text())


def test_a_game_is_played(game: Game) -> None:
    assert game.run("play") == {
        "before": "SessionEndedError 403/40304",
        "open": "GameServerError 202/40208",
        "login": "true",
        "kept": True,
        "entity": [1, 1, True, {"name": 'Zoë "the" 🙂\n', "list": [1, 2.5, None, True]}],
        "score": [42, True],
        "together": [True, 40358, True],
        "event": "hello",
        "logout": 0,
        "after": "SessionEndedError 403/40304",
        "again": True,
        "replaced": "SessionEndedError 403/40356",
        "killed": "KillSwitchError 900/90200",
        "revived": True,
        "closed": "NoAnswerError 900/90001",
        "full disk": "true",
    }


def test_messages_arrive_by_themselves_also_after_a_break(game: Game) -> None:
    assert game.run("listen") == {
        "too early": "SessionEndedError 403/40304",
        "opened": True,
        "heard": "chat INCOMING true",
        "connected again": True,
        "heard again": "chat INCOMING true",
        "replaced": "SessionEndedError 403/40356",
        "sockets": 3,
    }


def test_a_packet_that_is_lost_is_sent_again_and_runs_once(game: Game) -> None:
    troubles = {
        "UPDATE": ["503", "silent", "lost", "garbled", "429"],
        "READ": ["", "404"],
        "AUTHENTICATE": ["", *["502"] * 1000],
    }
    with losing(game.server.url, troubles) as lossy:
        told = game.run("lose", lossy.address)
    assert re.fullmatch(r"packet 0 was not answered: (HTTP 502|no answer in time)", told.pop("given up"))
    assert told == {"wins": 1, "refused": "NoAnswerError 900/90001"}
    updates = [body for body in lossy.bodies if b'"UPDATE"' in body]
    assert len(updates) >= 6  # more where the machine is slow, for the first try waits but a second
    assert len(set(updates)) == 1


def test_a_session_is_kept_alive(game: Game) -> None:
    assert game.run("beat") == {"asked": ["authenticationV2 AUTHENTICATE", *["heartbeat READ"] * 2]}


def test_the_digest_is_that_of_everybody_else(folder: Path) -> None:
    texts = [bytes(i % 256 for i in range(length)) for length in (*range(130), 1000, 70_000)]
    program = (
        'import { md5 } from "./node_modules/gameserver-client/src/md5.js";\n'
        f"for (const hex of {json.dumps([text.hex() for text in texts])}) "
        'console.log(md5(Uint8Array.from(Buffer.from(hex, "hex"))));\n'
    )
    (folder / "digests.js").write_text(program)
    told = ran(["node", "digests.js"], folder)
    assert told.split() == [hashlib.md5(text).hexdigest() for text in texts]


def test_the_program_of_the_page_runs(game: Game) -> None:
    [text] = re.findall(r"^```js\n(.*?)^```", (KIT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    text = text.replace("http://127.0.0.1:8080", game.server.url).replace(
        '"10001"', f'"{game.server.app_id}"'
    )
    text = text.replace('"the secret"', f'"{game.server.secret}"').replace('"main"', '"best"')
    (game.folder / "page.js").write_text(text)
    assert re.fullmatch(r"[0-9a-f-]{36} has 42\n", ran(["node", "page.js"], game.folder))
