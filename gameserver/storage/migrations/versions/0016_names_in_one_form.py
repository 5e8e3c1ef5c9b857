"""Universal ids are looked up by one form of their letters (NFC), mail addresses by small letters A to Z alone."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_identities = sa.table(
    "identities",
    sa.column("app_id", sa.String),
    sa.column("type", sa.String),
    sa.column("external_key", sa.Text),
    sa.column("external_id", sa.Text),
)


def upgrade() -> None:
    """Take the step. Where somebody has the new form already, the other stays as it was, and logs in no more."""
    connection = op.get_bind()
    c = _identities.c
    unusual = (
        c.external_id.op("GLOB")("*[^ -~]*")
        if connection.dialect.name == "sqlite"
        else c.external_id.op("!~")("^[ -~]*$")
    )
    rows = connection.execute(
        sa.select(_identities).where(c.type.in_(["Universal", "Email"]), unusual)
    ).fetchall()
    for row in rows:
        if row.type == "Email":
            key = row.external_id.strip().translate(_LOWER)
        else:
            key = unicodedata.normalize("NFC", row.external_key)
        mine = (c.app_id == row.app_id, c.type == row.type)
        taken = connection.scalar(
            sa.select(sa.func.count()).select_from(_identities).where(*mine, c.external_key == key)
        )
        if key != row.external_key and not taken:
            connection.execute(
                sa.update(_identities)
                .where(*mine, c.external_key == row.external_key)
                .values(external_key=key)
            )
