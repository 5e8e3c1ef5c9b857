"""A client written from `protocol/` alone, with nothing but Python's standard library.

It does what README.md of that folder says, step by step, so that a stumble here is a hole there.
"""

import hashlib
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

TRIES_SECONDS = (15, 20, 35, 50)  # retries.md
TRY_AGAIN = {502, 503, 504}
SESSION_IS_OVER = {40303, 40304, 40356}  # errors.md


class Refused(Exception):
    """A message was refused."""

    def __init__(self, entry: dict[str, Any]) -> None:
        super().__init__(entry["status_message"])
        self.reason_code: int = entry["reason_code"]


@dataclass
class PlainClient:
    """Speaks packets, one at a time."""

    url: str
    app_id: str
    secret: str
    session_id: str = ""
    profile_id: str = ""
    packet_id: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, service: str, operation: str, **data: Any) -> Any:
        """Send one message; return its data. Raises `Refused`."""
        [entry] = self.packet((service, operation, data))
        if entry["status"] != 200:
            raise Refused(entry)
        return entry["data"]

    def packet(self, *calls: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Send messages as one packet; return the entry of each."""
        messages = [{"service": s, "operation": o, "data": d} for s, o, d in calls]
        packet = {
            "packetId": self.packet_id,
            "sessionId": self.session_id,
            "gameId": self.app_id,
            "messages": messages,
        }
        self.packet_id += 1
        answer = self._send(json.dumps(packet).encode())
        self.events += answer.get("events", [])
        entries: list[dict[str, Any]] = answer["responses"]
        while len(entries) < len(calls):
            entries.append(entries[-1])  # packets.md: a single entry answers all that have none
        if any(entry.get("reason_code") in SESSION_IS_OVER for entry in entries):
            self.session_id = ""
        return entries

    def log_in(self, external_id: str) -> dict[str, Any]:
        """Log in as a new player, as sessions.md says."""
        state: dict[str, Any] = self.call(
            "authenticationV2",
            "AUTHENTICATE",
            authenticationType="Anonymous",
            externalId=external_id,
            authenticationToken="",
            forceCreate=True,
            profileId=self.profile_id,
        )
        self.session_id, self.profile_id = state["sessionId"], state["profileId"]
        return state

    def _send(self, body: bytes) -> dict[str, Any]:
        signature = hashlib.md5(body + self.secret.encode()).hexdigest()  # signature.md
        headers = {"Content-Type": "application/json", "X-SIG": signature}
        for wait in TRIES_SECONDS:
            request = urllib.request.Request(f"{self.url}/dispatcherv2", body, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=wait) as response:
                    answer: dict[str, Any] = json.load(response)
                    return answer
            except urllib.error.HTTPError as error:
                if error.code not in TRY_AGAIN:
                    raise
            except (urllib.error.URLError, TimeoutError):
                pass  # no answer: the same bytes again
            time.sleep(0.2)
        raise TimeoutError("no answer")
