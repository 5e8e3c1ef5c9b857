"""The official JavaScript client from npm, unmodified, against a server in a process of its own.

Each service has a file of scenarios in js/scenarios. They check what the client is told; the tests here run
them, and see to it that no method is left out.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameserver.app import registry
from gameserver.apps import write_sample, write_section
from gameserver.storage.schema import migrate
from tests import servers
from tests.clients.game import MOVED_ID, Server, declare_app, declare_moved

FOLDER = Path(__file__).parent / "js"
OPERATIONS = Path(__file__).parents[2] / "protocol" / "operations.json"
SCENARIOS = sorted(path.stem for path in (FOLDER / "scenarios").glob("*.js"))

SECTIONS = (
    "globalGameStatistics",
    "leaderboard",
    "playerStatistics",
    "playerStatisticsEvent",
    "tournament",
    "virtualCurrency",
)
"""What a newcomer adds with `gameserver app add`, to have all of it to try."""
BROKEN = {
    "abtests.loadABTestData": "wants jQuery",
    "abtests.getABTest": "wants what loadABTestData did not load",
    "file.uploadFile": "wants a browser's file",
    "identity.attachAdvancedIdentity": "the client names a variable that it does not have",
    "identity.mergeAdvancedIdentity": "the client names a variable that it does not have",
    "identity.detachFacebookLimitedIdentity": "the client names a variable that it does not have",
    "identity.attachGameCenterIdentity": "the client names a variable that it does not have",
    "identity.mergeGameCenterIdentity": "the client names a variable that it does not have",
    "relay.getOwnerProfileId": "wants to be connected",
}
"""Methods that raise before anything is sent."""


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The packages, installed once."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is needed")
        pytest.skip("Node.js with npm is not installed")
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    if not all((FOLDER / "node_modules" / name).exists() for name in wanted):
        subprocess.run(["npm", "install", "--silent"], cwd=FOLDER, check=True)
    return FOLDER / "node_modules"


def node(argument: str, **environment: str) -> Any:
    """Run run.js; returns what its last line says."""
    done = subprocess.run(
        ["node", "run.js", argument],
        cwd=FOLDER,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Runs:
    """Runs files of scenarios, each once: who asks again is told the same."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, services: dict[str, str]) -> None:
        self._stack, self._folder, self._services = stack, folder, services
        self._told: dict[str, Any] = {}

    def __call__(self, scenarios: str) -> Any:
        """Run `js/scenarios/<scenarios>.js` against the server it needs; returns what happened."""
        if scenarios not in self._told:
            open_server = {"newcomer": self._empty, "tournament_prizes": self._still}.get(scenarios)
            server = self._usual if open_server is None else open_server()
            self._told[scenarios] = node(
                f"scenarios/{scenarios}.js",
                SERVER_URL=server.url,
                APP_ID=server.app_id,
                APP_SECRET=server.secret,
                MOVED_APP_ID=MOVED_ID,
                GAMESERVER_CALL=json.dumps(server.command),
            )
        return self._told[scenarios]

    @functools.cached_property
    def _usual(self) -> Server:
        folder, port = declare_app(self._folder / "usual"), servers.free_port()
        declare_moved(folder, port)
        return Server(self._stack, folder, self._services, port=port)

    def _empty(self) -> Server:
        """A first start, and then every section that the sample app may have, uncommented."""
        folder, offered = self._folder / "empty", registry()
        app = write_sample(folder / "apps", offered.sections())
        for name in SECTIONS:
            path = write_section(app.path, name, offered.samples()[name])
            path.write_text(re.sub(r"(?m)^#(?=[\[{\]}a-z])", "", path.read_text("utf-8")), "utf-8")
        return Server(self._stack, folder, {})

    def _still(self) -> Server:
        """A server whose clock stands still. All processes of a database have one time, so it has its own."""
        services = {}
        if self._services:
            services = {
                "database": self._stack.enter_context(servers.postgresql()),
                "redis": self._stack.enter_context(servers.redis()),
            }
            migrate(services["database"])
        return Server(
            self._stack, declare_app(self._folder / "still"), services, "tests.clients.still_server"
        )


@pytest.fixture(scope="module")
def run(
    node_modules: Path, tmp_path_factory: pytest.TempPathFactory, migrated: dict[str, str]
) -> Iterator[Runs]:
    """Run scenarios on the backends of the test run."""
    with contextlib.ExitStack() as stack:
        yield Runs(stack, tmp_path_factory.mktemp("braincloud"), migrated)


@pytest.mark.parametrize("scenarios", SCENARIOS)
def test_the_client_is_told_what_it_expects(run: Runs, scenarios: str) -> None:
    told = run(scenarios)
    assert told["names"]
    assert not told["failed"], "\n\n".join(f"{name}: {stack}" for name, stack in told["failed"].items())


def test_every_method_of_the_client_that_the_server_understands_is_called(run: Runs) -> None:
    methods = node("--methods", SERVER_URL="http://game.test", APP_ID="1", APP_SECRET="none")
    assert {name for name, sent in methods.items() if str(sent).startswith("raises ")} == set(BROKEN)
    offered = {method["name"] for method in json.loads(OPERATIONS.read_text())["methods"]}
    understood = {name for name, sent in methods.items() if sent in offered}
    assert len(understood) > 150
    looked = {name for scenarios in SCENARIOS for name in run(scenarios)["looked"]}
    assert sorted(understood - looked) == []
