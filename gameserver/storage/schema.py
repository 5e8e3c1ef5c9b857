"""The tables of a database over time: which version it has, and the steps to the present one.

Everything here blocks; from a coroutine, call it through `asyncio.to_thread`. What takes steps is imported
where it is needed: a server whose tables are up to date, as they are at most starts, never needs it.
"""

# ruff: noqa: PLC0415 - imports where they are needed save every start a quarter of a second

import asyncio
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import asyncpg
from sqlalchemy import Connection, Index, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateIndex

from gameserver.storage.database import backend
from gameserver.storage.dialects import POSTGRESQL
from gameserver.storage.errors import BadUrl, SchemaMismatch, Unavailable
from gameserver.storage.pipeline import wanted_host
from gameserver.storage.postgres_errors import BAD_URL, why_unreachable
from gameserver.storage.tables import Json, metadata

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")
Progress = Callable[[int, int, str], None]

LOCK_SECONDS_MAX = 300
"""How long a process waits for another one that migrates the same database."""
LOCK_PAUSE_SECONDS = 0.1
"""Between two tries."""


def _is_declared(item: Any, name: Any, kind: str, reflected: bool, _other: Any) -> bool:
    """Tell what is compared: not the columns that PostgreSQL computes (`SearchedJson`), and ours.

    Nor indexes that are built without holding anybody up: no step makes them.
    """
    if (kind == "table" and name == _COMPATIBLE) or (kind == "index" and name in _later_indexes()):
        return False
    return not (kind == "column" and reflected and item.computed is not None)


_COMPARED = {"compare_type": True, "compare_server_default": True, "include_object": _is_declared}
_FOLDER = Path(__file__).parent / "migrations"
_STEP = '''"""{title}."""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{number}"
down_revision = "{last}"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables, indexes, and columns that may be null or have a default lets those of the step before go on.
oldest = "{oldest}"


def upgrade() -> None:
    """Take the step."""
{body}'''
_VERSION = text("SELECT version_num FROM alembic_version")
_COMPATIBLE = "schema_compatible"
_OLDEST = text("SELECT oldest FROM schema_compatible")
_IS_THERE = "SELECT to_regclass($1::text) IS NOT NULL"
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident($1))"
_LOCK_KEY = 0x67616D65  # any number that nobody else locks in this database
_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"


def migrate(url: str, progress: Progress | None = None) -> None:
    """Bring the tables of a database to the present version, all steps in one transaction.

    Indexes that are declared with `info={"concurrently": True}` are built afterwards, and those that a table
    names as its `former_indexes` go; on PostgreSQL everybody may go on writing meanwhile, and what was cut
    off is begun anew by the next call.

    Of several processes that start at the same time one migrates and the others wait for it. `progress` is
    called after each step with the steps done, the steps in all and the name of the step. Raises
    `SchemaMismatch` when the database is newer than this server, `Unavailable` when it cannot be reached.
    """
    _on_connection(url, partial(_migrate, progress), alone=True)
    if _later_indexes():
        _build_indexes(url)


def schema_version(url: str) -> str | None:
    """Return the number of the last step the database has taken; None for one without our tables."""
    if backend(url) == "sqlite":
        return _on_connection(url, _version)
    with _connecting():  # the driver alone: every start asks, and an engine asks much more
        return asyncio.run(_version_in_postgresql(url))


def newest_step() -> str:
    """Return the number of the last step that this server knows: it wants tables that have taken it."""
    return _steps()[-1]


def check_schema(url: str) -> None:
    """Raise `SchemaMismatch`, saying what to do, when this server cannot work with the tables.

    It can with those of its own version, and with newer ones that say so: while an upgrade is under way, old
    and new servers run side by side.
    """
    version = schema_version(url)
    steps = _steps()
    if version == steps[-1]:
        return
    if version is None:
        raise SchemaMismatch("the database has no tables yet: run `gameserver migrate`")
    if version in steps:
        raise SchemaMismatch(
            f"the database has schema {version} and this server needs {steps[-1]}: run `gameserver migrate`"
        )
    if not _works_with(steps[-1], oldest_compatible(url)):
        raise _newer(version, steps[-1])


def oldest_compatible(url: str) -> str | None:
    """Return the oldest version whose servers can work with the tables; None where nobody has said so."""
    return _on_connection(url, _oldest)


def write_step(title: str, folder: Path | None = None) -> Path | None:
    """Write the next step: from the tables of the last one to those that are declared now.

    Returns its file, to be read before it is kept: checks and conditions of indexes are not compared, and a
    column that was renamed looks like one dropped and one added. None when there is nothing to do.
    Servers that could work with the tables before may go on with a step that only adds, and it says so.
    `folder` is where steps lie. Raises `ValueError` for a title that gives no name to a file.
    """
    name = "_".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not name:
        raise ValueError("expected a title of some words, such as 'Add guilds'")
    from alembic.autogenerate import produce_migrations, render_python_code
    from alembic.operations.ops import CreateTableOp
    from alembic.runtime.migration import MigrationContext

    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        _migrate(None, connection)
        context = MigrationContext.configure(connection, opts=_COMPARED)
        with _unheard():
            changes = produce_migrations(context, metadata).upgrade_ops
        assert changes is not None, "comparing has always a result"
        if changes.is_empty():
            return None
        for change in changes.ops:
            if isinstance(change, CreateTableOp):
                change.info = {}  # concerns the server, not the database
        goes_on = _oldest(connection) if _only_add(changes.ops) else None
        body = render_python_code(
            changes, render_as_batch=True, render_item=_render_item, migration_context=context
        )
    last = _steps()[-1]
    number = f"{datetime.now(UTC):%Y%m%d%H%M}"  # two people who write steps at once do not get the same
    code = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    lines = indent(dedent("\n".join(code)).strip("\n"), "    ") + "\n"
    path = (folder or _FOLDER / "versions") / f"{number}_{name}.py"
    path.write_text(
        _STEP.format(
            title=title.strip().rstrip("."),
            imports="\nfrom gameserver.storage.tables import Json\n" if "Json()" in lines else "",
            number=number,
            last=last,
            oldest=goes_on or number,
            body=lines,
        ),
        "utf-8",
    )
    return path


def _only_add(changes: list[Any]) -> bool:
    """Tell whether servers that know nothing of some changes can work with the tables behind them."""
    from alembic.operations import ops

    new = {change.table_name for change in changes if isinstance(change, ops.CreateTableOp)}

    def only_adds(change: Any) -> bool:
        match change:
            case ops.CreateTableOp():
                return True
            case ops.CreateIndexOp():
                return not change.unique or change.table_name in new
            case ops.AddColumnOp():
                return bool(change.column.nullable) or change.column.server_default is not None
            case ops.ModifyTableOps():
                return all(map(only_adds, change.ops))
        return False

    return all(map(only_adds, changes))


def schema_differences(url: str) -> list[str]:
    """Compare a database with the tables that are declared now; return what a migration would have to do."""
    return _on_connection(url, _differences)


def _migrate(progress: Progress | None, connection: Connection) -> None:
    version, steps = _version(connection), _steps()
    if version == steps[-1]:
        return
    if version is not None and version not in steps:
        if _works_with(steps[-1], _oldest(connection)):
            return
        raise _newer(version, steps[-1])

    from alembic import command

    total = len(steps) - (0 if version is None else steps.index(version) + 1)
    done = 0
    oldest = _oldest(connection) or version or ""  # steps of before this was told had to be taken one by one

    def applied(*, step: Any, **_: Any) -> None:
        nonlocal done, oldest
        done += 1
        oldest = max(oldest, getattr(step.up_revision.module, "oldest", step.up_revision.revision))
        if progress is not None:
            progress(done, total, step.up_revision.doc)

    config = _config()
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = applied
    with _unheard():
        command.upgrade(config, "head")
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {_COMPATIBLE} (oldest VARCHAR(32) NOT NULL)"))
    connection.execute(text(f"DELETE FROM {_COMPATIBLE}"))  # noqa: S608 - the name is ours
    connection.execute(text(f"INSERT INTO {_COMPATIBLE} VALUES (:oldest)"), {"oldest": oldest})  # noqa: S608 - names of our own


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(_VERSION)
    return version


def _oldest(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_COMPATIBLE):
        return None
    oldest: str | None = connection.scalar(_OLDEST)
    return oldest


def _works_with(known: str, oldest: str | None) -> bool:
    return oldest is not None and oldest <= known


def _later_indexes() -> dict[str, Index]:
    """Return the indexes that are built apart from the steps, by their names."""
    indexes = (index for table in metadata.tables.values() for index in table.indexes)
    return {str(index.name): index for index in indexes if index.info.get("concurrently")}


def _former_indexes() -> list[str]:
    """Return the names of indexes that were built apart from the steps, and are not wanted any more."""
    return [name for table in metadata.tables.values() for name in table.info.get("former_indexes", ())]


def _build_indexes(url: str) -> None:
    with _connecting():
        if backend(url) == "postgresql":
            asyncio.run(_build_in_postgresql(url))
            return
        _on_sqlite(url, _build_in_sqlite)


def _build_in_sqlite(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names())
    for index in _later_indexes().values():
        if index.table is not None and index.table.name in tables:  # not all steps may be taken
            connection.execute(CreateIndex(index, if_not_exists=True))
    for name in _former_indexes():
        connection.execute(text(f'DROP INDEX IF EXISTS "{name}"'))


async def _build_in_postgresql(url: str) -> None:
    """Build indexes outside of any transaction, for that is what keeps nobody waiting."""
    connection = await asyncpg.connect(url, timeout=10, **wanted_host(url))
    try:
        await _lock(connection)
        for name, index in _later_indexes().items():
            valid = await connection.fetchval(_IS_VALID, name)
            if valid is False:  # cut off: it takes writes, and answers nothing
                await connection.execute(f'DROP INDEX CONCURRENTLY "{name}"')
            is_there = index.table is not None and await connection.fetchval(_IS_THERE, index.table.name)
            if not valid and is_there:  # not all steps may be taken
                sql = str(CreateIndex(index).compile(dialect=POSTGRESQL))
                await connection.execute(sql.replace("INDEX", "INDEX CONCURRENTLY", 1))
        for name in _former_indexes():
            await connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
    finally:
        await connection.close()


async def _lock(connection: "asyncpg.Connection[Any]") -> None:
    """Wait until no other process migrates, as long as the connection is open.

    Asked for again and again, outside of any transaction: who builds an index waits for all that are older.
    """
    while not await connection.fetchval(_TRY_LOCK, _LOCK_KEY):  # noqa: ASYNC110 - who has it tells nobody
        await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def _version_in_postgresql(url: str) -> str | None:
    connection = await asyncpg.connect(url, timeout=10, **wanted_host(url))
    try:
        version: str | None = await connection.fetchval(_VERSION.text)
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    return version


def _differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts=_COMPARED)
    with _unheard():
        return [repr(difference) for difference in compare_metadata(context, metadata)]


@contextmanager
def _unheard() -> Iterator[None]:
    """Say nothing of indexes of expressions, which are not looked at on SQLite; they are built later."""
    with warnings.catch_warnings():
        for said in ("autogenerate skipping", "Skipped unsupported reflection"):
            warnings.filterwarnings("ignore", said, Warning)
        yield


def _render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Alembic asks how to write a type: ours is imported by its name."""
    # Whether it is searched is no difference between tables.
    return "Json()" if kind == "type" and isinstance(item, Json) else False


def _newer(version: str, known: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the database has schema {version}, which is newer than this server knows ({known}): "
        "start the server version that made it, or a later one"
    )


def _steps() -> list[str]:
    """Return the numbers of all steps, the first one first: the names of their files begin with them."""
    return sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


def _on_connection(url: str, action: Callable[[Connection], T], *, alone: bool = False) -> T:
    """Run an action in a transaction of its own; `alone`: while no other process migrates."""
    with _connecting():
        if backend(url) == "sqlite":
            return _on_sqlite(url, action)
        return asyncio.run(_on_postgresql(url, action, alone=alone))


@contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise BadUrl(BAD_URL) from None
    except (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InternalClientError,  # none of several hosts takes writes
    ) as error:
        raise Unavailable(f"cannot connect to the database: {why_unreachable(error)}") from error
    except asyncpg.PostgresError as error:
        raise Unavailable(f"the database refused: {error}") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == asyncpg.ReadOnlySQLTransactionError.sqlstate:
            raise Unavailable(
                "PostgreSQL is read-only: the tables can only be changed on a primary"
            ) from error
        raise Unavailable(f"the database refused: {error.orig}") from error


def _on_sqlite(url: str, action: Callable[[Connection], T]) -> T:
    path = make_url(url).database
    if not path:
        raise ValueError("a temporary database is known only to who opened it: use the `url` of its Database")
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path, timeout=LOCK_SECONDS_MAX, isolation_level=None),
        poolclass=NullPool,
    )
    # The driver's own idea of transactions leaves CREATE TABLE out. IMMEDIATE: whoever comes second waits.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        return action(connection)


async def _on_postgresql(url: str, action: Callable[[Connection], T], *, alone: bool) -> T:
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> Any:
        return await asyncpg.connect(url, timeout=10, **wanted_host(url))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    guard = await connect() if alone else None
    try:
        if guard is not None:
            await _lock(guard)
        async with engine.begin() as connection:
            return await connection.run_sync(action)
    finally:
        await engine.dispose()
        if guard is not None:
            await guard.close()
