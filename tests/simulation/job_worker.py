"""A process that runs a job: `python -m tests.simulation.job_worker DATABASE LOG`.

The job writes a line when it begins and one when it ends. Its leases are short, so that a test need not wait.
"""

import asyncio
import os
import sys
from pathlib import Path

from gameserver.frame import Parts
from gameserver.jobs import Job, JobRun, Scheduler, scheduler
from gameserver.storage import open_database
from gameserver.wire.clock import SystemClock

JOB = "test.kill"
LEASE_SECONDS = 1.5
RUN_SECONDS = 0.05


async def main(url: str, path: str) -> None:
    scheduler.TICK_SECONDS, scheduler.LEASE_SECONDS = 0.05, LEASE_SECONDS
    log = os.open(Path(path), os.O_WRONLY | os.O_APPEND)

    async def work(_: JobRun) -> None:
        os.write(log, f"begin {os.getpid()}\n".encode())
        await asyncio.sleep(RUN_SECONDS)  # what takes time
        os.write(log, f"end {os.getpid()}\n".encode())

    database = await open_database(url)
    await Scheduler([Job(JOB, work, every_seconds=0.1)], database, SystemClock(), [], Parts()).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
