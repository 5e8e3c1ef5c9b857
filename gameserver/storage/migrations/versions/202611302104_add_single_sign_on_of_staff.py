"""Add single sign-on of staff."""

import sqlalchemy as sa
from alembic import op

revision = "202611302104"
down_revision = "202611302102"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables and indexes, or columns with a default, lets those of the step before go on: "202611302046".
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("staff", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subject", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("disabled_ms", sa.BigInteger(), nullable=True))
        batch_op.create_index("staff_by_subject", ["subject"], unique=True)
