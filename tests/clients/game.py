"""A server in a process of its own for the tests of clients, with the apps of this folder or with others."""

import contextlib
import json
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import warm
from tests.processes import serve

APP_TOML = Path(__file__).parent / "app.toml"
SCRIPTS = Path(__file__).parent / "scripts"
GAME = "game"
MOVED_ID = "20009"
FAMILY = Path(__file__).parent / "family"
"""A child, its parent, and a peer of it."""


class Server:
    """A running server, and what its clients have to know of it."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        folder: Path,
        services: Mapping[str, str],
        module: str = "gameserver",
        port: int = 0,
    ) -> None:
        folder.mkdir(exist_ok=True)
        options = [part for name, url in services.items() for part in (f"--{name}", url)]
        self.url = stack.enter_context(serve(folder, *options, "--port", str(port), module=module)).url
        file = folder / "apps" / GAME / "app.toml"
        if not file.exists():
            [file] = (folder / "apps").glob("*/app.toml")
        app = tomllib.loads(file.read_text())
        self.app_id, self.secret = app["id"], app["secret"]
        places = ["--apps", str(folder / "apps"), "--data", str(folder / "data"), *options]
        self._call = [module, "call", *places]
        self.command = warm.command(*self._call)

    def call(self, operation: str, data: Any, profile_id: str = "") -> Any:
        """Run an operation as an operator does, with a server's authority."""
        words = [*self._call, self.app_id, operation, json.dumps(data)]
        if profile_id:
            words += ["--profile", profile_id]
        done = warm.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def family() -> dict[str, Any]:
    """The apps of the family by their names."""
    return {file.stem: tomllib.loads(file.read_text()) for file in FAMILY.glob("*.toml")}


def declare_moved(folder: Path, port: int) -> None:
    """Put an app that has moved to the first one, on a port of this machine, into a server's folder."""
    game = tomllib.loads(APP_TOML.read_text())
    (folder / "apps" / "moved").mkdir()
    (folder / "apps" / "moved" / "app.toml").write_text(
        f'id = "{MOVED_ID}"\nsecret = "{game["secret"]}"\ntitle = "Moved"\n'
        f'[redirect]\nurl = "http://127.0.0.1:{port}/dispatcherv2"\napp_id = "{game["id"]}"\n'
    )


def declare_app(folder: Path) -> Path:
    """Put the app, and a family of others, into a server's folder; returns the folder."""
    for name, file in {GAME: APP_TOML, **{each.stem: each for each in FAMILY.glob("*.toml")}}.items():
        (folder / "apps" / name).mkdir(parents=True)
        shutil.copy(file, folder / "apps" / name / "app.toml")
        shutil.copytree(SCRIPTS, folder / "apps" / name / "scripts")
    return folder
