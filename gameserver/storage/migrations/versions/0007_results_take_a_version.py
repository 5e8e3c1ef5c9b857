"""Keep with results the last version of its template that a tournament took."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("tournament_results", schema=None) as batch_op:
        batch_op.add_column(sa.Column("last_version", sa.Integer(), nullable=True))
