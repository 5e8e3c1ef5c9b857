"""What the tests of storage store, and the statements they do it with."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from gameserver.storage import Database, Json, Payer, answers, fail_unless, upsert
from gameserver.storage.dialects import POSTGRESQL, SQLITE

tables = MetaData()
players = Table(
    "players",
    tables,
    Column("id", String(36), primary_key=True),
    Column("name", Text, unique=True),
    Column("coins", BigInteger, CheckConstraint("coins >= 0"), nullable=False, server_default="0"),
    Column("banned", Boolean),
    Column("data", Json),
    Column("blob", LargeBinary),
)
items = Table(
    "items",
    tables,
    Column("id", String(36), primary_key=True),
    Column("owner", ForeignKey("players.id", deferrable=True, initially="DEFERRED")),
)

ADD = insert(players).values(id=bindparam("id"), name=bindparam("name"))
ADD_FULL = insert(players)
ADD_ITEM = insert(items)
FULL = {"id": "full", "name": "Full", "coins": 0, "banned": None, "data": None, "blob": None}
GET = select(players).where(players.c.id == bindparam("id"))
COUNT = select(func.count()).select_from(players)
NAMES = select(players.c.name).order_by(players.c.name)
RENAME = update(players).where(players.c.id == bindparam("player")).values(name=bindparam("new_name"))
EARN = (
    update(players)
    .where(players.c.id == bindparam("player"))
    .values(coins=players.c.coins + bindparam("sum"))
)
EARN_FIRST = (
    update(players)
    .where(players.c.id == bindparam("player"))
    .values(coins=fail_unless(players.c.coins, players.c.coins == 0, bindparam("sum", type_=BigInteger())))
)
EARNED = EARN.returning(players.c.id, players.c.coins)
EARNED_ALSO = EARN.returning(players.c.coins, (players.c.coins + 4).label("level"))
RENAMED = RENAME.returning(players.c.name)
# JSON travels in a form of its own.
WITH_DATA = EARN.returning(players.c.id, players.c.coins, players.c.data)
EARNED_FIRST = EARN_FIRST.returning(players.c.coins)
PUT = upsert(players, ["id"], ["name"], values={"id": bindparam("id"), "name": bindparam("name")})


async def create_tables(database: Database) -> None:
    dialect = SQLITE if database.dialect == "sqlite" else POSTGRESQL
    async with database.write() as tx:
        for table in [*tables.sorted_tables, answers.packet_answers]:
            await tx.run(text(str(CreateTable(table).compile(dialect=dialect))))
            for index in table.indexes:
                await tx.run(text(str(CreateIndex(index).compile(dialect=dialect))))


async def names(db: Database) -> list[str]:
    async with db.read() as tx:
        return [row["name"] for row in await tx.all(NAMES)]


async def add_players(db: Database, *ids: str) -> None:
    async with db.write() as tx:
        for player in ids:
            await tx.run(ADD, id=player, name=player)


# Queries that take long

NUMBERS = select(literal(1).label("n")).cte("numbers", recursive=True)
PAYER = Payer("a player", 1e6)


def counting(most: int) -> Any:
    """A query that takes SQLite as long as it takes to count, a tenth of a microsecond each or so."""
    numbers = NUMBERS.union_all(select(NUMBERS.c.n + 1).where(NUMBERS.c.n < most))
    return select(func.count()).select_from(numbers)


def endless(db: Database) -> Any:
    """A query that ends when it is made to."""
    return select(func.pg_sleep(60)) if db.dialect == "postgresql" else counting(2_000_000_000)


def inside(database: Database) -> Any:
    """A database as its own engine sees it: what the interface does not tell."""
    return database
