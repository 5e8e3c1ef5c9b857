"""What clauses and orders mean: a slow model that is easy to believe, and both engines to compare it with."""

import asyncio
import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, bindparam, insert, select
from sqlalchemy.schema import CreateTable

from gameserver.documents.query import Fields, order, where
from gameserver.storage import Database, SearchedJson, open_database
from gameserver.storage.dialects import POSTGRESQL, SQLITE
from tests import servers

rows = Table(
    "rows",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("batch", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("owner", Text),
    Column("data", SearchedJson, nullable=False),
)
FIELDS = Fields(
    columns={"kind": rows.c.kind, "made": rows.c.made, "owner": rows.c.owner, "id": rows.c.id},
    documents={"data": rows.c.data},
    unique=rows.c.id,
)
INSERT = insert(rows).values({column.name: bindparam(column.name) for column in rows.c})

# The model


def found(value: Any, path: list[str]) -> list[Any]:
    """The values a path finds."""
    if not path:
        return [value]
    name, rest = path[0], path[1:]
    if isinstance(value, dict):
        return found(value[name], rest) if name in value else []
    if isinstance(value, list) and name.isdigit():
        return found(value[int(name)], rest) if int(name) < len(value) else []
    return []


def reached(value: Any, path: list[str]) -> list[Any]:
    """The values a path finds when arrays of objects on the way stand for all their members."""
    values, first = [value], True
    for name in path:
        after = []
        for item in values:
            items = item if isinstance(item, list) and not first and not name.isdigit() else [item]
            for part in items:
                if isinstance(part, dict) or first or name.isdigit():
                    after += found(part, [name])
        values, first = after, False
    return values


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    for types, name in ((bool, "boolean"), ((int, float), "number"), (str, "text"), (list, "array")):
        if isinstance(value, types):
            return name
    return "object"


def same(left: Any, right: Any) -> bool:
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


def compared(operator: str, left: Any, right: Any) -> bool:
    if kind_of(left) != kind_of(right) or kind_of(left) not in ("number", "text"):
        return False
    found: dict[str, bool] = {
        "$gt": left > right,
        "$gte": left >= right,
        "$lt": left < right,
        "$lte": left <= right,
    }
    return found[operator]


def of_type(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(of_type(value, one) for one in wanted)
    kind = kind_of(value)
    if wanted in (1, 16, 18):
        if kind != "number":
            return False
        whole = value == int(value)
        exact = 16 if whole and -(2**31) <= value < 2**31 else 18 if whole and abs(value) < 2**63 else 1
        return bool(wanted == exact)
    names = {2: "text", 3: "object", 4: "array", 8: "boolean", 10: "null"}
    return kind == names[wanted]


def fold(text: str) -> str:
    """Small ASCII letters; other letters stay."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)


def matched(value: Any, pattern: str, options: str) -> bool:
    if not isinstance(value, str):
        return False
    flags = re.DOTALL | re.ASCII
    if "i" in options:
        return re.search(pattern, value, flags | re.IGNORECASE) is not None
    return re.search(pattern, value, flags) is not None


class Place:
    """What a condition is about: the values found, and whether their elements count too."""

    def __init__(self, values: list[Any], *, elements: bool = True) -> None:
        self.values = values
        self.all = [
            *values,
            *(item for value in values if elements and isinstance(value, list) for item in value),
        ]

    def any(self, check: Callable[[Any], bool]) -> bool:
        return any(check(value) for value in self.all)


def meets(place: Place, condition: Any) -> bool:
    if not (isinstance(condition, dict) and any(name.startswith("$") for name in condition)):
        return equals(place, condition)
    return all(
        operator_holds(place, name, operand, condition)
        for name, operand in condition.items()
        if name != "$options"
    )


def equals(place: Place, value: Any) -> bool:
    if value is None:
        return place.any(lambda item: item is None) or not place.values
    return place.any(lambda item: same(item, value))


def operator_holds(place: Place, name: str, operand: Any, beside: dict[str, Any]) -> bool:
    match name:
        case "$eq":
            return equals(place, operand)
        case "$ne":
            return not equals(place, operand)
        case "$gt" | "$gte" | "$lt" | "$lte":
            return place.any(lambda item: compared(name, item, operand))
        case "$in":
            return any(equals(place, value) for value in operand)
        case "$nin":
            return not any(equals(place, value) for value in operand)
        case "$all":
            return bool(operand) and all(equals(place, value) for value in operand)
        case "$exists":
            return bool(bool(place.values) == operand)
        case "$type":
            return place.any(lambda item: of_type(item, operand))
        case "$size":
            return any(isinstance(value, list) and len(value) == operand for value in place.values)
        case "$regex":
            return place.any(lambda item: matched(item, operand, beside.get("$options", "")))
        case "$not":
            return not meets(place, operand)
        case "$elemMatch":
            itself = all(key.startswith("$") and key not in ("$and", "$or", "$nor") for key in operand)
            return any(
                meets(Place([item], elements=False), operand) if itself else holds(operand, item, inside=True)
                for value in place.values
                if isinstance(value, list)
                for item in value
            )
    raise AssertionError(name)


def holds(criteria: dict[str, Any], row: Any, *, inside: bool = False) -> bool:
    """Whether a clause holds for a row, or `inside` an array for one of its elements."""
    for name, condition in criteria.items():
        if name in ("$and", "$or", "$nor"):
            outcomes = [holds(clause, row, inside=inside) for clause in condition]
            passed = {"$and": all(outcomes), "$or": any(outcomes), "$nor": not any(outcomes)}[name]
        elif not inside and name in FIELDS.columns:  # a column that holds null has no value
            passed = meets(Place([row[name]] if row[name] is not None else []), condition)
        else:
            passed = meets(Place(reached(row, name.split("."))), condition)
        if not passed:
            return False
    return True


def rank(row: dict[str, Any], path: str) -> tuple[Any, ...]:
    """What decides where a row comes, for one field."""
    if path in FIELDS.columns:
        value = row[path]
        return (0,) if value is None else (1, value)
    values = found(row, path.split("."))
    if not values or values[0] is None:
        return (0,)
    value = values[0]
    match kind_of(value):
        case "number":
            return (1, value)
        case "text":
            return (2, value)
        case "object":
            return (3,)
        case "array":
            return (4,)
        case _:
            return (5 + value,)


# The engines


class Engines:
    """Both engines, with a table that keeps the rows of every example under a number of its own."""

    def __init__(self, runner: asyncio.Runner, databases: list[Database]) -> None:
        self.runner = runner
        self.databases = databases
        self.batches = itertools.count(1)
        self.ids = itertools.count(1)

    def answers(
        self, made: list[dict[str, Any]], clause: dict[str, Any], sort: dict[str, int]
    ) -> list[list[int]]:
        """Store rows and ask each engine for them; ids become positions in `made`."""
        batch = next(self.batches)
        stored = [
            {**row, "id": next(self.ids), "batch": batch, "data": json.dumps(row["data"], ensure_ascii=False)}
            for row in made
        ]
        statement = (
            select(rows.c.id)
            .where(rows.c.batch == batch, where(clause, FIELDS))
            .order_by(*order(sort, FIELDS))
        )
        positions = {row["id"]: position for position, row in enumerate(stored)}

        async def ask(database: Database) -> list[int]:
            async with database.write() as tx:
                await tx.run_many(INSERT, stored)
            async with database.read() as tx:
                return [positions[row["id"]] for row in await tx.all(statement)]

        return [self.runner.run(ask(database)) for database in self.databases]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    path = tmp_path_factory.mktemp("query") / "rows.db"
    with servers.postgresql() as url, asyncio.Runner() as runner:
        yield from _opened(runner, [f"sqlite:///{Path(path)}", url])


def _opened(runner: asyncio.Runner, urls: list[str]) -> Iterator[Engines]:
    async def open_one(url: str) -> Database:
        database = await open_database(url)
        await create(database)
        return database

    databases = [runner.run(open_one(url)) for url in urls]
    yield Engines(runner, databases)
    for database in databases:
        runner.run(database.close())


async def create(database: Database) -> None:
    dialect = SQLITE if database.dialect == "sqlite" else POSTGRESQL
    ddl = str(CreateTable(rows).compile(dialect=dialect))
    if database.dialect == "sqlite":
        with sqlite3.connect(database.url.removeprefix("sqlite:///")) as connection:
            connection.execute(ddl)
        connection.close()
    else:
        connection = await asyncpg.connect(database.url)
        await connection.execute(ddl)
        # As the migrations do beside every such column.
        await connection.execute(
            "ALTER TABLE rows ADD COLUMN data_json JSONB GENERATED ALWAYS AS (data::jsonb) STORED"
        )
        await connection.close()
