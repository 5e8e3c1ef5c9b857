"""Add scheduled scripts."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301026"
down_revision = "202611301019"
oldest = "202611301019"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "script_jobs",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("job_type", sa.String(length=32), nullable=False),
        sa.Column("script_name", sa.Text(), nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("run_state", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("peer_app_id", sa.String(length=64), nullable=True),
        sa.Column("targets", Json(), nullable=True),
        sa.Column("completion_script", sa.Text(), nullable=True),
        sa.Column("last_profile_id", sa.String(length=36), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("result", Json(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("run_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("run_end_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "job_id", name=op.f("pk_script_jobs")),
    )
    with op.batch_alter_table("script_jobs", schema=None) as batch_op:
        batch_op.create_index("script_jobs_by_end", ["app_id", "run_end_ms"], unique=False)
        batch_op.create_index("script_jobs_by_owner", ["owner_id", "run_state"], unique=False)
        batch_op.create_index("script_jobs_by_start", ["app_id", "run_state", "start_ms"], unique=False)

    op.create_table(
        "script_schedules",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", name=op.f("pk_script_schedules")),
    )
    op.create_table(
        "session_objects",
        sa.Column("session", sa.String(length=128), nullable=False),
        sa.Column("objects", Json(), nullable=False),
        sa.Column("stored_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_session_objects")),
    )
    with op.batch_alter_table("session_objects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_objects_stored_ms"), ["stored_ms"], unique=False)
