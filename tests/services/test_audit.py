"""The audit, as operators read it: events of logins, refusals and ends of sessions."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.app import open_server
from gameserver.frame import running
from gameserver.players import audit
from gameserver.players.passwords import Passwords
from gameserver.settings import Settings
from gameserver.storage import Database, Unavailable, batches
from gameserver.wire.clock import FixedClock
from tests.cli.running import command, json_of
from tests.conftest import APP_ID, APP_TOML, Game

AUTH = "authenticationV2"
PLAYER = "playerState"
DAY = 86_400


async def events(game: Game, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
    """The newest events of the app, of a player unless another filter is named."""
    listed: list[dict[str, Any]] = await actions.audit_list(game.server_app, APP_ID, limit, **filters)
    return listed


async def of_player(game: Game, profile_id: str, *columns: str) -> list[tuple[Any, ...]]:
    found = await events(game, equal={"profile_id": profile_id})
    return [tuple(event[column] for column in columns) for event in reversed(found)]


# What is noted


async def test_a_login_and_its_logout(game: Game) -> None:
    player = await game.player(type_="Universal", token="secret")
    digest = game.core.sessions.digest(player.session_id)
    game.clock.advance(1)
    await player.call(PLAYER, "LOGOUT")
    await player.send(player.last_body)  # a repeat ends nothing
    out, come = await events(game, equal={"profile_id": player.profile_id})
    now = game.clock.ms()
    assert come == {
        "id": come["id"],
        "app_id": APP_ID,
        "kind": "login",
        "profile_id": player.profile_id,
        "session": digest,
        "face": "dispatcher",
        "address": "127.0.0.1",
        "reason": "Universal",
        "at_ms": now - 1000,
        "times": 1,
    }
    assert (out["kind"], out["reason"], out["session"], out["at_ms"]) == ("logout", "logged_out", digest, now)
    assert out["id"] > come["id"]


async def test_why_a_login_was_refused(game: Game) -> None:
    player = await game.player(type_="Universal", external_id=game.unique("u"), token="secret")
    name = json.loads(player.last_body)["messages"][0]["data"]["externalId"]
    client = game.client()
    login = {"authenticationType": "Universal", "externalId": name, "forceCreate": False}
    for token in ("wrong", "wrong", "secret"):
        data = {**login, "authenticationToken": token}
        if token == "wrong":
            await client.refused(AUTH, "AUTHENTICATE", **data)
    await actions.player_disable(game.server_app, APP_ID, player.profile_id)
    refusal = await client.refused(AUTH, "AUTHENTICATE", **{**login, "authenticationToken": "secret"})
    assert refusal.reason_code == 40790
    assert await of_player(game, player.profile_id, "kind", "reason", "times") == [
        ("login", "Universal", 1),
        ("refusal", "40307", 2),
        ("revocation", "disabled", 1),
        ("refusal", "40790", 1),
    ]


async def test_a_refusal_counts_once_when_the_packet_runs_again(game: Game) -> None:
    name = game.unique("u")
    player = await game.player(type_="Anonymous", external_id=name)
    await actions.player_disable(game.server_app, APP_ID, player.profile_id)
    login = {"authenticationType": "Anonymous", "externalId": name, "profileId": player.profile_id}
    entries = await game.client().packet(
        (AUTH, "AUTHENTICATE", login), (AUTH, "GET_SERVER_VERSION", {}), (PLAYER, "READ", {})
    )
    assert [entry.get("reason_code") for entry in entries] == [40790, None, 40304]
    assert (await of_player(game, player.profile_id, "kind", "times"))[-1] == ("refusal", 1)


async def test_sessions_that_yield_to_a_login(game: Game) -> None:
    name = game.unique("u")
    first = await game.player(external_id=name)
    await game.client().log_in(external_id=name, profileId=first.profile_id)
    assert await of_player(game, first.profile_id, "kind", "reason") == [
        ("login", "Anonymous"),
        ("login", "Anonymous"),
        ("logout", "replaced"),
    ]


async def test_a_login_beyond_the_limit(game: Game, apps_folder: Path) -> None:
    limit = '[session]\nwhen_full = "refuse_newest"\n'
    async with other_server(game, apps_folder, APP_TOML + limit) as strict:
        name = strict.unique("u")
        player = await strict.player(external_id=name)
        again = {"authenticationType": "Anonymous", "externalId": name, "profileId": player.profile_id}
        refusal = await strict.client().refused(AUTH, "AUTHENTICATE", **again)
        assert refusal.reason_code == 49102
        assert (await of_player(strict, player.profile_id, "kind", "reason"))[-1] == ("refusal", "49102")


async def test_ends_by_operators_and_deletions(game: Game) -> None:
    by_id, by_player, deleted = [await game.player() for _ in range(3)]
    digest = game.core.sessions.digest(by_id.session_id)
    await actions.session_end(game.server_app, APP_ID, session=digest or "")
    await actions.session_end(game.server_app, APP_ID, profile=by_player.profile_id)
    await deleted.call(PLAYER, "FULL_PLAYER_RESET")
    columns = ("kind", "reason", "face", "address", "session")
    address, ended = (
        "127.0.0.1",
        [(await of_player(game, p.profile_id, *columns)) for p in (by_id, by_player)],
    )
    assert [events[-1] for events in ended] == [
        ("revocation", "revoked", "cli", "", digest),
        ("revocation", "revoked", "cli", "", game.core.sessions.digest(by_player.session_id)),
    ]
    assert (await of_player(game, deleted.profile_id, *columns))[-2:] == [
        ("logout", "deleted", "dispatcher", address, game.core.sessions.digest(deleted.session_id)),
        ("player", "deleted", "dispatcher", address, ""),
    ]


async def test_servers_that_call(game: Game, apps_folder: Path) -> None:
    key = '[servers.room]\nsecret = "a-secret-of-a-server-0123456789"\n'
    async with other_server(game, apps_folder, APP_TOML + key) as keyed:
        keyed.clock.advance(20 * DAY)  # other tests of the run share the database
        begin = keyed.clock.ms()
        for secret in ("wrong", "a-secret-of-a-server-0123456789"):
            login = {"appId": APP_ID, "serverName": "room", "serverSecret": secret}
            call = {**login, "service": AUTH, "operation": "AUTHENTICATE"}
            await keyed.http.post("/s2sdispatcher", content=json.dumps(call))
        found = await events(keyed, 2, since_ms=begin, equal={"face": "s2s"})
        assert sorted((event["kind"], event["reason"]) for event in found) == [
            ("login", "room"),
            ("refusal", "40307"),
        ]


async def test_logouts_are_counted(game: Game) -> None:
    text = (await game.http.get("/metrics")).text
    before = logouts(text)
    await (await game.player()).call(PLAYER, "LOGOUT")
    assert logouts((await game.http.get("/metrics")).text) == before + 1


def logouts(text: str) -> float:
    name = 'gameserver_logouts_total{face="dispatcher",reason="logged_out"} '
    return next((float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0.0)


# Asking


async def test_events_come_in_pages_and_by_filter(game: Game) -> None:
    game.clock.advance(10 * DAY)  # other tests of the run share the database
    begin = game.clock.ms()
    span = {"since_ms": begin, "until_ms": begin + 100_000}
    players = [await game.player() for _ in range(3)]
    game.clock.advance(60)
    await players[0].call(PLAYER, "LOGOUT")
    every = await events(game, **span)
    assert [event["kind"] for event in every] == ["logout", "login", "login", "login"]
    first = await events(game, 3, **span)
    rest = await events(game, 3, **span, after=first[-1]["id"])
    assert first + rest == every
    assert await events(game, **{**span, "since_ms": begin + 60_000}) == every[:1]
    assert await events(game, **{**span, "until_ms": begin + 60_000}) == every[1:]
    assert await events(game, **span, equal={"kind": "logout"}) == every[:1]
    assert await events(game, **span, equal={"face": "sap"}) == []
    of_clients = {"address": "127.0.0.1", "reason": "Anonymous"}
    assert await events(game, **span, equal=of_clients) == every[1:]
    assert len(await events(game, equal={"session": every[0]["session"]})) == 2


@pytest.mark.parametrize(
    ("app", "limit", "equal"), [("nope", 1, {}), (APP_ID, 0, {}), (APP_ID, 501, {}), (APP_ID, 1, {"id": "x"})]
)
async def test_questions_without_sense_are_refused(
    game: Game, app: str, limit: int, equal: dict[str, str]
) -> None:
    with pytest.raises(Refused):
        await actions.audit_list(game.server_app, app, limit, equal=equal)


def test_the_command_lists_events(tmp_path: Path) -> None:
    apps = tmp_path / "apps" / "test"
    apps.mkdir(parents=True)
    (apps / "app.toml").write_text(APP_TOML)

    async def play() -> str:
        async with embedded(tmp_path) as game:
            player = await game.player(type_="Universal", external_id="ada", token="secret")
            await game.client().refused(
                AUTH,
                "AUTHENTICATE",
                authenticationType="Universal",
                externalId="ada",
                authenticationToken="x",
            )
            await player.call(PLAYER, "LOGOUT")
            return player.profile_id

    profile = asyncio.run(play())  # the server is closed by now: what it had not written yet, it has
    listed = json_of(command(tmp_path, "audit", "list", APP_ID, "--json"))
    assert [event["kind"] for event in listed] == ["logout", "refusal", "login"]
    assert {event["profileId"] for event in listed} == {profile}
    shown = command(tmp_path, "audit", "list", APP_ID, "--event", "refusal", "--reason", "40307").stdout
    assert [line.split()[2:6] for line in shown.splitlines()[1:]] == [
        ["refusal", "40307", profile, "dispatcher"]
    ]
    page = command(tmp_path, "audit", "list", APP_ID, "--limit", "1")
    assert f"--after {listed[0]['id']}" in page.stderr
    rest = json_of(command(tmp_path, "audit", "list", APP_ID, "--after", listed[0]["id"], "--json"))
    assert rest == listed[1:]
    day = ("--since", "2023-11-14", "--until", "2023-11-15T00:00")  # where the tests' clock stands
    assert json_of(command(tmp_path, "audit", "list", APP_ID, *day, "--json")) == listed
    none = command(tmp_path, "audit", "list", APP_ID, "--until", "2023-11-14T00:00:00")
    assert (none.stdout, none.stderr) == ("", "no events\n")
    assert command(tmp_path, "audit", "list", APP_ID, "--event", "party").returncode == 2
    assert command(tmp_path, "audit", "list", "nope").returncode == 1


# Keeping


async def test_events_are_forgotten_in_time(game: Game) -> None:
    player = await game.player()
    await game.core.audit.flush()
    game.clock.advance(30 * DAY)
    await game.run_jobs("audit.forget")
    assert await of_player(game, player.profile_id, "kind") == [("login",)]
    game.clock.advance(0.001)
    await game.run_jobs("audit.forget")
    assert await of_player(game, player.profile_id, "kind") == []


async def test_an_app_may_want_nothing_recorded(game: Game, apps_folder: Path) -> None:
    async with other_server(game, apps_folder, APP_TOML + "[audit]\nkeep_days = 0\n") as quiet:
        player = await quiet.player()
        await player.call(PLAYER, "LOGOUT")
        assert await of_player(quiet, player.profile_id, "kind") == []


async def test_events_are_written_without_being_asked_for(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FLUSH_SECONDS", 0)
    begun = asyncio.Event()
    game.core.database.observe = lambda kind, _: begun.set() if kind == "run_many" else None
    player = await game.player()
    await asyncio.wait_for(begun.wait(), 10)
    game.core.database.observe = None
    await game.core.audit.flush()  # returns when that write has ended
    async with game.core.database.read() as tx:
        assert len(await audit.find(tx, APP_ID, 10, profile_id=player.profile_id)) == 1


async def test_events_wait_while_sql_is_away_and_no_more_than_fit(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await game.core.audit.flush()
    monkeypatch.setattr(batches, "WAITING_MAX", 3)
    real = game.core.database.write

    @asynccontextmanager
    async def write(*payer: Any) -> AsyncIterator[Any]:
        raise Unavailable("away for the test")
        yield

    names, face = [game.unique("p") for _ in range(5)], game.unique("face")[:32]
    lost = audit.LOST._value.get()
    with monkeypatch.context() as away:
        away.setattr(game.core.database, "write", write)
        for name in names:
            game.core.audit.note(game.app, "login", "x", face=face, address="", profile_id=name)
        with pytest.raises(Unavailable):
            await game.core.audit.flush()
    assert game.core.database.write == real
    assert audit.LOST._value.get() - lost == 2
    kept = await events(game, equal={"face": face})
    assert [event["profile_id"] for event in reversed(kept)] == [name[:36] for name in names[:3]]


async def test_what_is_noted_while_a_batch_is_written_waits_for_the_next(game: Game) -> None:
    """Or the busiest servers would write each event by itself, as soon as the one before is written."""
    writes = 0

    @asynccontextmanager
    async def write() -> AsyncIterator[Any]:
        nonlocal writes
        writes += 1
        async with game.core.database.write() as tx:
            yield tx
        if writes < 10:
            note()

    def note() -> None:
        own.note(game.app, "login", "x", face=face, address="")

    face = game.unique("face")[:32]
    own = audit.Audit(cast("Database", SimpleNamespace(write=write)), game.clock)
    note()
    await own.flush()
    assert writes == 1
    assert len(await events(game, equal={"face": face})) == 1
    await own.close()  # which leaves nothing behind
    assert writes == 10
    assert len(await events(game, equal={"face": face})) == 10


async def test_events_are_written_a_moment_later_also_when_they_came_during_a_write(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FLUSH_SECONDS", 0)
    written, again = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def write() -> AsyncIterator[Any]:
        if not written.is_set():
            own.note(game.app, "login", "x", face=face, address="")
        async with game.core.database.write() as tx:
            yield tx
        (again if written.is_set() else written).set()

    face = game.unique("face")[:32]
    own = audit.Audit(cast("Database", SimpleNamespace(write=write)), game.clock)
    own.note(game.app, "login", "x", face=face, address="")
    async with running(own.keep_writing()):
        await asyncio.wait_for(again.wait(), 10)
    assert len(await events(game, equal={"face": face})) == 2


async def test_a_login_costs_no_sql_for_the_audit(game: Game) -> None:
    name = game.unique("u")
    player = await game.player(external_id=name)
    await game.core.audit.flush()
    seen: list[str] = []
    game.core.database.observe = lambda kind, _: seen.append(kind)
    await game.client().log_in(external_id=name, profileId=player.profile_id)
    assert "run_many" not in seen
    await game.core.audit.flush()
    assert "run_many" in seen


# Servers beside the one of the fixture


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Game]:
    clock = FixedClock()
    settings = Settings(apps=folder / "apps", data=folder / "data")
    async with open_server(
        settings, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
    ) as server:
        game = Game(server, clock)
        yield game
        await game.http.aclose()


@asynccontextmanager
async def other_server(game: Game, apps_folder: Path, definition: str) -> AsyncIterator[Game]:
    """A server over the same services and with another definition of the app."""
    (apps_folder / "test" / "app.toml").write_text(definition)
    async with open_server(
        game.server_app.settings,
        clock=game.clock,
        passwords=Passwords(memory_kib=8, passes=1),
        with_jobs=False,
    ) as server:
        other = Game(server, game.clock)
        yield other
        await other.http.aclose()
