"""Add the type of the last login."""

import sqlalchemy as sa
from alembic import op

revision = "202611301035"
down_revision = "202611301026"
oldest = "202611301026"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.add_column(sa.Column("login_type", sa.String(length=32), nullable=True))
