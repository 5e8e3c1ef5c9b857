"""Opening a database by its URL."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gameserver.storage.errors import BadUrl
from gameserver.storage.postgresql import PostgresDatabase
from gameserver.storage.sqlite import SqliteDatabase
from gameserver.storage.transaction import Database


async def open_database(url: str, *, pool_size: int = 16) -> Database:
    """Open the database of a URL; the caller closes it, and uses it in the loop that runs now.

    `sqlite:///path` is a file, made when it does not exist; `sqlite://` a temporary file of its own, which
    does not survive `close`; `postgresql://user@host/name` a PostgreSQL database, reached over at most
    `pool_size` connections. Of several hosts, `postgresql://user@a,b:5433/name`, the one that takes writes is
    used, or what `?target_session_attrs=` says. Raises `BadUrl` for another URL, `Unavailable` when
    there is no opening it.
    """
    if backend(url) == "sqlite":
        return await SqliteDatabase.open(url)
    return await PostgresDatabase.open(url, pool_size)


def backend(url: str) -> str:
    """`sqlite` or `postgresql`; `BadUrl` for anything else."""
    scheme, mark, _ = url.partition("://")
    if mark and scheme in {"postgresql", "postgres"}:
        return "postgresql"  # the driver reads the rest: SQLAlchemy knows no lists of hosts
    try:
        name = make_url(url).drivername
    except (ArgumentError, ValueError):  # whose words may repeat a password
        name = ""
    if name != "sqlite":
        raise BadUrl("a database URL begins with sqlite:// or postgresql://")
    return name
