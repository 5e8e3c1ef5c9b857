"""Pages of entities: indexes in the order of creation, and tallies of long lists.

The triggers note in `tally_rows` which rows come into a list that has a tally, or leave it. They name the lists
as the services do. SQLite forgets the triggers of a table that a later step copies: it must create them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Table, what its triggers watch, and the lists a row is in, as SQL about `row`. A player has one app.
WATCHED = (
    ("entities", ("owner_id", "entity_type"), ("'entities:' || row.owner_id",)),
    (
        "global_entities",
        ("app_id", "owner_id", "entity_type", "acl_other"),
        (
            "CASE WHEN row.acl_other >= 1 THEN 'global_entities:readable:' || row.app_id END",
            "CASE WHEN row.acl_other = 0 THEN 'global_entities:private:' || row.owner_id END",
            "CASE WHEN row.owner_id IS NULL THEN 'global_entities:system:' || row.app_id END",
        ),
    ),
)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "tallies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("is_ready", sa.Boolean(), nullable=False),
        sa.Column("mended", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tallies"),
        sa.UniqueConstraint("list", "entity_type", name="uq_tallies_list_entity_type"),
    )
    op.create_index("tallies_by_owner", "tallies", ["owner_id"], unique=False)
    op.create_table(
        "tally_rows",
        sa.Column("tally_id", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("is_change", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
    )
    order = ["tally_id", "created_ms", "entity_id", "is_change", "rows"]
    op.create_index("tally_rows_in_order", "tally_rows", order, unique=False)
    op.create_index("entities_by_age", "entities", ["owner_id", "created_ms", "entity_id"], unique=False)
    op.drop_index("entities_by_type", "entities")
    order = ["owner_id", "entity_type", "created_ms", "entity_id"]
    op.create_index("entities_by_type", "entities", order, unique=False)
    op.drop_index("global_entities_by_owner", "global_entities")
    order = ["owner_id", "acl_other", "created_ms", "entity_id"]
    op.create_index("global_entities_by_owner", "global_entities", order, unique=False)
    op.create_index(
        "global_entities_of_system",
        "global_entities",
        ["app_id", "created_ms", "entity_id"],
        unique=False,
        sqlite_where=sa.text("owner_id IS NULL"),
        postgresql_where=sa.text("owner_id IS NULL"),
    )
    connection = op.get_bind()
    triggers = _on_postgresql if connection.dialect.name == "postgresql" else _on_sqlite
    for table, columns, lists in WATCHED:
        for statement in triggers(table, columns, lists):
            connection.exec_driver_sql(statement)


def _named(row: str, lists: tuple[str, ...]) -> str:
    return ", ".join(name.replace("row.", f"{row}.") for name in lists)


def _noted(row: str, lists: str, change: int) -> str:
    """Return the statement that adds a change to the tallies of a row, the old one or the new one."""
    return f"""
        INSERT INTO tally_rows (tally_id, created_ms, entity_id, is_change, rows)
        SELECT id, {row}.created_ms, {row}.entity_id, true, {change}
        FROM tallies WHERE list {lists} AND entity_type IN ('', {row}.entity_type);
    """  # noqa: S608 - all parts are in this file


def _on_sqlite(table: str, columns: tuple[str, ...], lists: tuple[str, ...]) -> list[str]:
    gone = _noted("OLD", f"IN ({_named('OLD', lists)})", -1)
    come = _noted("NEW", f"IN ({_named('NEW', lists)})", 1)
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
    return [
        f"CREATE TRIGGER {table}_{name} {event} ON {table} {when} BEGIN {body} END"
        for name, event, when, body in (
            ("come", "AFTER INSERT", "", come),
            ("gone", "AFTER DELETE", "", gone),
            ("changed", f"AFTER UPDATE OF {', '.join(columns)}", f"WHEN {differs}", gone + come),
        )
    ]


def _on_postgresql(table: str, columns: tuple[str, ...], lists: tuple[str, ...]) -> list[str]:
    gone, come = (
        # A variable: the names would be made anew for each tally that is looked at.
        f"DECLARE names text[] := ARRAY[{_named(row, lists)}]; "
        f"BEGIN {_noted(row, '= ANY (names)', change)} END;"
        for row, change in (("OLD", -1), ("NEW", 1))
    )
    differs = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
    statements = []
    for name, event, when, body in (
        ("come", "AFTER INSERT", "", come),
        ("gone", "AFTER DELETE", "", gone),
        ("changed", f"AFTER UPDATE OF {', '.join(columns)}", f"WHEN ({differs})", gone + come),
    ):
        function = f"{table}_{name}()"
        trigger = f"CREATE TRIGGER {table}_{name} {event} ON {table} FOR EACH ROW {when}"
        statements += [
            f"CREATE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
            f"{trigger} EXECUTE FUNCTION {function}",
        ]
    return statements
