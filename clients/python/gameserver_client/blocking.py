"""The client for threads: one daemon worker drives the protocol core."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx

from gameserver_client.base import Bundle, ClientBase, Device, OnEvent, log
from gameserver_client.identity import IdentityStore
from gameserver_client.protocol import Call, Data, HttpRequest, Outcome, Settings

AnswerFuture = Future[Data]


class Client(ClientBase[Data]):
    """`call` waits for its answer, `send` returns a future. Any thread may use it.

    `on_event` and the futures' callbacks run on the worker thread: there use `send`, never `call`.
    An `http` client that is given stays open, and is used by the worker only.
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
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet. Raises ValueError for a bad url, and what `store.load` raises."""
        self._changed = threading.Condition()  # guards the core, the futures and what follows
        super().__init__(url, app_id, secret, settings, device, store, on_event, self._changed)
        self._owns_http = http is None
        self._http = http or httpx.Client()
        self._clock = clock
        self._futures: dict[int, AnswerFuture] = {}
        self._closed = False
        self._exchanging = False
        self._worker: threading.Thread | None = None

    def call(self, service: str, operation: str, data: Mapping[str, Any] | None = None) -> Data:
        """Run one operation and return its data; an answer without data gives {}. Raises GameServerError."""
        if threading.current_thread() is self._worker:
            raise RuntimeError("a callback cannot wait for an answer: use send()")
        return self.send(service, operation, data).result()

    def send(self, service: str, operation: str, data: Mapping[str, Any] | None = None) -> AnswerFuture:
        """Queue one operation; its future settles with the answer. Raises ValueError, TypeError: not JSON."""
        future = AnswerFuture()
        self._submit([Call(service, operation, data or {})], [future])
        return future

    def bundle(self) -> Bundle[AnswerFuture]:
        """Open a `with` block whose calls travel in one packet; their futures settle after it."""
        return Bundle(self._core.max_bundle, AnswerFuture, self._submit)

    def flush(self) -> None:
        """Return when everything sent so far is settled, well or not."""
        with self._changed:
            sent = set(self._futures)
            self._changed.wait_for(lambda: sent.isdisjoint(self._futures))

    def close(self) -> None:
        """Stop. What is not answered yet fails with `NoAnswerError`. Does not sign out.

        A request under way is left to the worker, which throws its answer away and ends.
        """
        with self._changed:
            self._closed = True
            self._core.close()
            settled = self._settled()
            self._changed.notify_all()
            worker = None if self._exchanging else self._worker
        self._deliver(settled)
        if self._worker is None:
            self._close_http()
        elif worker is not None and worker is not threading.current_thread():
            worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; after a block that ended well, wait for what was sent first."""
        if kind is None:
            self.flush()
        self.close()

    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> Data:
        return self.call(service, operation, data)

    def _submit(self, calls: list[Call], futures: list[AnswerFuture]) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("the client is closed")
            tokens = self._core.enqueue_bundle(calls)
            self._futures.update(zip(tokens, futures, strict=True))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="gameserver_client", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        for token, future in zip(tokens, futures, strict=True):
            future.add_done_callback(partial(self._forget, token))

    def _forget(self, token: int, future: AnswerFuture) -> None:
        with self._changed:
            self._futures.pop(token, None)
            self._changed.notify_all()
            never_sent = future.cancelled() and self._core.cancel(token)
        if never_sent:
            future.set_running_or_notify_cancel()  # no outcome will come to do it

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    break
                request = self._core.next_request(self._clock())
                settled = self._settled()
                self._exchanging = request is not None
                if request is None and not settled:
                    now = self._clock()
                    wakeup = self._core.next_wakeup(now)
                    self._changed.wait(None if wakeup is None else max(0.0, wakeup - now))
            self._deliver(settled)
            if request is not None:
                self._exchange(request)
        self._close_http()

    def _exchange(self, request: HttpRequest) -> None:
        answer: httpx.Response | Exception
        try:
            answer = self._http.post(
                self.url,
                content=request.body,
                headers=dict(request.headers),
                timeout=request.timeout_seconds,
            )
        except httpx.TimeoutException as error:
            answer = TimeoutError(f"no answer in time ({type(error).__name__})")
        except httpx.HTTPError as error:
            answer = error
        except Exception as error:  # whatever it is, the worker must live on and the callers must hear of it
            log.exception("sending packet %s failed", request.packet_id)
            answer = error
        with self._changed:
            self._exchanging = False
            if self._closed:
                return
            if isinstance(answer, httpx.Response):
                self._core.on_response(self._clock(), answer.status_code, answer.content)
            else:
                self._core.on_failure(self._clock(), answer)
            settled = self._settled()
        self._deliver(settled)

    def _settled(self) -> list[Callable[[], object]]:
        """List what there is to tell, as steps to run without the lock: they may run the game's code."""
        self._save_identity()
        steps: list[Callable[[], object]] = []
        for outcome in self._core.take_outcomes():
            future = self._futures.get(outcome.token)
            if future is not None:
                steps.append(partial(_settle, future, outcome))
        if events := self._core.take_events():
            steps.append(partial(self._hand_over, events))
        return steps

    @staticmethod
    def _deliver(steps: list[Callable[[], object]]) -> None:
        for step in steps:
            step()

    def _close_http(self) -> None:
        if self._owns_http:
            self._http.close()


def _settle(future: AnswerFuture, outcome: Outcome) -> None:
    if not future.set_running_or_notify_cancel():
        return  # cancelled after it was sent
    if outcome.error is None:
        future.set_result(outcome.data)
    else:
        future.set_exception(outcome.error)
