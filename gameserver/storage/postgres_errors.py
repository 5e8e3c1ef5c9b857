"""What PostgreSQL and its driver say when something goes wrong, in the words of `errors`."""

import asyncpg

from gameserver.storage.errors import (
    Aborted,
    CannotWrite,
    Conflict,
    ConstraintBroken,
    Deadlocked,
    QueryTooSlow,
    StorageError,
    Unavailable,
)
from gameserver.storage.tables import is_guarded

CONNECT_SECONDS_MAX = 10.0
QUERY_SECONDS_MAX = 3.0
SERVER_SETTINGS = {
    "application_name": "gameserver",
    "jit": "off",  # compiling costs more than the short statements of a game take
    # Nothing a packet asks for takes longer, unless it means harm or waits.
    "statement_timeout": f"{QUERY_SECONDS_MAX:g}s",
    "idle_in_transaction_session_timeout": "60s",
}

BAD_URL = (
    "the database URL cannot be read: expected postgresql://user:password@host:port/name, "
    "with special characters of the password written as %XX"
)
_NO_POOLER = (
    "a connection pooler lends each transaction another connection to PostgreSQL, and prepared statements do "
    "not survive that: let the server connect to PostgreSQL itself, or to the pooler in session mode"
)

# The driver has lost its way, or writes to a socket that the event loop has closed already (uvloop's word for
# that is a RuntimeError): the connection is of no more use.
UNUSABLE = (asyncpg.exceptions.InternalClientError, RuntimeError)
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, *UNUSABLE)
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
    *UNUSABLE,
)
READ_ONLY = "PostgreSQL is read-only"  # it has become a replica, for one thing
# What keeps it from writing.
_CANNOT = {
    asyncpg.DiskFullError: "the disk of PostgreSQL is full",
    asyncpg.OutOfMemoryError: "PostgreSQL has no memory left",
    asyncpg.InvalidSQLStatementNameError: _NO_POOLER,
    asyncpg.DuplicatePreparedStatementError: _NO_POOLER,
}
_GIVEN_UP = (
    asyncpg.TransactionRollbackError,  # serialization
    asyncpg.LockNotAvailableError,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.InvalidCachedStatementError,  # a migration changed a table under a prepared statement
)


def why_unreachable(error: Exception) -> str:
    """Say why there is no connection, and what to do where that is not plain."""
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        names = ", ".join(SERVER_SETTINGS)
        return (
            f"{error}. A connection pooler refuses what the server sets: connect to PostgreSQL itself, or let"
            f" the pooler work in session mode and ignore these parameters ({names})"
        )
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS_MAX:g} s"
    return str(error) or type(error).__name__


def translated(error: Exception) -> StorageError:
    """Return what to raise instead of an error of the driver."""
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Unavailable(READ_ONLY)
    for kind, reason in _CANNOT.items():
        if isinstance(error, kind):
            return CannotWrite(reason)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        column = f"{error.table_name}.{error.column_name}"
        return Conflict(column) if is_guarded(column) else ConstraintBroken(str(error))
    if isinstance(error, asyncpg.QueryCanceledError):
        return QueryTooSlow(str(error))
    if isinstance(error, LOST):
        return Unavailable(f"the connection to the database broke: {error}")
    if isinstance(error, asyncpg.DeadlockDetectedError):
        return Deadlocked(str(error))
    if isinstance(error, _GIVEN_UP):
        return Aborted(str(error))
    return StorageError(str(error))
