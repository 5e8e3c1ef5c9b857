"""The client for asyncio: one background task drives the protocol core."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self

import httpx

from gameserver_client.base import Bundle, ClientBase, Device, OnEvent, log
from gameserver_client.identity import IdentityStore
from gameserver_client.protocol import Call, Data, HttpRequest, Settings

AnswerFuture = asyncio.Future[Data]


class AsyncClient(ClientBase[AnswerFuture]):
    """Calls return futures at once; awaiting one gives the answer's data or raises `GameServerError`.

    Calls made without an `await` between them share a packet. A call that is cancelled before its packet
    leaves is never sent. Use it from one event loop. An `http` client that is given stays open.
    """

    def __init__(
        self,
        url: str,
        app_id: str,
        secret: str = "",
        *,
        settings: Settings | None = None,
        device: Device | None = None,
        store: IdentityStore | None = None,
        on_event: OnEvent | None = None,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet. Raises ValueError for a bad url, and what `store.load` raises."""
        super().__init__(url, app_id, secret, settings, device, store, on_event, nullcontext())
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient()
        self._clock = clock
        self._futures: dict[int, AnswerFuture] = {}
        self._wake = asyncio.Event()
        self._driver: asyncio.Task[None] | None = None
        self._closed = False

    async def call(self, service: str, operation: str, data: Mapping[str, Any] | None = None) -> Data:
        """Run one operation and return its data; an answer without data gives {}. Raises GameServerError."""
        return await self.send(service, operation, data)

    def send(self, service: str, operation: str, data: Mapping[str, Any] | None = None) -> AnswerFuture:
        """Queue one operation; its future settles with the answer. Raises ValueError, TypeError: not JSON."""
        future = self._new_future()
        self._submit([Call(service, operation, data or {})], [future])
        return future

    def bundle(self) -> Bundle[AnswerFuture]:
        """Open a `with` block whose calls travel in one packet; their futures settle after it."""
        return Bundle(self._core.max_bundle, self._new_future, self._submit)

    async def flush(self) -> None:
        """Return when everything sent so far is settled, well or not."""
        if self._futures:
            await asyncio.wait(list(self._futures.values()))

    async def close(self) -> None:
        """Stop. What is not answered yet fails with `NoAnswerError`. Does not sign out."""
        self._closed = True
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.wait([self._driver])
        self._core.close()
        self._deliver()
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; after a block that ended well, wait for what was sent first."""
        if kind is None:
            await self.flush()
        await self.close()

    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> AnswerFuture:
        return self.send(service, operation, data)

    def _new_future(self) -> AnswerFuture:
        return asyncio.get_running_loop().create_future()

    def _submit(self, calls: list[Call], futures: list[AnswerFuture]) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")
        for token, future in zip(self._core.enqueue_bundle(calls), futures, strict=True):
            self._futures[token] = future
        if self._driver is None:
            self._driver = asyncio.create_task(self._drive(), name="gameserver_client")
        self._wake.set()

    def _take_back_cancelled(self) -> None:
        """Not left to the futures' callbacks: those run a turn later, when the packet may be gone."""
        for token in [token for token, future in self._futures.items() if future.cancelled()]:
            if self._core.cancel(token):
                del self._futures[token]

    async def _drive(self) -> None:
        while True:
            self._wake.clear()
            self._take_back_cancelled()
            request = self._core.next_request(self._clock())
            self._deliver()
            if request is None:
                await self._rest()
            else:
                await self._exchange(request)
                self._deliver()

    async def _rest(self) -> None:
        """Until a call is queued or the core has something to do."""
        now = self._clock()
        wakeup = self._core.next_wakeup(now)
        try:
            async with asyncio.timeout(None if wakeup is None else max(0.0, wakeup - now)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _exchange(self, request: HttpRequest) -> None:
        try:
            async with asyncio.timeout(request.timeout_seconds):  # httpx limits each read, not their sum
                response = await self._http.post(
                    self.url,
                    content=request.body,
                    headers=dict(request.headers),
                    timeout=request.timeout_seconds,
                )
        except (TimeoutError, httpx.TimeoutException) as error:
            self._core.on_failure(self._clock(), TimeoutError(f"no answer in time ({type(error).__name__})"))
        except httpx.HTTPError as error:
            self._core.on_failure(self._clock(), error)
        except Exception as error:  # whatever it is, the task must live on and the callers must hear of it
            log.exception("sending packet %s failed", request.packet_id)
            self._core.on_failure(self._clock(), error)
        else:
            self._core.on_response(self._clock(), response.status_code, response.content)

    def _deliver(self) -> None:
        self._save_identity()
        for outcome in self._core.take_outcomes():
            future = self._futures.pop(outcome.token, None)
            if future is None or future.done():
                continue
            if outcome.error is None:
                future.set_result(outcome.data)
            else:
                future.set_exception(outcome.error)
        self._hand_over(self._core.take_events())
