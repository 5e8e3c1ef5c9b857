"""Migrations: an upgraded database equals the declared tables, on both engines, whoever starts first."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Column, Index, MetaData, String, Table, Text, text

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
    run(url, "UPDATE alembic_version SET version_num = '9999'")
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
        table.to_metadata(declared)
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
        assert path.name == f"{int(last) + 1:04}_add_guilds_and_why.py"
        assert path.read_text().startswith('"""Add guilds, and why."""\n')
        patch.setattr(schema, "_FOLDER", copy)
        migrate(url)
        assert schema_differences(url) == []
        assert schema_version(url) == f"{int(last) + 1:04}"
        assert schema.write_step("Nothing", copy / "versions") is None


def test_a_step_needs_a_title_of_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Add guilds"):
        schema.write_step(" …! ", tmp_path)


def test_the_declared_tables_need_no_further_step(tmp_path: Path) -> None:
    """If this fails: `gameserver dev-migration 'What is new'`."""
    assert schema.write_step("Forgotten", tmp_path) is None


def test_steps_are_numbered_in_turn() -> None:
    steps = schema._steps()
    assert steps == [f"{number:04}" for number in range(1, len(steps) + 1)]
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
