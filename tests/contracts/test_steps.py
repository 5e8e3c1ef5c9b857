"""The journal of runs: what is cut off anywhere and repeated happens once, and answers the same."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import func, select

import gameserver.services
from gameserver.rpc import Caller, Context, Origin, Service, Tx
from gameserver.rpc.steps import Steps, run_messages, run_steps, steps_of
from gameserver.sessions import Session
from gameserver.storage import Aborted
from gameserver.wire.packet import Message, check_message
from gameserver.wire.shapes import Reply, Request
from tests.conftest import Client, Game

service = Service("stepwise")


class Calls(Request):
    calls: list[list[Any]]


class Answers(Reply):
    answers: list[Any]


class Fate:
    """When a run is cut off, and what it meets."""

    def __init__(self) -> None:
        self.calls_left: int | None = None
        self.ran = 0
        self.turn: asyncio.Event | None = None

    async def meet(self) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                self.calls_left = None
                raise Aborted("cut off")
            self.calls_left -= 1
        await asyncio.sleep(0)


FATE = Fate()


@service.operation("RUN", tx=Tx.NONE, stepwise=True)
async def run(ctx: Context, request: Calls) -> Answers:
    """Make calls, one after the other, and tell their answers."""
    steps, answers = steps_of(ctx), []
    FATE.ran += 1
    for service_name, operation, data in request.calls:
        await FATE.meet()
        own = ctx.alone()
        own.caller = Caller.SCRIPT
        text = msgspec.json.encode(data)
        message = check_message(Message(service_name, operation, msgspec.Raw(text)), text)
        answers.append(msgspec.json.decode(await steps.message(own, message)))
    await FATE.meet()
    return Answers(answers=answers)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gameserver.services, "ALL", (*gameserver.services.ALL, service))
    FATE.__init__()  # type: ignore[misc]  # as new


def create(name: str) -> list[Any]:
    return ["entity", "CREATE", {"entityType": name, "data": {"name": name}, "acl": {"other": 0}}]


COUNT = ["entity", "READ_BY_TYPE", {"entityType": "a"}]
REFUSED = ["entity", "UPDATE", {"entityId": "nowhere", "data": {}, "entityType": "a", "version": -1}]
RUN = [
    create("a"),
    COUNT,
    REFUSED,
    create("a"),
    ["stepwise", "RUN", {"calls": [COUNT, create("a")]}],
    create("a"),
]


async def send(client: Client, body: bytes) -> httpx.Response:
    return await client.send(body)


async def entities(client: Client) -> int:
    return len((await client.call("entity", "READ_BY_TYPE", entityType="a"))["entities"])


async def rows(game: Game, *, due: bool = False) -> int:
    """How much is stored of runs: of all, or of those that are to be forgotten by now."""
    counted = select(func.count()).select_from(run_steps)
    if due:
        counted = counted.where(run_steps.c.expires_ms <= game.clock.ms())
    async with game.core.database.read() as tx:
        row = await tx.one(counted)
    assert row is not None
    return int(row[0])


async def test_a_run_makes_its_calls(game: Game) -> None:
    player = await game.player()
    [first, run_, last] = await player.packet(
        ("time", "READ", {}),
        ("stepwise", "RUN", {"calls": RUN}),
        ("entity", "READ_BY_TYPE", COUNT[2]),
    )
    assert first["status"] == 200
    made, counted, refused, _, nested, _ = run_["data"]["answers"]
    assert made["data"]["version"] == 1
    assert len(counted["data"]["entities"]) == 1
    assert (refused["status"], refused["reason_code"]) == (404, 40332)
    assert len(nested["data"]["answers"][0]["data"]["entities"]) == 2
    assert len(last["data"]["entities"]) == 4


@pytest.mark.parametrize("after", range(8))
async def test_a_run_that_is_cut_off_goes_on(game: Game, after: int) -> None:
    player = await game.player()
    body = player.body(create("a"), ("stepwise", "RUN", {"calls": RUN}), create("a"))  # type: ignore[arg-type]
    FATE.calls_left = after
    assert (await send(player, body)).status_code == 503
    answer = await send(player, body)
    assert answer.status_code == 200
    assert (await send(player, body)).content == answer.content
    first, run_, last = answer.json()["responses"]
    made, _, _, more, nested, again = run_["data"]["answers"]
    told = [first, made, more, nested["data"]["answers"][1], again, last]
    there = (await player.call("entity", "READ_BY_TYPE", entityType="a"))["entities"]
    assert {entry["data"]["entityId"] for entry in told} == {entity["entityId"] for entity in there}
    assert len(there) == 6


async def test_what_was_read_is_read_again(game: Game) -> None:
    player = await game.player()
    body = player.body(("stepwise", "RUN", {"calls": [COUNT, create("b"), COUNT]}))
    FATE.calls_left = 2
    assert (await send(player, body)).status_code == 503
    await game.server.call("entity", "CREATE", player.profile_id, **create("a")[2])
    [first, _, second] = (await send(player, body)).json()["responses"][0]["data"]["answers"]
    assert first["data"]["entities"] == []  # what was there when the run decided to write
    assert len(second["data"]["entities"]) == 1


async def test_a_run_that_only_reads_stores_nothing(game: Game) -> None:
    player = await game.player()
    before = await rows(game)
    await player.call("stepwise", "RUN", calls=[COUNT, COUNT])
    assert await rows(game) == before
    await player.call("stepwise", "RUN", calls=[COUNT, COUNT, create("a"), COUNT])
    assert await rows(game) == before + 1


async def run_beside(game: Game, player: Client, calls: list[Any]) -> list[bytes]:
    """One of several runs of a packet, which know nothing of each other; returns its entries."""
    session, runner = await game.core.sessions.peek(player.session_id), game.server_app.runner
    assert isinstance(session, Session)
    ctx = Context(game.core, game.app, Origin("test", ""))
    ctx.session, ctx.profile_id = session, player.profile_id
    text = msgspec.json.encode({"calls": calls})
    plan = runner.plan([Message("stepwise", "RUN", msgspec.Raw(text))])
    return (await run_messages(Steps(runner, ctx.effects, f"beside/{player.profile_id}"), ctx, plan)).entries


async def test_two_runs_at_once_do_everything_once(game: Game) -> None:
    player = await game.player()
    calls = [create("a"), COUNT, create("a"), create("a")]
    answers = await asyncio.gather(*[run_beside(game, player, calls) for _ in range(3)])
    assert answers[0] == answers[1] == answers[2]
    assert await entities(player) == 3


async def test_a_run_that_is_refused_for_what_another_did_begins_again(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows of none: the session store has forgotten that the first one runs."""
    monkeypatch.setattr(game.core.sessions, "may_forget", True)
    player = await game.player()
    made = await player.call("entity", "CREATE", entityType="a", data={}, acl={"other": 0})
    calls = [COUNT, ["entity", "DELETE", {"entityId": made["entityId"], "version": -1}], COUNT]
    first = await run_beside(game, player, calls)
    assert [each["status"] for each in msgspec.json.decode(first[0])["data"]["answers"]] == [200, 200, 200]
    assert await run_beside(game, player, calls) == first


async def test_a_script_that_has_changed_meanwhile_goes_on_with_a_failure(game: Game) -> None:
    """The calls that were made stay; the run that makes others is told so by an exception of its own."""
    player = await game.player()
    runner = game.server_app.runner

    async def once(calls: list[Any]) -> bytes:
        ctx = Context(game.core, game.app, Origin("test", ""), caller=Caller.SCRIPT)
        ctx.profile_id = player.profile_id
        steps = Steps(runner, ctx.effects, f"changed/{player.profile_id}")
        await steps.load()
        for name, operation, data in calls:
            text = msgspec.json.encode(data)
            await steps.message(ctx.alone(), Message(name, operation, msgspec.Raw(text)))
        return b""

    await once([create("a")])
    with pytest.raises(Exception, match="other calls"):
        await once([create("b")])
    await once([create("a"), create("a")])
    assert await entities(player) == 2


async def test_the_end_of_ones_own_session_waits_for_the_answer(game: Game) -> None:
    player = await game.player()
    body = player.body(("stepwise", "RUN", {"calls": [create("a")]}), ("playerState", "LOGOUT", {}))
    answer = await send(player, body)
    assert [entry["status"] for entry in answer.json()["responses"]] == [200, 200]
    assert (await player.refused("time", "READ")).reason_code == 40304
    again = await send(player, body)
    assert again.content == answer.content


async def test_a_run_may_end_its_own_session(game: Game) -> None:
    player = await game.player()
    body = player.body(("stepwise", "RUN", {"calls": [["playerState", "LOGOUT", {}], create("a")]}))
    answer = await send(player, body)
    assert [entry["status"] for entry in answer.json()["responses"][0]["data"]["answers"]] == [200, 200]
    assert (await player.refused("time", "READ")).reason_code == 40304
    assert (await send(player, body)).content == answer.content


async def test_what_is_stored_of_runs_is_forgotten(game: Game) -> None:
    player = await game.player()
    await player.call("stepwise", "RUN", calls=[create("a")])
    game.clock.advance(2 * 3600)
    assert await rows(game, due=True) > 0
    await game.run_jobs("runs.forget")
    assert await rows(game, due=True) == 0


async def test_a_login_in_the_same_packet_runs_first(game: Game) -> None:
    client = game.client()
    login = {
        "authenticationType": "Anonymous", "externalId": game.unique("id"), "authenticationToken": "",
        "forceCreate": True, "gameId": client.app_id,
    }  # fmt: skip
    [entry, run_] = await client.packet(
        ("authenticationV2", "AUTHENTICATE", login), ("stepwise", "RUN", {"calls": [create("a"), COUNT]})
    )
    client.session_id = entry["data"]["sessionId"]
    assert len(run_["data"]["answers"][1]["data"]["entities"]) == 1
    assert await entities(client) == 1
