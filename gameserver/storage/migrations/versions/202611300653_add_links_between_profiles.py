"""Add links between profiles."""

import sqlalchemy as sa
from alembic import op

revision = "202611300653"
down_revision = "0016"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables and indexes, or columns with a default, lets those of the step before go on: "0016".
oldest = "202611300653"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "profile_links",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("target_id", sa.String(length=36), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "name", name=op.f("pk_profile_links")),
    )
    with op.batch_alter_table("profile_links", schema=None) as batch_op:
        batch_op.create_index("profile_links_by_target", ["target_id", "name", "profile_id"], unique=False)
