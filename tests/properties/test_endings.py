"""Once the end of a session was answered, nothing leads back to it, whatever ran at the same time."""

import ast
import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.admin import actions
from gameserver.app import open_server
from gameserver.players import identities, links
from gameserver.players.passwords import Passwords
from gameserver.players.tokens import Kind
from gameserver.sessions import AllOf
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.conftest import APP_ID, Client, Game, Refusal
from tests.faces.web_app import PASSWORD, account, app_toml, browser, player

SERVER = Path(__file__).parents[2] / "gameserver"
LIFE = 1200
COOKIE = "test_session"

# A login that was on its way while all sessions of its player were ended


async def disable(game: Game, profile_id: str, user: str, session_id: str) -> None:
    await actions.player_disable(game.server_app, APP_ID, profile_id)


async def reset_password(game: Game, profile_id: str, user: str, session_id: str) -> None:
    async with game.core.database.write() as tx:
        contact = await identities.find_contact(tx, APP_ID, "Universal", user)
        link = await links.issue(
            tx,
            Kind.PASSWORD_RESET,
            game.app,
            ("Universal", user),
            contact,
            now_ms=game.clock.ms(),
            minutes=1,
        )
    response = await game.http.post(links.RESET_PATH + link, data={"password": PASSWORD})
    assert response.status_code == 200, response.text


async def delete_player(game: Game, profile_id: str, user: str, session_id: str) -> None:
    await game.server.call("playerState", "FULL_PLAYER_RESET", profile_id)


async def log_out_everywhere(game: Game, profile_id: str, user: str, session_id: str) -> None:
    headers = {"Cookie": f"{COOKIE}={session_id}"}
    response = await game.http.post("/mobileservices/sessions/v2/logout", headers=headers)
    assert response.status_code == 204


ENDS = {end.__name__: end for end in (disable, reset_password, delete_player, log_out_everywhere)}


class Gate:
    """Holds a step of the session store until it is opened."""

    def __init__(self, game: Game, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        real = getattr(game.core.sessions, step)

        async def held(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(game.core.sessions, step, real)
            self.reached.set()
            await self.open.wait()
            return await real(*args, **kwargs)

        monkeypatch.setattr(game.core.sessions, step, held)


@pytest.fixture(params=["drop_oldest", "refuse_newest"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def apps_folder(apps_folder: Path, policy: str) -> Path:
    limit = f'\n[session]\nmost = 3\nwhen_full = "{policy}"\n'
    (apps_folder / "test" / "app.toml").write_text(app_toml(limit))
    return apps_folder


async def by_packet(game: Game, user: str) -> None:
    await game.client().log_in("Universal", user, PASSWORD, forceCreate=False)


async def by_endpoint(game: Game, user: str) -> None:
    response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
    if response.status_code != 200:
        raise Refusal(response.json())


@pytest.mark.parametrize("log_in", [by_packet, by_endpoint])
@pytest.mark.parametrize("end", ENDS)
async def test_a_login_overtaken_by_the_end_of_all_sessions_opens_none(
    game: Game,
    policy: str,
    end: str,
    log_in: Callable[[Game, str], Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = await account(game)
    old = game.client()
    await old.log_in("Universal", user, PASSWORD)
    gate = Gate(game, monkeypatch, "open" if policy == "drop_oldest" else "confirm")
    login = asyncio.create_task(log_in(game, user))
    await gate.reached.wait()
    await ENDS[end](game, old.profile_id, user, old.session_id)
    gate.open.set()
    with pytest.raises(Refusal) as refused:
        await login
    assert refused.value.reason_code in (40304, 40356)
    assert await game.core.sessions.list(APP_ID, old.profile_id) == []
    assert (await old.refused("playerState", "READ")).reason_code in (40304, 40356)
    if end in ("reset_password", "log_out_everywhere"):  # who comes later is welcome
        await log_in(game, user)
        assert len(await game.core.sessions.list(APP_ID, old.profile_id)) == 1


async def test_what_a_login_that_came_too_late_is_answered(
    game: Game, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, old = await account(game), game.client()
    await old.log_in("Universal", user, PASSWORD)
    gate = Gate(game, monkeypatch, "open" if policy == "drop_oldest" else "confirm")
    login = {"authenticationType": "Universal", "externalId": user, "authenticationToken": PASSWORD}
    packet = asyncio.create_task(
        game.client().packet(
            ("time", "READ", {}), ("authenticationV2", "AUTHENTICATE", login), ("time", "READ", {})
        )
    )
    await gate.reached.wait()
    await actions.player_disable(game.server_app, APP_ID, old.profile_id)
    gate.open.set()
    before, refused, after = await packet
    assert (before["reason_code"], after["status"]) == (40304, 200)
    assert (refused["status"], refused["reason_code"]) == (403, 40356)
    assert refused["status_message"] == "the session was ended by another login or by the operator"
    of_player = {"profile_id": old.profile_id}
    last = (await actions.audit_list(game.server_app, APP_ID, 1, equal=of_player))[0]
    assert (last["kind"], last["reason"]) == ("refusal", "40356")


# Everything at once, in orders that nobody would think of


@dataclass
class Act:
    """Something a client or an operator begins; `turns` is how far it gets before the next one begins."""

    kind: str
    which: int
    turns: int


ENDED_EVERYTHING: WeakSet[Any] = WeakSet()  # tasks whose request ended all sessions of a player
TURNS_MAX = 30
CHANCE = random.Random()
ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(
            [
                *("log_in", "log_in_and_stay", "log_in_by_packet", "refresh", "refresh", "read", "read"),
                *("log_out", "log_out_by_packet", "log_out_by_endpoint", "log_out_everywhere", "revoke"),
                *("disable", "disable", "enable", "wait", "lapse"),
            ]
        ),
        st.integers(0, 7),
        st.integers(0, 25),
    ),
    min_size=3,
    max_size=25,
)


@dataclass
class World:
    """A player, everything that was ever handed out, and what may not work any more."""

    game: Game
    user: str
    profile_id: str
    page: httpx.AsyncClient
    sessions: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)
    packet_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    dead_sessions: set[str] = field(default_factory=set)
    dead_tokens: set[str] = field(default_factory=set)
    of_session: dict[str, str] = field(default_factory=dict)  # session id: the refresh token of its login
    is_locked_out: bool = False  # by a disable that was answered, since when no enable has begun
    enabled: int = 0
    busy: Counter[str] = field(default_factory=Counter)  # what is on its way with a session

    def pick(self, of: list[str], which: int) -> str:
        return of[-1 - which % len(of)] if of else "none"

    def ended(self, session_id: str) -> None:
        self.dead_sessions.add(session_id)
        if session_id in self.of_session:
            self.dead_tokens.add(self.of_session[session_id])

    def opened(self, session_id: str, refresh_token: str | None = None) -> None:
        """Note what a login was answered; nothing of it works when the player was locked out before that."""
        self.sessions.append(session_id)
        if refresh_token:
            self.refresh_tokens.append(refresh_token)
            self.of_session[session_id] = refresh_token
        if self.is_locked_out:
            self.ended(session_id)

    # What happens

    async def log_in(self, which: int) -> None:
        await self._enter("/v1/login")

    async def log_in_and_stay(self, which: int) -> None:
        await self._enter("/v1/stay")

    async def _enter(self, path: str) -> None:
        response = await self.page.post(path, json={"user": self.user, "secret": PASSWORD})
        assert response.status_code in (200, 401, 403), response.text
        if response.status_code == 200:
            self.opened(response.cookies[COOKIE], response.json()["data"].get("refresh_token"))

    async def log_in_by_packet(self, which: int) -> None:
        client = self.game.client()
        try:
            await client.log_in("Universal", self.user, PASSWORD, forceCreate=False)
        except Refusal as refusal:
            if refusal.reason_code not in (49102, 40304, 40356, 40790):
                raise
        else:
            self.opened(client.session_id)

    async def refresh(self, which: int) -> None:
        token = self.pick(self.refresh_tokens, which)
        was_dead = token in self.dead_tokens
        response = await self._exchange(token)
        assert response.status_code in (200, 400, 503), response.text  # 503: as many sessions as allowed
        if response.status_code == 200:
            assert not was_dead, "a refresh token was accepted after its end had been answered"
            told = response.json()
            self.opened(told["access_token"], told["refresh_token"])

    async def _exchange(self, token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await self.page.post("/oauth2/token", data=form)

    async def read(self, which: int) -> None:
        session_id = self.pick(self.sessions, which)
        was_dead = session_id in self.dead_sessions
        assert not (await self.is_accepted(session_id) and was_dead), "a session was accepted after its end"

    async def is_accepted(self, session_id: str) -> bool:
        """Ask in both ways; a packet whose id is below another one's is refused, but its session is known."""
        self.busy[session_id] += 1
        try:
            return await self._is_accepted(session_id)
        finally:
            self.busy[session_id] -= 1

    async def _is_accepted(self, session_id: str) -> bool:
        client = Client(self.game)
        client.session_id = session_id
        client.packet_ids = itertools.count(next(self.packet_ids))
        try:
            await client.call("playerState", "READ")
        except Refusal as refusal:
            by_packet = refusal.reason_code not in (40303, 40304, 40356)
        else:
            by_packet = True
        response = await self.page.get("/v1/me", headers={"Authorization": f"Bearer {session_id}"})
        return by_packet or response.status_code == 200

    async def log_out(self, which: int) -> None:
        session_id = self.pick(self.sessions, which)
        response = await self.page.delete("/mobileservices/sessions", headers=cookie(session_id))
        assert response.status_code == 204
        self.ended(session_id)

    async def log_out_by_endpoint(self, which: int) -> None:
        session_id = self.pick(self.sessions, which)
        response = await self.page.post("/v1/logout", headers=cookie(session_id))
        assert response.status_code == 200
        self.ended(session_id)

    async def log_out_by_packet(self, which: int) -> None:
        client = Client(self.game)
        client.session_id = session_id = self.pick(self.sessions, which)
        client.packet_ids = itertools.count(next(self.packet_ids))
        self.busy[session_id] += 1
        try:
            await client.call("playerState", "LOGOUT")
        except Refusal:
            return
        finally:
            self.busy[session_id] -= 1
        self.ended(session_id)

    async def log_out_everywhere(self, which: int) -> None:
        session_id = self.pick(self.sessions, which)
        known, tokens_known = list(self.sessions), list(self.refresh_tokens)
        response = await self.page.post("/mobileservices/sessions/v2/logout", headers=cookie(session_id))
        assert response.status_code == 204
        if asyncio.current_task() in ENDED_EVERYTHING:  # the cookie still named a user
            self.dead_sessions.update(known)
            self.dead_tokens.update(tokens_known)

    async def revoke(self, which: int) -> None:
        token = self.pick(self.refresh_tokens, which)
        response = await self.page.post("/oauth2/revoke", data={"token": token})
        assert response.status_code == 200
        self.dead_tokens.add(token)

    async def disable(self, which: int) -> None:
        known, tokens_known, enabled = list(self.sessions), list(self.refresh_tokens), self.enabled
        await actions.player_disable(self.game.server_app, APP_ID, self.profile_id)
        self.is_locked_out = self.enabled == enabled
        self.dead_sessions.update(self.sessions if self.is_locked_out else known)
        self.dead_tokens.update(self.refresh_tokens if self.is_locked_out else tokens_known)

    async def enable(self, which: int) -> None:
        self.enabled += 1
        self.is_locked_out = False
        await actions.player_enable(self.game.server_app, APP_ID, self.profile_id)

    async def wait(self, which: int) -> None:
        self.game.clock.advance(which)

    async def lapse(self, which: int) -> None:
        self.game.clock.advance(LIFE)
        # Unless something is on its way that renews it, or did so after the clock was moved.
        self.dead_sessions.update(session_id for session_id in self.sessions if not self.busy[session_id])


def cookie(session_id: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={session_id}"}


@asynccontextmanager
async def server(folder: Path, when_full: str) -> AsyncIterator[Game]:
    (folder / "apps" / "test").mkdir(parents=True)
    more = f'\n[session]\nlife_seconds = {LIFE}\nmost = 4\nwhen_full = "{when_full}"\n'
    more += "[login]\nfailures_per_address = 100000\nfailures_per_account = 1000\n"
    (folder / "apps" / "test" / "app.toml").write_text(app_toml(more))
    clock = FixedClock()
    options = Settings(apps=folder / "apps", data=folder / "data")
    async with open_server(
        options, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
    ) as running:
        game = Game(running, clock)
        yield_at_every_step(game)
        yield game
        await game.http.aclose()


def yield_at_every_step(game: Game) -> None:
    """Steps in memory take no turn of the event loop; over a network each would, and some are slow."""
    for step in ("open", "confirm", "admit", "end", "peek", "peek_digest", "touch", "finish"):
        real = getattr(game.core.sessions, step)

        async def stepped(*args: Any, real: Any = real, **kwargs: Any) -> Any:
            for _ in range(CHANCE.randrange(TURNS_MAX)):
                await asyncio.sleep(0)
            outcome = await real(*args, **kwargs)
            await asyncio.sleep(0)
            return outcome

        setattr(game.core.sessions, step, stepped)

    end = game.core.endings.end

    async def noted(app: Any, selector: Any, *args: Any, **kwargs: Any) -> list[str]:
        ended = await end(app, selector, *args, **kwargs)
        if isinstance(selector, AllOf):
            ENDED_EVERYTHING.add(asyncio.current_task())
        return ended

    game.core.endings.end = noted  # type: ignore[method-assign]


async def play(game: Game, acts: list[Act], seed: int) -> None:
    CHANCE.seed(seed)
    page: Any = await player(game)
    client = game.client()
    client.session_id = page.cookies[COOKIE]
    profile_id = (await client.call("playerState", "READ"))["profileId"]
    page.cookies.clear()
    world = World(game, page.user, profile_id, Jarless(game))
    running: list[asyncio.Task[None]] = []
    for act in acts:
        running.append(asyncio.create_task(getattr(world, act.kind)(act.which)))
        for _ in range(act.turns):
            await asyncio.sleep(0)
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        if outcome is not None:
            raise outcome
    for session_id in world.dead_sessions:
        assert not await world.is_accepted(session_id), "an ended session came back"
    await actions.player_disable(game.server_app, APP_ID, profile_id)
    assert await game.core.sessions.list(APP_ID, profile_id) == []
    await actions.player_enable(game.server_app, APP_ID, profile_id)
    for token in world.refresh_tokens:
        assert (await world._exchange(token)).status_code == 400, (
            "a refresh token outlived its player's lock-out"
        )
    for session_id in world.sessions:
        assert not await world.is_accepted(session_id)
    await page.aclose()
    await world.page.aclose()


def Jarless(game: Game) -> httpx.AsyncClient:  # noqa: N802
    page = browser(game)
    page.cookies = None  # type: ignore[assignment]
    return page


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("when_full", ["drop_oldest", "refuse_newest"])
def test_nothing_is_accepted_after_its_end_was_answered(
    runner: asyncio.Runner, tmp_path: Path, when_full: str
) -> None:
    context = server(tmp_path, when_full)
    game = runner.run(context.__aenter__())
    try:

        @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(ACTS, st.integers(0, 1000))
        def check(acts: list[Act], seed: int) -> None:
            runner.run(play(game, acts, seed))

        check()
    finally:
        runner.run(context.__aexit__(None, None, None))


# One way


# Who ends sessions without `SessionTermination`: places that a login reserved, unknown to any client.
RESERVATIONS = {
    "faces/backendless/accounts.py",
    "players/termination.py",
    "players/refresh_tokens.py",
    "rpc/context.py",
}


def test_there_is_one_way_to_end_sessions() -> None:
    found = set()
    for path in SERVER.rglob("*.py"):
        where = path.relative_to(SERVER).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="end", value=value)) if ast.unparse(value).endswith(
                    "sessions"
                ):
                    found.add(where)
    assert found <= RESERVATIONS
