"""Keep what is said of identities."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.add_column(sa.Column("token_expires_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("data", Json(), nullable=True))
