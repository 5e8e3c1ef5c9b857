"""Add letters."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301451"
down_revision = "202611301450"
oldest = "202611301450"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "letters",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("letter_id", sa.String(length=36), nullable=False),
        sa.Column("sender_id", sa.String(length=36), nullable=False),
        sa.Column("receiver_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("content", Json(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "letter_id", name=op.f("pk_letters")),
    )
    with op.batch_alter_table("letters", schema=None) as batch_op:
        batch_op.create_index("letters_by_age", ["created_ms"], unique=False)
        batch_op.create_index("letters_by_receiver", ["receiver_id"], unique=False)
        batch_op.create_index("letters_by_sender", ["sender_id"], unique=False)
        batch_op.create_index("letters_of_app", ["app_id", "created_ms"], unique=False)

    op.create_table(
        "mail_addresses",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("unsubscribed_ms", sa.BigInteger(), nullable=False),
        sa.Column("mailed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "address", name=op.f("pk_mail_addresses")),
    )
    with op.batch_alter_table("mail_addresses", schema=None) as batch_op:
        batch_op.create_index("mail_addresses_by_age", ["unsubscribed_ms", "mailed_ms"], unique=False)
        batch_op.create_index("mail_addresses_by_token", ["app_id", "token"], unique=False)
