"""`gameserver backup` and `gameserver restore`, for the embedded database."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from gameserver import logs
from gameserver.admin import link
from gameserver.cli import options
from gameserver.cli.output import Exit, fail, say
from gameserver.settings import DATABASE_NAME, Settings
from gameserver.storage import StorageError
from gameserver.storage.backups import back_up, restore
from gameserver.storage.private_files import private_folder

_DEFAULT = Settings()
_PROGRAMS = "PostgreSQL has programs of its own for this: pg_dump and pg_restore; see docs/backup.md"

T = TypeVar("T")


def backup(
    to: Annotated[
        Path | None,
        typer.Argument(help="File to write; absent: gameserver-DATE.db in this folder.", dir_okay=False),
    ] = None,
    *,
    data: options.Data = _DEFAULT.data,
    database: options.Database = "",
) -> None:
    """Copy the embedded database, while the server runs.

    The copy is whole: it is what the database was at one moment. Sessions are not in it.
    """
    if database:
        fail(_PROGRAMS, Exit.USAGE)
    file = to or Path(f"gameserver-{datetime.now(UTC):%Y%m%d-%H%M%S}.db")
    size = _trying("copying", lambda: back_up(data / DATABASE_NAME, file))
    say([f"{file}: {size / 1e6:,.1f} MB"])


def restore_backup(
    backup: Annotated[Path, typer.Argument(help="A file of `gameserver backup`.", show_default=False)],
    *,
    data: options.Data = _DEFAULT.data,
    database: options.Database = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for programs.")] = False,
) -> None:
    """Put a copy in the place of the embedded database. The server must be stopped.

    What was there is kept beside it. A copy of an older version is migrated. Players log in again.
    """
    if database:
        fail(_PROGRAMS, Exit.USAGE)
    place = data / DATABASE_NAME
    if asyncio.run(link.is_running(data)):
        fail(f"a server works on {data}; stop it first")
    if place.exists() and not yes:
        typer.confirm(f"Put {backup} in the place of {place}?", abort=True)
    logs.configure("warning")
    private_folder(data)
    old = _trying("restoring", lambda: restore(backup, place))
    say([f"{place} is {backup} now" + (f"; the old one is {old}" if old else "")])


def _trying(words: str, work: Callable[[], T]) -> T:
    try:
        with Console(stderr=True).status(words):
            return work()
    except (StorageError, OSError) as error:
        fail(str(error))
