"""Keep JSON letter by letter."""

from alembic import op

revision = "0013"
down_revision = "0012"

_COLUMNS = {
    "data_stream_reports": ["data"],
    "entities": ["data"],
    "global_entities": ["data"],
    "jobs": ["payload"],
    "leaderboard_entries": ["data"],
    "leaderboard_versions": ["t_period"],
    "leaderboards": ["data", "t_settings", "t_period", "t_schedule"],
    "one_time_tokens": ["data"],
    "player_progress": ["statistics"],
    "players": ["summary_friend_data", "statuses", "attributes"],
    "tournament_closings": ["reached"],
    "tournament_division_sets": ["config"],
    "tournament_results": ["data"],
    "tournament_templates": ["config"],
    "user_properties": ["properties"],
}
_SEARCHED = ["entities", "global_entities"]


def upgrade() -> None:
    """Take the step. SQLite has kept it so before.

    PostgreSQL writes the tables anew that hold JSON, with a `jsonb` twin where clauses search it.
    """
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in _COLUMNS.items():
        changes = [f"ALTER COLUMN {column} TYPE TEXT USING {column}::text" for column in columns]
        if table in _SEARCHED:
            # Apart: a column cannot be computed from one whose type changes in the same statement.
            op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
            changes = ["ADD COLUMN data_json JSONB GENERATED ALWAYS AS (data::jsonb) STORED"]
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
