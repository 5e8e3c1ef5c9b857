"""What players own in currencies of the game: a ledger that only grows, and the balances it adds up to."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, field
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    String,
    Table,
    Text,
    and_,
    bindparam,
    literal,
    select,
    update,
)

from gameserver.apps import Declares, Refers, Settings
from gameserver.apps.fields import Name
from gameserver.apps.relations import LEVELS_MAX
from gameserver.players.fields import Balance
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profile_links import PARENT, profile_links
from gameserver.players.profiles import players
from gameserver.players.webhooks import EventData
from gameserver.storage import Transaction, excluded, insert_row, json_rows, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import GameError

AMOUNT_MAX = 2**53  # of a balance, and of what it was added up from: clients read numbers as doubles

# Errors


class InvalidCurrency(GameError):
    """The app declares no currency of that name."""

    reason_code = 40546


class BalanceOutOfRange(GameError):
    """The player has too little to pay, or would have more than a number can hold."""

    reason_code = 40660


# Settings

CurrencyName = Annotated[Name, Refers("currency")]


class Currency(Settings, kw_only=True):
    """A currency of the game."""

    title: Annotated[str, Meta(max_length=128, description="For people. Absent: the currency's name.")] = ""


class CurrencySettings(Settings, kw_only=True):
    """Currencies by name, and who may change balances."""

    currencies: Annotated[
        dict[Name, Currency], Declares("currency"), Meta(description="Currencies by name.")
    ] = field(default_factory=dict)
    clients_may_change: Annotated[
        bool,
        Meta(description="true lets clients award and consume. Anybody can then award themselves anything."),
    ] = False

    def check(self, name: str) -> str:
        """Return the name of a declared currency. Raises `InvalidCurrency`."""
        if name not in self.currencies:
            raise InvalidCurrency(f"there is no currency {name[:64]!r}")
        return name

    def shown(self, stored: Mapping[str, "Balance"]) -> dict[str, "Balance"]:
        """Return all balances as clients see them: declared currencies first, also those nobody touched."""
        return {**{name: Balance() for name in self.currencies}, **stored}


# Events


class CurrencyChanged(EventData):
    """What events of one currency tell."""

    event = ""

    currency: Annotated[str, Meta(description="The name of the currency.")]
    amount: Annotated[int, Meta(description="By how much, 1 or more.")]
    entry: Annotated[
        str, Meta(description="The key of the change in the player's ledger, where it occurs once.")
    ]


class CurrencyAwarded(CurrencyChanged):
    """A player was given an amount of a currency: by a call, or as a reward."""

    event = "currency.awarded"


class CurrencyConsumed(CurrencyChanged):
    """A player has paid an amount of a currency."""

    event = "currency.consumed"


class CurrencyRevoked(CurrencyChanged):
    """An amount of a currency was taken back from a player."""

    event = "currency.revoked"


class CurrencyReset(EventData):
    """All balances of a player were set to zero."""

    event = "currency.reset"


EVENTS = (CurrencyAwarded, CurrencyConsumed, CurrencyRevoked, CurrencyReset)


# Balances


class Kind(StrEnum):
    """Why a balance changed."""

    AWARDED = "awarded"
    PURCHASED = "purchased"
    CONSUMED = "consumed"
    REVOKED = "revoked"
    RESET = "reset"
    MERGED = "merged"


async def add(
    tx: Transaction,
    profile_id: str,
    currency: str,
    amount: int,
    key: str,
    now_ms: int,
    kind: Kind = Kind.AWARDED,
) -> bool:
    """Give a player `amount` of a currency. False when the entry `key` exists: then nothing happens.

    Two statements. Raises `BalanceOutOfRange` beyond 2^53; the caller's message is then undone as a whole.
    """
    if amount > AMOUNT_MAX:  # as many times of a reward are; it need not fit into the column
        raise BalanceOutOfRange(f"{currency}: a balance ends at 2^53")
    if not await _enter(tx, profile_id, currency, amount, key, kind, now_ms):
        return False
    if not await tx.run(_ADD[kind], profile_id=profile_id, currency=currency, amount=amount):
        raise BalanceOutOfRange(f"{currency}: a balance ends at 2^53")
    return True


async def take(tx: Transaction, profile_id: str, currency: str, amount: int, key: str, now_ms: int) -> bool:
    """Let a player pay `amount` of a currency. False when the entry `key` exists: then nothing happens.

    Two statements. Raises `BalanceOutOfRange` when the player has less; the caller's message is then undone
    as a whole, and with it the entry.
    """
    if not await _enter(tx, profile_id, currency, -amount, key, Kind.CONSUMED, now_ms):
        return False
    if not await tx.run(_TAKE, profile=profile_id, currency_=currency, amount=amount):
        raise BalanceOutOfRange(f"{currency}: the player has less than {amount}")
    return True


async def revoke(tx: Transaction, profile_id: str, currency: str, amount: int, key: str, now_ms: int) -> bool:
    """Take back what a player should not have got. The one change that may leave a balance below zero.

    False when the entry `key` exists: then nothing happens. Raises `BalanceOutOfRange` beyond 2^53.
    """
    if not await _enter(tx, profile_id, currency, -amount, key, Kind.REVOKED, now_ms):
        return False
    if not await tx.run(_REVOKE, profile_id=profile_id, currency=currency, amount=amount):
        raise BalanceOutOfRange(f"{currency}: a balance ends at -2^53")
    return True


async def reset(tx: Transaction, profile_id: str, key: str, now_ms: int) -> None:
    """Set all balances of a player back to nothing; the ledger keeps what there was.

    Balances for which the entry `key` exists are left alone.
    """
    for row in await tx.all(_LOCK, profile=profile_id):
        currency, balance = row["currency"], row["balance"]
        if await _enter(tx, profile_id, currency, -balance, f"{key}/{currency}", Kind.RESET, now_ms):
            await tx.run(_CLEAR, profile=profile_id, currency_=currency)


async def balances(tx: Transaction, app_id: str, profile_id: str) -> dict[str, Balance] | None:
    """Return a player's balances in the currencies that were ever touched; None for no such player."""
    rows = await tx.all(_READ, profile=profile_id, app=app_id)
    if not rows:
        return None
    return {
        currency: Balance(**dict(zip(_COUNTERS, counts, strict=True)))
        for currency, *counts in rows
        if currency
    }


def from_state(stored: str | None) -> dict[str, Balance]:
    """Return the balances that a value of the column `STATE` holds."""
    rows = _read_state(stored) if stored is not None else []
    return {
        currency: Balance(**dict(zip(_COUNTERS, counts, strict=True))) for currency, *counts in sorted(rows)
    }


class Relative(NamedTuple):
    """A profile of the player in another app, and what they own there."""

    app_id: str
    profile_id: str
    balances: dict[str, Balance]


def from_links(stored: str | None) -> dict[tuple[str, int], Relative]:
    """Return the profiles that a value of the column `LINKED_STATE` holds.

    By the name of the link and the number of links that lead there: `(PARENT, 2)` is the parent's parent.
    """
    found: dict[tuple[str, int], Relative] = {}
    for name, links, app_id, target, currency, *counts in sorted(_read_linked(stored) if stored else []):
        there = found.setdefault((name, links), Relative(app_id, target, {}))
        if currency is not None:
            counted = {key: count or 0 for key, count in zip(_COUNTERS, counts, strict=True)}
            there.balances[currency] = Balance(**counted)
    return found


async def elsewhere(tx: Transaction, app_id: str, profile_id: str) -> dict[tuple[str, int], Relative]:
    """Return a player's profiles in other apps, as `from_links` does; none for no such player."""
    row = await tx.one(_READ_LINKED, profile=profile_id, app=app_id)
    return from_links(row[0] if row is not None else None)


async def merge(tx: Transaction, profile_id: str, target: str, now_ms: int) -> None:
    """Add a player's balances, and what they were added up from, to another's.

    One entry in the target's ledger for each currency, whose key names the player: a second time adds
    nothing. Raises `BalanceOutOfRange` beyond 2^53.
    """
    for row in await tx.all(_LOCK, profile=profile_id):
        counts = {name: row[name] for name in _COUNTERS}
        currency, key = row["currency"], f"merge/{profile_id}/{row['currency']}"
        if not any(counts.values()) or not await _enter(
            tx, target, currency, row["balance"], key, Kind.MERGED, now_ms
        ):
            continue
        if not await tx.run(_MERGE, profile_id=target, currency=currency, **counts):
            raise BalanceOutOfRange(f"{currency}: a balance ends at 2^53")


# Storage

entries = Table(
    "wallet_entries",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("currency", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("amount", BigInteger, nullable=False),  # signed: the balance is the sum of these
    Column("at_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
wallets = Table(
    "wallets",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("currency", String(64), primary_key=True),
    Column("purchased", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("consumed", BigInteger, nullable=False),
    Column("awarded", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=False),
    CheckConstraint("balance = purchased + awarded - consumed - revoked", name="adds_up"),
    CheckConstraint("balance >= 0 OR revoked > 0", name="covered"),
    info={"stored_by": StoredBy.PLAYER},
)
_COUNTERS = ("purchased", "balance", "consumed", "awarded", "revoked")
# Of a merged player the ledger stays behind: what it added up to is one entry in the other's.
KEPT = (
    PlayerTable(
        wallets,
        "profile_id",
        {"currency": wallets.c.currency, **{name: wallets.c[name] for name in _COUNTERS}},
        moves=False,
    ),
    PlayerTable(
        entries,
        "profile_id",
        {
            "currency": entries.c.currency,
            "kind": entries.c.kind,
            "amount": entries.c.amount,
            "at": entries.c.at_ms,
            "key": entries.c.key,
        },
        moves=False,
    ),
)
_amount = bindparam("amount", type_=BigInteger())
_none = literal(0, BigInteger())

ENTER = insert_row(entries)
_ADD = {
    kind: upsert(
        wallets,
        ("profile_id", "currency"),
        {
            kind.value: wallets.c[kind.value] + excluded(wallets)[kind.value],
            "balance": wallets.c.balance + excluded(wallets).balance,
        },
        values={
            "profile_id": bindparam("profile_id"),
            "currency": bindparam("currency"),
            **dict.fromkeys(_COUNTERS, _none),
            kind.value: _amount,
            "balance": _amount,
        },
        where=wallets.c.awarded + wallets.c.purchased <= AMOUNT_MAX - excluded(wallets)[kind.value],
    )
    for kind in (Kind.AWARDED, Kind.PURCHASED)
}
_REVOKE = upsert(
    wallets,
    ("profile_id", "currency"),
    {
        "revoked": wallets.c.revoked + excluded(wallets).revoked,
        "balance": wallets.c.balance + excluded(wallets).balance,
    },
    values={
        "profile_id": bindparam("profile_id"),
        "currency": bindparam("currency"),
        **dict.fromkeys(_COUNTERS, _none),
        "revoked": _amount,
        "balance": -_amount,
    },
    where=wallets.c.revoked <= AMOUNT_MAX - excluded(wallets).revoked,
)
_MERGE = upsert(
    wallets,
    ("profile_id", "currency"),
    {name: wallets.c[name] + excluded(wallets)[name] for name in _COUNTERS},
    where=and_(
        wallets.c.awarded + wallets.c.purchased
        <= AMOUNT_MAX - excluded(wallets).awarded - excluded(wallets).purchased,
        wallets.c.consumed <= AMOUNT_MAX - excluded(wallets).consumed,
        wallets.c.revoked <= AMOUNT_MAX - excluded(wallets).revoked,
    ),
)
_OF_PLAYER = wallets.c.profile_id == bindparam("profile")
_THIS = (_OF_PLAYER, wallets.c.currency == bindparam("currency_"))
_TAKE = (
    update(wallets)
    .where(*_THIS, wallets.c.balance >= _amount, wallets.c.consumed <= AMOUNT_MAX - _amount)
    .values(balance=wallets.c.balance - _amount, consumed=wallets.c.consumed + _amount)
)
_LOCK = (
    select(wallets.c.currency, *(wallets.c[name] for name in _COUNTERS))
    .where(_OF_PLAYER)
    .order_by(wallets.c.currency)
    .with_for_update()
)
_CLEAR = update(wallets).where(*_THIS).values(dict.fromkeys(_COUNTERS, 0))
_READ = (
    select(wallets.c.currency, *(wallets.c[name] for name in _COUNTERS))
    .select_from(players.outerjoin(wallets, wallets.c.profile_id == players.c.profile_id))
    .where(players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app"))
    .order_by(wallets.c.currency)
)
# The same as a column beside the player's own.
STATE = (
    select(json_rows(wallets.c.currency, *(wallets.c[name] for name in _COUNTERS)))
    .where(wallets.c.profile_id == players.c.profile_id)
    .correlate(players)
    .scalar_subquery()
    .label("balances")
)
_read_state = msgspec.json.Decoder(list[tuple[str, int, int, int, int, int]]).decode


async def _enter(
    tx: Transaction, profile_id: str, currency: str, amount: int, key: str, kind: Kind, now_ms: int
) -> bool:
    """Write the entry before the balance changes: its key decides whether this happens at all."""
    return await tx.unless_taken(
        ENTER, profile_id=profile_id, key=key, currency=currency, kind=kind.value, amount=amount, at_ms=now_ms
    )


# The same of the player's profiles in other apps: parent and peers, the parent's parent and so on. A profile
# without balances is one row without currency.
_up = profile_links.alias("up")
_there = players.alias("there")
_chain = (
    select(profile_links.c.name, profile_links.c.target_id, literal(1).label("links"))
    .where(profile_links.c.profile_id == players.c.profile_id)
    .correlate(players)
    .cte("chain", recursive=True, nesting=True)
)
_chain = _chain.union_all(
    select(_up.c.name, _up.c.target_id, _chain.c.links + 1).where(
        _up.c.profile_id == _chain.c.target_id,
        _up.c.name == PARENT,
        _chain.c.name == PARENT,
        _chain.c.links < LEVELS_MAX,
    )
)
LINKED_STATE = (
    select(
        json_rows(
            _chain.c.name,
            _chain.c.links,
            _there.c.app_id,
            _chain.c.target_id,
            wallets.c.currency,
            *(wallets.c[name] for name in _COUNTERS),
        )
    )
    .select_from(
        _chain.join(_there, _there.c.profile_id == _chain.c.target_id).outerjoin(
            wallets, wallets.c.profile_id == _chain.c.target_id
        )
    )
    .correlate(players)
    .scalar_subquery()
    .label("relatives")
)
_READ_LINKED = select(LINKED_STATE).where(
    players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app")
)
_Linked = tuple[str, int, str, str, str | None, int | None, int | None, int | None, int | None, int | None]
_read_linked = msgspec.json.Decoder(list[_Linked]).decode
