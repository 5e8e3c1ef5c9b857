"""A run of tests in several processes (`GAMESERVER_TEST_PROCESSES=2`): all cores are used until the end.

They are forked when the tests are collected, so that modules are read once, and each takes the next file that
nobody has taken. All reports come to the process that was started, and so does what the tests have found out
for the checks that look at the whole run: it runs these itself at the end.
"""

import atexit
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

FORK = multiprocessing.get_context("fork")


class Sharing:
    """Runs the tests of a session in some processes.

    At its end each calls `learnt`, and what it returns is given to `learn` in the first process. That then
    runs the tests that `comes_last` picks.
    """

    def __init__(
        self,
        processes: int,
        comes_last: Callable[[pytest.Item], bool],
        learnt: Callable[[], Any],
        learn: Callable[[Any], None],
    ) -> None:
        self._processes = processes
        self._comes_last = comes_last
        self._learnt, self._learn = learnt, learn
        self._next = FORK.Value("i", 0)  # which file is to be taken next
        self._parent: Connection | None = None
        self._config: Any = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run what was collected; leaves it to pytest when that is nothing, or not wanted."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        self._config = session.config
        files: dict[str, list[pytest.Item]] = {}
        last: list[pytest.Item] = []
        for item in session.items:
            (last if self._comes_last(item) else files.setdefault(item.nodeid.partition("::")[0], [])).append(
                item
            )
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one folder for all
        told = dict(
            self._fork(session, list(files.values())) for _ in range(min(self._processes, len(files)))
        )
        self._listen(session, len(files), told)
        _run(session, iter(last))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell it to the first process."""
        if self._parent is not None:
            config = self._config
            self._parent.send(config.hook.pytest_report_to_serializable(config=config, report=report))

    def _fork(self, session: pytest.Session, files: list[list[pytest.Item]]) -> tuple[Connection, int]:
        ours, theirs = FORK.Pipe(duplex=False)
        process = os.fork()
        if process:
            theirs.close()
            return ours, process
        try:
            self._parent = theirs
            plugins = session.config.pluginmanager
            plugins.unregister(name="terminalreporter")
            capture: Any = plugins.get_plugin("capturemanager")
            capture.stop_global_capturing()  # into files that all have in common
            capture.start_global_capturing()
            with suppress(session.Interrupted, session.Failed):  # the first process finds out by itself
                _run(session, itertools.chain.from_iterable(self._taken(files)))
            theirs.send((self._learnt(),))
            atexit._run_exitfuncs()
            os._exit(0)
        finally:
            os._exit(1)

    def _taken(self, files: list[list[pytest.Item]]) -> Iterator[list[pytest.Item]]:
        """Files that no other process takes."""
        while True:
            with self._next:
                place = self._next.value
                self._next.value += 1
            if place >= len(files):
                return
            yield files[place]

    def _listen(self, session: pytest.Session, files: int, told: dict[Connection, int]) -> None:
        """Take part in what the others do, until they have ended; `told` are their ids by what they tell."""
        hook = session.config.hook
        while told:
            for connection in wait(list(told)):
                assert isinstance(connection, Connection)
                try:
                    said = connection.recv()
                except EOFError:
                    raise RuntimeError("a process that runs tests has ended early") from None
                if isinstance(said, tuple):
                    self._learn(*said)
                    connection.close()
                    os.waitpid(told.pop(connection), 0)
                    continue
                report = hook.pytest_report_from_serializable(config=session.config, data=said)
                if report.when == "setup":
                    hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
                hook.pytest_runtest_logreport(report=report)
                if report.when == "teardown":
                    hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)
                if session.shouldfail or session.shouldstop:
                    self._next.value = files  # nobody finds more to take


def _run(session: pytest.Session, items: Iterator[pytest.Item]) -> None:
    """Run tests one after another, as pytest does."""
    item = next(items, None)
    while True:
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        if item is None:
            return
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following
