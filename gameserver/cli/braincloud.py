"""`gameserver from-braincloud`: takes a game's data out of brainCloud, as lines that `import` takes."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gameserver.admin.moving.braincloud import URL, Away, Credentials, Service, TakingOut
from gameserver.cli.output import Exit, fail, say
from gameserver.settings import PREFIX

TOLD_MAX = 20  # of what is not in the file, on the terminal; --report has all of it


def from_braincloud(
    app_id: Annotated[str, typer.Argument(help="The app's id there.", show_default=False)],
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to", dir_okay=False, help="File to write, readable by you alone.", show_default=False
        ),
    ],
    server_name: Annotated[
        str, typer.Option("--server-name", help="The name of a server of the app.", show_default=False)
    ],
    secret: Annotated[
        str,
        typer.Option(
            "--secret",
            envvar=PREFIX + "BRAINCLOUD_SECRET",
            help="The server's secret, as @FILE that holds it, or in the environment.",
            show_default=False,
        ),
    ],
    url: Annotated[str, typer.Option("--url", help="Where servers call.")] = URL,
    per_second: Annotated[
        float, typer.Option("--per-second", min=0.1, max=1000, help="Calls in a second, at most.")
    ] = 10.0,
    report: Annotated[
        Path | None,
        typer.Option("--report", dir_okay=False, help="File for all that is not taken, a line for each."),
    ] = None,
) -> None:
    """Take a game's data out of brainCloud, over its server-to-server calls.

    Players with identities, statistics, balances and entities, leaderboards with running scores, global
    entities, statistics and properties, custom entities. It only reads. Given again after an interruption it
    goes on. `gameserver import` takes the file; docs/moving-in.md is the guide.
    """
    if to.exists():
        fail(f"{to} exists already")
    service = Service(url, Credentials(app_id, server_name, _secret(secret)), per_second)
    try:
        taking = TakingOut(service, app_id, to)
        with _bar() as progress:
            task = progress.add_task("", total=None)
            service.told = lambda why: progress.update(task, description=why)
            state = taking.run(lambda counts: progress.update(task, description=_counted(counts)))
    except Away as error:
        fail(f"{error}. What there is so far is kept; give the same command again to go on", Exit.AWAY)
    except OSError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted. What there is so far is kept; give the same command again to go on")
    finally:
        service.close()
    say([f"{to}: {_counted(state.counts)}"])
    if report is not None:
        report.write_text("".join(f"{note}\n" for note in state.notes), encoding="utf-8")
    sys.stderr.writelines(f"{note}\n" for note in state.notes[:TOLD_MAX])
    if (more := state.note_count - TOLD_MAX) > 0:
        sys.stderr.write(f"… and {more} more; --report FILE writes them\n")
    raise typer.Exit(Exit.PROBLEMS if state.note_count else Exit.OK)


def _secret(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--secret: {given[1:]} cannot be read: {error}", Exit.USAGE)


def _bar() -> Progress:
    return Progress(
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.items() if count) or "nothing"
