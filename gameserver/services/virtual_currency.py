"""virtualCurrency: what a player owns in currencies of the game."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, NamedTuple

from msgspec import Meta, field

from gameserver.apps import App, LiveApps
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import (
    AMOUNT_MAX,
    BalanceOutOfRange,
    CurrencySettings,
    InvalidCurrency,
    Relative,
)
from gameserver.players import profile_links
from gameserver.players.fields import Balances, NearestLevel, ParentBalances, PeerBalances, PeerCode
from gameserver.players.profile_links import PARENT, InvalidPeer, NoParent, NoPeer, UnknownLevel
from gameserver.players.states import PeerProfile, PlayerState, StatePart
from gameserver.players.webhooks import emit
from gameserver.rpc import PLAYER_MERGE, PLAYER_STATE, Access, Context, Service, Tx
from gameserver.storage import Aborted, Transaction, locks
from gameserver.wire.errors import GameError, NoSession
from gameserver.wire.shapes import Nothing, Reply, Request

SAMPLE = """\
# Currencies by name. Servers and rewards change balances; clients_may_change lets clients do so too, and then
# anybody can award themselves anything.
[virtualCurrency]
#clients_may_change = false

[virtualCurrency.currencies.coins]
title = "Coins"
"""

Change = Callable[[Transaction, str, str, int, str, int], Awaitable[bool]]
"""How one balance changes: the player, the currency, the amount, the key of the entry, now in ms."""

service = Service("virtualCurrency", section=CurrencySettings, sample=SAMPLE)
for event in wallet.EVENTS:
    service.emits(event)

# Errors


class ChangedByClient(GameError):
    """The app does not let clients change balances."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40491


# Operations


class Owner(NamedTuple):
    """Whose balances are meant: the caller, or their profile in another app."""

    app: App
    profile_id: str

    @property
    def settings(self) -> CurrencySettings:
        """The currencies of that app."""
        return self.app.section(CurrencySettings)


class CurrencyReply(Reply):
    currency_map: Balances


class GetCurrency(Request):
    vc_id: Annotated[str | None, Meta(description="A currency; null or empty text for all.")] = None


class GetCurrencyReply(CurrencyReply):
    """Balances; those in parent apps by the name of the level, those in peers by their code."""

    parent_currency: ParentBalances = field(default_factory=dict)
    peer_currency: PeerBalances = field(default_factory=dict)


@service.operation("GET_PLAYER_VC", tx=Tx.READ)
async def get_currency(ctx: Context, request: GetCurrency) -> GetCurrencyReply:
    """Read the caller's balance in one currency or in all. One that does not exist is left out."""
    reply = GetCurrencyReply((await _balances(ctx, _own(ctx), request.vc_id)).currency_map)
    if has_relatives(ctx.app):
        found = await wallet.elsewhere(ctx.tx, ctx.app.id, ctx.player_id)
        above, beside = _elsewhere(ctx.core.get(LiveApps), ctx.app, found)
        reply.parent_currency = {level: there.balances for level, there in above.items()}
        reply.peer_currency = {code: there.balances for code, there in beside.items()}
    return reply


class ChangeCurrency(Request):
    vc_id: Annotated[str, Meta(description="The name of the currency.")]
    vc_amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="The amount, 1 or more.")]


@service.operation("AWARD_VC", tx=Tx.WRITE, errors=(InvalidCurrency, ChangedByClient, BalanceOutOfRange))
async def award(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Give a player an amount of a currency, and return all balances.

    For servers, unless the app lets clients do it. Refused: unknown currencies, and amounts below 1.
    """
    _check_caller(ctx)
    return await _change(ctx, _own(ctx), request, wallet.add, wallet.CurrencyAwarded)


@service.operation("CONSUME_VC", tx=Tx.WRITE, errors=(InvalidCurrency, ChangedByClient, BalanceOutOfRange))
async def consume(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Let a player pay an amount of a currency, and return all balances.

    For servers, unless the app lets clients do it. Refused: more than the player has, unknown currencies, and
    amounts below 1.
    """
    _check_caller(ctx)
    return await _change(ctx, _own(ctx), request, wallet.take, wallet.CurrencyConsumed)


@service.operation(
    "REVOKE_VC", tx=Tx.WRITE, access=Access.SERVER, errors=(InvalidCurrency, BalanceOutOfRange)
)
async def revoke(ctx: Context, request: ChangeCurrency) -> CurrencyReply:
    """Take back what a player should not have got, and return all balances. The balance may go below zero."""
    return await _change(ctx, _own(ctx), request, wallet.revoke, wallet.CurrencyRevoked)


@service.operation("RESET_PLAYER_VC", tx=Tx.WRITE, errors=(ChangedByClient,))
async def reset(ctx: Context, request: Nothing) -> None:
    """Set all balances of a player to zero. For servers, unless the app says otherwise."""
    _check_caller(ctx)
    await _reset(ctx, _own(ctx))


class CurrencyTypes(Reply):
    currencies: Annotated[list[str], Meta(description="Names of currencies.")]


@service.operation("SYS_GET_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_types(ctx: Context, request: Nothing) -> CurrencyTypes:
    """List the app's currencies."""
    return CurrencyTypes(currencies=list(ctx.section(CurrencySettings).currencies))


# Operations on parent and peer apps


class ParentCurrencyTypes(Reply):
    parent_currencies: Annotated[
        dict[str, list[str]], Meta(description="Names of currencies by the level of the app.")
    ]


@service.operation("SYS_GET_PARENT_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_parent_types(ctx: Context, request: Nothing) -> ParentCurrencyTypes:
    """List the currencies of the app's parents, by the name of the level. An app without parents has none."""
    above = profile_links.ancestors(ctx.core.get(LiveApps), ctx.app)
    return ParentCurrencyTypes(parent_currencies={level: _names(app) for level, app in above})


class PeerCurrencyTypes(Reply):
    peer_currencies: Annotated[dict[str, list[str]], Meta(description="Names of currencies by the peer.")]


@service.operation("SYS_GET_PEER_CURRENCY_TYPES", tx=Tx.NONE, access=Access.SERVER)
async def get_peer_types(ctx: Context, request: Nothing) -> PeerCurrencyTypes:
    """List the currencies of the app's peers, by the name of the peer. An app without peers has none."""
    apps = ctx.core.get(LiveApps)
    peers = {code: apps.find(peer.app) for code, peer in ctx.app.peers.items()}
    return PeerCurrencyTypes(
        peer_currencies={code: _names(app) for code, app in peers.items() if app is not None}
    )


class GetParentCurrency(GetCurrency):
    """The page of the reference on peers shows this operation with `peer`."""

    level_name: NearestLevel = None
    peer: Annotated[str | None, Meta(description="The name of a peer, in place of a level.")] = None


class GetPeerCurrency(GetCurrency):
    """SDKs say `peerCode`, the reference `peer`."""

    peer_code: PeerCode | None = None
    peer: Annotated[str | None, Meta(description="Another name of `peerCode`; one of them is needed.")] = None


class ChangeParentCurrency(ChangeCurrency):
    level_name: NearestLevel = None


class ChangePeerCurrency(ChangeCurrency):
    """The reference says `peer` or `peerCode`."""

    peer_code: PeerCode | None = None
    peer: Annotated[str | None, Meta(description="Another name of `peerCode`; one of them is needed.")] = None


class ResetParentCurrency(Request):
    level_name: NearestLevel = None


class ResetPeerCurrency(Request):
    """The reference says `peer` or `peerCode`."""

    peer_code: PeerCode | None = None
    peer: Annotated[str | None, Meta(description="Another name of `peerCode`; one of them is needed.")] = None


async def at_parent(ctx: Context, request: ChangeParentCurrency | ResetParentCurrency) -> Owner:
    """Find the player's profile in the parent app."""
    async with ctx.core.database.read() as tx:
        return await _at_parent(ctx, tx, request.level_name)


async def at_peer(ctx: Context, request: ChangePeerCurrency | ResetPeerCurrency) -> Owner:
    """Find the player's profile in the peer app."""
    async with ctx.core.database.read() as tx:
        return await _at_peer(ctx, tx, request.peer_code or request.peer)


def of_elsewhere(ctx: Context, _: Request) -> list[str]:
    """Return the lock of the player whose balances are meant."""
    there: Owner = ctx.prepared
    return [locks.player_lock(there.profile_id)]


PARENT_ERRORS = (NoParent, UnknownLevel)
PEER_ERRORS = (NoPeer, InvalidPeer)


@service.operation("GET_PARENT_VC", tx=Tx.READ, errors=(*PARENT_ERRORS, *PEER_ERRORS))
async def get_parent_currency(ctx: Context, request: GetParentCurrency) -> CurrencyReply:
    """Read the caller's balances in a parent app, the nearest one where no level is named.

    Refused: players without a profile there, and levels that the app does not have.
    """
    if request.peer and not request.level_name:
        there = await _at_peer(ctx, ctx.tx, request.peer)
    else:
        there = await _at_parent(ctx, ctx.tx, request.level_name)
    return await _balances(ctx, there, request.vc_id)


@service.operation("GET_PEER_VC", tx=Tx.READ, errors=PEER_ERRORS)
async def get_peer_currency(ctx: Context, request: GetPeerCurrency) -> CurrencyReply:
    """Read the caller's balances in a peer app. Refused: players without a profile there, unknown peers."""
    there = await _at_peer(ctx, ctx.tx, request.peer_code or request.peer)
    return await _balances(ctx, there, request.vc_id)


@service.operation(
    "AWARD_PARENT_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_parent,
    locks=of_elsewhere,
    errors=(*PARENT_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def award_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Give a player a currency of a parent app, and return all balances there.

    Refused: unknown currencies, and players without a profile there.
    """
    return await _change(
        ctx, await _still_at_parent(ctx, request), request, wallet.add, wallet.CurrencyAwarded
    )


@service.operation(
    "CONSUME_PARENT_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_parent,
    locks=of_elsewhere,
    errors=(*PARENT_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def consume_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Let a player pay in a currency of a parent app, and return all balances there.

    Refused: more than the player has, unknown currencies, and players without a profile there.
    """
    return await _change(
        ctx, await _still_at_parent(ctx, request), request, wallet.take, wallet.CurrencyConsumed
    )


@service.operation(
    "REVOKE_PARENT_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_parent,
    locks=of_elsewhere,
    errors=(*PARENT_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def revoke_parent(ctx: Context, request: ChangeParentCurrency) -> CurrencyReply:
    """Take back a currency of a parent app, and return all balances there.

    Refused: unknown currencies, and players without a profile there.
    """
    return await _change(
        ctx, await _still_at_parent(ctx, request), request, wallet.revoke, wallet.CurrencyRevoked
    )


@service.operation(
    "RESET_PARENT_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_parent,
    locks=of_elsewhere,
    errors=PARENT_ERRORS,
)
async def reset_parent(ctx: Context, request: ResetParentCurrency) -> None:
    """Set a player's balances in a parent app to zero. Refused: players without a profile there."""
    there = await _still_at_parent(ctx, request)
    await _reset(ctx, there)


@service.operation(
    "AWARD_PEER_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_peer,
    locks=of_elsewhere,
    errors=(*PEER_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def award_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Give a player a currency of a peer app, and return all balances there.

    Refused: unknown currencies, and players without a profile there.
    """
    return await _change(ctx, await _still_at_peer(ctx, request), request, wallet.add, wallet.CurrencyAwarded)


@service.operation(
    "CONSUME_PEER_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_peer,
    locks=of_elsewhere,
    errors=(*PEER_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def consume_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Let a player pay in a currency of a peer app, and return all balances there.

    Refused: more than the player has, unknown currencies, and players without a profile there.
    """
    return await _change(
        ctx, await _still_at_peer(ctx, request), request, wallet.take, wallet.CurrencyConsumed
    )


@service.operation(
    "REVOKE_PEER_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_peer,
    locks=of_elsewhere,
    errors=(*PEER_ERRORS, InvalidCurrency, BalanceOutOfRange),
)
async def revoke_peer(ctx: Context, request: ChangePeerCurrency) -> CurrencyReply:
    """Take back a currency of a peer app, and return all balances there.

    Refused: unknown currencies, and players without a profile there.
    """
    return await _change(
        ctx, await _still_at_peer(ctx, request), request, wallet.revoke, wallet.CurrencyRevoked
    )


@service.operation(
    "RESET_PEER_VC",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=at_peer,
    locks=of_elsewhere,
    errors=PEER_ERRORS,
)
async def reset_peer(ctx: Context, request: ResetPeerCurrency) -> None:
    """Set a player's balances in a peer app to zero. Refused: players without a profile there."""
    there = await _still_at_peer(ctx, request)
    await _reset(ctx, there)


# A player's life. A data reset leaves what a player owns.


def tell_balances(_: LiveApps, app: App, stored: str | None, state: PlayerState) -> None:
    """Add the player's balances to their state."""
    state.currency = app.section(CurrencySettings).shown(wallet.from_state(stored))


def tell_relatives(apps: LiveApps, app: App, stored: str | None, state: PlayerState) -> None:
    """Add the player's profiles in other apps to their state, with what they own there."""
    above, beside = _elsewhere(apps, app, wallet.from_links(stored))
    if above:
        state.parent_profile_id = next(iter(above.values())).profile_id
    state.parent_currency = {level: there.balances for level, there in above.items()}
    state.peer_profile_ids = {
        code: PeerProfile(profile_id=there.profile_id) for code, there in beside.items()
    }
    state.peer_currency = {code: there.balances for code, there in beside.items()}


service.subscribe(PLAYER_STATE, StatePart(wallet.STATE, tell_balances))


def has_relatives(app: App) -> bool:
    """Tell whether players of the app may have profiles in others."""
    return app.parent is not None or bool(app.peers)


service.subscribe(PLAYER_STATE, StatePart(wallet.LINKED_STATE, tell_relatives, has_relatives))


@service.on(PLAYER_MERGE)
async def merge_wallet(ctx: Context, profile_id: str, target: str) -> None:
    """Add the player's balances to the target's."""
    await wallet.merge(ctx.tx, profile_id, target, ctx.now_ms)


service.keeps(*wallet.KEPT)


# Rules


def _check_caller(ctx: Context) -> None:
    if not ctx.caller.is_studio and not ctx.section(CurrencySettings).clients_may_change:
        raise ChangedByClient("the app does not let clients change balances")


def _key(ctx: Context) -> str:
    """Name this change in the player's ledger; a packet runs once, so each is a change of its own."""
    return ctx.core.new_id()


def _own(ctx: Context) -> Owner:
    return Owner(ctx.app, ctx.player_id)


async def _change(
    ctx: Context,
    owner: Owner,
    request: ChangeCurrency,
    change: Change,
    event: type[wallet.CurrencyChanged],
) -> CurrencyReply:
    """Change one balance, tell of it, and return all of the owner's."""
    currency, key, amount = owner.settings.check(request.vc_id), _key(ctx), request.vc_amount
    await change(ctx.tx, owner.profile_id, currency, amount, key, ctx.now_ms)
    told = event(profile_id=owner.profile_id, currency=currency, amount=amount, entry=key)
    await emit(ctx.tx, owner.app, told, ctx.now_ms)
    return await _balances(ctx, owner)


async def _reset(ctx: Context, owner: Owner) -> None:
    await wallet.reset(ctx.tx, owner.profile_id, _key(ctx), ctx.now_ms)
    await emit(ctx.tx, owner.app, wallet.CurrencyReset(profile_id=owner.profile_id), ctx.now_ms)


async def _balances(ctx: Context, owner: Owner, only: str | None = None) -> CurrencyReply:
    stored = await wallet.balances(ctx.tx, owner.app.id, owner.profile_id)
    if stored is None:
        if owner.profile_id == ctx.player_id:
            raise NoSession("the player is gone")
        raise Aborted("the profile there has just been deleted")
    balances = owner.settings.shown(stored)
    if only:
        balances = {name: balance for name, balance in balances.items() if name == only}
    return CurrencyReply(currency_map=balances)


async def _at_parent(ctx: Context, tx: Transaction, level: str | None) -> Owner:
    if ctx.app.parent is None:
        raise NoParent("the app has no parent, and so no player has")
    found = await profile_links.at_level(tx, ctx.core.get(LiveApps), ctx.app, ctx.player_id, level)
    return Owner(*found)


async def _at_peer(ctx: Context, tx: Transaction, code: str | None) -> Owner:
    if not ctx.app.peers:
        raise NoPeer("the app has no peers, and so no player has")
    return Owner(*await profile_links.at_peer(tx, ctx.core.get(LiveApps), ctx.app, ctx.player_id, code))


async def _still_at_parent(ctx: Context, request: ChangeParentCurrency | ResetParentCurrency) -> Owner:
    return _unchanged(ctx, await _at_parent(ctx, ctx.tx, request.level_name))


async def _still_at_peer(ctx: Context, request: ChangePeerCurrency | ResetPeerCurrency) -> Owner:
    return _unchanged(ctx, await _at_peer(ctx, ctx.tx, request.peer_code or request.peer))


def _unchanged(ctx: Context, there: Owner) -> Owner:
    """Return whom the packet has locked, if the caller's links lead there still."""
    if there.profile_id != ctx.prepared.profile_id:
        raise Aborted("the player was attached to another profile meanwhile")
    return there


def _elsewhere(
    apps: LiveApps, app: App, found: dict[tuple[str, int], Relative]
) -> tuple[dict[str, Relative], dict[str, Relative]]:
    """Return a player's profiles above, by level, and in peers, by code, with all balances that clients see.

    Links to what is no longer the app's parent or peer tell of nothing.
    """

    def shown(there: Relative, app: App) -> Relative:
        return there._replace(balances=app.section(CurrencySettings).shown(there.balances))

    above, beside = dict[str, Relative](), dict[str, Relative]()
    for links, (level, parent) in enumerate(profile_links.ancestors(apps, app), 1):
        there = found.get((PARENT, links))
        if there is None or there.app_id != parent.id:
            break
        above[level] = shown(there, parent)
    for code, peer in app.peers.items():
        there, at_peer = found.get((code, 1)), apps.find(peer.app)
        if there is not None and at_peer is not None and there.app_id == at_peer.id:
            beside[code] = shown(there, at_peer)
    return above, beside


def _names(app: App) -> list[str]:
    return list(app.section(CurrencySettings).currencies)
