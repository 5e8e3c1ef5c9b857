"""How rows may be spread over databases: tables say which of their rows belong together, and keys follow."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Table, UniqueConstraint

import gameserver.app  # noqa: F401 - declares every table
from gameserver.storage import metadata
from gameserver.storage.tables import StoredBy

COLUMNS = {
    StoredBy.PLAYER: {"profile_id", "owner_id"},
    StoredBy.APP: {"app_id"},
    StoredBy.GROUP: {"group_id"},
    StoredBy.BOARD: {"board_uid"},
    StoredBy.RUN: {"run"},
}

# Keys that begin otherwise, and why; their ids are random, so that they are unique by themselves.
OTHERWISE = {
    ("audit_events", "id"): "the first tables had it so; `app_id, id` is an index beside it",
    ("global_entities", "entity_id"): "the first tables had it so; every statement names the app as well",
    ("leaderboards", "uid"): "the board itself, `board_uid` elsewhere",
    (
        "leaderboards",
        "app_id",
    ): "names are unique in an app, whichever boards they are of",
}


def keys(table: Table) -> Iterator[list[str]]:
    """The columns of the primary key and of every unique key."""
    yield [column.name for column in table.primary_key]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
    for index in table.indexes:
        if index.unique:
            yield [column.name for column in index.columns]


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_keys_begin_with_what_rows_are_stored_by(table: Table) -> None:
    assert isinstance(table.info.get("stored_by"), StoredBy), f"say what rows of {table} are stored by"
    stored_by: StoredBy = table.info["stored_by"]
    if stored_by is StoredBy.SERVER:
        return
    for key in keys(table):
        if stored_by is StoredBy.KEY:
            assert len(key) == 1, f"{table}: {key} is more than one column: are these rows of a PARENT?"
        elif stored_by is StoredBy.PARENT:
            # Whoever deletes the parent, be it a job or another service, takes its rows along.
            cascades = {fk.ondelete for fk in table.c[key[0]].foreign_keys}
            assert cascades == {"CASCADE"}, f"{table}.{key[0]}: a foreign key with ondelete='CASCADE'"
        elif (table.name, key[0]) not in OTHERWISE:
            assert key[0] in COLUMNS[stored_by], f"{table}: {key} does not begin with the {stored_by}"


def test_rows_that_lapse_are_found_by_an_index() -> None:
    """Or the job that forgets them would read the whole table, once a minute."""
    for table in metadata.tables.values():
        for fixed, column in table.info.get("expires", ()):
            ways = [list(index.columns) for index in table.indexes] + [list(table.primary_key)]
            behind = [way for way in ways if column in way and set(way[: way.index(column)]) <= fixed]
            assert behind, f"{table}: no index begins with {column.name}, by which rows lapse"


def test_the_exceptions_are_still_needed() -> None:
    for name, column in OTHERWISE:
        table = metadata.tables[name]
        first = {key[0] for key in keys(table)}
        assert column in first
        assert column not in COLUMNS[table.info["stored_by"]]
