"""The real server with one operation more, `slow.WAIT`: `python -m tests.simulation.slow_server serve …`.

WAIT runs until the file named by its `until` exists, and appends a line to the file named by `ran`. Packets
count as taking too long after SLOW_RUN_SECONDS_MAX instead of a minute.
"""

import asyncio
import os
import threading
from pathlib import Path

import gameserver.services
from gameserver.__main__ import main
from gameserver.rpc import Context, Service, Tx, runs
from gameserver.scripts import ScriptSettings
from gameserver.wire.shapes import Request

service = Service("slow")


class Wait(Request):
    until: str
    ran: str


@service.operation("WAIT", tx=Tx.NONE)
async def wait(ctx: Context, request: Wait) -> None:
    """Wait."""
    await asyncio.to_thread(_wait, Path(request.until), Path(request.ran))


def _wait(until: Path, ran: Path) -> None:
    with ran.open("a") as file:
        file.write("ran\n")
    while not until.exists():
        _PAUSE.wait(0.02)


_PAUSE = threading.Event()  # never set


gameserver.services.ALL = (*gameserver.services.ALL, service)
runs.RUN_SECONDS_MAX = float(os.environ.get("SLOW_RUN_SECONDS_MAX", "60"))  # type: ignore[assignment]
ScriptSettings.packet_seconds = 2.5 * runs.RUN_SECONDS_MAX  # type: ignore[method-assign, assignment]
runs.CLAIM_RENEWAL_SECONDS = 0.2  # type: ignore[assignment]

if __name__ == "__main__":
    main()
