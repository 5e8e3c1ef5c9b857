"""The statement that a handler ends with."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Update

from gameserver.storage import Transaction
from gameserver.wire.errors import GameError

AnyReply = TypeVar("AnyReply")


class Last(msgspec.Struct, Generic[AnyReply]):
    """Changes one row, and says what the reply makes of it. A handler returns it, so nothing can follow.

    `statement` is built at import and returns what the reply needs; `missing` finds out why there was no row.
    `known` are the values of the row that do not depend on what is stored. Where the rest are whole numbers,
    the answer of a packet can be stored by the very statement (see `answer_template`).
    """

    statement: Update
    params: dict[str, Any]
    reply: Callable[[Any], AnyReply]
    missing: Callable[[], Awaitable[GameError]]
    known: Mapping[str, Any]

    async def run(self, tx: Transaction) -> AnyReply:
        """Run the statement by itself. Raises what `missing` found out."""
        row = await tx.one(self.statement, **self.params)
        if row is None:
            raise await self.missing()
        return self.reply(row)
