"""The second half of a login: finding or making the player of credentials that `accounts` has verified."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import structlog

from gameserver.apps import App, is_mail_address
from gameserver.frame import Hook, Hooks, Parts
from gameserver.players import identities, pairs, profiles, tokens
from gameserver.players.accounts import (
    AccountDisabled,
    Login,
    MissingIdentity,
    ProfileNotNamed,
    Verified,
    switching,
    unknown,
)
from gameserver.players.states import ROW_ALONE, Noting, States, create_player
from gameserver.players.tokens import Kind
from gameserver.players.webhooks import PlayerCreated, emit, is_wanted
from gameserver.storage import Aborted, Row, Transaction

log = structlog.get_logger(__name__)


class LoginFollower(NamedTuple):
    """What a service does when somebody has logged in, once that is committed and before it is answered.

    `follow` is given the player, what the session remembers of the login, and the time. It may be lost with a
    crash. Apps that `wanted` does not name pay nothing.
    """

    wanted: Callable[[App], bool]
    follow: Callable[[Parts, App, str, Mapping[str, Any], int], Awaitable[None]]


LOGGED_IN: Hook[LoginFollower] = Hook("player.logged_in")


def followers(
    hooks: Hooks, parts: Parts, app: App, profile_id: str, facts: Mapping[str, Any], now_ms: int
) -> list[Callable[[], Awaitable[None]]]:
    """Return what is to be done once a login is committed."""
    return [
        partial(follower.follow, parts, app, profile_id, facts, now_ms)
        for follower in hooks.of(LOGGED_IN)
        if follower.wanted(app)
    ]


async def follow(
    hooks: Hooks, parts: Parts, app: App, profile_id: str, facts: Mapping[str, Any], now_ms: int
) -> None:
    """Do what is to be done once a login is committed. What fails is logged: the login has taken place."""
    for do in followers(hooks, parts, app, profile_id, facts, now_ms):
        try:
            await do()
        except Exception:
            log.exception("login_not_followed")


def _disabled() -> AccountDisabled:
    return AccountDisabled("this account is disabled")


async def log_in(
    tx: Transaction,
    app: App,
    login: Login,
    verified: Verified,
    now_ms: int,
    new_id: Callable[[], str],
    states: States = ROW_ALONE,
    *,
    is_whole: bool = False,
) -> tuple[Row, bool]:
    """Find or make the player of verified credentials; returns their row and whether they are new.

    With `states` the row holds what their `show` needs. `is_whole`: nothing else is to be written in the
    transaction, so it may end with the login. Raises `Aborted` when what was verified has changed meanwhile:
    verify again.
    """
    own_id = verified.type == "Anonymous" and login.anonymous_id == verified.external_id
    device = None if own_id else pairs.digest(login.anonymous_id)
    note = _Note(tx, device, is_whole=is_whole and _changes_nothing_else(verified))
    player, is_new = await _find_or_make(tx, note, app, login, verified, now_ms, new_id, states)
    if device is not None and (is_new or not player["knows_device"]):
        await pairs.add(tx, player["profile_id"], device, player["session_epoch"], now_ms)
    return player, is_new


def _changes_nothing_else(verified: Verified) -> bool:
    """Tell whether all that a login of a player who is there writes is that it took place."""
    return verified.handoff is None and verified.renewed_digest is None and verified.vouched is None


class _Note:
    """Runs the statement that notes a login from a device, and what else may be the whole transaction."""

    __slots__ = ("_device", "_is_whole", "_tx")

    def __init__(self, tx: Transaction, device: str | None, *, is_whole: bool) -> None:
        self._tx = tx
        self._device = device
        self._is_whole = is_whole and tx.takes_only

    async def __call__(self, noting: Noting, **params: Any) -> Row | None:
        """Return the row of the player; None when there is none whom the statement means."""
        if self._device is None:
            find = self._tx.only if self._is_whole else self._tx.one
            return await find(noting.alone, **params)
        if self._is_whole:  # unless the device is new, and is to be remembered
            player = await self._tx.only(noting.with_device, device=self._device, any_device=False, **params)
            if player is not None:
                return player
        return await self._tx.one(noting.with_device, device=self._device, any_device=True, **params)

    @property
    def takes_only(self) -> bool:
        """Whether one statement may be the whole transaction: no device is to be remembered."""
        return self._is_whole and self._device is None and self._tx.takes_only

    async def whose(self, app_id: str, type_: str, key: str) -> Row | None:
        """Find an identity, whose owner does not get in."""
        find = self._tx.only if self.takes_only else self._tx.one
        return await find(identities.FIND, app=app_id, type_=type_, key=key)


async def _find_or_make(
    tx: Transaction,
    note: _Note,
    app: App,
    login: Login,
    verified: Verified,
    now_ms: int,
    new_id: Callable[[], str],
    states: States,
) -> tuple[Row, bool]:
    said = {
        "new_language_code": login.language_code,
        "new_country_code": login.country_code,
        "new_time_zone_offset": login.time_zone_offset,
    }
    if not verified.looked_up:
        player = await _log_in_by_possession(note, app, login, verified, now_ms, said, states)
        if player is not None:
            verified.profile_id = player["profile_id"]
            if player["is_disabled"]:
                raise _disabled()
            return player, False
    if verified.profile_id is None or not verified.looked_up:
        return await _create(tx, note, app, login, verified, now_ms, new_id()), True
    if verified.handoff is not None:
        kind = Kind.SETTOP_CODE if verified.type == "SettopHandoff" else Kind.HANDOFF
        if await tokens.redeem(tx, kind, verified.handoff, now_ms) is None:
            raise Aborted("the handoff was used since it was verified")
        player = await note(states.log_in, profile=verified.profile_id, app=app.id, now_ms=now_ms, **said)
    elif verified.is_named:
        player = await note(states.log_in, profile=verified.profile_id, app=app.id, now_ms=now_ms, **said)
    else:
        identity = {
            "profile": verified.profile_id,
            "app": app.id,
            "type_": verified.type,
            "key": verified.key,
        }
        if verified.digest is None:
            player = await note(states.log_in_with_identity, **identity, now_ms=now_ms, **said)
        else:
            password = {"digest": verified.digest}
            player = await note(states.log_in_with_password, **identity, **password, now_ms=now_ms, **said)
    if player is None:
        if await profiles.read(tx, app.id, verified.profile_id) is None:
            raise MissingIdentity("the identity's profile is gone")
        raise Aborted("the identity has changed since it was verified")
    if player["is_disabled"]:
        raise _disabled()
    if verified.renewed_digest is not None:
        await identities.set_digest(
            tx, app.id, verified.profile_id, verified.type, verified.key, verified.renewed_digest
        )
    names = (verified.type, verified.key, verified.external_id)
    if verified.is_named:  # without an identity that anything could be kept with
        return player, False
    await identities.note_vouched(tx, app.id, verified.profile_id, *names, verified.vouched)
    return player, False


async def _log_in_by_possession(
    note: _Note,
    app: App,
    login: Login,
    verified: Verified,
    now_ms: int,
    said: dict[str, Any],
    states: States,
) -> Row | None:
    """Note the login of who has a device's id; None when the id is nobody's and a player is to be made."""
    identity = {"app": app.id, "type_": verified.type, "key": verified.key}
    if login.profile_id:
        player = await note(
            states.log_in_from_device,
            profile=login.profile_id,
            **identity,
            possessed=pairs.digest(verified.external_id),
            now_ms=now_ms,
            **said,
        )
    elif app.login.anonymous_id_alone:
        player = await note(states.log_in_by_identity, **identity, now_ms=now_ms, **said)
    else:
        player = None
    if player is not None:
        return player
    known = None
    if login.profile_id or not app.login.anonymous_id_alone:
        known = await note.whose(app.id, verified.type, verified.key)
    if known is not None:
        verified.profile_id = known["profile_id"]
        raise (
            switching() if login.profile_id else ProfileNotNamed("the id of a device comes with its profile")
        )
    if login.profile_id or not login.force_create:
        raise unknown(login)
    return None


async def _create(
    tx: Transaction,
    note: _Note,
    app: App,
    login: Login,
    verified: Verified,
    now_ms: int,
    profile_id: str,
) -> Row:
    verified.count_new()
    tells = is_wanted(app, PlayerCreated)
    # Two first logins at once: the second verifies again then, and finds the winner's profile.
    identity = verified.row(app.id, profile_id, now_ms)
    player = await create_player(
        tx,
        app.id,
        profile_id,
        now_ms,
        identity=identity,
        is_whole=note.takes_only and not tells,
        language_code=login.language_code or app.default_language or None,
        country_code=login.country_code or app.default_country or None,
        time_zone_offset=login.time_zone_offset or 0.0,
        contact_email=_mailbox(verified),
    )
    if tells:
        created = PlayerCreated(profile_id=profile_id, authentication_type=verified.type)
        await emit(tx, app, created, now_ms)
    return player


def _mailbox(verified: Verified) -> str | None:
    """The address that an identity of type Email is, unless its id is none: no mail goes there then."""
    return verified.key if verified.type == "Email" and is_mail_address(verified.key) else None
