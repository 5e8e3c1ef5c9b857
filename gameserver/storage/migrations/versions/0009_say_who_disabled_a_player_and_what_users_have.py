"""Say who disabled a player, and which properties users have."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# Names of properties that are stored already; the type is that of one of the values.
_NOTE = {
    "sqlite": """
        INSERT OR IGNORE INTO user_property_names (app_id, name, kind)
        SELECT players.app_id, e.key, CASE e.type WHEN 'text' THEN 'string' WHEN 'integer' THEN 'integer'
            WHEN 'real' THEN 'number' WHEN 'true' THEN 'boolean' WHEN 'false' THEN 'boolean' ELSE 'object' END
        FROM user_properties JOIN players USING (profile_id), json_each(user_properties.properties) AS e
        ORDER BY user_properties.updated_ms
    """,
    "postgresql": """
        INSERT INTO user_property_names (app_id, name, kind)
        SELECT DISTINCT ON (players.app_id, e.key) players.app_id, e.key, CASE jsonb_typeof(e.value)
            WHEN 'string' THEN 'string' WHEN 'boolean' THEN 'boolean'
            WHEN 'number' THEN CASE WHEN e.value::text ~ '^-?[0-9]+$' THEN 'integer' ELSE 'number' END
            ELSE 'object' END
        FROM user_properties JOIN players USING (profile_id), jsonb_each(user_properties.properties) AS e
        ORDER BY players.app_id, e.key, user_properties.updated_ms
    """,
}


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "user_property_names",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", name=op.f("pk_user_property_names")),
    )
    with op.batch_alter_table("players", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disabled_through", sa.String(length=16), nullable=True))
    op.execute(_NOTE[op.get_bind().dialect.name])
