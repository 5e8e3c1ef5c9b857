"""What staff see of a player beside who they are: what happened, what is kept, what would become of it."""

from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select

from gameserver.admin.common import ORIGIN, Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action, by_count, by_key
from gameserver.admin.operators import staff_actions
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.domain.economy import wallet
from gameserver.domain.progress import experience
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import number
from gameserver.rpc import Context
from gameserver.storage import Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError

COUNT_MAX = 10_000  # rows that are counted of a table: lists tell "10 000+"
SKIP_MAX = 10_000
MERGE_ROWS_MAX = 10_000
HIDDEN = {
    "devices": {"deviceToken": "sends notifications"},
    "letters": {"address": "is nobody's to read", "content": "may hold what opens a door"},
    "oneTimeTokens": {},
}
"""What an export tells the player, and staff are not shown."""
SHOWN_TABLES = (
    "devices",
    "pushes",
    "pushDeliveries",
    "letters",
    "messageBoxes",
    "messages",
    "friendships",
    "blocks",
    "playerEvents",
    "tournamentResults",
)
"""What staff read of a player row by row; others have actions of their own, or are told by an export."""


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/history", pages=by_key("id"))
async def player_history(
    server: Server, app: str, profile: str, limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return what staff did with a player, the newest first; `after` is the id of the last one already seen.

    Each entry tells who it was, why, and how it was before and after.
    """
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        rows = await tx.all(HISTORY, app=app, profile=profile, most=most, after=after or "~")
    return [
        {name: row[name] for name in _JOURNAL}
        | {name: row[name] and json.read_stored(row[name]) for name in ("before", "after")}
        for row in rows
    ]


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/kept/{table}", pages=by_count("skip"))
async def player_kept(
    server: Server, app: str, profile: str, table: str, limit: int = 50, skip: int = 0
) -> list[dict[str, Any]]:
    """Return rows that are kept of a player in a table, the newest first, as an export names them.

    `skip` is how many of them were seen already.
    """
    app_of(server, app)
    most = limit_of(limit)
    if not 0 <= skip <= SKIP_MAX:
        raise Refused(f"at most {SKIP_MAX} rows are skipped: an export has all")
    if table not in SHOWN_TABLES:
        raise Refused(f"rows are shown of {', '.join(SHOWN_TABLES)}")
    kept = next(one for one in server.core.player_hooks.tables() if one.name == table)
    async with server.core.database.read() as tx:
        await player_row(tx, app, profile)
        rows = await kept.page(tx, app, profile, most, skip)
    hidden = HIDDEN.get(table, {})
    return [{name: value for name, value in row.items() if name not in hidden} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/progress")
async def player_progress(server: Server, app: str, profile: str) -> dict[str, Any]:
    """Return a player's statistics, experience points and level."""
    definition = app_of(server, app)
    async with server.core.database.read() as tx:
        found = await experience.read(tx, definition, profile)
    if found is None:
        raise Refused(f"app {app} has no player {profile}")
    return {
        "experience": found.experience,
        "level": found.level,
        "statistics": {name: number(value) for name, value in found.settings.shown(found.values).items()},
    }


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/size")
async def player_size(server: Server, app: str, profile: str) -> list[dict[str, Any]]:
    """Count what is kept of a player, by table, and tell what a reset and a deletion do with it.

    `rows` ends at 10000; `on_reset` and `on_delete` are `removed` or `stays`, and `why` tells why.
    """
    app_of(server, app)
    async with server.core.database.read() as tx:
        await player_row(tx, app, profile)
        return [
            {
                "service": service,
                "table": one.name,
                "rows": await one.count(tx, app, profile, COUNT_MAX),
                "on_reset": "removed" if one.reset else "stays",
                "on_delete": "stays" if one.stays else "removed",
                "why": one.stays,
            }
            for service, kept in server.core.player_hooks.kept.items()
            for one in kept
        ]


@action(Right.PLAYERS_ERASE, "GET /apps/{app}/players/{profile}/merge")
async def player_merge_preview(server: Server, app: str, profile: str, target: str) -> dict[str, Any]:
    """Tell what a merge of a player into another would do, by trying it and taking it back.

    For each table: how many rows the two have, how many the target would have, and how many would be lost.
    What there may be only one of stays as the target has it. Balances and progress are the target's, before
    and after. It is refused for players of whom more is kept than 10000 rows of a table, for whom packets
    would wait meanwhile.
    """
    definition = app_of(server, app)
    if profile == target:
        raise Refused("a player cannot be merged with themself")
    core = server.core
    tables = [
        (service, one) for service, kept in core.player_hooks.kept.items() for one in kept if not one.stays
    ]
    async with core.database.read() as tx:
        for each in (profile, target):
            await player_row(tx, app, each)
        theirs = await _counts(tx, app, profile, tables)
        before = await _has(tx, definition, target, tables)
    if max((*theirs, *before.rows)) >= MERGE_ROWS_MAX:
        raise Refused(f"there are more than {MERGE_ROWS_MAX} rows in a table, too many to try it out")

    async def attempt(ctx: Context) -> None:
        if not await core.player_hooks.merge_players(ctx, profile, target):
            raise Refused(f"app {app} has no player {profile}")
        raise _TriedOut(await _has(ctx.tx, definition, target, tables))

    try:
        await server.runner.do(attempt, definition, ORIGIN)
    except _TriedOut as tried:
        after = tried.after
    except GameError as error:
        raise Refused(f"the two players cannot be merged: {error}") from error
    rows = [
        {"service": service, "table": one.name, "goes": goes, "target": had, "after": has}
        | {"lost": max(0, goes + had - has)}
        for (service, one), goes, had, has in zip(tables, theirs, before.rows, after.rows, strict=True)
        if goes
    ]
    return {
        "profile_id": profile,
        "target": target,
        "tables": rows,
        "before": before.sums,
        "after": after.sums,
    }


class _Has(NamedTuple):
    rows: list[int]
    sums: dict[str, Any]


class _TriedOut(Exception):
    """Takes back what was only tried."""

    def __init__(self, after: _Has) -> None:
        super().__init__("tried out")
        self.after = after


async def _counts(
    tx: Transaction, app_id: str, profile: str, tables: list[tuple[str, PlayerTable]]
) -> list[int]:
    return [await one.count(tx, app_id, profile, COUNT_MAX) for _, one in tables]


async def _has(tx: Transaction, app: App, profile: str, tables: list[tuple[str, PlayerTable]]) -> _Has:
    balances = await wallet.balances(tx, app.id, profile) or {}
    progress = await experience.read(tx, app, profile)
    sums: dict[str, Any] = {name: each.balance for name, each in sorted(balances.items())}
    if progress is not None:
        sums |= {"experience points": progress.experience, "level": progress.level}
        sums |= {name: number(value) for name, value in sorted(progress.values.items())}
    return _Has(await _counts(tx, app.id, profile, tables), sums)


ACTIONS = (player_history, player_kept, player_progress, player_size, player_merge_preview)

_c = staff_actions.c
_JOURNAL = ("id", "at_ms", "staff", "via", "action", "outcome", "target", "reason")
HISTORY = (
    select(*(_c[name] for name in _JOURNAL), _c.before, _c.after)
    .where(
        _c.profile_id == bindparam("profile"),
        # Said so that SQLite does not go through all of the app.
        _c.app_id.concat("") == bindparam("app", type_=String),
        _c.id < bindparam("after"),
    )
    .order_by(_c.id.desc())
    .limit(bindparam("most"))
)
