"""Players that do countable things, and know what must have come of them."""

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
from gameserver_client import AsyncClient, GameServerError, Settings
from gameserver_client.protocol import Retry

from tests.simulation.chaos.fleet import APP_ID, SECRET, WALKED
from tests.simulation.chaos.ledger import SCRIPT, SESSION_CODES, Ledger, Sent
from tests.simulation.chaos.network import NOBODY, Line, Network
from tests.simulation.chaos.society import Citizen, Society

# Longer than a lease, a restart and a pause of everything together.
SETTINGS = Settings(
    retry=Retry(timeouts_seconds=(1.5,) * 25, first_pause_seconds=0.05, longest_pause_seconds=0.8),
    heartbeats=False,
    kill_switch=False,
)
THINK_SECONDS_MAX = 0.15
BOOST_SECONDS = 1000
STEPS_MAX = 8  # of a packet, which has ten messages at most
LARGE = "x" * 5000  # an answer with it is too large to be kept with the session

Message = tuple[str, str, dict[str, Any]]


class Player:
    """One player, and what must be true of them: for each counter, steps that count and steps that may.

    A step may count when its packet was refused for want of a session, while another copy of it could still be
    running: the server cannot know of a session that a restart lost. A packet with a script is not one
    transaction: what it did before it was cut off stays, when the session that would have repeated it is lost.
    """

    def __init__(
        self, number: int, network: Network, chance: random.Random, society: Society | None = None
    ) -> None:
        self.name = f"chaos-{number}"
        self.number = number
        self.network = network
        self.ledger: Ledger = network.ledger
        self.chance = chance
        self.sure: Counter[str] = Counter()
        self.maybe: Counter[str] = Counter()
        self.profile_id = ""  # of the last login; the session may be gone by now
        self.entity_id = ""
        self.drawer_id = ""  # an entity whose versions count what was put into it
        self.score = 0  # as read in the end
        self.citizen = None if society is None else Citizen(self, society)
        self.line = Line(network)
        self._logins: list[Sent] = []
        self._client = AsyncClient(
            "http://game.test", APP_ID, SECRET, settings=SETTINGS, http=httpx.AsyncClient(transport=self.line)
        )

    async def close(self) -> None:
        await self._client.close()

    # What it does

    async def play(self, stop: asyncio.Event) -> None:
        """Log in, play, log out, and again."""
        while not stop.is_set():
            if await self.log_in():
                await self._play_a_session(stop)

    async def play_on(self, stop: asyncio.Event) -> None:
        """Play in one session until told to stop."""
        while not stop.is_set():
            if not await self._play_a_packet():
                self.ledger.violation(f"{self.name} has lost the session")
                return
            await asyncio.sleep(self.chance.uniform(0, THINK_SECONDS_MAX))

    async def log_in(self) -> bool:
        """Open a session; the one before must be over when that is answered."""
        before = self._client.session
        if before is not None:
            self.ledger.about_to_be_replaced(before.id)
        try:
            if self.number % 8 == 0:  # few: a password costs as much as hundreds of packets
                await self._client.authenticate_universal(self.name, "a password")
            else:
                await self._client.authenticate_anonymous(f"{self.name}-0123456789")
        except GameServerError as error:
            if not self._nobody_was_there(error):
                self.ledger.violation(f"{self.name} cannot log in: {error}")
            return False
        login, session = self.line.last, self._client.session
        assert login is not None
        assert session is not None
        self.profile_id = session.profile_id
        if any(copy.is_open and copy.server.is_alive for old in self._logins for copy in old.copies):
            self.ledger.sessions[session.id].may_be_gone = True  # a late login of this player replaces it
        self._logins = [old for old in [*self._logins, login] if any(copy.is_open for copy in old.copies)]
        if before is not None and login.sendings == 1:
            self.ledger.replaced(before.id)
            await self.probe(before.id)
        if not self.entity_id:
            self.entity_id = await self._entity("chaos", {"steps": 0, "ballast": LARGE})
        if not self.drawer_id:
            self.drawer_id = await self._entity("drawer", {})
        if self.citizen is not None:
            await self.citizen.settle()
        return True

    async def _entity(self, kind: str, data: dict[str, Any]) -> str:
        """Find or make the one entity of a type; returns its id, or nothing."""
        found = await self.call(
            ("entity", "GET_LIST", {"where": {"entityType": kind}, "orderBy": {}, "maxReturn": 1})
        )
        if found is None:
            return ""
        if entities := found[0]["entityList"]:
            return str(entities[0]["entityId"])
        created = await self.call(
            ("entity", "CREATE", {"entityType": kind, "data": data, "acl": {"other": 0}})
        )
        return "" if created is None else str(created[0]["entityId"])

    async def _play_a_session(self, stop: asyncio.Event) -> None:
        for _ in range(self.chance.randint(2, 14)):
            if stop.is_set() or not await self._play_a_packet():
                return
            await asyncio.sleep(self.chance.uniform(0, THINK_SECONDS_MAX))
        dice = self.chance.random()
        session = self._client.session
        if session is None:  # what came last was refused for want of it
            return
        if dice < 0.4:
            await self._step(also_log_out=False)
            with contextlib.suppress(GameServerError):
                await self._client.logout()
                await self.probe(session.id)
        elif dice < 0.7:
            if await self._step(also_log_out=True):
                await self.probe(session.id)

    async def _play_a_packet(self) -> bool:
        """False when the session is gone."""
        if self.citizen is not None and self.chance.random() < 0.4:
            return await self.citizen.act()
        dice = self.chance.random()
        if dice < 0.7:
            return await self._step(also_log_out=False)
        if dice < 0.85:
            return await self.call(("playerState", "READ", {})) is not None
        return await self.call(("time", "READ", {}), ("heartbeat", "READ", {})) is not None

    async def _step(self, *, also_log_out: bool) -> bool:
        """Send a packet that takes a step on some counters. False when it was refused for want of a session."""
        missing = {"entity": not self.entity_id, "drawer": not self.drawer_id}
        chosen = [
            name for name in COUNTERS if self.chance.random() < RATES.get(name, 0.6) and not missing.get(name)
        ][:STEPS_MAX]
        if self.drawer_id and not also_log_out and self.chance.random() < 0.15:
            chosen = ["drawer"]  # alone it is stored together with its answer
        messages = [COUNTERS[name](self) for name in chosen]
        steps = {name: WALKED if name == "walked" else 1 for name in chosen}
        pitfall = None
        if chosen and not also_log_out and self.chance.random() < 0.3:  # nothing of a refused message stays
            pitfall = self.chance.randint(0, len(messages))
            messages.insert(pitfall, ("virtualCurrency", "CONSUME_VC", {"vcId": "coins", "vcAmount": 10**9}))
        if self.entity_id and self.chance.random() < 0.2:
            messages.append(("entity", "READ", {"entityId": self.entity_id}))
        if also_log_out:
            messages.append(("playerState", "LOGOUT", {}))
        if not messages:
            return True
        answers = await self.call(*messages, may_be_refused=pitfall)
        if answers is None:
            if not self.has_no_effect:
                self.maybe.update(steps)
            return False
        self.sure.update(steps)
        if pitfall is not None:
            del answers[pitfall]
        for name, answer in zip(chosen, answers, strict=False):
            if name == "walked" and not answer["success"]:
                self.ledger.violation(f"a script of {self.name} has failed: {answer}")
            elif name in READERS:
                self._check(name, READERS[name](answer))
        return True

    def _check(self, name: str, value: float) -> None:
        least, most = self.sure[name], self.sure[name] + self.maybe[name]
        if not least <= value <= most:
            self.ledger.violation(f"{self.name} has {value} of {name}, expected {least} to {most}")

    async def call(self, *messages: Message, may_be_refused: int | None = None) -> list[Any] | None:
        """Send a packet; None when it was refused for want of a session, or never answered."""
        with self._client.bundle() as bundle:
            futures = [bundle.send(*message) for message in messages]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        for index, outcome in enumerate(outcomes):
            if not isinstance(outcome, BaseException):
                continue
            if not isinstance(outcome, GameServerError):
                raise outcome
            if outcome.reason_code in SESSION_CODES:
                return None
            if self._nobody_was_there(outcome):
                return None
            if index != may_be_refused:
                self.ledger.violation(f"{self.name}: {messages[index][:2]} failed: {outcome}")
                return None
        return list(outcomes)

    @property
    def session_id(self) -> str | None:
        """The open session, as far as the player knows."""
        session = self._client.session
        return None if session is None else session.id

    @property
    def has_no_effect(self) -> bool:
        """Whether the last packet, which was refused, certainly has no effect."""
        sent = self.line.last
        return sent is not None and sent.refused_cleanly and SCRIPT not in sent.names

    def _nobody_was_there(self, error: GameServerError) -> bool:
        """Tell whether a packet was given up because no server runs: a slow machine, not a broken promise."""
        if NOBODY not in error.message:
            return False
        self.ledger.counts["given up"] += 1
        return True

    async def probe(self, session_id: str) -> None:
        """Ask every process, with a new packet, whether it still accepts a session that is over."""
        session = self.ledger.sessions[session_id]
        if not session.is_over:
            return
        for server in self.ledger.fleet.servers:
            packet_id = session.last_packet_id + 1
            message = {
                "service": "playerStatistics",
                "operation": "UPDATE",
                "data": {"statistics": {"afterTheEnd": 1}},
            }
            envelope = {
                "packetId": packet_id,
                "sessionId": session_id,
                "gameId": APP_ID,
                "messages": [message],
            }
            body = msgspec.json.encode(envelope)
            signature = hashlib.md5(body + SECRET.encode()).hexdigest()
            request = httpx.Request(
                "POST",
                "http://game.test/dispatcherv2",
                content=body,
                headers={"X-SIG": signature},
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), 3.0)},
            )
            self.ledger.counts["probes"] += 1
            with contextlib.suppress(httpx.HTTPError):
                await self.network.deliver(request, self.ledger.packet(body), server)

    # What must be true

    async def verify(self) -> None:
        """Compare all counters with what was answered."""
        if not await self.log_in():
            return
        answers = await self.call(
            ("playerStatistics", "READ", {}),
            ("virtualCurrency", "GET_PLAYER_VC", {}),
            ("playerState", "GET_USER_STATUS", {"statusName": "boost"}),
            ("leaderboard", "GET_PLAYER_SCORES", BOARD | {"versionId": -1, "maxResults": 1}),
            *([("entity", "READ", {"entityId": self.entity_id})] if self.entity_id else []),
        )
        if answers is None:
            self.ledger.violation(f"{self.name} cannot read what they have")
            return
        statistics, balances, status = (
            answers[0]["statistics"],
            answers[1]["currencyMap"],
            answers[2].get("boost"),
        )
        if "afterTheEnd" in statistics:
            self.ledger.violation(f"{self.name} played on after the end")
        self._check("statistic", statistics.get("steps", 0))
        self._check("walked", statistics.get("walked", 0))
        self._check("coins", balances["coins"]["balance"] if "coins" in balances else 0)
        self._check(
            "seconds", (status["activeUntil"] - status["activeStart"]) / 1000 / BOOST_SECONDS if status else 0
        )
        if self.entity_id:
            self._check("entity", answers[4]["data"]["steps"])
        if self.drawer_id:
            drawer = await self.call(("entity", "READ", {"entityId": self.drawer_id}))
            self._check("drawer", drawer[0]["version"] - 1 if drawer is not None else -1)
        scores = answers[3]["scores"]
        self.score = scores[0]["score"] if scores else 0
        self._check("score", self.score)

    async def read_board(self) -> dict[str, int]:
        """Return the scores on the board that all players share, by profile id, best first."""
        page = BOARD | {"sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 499}
        answers = await self.call(("leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", page))
        return {entry["playerId"]: entry["score"] for entry in answers[0]["leaderboard"]} if answers else {}

    async def count_plays(self) -> int:
        """Return how many entries all players have on the board that takes every score."""
        answers = await self.call(("leaderboard", "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", PLAYS))
        return int(answers[0]["entryCount"]) if answers is not None else -1

    async def read_shared(self) -> float:
        """Return the counter that all players share."""
        answers = await self.call(("globalGameStatistics", "READ", {}))
        return float(answers[0]["statistics"].get("steps", 0)) if answers is not None else -1.0


BOARD: dict[str, Any] = {"leaderboardId": "steps"}
PLAYS: dict[str, Any] = {"leaderboardId": "plays"}  # each post is an entry more
COUNTERS: dict[str, Callable[[Player], Message]] = {
    "statistic": lambda _: ("playerStatistics", "UPDATE", {"statistics": {"steps": 1}}),
    "coins": lambda _: ("virtualCurrency", "AWARD_VC", {"vcId": "coins", "vcAmount": 1}),
    "seconds": lambda _: (
        "playerState",
        "EXTEND_USER_STATUS",
        {"statusName": "boost", "additionalSecs": BOOST_SECONDS, "details": {}},
    ),
    "entity": lambda player: (
        "entity",
        "INCREMENT_USER_ENTITY_DATA",
        {"entityId": player.entity_id, "data": {"steps": 1}},
    ),
    "drawer": lambda player: (
        "entity",
        "UPDATE",
        {"entityId": player.drawer_id, "entityType": "drawer", "data": {}, "acl": None, "version": -1},
    ),
    "score": lambda _: ("leaderboard", "POST_SCORE", BOARD | {"score": 1}),
    "plays": lambda player: ("leaderboard", "POST_SCORE", PLAYS | {"score": player.chance.randint(1, 1000)}),
    "shared": lambda _: ("globalGameStatistics", "PROCESS_STATISTICS", {"statistics": {"steps": 1}}),
    "walked": lambda _: (*SCRIPT, {"scriptName": "walk", "scriptData": {}}),
}
RATES = {"walked": 0.15}  # a script costs as much as many messages
READERS: dict[str, Callable[[Any], float]] = {
    "drawer": lambda answer: answer["version"] - 1,
    "statistic": lambda answer: answer["statistics"]["steps"],
    "coins": lambda answer: answer["currencyMap"]["coins"]["balance"],
    "seconds": lambda answer: (answer["activeUntil"] - answer["activeStart"]) / 1000 / BOOST_SECONDS,
    "walked": lambda answer: answer["response"]["counts"][-1],
}
