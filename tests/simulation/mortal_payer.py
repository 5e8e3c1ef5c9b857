"""The real server, made to die while it pays rewards: `python -m tests.simulation.mortal_payer serve …`.

DIE_AT says when: `before_commit` kills the process inside the transaction of the third payment,
`after_commit` when the third payment is committed and the fourth begins.
"""

import os
import signal
from typing import Any

from gameserver.__main__ import main
from gameserver.services.tournament import payouts

THIRD = 3

_claim = payouts.claim
_paid: list[str] = []


async def claim(*arguments: Any) -> Any:
    """Pay and count, or refuse: other tests leave results behind whose templates are unknown here."""
    if os.environ["DIE_AT"] == "after_commit" and len(_paid) == THIRD:
        os.kill(os.getpid(), signal.SIGKILL)
    done = await _claim(*arguments)
    _paid.append("one more")
    if os.environ["DIE_AT"] == "before_commit" and len(_paid) == THIRD:
        os.kill(os.getpid(), signal.SIGKILL)
    return done


payouts.claim = claim  # type: ignore[assignment]

if __name__ == "__main__":
    main()
