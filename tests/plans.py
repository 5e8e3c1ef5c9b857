"""How SQLite finds the rows of the statements that run: nobody notices a slow one by looking.

plans = Plans(game, monkeypatch)   # on SQLite; PostgreSQL chooses by the size of the table
...
assert plans.slow() == []
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from gameserver.storage import sqlite
from gameserver.storage.plans import Plan
from gameserver.storage.sqlite import SqliteDatabase
from tests.conftest import Game

SMALL = {"leaderboards", "tournament_templates", "tournament_division_sets"}  # an app has few of them


class Plans:
    """The plans of the statements that run from now on, as SQLite explains them."""

    def __init__(self, game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
        database = game.core.database
        assert isinstance(database, SqliteDatabase)
        self._reader = database.reader
        self.statements: dict[str, int] = {}
        execute = sqlite._SqliteTransaction._execute

        def note(tx: Any, kind: str, plan: Plan, params: Any) -> Any:
            sql, arguments = plan.bind(params)
            self.statements[sql] = len(arguments)
            return execute(tx, kind, plan, params)

        monkeypatch.setattr(sqlite._SqliteTransaction, "_execute", note)

    def each(self) -> Iterator[tuple[str, list[str]]]:
        """Each statement with its steps."""
        for sql, count in self.statements.items():
            yield sql, [row[3] for row in self._reader.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * count)]

    def steps(self) -> list[str]:
        """The steps of all."""
        return [step for _, steps in self.each() for step in steps]

    def slow(self) -> list[str]:
        """The steps that read a whole table, or all rows of an app."""
        return [f"{step}: {sql}" for sql, steps in self.each() for step in steps if is_slow(step, sql)]


def is_slow(step: str, sql: str) -> bool:
    """Tell whether a step reads more rows the more players there are."""
    scanned = re.fullmatch(r"SCAN (\w+)(?: USING .*)?", step)
    if scanned is not None:
        # The rows of a subquery are few, or its own steps tell.
        return (
            bool(re.search(rf"\b(?:FROM|JOIN|INTO|UPDATE) {scanned[1]}\b", sql)) and scanned[1] not in SMALL
        )
    searched = re.match(r"SEARCH (\w+) USING .*\(app_id=\?\)$", step)
    return searched is not None and searched[1] not in SMALL
