"""The protocol without any input or output: bytes and times go in, bytes and outcomes come out.

Whoever drives a `PacketCore` does four things: hand it calls, send the request it returns, tell it what came
back, and look again at `next_wakeup`. Time is seconds on any clock that never goes backwards; chance is a
function. The core has no locks: one thread at a time.

At most one packet is under way. A packet keeps its number and its bytes until it is answered or given up, so
the server can tell a repeated packet from a new one and run it once.
"""

import gzip
import hashlib
import json
import random as random_module
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gameserver_client.errors import (
    KILL_SWITCH,
    NO_ANSWER,
    NO_SESSION,
    SESSION_CODES,
    STATUS_LOCAL,
    UNREADABLE_ANSWER,
    GameServerError,
    error_from,
    local_error,
)
from gameserver_client.identity import Identity

Data = dict[str, Any]

STATUS_OK = 200
STATUS_FORBIDDEN = 403
HTTP_OK = 200
HTTP_LATER = frozenset({429, 502, 503, 504})  # the packet is running, or nobody is there right now
UNNUMBERED = -1  # the packetId of an answer to a request the server could not read
AUTHENTICATE = ("authenticationV2", "AUTHENTICATE")
LOGOUT = ("playerState", "LOGOUT")
MERGE = ("identity", "MERGE")
DELETE_PLAYER = ("playerState", "FULL_PLAYER_RESET")
HEARTBEAT = ("heartbeat", "READ")
IDENTITY_SERVICES = frozenset({"authenticationV2", "identity"})  # their answers may move the session
HEARTBEAT_SHARE = 0.85  # of the session's life


@dataclass(frozen=True)
class Call:
    """One operation to run. `data` must be JSON: str keys, no NaN, no foreign types."""

    service: str
    operation: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """How long a packet is tried.

    `timeouts_seconds[i]` is how long a try waits after `i` tries without a useful answer; such a try is
    repeated at once. After a quick failure (refused connection, HTTP 503) the next try waits: first
    `first_pause_seconds`, doubling up to `longest_pause_seconds`, shortened at random by up to half.
    The packet is given up after the last time-out, or once the sum of all of them has passed.
    """

    timeouts_seconds: Sequence[float] = (15.0, 20.0, 35.0, 50.0)
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0

    def __post_init__(self) -> None:
        if not self.timeouts_seconds or min(self.timeouts_seconds) <= 0:
            raise ValueError("timeouts_seconds needs at least one time-out, each above 0")
        if not 0 < self.first_pause_seconds <= self.longest_pause_seconds:
            raise ValueError("pauses must be above 0, and the longest not shorter than the first")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may differ between games; every default works.

    `secrets` maps app ids to secrets, for sessions that switch to a parent or child app.
    `compress_requests` sends bodies above `compress_above_bytes` as gzip; a login may change that limit,
    `max_bundle` and `max_kill_count`. Without `kill_switch` errors are never counted.
    """

    secrets: Mapping[str, str] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    heartbeats: bool = True
    compress_requests: bool = False
    compress_above_bytes: int = 51200
    max_bundle: int = 10
    kill_switch: bool = True
    max_kill_count: int = 11


@dataclass(frozen=True)
class Session:
    """Who is signed in, where. `expiry_seconds` is how long the server keeps it without a packet."""

    id: str
    profile_id: str
    app_id: str
    expiry_seconds: float


@dataclass(frozen=True)
class HttpRequest:
    """POST this. Give up waiting after `timeout_seconds` and report a TimeoutError."""

    body: bytes
    headers: Mapping[str, str]
    packet_id: int
    timeout_seconds: float


@dataclass(frozen=True)
class Outcome:
    """How the call with this token ended: with data, or with an error."""

    token: int
    data: Data = field(default_factory=dict)
    error: GameServerError | None = None


@dataclass(frozen=True)
class _Queued:
    """A call that waits, or is under way. Heartbeats have no token: nobody waits for them."""

    token: int | None
    service: str
    operation: str
    message: str

    @property
    def name(self) -> tuple[str, str]:
        return self.service, self.operation


@dataclass
class _Packet:
    id: int
    calls: list[_Queued]
    body: bytes
    headers: dict[str, str]
    deadline: float
    useless_tries: int = 0  # timed out, or answered with something unreadable
    quick_failures: int = 0
    in_flight: bool = False
    resend_at: float = 0.0

    @property
    def is_heartbeat(self) -> bool:
        return self.calls[0].token is None


class _UnreadableError(Exception):
    """The body is no answer to the packet it came for."""


class PacketCore:
    """One client's side of the protocol. `session`, `identity` and `session_error` may be read any time."""

    def __init__(
        self,
        app_id: str,
        secret: str = "",
        *,
        settings: Settings | None = None,
        identity: Identity | None = None,
        open_operations: Iterable[tuple[str, str]] = (),
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Start without a session. `open_operations` may be sent without one, as may the login itself."""
        self.settings = settings or Settings()
        self.identity = identity or Identity()
        self.session: Session | None = None
        self.session_error = local_error(STATUS_FORBIDDEN, NO_SESSION, "no session: sign in first")
        self.max_bundle = self.settings.max_bundle
        self.kill_switch_engaged = False
        self._app_id = app_id
        self._secret = secret
        self._open_operations = {AUTHENTICATE, *open_operations}
        self._random = random
        self._max_kill_count = self.settings.max_kill_count
        self._compress_above = self.settings.compress_above_bytes
        self._failing: tuple[str, str] | None = None
        self._failures = 0
        self._queue: deque[list[_Queued]] = deque()  # each group travels in one packet
        self._packet: _Packet | None = None
        self._next_packet_id = 0
        self._next_token = 0
        self._last_sent = 0.0
        self._outcomes: list[Outcome] = []
        self._events: list[Data] = []

    # What the game asks for

    def enqueue(self, call: Call) -> int:
        """Queue one call; its `Outcome` will carry the token. Raises ValueError or TypeError if not JSON."""
        return self.enqueue_bundle([call])[0]

    def enqueue_bundle(self, calls: Sequence[Call]) -> list[int]:
        """Queue calls that travel in one packet, in this order. Raises ValueError when they cannot."""
        if len(calls) > self.max_bundle:
            raise ValueError(f"{len(calls)} calls in one packet, the server takes {self.max_bundle}")
        if len(calls) > 1 and any((call.service, call.operation) == AUTHENTICATE for call in calls):
            raise ValueError("AUTHENTICATE travels alone")
        group = [
            _Queued(self._next_token + i, call.service, call.operation, _encode(call))
            for i, call in enumerate(calls)
        ]
        self._next_token += len(group)
        if group:
            self._queue.append(group)
        return [queued.token for queued in group if queued.token is not None]

    def cancel(self, token: int) -> bool:
        """Take a call back. False when it is too late: its packet was sent, or it is settled."""
        for group in self._queue:
            for queued in group:
                if queued.token == token:
                    group.remove(queued)
                    if not group:
                        self._queue.remove(group)
                    return True
        return False

    def reset_kill_switch(self) -> None:
        """Send again after the kill switch; the count starts anew."""
        self.kill_switch_engaged = False
        self._failing, self._failures = None, 0

    def take_outcomes(self) -> list[Outcome]:
        """Hand out what has been settled since the last time, in order. Every token comes up exactly once."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def take_events(self) -> list[Data]:
        """Hand out events that came with answers since the last time, in order."""
        events, self._events = self._events, []
        return events

    # What the network does

    def next_request(self, now: float) -> HttpRequest | None:
        """Hand out the request to send now, if any. Report what became of it before asking for another."""
        packet = self._packet
        if packet is not None and packet.is_heartbeat and not packet.in_flight and self._queue:
            packet = self._packet = None  # a real call keeps the session alive as well
        if packet is None:
            packet = self._packet = self._new_packet(now)
        if packet is None or packet.in_flight or now < packet.resend_at:
            return None
        packet.in_flight = True
        self._last_sent = now
        patience = self.settings.retry.timeouts_seconds[packet.useless_tries]
        if now < packet.deadline:  # a machine that slept past it still gets one honest try
            patience = min(patience, packet.deadline - now)
        return HttpRequest(packet.body, packet.headers, packet.id, patience)

    def next_wakeup(self, now: float) -> float | None:
        """Tell when `next_request` may have something; None: not before a call or a report comes in."""
        packet = self._packet
        if packet is not None and packet.in_flight:
            return None
        if self._queue and (packet is None or packet.is_heartbeat):
            return now
        if packet is not None:
            return packet.resend_at
        return self._heartbeat_at()

    def on_response(self, now: float, status: int, body: bytes) -> None:
        """Report the answer to the request under way: HTTP status, body (decompressed)."""
        packet = self._landed()
        if status in HTTP_LATER:
            self._pause(packet, now, f"HTTP {status}")
        elif status != HTTP_OK:
            self._give_up(packet, NO_ANSWER, f"HTTP {status} from the server's address")
        else:
            try:
                answers, events = _read(packet, body)
            except _UnreadableError as error:
                packet.useless_tries += 1
                self._pause(packet, now, str(error), UNREADABLE_ANSWER)
            else:
                self._packet = None
                self._events += events
                for queued, answer in zip(packet.calls, answers, strict=True):
                    self._settle(queued, answer)

    def on_failure(self, now: float, error: Exception) -> None:
        """Report that no answer came. A TimeoutError means: though it was waited for as long as asked."""
        packet = self._landed()
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            packet.useless_tries += 1
            packet.resend_at = now
            self._unless_hopeless(packet, NO_ANSWER, reason)
        else:
            self._pause(packet, now, reason)

    def close(self, reason: str = "the client was closed") -> None:
        """Settle everything that waits or is under way as not answered."""
        if self._packet is not None:
            self._give_up(self._packet, NO_ANSWER, reason)
        while self._queue:
            for queued in self._queue.popleft():
                self._refuse(queued, local_error(STATUS_LOCAL, NO_ANSWER, reason))

    # Packets

    def _new_packet(self, now: float) -> _Packet | None:
        calls = self._next_calls(now)
        if not calls:
            return None
        packet_id = self._next_packet_id
        self._next_packet_id += 1
        body, headers = self._sealed(packet_id, calls)
        deadline = now + sum(self.settings.retry.timeouts_seconds)
        return _Packet(packet_id, calls, body, headers, deadline, resend_at=now)

    def _next_calls(self, now: float) -> list[_Queued]:
        for group in self._queue:
            if group[0].name == AUTHENTICATE and not self.kill_switch_engaged:
                self._queue.remove(group)  # by equality, and tokens differ: this very group
                return group
        self._refuse_what_cannot_go()
        calls: list[_Queued] = []
        while self._queue and (not calls or len(calls) + len(self._queue[0]) <= self.max_bundle):
            calls += self._queue.popleft()
        heartbeat_at = self._heartbeat_at()
        if not calls and heartbeat_at is not None and now >= heartbeat_at:
            return [_Queued(None, *HEARTBEAT, _encode(Call(*HEARTBEAT)))]
        return calls

    def _refuse_what_cannot_go(self) -> None:
        groups, self._queue = self._queue, deque()
        for group in groups:
            error_of = {queued.token: self._obstacle(queued) for queued in group}
            for queued in group:
                if error := error_of[queued.token]:
                    self._refuse(queued, error)
            if passed := [queued for queued in group if error_of[queued.token] is None]:
                self._queue.append(passed)

    def _obstacle(self, queued: _Queued) -> GameServerError | None:
        if self.kill_switch_engaged:
            service, operation = self._failing or ("", "")
            return local_error(
                STATUS_LOCAL, KILL_SWITCH, f"{service}.{operation} failed {self._failures} times in a row"
            )
        if self.session is None and queued.name not in self._open_operations:
            return error_from(dict(self.session_error.raw))
        return None

    def _sealed(self, packet_id: int, calls: list[_Queued]) -> tuple[bytes, dict[str, str]]:
        """Write body and headers of a packet. The signature covers the body before compression."""
        login = calls[0].name == AUTHENTICATE
        session = None if login else self.session
        app_id = session.app_id if session else self._app_id
        envelope = json.dumps(
            {"packetId": packet_id, "sessionId": session.id if session else "", "gameId": app_id},
            separators=(",", ":"),
        )
        messages = ",".join(queued.message for queued in calls)
        body = f'{envelope[:-1]},"messages":[{messages}]}}'.encode()
        headers = {"Content-Type": "application/json", "X-APPID": app_id}
        if secret := self.settings.secrets.get(app_id, self._secret):
            digest = hashlib.md5(body + secret.encode(), usedforsecurity=False)
            headers["X-SIG"] = digest.hexdigest()
        if self.settings.compress_requests and 0 <= self._compress_above < len(body):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        return body, headers

    def _heartbeat_at(self) -> float | None:
        """Count from the last sending: the server renews a session when a packet arrives."""
        if self.session is None or not self.settings.heartbeats or self.kill_switch_engaged:
            return None
        return self._last_sent + HEARTBEAT_SHARE * self.session.expiry_seconds

    # Tries

    def _landed(self) -> _Packet:
        packet = self._packet
        assert packet is not None, "no request is under way"
        assert packet.in_flight, "no request is under way"
        packet.in_flight = False
        return packet

    def _pause(self, packet: _Packet, now: float, reason: str, code: int = NO_ANSWER) -> None:
        retry = self.settings.retry
        doublings = min(packet.quick_failures, 30)  # far above any longest pause, far below overflow
        pause = min(retry.longest_pause_seconds, retry.first_pause_seconds * 2**doublings)
        packet.quick_failures += 1
        packet.resend_at = now + pause * (0.5 + self._random() / 2)
        self._unless_hopeless(packet, code, reason)

    def _unless_hopeless(self, packet: _Packet, code: int, reason: str) -> None:
        out_of_tries = packet.useless_tries >= len(self.settings.retry.timeouts_seconds)
        if out_of_tries or packet.resend_at >= packet.deadline:
            self._give_up(packet, code, reason)

    def _give_up(self, packet: _Packet, code: int, reason: str) -> None:
        self._packet = None
        for queued in packet.calls:
            message = f"packet {packet.id} was not answered: {reason}"
            self._refuse(queued, local_error(STATUS_LOCAL, code, message))

    # Answers

    def _settle(self, queued: _Queued, answer: Data) -> None:
        if answer["status"] == STATUS_OK:
            self._failing, self._failures = None, 0
            data = answer.get("data") or {}
            self._note_success(queued, data)
            if queued.token is not None:
                self._outcomes.append(Outcome(queued.token, data))
            return
        error = error_from(answer)
        if error.reason_code in SESSION_CODES:
            self._end_session(error)
        self._count_failure(queued)
        self._refuse(queued, error)

    def _refuse(self, queued: _Queued, error: GameServerError) -> None:
        if queued.token is not None:
            self._outcomes.append(Outcome(queued.token, error=error))

    def _note_success(self, queued: _Queued, data: Data) -> None:
        if queued.name == AUTHENTICATE:
            self._begin_session(data)
        elif queued.service in IDENTITY_SERVICES and self.session is not None:
            self.session = replace(
                self.session,
                id=_text(data, "sessionId") or self.session.id,
                profile_id=_text(data, "profileId") or self.session.profile_id,
                app_id=_text(data, "switchToAppId") or self.session.app_id,
            )
            if queued.name == MERGE:  # who stays is who comes back
                self.identity = replace(self.identity, profile_id=self.session.profile_id)
        elif queued.name in {LOGOUT, DELETE_PLAYER}:
            self._end_session(local_error(STATUS_FORBIDDEN, NO_SESSION, "no session: signed out"))
            if queued.name == DELETE_PLAYER:
                self.identity = replace(self.identity, profile_id="")

    def _begin_session(self, data: Data) -> None:
        self.session = Session(
            id=data["sessionId"],
            profile_id=data["profileId"],
            app_id=_text(data, "switchToAppId") or self._app_id,
            expiry_seconds=_number_above_zero(data, "playerSessionExpiry", 300),
        )
        self.identity = replace(self.identity, profile_id=self.session.profile_id)
        self.max_bundle = int(_number_above_zero(data, "maxBundleMsgs", self.max_bundle))
        self._max_kill_count = int(_number_above_zero(data, "maxKillCount", self._max_kill_count))
        limit = data.get("compressIfLarger")
        if isinstance(limit, int) and not isinstance(limit, bool):
            self._compress_above = limit

    def _end_session(self, error: GameServerError) -> None:
        self.session = None
        self.session_error = error

    def _count_failure(self, queued: _Queued) -> None:
        if queued.token is None or not self.settings.kill_switch:
            return
        self._failures = self._failures + 1 if self._failing == queued.name else 1
        self._failing = queued.name
        self.kill_switch_engaged = self._failures >= self._max_kill_count


def _encode(call: Call) -> str:
    message = {"service": call.service, "operation": call.operation, "data": call.data}
    return json.dumps(message, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _read(packet: _Packet, body: bytes) -> tuple[list[Data], list[Data]]:
    """Return answers in the order of the calls, and events. Raises _UnreadableError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _UnreadableError(f"the answer is not JSON: {error}") from error
    match document:
        case {"packetId": int(packet_id), "responses": [*answers]} if packet_id in {packet.id, UNNUMBERED}:
            pass
        case _:
            raise _UnreadableError(f"the answer does not belong to packet {packet.id}")
    if packet_id == UNNUMBERED and len(answers) == 1:
        answers *= len(packet.calls)  # the server could not count the calls of what it could not read
    if len(answers) != len(packet.calls):
        raise _UnreadableError(f"{len(answers)} answers to {len(packet.calls)} calls")
    for queued, answer in zip(packet.calls, answers, strict=True):
        _check(queued, answer)
    events = document.get("events") or []
    return answers, [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []


def _check(queued: _Queued, answer: Any) -> None:
    match answer:
        case {"status": int(status)} if status != STATUS_OK:
            return
        case {"status": int(), "data": dict(data)} if queued.name != AUTHENTICATE or _session_in(data):
            return
        case {"status": int(), "data": None} if queued.name != AUTHENTICATE:
            return
        case {"status": int()} if "data" not in answer and queued.name != AUTHENTICATE:
            return
    raise _UnreadableError(f"an answer to {queued.service}.{queued.operation} that makes no sense")


def _session_in(data: Data) -> bool:
    return bool(_text(data, "sessionId") and _text(data, "profileId"))


def _text(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _number_above_zero(data: Data, key: str, default: float) -> float:
    value = data.get(key)
    return value if isinstance(value, int | float) and value > 0 else default
