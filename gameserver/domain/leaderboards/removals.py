"""Removed entries, noted until the index of ranks is known to have lost them too."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, bindparam, delete, select

from gameserver.storage import metadata, upsert
from gameserver.storage.tables import StoredBy

removals = Table(
    "leaderboard_removals",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    info={"stored_by": StoredBy.BOARD},
)
NOTE = upsert(removals, ["board_uid", "version", "entry_id"], ["seq"])
NOTED = select(removals).limit(bindparam("most"))
DONE = delete(removals).where(
    removals.c.board_uid == bindparam("uid"),
    removals.c.version == bindparam("of_version"),
    removals.c.entry_id == bindparam("entry"),
    removals.c.seq == bindparam("of_seq"),
)
FORGET = delete(removals).where(
    removals.c.board_uid == bindparam("uid"),
    removals.c.version == bindparam("of_version"),
    removals.c.entry_id == bindparam("entry"),
)
