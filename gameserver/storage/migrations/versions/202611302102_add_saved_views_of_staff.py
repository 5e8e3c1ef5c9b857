"""Add saved views of staff."""

import sqlalchemy as sa
from alembic import op

revision = "202611302102"
down_revision = "202611302051"
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "staff_views",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("view", sa.String(length=28), nullable=False),
        sa.Column("staff", sa.String(length=64), nullable=False),
        sa.Column("page", sa.String(length=96), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "view", name=op.f("pk_staff_views")),
    )
    with op.batch_alter_table("staff_views", schema=None) as batch_op:
        batch_op.create_index("staff_views_by_page", ["app_id", "page", "name", "view"], unique=False)
        batch_op.create_index("staff_views_by_staff", ["staff"], unique=False)

    with op.batch_alter_table("staff_actions", schema=None) as batch_op:
        batch_op.create_index("staff_actions_by_action", ["app_id", "action", "id"], unique=False)
        batch_op.create_index("staff_actions_by_outcome", ["app_id", "outcome", "id"], unique=False)
        batch_op.create_index("staff_actions_by_target", ["app_id", "target", "id"], unique=False)
