"""Many real-time connections in a process of their own, as cheap as possible; told what to do by lines of JSON."""

import asyncio
import json
import os
import sys
import time
from typing import Any

import uvloop

from gameserver.http_server import raise_descriptor_limit

CONNECTIONS_PER_ADDRESS = 4000  # of one's own: a server takes so many from one, and there are so many ports
MASK = b"\x00\x00\x00\x00"  # masks nothing, which is allowed


def frame(payload: bytes) -> bytes:
    """A text frame of a client."""
    head = bytes([0x81, 0x80 | len(payload)]) if len(payload) < 126 else b""
    return (head or bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big")) + MASK + payload


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HEARTBEAT = frame(b'{"operation":"HEARTBEAT","service":"rtt","data":null}')


class Socket(asyncio.Protocol):
    """One connection. It knows only what the measurement needs."""

    def __init__(self, session_id: str, secret: str, crowd: "Crowd") -> None:
        hello = {"operation": "CONNECT", "data": {"sessionId": session_id, "auth": {"X-RTT-SECRET": secret}}}
        self.hello = frame(json.dumps(hello).encode())
        self.crowd = crowd
        self.greeted = self.connected = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:
        if not self.greeted:
            self.greeted = True
            self.transport.write(self.hello)
            return
        if not self.connected:
            self.connected = b'"CONNECT"' in data
            self.crowd.connected(self.connected)
            return
        self.crowd.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.lost += 1


class Crowd:
    """All connections of this process."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.lost = self.waiting = self.refused = 0
        self.taken_ms: list[float] = []
        self.all_there = asyncio.Event()

    def connected(self, well: bool) -> None:
        self.waiting -= 1
        self.refused += not well
        if not self.waiting:
            self.all_there.set()

    def heard(self, data: bytes) -> None:
        now = time.monotonic()
        for part in data.split(b'"sent":')[1:]:
            self.taken_ms.append((now - float(part[: part.index(b"}")])) * 1000)

    async def connect(self, host: str, port: int, tickets: list[tuple[str, str]], at_once: int) -> Any:
        loop = asyncio.get_running_loop()
        self.waiting, self.refused = len(tickets), 0
        self.all_there.clear()
        began = time.monotonic()
        slots = asyncio.Semaphore(at_once)

        async def one(session_id: str, secret: str) -> None:
            number = len(self.sockets) // CONNECTIONS_PER_ADDRESS
            made = Socket(session_id, secret, self)
            self.sockets.append(made)
            async with slots:
                await loop.create_connection(
                    lambda: made, host, port, local_addr=(f"127.0.0.{number + 2}", 0)
                )

        await asyncio.gather(*[one(*ticket) for ticket in tickets])
        await self.all_there.wait()
        return {"seconds": time.monotonic() - began, "refused": self.refused}

    async def beat(self, seconds: float, every_seconds: float) -> Any:
        """Let each connection send heartbeats for a while, evenly spread."""
        until = time.monotonic() + seconds
        step = 0.05
        each = max(1, round(len(self.sockets) * step / every_seconds))
        at = sent = 0
        due = time.monotonic()
        while due < until:
            for _ in range(each):
                self.sockets[at].transport.write(HEARTBEAT)
                at = (at + 1) % len(self.sockets)
            sent += each
            due += step
            await asyncio.sleep(max(0, due - time.monotonic()))
        return {"sent": sent}

    async def received(self, count: int) -> Any:
        """Wait for so many messages; tells how long each took, in ms."""
        async with asyncio.timeout(60):
            while len(self.taken_ms) < count:
                await asyncio.sleep(0.01)
        taken, self.taken_ms = sorted(self.taken_ms), []
        return {"taken_ms": taken}


async def main() -> None:
    crowd = Crowd()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        match order.pop("do"):
            case "connect":
                done = await crowd.connect(**order)
            case "beat":
                done = await crowd.beat(**order)
            case "received":
                done = await crowd.received(**order)
        sys.stdout.write(json.dumps({**done, "lost": crowd.lost}) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    raise_descriptor_limit()
    uvloop.run(main())
