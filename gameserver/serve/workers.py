"""Several processes over one Redis and PostgreSQL, which share the sockets that take connections."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog
from prometheus_client.multiprocess import mark_process_dead

from gameserver import logs
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.serve.errors import CannotServe
from gameserver.serve.process import Listeners, Ready, invitation_of, opened, run, serve_here
from gameserver.settings import Settings

log = structlog.get_logger(__name__)

RESTART_PAUSE_SECONDS = 1.0


def supervise(settings: Settings, listeners: Listeners, ready: Ready) -> None:
    """Keep the wanted number of workers running until a signal comes. Raises `CannotServe`."""
    invitation = run(_try_opening(settings))  # one clear sentence now, not one from every worker
    with contextlib.ExitStack() as stack:
        metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not metrics:  # where workers add up what they count
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="gameserver-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            stack.callback(os.environ.pop, "PROMETHEUS_MULTIPROC_DIR")
        _Workers(settings, listeners, metrics).run(
            lambda: ready(list(load_apps(settings.apps, registry().sections())), invitation)
        )


async def _try_opening(settings: Settings) -> str | None:
    async with opened(settings) as server:
        return await invitation_of(server)


class _Workers:
    """Worker processes that share a listening socket; one that dies is replaced."""

    def __init__(self, settings: Settings, listeners: Listeners, metrics: str) -> None:
        self._settings = settings
        self._listeners = listeners
        self._metrics = metrics
        self._spawn = multiprocessing.get_context("spawn")
        self._running: dict[multiprocessing.process.BaseProcess, multiprocessing.connection.Connection] = {}
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> None:
        """Return when a signal has come and every worker has finished."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        for _ in range(self._settings.workers):
            self._start()
        starting = set(self._running)
        while self._running:
            self._wait()
            for process, pipe in list(self._running.items()):
                if process in starting and pipe.poll() and _says_ready(pipe):
                    starting.discard(process)
                    if not starting and not self._stopping:
                        ready()
                if not process.is_alive():
                    self._bury(process)
                    if process in starting and not self._stopping:
                        self._end_all()
                        raise CannotServe("a worker process ended while it started; its log says why")
                    if not self._stopping:
                        log.error("worker_ended", pid=process.pid, exit_code=process.exitcode)
                        time.sleep(RESTART_PAUSE_SECONDS)
                        self._start()

    def _start(self) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=_work, args=(self._settings, self._listeners, theirs))
        process.start()
        theirs.close()
        self._running[process] = ours

    def _wait(self) -> None:
        """Sleep until a worker speaks or ends; not for long, because a signal wakes nobody here."""
        pipes = [pipe for pipe in self._running.values() if not pipe.closed]
        multiprocessing.connection.wait(
            [*pipes, *(process.sentinel for process in self._running)], timeout=0.2
        )

    def _bury(self, process: multiprocessing.process.BaseProcess) -> None:
        process.join()
        self._running.pop(process).close()
        mark_process_dead(process.pid, self._metrics)  # type: ignore[no-untyped-call]  # the package has no types there

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Pass a wish to stop on; a second SIGINT makes workers drop what they do, as in a single process."""
        self._stopping = True
        for process in self._running:
            if process.is_alive() and process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _end_all(self) -> None:
        self._stop(signal.SIGTERM, None)
        for process in list(self._running):
            self._bury(process)


def _says_ready(pipe: multiprocessing.connection.Connection) -> bool:
    try:
        return bool(pipe.recv() == "ready")
    except (EOFError, OSError):
        return False


def _work(settings: Settings, listeners: Listeners, pipe: multiprocessing.connection.Connection) -> None:
    """Run a worker process."""
    logs.configure(settings.log_level)
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    try:
        run(serve_here(settings, listeners, lambda *_: pipe.send("ready"), invites=False))
    except CannotServe as error:
        log.error("worker_cannot_serve", reason=str(error))  # noqa: TRY400 - the sentence says it all
        sys.exit(1)


def _follow(pipe: multiprocessing.connection.Connection) -> None:
    """End with the process that started this one, however it ended."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGTERM)
