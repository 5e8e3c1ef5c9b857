"""Copies of the embedded database: taken while a server writes, and put in its place."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gameserver.storage.errors import StorageError
from gameserver.storage.private_files import private_file
from gameserver.storage.schema import migrate, schema_version


class Damaged(StorageError):
    """The file is no database, or not all of it can be read."""


def back_up(database: Path, to: Path) -> int:
    """Copy a database as it is at this moment; returns the bytes of the copy. Whoever writes goes on.

    The copy appears under its name when it is whole, checked and on the disk. Raises `FileExistsError`,
    `FileNotFoundError` and `Damaged`.
    """
    if not database.is_file():
        raise FileNotFoundError(f"{database} is not there")
    if to.exists():
        raise FileExistsError(f"{to} exists")
    part = to.with_name(f"{to.name}.part")
    _copy(database, part)
    part.replace(to)
    _make_durable(to.absolute().parent)
    return to.stat().st_size


def content_of(database: Path) -> bytes:
    """Return all that is committed, as of one moment. Whoever writes goes on."""
    with _opened(database, "ro") as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it is one moment
        return connection.serialize()


def restore(backup: Path, database: Path) -> Path | None:
    """Put a copy in the place of a database on which no server works; returns where the old one is now.

    A copy of an older version is migrated first. Raises `FileNotFoundError`, `Damaged`, and `SchemaMismatch`
    for a copy of a newer version than this one's; then nothing has changed. At every moment there is one
    whole database under the name, the old one or the new one.
    """
    if not backup.is_file():
        raise FileNotFoundError(f"{backup} is not there")
    part = database.with_name(f"{database.name}.part")
    try:
        _copy(backup, part)
        url = f"sqlite:///{part}"
        if schema_version(url) is None:
            raise Damaged(f"{backup} has no tables of a game server")
        migrate(url)
        _settle(part)
        old = _keep(database) if database.is_file() else None
        part.replace(database)
        _make_durable(database.parent)
    finally:
        for name in _names(part):
            name.unlink(missing_ok=True)
    return old


def _names(database: Path) -> list[Path]:
    """Return a database and what SQLite keeps beside it, and must not find beside another one."""
    return [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]


def _keep(database: Path) -> Path:
    """Give a database a second name, under which it stays; what is damaged is kept as it is."""
    with contextlib.suppress(Damaged):
        _settle(database)
    old = database.with_name(f"{database.name}.before-restore")
    for name, kept in zip(_names(database), _names(old), strict=True):
        kept.unlink(missing_ok=True)
        if name == database:
            _second_name(name, kept)
        elif name.exists():
            name.replace(kept)
    return old


def _second_name(database: Path, name: Path) -> None:
    try:
        os.link(database, name)
    except OSError:  # not every file system has links
        shutil.copy2(database, name)


def _make_durable(folder: Path) -> None:
    """Let a renaming outlive a power cut."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _copy(database: Path, to: Path) -> None:
    """Copy a database, check the copy and bring it onto the disk."""
    to.unlink(missing_ok=True)
    private_file(to)
    try:
        with _opened(database, "ro") as connection:
            # One read transaction, however long it takes: writers neither wait nor make it begin anew.
            connection.execute("VACUUM INTO ?", (str(to),))
        _check(database, to)
        with to.open("rb+") as file:
            os.fsync(file.fileno())
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _check(database: Path, copy: Path) -> None:
    with _opened(copy, "ro") as connection:
        found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise Damaged(f"{database} is damaged: {found[0]}")


def _settle(database: Path) -> None:
    """Bring what is in the log beside a database into its file."""
    with _opened(database, "rw") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode={mode}", uri=True)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Damaged(f"{database}: {error}") from error
