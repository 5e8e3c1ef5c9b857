"""How the service reads and writes the player's row."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, bindparam, select

from gameserver.players import identities, profiles
from gameserver.players.profiles import Status, active_statuses
from gameserver.rpc import Context, Last
from gameserver.services.player_state.rules import (
    DETAILS_BYTES_MAX,
    STATUSES_MAX,
    TooManyStatuses,
    check_size,
    to_text,
)
from gameserver.wire.errors import NoSession

AnyReply = TypeVar("AnyReply")

_identities = identities.identities.c
FIND_EMAIL = (
    select(_identities.external_key, _identities.external_id, profiles.players.c.language_code)
    .join(profiles.players, profiles.players.c.profile_id == _identities.profile_id)
    .where(
        _identities.profile_id == bindparam("profile"),
        _identities.app_id == bindparam("app"),
        _identities.type == "Email",
    )
    .order_by(_identities.created_ms)
    .limit(1)
)


def gone() -> NoSession:
    """Make the refusal for a caller whose row was deleted meanwhile."""
    return NoSession("the player is gone")


_SET = {
    column: statement.returning(profiles.players.c.profile_id) for column, statement in profiles.SET.items()
}


async def store(ctx: Context, column: str, value: Any) -> None:
    """Set one column of the caller's row. Raises `NoSession` when the row is gone."""
    if not await profiles.set_value(ctx.tx, ctx.app.id, ctx.player_id, column, value):
        raise gone()


def last_value(ctx: Context, column: str, value: Any, reply: AnyReply) -> Last[AnyReply]:
    """Set one column of the caller's row, as the last thing a message does, which replies so.

    Refused with `NoSession` when the row is gone.
    """

    async def missing() -> NoSession:
        return gone()

    params = {"profile": ctx.player_id, "app": ctx.app.id, "value": value}
    return ctx.last(_SET[column], params, reply=lambda _: reply, missing=missing, known={})


async def read_text(ctx: Context, statement: Select[tuple[str | None]]) -> str | None:
    """Read one column of the caller's row. Raises `NoSession` when the row is gone."""
    row = await ctx.tx.one(statement, profile=ctx.player_id, app=ctx.app.id)
    if row is None:
        raise gone()
    text: str | None = row[0]
    return text


_decode_attributes = msgspec.json.Decoder(dict[str, str]).decode


async def read_attributes(ctx: Context, statement: Select[tuple[str | None]]) -> dict[str, str]:
    """Read the caller's attributes."""
    text = await read_text(ctx, statement)
    return {} if text is None else _decode_attributes(text)


async def read_statuses(ctx: Context, statement: Select[tuple[str | None]]) -> dict[str, Status]:
    """Return the caller's statuses that are active now, by name."""
    return active_statuses(await read_text(ctx, statement), ctx.now_ms)


async def change_status(
    ctx: Context, name: str, change: Callable[[Status | None], Status]
) -> dict[str, Status]:
    """Replace one status by what `change` makes of it; expired ones go at the same time."""
    statuses = await read_statuses(ctx, profiles.LOCK_STATUSES)
    status = change(statuses.pop(name, None))
    check_size("data.details", status.details, DETAILS_BYTES_MAX)
    if status.active_until > ctx.now_ms:
        if len(statuses) >= STATUSES_MAX:
            raise TooManyStatuses(f"a player has at most {STATUSES_MAX} active statuses")
        statuses[name] = status
    await store(ctx, "statuses", to_text(statuses) if statuses else None)
    return {name: status}
