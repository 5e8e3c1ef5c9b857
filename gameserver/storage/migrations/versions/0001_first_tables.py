"""The first tables."""  # noqa: N999 - the number orders the files

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "identities",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("external_key", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_validated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "type", "external_key", name="pk_identities"),
    )
    op.create_index("identities_by_profile", "identities", ["profile_id"], unique=False)
    op.create_table(
        "one_time_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", Json(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_one_time_tokens"),
    )
    op.create_index("one_time_tokens_by_expiry", "one_time_tokens", ["expires_ms"], unique=False)
    op.create_index("one_time_tokens_by_subject", "one_time_tokens", ["app_id", "subject"], unique=False)
    op.create_table(
        "packet_answers",
        sa.Column("session", sa.String(length=128), nullable=False),
        sa.Column("packet_id", sa.BigInteger(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", name="pk_packet_answers"),
    )
    op.create_index("ix_packet_answers_stored_at", "packet_answers", ["stored_at"], unique=False)
    op.create_table(
        "players",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("picture_url", sa.Text(), nullable=True),
        sa.Column("contact_email", sa.Text(), nullable=True),
        sa.Column("language_code", sa.String(length=32), nullable=True),
        sa.Column("country_code", sa.String(length=32), nullable=True),
        sa.Column("time_zone_offset", sa.Float(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_login_ms", sa.BigInteger(), nullable=False),
        sa.Column("previous_login_ms", sa.BigInteger(), nullable=True),
        sa.Column("login_count", sa.Integer(), nullable=False),
        sa.Column("is_tester", sa.Boolean(), nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("ab_testing_id", sa.Integer(), nullable=False),
        sa.Column("summary_friend_data", Json(), nullable=True),
        sa.Column("statuses", Json(), nullable=True),
        sa.Column("attributes", Json(), nullable=True),
        sa.PrimaryKeyConstraint("profile_id", name="pk_players"),
    )
    op.create_index("players_by_app", "players", ["app_id", "created_ms"], unique=False)
