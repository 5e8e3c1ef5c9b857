"""Whatever is lost on the way: every call is settled once, and no packet is sent in two versions."""

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from gameserver_client import Call, PacketCore, SessionEndedError, Settings
from gameserver_client.protocol import HttpRequest, Outcome

LOGIN = Call("authenticationV2", "AUTHENTICATE", {})

fates = st.sampled_from(["fine", "request lost", "answer lost", "refused", "503", "garbage", "cut short"])
steps = st.one_of(
    st.integers(1, 4).map(lambda n: ("bundle", n)),
    st.just(("call", 1)),
    fates.map(lambda fate: ("exchange", fate)),
    st.floats(0.01, 60).map(lambda seconds: ("pass", seconds)),
)


class Server:
    """Runs every packet once and keeps its answer, as the real one does."""

    def __init__(self) -> None:
        self.bodies: dict[int, bytes] = {}
        self.answers: dict[int, bytes] = {}
        self.ran: list[int] = []

    def receive(self, request: HttpRequest) -> bytes:
        assert self.bodies.setdefault(request.packet_id, request.body) == request.body
        if request.packet_id not in self.answers:
            packet = json.loads(request.body)
            assert request.packet_id > max(self.answers, default=-1)
            responses = [self.run(message) for message in packet["messages"]]
            answer = {"packetId": packet["packetId"], "responses": responses}
            self.answers[request.packet_id] = json.dumps(answer).encode()
        return self.answers[request.packet_id]

    def run(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["operation"] == "AUTHENTICATE":
            data = {"sessionId": "s", "profileId": "p", "playerSessionExpiry": 60, "maxBundleMsgs": 4}
            return {"status": 200, "data": data}
        if message["service"] != "heartbeat":
            self.ran.append(message["data"]["n"])
        return {"status": 200, "data": message["data"]}


class World:
    """One core, one server, and a network that does what it is told."""

    def __init__(self) -> None:
        self.core = PacketCore("10001", settings=Settings(), random=lambda: 0.5)
        self.server = Server()
        self.now = 0.0
        self.made: dict[int, int] = {}  # token: number
        self.settled: dict[int, Outcome] = {}

    def call(self, count: int) -> None:
        numbers = [len(self.made) + i for i in range(count)]
        tokens = self.core.enqueue_bundle([Call("echo", "ECHO", {"n": n}) for n in numbers])
        self.made.update(zip(tokens, numbers, strict=True))

    def exchange(self, fate: str) -> bool:
        request = self.core.next_request(self.now)
        self.collect()
        if request is None:
            wakeup = self.core.next_wakeup(self.now)
            self.now = self.now if wakeup is None else max(self.now, wakeup)
            return False
        assert 0 < request.timeout_seconds <= 50
        if fate in {"request lost", "answer lost"}:
            if fate == "answer lost":
                self.server.receive(request)
            self.now += request.timeout_seconds
            self.core.on_failure(self.now, TimeoutError())
        elif fate == "refused":
            self.core.on_failure(self.now, ConnectionError())
        elif fate == "503":
            self.core.on_response(self.now, 503, b"{}")
        else:
            body = self.server.receive(request)
            body = {"fine": body, "garbage": b"<html>", "cut short": body[:-2]}[fate]
            self.core.on_response(self.now, 200, body)
        self.collect()
        return True

    def collect(self) -> None:
        for outcome in self.core.take_outcomes():
            assert outcome.token not in self.settled
            self.settled[outcome.token] = outcome

    def finish(self) -> None:
        while len(self.settled) < len(self.made) + 1:
            self.exchange("fine")


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=60))
def test_every_call_is_settled_once_and_runs_once(script: list[tuple[str, Any]]) -> None:
    world = World()
    login = world.core.enqueue(LOGIN)
    for kind, value in script:
        if kind in {"call", "bundle"}:
            world.call(value)
        elif kind == "exchange":
            world.exchange(value)
        else:
            world.now += value
    world.finish()
    assert world.settled.keys() == {login, *world.made}
    assert len(world.server.ran) == len(set(world.server.ran))
    for token, number in world.made.items():
        outcome = world.settled[token]
        if outcome.error is None:
            assert outcome.data == {"n": number}
            assert number in world.server.ran
        elif isinstance(outcome.error, SessionEndedError):
            assert number not in world.server.ran
    succeeded = [world.made[t] for t in world.made if world.settled[t].error is None]
    assert [n for n in world.server.ran if n in succeeded] == succeeded


@settings(max_examples=200, deadline=None)
@given(st.lists(fates, max_size=3), st.integers(1, 9))
def test_three_misfortunes_are_survived(misfortunes: list[str], calls: int) -> None:
    world = World()
    world.core.enqueue(LOGIN)
    world.exchange("fine")
    for _ in range(calls):
        world.call(1)
    for fate in misfortunes:
        while not world.exchange(fate):
            pass
        if len(world.settled) == calls + 1:
            return
    world.finish()
    assert all(outcome.error is None for outcome in world.settled.values())
    assert world.server.ran == list(range(calls))
