"""A server in miniature that speaks the packet format, loses what it is told to, and runs no packet twice."""

import gzip
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests run from a checkout, installed or not

URL = "http://stub.test"
APP, SECRET = "10001", "hush"


class StubServer:
    """`troubles` are spent one per request; then all goes well."""

    def __init__(self) -> None:
        self.packets: list[dict[str, Any]] = []  # as received, repeated ones too
        self.requests: list[httpx.Request] = []
        self.ran: list[tuple[str, str]] = []
        self.troubles: deque[str] = deque()
        self.refusals: dict[tuple[str, str], tuple[int, int]] = {}
        self.events: list[dict[str, Any]] = []
        self.login_extras: dict[str, Any] = {}
        self.sessions: set[str] = set()
        self.skipped = 0.0
        self.on_request: Callable[[], None] = lambda: None
        self._answers: dict[tuple[str, int], bytes] = {}

    def clock(self) -> float:
        """Real time, plus what time-outs pretend to have taken."""
        return time.monotonic() + self.skipped

    def handle(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        packet = json.loads(body)
        self.packets.append(packet)
        self.requests.append(request)
        self.on_request()
        trouble = self.troubles.popleft() if self.troubles else ""
        if trouble == "refused":
            raise httpx.ConnectError("connection refused")
        if trouble == "deaf":
            self._time_out(request)
        if trouble.isdigit():
            return httpx.Response(int(trouble), json={"packetId": packet["packetId"]})
        assert request.headers["x-sig"] == hashlib.md5(body + SECRET.encode()).hexdigest()
        answer = self._answer(packet)
        if trouble == "lost":
            self._time_out(request)
        if trouble == "garbage":
            return httpx.Response(200, text="<html>")
        return httpx.Response(200, content=answer, headers={"content-type": "application/json"})

    def _time_out(self, request: httpx.Request) -> None:
        self.skipped += request.extensions["timeout"]["read"]
        raise httpx.ReadTimeout("too late")

    def _answer(self, packet: dict[str, Any]) -> bytes:
        key = (packet["sessionId"], packet["packetId"])
        if key not in self._answers:
            answer = {
                "packetId": packet["packetId"],
                "responses": [self._run(packet, message) for message in packet["messages"]],
            }
            if self.events:
                answer["events"] = self.events
                self.events = []
            self._answers[key] = json.dumps(answer).encode()
        return self._answers[key]

    def _run(self, packet: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        name = (message["service"], message["operation"])
        self.ran.append(name)
        if name in self.refusals:
            return refusal(*self.refusals[name])
        if name[1] == "AUTHENTICATE":
            session = f"session-{packet['packetId']}"
            self.sessions.add(session)
            return {"status": 200, "data": login_data(session) | self.login_extras}
        if packet["sessionId"] not in self.sessions:
            return refusal(403, 40304)
        if name == ("playerState", "LOGOUT"):
            self.sessions.discard(packet["sessionId"])
            return {"status": 200, "data": None}
        return {"status": 200, "data": message["data"]}


def login_data(session: str) -> dict[str, Any]:
    return {
        "sessionId": session,
        "profileId": "profile-1",
        "playerSessionExpiry": 1200,
        "maxBundleMsgs": 10,
        "maxKillCount": 11,
    }


def refusal(status: int, reason_code: int) -> dict[str, Any]:
    return {
        "status": status,
        "reason_code": reason_code,
        "status_message": "refused by the stub",
        "severity": "ERROR",
    }


@pytest.fixture
def server() -> StubServer:
    return StubServer()
