"""Opening a database by its URL."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gameserver.storage.postgresql import PostgresDatabase
from gameserver.storage.sqlite import SqliteDatabase
from gameserver.storage.transaction import Database


async def open_database(url: str, *, pool_size: int = 16) -> Database:
    """Open the database of a URL; the caller closes it, and uses it in the loop that runs now.

    `sqlite:///path` is a file, made when it does not exist; `sqlite://` a temporary file of its own, which
    does not survive `close`; `postgresql://user@host/name` a PostgreSQL database, reached over at most
    `pool_size` connections. Raises ValueError for another URL, `Unavailable` when there is no opening it.
    """
    if backend(url) == "sqlite":
        return await SqliteDatabase.open(url)
    return await PostgresDatabase.open(url, pool_size)


def backend(url: str) -> str:
    """`sqlite` or `postgresql`; ValueError for anything else."""
    try:
        name = make_url(url).drivername
    except ArgumentError as error:
        raise ValueError(f"not a database URL: {error}") from error
    if name not in {"sqlite", "postgresql"}:
        raise ValueError(f"a database URL starts with sqlite:// or postgresql://, not {name}://")
    return name
