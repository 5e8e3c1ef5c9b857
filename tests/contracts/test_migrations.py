"""Migrations: an upgraded database equals the declared tables, on both engines, whoever starts first."""

import asyncio
import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Column, Connection, Index, MetaData, String, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

import gameserver.app  # noqa: F401 - declares every table
from gameserver import storage
from gameserver.storage import SchemaMismatch, Unavailable, answers, open_database, schema, tables
from gameserver.storage.schema import check_schema, migrate, schema_differences, schema_version
from tests.servers import postgresql


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/game.db"
    cluster_url: str = request.getfixturevalue("cluster")
    run(cluster_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return cluster_url


def run(url: str, *statements: str) -> None:
    async def main() -> None:
        database = await open_database(url)
        async with database.write() as tx:
            for statement in statements:
                await tx.run(text(statement))
        await database.close()

    asyncio.run(main())


def test_an_upgraded_database_equals_the_declared_tables(url: str) -> None:
    migrate(url)
    assert schema_differences(url) == []
    check_schema(url)


def test_a_difference_is_found(url: str) -> None:
    migrate(url)
    run(url, "ALTER TABLE packet_answers ADD COLUMN surprise TEXT", "DROP INDEX ix_packet_answers_stored_at")
    found = " ".join(schema_differences(url))
    assert "surprise" in found
    assert "ix_packet_answers_stored_at" in found


def test_progress_counts_the_steps_and_a_second_run_has_none(url: str) -> None:
    seen: list[tuple[int, int, str]] = []
    migrate(url, lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total, _ in seen} == {len(seen)}
    assert seen[0][2] == "The first tables."
    migrate(url, lambda *step: pytest.fail(f"{step} again"))


def test_an_empty_database_asks_for_a_migration(url: str) -> None:
    assert schema_version(url) is None
    with pytest.raises(SchemaMismatch, match=r"no tables yet.*gameserver migrate"):
        check_schema(url)


def test_a_newer_database_is_left_alone(url: str) -> None:
    migrate(url)
    run(
        url, "UPDATE alembic_version SET version_num = '9999'", "UPDATE schema_compatible SET oldest = '9999'"
    )
    assert schema_version(url) == "9999"
    for refused in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match=r"9999.*newer than this server"):
            refused(url)


def test_an_older_database_asks_for_a_migration(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(url)
    version = schema_version(url)
    assert version is not None
    monkeypatch.setattr("gameserver.storage.schema._steps", lambda: [version, "9999"])
    with pytest.raises(
        SchemaMismatch, match=rf"has schema {version} and this server needs 9999.*gameserver migrate"
    ):
        check_schema(url)


def test_a_newer_database_that_says_so_works_with_older_servers(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an upgrade is under way: the new server has migrated, and the old ones go on and start again."""
    migrate(url)
    ours = schema_version(url)
    assert ours is not None
    oldest = schema.oldest_compatible(url)
    assert oldest is not None
    assert oldest <= ours  # the newest step may let servers of earlier ones go on, too
    newer = add_step(tmp_path, oldest=ours)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_FOLDER", newer)
        migrate(url)
        assert schema_version(url) == LATER
    assert schema.oldest_compatible(url) == ours
    check_schema(url)
    migrate(url)  # as an embedded server does when it starts
    assert schema_version(url) == LATER


def test_a_newer_database_that_does_not_say_so_stops_older_servers(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(url)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_FOLDER", add_step(tmp_path, oldest=LATER))
        migrate(url)
    for refused in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match=rf"{LATER}.*newer than this server"):
            refused(url)


LATER = "209901010000"


def add_step(folder: Path, *, oldest: str) -> Path:
    """A copy of the steps with one more, which makes a table."""
    copy = folder / "migrations"
    shutil.copytree(Path(storage.__file__).parent / "migrations", copy)
    (copy / "versions" / f"{LATER}_later.py").write_text(
        f'''"""Later."""
from alembic import op
import sqlalchemy as sa

revision = "{LATER}"
down_revision = "{schema._steps()[-1]}"
oldest = "{oldest}"


def upgrade():
    op.create_table("later", sa.Column("id", sa.String(36), primary_key=True))
'''
    )
    return copy


def test_an_index_is_built_while_others_write(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(url)
    declared = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        table.to_metadata(declared)
        infos = {index.name: index.info for index in table.indexes}
        for index in declared.tables[table.name].indexes:
            index.info.update(infos[index.name])
    roles = declared.tables["player_roles"]
    Index("player_roles_later", roles.c.created_ms, info={"concurrently": True})
    monkeypatch.setattr(schema, "metadata", declared)
    assert schema.write_step("Nothing", Path()) is None, "no step makes it"
    for _ in range(2):  # the second call finds it there
        migrate(url)
        assert "player_roles_later" in indexes(url)
    if url.startswith("postgresql"):
        cut_off = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'player_roles_later'::regclass"
        run(url, cut_off)
        migrate(url)
        [[valid]] = read(
            url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'player_roles_later'::regclass"
        )
        assert valid is True


def test_an_index_that_a_table_has_given_up_goes(url: str) -> None:
    [name] = tables.metadata.tables["players"].info["former_indexes"]
    migrate(url)
    run(url, f"CREATE INDEX {name} ON players (app_id, name)")  # as servers of an earlier version made it
    for _ in range(2):  # the second call finds it gone
        migrate(url)
        assert name not in indexes(url)
    assert schema_differences(url) == []


def indexes(url: str) -> set[str]:
    source = "pg_indexes" if url.startswith("postgresql") else "sqlite_master"
    column = "indexname" if url.startswith("postgresql") else "name"
    return {str(row[0]) for row in read(url, f"SELECT {column} FROM {source}")}


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_what_was_written_under_every_version_is_there_after_all_steps(url: str, tmp_path: Path) -> None:
    """Under each version a row is added to each table, with values that the columns' types take."""
    written: Counter[str] = Counter()
    steps = schema._steps()
    for number in range(1, len(steps) + 1):
        before(number + 1, url, tmp_path / steps[number - 1])
        written.update(fill(url, number))
    migrate(url)
    assert schema_differences(url) == []
    scripts = ScriptDirectory(str(schema._FOLDER)).walk_revisions()
    assert schema.oldest_compatible(url) == max(
        getattr(script.module, "oldest", script.revision) for script in scripts
    )
    kept = written.keys() & tables.metadata.tables.keys()
    assert len(kept) > len(written) // 2
    for name in kept:
        [[rows]] = read(url, f"SELECT count(*) FROM {name}")
        assert int(str(rows)) >= written[name], name  # triggers add some of their own


def fill(url: str, number: int) -> list[str]:
    """Put a row into each table; returns their names."""
    names: list[str] = []

    def put(connection: Connection) -> None:
        found = MetaData()
        found.reflect(connection)
        for table in found.sorted_tables:
            if table.name not in ("alembic_version", "schema_compatible"):
                columns = [column for column in table.c if column.computed is None]
                row = {column.name: value_for(column, number) for column in columns}
                connection.execute(table.insert(), row)
                names.append(table.name)

    schema._on_connection(url, put)
    return names


def value_for(column: Column[Any], number: int) -> object:
    if column.name == "reached":  # a step reads what stands in it
        value = {"counted": True, "place": [-5, 7, "ada"], "ranked": False}
        return value if isinstance(column.type, JSONB) else json.dumps(value)
    if isinstance(column.type, JSONB):
        return {}
    kind = column.type.python_type
    if kind is str:  # what is long may be JSON
        short = getattr(column.type, "length", None) is not None
        return f"{number} {column.name}"[:8] if short else f'{{"n": {number}}}'
    return {int: number if column.primary_key else 0, bool: False, float: 1.5, bytes: b"x"}[kind]


def test_of_processes_that_start_together_one_migrates(url: str) -> None:
    together = threading.Barrier(4)
    steps: list[int] = []

    def start() -> None:
        together.wait()
        migrate(url, lambda done, _total, _name: steps.append(done))

    with ThreadPoolExecutor(4) as pool:
        for outcome in [pool.submit(start) for _ in range(4)]:
            outcome.result()
    assert steps == sorted(set(steps))
    assert schema_differences(url) == []


def test_a_step_that_fails_leaves_nothing(url: str) -> None:
    def stop(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        migrate(url, stop)
    assert schema_version(url) is None
    migrate(url)
    assert schema_differences(url) == []


async def test_a_temporary_database_is_migrated_through_its_own_url() -> None:
    database = await open_database("sqlite://")
    await asyncio.to_thread(migrate, database.url)
    async with database.write() as tx:
        await answers.store(tx, "s", 0, "h", b"", None, 0)
    await database.close()


def test_what_cannot_be_migrated_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        migrate(f"postgresql://game@/game?host={tmp_path}")
    with pytest.raises(Unavailable):
        migrate(f"sqlite:///{tmp_path}/missing/game.db")
    with pytest.raises(ValueError, match="temporary"):
        migrate("sqlite://")
    with pytest.raises(ValueError, match="begins with"):
        migrate("mysql://x/y")


def test_a_step_is_written_from_what_was_declared(url: str, tmp_path: Path) -> None:
    """Tables of the server itself, as if one were new and one had got a column, an index and a default."""
    folder = Path(storage.__file__).parent / "migrations"
    copy = tmp_path / "migrations"
    shutil.copytree(folder, copy)
    declared = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        info = {index.name: index.info for index in table.indexes}
        for index in table.to_metadata(declared).indexes:
            index.info.update(info[index.name])
    Table(
        "guilds",
        declared,
        Column("guild_id", String(36), primary_key=True),
        Column("data", tables.Json, nullable=False),
        CheckConstraint("guild_id <> ''", name="named"),
        Index("guilds_open", "guild_id", unique=True),
    )
    changed = declared.tables["player_roles"]
    changed.append_column(Column("why", Text, server_default="because"))
    Index("player_roles_why", changed.c.why)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "metadata", declared)
        path = schema.write_step("Add guilds, and why.", copy / "versions")
        assert path is not None
        last = schema._steps()[-1]
        number = path.name.partition("_")[0]
        assert path.name == f"{number}_add_guilds_and_why.py"
        assert datetime.strptime(number, "%Y%m%d%H%M").replace(tzinfo=UTC) <= datetime.now(UTC)
        assert last < number
        assert path.read_text().startswith('"""Add guilds, and why."""\n')
        migrate(url)
        oldest = schema.oldest_compatible(url)
        assert f'\noldest = "{oldest}"\n' in path.read_text(), "servers of before go on: it only adds"
        patch.setattr(schema, "_FOLDER", copy)
        migrate(url)
        assert schema_differences(url) == []
        assert schema_version(url) == number
        assert schema.write_step("Nothing", copy / "versions") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.append_column(Column("why", Text, nullable=False)),
        lambda table: Index("player_roles_once", table.c.role, unique=True),
        lambda table: table._columns.remove(table.c.created_ms),
    ],
    ids=["a column that must be filled", "a unique index", "a column that goes"],
)
def test_a_step_that_does_more_than_add_is_for_its_own_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Table], None]
) -> None:
    declared = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        table.to_metadata(declared)
    change(declared.tables["player_roles"])
    monkeypatch.setattr(schema, "metadata", declared)
    path = schema.write_step("Change roles", tmp_path)
    assert path is not None
    assert f'\noldest = "{path.name.partition("_")[0]}"\n' in path.read_text()


def test_a_step_needs_a_title_of_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Add guilds"):
        schema.write_step(" …! ", tmp_path)


def test_the_declared_tables_need_no_further_step(tmp_path: Path) -> None:
    """If this fails: `gameserver dev-migration 'What is new'`."""
    assert schema.write_step("Forgotten", tmp_path) is None


def test_steps_are_numbered_in_turn() -> None:
    """The first ones by numbers, the later ones by their time: sorting their names puts all in order."""
    steps = schema._steps()
    first = [step for step in steps if len(step) == len("0001")]
    assert first == [f"{number:04}" for number in range(1, len(first) + 1)]
    for later in steps[len(first) :]:
        datetime.strptime(later, "%Y%m%d%H%M").replace(tzinfo=UTC)
    scripts = ScriptDirectory.from_config(schema._config()).walk_revisions()
    assert steps == [script.revision for script in scripts][::-1]


def before(step: int, url: str, folder: Path) -> None:
    """Migrate a database up to the step before this one."""
    older = folder / "migrations"
    shutil.copytree(Path(storage.__file__).parent / "migrations", older)
    for number in schema._steps()[step - 1 :]:
        [path] = (older / "versions").glob(f"{number}_*.py")
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "_FOLDER", older)
        migrate(url)


def read(url: str, statement: str) -> list[tuple[object, ...]]:
    async def main() -> list[tuple[object, ...]]:
        database = await open_database(url)
        async with database.read() as tx:
            rows = [tuple(row) for row in await tx.all(text(statement))]
        await database.close()
        return rows

    return asyncio.run(main())


def test_the_numbers_of_scores_are_turned_around(url: str, tmp_path: Path) -> None:
    """Of equal scores the one posted last had the highest number, and has the lowest since step 5."""
    before(5, url, tmp_path)
    entry = "INSERT INTO leaderboard_entries VALUES ('b', 1, '{0}', '{0}', -5, {1}, NULL, 1, 1)"
    reached = '{"counted": true, "place": [-5, 7, "ada"], "ranked": false}'
    run(
        url,
        entry.format("ada", 7),
        entry.format("bob", 8),
        f"INSERT INTO tournament_closings VALUES ('b', 1, 'a', 'b', 0, 1, -1, false, '{reached}')",
    )
    migrate(url)
    scores = read(url, "SELECT entry_id, seq FROM leaderboard_entries ORDER BY seq")
    assert scores == [("bob", 2**63 - 9), ("ada", 2**63 - 8)]
    [[closing]] = read(url, "SELECT reached FROM tournament_closings")
    assert json.loads(str(closing))["place"] == [-5, 0, ""]


def test_boards_get_to_know_their_division_set(url: str, tmp_path: Path) -> None:
    before(6, url, tmp_path)
    fields = (
        "uid, app_id, board_id, entry_type, board_type, rotation, days, retained, version, started_ms,"
        " db_version, stamp, t_enabled, t_template_only, created_ms"
    )
    board = (
        f"INSERT INTO leaderboards ({fields}) VALUES ('{{0}}', 'a', '{{1}}', 'PLAYER', 'HIGH_VALUE', 'ADHOC',"
        " 0, 1, 1, 0, 1, 1, true, false, 0)"
    )
    run(
        url,
        board.format("u1", "^D^gold^1"),
        board.format("u2", "^D^gold^2"),
        "INSERT INTO tournament_division_instances VALUES ('a', 'gold', 1, '^D^gold^1', 'u1', 0, 0, 1, 1, 1)",
    )
    migrate(url)
    assert read(url, "SELECT uid, div_set FROM leaderboards ORDER BY uid") == [("u1", "gold"), ("u2", None)]


def test_names_get_one_form(url: str, tmp_path: Path) -> None:
    before(16, url, tmp_path)
    add = (
        "INSERT INTO identities "
        "(app_id, type, external_key, external_id, profile_id, created_ms, is_validated) "
        "VALUES ('1', '{0}', '{1}', '{2}', '{3}', 0, false)"
    )
    run(
        url,
        add.format("Universal", "Zoe\u0308", "Zoe\u0308", "apart"),
        add.format("Universal", "Ame\u0301", "Ame\u0301", "second"),
        add.format("Universal", "Am\u00e9", "Am\u00e9", "first"),
        add.format("Email", "kate@example.com", "\u212aate@example.com", "kelvin"),
        add.format("Email", "ada@example.com", "Ada@example.com", "ada"),
    )
    migrate(url)
    rows = read(url, "SELECT profile_id, external_key FROM identities")
    assert {str(profile): key for profile, key in rows} == {
        "apart": "Zo\u00eb",
        "second": "Ame\u0301",  # the other was there first
        "first": "Am\u00e9",
        "kelvin": "\u212aate@example.com",
        "ada": "ada@example.com",
    }
