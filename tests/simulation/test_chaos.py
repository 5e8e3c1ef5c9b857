"""The chaos run in a form short enough for every test run; `python -m tests.simulation.chaos` is the long one."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.conftest import BACKENDS
from tests.simulation.chaos.run import Plan, report, run
from tests.simulation.chaos.soak import soak

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
SERVICES = BACKENDS != "embedded"
pytestmark = pytest.mark.usefixtures("services")  # not the run's own, but of the same kind


def test_every_promise_is_kept(tmp_path: Path) -> None:
    ledger = asyncio.run(run(Plan(services=SERVICES, seconds=25, seed=SEED, players=16), tmp_path))
    assert not ledger.violations, f"seed {SEED}\n{report(ledger)}"
    assert ledger.counts["packets"] > 100, f"hardly anything was tried\n{report(ledger)}"
    assert ledger.counts["kill_server"], report(ledger)


# A fence is missed when servers are killed; ends of sessions are where sessions live long enough to be ended.
@pytest.mark.parametrize(("broken", "pause_seconds_max"), [("ends", 8.0), ("fence", 0.8)])
def test_a_broken_server_is_caught(tmp_path: Path, broken: str, pause_seconds_max: float) -> None:
    """It takes some seconds; the limit is for machines that run other tests beside and start servers slowly."""
    plan = Plan(services=SERVICES, seconds=180, seed=SEED, broken=broken, pause_seconds_max=pause_seconds_max)
    ledger = asyncio.run(run(plan, tmp_path))
    assert ledger.violations, f"seed {SEED}: nobody noticed\n{report(ledger)}"


def test_a_calm_hour_in_seconds(tmp_path: Path) -> None:
    outcome = asyncio.run(soak(tmp_path, services=SERVICES, seconds=20, seed=SEED))
    assert not outcome.complaints, outcome
