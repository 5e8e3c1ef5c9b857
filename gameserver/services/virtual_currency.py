"""virtualCurrency: what a player owns in currencies of the game."""

from http import HTTPStatus
from typing import Annotated, Any

from msgspec import Meta, field

from gameserver.apps import App
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import (
    AMOUNT_MAX,
    BalanceOutOfRange,
    CurrencySettings,
    InvalidCurrency,
)
from gameserver.players.states import Balance, PlayerState, StatePart
from gameserver.rpc import PLAYER_MERGE, PLAYER_STATE, Access, Caller, Context, Service, Tx
from gameserver.wire.errors import GameError, NoSession
from gameserver.wire.shapes import Reply, Request

SAMPLE = """\
# Currencies by name. Servers and rewards change balances; clients_may_change lets clients do so too, and then
# anybody can award themselves anything.
[virtualCurrency]
#clients_may_change = false

[virtualCurrency.currencies.coins]
title = "Coins"
"""

service = Service("virtualCurrency", section=CurrencySettings, sample=SAMPLE)

# Errors


class ChangedByClient(GameError):
    """The app does not let clients change balances."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40491


class NoParent(GameError):
    """The player has no profile in a parent app."""

    reason_code = 40380


class NoPeer(GameError):
    """The player has no profile in a peer app."""

    reason_code = 40519


# Operations


class Nothing(Request):
    """A request without parameters."""


class CurrencyReply(Reply):
    currency_map: dict[str, Balance]


class GetCurrency(Request):
    vc_id: Annotated[str | None, Meta(description="A currency; null or empty text for all.")] = None


class GetCurrencyReply(CurrencyReply):
    """Balances; those in parent and peer apps by the name of the app."""

    parent_currency: dict[str, Any] = field(default_factory=dict)
    peer_currency: dict[str, Any] = field(default_factory=dict)


@service.operation("GET_PLAYER_VC", tx=Tx.READ)
async def get_currency(ctx: Context, request: GetCurrency) -> GetCurrencyReply:
    """Read the caller's balance in one currency or in all. One that does not exist is left out."""
    balances = await _read(ctx)
    if request.vc_id:
        balances = {name: balance for name, balance in balances.items() if name == request.vc_id}
    return GetCurrencyReply(currency_map=balances)


class ChangeCurrency(Request):
    vc_id: str
    vc_amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]


@service.operation("AWARD_VC", tx=Tx.WRITE, errors=(InvalidCurrency, ChangedByClient, BalanceOutOfRange))
async def award(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Give a player an amount of a currency, and return all balances.

    For servers, unless the app lets clients do it. Refused: unknown currencies, and amounts below 1.
    """
    _check_caller(ctx)
    currency = ctx.section(CurrencySettings).check(request.vc_id)
    await wallet.add(ctx.tx, ctx.player_id, currency, request.vc_amount, _key(ctx), ctx.now_ms)
    return CurrencyReply(currency_map=await _read(ctx))


@service.operation("CONSUME_VC", tx=Tx.WRITE, errors=(InvalidCurrency, ChangedByClient, BalanceOutOfRange))
async def consume(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Let a player pay an amount of a currency, and return all balances.

    For servers, unless the app lets clients do it. Refused: more than the player has, unknown currencies, and
    amounts below 1.
    """
    _check_caller(ctx)
    currency = ctx.section(CurrencySettings).check(request.vc_id)
    await wallet.take(ctx.tx, ctx.player_id, currency, request.vc_amount, _key(ctx), ctx.now_ms)
    return CurrencyReply(currency_map=await _read(ctx))


@service.operation(
    "REVOKE_VC", tx=Tx.WRITE, access=Access.SERVER, errors=(InvalidCurrency, BalanceOutOfRange)
)
async def revoke(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Take back what a player should not have got, and return all balances. The balance may go below zero."""
    currency = ctx.section(CurrencySettings).check(request.vc_id)
    await wallet.revoke(ctx.tx, ctx.player_id, currency, request.vc_amount, _key(ctx), ctx.now_ms)
    return CurrencyReply(currency_map=await _read(ctx))


@service.operation("RESET_PLAYER_VC", tx=Tx.WRITE, errors=(ChangedByClient,))
async def reset(ctx: Context, request: Nothing) -> None:
    """Set all balances of a player to zero. For servers, unless the app says otherwise."""
    _check_caller(ctx)
    await wallet.reset(ctx.tx, ctx.player_id, _key(ctx), ctx.now_ms)


class CurrencyTypes(Reply):
    currencies: list[str]


@service.operation("SYS_GET_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_types(ctx: Context, request: Nothing) -> CurrencyTypes:
    """List the app's currencies."""
    return CurrencyTypes(currencies=list(ctx.section(CurrencySettings).currencies))


# Operations on parent and peer apps. Apps stand alone so far: nobody has a parent or a peer.


class ParentCurrencyTypes(Reply):
    parent_currencies: dict[str, list[str]]


@service.operation("SYS_GET_PARENT_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_parent_types(ctx: Context, request: Nothing) -> ParentCurrencyTypes:
    """List the currencies of the app's parents, by the parent's name. An app without parents has none."""
    return ParentCurrencyTypes(parent_currencies={})


class PeerCurrencyTypes(Reply):
    peer_currencies: dict[str, list[str]]


@service.operation("SYS_GET_PEER_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_peer_types(ctx: Context, request: Nothing) -> PeerCurrencyTypes:
    """List the currencies of the app's peers, by the name of the peer. An app without peers has none."""
    return PeerCurrencyTypes(peer_currencies={})


class GetParentCurrency(GetCurrency):
    """The page of the reference on peers shows this operation with `peer`."""

    level_name: str | None = None
    peer: str | None = None


class GetPeerCurrency(GetCurrency):
    """SDKs say `peerCode`, the reference `peer`."""

    peer_code: str | None = None
    peer: str | None = None


class ChangeParentCurrency(ChangeCurrency):
    level_name: str | None = None


class ChangePeerCurrency(ChangeCurrency):
    """The reference says `peer` or `peerCode`."""

    peer_code: str | None = None
    peer: str | None = None


class ResetParentCurrency(Request):
    level_name: str | None = None


class ResetPeerCurrency(Request):
    peer_code: str | None = None


@service.operation("GET_PARENT_VC", tx=Tx.NONE, errors=(NoParent, NoPeer))
async def get_parent_currency(ctx: Context, request: GetParentCurrency) -> CurrencyReply:
    """Read the caller's balances in a parent app. Refused: players without a profile there."""
    raise _no_peer() if request.peer and not request.level_name else _no_parent()


@service.operation("GET_PEER_VC", tx=Tx.NONE, errors=(NoPeer,))
async def get_peer_currency(ctx: Context, request: GetPeerCurrency) -> CurrencyReply:
    """Read the caller's balances in a peer app. Refused: players without a profile there."""
    raise _no_peer()


@service.operation("AWARD_PARENT_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoParent,))
async def award_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Give a player a currency of a parent app. Refused: players without a profile there."""
    raise _no_parent()


@service.operation("CONSUME_PARENT_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoParent,))
async def consume_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Let a player pay in a currency of a parent app. Refused: players without a profile there."""
    raise _no_parent()


@service.operation("REVOKE_PARENT_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoParent,))
async def revoke_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Take back a currency of a parent app. Refused: players without a profile there."""
    raise _no_parent()


@service.operation("RESET_PARENT_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoParent,))
async def reset_parent(ctx: Context, request: ResetParentCurrency) -> None:
    """Set a player's balances in a parent app to zero. Refused: players without a profile there."""
    raise _no_parent()


@service.operation("AWARD_PEER_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoPeer,))
async def award_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Give a player a currency of a peer app. Refused: players without a profile there."""
    raise _no_peer()


@service.operation("CONSUME_PEER_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoPeer,))
async def consume_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Let a player pay in a currency of a peer app. Refused: players without a profile there."""
    raise _no_peer()


@service.operation("REVOKE_PEER_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoPeer,))
async def revoke_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Take back a currency of a peer app. Refused: players without a profile there."""
    raise _no_peer()


@service.operation("RESET_PEER_VC", tx=Tx.NONE, access=Access.SERVER, errors=(NoPeer,))
async def reset_peer(ctx: Context, request: ResetPeerCurrency) -> None:
    """Set a player's balances in a peer app to zero. Refused: players without a profile there."""
    raise _no_peer()


# A player's life. A data reset leaves what a player owns.


def tell_balances(app: App, stored: str | None, state: PlayerState) -> None:
    """Add the player's balances to their state."""
    state.currency = app.section(CurrencySettings).shown(wallet.from_state(stored))


service.subscribe(PLAYER_STATE, StatePart(wallet.STATE, tell_balances))


@service.on(PLAYER_MERGE)
async def merge_wallet(ctx: Context, profile_id: str, target: str) -> None:
    """Add the player's balances to the target's."""
    await wallet.merge(ctx.tx, profile_id, target, ctx.now_ms)


service.keeps(*wallet.KEPT)


# Rules


def _check_caller(ctx: Context) -> None:
    if ctx.caller is not Caller.SERVER and not ctx.section(CurrencySettings).clients_may_change:
        raise ChangedByClient("the app does not let clients change balances")


def _key(ctx: Context) -> str:
    """Name this change in the player's ledger; a packet runs once, so each is a change of its own."""
    return ctx.core.new_id()


async def _read(ctx: Context) -> dict[str, Balance]:
    stored = await wallet.balances(ctx.tx, ctx.app.id, ctx.player_id)
    if stored is None:
        raise NoSession("the player is gone")
    return ctx.section(CurrencySettings).shown(stored)


def _no_parent() -> NoParent:
    return NoParent("the player has no profile in a parent app")


def _no_peer() -> NoPeer:
    return NoPeer("the player has no profile in a peer app")
