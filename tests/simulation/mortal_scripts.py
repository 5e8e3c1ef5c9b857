"""The real server, made to die in the middle of scripts: `python -m tests.simulation.mortal_scripts serve …`.

The file named by DIE_AT holds a number: at that instant of the steps that are made from now on, the process
kills itself. Instants are before and after the commit of each step, and of the packet's answer. With
KILL_WORKER_AT it is the process that runs the script.
"""

import os
import signal
from pathlib import Path
from typing import Any

from gameserver.__main__ import main
from gameserver.rpc import steps
from gameserver.rpc.recording import PacketRecord
from gameserver.rpc.runner import Outcome
from gameserver.scripts.bridge import Bridge
from gameserver.scripts.engine import Engine, Reply
from gameserver.sessions import Session
from gameserver.storage import Transaction
from tests.simulation.chaos.server import lease

INSTANTS = iter(range(10**9))


def _instant() -> None:
    flag = Path(os.environ["DIE_AT"])
    if flag.exists() and next(INSTANTS) >= int(flag.read_text()):
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


_store, _stored = steps._StepRecord.store, steps.Steps._note_stored
_keep, _finish, _call = PacketRecord.keep, PacketRecord.finish, Bridge.call


async def store(self: steps._StepRecord, tx: Transaction) -> None:
    await _store(self, tx)
    _instant()


def stored(self: steps.Steps) -> None:
    _instant()
    _stored(self)


async def keep(self: PacketRecord, *arguments: Any) -> bytes:
    answer = await _keep(self, *arguments)
    _instant()
    return answer


async def finish(self: PacketRecord, session: Session, outcome: Outcome) -> bytes:
    _instant()
    return await _finish(self, session, outcome)


async def call(self: Bridge, *arguments: Any) -> Reply:
    if _is_worker_to_die():
        for worker in list(self.core.get(Engine)._all):
            assert worker._transport is not None
            os.kill(worker._transport.get_pid(), signal.SIGKILL)
    return await _call(self, *arguments)


def _is_worker_to_die() -> bool:
    flag = Path(os.environ.get("KILL_WORKER_AT", "/nowhere"))
    if not flag.exists():
        return False
    calls = int(flag.read_text())
    if calls == 0:
        flag.unlink()
        return True
    flag.write_text(str(calls - 1))
    return False


lease(1)  # seconds that others wait until they take up what it held, instead of 15
steps._StepRecord.store = store  # type: ignore[method-assign]
steps.Steps._note_stored = stored  # type: ignore[method-assign]
PacketRecord.keep, PacketRecord.finish = keep, finish  # type: ignore[method-assign, assignment]
Bridge.call = call  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()
