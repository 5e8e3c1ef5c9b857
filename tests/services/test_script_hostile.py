"""Scripts that mean no good, or do not know better: each is one failed run, and the next one is as usual."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.scripts import bridge
from tests.conftest import APP_TOML, Game, Refusal
from tests.services.test_script import write_script
from tests.services.test_script_bridge import do

APP = APP_TOML + "[scripts]\ncalls = 50\nmemory_bytes = 16777216\n"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP)
    write_script(apps_folder / "test", "do", "eval(data.code);", scriptTimeout=1)
    write_script(apps_folder / "test", "slow", "bridge.sleep(200); bridge.callScript('other', {}).data;")
    write_script(apps_folder / "test", "other", "'old';")
    return apps_folder


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("throw null;", 40911),
        ("throw undefined;", 40911),
        ("throw {toString: function () { throw 1; }};", 40911),
        ("(function f() { f(); })();", 40911),
        ("var a = []; while (true) a.push(new Array(100000).join('x') + a.length);", None),
        ("for (;;) {}", 40910),
        ("/(a+)+$/.test('a'.repeat(40) + 'b');", 40910),
        ("bridge.sleep(5000);", 40910),
        ("new Promise(function () {});", 40910),
        ("var o = {}; o.o = o; o;", None),
        ("'x'.repeat(10000000);", None),
        ("var o = 1; for (var i = 0; i < 100; i++) o = [o]; o;", 40912),
        ("'\\u0000';", 40912),
        ("'\\ud800';", 40912),
        ("10n;", None),
        ("for (var i = 0; i < 60; i++) bridge.getAppId();", 40912),
        ("bridge.callAPI('entity', 'CREATE', {}, 'x'.repeat(2000000)); 1;", None),
        ("java.lang.System.exit(1);", 40911),
        ("nosuchthing;", 40911),
    ],
)
async def test_a_run_that_fails_is_one_failed_run(game: Game, code: str, reason: int | None) -> None:
    player = await game.player()
    answer = await player.call("script", "RUN", scriptName="do", scriptData={"code": code})
    assert (answer["success"], answer["response"]) == (False, None)
    assert answer["reasonCode"] == reason or reason is None
    assert answer["errorMessage"]
    assert str(Path.cwd()) not in answer["errorMessage"]
    assert "Traceback" not in answer["errorMessage"]
    assert await do(player, "1 + 1;") == 2


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("Object.prototype.sessionId = 'x'; Array.prototype.toJSON = null; bridge.getAppId();", "10001"),
        ("JSON.stringify = JSON.parse = null; bridge.callAPI('time', 'READ', {}).status;", 200),
        ("Object.prototype.status = 7; bridge.callAPI('time', 'READ', {}).status;", 200),
        ("Array.prototype.map = Function.prototype.call = null; bridge.getAppId();", "10001"),
        ("bridge = null; data = null; 5;", 5),
        ("({n: NaN, i: Infinity, u: undefined, f: function () {}});", {"n": None, "i": None}),
        ("'ä\\u2028\\\\ \\ud83d\\ude00';", "ä\u2028\\ 😀"),
        ("12345678901234567890;", 12345678901234567000),
        ("bridge.callAPI('entity', 'CREATE', '{broken').status !== 200;", True),
        ("bridge.callAPI('time', 'READ', [1, 2]).status !== 200;", True),
        ("bridge.callAPI('x'.repeat(100), 'READ', {}).reasonCode;", 40001),
        ("bridge.callScript('../../../../etc/passwd', {}).reasonCode;", 40363),
        ("try { bridge.callScript(7, {}); } catch (e) { 'caught'; }", "caught"),
        ("try { bridge.getEntityServiceProxy(7).getSingleton('x'); } catch (e) { 'caught'; }", "caught"),
        ("try { bridge.callAPI(); } catch (e) { 'caught'; }", "caught"),
    ],
)
async def test_a_run_that_does_not_fail(game: Game, code: str, result: Any) -> None:
    player = await game.player()
    assert await do(player, code) == result


async def test_nothing_survives_from_run_to_run(game: Game) -> None:
    player = await game.player()
    await do(player, "leaked = 1; Object.prototype.leaked = 2; Math.random = null; 1;")
    assert await do(player, "[typeof leaked, ({}).leaked, typeof Math.random];") == [
        "undefined",
        None,
        "function",
    ]


class Asleep:
    """Takes the place of `bridge.sleep`: scripts sleep until they are woken."""

    def __init__(self) -> None:
        self.began, self.woken = asyncio.Event(), asyncio.Event()

    async def __call__(self, *_: object) -> bytes:
        self.began.set()
        await self.woken.wait()
        return b"null"


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Asleep:
    made = Asleep()
    monkeypatch.setitem(bridge._FUNCTIONS, "bridge.sleep", made)
    return made


async def test_a_script_that_runs_goes_on_as_it_began(game: Game, apps_folder: Path, asleep: Asleep) -> None:
    """Hot reload in the middle: it calls the new version of another one, or finds it gone."""
    player = await game.player()
    running = asyncio.create_task(player.call("script", "RUN", scriptName="slow", scriptData={}))
    await asleep.began.wait()
    write_script(apps_folder / "test", "other", "'new';")
    (apps_folder / "test" / "scripts" / "slow.ccjs").unlink()
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()), ["test"])
    asleep.woken.set()
    answer = await running
    assert answer["success"]
    assert answer["response"]["response"] in ("old", "new")
    assert (await player.refused("script", "RUN", scriptName="slow", scriptData={})).reason_code == 40363


async def test_more_runs_than_a_player_may_have(game: Game, asleep: Asleep) -> None:
    """Of four at once; the fifth is refused, and the others end well."""
    player = await game.player()
    data = {"code": "bridge.sleep(300);"}
    runs = [
        asyncio.create_task(
            game.server.call("script", "RUN", player.profile_id, scriptName="do", scriptData=data)
        )
        for _ in range(6)
    ]
    for ended in itertools.islice(asyncio.as_completed(runs), 2):
        with pytest.raises(Refusal):
            await ended
    asleep.woken.set()
    answers = await asyncio.gather(*runs, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(refused) == 2
    assert {refusal.reason_code for refusal in refused} == {40823}  # type: ignore[attr-defined]  # they are refusals
