"""Find players by name and mail address."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Take the step."""
    op.create_index(
        "players_by_name",
        "players",
        ["app_id", "name"],
        sqlite_where=sa.text("name != ''"),
        postgresql_where=sa.text("name != ''"),
    )
    op.create_index(
        "players_by_contact",
        "players",
        ["app_id", "contact_email"],
        sqlite_where=sa.text("contact_email IS NOT NULL"),
        postgresql_where=sa.text("contact_email IS NOT NULL"),
    )
