"""`python -m tests.simulation.chaos --seconds 1800 --seed 7 [--services]`: ends with 1 if a promise broke."""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
from pathlib import Path

from tests.simulation.chaos.run import Plan, report, run
from tests.simulation.chaos.server import BREAKS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long things go wrong")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--services",
        action="store_true",
        help="several processes over PostgreSQL and Redis, instead of one that is embedded",
    )
    parser.add_argument("--players", type=int, default=24)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument(
        "--lease", type=int, default=3, help="seconds after which a silent process loses its packets"
    )
    parser.add_argument("--broken", choices=BREAKS, help="break the server on purpose; the run must notice")
    chosen = parser.parse_args()
    plan = Plan(
        services=chosen.services,
        seconds=chosen.seconds,
        seed=chosen.seed,
        players=chosen.players,
        servers=chosen.servers,
        lease_seconds=chosen.lease,
        broken=chosen.broken or "",
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers with it
    print(f"seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        ledger = asyncio.run(run(plan, Path(folder), sys.stdout))
    print(report(ledger))
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
