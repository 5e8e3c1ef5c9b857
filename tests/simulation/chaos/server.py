"""The real server for chaos runs: `python -m tests.simulation.chaos.server serve …`.

CHAOS_LEASE_SECONDS shortens the lease of a packet's claim, so that a run sees many lapse; CHAOS_HOUSEKEEPING_SECONDS
says what a minute takes for jobs, where the clock runs fast. CHAOS_CONTROLS names a file that sets its clock wrong and makes its disk slow.
CHAOS_BREAK names a way to break the server on purpose: whoever counts its effects must notice.
"""

import os
import time
from pathlib import Path
from typing import Any

from gameserver.__main__ import main
from gameserver.jobs import scheduler
from gameserver.realtime import Connections
from gameserver.rpc import runs, steps
from gameserver.rpc.recording import PacketRecord
from gameserver.sessions import memory, store
from gameserver.storage import sqlite
from gameserver.wire import clock
from tests.simulation.chaos.controls import Controls

STORES: tuple[Any, ...] = (store.Sessions, memory.MemorySessions)


def lease(seconds: int) -> None:
    """A process that is silent for so long loses the packets it runs."""
    for kind in STORES:
        kind.__init__.__kwdefaults__["lease_seconds"] = seconds
    runs.CLAIM_RENEWAL_SECONDS = seconds / 4  # type: ignore[assignment]


def obey(controls: Controls) -> None:
    """Go by a wrong clock, and commit as slowly as told."""
    right, commit = clock.SystemClock.ms, sqlite.Writer._commit

    def wrong(self: clock.SystemClock) -> int:
        return right(self) + round(controls.clock_seconds * 1000)

    def commit_slowly(self: sqlite.Writer) -> Any:
        time.sleep(controls.commit_seconds)
        return commit(self)

    clock.SystemClock.ms = wrong  # type: ignore[method-assign]
    sqlite.Writer._commit = commit_slowly  # type: ignore[method-assign]


def lift_fence() -> None:
    """Answers are no longer stored with the effects, and nothing keeps a packet from being committed twice."""

    async def keep_nothing(*_: Any) -> None: ...

    PacketRecord.keep = keep_nothing  # type: ignore[assignment,method-assign]
    PacketRecord.commit_with_answer = keep_nothing  # type: ignore[assignment,method-assign]


def forget_ends() -> None:
    """Whoever asks for the end of a session is told that it ended, and it goes on."""

    async def end_nothing(*_: Any, **__: Any) -> list[str]:
        return []

    for kind in STORES:
        kind.end = end_nothing


def split_commit() -> None:
    """The answer is stored in a transaction of its own, after that of the effects."""
    finish, keep = PacketRecord.finish, PacketRecord.keep

    async def keep_later(*_: Any) -> None: ...

    async def finish_and_keep(self: Any, session: Any, outcome: Any) -> bytes:
        answer = await finish(self, session, outcome)
        if outcome.wrote:
            async with self._core.database.write() as tx:
                await keep(self, tx, outcome.entries, self._ctx.effects)
        return answer

    PacketRecord.keep = keep_later  # type: ignore[assignment,method-assign]
    PacketRecord.commit_with_answer = keep_later  # type: ignore[assignment,method-assign]
    PacketRecord.finish = finish_and_keep  # type: ignore[method-assign]


def lose_journal() -> None:
    """What scripts do is stored nowhere: one that is repeated does it again."""

    async def store_nothing(*_: Any) -> None: ...

    steps._StepRecord.store = store_nothing  # type: ignore[assignment,method-assign]


def keep_connections() -> None:
    """Connections stay when their sessions end."""

    def go_on(*_: Any) -> None: ...

    Connections.session_ended = go_on  # type: ignore[assignment,method-assign]


BREAKS = {
    "sockets": keep_connections,
    "fence": lift_fence,
    "ends": forget_ends,
    "commit": split_commit,
    "journal": lose_journal,
}

if seconds := os.environ.get("CHAOS_LEASE_SECONDS"):
    lease(int(seconds))
if seconds := os.environ.get("CHAOS_HOUSEKEEPING_SECONDS"):
    scheduler.TICK_SECONDS = float(seconds) / 60
if path := os.environ.get("CHAOS_CONTROLS"):
    obey(Controls(Path(path)))
if broken := os.environ.get("CHAOS_BREAK"):
    BREAKS[broken]()

if __name__ == "__main__":
    main()
