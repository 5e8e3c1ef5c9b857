"""What staff do with a player's currencies: look, and adjust a balance once for each receipt."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, and_, bindparam, or_, select

from gameserver.admin.common import ORIGIN, Refused, Server, app_of, limit_of, lock_player
from gameserver.admin.declaring import action, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import AMOUNT_MAX, CurrencySettings, entries
from gameserver.players.lifecycle import PlayerTable
from gameserver.rpc import Context
from gameserver.storage import Row, insert_row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import GameError

RECEIPT_MAX = 200
TOLD = ("key", "currency", "kind", "amount", "at_ms")


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/balances")
async def player_balances(server: Server, app: str, profile: str) -> dict[str, dict[str, int]]:
    """Return a player's balances by currency, and what they were added up from."""
    settings = app_of(server, app).section(CurrencySettings)
    async with server.core.database.read() as tx:
        stored = await wallet.balances(tx, app, profile)
    if stored is None:
        raise Refused(f"app {app} has no player {profile}")
    return {
        name: {
            "balance": each.balance,
            "awarded": each.awarded,
            "purchased": each.purchased,
            "consumed": each.consumed,
            "revoked": each.revoked,
        }
        for name, each in settings.shown(stored).items()
    }


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/ledger", pages=by_key("key"))
async def player_ledger(
    server: Server, app: str, profile: str, limit: int = 50, after: str = "", currency: str = ""
) -> list[dict[str, Any]]:
    """Return why a player's balances changed, the newest first; `after` is the key of the last entry seen."""
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        await player_row(tx, app, profile)
        params: dict[str, Any] = {"profile": profile, "most": most}
        statement = LEDGER
        if after:
            last = await tx.one(ENTRY, profile=profile, key=after)
            if last is None:
                raise Refused("the ledger has no such entry")
            statement = LEDGER_AFTER
            params |= {"at": last["at_ms"], "key": after}
        if currency:
            statement = statement.where(entries.c.currency == bindparam("currency"))
            params["currency"] = currency
        rows = await tx.all(statement, **params)
    return [{name: row[name] for name in TOLD} for row in rows]


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/balances/{currency}", dangerous=True)
async def player_balance_adjust(
    server: Server, app: str, profile: str, currency: str, amount: int, receipt: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Give a player an amount of a currency, or take it back where it is below zero.

    `receipt` names what it is for: a receipt, a transaction of a shop, a ticket. Each receipt of an app
    counts once, whoever it is for; the same again is refused. What is taken back may leave a balance below
    zero.
    """
    definition = app_of(server, app)
    receipt = receipt.strip()
    if not 0 < len(receipt) <= RECEIPT_MAX or not receipt.isprintable():
        raise Refused(f"a receipt is one line of 1 to {RECEIPT_MAX} characters")
    check_adjustment(definition, currency, amount)

    async def work(ctx: Context) -> tuple[int, int]:
        await lock_player(ctx.tx, app, profile)
        row = {"profile_id": profile, "currency": currency, "amount": amount, "staff": by.name[:64]}
        if not await ctx.tx.unless_taken(ADD, app_id=app, receipt=receipt, at_ms=ctx.now_ms, **row):
            raise Refused(_used(await ctx.tx.one(FIND, app=app, receipt=receipt), profile))
        return await adjusted(ctx, by, profile, currency, amount, f"receipt/{receipt}", receipt)

    try:
        was, now = await server.runner.do(work, definition, ORIGIN)
    except GameError as error:
        raise Refused(str(error)) from error
    return {"profile_id": profile, "currency": currency, "before": was, "balance": now, "receipt": receipt}


def check_adjustment(app: App, currency: str, amount: int) -> None:
    """Raise `Refused` for what no balance of an app can be adjusted by."""
    if not 0 < abs(amount) <= AMOUNT_MAX:
        raise Refused("the amount is a whole number other than 0, of at most 2^53")
    if currency not in app.section(CurrencySettings).currencies:
        raise Refused(f"app {app.id} declares no currency {currency[:64]!r}")


async def adjusted(
    ctx: Context, by: Operator, profile: str, currency: str, amount: int, key: str, target: str
) -> tuple[int, int]:
    """Adjust a balance in the running transaction, and note it; returns how it was and is.

    `key` is that of the entry in the ledger, `target` what the journal calls it. Raises `Refused`.
    """
    app = ctx.app.id
    await lock_player(ctx.tx, app, profile)
    before = (await wallet.balances(ctx.tx, app, profile) or {}).get(currency)
    many = abs(amount)
    change, event = (
        (wallet.add, wallet.CurrencyAwarded) if amount > 0 else (wallet.revoke, wallet.CurrencyRevoked)
    )
    if not await change(ctx.tx, profile, currency, many, key, ctx.now_ms):
        raise Refused("the player's ledger has this receipt already")
    await ctx.emit(event(profile_id=profile, currency=currency, amount=many, entry=key))
    was = before.balance if before is not None else 0
    await note(
        ctx, ctx.tx, by, "player_balance_adjust", app, profile=profile, target=target,
        before={currency: was}, after={currency: was + amount},
    )  # fmt: skip
    return was, was + amount


ACTIONS = (player_balances, player_ledger, player_balance_adjust)


def _used(row: Row | None, profile: str) -> str:
    if row is None:
        return "this receipt was used already"
    whom = "this player" if row["profile_id"] == profile else f"the player {row['profile_id']}"
    who = row["staff"] or "an operator"
    return f"this receipt was used already: {who} gave {whom} {row['amount']} {row['currency']} for it"


# Storage

staff_receipts = Table(
    "staff_receipts",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("receipt", String(RECEIPT_MAX), primary_key=True),
    Column("profile_id", String(36), nullable=False),
    Column("currency", String(64), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("staff", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("staff_receipts_by_profile", "profile_id"),
    info={"stored_by": StoredBy.APP},
)
_c, _e = staff_receipts.c, entries.c
KEPT = PlayerTable(
    staff_receipts,
    "profile_id",
    untold={"staff": "who of the studio did so"},
    stays="a receipt counts once, also when the player it was for is gone",
)
ADD = insert_row(staff_receipts)
FIND = select(staff_receipts).where(_c.app_id == bindparam("app"), _c.receipt == bindparam("receipt"))
ENTRY = select(_e.at_ms).where(_e.profile_id == bindparam("profile"), _e.key == bindparam("key"))
LEDGER = (
    select(*(_e[name] for name in TOLD))
    .where(_e.profile_id == bindparam("profile"))
    .order_by(_e.at_ms.desc(), _e.key)
    .limit(bindparam("most"))
)
LEDGER_AFTER = LEDGER.where(
    or_(_e.at_ms < bindparam("at"), and_(_e.at_ms == bindparam("at"), _e.key > bindparam("key")))
)
