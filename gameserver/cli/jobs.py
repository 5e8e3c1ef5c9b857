"""`gameserver jobs`: work that is not the answer to a request, how it goes, and whether it keeps up."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gameserver.cli import options
from gameserver.cli.output import show_record, show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

_COLUMNS = {
    "name": "JOB",
    "last_run": "LAST RUN",
    "late": "LATE",
    "failures": "FAILURES",
    "overdue": "OVERDUE",
    "waiting": "WAITING",
    "given_up": "GIVEN UP",
    "error": "ERROR",
}
Name = Annotated[str, typer.Argument(help="The job, as `gameserver jobs list` names it.")]

jobs = typer.Typer(help="Clean-up, rotation, payouts: work without a request.", no_args_is_help=True)


@jobs.command("list", epilog="Examples:\n\n`gameserver jobs list --json`")
@options.reaching
def job_list(
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List all jobs: when each ran last (UTC), how late it is, how often in a row it has failed, and why.

    OVERDUE counts rows that should be gone by now, WAITING is enqueued work, GIVEN UP what has failed so
    often that it waits for `gameserver jobs retry`.
    """
    rows = do(where, "job_list")
    shown = rows if as_json else [{**row, "last_run": _when(row), "late": _late(row)} for row in rows]
    show_rows(shown, _COLUMNS, as_json=as_json, none="no jobs")


@jobs.command("run", epilog="Examples:\n\n`gameserver jobs run packets.forget`")
@options.reaching
def job_run(
    job: Name,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Run a job that has a schedule, out of turn, and wait for it."""
    show_record(do(where, "job_run", job=job), as_json=as_json)


@jobs.command("retry", epilog="Examples:\n\n`gameserver jobs retry mail.send`")
@options.reaching
def job_retry(
    job: Name,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Have the enqueued work of a job tried again that was given up after many tries."""
    show_record(do(where, "job_retry", job=job), as_json=as_json)


def _when(row: dict[str, Any]) -> str:
    ms = row["started_ms"]
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if ms else "never"


def _late(row: dict[str, Any]) -> str:
    seconds = row["late_ms"] // 1000
    return f"{seconds} s" if seconds else "-"
