"""The first tables."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Jsonb as Json

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(length=28), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("face", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("audit_events_by_app", "audit_events", ["app_id", "id"], unique=False)
    op.create_index("audit_events_by_profile", "audit_events", ["app_id", "profile_id", "id"], unique=False)
    op.create_table(
        "devices",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("registered_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "device", name="pk_devices"),
    )
    op.create_index("devices_by_age", "devices", ["app_id", "registered_ms"], unique=False)
    op.create_index("devices_by_player", "devices", ["app_id", "profile_id"], unique=False)
    op.create_index("devices_by_session", "devices", ["session"], unique=False)
    op.create_table(
        "entities",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("acl_other", sa.SmallInteger(), nullable=False),
        sa.Column("is_singleton", sa.Boolean(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "entity_id", name="pk_entities"),
    )
    op.create_index("entities_by_type", "entities", ["owner_id", "entity_type"], unique=False)
    op.create_index(
        "entities_singletons",
        "entities",
        ["owner_id", "entity_type"],
        unique=True,
        sqlite_where=sa.text("is_singleton"),
        postgresql_where=sa.text("is_singleton"),
    )
    op.create_table(
        "global_entities",
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("indexed_id", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("acl_other", sa.Integer(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("life_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entity_id", name="pk_global_entities"),
    )
    op.create_index(
        "global_entities_by_age", "global_entities", ["app_id", "created_ms", "entity_id"], unique=False
    )
    op.create_index("global_entities_by_expiry", "global_entities", ["expires_ms"], unique=False)
    op.create_index(
        "global_entities_by_indexed_id",
        "global_entities",
        ["app_id", "indexed_id", "created_ms", "entity_id"],
        unique=False,
    )
    op.create_index("global_entities_by_owner", "global_entities", ["owner_id"], unique=False)
    op.create_index(
        "global_entities_by_type",
        "global_entities",
        ["app_id", "entity_type", "created_ms", "entity_id"],
        unique=False,
    )
    op.create_table(
        "global_statistics",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("cut", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", name="pk_global_statistics"),
    )
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
        "leaderboard_chores",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leaderboard_chores"),
    )
    op.create_table(
        "leaderboard_entries",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.String(length=36), nullable=False),
        sa.Column("rank_key", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("data", Json(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("board_uid", "version", "entry_id", name="pk_leaderboard_entries"),
    )
    op.create_index(
        "leaderboard_entries_by_member",
        "leaderboard_entries",
        ["member_id", "board_uid", "version", "rank_key", "seq", "entry_id"],
        unique=False,
    )
    op.create_index(
        "leaderboard_entries_by_rank",
        "leaderboard_entries",
        ["board_uid", "version", "rank_key", "seq", "entry_id"],
        unique=False,
    )
    op.create_index("leaderboard_entries_by_seq", "leaderboard_entries", ["seq"], unique=False)
    op.create_table(
        "leaderboard_removals",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("board_uid", "version", "entry_id", name="pk_leaderboard_removals"),
    )
    op.create_table(
        "leaderboard_versions",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("t_period", Json(), nullable=True),
        sa.PrimaryKeyConstraint("board_uid", "version", name="pk_leaderboard_versions"),
    )
    op.create_table(
        "leaderboards",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("board_id", sa.Text(), nullable=False),
        sa.Column("entry_type", sa.String(length=16), nullable=False),
        sa.Column("board_type", sa.String(length=16), nullable=False),
        sa.Column("rotation", sa.String(length=16), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("anchor_ms", sa.BigInteger(), nullable=True),
        sa.Column("reset_ms", sa.BigInteger(), nullable=True),
        sa.Column("retained", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("data", Json(), nullable=True),
        sa.Column("db_version", sa.Integer(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("t_enabled", sa.Boolean(), nullable=False),
        sa.Column("t_template_only", sa.Boolean(), nullable=False),
        sa.Column("t_settings", Json(), nullable=True),
        sa.Column("t_period", Json(), nullable=True),
        sa.Column("t_schedule", Json(), nullable=True),
        sa.Column("declared", sa.String(length=64), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_leaderboards"),
        sa.UniqueConstraint("app_id", "board_id", name="uq_leaderboards_app_id_board_id"),
    )
    op.create_index("leaderboards_by_expiry", "leaderboards", ["expires_ms"], unique=False)
    op.create_index("leaderboards_by_reset", "leaderboards", ["reset_ms"], unique=False)
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
        "player_progress",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("statistics", Json(), nullable=False),
        sa.Column("experience", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("paid", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name="pk_player_progress"),
    )
    op.create_table(
        "player_roles",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "role", "profile_id", name="pk_player_roles"),
    )
    op.create_index("player_roles_by_profile", "player_roles", ["profile_id"], unique=False)
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
        sa.Column("session_epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ab_testing_id", sa.Integer(), nullable=False),
        sa.Column("summary_friend_data", Json(), nullable=True),
        sa.Column("statuses", Json(), nullable=True),
        sa.Column("attributes", Json(), nullable=True),
        sa.PrimaryKeyConstraint("profile_id", name="pk_players"),
    )
    op.create_index("players_by_app", "players", ["app_id", "created_ms"], unique=False)
    op.create_table(
        "refresh_families",
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("session_digest", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("family", name="pk_refresh_families"),
    )
    op.create_index("refresh_families_by_expiry", "refresh_families", ["expires_ms"], unique=False)
    op.create_index("refresh_families_by_profile", "refresh_families", ["app_id", "profile_id"], unique=False)
    op.create_index("refresh_families_by_session", "refresh_families", ["session_digest"], unique=False)
    op.create_table(
        "tournament_division_instances",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("div_set_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("board_id", sa.Text(), nullable=False),
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("play_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "div_set_id", "number", name="pk_tournament_division_instances"),
    )
    op.create_index(
        "tournament_division_instances_by_board",
        "tournament_division_instances",
        ["app_id", "board_id"],
        unique=False,
    )
    op.create_index(
        "tournament_division_instances_by_expiry",
        "tournament_division_instances",
        ["expires_ms"],
        unique=False,
    )
    op.create_table(
        "tournament_division_sets",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("div_set_id", sa.Text(), nullable=False),
        sa.Column("config", Json(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "div_set_id", name="pk_tournament_division_sets"),
    )
    op.create_table(
        "tournament_enrolments",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("board_id", sa.Text(), nullable=False),
        sa.Column("div_set_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("board_uid", "version", "member_id", name="pk_tournament_enrolments"),
    )
    op.create_index("tournament_enrolments_by_member", "tournament_enrolments", ["member_id"], unique=False)
    op.create_table(
        "tournament_results",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("board_id", sa.Text(), nullable=False),
        sa.Column("div_set_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.BigInteger(), nullable=False),
        sa.Column("data", Json(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=False),
        sa.Column("pay_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("board_uid", "version", "member_id", name="pk_tournament_results"),
    )
    op.create_index("tournament_results_by_end", "tournament_results", ["ended_ms"], unique=False)
    op.create_index(
        "tournament_results_by_member",
        "tournament_results",
        ["member_id", "board_uid", "version"],
        unique=False,
    )
    op.create_index("tournament_results_to_pay", "tournament_results", ["pay_ms"], unique=False)
    op.create_table(
        "tournament_templates",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("config", Json(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "code", "version", name="pk_tournament_templates"),
    )
    op.create_table(
        "user_properties",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("properties", Json(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name="pk_user_properties"),
    )
    op.create_table(
        "wallet_entries",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "key", name="pk_wallet_entries"),
    )
    op.create_table(
        "wallets",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("currency", sa.String(length=64), nullable=False),
        sa.Column("purchased", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("consumed", sa.BigInteger(), nullable=False),
        sa.Column("awarded", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("balance = purchased + awarded - consumed - revoked", name="ck_wallets_adds_up"),
        sa.CheckConstraint("balance >= 0 OR revoked > 0", name="ck_wallets_covered"),
        sa.PrimaryKeyConstraint("profile_id", "currency", name="pk_wallets"),
    )
