"""script: running cloud code, now and later."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from gameserver.domain.segments.storage import refreshes
from gameserver.services.script import jobs as script_jobs
from gameserver.services.script import targets
from tests.conftest import APP_TOML, Game

BLOCK = "//*** ------------- brainCloud meta-data begins now - do not hand-edit -----------------\n"


def write_script(folder: Path, path: str, source: str, **facts: Any) -> None:
    """A script as a team exports it: callable by everybody, unless told otherwise."""
    facts = {"clientCallable": True, "s2sCallable": True, "peerCallable": True, **facts}
    file = folder / "scripts" / f"{path}.ccjs"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f'// "{name}":{json.dumps(value)}' for name, value in facts.items())
    file.write_text(f"{source}\n{BLOCK}{lines}\n")


SCRIPTS = {
    "sum": "data.a + data.b;",
    "echo": "data;",
    "throws": "throw new Error('no such luck');",
    "halfway": """
        bridge.getEntityServiceProxy().createEntity("thing", {n: 1}, null);
        throw new Error("stuck");
    """,
    "rename": """
        function main() {
            var proxy = bridge.getPlayerStateServiceProxy();
            proxy.updateUserName(data.name);
            var read = proxy.readUserState().data.playerName;
            return {name: bridge.getName(), id: bridge.getProfileId(), read: read};
        }
        main();
    """,
    "refused": "bridge.getEntityServiceProxy().deleteEntity('nowhere', -1);",
    "tools/outer": "bridge.callScript('inner', {from: bridge.getScriptName()});",
    "tools/inner": "({here: bridge.getScriptName(), told: data.from});",
    "tools/failing": "[bridge.callScript('/throws', {}), bridge.callScript('nowhere', {})];",
    "endless": "while (true) {}",
    "again": """
        bridge.getScriptServiceProxy().scheduleRunScriptMinutes("again", {n: data.n + 1}, 1);
        bridge.logInfo("again");
        data;
    """,
    "count": """
        var made = bridge.getGlobalEntityServiceProxy().createSystemEntity("turn", 0, null, {n: data.n || 0});
        ({
            status: made.status,
            server: bridge.isServerBridge(),
            client: bridge.isClientBridge(),
            me: bridge.getProfileId(),
        });
    """,
    "visit": """
        if (data.unlucky === bridge.getProfileId()) throw new Error("unlucky");
        bridge.getEntityServiceProxy().createEntity("visited", {}, null).status;
    """,
    "log": "bridge.logError('it went wrong', 'a'); bridge.logInfoJson('fine', {b: 1});",
}
APP = (
    APP_TOML
    + """
[script]
scheduled_per_player = 2
[segment.segments.one]
id = 1
criteria = { attributes.one = [] }
[segment.segments.two]
id = 2
criteria = { attributes.two = [] }
"""
)


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP)
    for path, source in SCRIPTS.items():
        write_script(apps_folder / "test", path, source)
    write_script(apps_folder / "test", "endless", SCRIPTS["endless"], scriptTimeout=0.3)
    write_script(apps_folder / "test", "secret", "1;", clientCallable=False, s2sCallable=False)
    write_script(apps_folder / "test", "broken", "var = 1;")
    write_script(apps_folder / "test", "empty", "")
    return apps_folder


async def run(player: Any, name: str, /, **data: Any) -> Any:
    """Run a script that succeeds; returns its result."""
    answer = await player.call("script", "RUN", scriptName=name, scriptData=data)
    assert answer["success"], answer
    return answer["response"]


async def test_the_last_expression_is_the_result(game: Game) -> None:
    player = await game.player()
    assert await run(player, "sum", a=1, b=2) == 3
    assert await run(player, "/sum", a="x", b="y") == "xy"
    nothings: list[Any] = [None, "", {}]
    for nothing in nothings:
        assert (await player.call("script", "RUN", scriptName="echo", scriptData=nothing))["response"] == {}


async def test_a_script_acts_for_its_caller(game: Game) -> None:
    player = await game.player()
    assert await run(player, "rename", name="Ada") == {"name": "Ada", "id": player.profile_id, "read": "Ada"}


async def test_a_refused_call_is_an_answer(game: Game) -> None:
    player = await game.player()
    refused = await run(player, "refused")
    assert (refused["status"], refused["reasonCode"], refused["data"]) == (404, 40332, None)
    assert refused["reason_code"] == refused["reasonCode"]
    assert refused["status_message"] == refused["statusMessage"]


async def test_what_a_script_did_before_it_threw_stays(game: Game) -> None:
    player = await game.player()
    answer = await player.call("script", "RUN", scriptName="halfway", scriptData={})
    assert (answer["success"], answer["response"], answer["reasonCode"]) == (False, None, 40911)
    assert "halfway" in answer["errorMessage"]
    assert "stuck" in answer["errorMessage"]
    assert len((await player.call("entity", "READ_BY_TYPE", entityType="thing"))["entities"]) == 1


async def test_a_script_that_does_not_end_is_ended(game: Game) -> None:
    player = await game.player()
    answer = await player.call("script", "RUN", scriptName="endless", scriptData={})
    assert (answer["success"], answer["reasonCode"]) == (False, 40910)
    assert await run(player, "sum", a=1, b=1) == 2


async def test_scripts_call_scripts(game: Game) -> None:
    player = await game.player()
    inner = await run(player, "tools/outer")
    assert inner["data"] == {"response": {"here": "tools/inner", "told": "tools/outer"}, "success": True}
    failed, missing = await run(player, "tools/failing")
    assert (failed["status"], failed["data"]["success"]) == (200, False)
    assert (missing["status"], missing["reasonCode"]) == (400, 40363)


async def test_scripts_that_do_not_run(game: Game) -> None:
    player = await game.player()
    for name, status, code in (
        ("nowhere", 400, 40363),
        ("empty", 400, 40404),
        ("secret", 403, 40364),
        ("broken", 400, 40647),
    ):
        refusal = await player.refused("script", "RUN", scriptName=name, scriptData={})
        assert (refusal.status, refusal.reason_code) == (status, code), name
    refusal = await game.server.refused("script", "RUN", scriptName="secret", scriptData={})
    assert refusal.reason_code == 40364
    assert (await player.refused("script", "RUN", scriptName="sum", scriptData=7)).reason_code == 40359
    assert (await game.client().refused("script", "RUN", scriptName="sum")).reason_code == 40304


async def test_a_server_runs_a_script_for_nobody(game: Game) -> None:
    answer = await game.server.call("script", "RUN", scriptName="count", scriptData={})
    assert answer["response"] == {"status": 200, "server": True, "client": False, "me": None}
    refused = await game.server.call("script", "RUN", scriptName="refused", scriptData={})
    assert (refused["response"]["status"], refused["response"]["reasonCode"]) == (400, 40789)


async def test_the_log_of_the_app_tells_of_it(game: Game) -> None:
    player = await game.player()
    assert (await run(player, "log"))["status"] == 200
    assert not (await player.call("script", "RUN", scriptName="throws", scriptData={}))["success"]


async def test_a_packet_of_scripts_takes_no_longer_than_its_app_lets_it(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first message is done, and answers from the journal when the packet comes again."""
    player = await game.player()
    create = ("script", "RUN", {"scriptName": "halfway", "scriptData": {}})
    body = player.body(create, create)
    monkeypatch.setattr(game.app, "stepwise_seconds", 0.0)
    assert (await player.send(body)).status_code == 503
    monkeypatch.undo()
    assert (await player.send(body)).status_code == 200
    assert await things(player) == 2


async def things(player: Any) -> int:
    return len((await player.call("entity", "READ_BY_TYPE", entityType="thing"))["entities"])


# Later


async def turn(game: Game, seconds: float = 0) -> None:
    """Let time go on, and what is due then run."""
    game.clock.advance(seconds)
    await game.run_jobs("script.schedules")
    jobs = game.server_app.jobs
    for _ in range(100):  # tests that share a database have left work to do
        await jobs.tick()
        if not jobs._tasks:
            break
        await jobs.settled()


async def turns(game: Game) -> int:
    found = await game.server.call(
        "globalEntity", "GET_SYSTEM_ENTITY_LIST_COUNT", where={"entityType": "turn"}
    )
    return int(found["entityListCount"])


async def test_a_script_runs_at_its_time(game: Game) -> None:
    player = await game.player()
    job = await player.call(
        "script", "SCHEDULE_CLOUD_SCRIPT", scriptName="count", scriptData={"n": 1}, minutesFromNow=1
    )
    assert (job["runState"], job["jobType"], job["scriptName"]) == ("Scheduled", "CloudCode", "count")
    assert job["parameters"] == {"n": 1}
    until = job["scheduledStartTime"]
    assert until == game.clock.ms() + 60_000
    listed = await player.call("script", "GET_SCHEDULED_CLOUD_SCRIPTS", startDateInUTC=until)
    assert [each["jobId"] for each in listed["scheduledJobs"]] == [job["jobId"]]
    assert (await player.call("script", "GET_SCHEDULED_CLOUD_SCRIPTS", startDateUTC=until - 1))[
        "scheduledJobs"
    ] == []
    before = await turns(game)
    await turn(game)
    assert await turns(game) == before
    await turn(game, 61)
    assert await turns(game) == before + 1
    await turn(game, 61)
    assert await turns(game) == before + 1
    refusal = await player.refused("script", "CANCEL_SCHEDULED_SCRIPT", jobId=job["jobId"])
    assert refusal.reason_code == 40466
    assert (await player.call("script", "GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS"))["runningOrQueuedJobs"] == []


async def test_times_of_schedules(game: Game) -> None:
    player = await game.player()
    now = game.clock.ms()
    for when, start in (
        ({"startDateUTC": now + 5000}, now + 5000),
        ({"startDateInUTC": str(now + 5000)}, now + 5000),
        ({"startDateUTC": 1000}, now),
    ):
        job = await game.server.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="sum", **when)
        assert job["scheduledStartTime"] == start
    for wrong, code in (
        ({"startDateUTC": 2**52}, 40359),
        ({"startDateUTC": "soon"}, 40359),
        ({"minutesFromNow": -1}, 40359),
        ({}, 40358),
    ):
        refusal = await player.refused("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="sum", **wrong)
        assert refusal.reason_code == code, wrong
    assert (await player.refused("script", "GET_SCHEDULED_CLOUD_SCRIPTS")).reason_code == 40358


async def test_a_schedule_is_cancelled(game: Game) -> None:
    player, other = await game.player(), await game.player()
    job = await player.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="count", minutesFromNow=1)
    assert (await other.refused("script", "CANCEL_SCHEDULED_SCRIPT", jobId=job["jobId"])).reason_code == 40465
    cancelled = await player.call("script", "CANCEL_SCHEDULED_SCRIPT", jobId=job["jobId"])
    assert cancelled["runState"] == "Cancelled"
    assert (
        await player.refused("script", "CANCEL_SCHEDULED_SCRIPT", jobId=job["jobId"])
    ).reason_code == 40466
    before = await turns(game)
    await turn(game, 61)
    assert await turns(game) == before
    again = await game.server.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="count", minutesFromNow=1)
    name = "SYS_CANCEL_SCHEDULED_SCRIPT_IF_EXISTS"
    assert (await game.server.call("script", name, jobId=again["jobId"])) == {"cancelled": 1}
    assert (await game.server.call("script", name, jobId=again["jobId"])) == {"cancelled": 0}
    assert (await game.server.call("script", name, jobId="nowhere")) == {"cancelled": 0}
    assert (await player.refused("script", name, jobId="nowhere")).reason_code == 40346


async def test_what_may_not_be_scheduled(game: Game) -> None:
    player = await game.player()
    for name, code in (("nowhere", 40363), ("secret", 40364), ("empty", 40404)):
        refusal = await player.refused("script", "SCHEDULE_CLOUD_SCRIPT", scriptName=name, minutesFromNow=1)
        assert refusal.reason_code == code
    for _ in range(2):
        await player.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="sum", minutesFromNow=1)
    refusal = await player.refused("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="sum", minutesFromNow=1)
    assert refusal.reason_code == 40371


async def test_a_script_schedules_itself_and_is_cut_off(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next turn is on the list once, however often this one runs."""
    job = await game.server.call(
        "script", "SCHEDULE_CLOUD_SCRIPT", scriptName="again", scriptData={"n": 0}, minutesFromNow=1
    )
    end, calls = script_jobs._end, []

    async def cut_off(*arguments: Any) -> None:
        if arguments[2] == job["jobId"]:
            calls.append(1)
            if len(calls) == 1:
                raise RuntimeError("cut off")
        await end(*arguments)

    monkeypatch.setattr(script_jobs, "_end", cut_off)
    await turn(game, 61)
    await turn(game, 30)
    assert len(calls) == 2
    listed = await game.server.call(
        "script", "GET_SCHEDULED_CLOUD_SCRIPTS", startDateUTC=game.clock.ms() + 10**9
    )
    mine = [each for each in listed["scheduledJobs"] if each["scriptName"] == "again"]
    assert [each["parameters"] for each in mine] == [{"n": 1}]
    assert job["jobId"] != mine[0]["jobId"]
    await game.server.call("script", "CANCEL_SCHEDULED_SCRIPT", jobId=mine[0]["jobId"])


async def visited(player: Any) -> int:
    return len((await player.call("entity", "READ_BY_TYPE", entityType="visited"))["entities"])


async def test_a_batch_runs_for_each_player(game: Game) -> None:
    players = [await game.player() for _ in range(3)]
    before = await turns(game)
    job = await game.server.call(
        "script",
        "RUN_BATCH_USER_SCRIPT",
        scriptName="visit",
        scriptData={"unlucky": players[1].profile_id},
        profileIds=[player.profile_id for player in players] + ["nobody"],
        completionScript="count",
    )
    running = await game.server.call("script", "GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS")
    assert job["jobId"] in [each["jobId"] for each in running["runningOrQueuedJobs"]]
    await turn(game)
    assert [await visited(player) for player in players] == [1, 0, 1]
    assert await turns(game) == before + 1
    refusal = await game.server.refused("script", "CANCEL_USER_SCRIPT_BATCH", jobId=job["jobId"])
    assert refusal.reason_code == 40720


async def test_a_batch_runs_for_players_of_segments(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one turn, and those who are named beside them; while segments are worked out anew it waits."""
    monkeypatch.setattr(targets, "AT_ONCE", 1)
    players = [await game.player() for _ in range(4)]
    for player, tags in zip(players, (["one"], ["one", "two"], ["three"], []), strict=True):
        attributes = dict.fromkeys(tags, "x")
        await player.call("playerState", "UPDATE_ATTRIBUTES", attributes=attributes)
        await game.server.call("segment", "REFRESH_MY_SEGMENTS", player.profile_id)
    async with game.core.database.write() as tx:
        await tx.run(delete(refreshes).where(refreshes.c.app_id == game.app_id))
    before = await turns(game)
    await game.server.call(
        "script",
        "RUN_BATCH_USER_SCRIPT",
        scriptName="visit",
        segmentIdList=[2, 1, 2],
        profileIds=[players[3].profile_id, players[0].profile_id, "nobody"],
        completionScript="count",
    )
    await turn(game)
    assert await turns(game) == before
    await game.run_jobs("segment.watch")
    await turn(game)
    await turn(game, 6)
    assert [await visited(player) for player in players] == [1, 1, 0, 1]
    assert await turns(game) == before + 1


async def test_a_batch_goes_on_behind_many_who_are_gone(game: Game) -> None:
    player = await game.player()
    gone = [f"-{number}" for number in range(targets.AT_ONCE)]  # whose turn comes first
    await game.server.call(
        "script", "RUN_BATCH_USER_SCRIPT", scriptName="visit", profileIds=[*gone, player.profile_id]
    )
    await turn(game)
    assert await visited(player) == 1


async def test_a_batch_that_takes_long_goes_on_in_turns(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job has time for one player here; the next one goes on with the next."""
    monkeypatch.setattr(script_jobs, "BATCH_SECONDS", 0)
    players = [await game.player() for _ in range(3)]
    before = await turns(game)
    ids = [player.profile_id for player in players]
    await game.server.call(
        "script", "RUN_BATCH_USER_SCRIPT", scriptName="visit", profileIds=ids, completionScript="count"
    )
    await turn(game)
    assert [await visited(player) for player in players] == [1, 1, 1]
    assert await turns(game) == before + 1


async def test_batches_are_scheduled_and_cancelled(game: Game) -> None:
    player = await game.player()
    job = await game.server.call(
        "script",
        "SCHEDULE_BATCH_USER_SCRIPT",
        scriptName="visit",
        minutesFromNow=1,
        profileIds=[player.profile_id],
    )
    cancelled = await game.server.call("script", "CANCEL_USER_SCRIPT_BATCH", jobId=job["jobId"])
    assert cancelled["runState"] == "Cancelled"
    again = await game.server.call(
        "script",
        "SCHEDULE_BATCH_USER_SCRIPT",
        scriptName="visit",
        minutesFromNow=1,
        profileIds=[player.profile_id],
    )
    name = "SYS_CANCEL_USER_SCRIPT_BATCH_IF_EXISTS"
    assert await game.server.call("script", name, jobId=again["jobId"]) == {"cancelled": 1}
    assert await game.server.call("script", name, jobId=again["jobId"]) == {"cancelled": 0}
    await turn(game, 61)
    assert await visited(player) == 0
    plain = await game.server.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="sum", minutesFromNow=1)
    for job_id, code in ((plain["jobId"], 40719), ("nowhere", 40465)):
        refusal = await game.server.refused("script", "CANCEL_USER_SCRIPT_BATCH", jobId=job_id)
        assert refusal.reason_code == code
    for operation in ("RUN_BATCH_USER_SCRIPT", "SCHEDULE_BATCH_USER_SCRIPT"):
        for wrong in ([], [1, 3]):
            to: dict[str, Any] = {"scriptName": "visit", "minutesFromNow": 1, "segmentIdList": wrong}
            assert (await game.server.refused("script", operation, **to)).reason_code == 40793
        refusal = await game.server.refused("script", operation, scriptName="no", minutesFromNow=1)
        assert refusal.reason_code == 40363
    assert (await player.refused("script", "RUN_BATCH_USER_SCRIPT", scriptName="visit")).reason_code == 40346
