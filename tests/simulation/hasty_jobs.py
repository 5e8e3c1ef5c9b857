"""The real server, whose leases of jobs are short: `python -m tests.simulation.hasty_jobs serve …`."""

from gameserver.__main__ import main
from gameserver.jobs import scheduler

scheduler.TICK_SECONDS, scheduler.LEASE_SECONDS = 0.1, 1.0

if __name__ == "__main__":
    main()
