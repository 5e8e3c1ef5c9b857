"""What an operation writes is there, whatever face it came by and whatever was written just before.

Every shape that a write can have, twice and three times in a row and after every other one, through every
face that runs operations, beside a plain model of what must be there.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gameserver import services as offered
from gameserver.players import profiles
from gameserver.players.profiles import players
from gameserver.rpc import Access, Caller, Context, Last, Origin, PacketFailed, Service, Tx
from gameserver.sessions import One, Session
from gameserver.storage import CommitUnknown, Transaction
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message
from gameserver.wire.shapes import Reply, Request
from tests.conftest import APP_ID, Client, Game
from tests.faces.web_app import app_toml, browser

# A service of nothing but shapes. Its operations are open: not all faces have a player.

trial = Service("trial")
effects: list[str] = []
ran: list[str] = []
SET = profiles.SET["name"].returning(players.c.profile_id, players.c.session_epoch)


class Spoiled(GameError):
    """A refusal after a write."""

    status = 400
    reason_code = 49001


class Absent(GameError):
    """There is no such player."""

    status = 404
    reason_code = 49002


class Write(Request):
    player: str
    value: str
    session: str = ""


class Written(Reply):
    value: str
    epoch: int


def shape(handler: Any) -> Any:
    return trial.operation(handler.__name__.upper(), tx=Tx.WRITE, access=Access.OPEN)(handler)


async def happen(value: str) -> None:
    effects.append(value)


def last(ctx: Context, request: Write) -> Last[Written]:
    async def missing() -> GameError:
        return Absent("no such player")

    params = {"profile": request.player, "app": ctx.app.id, "value": request.value}
    return ctx.last(
        SET,
        params,
        reply=lambda row: Written(value=request.value, epoch=row["session_epoch"]),
        missing=missing,
        known={},
    )


async def put(ctx: Context, request: Write, column: str) -> None:
    params = {"profile": request.player, "app": ctx.app.id, "value": request.value}
    assert await ctx.tx.run(profiles.SET[column], **params) == 1


@shape
async def one(ctx: Context, request: Write) -> Last[Written]:
    """Change a row with the last statement."""
    return last(ctx, request)


@shape
async def plain(ctx: Context, request: Write) -> None:
    """Change a row with a statement like others."""
    ran.append(request.value)
    await put(ctx, request, "name")


@shape
async def several(ctx: Context, request: Write) -> Last[Written]:
    """Write, then change a row with the last statement."""
    await put(ctx, request, "picture_url")
    return last(ctx, request)


@shape
async def event(ctx: Context, request: Write) -> Last[Written]:
    """Add an event, then change a row."""
    ctx.add_event({"said": request.value})
    return last(ctx, request)


@shape
async def effect(ctx: Context, request: Write) -> Last[Written]:
    """Queue an effect, then change a row."""
    ctx.after_commit(partial(happen, request.value))
    return last(ctx, request)


@shape
async def all_late(ctx: Context, request: Write) -> Last[Written]:
    """Change a row with the last statement, and want everything else after it."""
    changed = last(ctx, request)
    ctx.add_event({"said": request.value})
    ctx.after_commit(partial(happen, request.value))
    ctx.end_sessions(One(session_id=request.session), "revoked")
    return changed


@shape
async def event_late(ctx: Context, request: Write) -> Last[Written]:
    """Change a row with the last statement, and add an event after it."""
    changed = last(ctx, request)
    ctx.add_event({"said": request.value})
    return changed


@shape
async def effect_late(ctx: Context, request: Write) -> Last[Written]:
    """Change a row with the last statement, and queue an effect after it."""
    changed = last(ctx, request)
    ctx.after_commit(partial(happen, request.value))
    return changed


@shape
async def end(ctx: Context, request: Write) -> Last[Written]:
    """End the session of somebody else, then change a row."""
    ctx.end_sessions(One(session_id=request.session), "revoked")
    return last(ctx, request)


@shape
async def leave(ctx: Context, request: Write) -> Last[Written]:
    """End the session that the packet came by, if any, and change a row."""
    if ctx.session is not None:
        ctx.end_sessions(One(digest=ctx.session.digest), "logged_out")
    return last(ctx, request)


@shape
async def spoil(ctx: Context, request: Write) -> None:
    """Do all of it, and refuse."""
    ctx.after_commit(partial(happen, request.value))
    ctx.add_event({"said": request.value})
    ctx.end_sessions(One(session_id=request.session), "revoked")
    await put(ctx, request, "name")
    raise Spoiled("it was all for nothing")


@shape
async def miss(ctx: Context, request: Write) -> Last[Written]:
    """Find no row to change with the last statement."""
    return last(ctx, msgspec.structs.replace(request, player="nobody"))


SHAPES = tuple(trial.operations)


@trial.operation("SNEAK_IN", tx=Tx.WRITE, access=Access.OPEN)
async def sneak_in(ctx: Context, request: Write) -> None:
    """Log in without being declared a login."""
    await put(ctx, request, "name")
    await ctx.log_in(request.player, {}, 0)


REFUSED = {"SPOIL": Spoiled.reason_code, "MISS": Absent.reason_code}

# The faces: each answers with the entry of a call, and its events where it shows any

Told = tuple[dict[str, Any], list[Any] | None]
SERVER = {"appId": APP_ID, "serverName": "room", "serverSecret": "a-room-secret-0123456789"}


class Face:
    """One way to call operations, on behalf of a player where it has any."""

    has_session = True
    records = False  # whether a repeat gets the first answer

    def __init__(self, game: Game, player: Client) -> None:
        self.game = game
        self.player = player

    session_id = ""

    async def enter(self) -> None:
        """Begin a session, if the face knows such a thing."""

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        raise NotImplementedError


class Dispatcher(Face):
    records = True

    async def enter(self) -> None:
        self.session_id = (await self.player.log_in())["sessionId"]

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        return await self.send(("trial", name, data))

    async def send(self, *messages: tuple[str, str, Any]) -> Told:
        answer = (await self.player.send(self.player.body(*messages))).json()
        return answer["responses"][-1], answer.get("events", [])


class Bundle(Dispatcher):
    """The call comes after one that reads and one that is refused."""

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        return await self.send(("time", "READ", {}), ("trial", "SPOIL", data), ("trial", name, data))


class Web(Face):
    async def enter(self) -> None:
        self.session_id = (await self.player.log_in())["sessionId"]
        self.page = browser(self.game, Authorization=f"Bearer {self.player.session_id}")

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        return (await self.page.post(f"/v1/{name.lower()}", json={"session": "", **data})).json(), None


class WebVisitor(Web):
    has_session = False

    async def enter(self) -> None:
        self.page = browser(self.game)


class ServerCall(Face):
    has_session = False

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        body = {**SERVER, "service": "trial", "operation": name, "data": data}
        return (await self.game.http.post("/s2sdispatcher", json=body)).json(), None


class ServerSession(Face):
    records = True

    async def enter(self) -> None:
        message = {"service": "authenticationV2", "operation": "AUTHENTICATE", "data": SERVER}
        answer = await self._post({"packetId": 0, "messages": [message]})
        self.session_id = answer["messageResponses"][0]["data"]["sessionId"]
        self.packet_ids = itertools.count(1)

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        message = {"service": "trial", "operation": name, "data": data}
        packet = {"packetId": next(self.packet_ids), "sessionId": self.session_id, "messages": [message]}
        answer = await self._post(packet)
        return answer["messageResponses"][0], answer.get("events", [])

    async def _post(self, packet: Any) -> Any:
        return (await self.game.http.post("/s2sdispatcher", json=packet)).json()


class Operator(Face):
    has_session = False

    async def call(self, name: str, data: dict[str, Any]) -> Told:
        message = Message("trial", name, msgspec.Raw(msgspec.json.encode(data)))
        entry = await self.game.server_app.runner.call(
            message, self.game.app, Origin("cli", ""), caller=Caller.SERVER
        )
        return msgspec.json.decode(entry), None


FACES = (Dispatcher, Bundle, Web, WebVisitor, ServerCall, ServerSession, Operator)


@pytest.fixture
def apps_folder(apps_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app with a server, and with an endpoint for each shape."""
    monkeypatch.setattr(offered, "ALL", (*offered.ALL, trial))
    more = [f'\n[servers.room]\nsecret = "{SERVER["serverSecret"]}"\n']
    for name in SHAPES:
        data = ", ".join(f'{field} = "{{body.{field}}}"' for field in ("player", "value", "session"))
        more.append(
            f'[web.endpoints.{name}]\npath = "/v1/{name.lower()}"\n[web.actions.{name}]\ntrigger = "{name}"\n'
            f'events = [{{ do = "call", operation = "trial.{name}", data = {{ {data} }} }}]\n'
        )
    (apps_folder / "test" / "app.toml").write_text(app_toml("\n".join(more)))
    return apps_folder


class Model:
    """What must be there."""

    def __init__(self) -> None:
        self.name = ""
        self.picture_url: str | None = None
        self.effects: list[str] = []

    def run(self, name: str, value: str) -> tuple[int, list[Any]]:
        """Do what a shape does; returns the reason of its refusal, or 0, and its events."""
        if name in REFUSED:
            return REFUSED[name], []
        self.name = value
        if name == "SEVERAL":
            self.picture_url = value
        if name in ("EFFECT", "EFFECT_LATE", "ALL_LATE"):
            self.effects.append(value)
        return 0, [{"said": value}] if name in ("EVENT", "EVENT_LATE", "ALL_LATE") else []


async def is_alive(game: Game, session_id: str) -> bool:
    return isinstance(await game.core.sessions.peek(session_id), Session)


def walk() -> Iterator[str]:
    """Every shape after every shape, itself included, and three times in a row."""
    for number, name in enumerate(SHAPES):
        yield from (name, name)
        for other in SHAPES[number + 1 :]:
            yield from (name, other)
    yield SHAPES[0]


@pytest.mark.parametrize("kind", FACES)
async def test_writes_in_a_row(game: Game, kind: type[Face]) -> None:
    face, model = kind(game, game.client()), Model()
    target = await game.player()
    state = partial(game.server.call, "playerState", "READ", target.profile_id)
    effects.clear()
    victim, before = "", ""
    await face.enter()
    for name in walk():
        if not victim:
            victim = (await game.player()).session_id
        where, value = f"{name} after {before}", game.unique("value")
        data = {"player": target.profile_id, "value": value, "session": victim}
        entry, events = await face.call(name, data)
        reason, expected = model.run(name, value)
        assert entry.get("reason_code", 0) == reason, (where, entry)
        if not reason and name != "PLAIN":
            assert entry["data"] == {"value": value, "epoch": 0}, where
        assert events in (expected, None), where
        there = await state()
        assert (there["playerName"], there["pictureUrl"]) == (model.name, model.picture_url), where
        assert effects == model.effects, where
        assert await is_alive(game, victim) == (name not in ("END", "ALL_LATE")), where
        if name in ("END", "ALL_LATE"):
            victim = ""
        if name == "LEAVE" and face.has_session:
            assert not await is_alive(game, face.session_id), where
            await face.enter()
        before = name


@pytest.mark.parametrize("kind", FACES)
async def test_a_commit_whose_outcome_is_unknown_happens_once(
    game: Game, monkeypatch: pytest.MonkeyPatch, kind: type[Face]
) -> None:
    face, target = kind(game, game.client()), await game.player()
    await face.enter()
    ran.clear()
    write = game.core.database.write

    @asynccontextmanager
    async def write_and_never_know(*payer: Any) -> AsyncIterator[Transaction]:
        async with write(*payer) as tx:
            yield tx
        monkeypatch.undo()
        raise CommitUnknown("the connection broke")

    monkeypatch.setattr(game.core.database, "write", write_and_never_know)
    data = {"player": target.profile_id, "value": "once", "session": ""}
    try:
        entry, _ = await face.call("PLAIN", data)
    except PacketFailed:
        entry = {"status": 503}
    assert ran == ["once"]
    assert (entry.get("status") == 200) == kind.records, entry
    state = await game.server.call("playerState", "READ", target.profile_id)
    assert state["playerName"] == "once"


async def test_only_an_operation_that_says_so_logs_in(game: Game) -> None:
    target, client = await game.player(), game.client()
    data = {"player": target.profile_id, "value": "in", "session": ""}
    refusal = await client.refused("trial", "SNEAK_IN", **data)
    assert refusal.reason_code == 50000
    state = await target.call("playerState", "READ")
    assert state["playerName"] == ""
    assert len(await game.core.sessions.list(APP_ID, target.profile_id)) == 1


def test_the_walk_has_every_shape_after_every_shape() -> None:
    names = list(walk())
    pairs = set(itertools.pairwise(names))
    assert pairs == set(itertools.product(SHAPES, repeat=2))
    assert {(name,) * 3 for name in SHAPES} <= set(zip(names, names[1:], names[2:], strict=False))
