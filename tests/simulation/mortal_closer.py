"""The real server, made to die while it makes results: `python -m tests.simulation.mortal_closer serve …`.

DIE_AT says when: `before_commit` kills the process inside the transaction of the sixth step, `after_commit` when
the sixth step is committed and the seventh begins.
"""

import itertools
import os
import signal

from gameserver.__main__ import main
from gameserver.frame import Hooks
from gameserver.services.tournament.closing import Closing
from gameserver.storage import Transaction

SIXTH = 6

_step = Closing.step
_numbers = itertools.count(1)


async def step(closing: Closing, hooks: Hooks, tx: Transaction, now_ms: int) -> bool:
    number = next(_numbers)
    if os.environ["DIE_AT"] == "after_commit" and number > SIXTH:
        os.kill(os.getpid(), signal.SIGKILL)
    done = await _step(closing, hooks, tx, now_ms)
    if os.environ["DIE_AT"] == "before_commit" and number == SIXTH:
        os.kill(os.getpid(), signal.SIGKILL)
    return done


Closing.step = step  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()
