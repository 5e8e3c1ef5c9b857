"""`python -m tests.simulation.chaos.soak --seconds 150 [--services]`: an hour of steady load in less time.

The clocks of the servers run so fast that an hour passes, with all its housekeeping. What must not grow: memory, the
time that packets take, the log.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from gameserver.storage.schema import migrate
from tests.simulation.chaos import orphans
from tests.simulation.chaos.fleet import Fleet, fleet
from tests.simulation.chaos.ledger import Ledger
from tests.simulation.chaos.network import CALM, Network
from tests.simulation.chaos.players import Player

SAMPLE_SECONDS = 0.25
WARM_UP_SHARE = 0.4  # of the time: caches fill, code is imported late
SERVER_SECONDS = 3600
HOUSEKEEPING_SECONDS = 60  # of the server
GROWTH_MAX = 0.05
DEARER_MAX = 1.5  # CPU of a packet in the last third by that in the first after the warm-up
SLOWER_MAX = 4.0  # likewise the median time; a machine that does other things, too, makes it waver
SLOWER_SECONDS_FREE = 0.05
GROWTH_BYTES_FREE = 4 << 20
LEASE_LOST = '"event": "job_lease_lost"'
"""Where the machine is busy, the clock jumps by more than the lease of a job that runs meanwhile."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Outcome:
    """What came of it: resident bytes of all server processes, median seconds and CPU seconds of a packet."""

    packets: int = 0
    warm_bytes: int = 0
    end_bytes: int = 0
    early_seconds: float = 0
    late_seconds: float = 0
    early_cpu: float = 0
    late_cpu: float = 0
    complaints: list[str] = field(default_factory=list)


async def soak(folder: Path, *, services: bool, seconds: float, seed: int, players: int = 16) -> Outcome:
    """Keep players playing in calm weather; complaints are growth, log lines, and broken promises."""
    environment = {
        "CHAOS_LEASE_SECONDS": str(SERVER_SECONDS),
        "CHAOS_HOUSEKEEPING_SECONDS": str(HOUSEKEEPING_SECONDS * seconds / SERVER_SECONDS),
    }
    with fleet(folder, services=services, count=2, environment=environment) as all_of_it:
        if services:
            await asyncio.to_thread(migrate, all_of_it.database)
        await all_of_it.start()
        try:
            return await _soak(all_of_it, seconds, seed, players)
        finally:
            for slot in all_of_it.slots:
                if slot.server is not None:
                    await slot.kill()


async def _soak(fleet: Fleet, seconds: float, seed: int, count: int) -> Outcome:
    ledger, outcome = Ledger(fleet), Outcome()
    network = Network(ledger, random.Random(f"network {seed}"), CALM)
    players = [Player(n, network, random.Random(f"player {n} {seed}")) for n in range(count)]
    await asyncio.gather(*(player.log_in() for player in players))
    stop = asyncio.Event()
    playing = [asyncio.create_task(player.play_on(stop)) for player in players]
    begin = time.monotonic()
    samples = [(0, 0.0)]  # deliveries and CPU seconds so far
    warm = 0  # how many samples were warm-up
    while (now := time.monotonic() - begin) < seconds:
        await asyncio.sleep(SAMPLE_SECONDS)
        for slot in fleet.slots:
            slot.controls.set(clock_seconds=now / seconds * SERVER_SECONDS)
        used = sum(resident_bytes(server.pid) for server in fleet.servers)
        if now < seconds * WARM_UP_SHARE:
            outcome.warm_bytes = max(outcome.warm_bytes, used)
            warm = len(samples)
        outcome.end_bytes = used
        spent = sum(cpu_seconds(server.pid) for server in fleet.servers)
        samples.append((len(network.seconds), spent))
        ledger.forget_answers()
    taken = network.seconds.copy()
    stop.set()
    await asyncio.gather(*playing)
    for player in players:
        await player.verify()
        await player.close()
    await network.close()
    third = (len(samples) - 1 - warm) // 3
    outcome.early_seconds, outcome.early_cpu = _cost(taken, samples[warm], samples[warm + third])
    outcome.late_seconds, outcome.late_cpu = _cost(taken, samples[-1 - third], samples[-1])
    if outcome.late_seconds > outcome.early_seconds * SLOWER_MAX + SLOWER_SECONDS_FREE:
        outcome.complaints.append(
            f"packets took {outcome.early_seconds:.4f} s, and {outcome.late_seconds:.4f} s at the end"
        )
    if outcome.late_cpu > outcome.early_cpu * DEARER_MAX:
        outcome.complaints.append(
            f"packets cost {outcome.early_cpu:.6f} s of CPU, and {outcome.late_cpu:.6f} s at the end"
        )
    outcome.packets = ledger.counts["packets"]
    if outcome.end_bytes > outcome.warm_bytes * (1 + GROWTH_MAX) + GROWTH_BYTES_FREE:
        outcome.complaints.append(f"memory grew from {outcome.warm_bytes} to {outcome.end_bytes} bytes")
    await orphans.check(fleet, ledger, players=count)
    outcome.complaints += ledger.violations
    for slot in fleet.slots:
        lines = slot.complaints("warning", "error")
        outcome.complaints += [f"logged: {line}" for line in lines if LEASE_LOST not in line]
    return outcome


def _cost(taken: list[float], begin: tuple[int, float], end: tuple[int, float]) -> tuple[float, float]:
    """Median seconds, and CPU seconds a packet, between two samples."""
    return statistics.median(taken[begin[0] : end[0]]), (end[1] - begin[1]) / (end[0] - begin[0])


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Memory that a process holds at this moment."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument(
        "--services",
        action="store_true",
        help="two processes over PostgreSQL and Redis, instead of one alone",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = asyncio.run(
            soak(Path(folder), services=chosen.services, seconds=chosen.seconds, seed=chosen.seed)
        )
    print(
        f"{outcome.packets} packets; {outcome.warm_bytes >> 10} KiB and {outcome.early_seconds * 1000:.1f} ms "
        f"({outcome.early_cpu * 1e6:.0f} µs of CPU) when warm, "
        f"{outcome.end_bytes >> 10} KiB and {outcome.late_seconds * 1000:.1f} ms "
        f"({outcome.late_cpu * 1e6:.0f} µs of CPU) at the end"
    )
    for complaint in outcome.complaints:
        print(f"COMPLAINT: {complaint}")
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
