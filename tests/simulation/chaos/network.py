"""A network that loses, doubles, delays and cuts what travels on it, below the official client."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from tests.simulation.chaos.fleet import Server
from tests.simulation.chaos.ledger import Copy, Ledger, Sent

NOBODY = "no server runs"
DELAY_SECONDS_MAX = 4.0
HELD_SECONDS_MAX = 1.5  # how long a request is held back while no server runs
COPY_SECONDS_MAX = 10.0  # how long a copy nobody waits for may take


@dataclass(frozen=True)
class Rates:
    """How often each mishap befalls a request."""

    lost_request: float = 0.03
    cut_request: float = 0.01
    lost_answer: float = 0.04
    hang_up: float = 0.04  # the client goes away while the server works
    doubled: float = 0.05
    copied_later: float = 0.05
    asked_again: float = 0.05  # right after its answer
    held_up: float = 0.03  # its repeat overtakes it


CALM = Rates(0, 0, 0, 0, 0, 0, 0, 0)


class Network:
    """Carries the packets of all players. What it sees goes to the ledger."""

    def __init__(self, ledger: Ledger, chance: random.Random, rates: Rates) -> None:
        self.ledger = ledger
        self.chance = chance
        self.rates = rates
        self._http = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64)
        )
        self.seconds: list[float] = []  # what each delivery took
        self._strays: set[asyncio.Task[None]] = set()
        self._carried: set[asyncio.Task[httpx.Response]] = set()

    async def settle(self) -> None:
        """Wait for the copies that are still under way."""
        while under_way := [*self._strays, *self._carried]:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def close(self) -> None:
        """Hang up."""
        for stray in self._strays:
            stray.cancel()
        await self.settle()
        await self._http.aclose()

    async def exchange(self, request: httpx.Request, sent: Sent) -> httpx.Response:
        """Send a packet as a client does, maybe with a mishap."""
        fleet = self.ledger.fleet
        if not fleet.servers:
            await fleet.wait_for_server(HELD_SECONDS_MAX)
        server = fleet.any(self.chance)
        if server is None:
            raise httpx.ConnectError(NOBODY)
        dice, rates = self.chance.random(), self.rates
        for name, mishap in (
            ("lost_request", self._lose_request),
            ("cut_request", self._cut_request),
            ("lost_answer", self._lose_answer),
            ("hang_up", self._hang_up),
            ("doubled", self._double),
            ("copied_later", self._copy_later),
            ("asked_again", self._ask_again),
            ("held_up", self._hold_up),
        ):
            dice -= getattr(rates, name)
            if dice < 0:
                if sent.is_login and name in {"doubled", "copied_later", "asked_again", "held_up"}:
                    break  # a login is not replayed: a copy is another login
                self.ledger.counts[name] += 1
                return await mishap(request, sent, server)
        return await self.deliver(request, sent, server)

    async def deliver(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        """Send one copy and see its answer."""
        copy = self.ledger.send(sent, server)
        return await self._deliver(request, sent, copy)

    async def _deliver(self, request: httpx.Request, sent: Sent, copy: Copy) -> httpx.Response:
        """Carry a copy to its end, within the time-outs it came with, even when its sender has given up waiting.

        The HTTP library leaves a socket behind when a busy machine lets a connect and its cancellation meet.
        """
        task = asyncio.create_task(self._carry(request, sent, copy))
        self._carried.add(task)
        task.add_done_callback(self._carried_off)
        return await asyncio.shield(task)

    def _carried_off(self, task: "asyncio.Task[httpx.Response]") -> None:
        self._carried.discard(task)
        if not task.cancelled():
            task.exception()  # which its sender does not hear of who has given up

    async def _carry(self, request: httpx.Request, sent: Sent, copy: Copy) -> httpx.Response:
        parts = urlsplit(copy.server.url)
        url = request.url.copy_with(host=parts.hostname, port=parts.port)
        again = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            content=request.content,
            extensions=request.extensions,
        )
        began = time.perf_counter()
        try:
            response = await self._http.handle_async_request(again)
            body = await response.aread()
        except httpx.ConnectError:
            copy.is_open = False  # it never got there
            raise
        self.seconds.append(time.perf_counter() - began)
        self.ledger.answered(sent, copy, response.status_code, response.content)
        kept = {name: value for name, value in response.headers.items() if name.lower() == "content-type"}
        return httpx.Response(response.status_code, headers=kept, content=body)

    async def _lose_request(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        raise (
            httpx.ReadTimeout("lost on the way") if self.chance.random() < 0.3 else httpx.ConnectError("lost")
        )

    async def _cut_request(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        whole = _bytes(request)
        await self._send_and_go(whole[: self.chance.randrange(len(whole))], server, 0)
        raise httpx.WriteError("cut")

    async def _send_and_go(self, sent: bytes, server: Server, patience: float) -> bool:
        """Send bytes, and close the connection after so many seconds; False when there was none."""
        parts = urlsplit(server.url)
        try:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            return False
        with contextlib.suppress(OSError):
            try:
                writer.write(sent)
                await writer.drain()
                await asyncio.sleep(patience)
            finally:
                writer.close()
        return True

    async def _lose_answer(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        await self.deliver(request, sent, server)
        raise httpx.ReadError("lost on the way back")

    async def _hang_up(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        copy = self.ledger.send(sent, server)
        copy.is_open = await self._send_and_go(_bytes(request), server, self.chance.uniform(0, 0.01))
        raise httpx.ReadError("hung up")

    async def _double(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        other = self.ledger.fleet.any(self.chance) or server
        outcomes = await asyncio.gather(
            self.deliver(request, sent, server), self.deliver(request, sent, other), return_exceptions=True
        )
        responses = [outcome for outcome in outcomes if isinstance(outcome, httpx.Response)]
        if not responses:
            raise next(outcome for outcome in outcomes if isinstance(outcome, BaseException))
        return min(responses, key=lambda response: response.status_code)

    async def _copy_later(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        self._stray(request, sent, self.chance.uniform(0, DELAY_SECONDS_MAX))
        return await self.deliver(request, sent, server)

    async def _ask_again(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        response = await self.deliver(request, sent, server)
        for other in self.ledger.fleet.servers:
            with contextlib.suppress(httpx.HTTPError):
                await self.deliver(request, sent, other)
        return response

    async def _hold_up(self, request: httpx.Request, sent: Sent, server: Server) -> httpx.Response:
        self._stray(request, sent, self.chance.uniform(0, DELAY_SECONDS_MAX))
        raise httpx.ReadTimeout("held up")

    def _stray(self, request: httpx.Request, sent: Sent, delay: float) -> None:
        """Let a copy arrive later, when nobody waits for it."""

        async def arrive() -> None:
            await asyncio.sleep(delay)
            server = self.ledger.fleet.any(self.chance)
            if server is not None:
                with contextlib.suppress(httpx.HTTPError, TimeoutError):
                    async with asyncio.timeout(COPY_SECONDS_MAX):
                        await self.deliver(request, sent, server)

        task = asyncio.create_task(arrive())
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)


def _bytes(request: httpx.Request) -> bytes:
    """Write a request as it travels."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % header for header in request.headers.raw]
    return b"\r\n".join([*lines, b"", request.content])


class Line(httpx.AsyncBaseTransport):
    """One player's way into the network; `last` is the packet sent last."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.last: Sent | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request of the player's client."""
        sent = self.last = self.network.ledger.packet(request.content)
        return await self.network.exchange(request, sent)
