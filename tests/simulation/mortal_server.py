"""The real server, made to die when asked: `python -m tests.simulation.mortal_server serve …`.

When the file named by DIE_BEFORE_ANSWER exists, the next packet that wrote something kills the process after its
commit and before anything else happens: no answer, no word to Redis. DIE_BEFORE_COMMIT kills it just before.
"""

import os
import signal
from pathlib import Path
from typing import Any

from gameserver.__main__ import main
from gameserver.rpc.recording import PacketRecord
from gameserver.rpc.runner import Outcome
from gameserver.sessions import Session
from tests.simulation.chaos.server import lease


def _die_if_asked(variable: str) -> None:
    flag = os.environ.get(variable)
    if flag and Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


_finish, _keep, _commit = PacketRecord.finish, PacketRecord.keep, PacketRecord.commit_with_answer


async def finish(self: PacketRecord, session: Session, outcome: Outcome) -> bytes:
    if outcome.wrote:
        _die_if_asked("DIE_BEFORE_ANSWER")
    return await _finish(self, session, outcome)


async def keep(self: PacketRecord, *arguments: Any) -> bytes:
    answer = await _keep(self, *arguments)
    _die_if_asked("DIE_BEFORE_COMMIT")
    return answer


async def commit_with_answer(self: PacketRecord, *arguments: Any) -> bytes | None:
    _die_if_asked("DIE_BEFORE_COMMIT")
    return await _commit(self, *arguments)


lease(3)  # seconds that others wait until they take up what it held, instead of 15
PacketRecord.finish, PacketRecord.keep = finish, keep  # type: ignore[method-assign, assignment]
PacketRecord.commit_with_answer = commit_with_answer  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()
