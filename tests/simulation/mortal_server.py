"""The real server, made to die when asked: `python -m tests.simulation.mortal_server serve …`.

When the file named by DIE_BEFORE_ANSWER exists, the next packet that wrote something kills the process after its
commit and before anything else happens: no answer, no word to Redis. DIE_BEFORE_COMMIT kills it just before.
"""

import os
import signal
from pathlib import Path
from typing import Any

from gameserver.__main__ import main
from gameserver.rpc.packets import Packets
from tests.simulation.chaos.server import lease


def _die_if_asked(variable: str) -> None:
    flag = os.environ.get(variable)
    if flag and Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


_finish, _store = Packets._finish, Packets._store


async def finish(self: Packets, *arguments: Any, in_sql: bool) -> bytes:
    if in_sql:
        _die_if_asked("DIE_BEFORE_ANSWER")
    return await _finish(self, *arguments, in_sql=in_sql)


async def store(self: Packets, *arguments: Any) -> None:
    await _store(self, *arguments)
    _die_if_asked("DIE_BEFORE_COMMIT")


lease(3)  # seconds that others wait until they take up what it held, instead of 15
Packets._finish, Packets._store = finish, store  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
