"""`gameserver script`: what authors of scripts do without a server that runs."""

import json
import re
from pathlib import Path

import pytest

from gameserver.scripts.proxies import FUNCTIONS, proxies
from tests.cli.running import ROOT, command

SEND = """
function main() {
  bridge.logInfo("sends", {n: 1});
  bridge.logDebug("tries", {n: 2});
  return {me: typeof bridge.getProfileId(), data: data, read: readState(bridge.getPlayerStateServiceProxy())};
}
function readState(proxy) { return proxy.readUserState().status; }
main();
//*** ------------- brainCloud meta-data begins now - do not hand-edit -----------------
// "scriptName":"Send",
// "clientCallable":true,
// "s2sCallable":true,
// "scriptTimeout":20,
// "parms":"{\\\\"tried\\\\": true}"
"""
TEST = """
var sent = bridge.callScript("Send", {to: data.players[0]});
if (!sent.data.success) throw new Error(JSON.stringify(sent));
var first = bridge.getSessionForProfile(data.players[0]);
var stored = bridge.getGlobalEntityServiceProxy(first).getList({}, {}, 5);
data.players.length === 3 && stored.data.entityListCount === 0
    && bridge.getPlayerStateServiceProxy(first).readUserState().status;
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert command(tmp_path, "app", "new", "chess").returncode == 0
    write(tmp_path, "gifts/Send.ccjs", SEND)
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "apps" / "chess" / "scripts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_scripts_are_listed_with_their_callers(folder: Path) -> None:
    done = command(folder, "script", "list", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == [
        {
            "path": "gifts/Send",
            "callers": "clients, servers",
            "seconds": 20.0,
            "file": "scripts/gifts/Send.ccjs",
            "problem": "",
        }
    ]


def test_a_script_that_cannot_run_is_named_by_list_and_check(folder: Path) -> None:
    write(folder, "Broken.js", "1;\nvar x = ;")
    done = command(folder, "script", "list")
    assert done.returncode == 3
    assert "scripts/Broken.js:2: SyntaxError" in done.stdout
    checked = command(folder, "check")
    assert checked.returncode == 3
    assert checked.stdout.startswith("apps/chess/scripts/Broken.js:2: SyntaxError: unexpected token")
    assert "1 app good, 1 mistake" in checked.stderr


def test_a_script_runs_for_a_new_player(folder: Path) -> None:
    done = command(folder, "script", "run", "gifts/Send", "--data", '{"a": 1}')
    assert (done.returncode, json.loads(done.stdout)) == (0, {"me": "string", "data": {"a": 1}, "read": 200})
    assert 'info  sends  {"n":1}' in done.stderr
    assert 'debug  tries  {"n":2}' in done.stderr
    assert not (folder / "data").exists(), "nothing is left"


def test_a_script_runs_for_a_server_with_the_data_of_its_file(folder: Path) -> None:
    done = command(folder, "script", "run", "/gifts/Send.ccjs", "--as-server", "--json")
    answer = json.loads(done.stdout)
    assert (answer["success"], answer["response"]["me"], answer["response"]["data"]) == (
        True,
        "object",
        {"tried": True},
    )


def test_a_script_that_throws_ends_the_command_with_1(folder: Path) -> None:
    write(folder, "Throws.js", "\nthrow new Error('no gifts')")
    done = command(folder, "script", "run", "Throws")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("failed: scripts/Throws.js:2:11: Error: no gifts\n")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["run", "Sent"], 1, "there is no script Sent"),
        (["run", "gifts/Send", "--data", "{"], 2, "not JSON"),
        (["run", "gifts/Send", "--data", "5"], 1, "expected an object"),
        (["run", "gifts/Send", "--app", "ches"], 1, 'there is no app "ches" in apps; did you mean "chess"?'),
        (["test"], 1, "no tests in apps/chess/scripts"),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, words: list[str], code: int, complaint: str) -> None:
    done = command(folder, "script", *words)
    assert (done.returncode, complaint in done.stderr) == (code, True), done


def test_scripts_that_test_others(folder: Path) -> None:
    write(folder, "gifts/Send.test.js", TEST)
    write(folder, "Fails.test.js", "\nthrow new Error('as expected')")
    write(folder, "False.test.ccjs", "1 === 2")
    write(folder, "Broken.test.js", "var x = ;")
    done = command(folder, "script", "test")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "failed  scripts/Broken.test.js:1: SyntaxError: unexpected token in expression: ';'",
        "failed  scripts/Fails.test.js:2:11: Error: as expected",
        "failed  False.test: its result is false",
        "passed  gifts/Send.test",
    ]
    assert done.stderr == "1 passed, 3 failed\n"
    only = command(folder, "script", "test", "gifts/", "--json")
    assert (only.returncode, json.loads(only.stdout)) == (
        0,
        [{"path": "gifts/Send.test", "passed": True, "problem": ""}],
    )
    listed = command(folder, "script", "list", "--json")
    assert [row["path"] for row in json.loads(listed.stdout)] == ["gifts/Send"], "a server leaves tests out"


def test_declarations_for_editors(folder: Path) -> None:
    done = command(folder, "script", "types")
    path = folder / "apps" / "chess" / "scripts" / "bridge.d.ts"
    assert done.stdout == "written: apps/chess/scripts/bridge.d.ts\n"
    text = path.read_text()
    assert command(folder, "script", "types", "--out", "-").stdout == text
    for name in FUNCTIONS:
        assert f"\n  {name}(" in text
    for getter, (_, methods) in proxies().getters.items():
        assert f"\n  {getter}(" in text
        for method in methods:
            assert f"\n  {method}(" in text
    assert text.count("{") == text.count("}")
    assert "getGlobalEntityServiceProxy(session?: ScriptSession): GlobalEntityService;" in text
    assert "createEntity(entityType?: string | null, " in text
    assert "incrementUserStats(" in text


def test_the_scripts_of_the_documentation(folder: Path) -> None:
    text = (ROOT / "docs" / "cloud-code.md").read_text()
    script, test = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    write(folder, "gifts/Send.ccjs", script)
    write(folder, "gifts/Send.test.js", test)
    (folder / "apps" / "chess" / "virtualCurrency.toml").write_text("[virtualCurrency.currencies.gems]\n")
    done = command(folder, "script", "test")
    assert (done.returncode, done.stdout) == (0, "passed  gifts/Send.test\n"), done
