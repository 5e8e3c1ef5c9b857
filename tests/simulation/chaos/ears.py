"""Real-time connections of the players of a run, over bare TCP, and what must be true of them.

- Nobody stays connected whose session is known to be over, but for a second.
- What a connection hears of a channel comes in one order, once, and is the same for all who hear it.
- Who is present is who has a connection, also ten seconds after a server has died.
"""

import asyncio
import contextlib
import json
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.simulation.chaos.fleet import APP_ID, Server
from tests.simulation.chaos.ledger import Ledger

if TYPE_CHECKING:  # a player has ears, and these are a player's
    from tests.simulation.chaos.players import Player

OUTLIVES_SECONDS_MAX = 1.0  # a session
LATE_SECONDS = 1.5  # by which a busy machine may be late with it
LOOK_SECONDS = 0.1
SETTLE_SECONDS_MAX = 15.0  # for those at the end of a run, where nothing is held up any more
STALL_SECONDS = 0.5  # of this process: what it hears then is late by itself
OPEN_SECONDS_MAX = 3.0
PRESENT_SECONDS_MAX = 10.0  # after a crash, until everybody knows who is there


class Ear:
    """One connection. It hears until somebody closes it."""

    def __init__(self, ears: "Ears", player: "Player", server: Server, session_id: str) -> None:
        self.ears, self.player, self.server, self.session_id = ears, player, server, session_id
        self.profile_id = player.profile_id
        self.cx_id = ""
        self.is_open = False
        self.overtime_seconds = 0.0  # since its session is known to be over, while nothing was held up
        self._last: dict[str, int] = {}  # by channel: the number of what was heard last
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self, secret: str) -> bool:
        """Connect; False where that does not succeed, for which there are many good reasons."""
        parts = urlsplit(self.server.url)
        hello = {"sessionId": self.session_id, "auth": {"X-RTT-SECRET": secret}}
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port)
                self._say({"service": "rtt", "operation": "CONNECT", "data": hello})
                answer = await _hear(reader)
            if answer["operation"] == "CONNECT":
                self.cx_id, self.is_open = answer["data"]["cxId"], True
                self._listening = asyncio.create_task(self._listen(reader))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        finally:
            if not self.is_open:  # also where the run ends meanwhile
                self.close()
        return self.is_open

    def _say(self, message: Any) -> None:
        assert self._writer is not None
        text = json.dumps(message).encode()
        self._writer.write(len(text).to_bytes(4, "big") + text)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await _hear(reader)
                if (message["service"], message["operation"]) == ("chat", "INCOMING"):
                    self._take(message["data"])
        self.close()

    def _take(self, line: Any) -> None:
        channel, number, text = line["chId"], int(line["msgId"]), line["content"]["text"]
        if number <= self._last.get(channel, 0):
            self.ears.ledger.violation(f"{self.player.name} hears {number} of {channel} twice, or too late")
        self._last[channel] = number
        if self.ears.lines.setdefault((channel, number), text) != text:
            self.ears.ledger.violation(f"{number} of {channel} is not the same for all: {text}")
        self.ears.ledger.counts["lines heard"] += 1

    def close(self) -> None:
        """Hang up, unless the server has."""
        self.is_open = False
        self.ears.open.discard(self)
        if self._writer is not None:
            self._writer.close()

    async def gone(self) -> None:
        """Hang up, and wait until nothing is heard any more."""
        self.close()
        if self._listening is not None:
            await self._listening


class Ears:
    """All connections of a run."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        self.ledger, self.chance = ledger, chance
        self.open: set[Ear] = set()
        self.lines: dict[tuple[str, int], str] = {}  # what was heard, by channel and number

    async def listen(self, player: "Player", channels: list[str]) -> None:
        """Let a player connect to some server, and listen to channels."""
        asked = await player.call(("rttRegistration", "REQUEST_CLIENT_CONNECTION", {}))
        server, session_id = self.ledger.fleet.any(self.chance), player.session_id
        if asked is None or server is None or session_id is None:
            return
        ear = Ear(self, player, server, session_id)
        if not await ear.open(asked[0]["auth"]["X-RTT-SECRET"]):
            return
        self.ledger.counts["connections"] += 1
        self.open.add(ear)
        if channels:
            await player.call(
                *(("chat", "CHANNEL_CONNECT", {"channelId": each, "maxReturn": 10}) for each in channels)
            )

    async def watch(self) -> None:
        """See to it that no connection outlives its session."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            passed, before = now - before, now
            if passed > STALL_SECONDS or not self.ledger.fleet.is_calm(now):
                continue
            for ear in tuple(self.open):
                if not self.ledger.sessions[ear.session_id].is_over:
                    continue
                if not ear.overtime_seconds:
                    self.ledger.counts["sessions outlived"] += 1
                ear.overtime_seconds += passed
                if ear.overtime_seconds > OUTLIVES_SECONDS_MAX + LATE_SECONDS:
                    self.ledger.violation(
                        f"a connection of {ear.player.name} outlives its session, at {ear.server.url}"
                    )
                    ear.close()

    async def settle(self) -> None:
        """Return when no connection is left whose session is over, or it is certain that one outlives it."""
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while any(self.ledger.sessions[ear.session_id].is_over for ear in self.open):
            if time.monotonic() > until:
                self.ledger.violation("connections are left whose sessions are over")
                return
            await asyncio.sleep(LOOK_SECONDS)

    def said(self, channel: str) -> set[str]:
        """Return the lines of a channel that somebody has heard."""
        return {text for (of, _), text in self.lines.items() if of == channel}

    async def check_presence(self, players: list["Player"], crashed_at: float) -> None:
        """Compare who is present with who is connected, ten seconds after a server died at the latest."""
        ids = [player.profile_id for player in players]
        asked = ("presence", "GET_PRESENCE_OF_USERS", {"profileIds": ids, "includeOffline": True})
        while True:
            wanted = {each.cx_id: each.profile_id for each in self.open}
            answers = await players[0].call(asked)
            found = {
                cx_id: shown["user"]["id"]
                for shown in (answers[0]["presence"] if answers is not None else [])
                for cx_id in shown["user"].get("cxs", ())
            }
            if answers is not None and found == wanted:
                self.ledger.counts["present"] += len(found)
                return
            if time.monotonic() > crashed_at + PRESENT_SECONDS_MAX:
                self.ledger.violation(f"{found} are present, {wanted} are connected")
                return
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Hang up everywhere."""
        await asyncio.gather(*(ear.gone() for ear in tuple(self.open)))


async def _hear(reader: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return json.loads(await reader.readexactly(size))


def channel_of(player: "Player") -> str:
    """Return the channel that a player alone posts to."""
    return f"{APP_ID}:dy:{player.name}"
