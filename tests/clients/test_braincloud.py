"""The official JavaScript client from npm, unmodified, against a server in a process of its own."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_ID, APP_TOML, SECRET
from tests.processes import serve

FOLDER = Path(__file__).parent / "js"
Scenario = Callable[[str], Any]


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The packages, installed once."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is needed")
        pytest.skip("Node.js with npm is not installed")
    if not (FOLDER / "node_modules" / "braincloud").exists():
        subprocess.run(["npm", "install", "--silent"], cwd=FOLDER, check=True)
    return FOLDER / "node_modules"


@pytest.fixture(scope="module")
def run(
    node_modules: Path, tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object
) -> Iterator[Scenario]:
    """Run a scenario of scenarios.js in a process of Node."""
    folder = tmp_path_factory.mktemp("braincloud")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML)
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(folder, *options) as server:

        def run(scenario: str) -> Any:
            done = subprocess.run(
                ["node", "scenarios.js", scenario],
                cwd=FOLDER,
                env={
                    **os.environ,
                    "SERVER_URL": server.url,
                    "APP_ID": APP_ID,
                    "APP_SECRET": SECRET,
                    "UNIQUE": uuid.uuid4().hex,
                },
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        yield run


def test_anonymous_login_state_and_logout(run: Scenario) -> None:
    told = run("anonymous")
    assert told["login"]["status"] == 200
    assert told["login"]["data"]["newUser"] == "true"
    assert told["state"]["data"]["profileId"] == told["login"]["data"]["profileId"]
    assert told["logout"]["status"] == 200
    assert told["after"]["status"] == 403
    assert told["after"]["reason_code"] == 40304
    assert told["again"]["data"]["newUser"] == "false"
    assert told["again"]["data"]["profileId"] == told["login"]["data"]["profileId"]


def test_universal_login(run: Scenario) -> None:
    told = run("universal")
    assert (told["missing"]["status"], told["missing"]["reason_code"]) == (202, 40208)
    assert told["created"]["data"]["newUser"] == "true"
    assert told["named"]["data"]["playerName"] == "Ada 🚀 \\"
    assert (told["wrong"]["status"], told["wrong"]["reason_code"]) == (403, 40307)
    assert told["known"]["data"]["playerName"] == "Ada 🚀 \\"
    assert told["known"]["data"]["loginCount"] == 2


def test_email_login_and_reset(run: Scenario) -> None:
    told = run("email")
    assert told["created"]["data"]["newUser"] == "true"
    assert told["reset"]["status"] == 200
    assert (told["invalid"]["status"], told["invalid"]["reason_code"]) == (400, 40221)


def test_calls_of_one_tick_travel_with_the_login(run: Scenario) -> None:
    answers = run("bundle")["answers"]
    assert [answer["status"] for answer in answers] == [200] * 6
    assert answers[3]["data"]["attributes"] == {"colour": "blue"}
    assert answers[5]["data"]["playerName"] == "Bundle"


def test_heartbeat(run: Scenario) -> None:
    assert run("heartbeat")["beat"] == {"status": 200, "data": None}


def test_the_kill_switch_engages_as_announced(run: Scenario) -> None:
    told = run("kill_switch")
    assert told["success"]["status"] == 200
    assert told["statuses"][:14] == [400] * 14
    assert told["statuses"][14:] == [900] * 2


def test_a_second_login_ends_the_first(run: Scenario) -> None:
    replaced = run("other_login")["replaced"]
    assert (replaced["status"], replaced["reason_code"]) == (403, 40356)


def test_a_wrong_secret_is_told_as_such(run: Scenario) -> None:
    login = run("wrong_secret")["login"]
    assert (login["status"], login["reason_code"]) == (403, 40301)
