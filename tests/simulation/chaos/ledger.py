"""What a run has seen, and what must not be seen: the judge of every answer.

Promises that are checked here, on every copy of every packet, answered to the player or lost on the way:

- all answers to one packet are identical, byte for byte, even when its session was lost after it wrote something;
- a session that nobody ended and nothing lost is never refused;
- a session whose end was answered is never accepted again, by any process;
- a failure is an HTTP 503 or 504 that clients may repeat on, never a fault of the server.
"""

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.simulation.chaos.fleet import Fleet, Server

FAULT, OUTDATED, RATE_LIMITED = 50000, 40566, 40823
SESSION_CODES = {40303, 40304, 40356}
SCRIPT = ("script", "RUN")
WRITES = {
    ("playerStatistics", "UPDATE"),
    ("virtualCurrency", "AWARD_VC"),
    ("leaderboard", "POST_SCORE"),
    SCRIPT,
    ("messaging", "SEND_MESSAGE_SIMPLE"),
    ("group", "INCREMENT_GROUP_ENTITY_DATA"),
}
VIOLATIONS_MAX = 20
MISHAPS_TOLD = 12


@dataclass(eq=False)
class Copy:
    """One sending of a packet. `is_clean`: no other copy could still take effect when it was sent."""

    server: Server
    epoch: int
    is_clean: bool
    session_was_over: bool
    is_open: bool = True


@dataclass(eq=False)
class Sent:
    """A packet and its copies."""

    body: bytes
    session_id: str
    packet_id: int
    is_login: bool
    ends_session: bool
    names: list[tuple[str, str]] = field(default_factory=list)
    wrote: bool = False  # as its answer tells: then the answer outlives the session
    answer: bytes | None = None
    copies: list[Copy] = field(default_factory=list)
    sendings: int = 0
    refused_cleanly: bool = False  # refused when no other copy could take effect: it certainly has none


@dataclass(eq=False)
class Known:
    """A session some player holds or has held. `may_be_gone` and `is_over`: is allowed to be, and has to be."""

    epoch: int
    last_packet_id: int
    may_be_gone: bool = False
    is_over: bool = False


class Violation(Exception):
    """A broken promise."""


class Ledger:
    """Every packet of the run by its bytes, every session by its id."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.packets: dict[bytes, Sent] = {}
        self.sessions: dict[str, Known] = {}
        self.violations: list[str] = []
        self.log: list[str] = []  # what the servers complained of, when a promise was broken
        self.counts: Counter[str] = Counter()
        self.mishaps: deque[str] = deque(maxlen=MISHAPS_TOLD)  # the latest, with the second they began
        self._began = time.monotonic()

    def befell(self, what: str) -> None:
        """Note a mishap of the fleet."""
        self.counts[what] += 1
        self.mishaps.append(f"{time.monotonic() - self._began:.1f} s: {what}")

    def violation(self, text: str) -> None:
        """Note a broken promise."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{time.monotonic() - self._began:.1f} s: {text}")

    def packet(self, body: bytes) -> Sent:
        """Return what is known of a packet."""
        sent = self.packets.get(body)
        if sent is None:
            envelope = msgspec.json.decode(body)
            names = [(message["service"], message["operation"]) for message in envelope["messages"]]
            sent = self.packets[body] = Sent(
                body,
                envelope["sessionId"],
                envelope["packetId"],
                is_login=names[0] == ("authenticationV2", "AUTHENTICATE"),
                ends_session=("playerState", "LOGOUT") in names,
                names=names,
            )
        return sent

    def send(self, sent: Sent, server: Server) -> Copy:
        """A copy leaves for a server."""
        sent.copies = [copy for copy in sent.copies if copy.is_open and copy.server.is_alive]
        session = self.sessions.get(sent.session_id)
        copy = Copy(server, self.fleet.epoch, not sent.copies, session is not None and session.is_over)
        sent.copies.append(copy)
        sent.sendings += 1
        self.counts["sendings"] += 1
        if session is not None:
            session.last_packet_id = max(session.last_packet_id, sent.packet_id)
            session.may_be_gone |= sent.ends_session
        return copy

    def answered(self, sent: Sent, copy: Copy, status: int, body: bytes) -> None:
        """An answer to a copy has been seen, by its player or on the way."""
        copy.is_open = status == 504  # the packet goes on running
        if status in {503, 504}:
            self.counts["postponed"] += 1
            if msgspec.json.decode(body)["packetId"] != sent.packet_id:
                self.violation(f"HTTP {status} for packet {sent.packet_id} says {body!r}")
            return
        if status != 200:
            self.violation(f"HTTP {status} for {sent.body!r}: {body!r}")
            return
        entries: list[dict[str, Any]] = msgspec.json.decode(body)["responses"]
        reasons = {entry.get("reason_code") for entry in entries}
        if FAULT in reasons:
            self.violation(f"a fault of the server: {sent.body!r} got {body!r}")
        elif sent.is_login:
            self._logged_in(sent, copy, entries)
        elif reasons <= SESSION_CODES:
            self._refused(sent, copy, body)
        elif reasons == {OUTDATED}:
            self._outdated(sent)
        elif reasons == {RATE_LIMITED}:
            self.counts["rate limited"] += 1
        else:
            self._ran(sent, copy, entries, body)

    def _logged_in(self, sent: Sent, copy: Copy, entries: list[dict[str, Any]]) -> None:
        if entries[0]["status"] != 200:
            self.violation(f"a login was refused: {entries[0]}")
            return
        self.counts["logins"] += 1
        known = self.sessions.setdefault(entries[0]["data"]["sessionId"], Known(copy.epoch, sent.packet_id))
        known.may_be_gone |= sent.sendings > 1  # an earlier copy may open its session later, and replace this

    def _refused(self, sent: Sent, copy: Copy, body: bytes) -> None:
        self.counts["session refused"] += 1
        session = self.sessions[sent.session_id]
        if sent.answer is None:
            sent.refused_cleanly = copy.is_clean
        elif (
            sent.wrote
            and sent.packet_id == session.last_packet_id
            and not (session.may_be_gone or session.is_over)
        ):
            self.violation(f"answered at first, refused later: {sent.body!r} got {body!r}")
        if not (session.may_be_gone or session.is_over or session.epoch != self.fleet.epoch):
            self.violation(f"a live session was refused: {sent.body!r} got {body!r}")

    def _outdated(self, sent: Sent) -> None:
        self.counts["outdated"] += 1
        if self.sessions[sent.session_id].last_packet_id <= sent.packet_id:
            self.violation(f"the last packet was called outdated: {sent.body!r}")

    def _ran(self, sent: Sent, copy: Copy, entries: list[dict[str, Any]], body: bytes) -> None:
        if sent.answer is not None:
            self.counts["answered again"] += 1
            if sent.answer != body:
                self.violation(f"two answers to {sent.body!r}: {sent.answer!r} and {body!r}")
            return
        if copy.session_was_over:
            self.violation(f"a session was accepted after its end: {sent.body!r} got {body!r}")
        if sent.refused_cleanly:
            self.violation(f"refused at first, run later: {sent.body!r} got {body!r}")
        self.counts["packets"] += 1
        sent.answer = body
        sent.wrote = any(
            entry["status"] == 200 and name in WRITES for entry, name in zip(entries, sent.names, strict=True)
        )
        if sent.ends_session and entries[-1]["status"] == 200:
            self.sessions[sent.session_id].is_over = True

    def replaced(self, session_id: str) -> None:
        """A newer session of the same player is known to be open: this one must be gone."""
        if session_id in self.sessions:
            self.sessions[session_id].is_over = True

    def about_to_be_replaced(self, session_id: str) -> None:
        """The player logs in again."""
        if session_id in self.sessions:
            self.sessions[session_id].may_be_gone = True

    def forget_answers(self) -> None:
        """Forget packets that were answered and will not be sent again; for runs without stray copies."""
        self.packets = {body: sent for body, sent in self.packets.items() if sent.answer is None}
