"""What SQLite says when something goes wrong, in the words of `errors`."""

import sqlite3

from gameserver.storage.errors import (
    Aborted,
    CannotWrite,
    Conflict,
    ConstraintBroken,
    QueryTooSlow,
    StorageError,
)
from gameserver.storage.tables import is_guarded

UNIQUE = (
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)
_CANNOT = {  # what is wrong with the file: nothing happened
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the database file is read-only",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error) -> StorageError:
    """Return what to raise instead of an error of SQLite."""
    if code(error) == sqlite3.SQLITE_INTERRUPT:
        return QueryTooSlow("the query took longer than a query may")
    if isinstance(error, sqlite3.IntegrityError):
        column = str(error).removeprefix("NOT NULL constraint failed: ")
        return Conflict(column) if is_guarded(column) else ConstraintBroken(str(error))
    reason = _CANNOT.get(code(error) & 0xFF)
    if reason is not None:
        return CannotWrite(reason)
    if is_busy(error):
        return Aborted(f"another process holds the database: {error}")
    return StorageError(str(error))


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process holds the file."""
    return code(error) & 0xFF in _BUSY


def code(error: sqlite3.Error) -> int:
    """SQLite's extended result code; errors of the Python module have none."""
    return getattr(error, "sqlite_errorcode", 0)
