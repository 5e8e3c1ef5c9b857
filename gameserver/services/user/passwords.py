"""Passwords of players: mail with a link that sets one, and setting one."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.apps import is_mail_address
from gameserver.players import identities, links, profiles, resets, users
from gameserver.players.accounts import MissingIdentity, WeakPassword
from gameserver.players.links import NoEmailIdentity
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.resets import (
    RESET_ERRORS,
    LinkMinutes,
    MailParams,
    ResetRequest,
)
from gameserver.rpc import Access, Context, Tx
from gameserver.services.user.base import NoMailbox, OfPlayer, lock_named, read_player, service, unknown
from gameserver.sessions import AllOf
from gameserver.storage import Aborted, Row, Transaction
from gameserver.wire.errors import GameError, RateLimited

# Links by mail

_NO_EMAIL = "the player has no identity of type Email"


class Reset(OfPlayer):
    """`tokenTtlInMinutes`: how long the link works; `serviceParams`: how the mail is to look."""

    token_ttl_in_minutes: LinkMinutes = None
    service_params: MailParams = None


async def wish_email(ctx: Context, request: Reset) -> ResetRequest:
    """Find the player's e-mail identity, which is where the mail goes, and check the request."""
    async with ctx.core.database.read() as tx:
        owned = await _owned(tx, ctx.app.id, request, "Email", NoEmailIdentity(_NO_EMAIL))
    if not is_mail_address(owned["external_id"]):  # older versions took any text
        raise NoEmailIdentity("the player's e-mail identity is no mail address")
    return await _wish(ctx, request, "Email", owned)


async def wish_universal(ctx: Context, request: Reset) -> ResetRequest:
    """Find the player's universal id and contact address, and check the request."""
    async with ctx.core.database.read() as tx:
        owned = await _owned(tx, ctx.app.id, request, "Universal", _no_universal())
        contact = await identities.find_contact(tx, ctx.app.id, "Universal", owned["external_key"])
    to = links.mailbox(contact, "Universal")
    if to is None or not is_mail_address(to):
        raise NoMailbox("there is no mail address at which the player could be reached")
    return await _wish(ctx, request, "Universal", owned)


async def _owned(tx: Transaction, app_id: str, request: Reset, type_: str, missing: GameError) -> Row:
    await read_player(tx, app_id, request.profile_id)
    owned = await _with_password(tx, app_id, request.profile_id, type_)
    if owned is None:
        raise missing
    return owned


async def _wish(ctx: Context, request: Reset, type_: str, owned: Row) -> ResetRequest:
    asked = request.token_ttl_in_minutes
    return await resets.prepare(
        ctx.core.sessions,
        ctx.app,
        (type_, owned["external_key"]),
        request.service_params,
        ctx.app.mail.reset.minutes if asked is None else asked,
        address="",
        takes_sender=True,
    )


@service.operation(
    "SYS_SEND_PASSWORD_RESET_EMAIL",
    "SYS_SEND_PASSWORD_RESET_EMAIL_ADVANCED",
    "SYS_SEND_PASSWORD_RESET_EMAIL_WITH_EXPIRY",
    "SYS_SEND_PASSWORD_RESET_EMAIL_ADVANCED_WITH_EXPIRY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=wish_email,
    errors=(UnknownPlayer, NoEmailIdentity, *RESET_ERRORS),
)
async def sys_send_password_reset_email(ctx: Context, request: Reset) -> None:
    """Mail a link that sets a new password to a player's e-mail identity. For servers.

    The present password stays until the link is followed. `serviceParams` may name a mail template of the
    app, values for it, sender and subject; `tokenTtlInMinutes` says how long the link works. One address gets
    no more than a few mails in a quarter of an hour; the answer does not tell. Refused: an unknown player,
    one without an e-mail identity, templates the app does not have, and senders that are none.
    """
    await _reset(ctx, request)


@service.operation(
    "SYS_SEND_PASSWORD_RESET_UNIVERSAL_ID",
    "SYS_SEND_PASSWORD_RESET_UNIVERSAL_ID_ADVANCED",
    "SYS_SEND_PASSWORD_RESET_UNIVERSAL_ID_WITH_EXPIRY",
    "SYS_SEND_PASSWORD_RESET_UNIVERSAL_ID_ADVANCED_WITH_EXPIRY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=wish_universal,
    errors=(UnknownPlayer, MissingIdentity, NoMailbox, *RESET_ERRORS),
)
async def sys_send_password_reset_universal_id(ctx: Context, request: Reset) -> None:
    """Mail a link that sets a new password for a player's universal id to the contact address. For servers.

    It is as for e-mail identities. Refused too: a player without a universal id to log in with, or without a
    contact address.
    """
    await _reset(ctx, request)


async def _reset(ctx: Context, request: Reset) -> None:
    asked: ResetRequest = ctx.prepared
    contact = await identities.find_contact(ctx.tx, ctx.app.id, asked.type, asked.key)
    if contact is None or contact["profile_id"] != request.profile_id:
        raise Aborted("the identity has changed since it was looked up")
    send = await resets.issue(
        ctx.tx, ctx.app, asked, contact, ctx.core.mailer, ctx.core.public_url, now_ms=ctx.now_ms
    )
    if send is not None:
        ctx.after_commit(send)


# Setting one


class SetPassword(OfPlayer):
    """The player, and the new password."""

    password: Annotated[str, Meta(description="The new password.")]


async def new_digest(ctx: Context, request: SetPassword) -> str:
    """Do the work of the new password."""
    return await ctx.core.accounts.new_digest(ctx.app, request.password)


@service.operation(
    "SYS_SET_PASSWORD_UNIVERSAL_ID",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=new_digest,
    locks=lock_named,
    errors=(UnknownPlayer, MissingIdentity, WeakPassword, RateLimited),
)
async def sys_set_password_universal_id(ctx: Context, request: SetPassword) -> None:
    """Set the password of a player's universal id, without the old one. For servers.

    Sessions, devices, mailed links and handoffs of the player end with the old password, and a mail tells
    them of it. Refused: an unknown player, one without a universal id to log in with, and weak passwords.
    """
    digest: str = ctx.prepared
    app, profile_id = ctx.app.id, request.profile_id
    if not await users.lock(ctx.tx, app, profile_id):
        raise unknown()
    owned = await _with_password(ctx.tx, app, profile_id, "Universal")
    if owned is None:
        raise _no_universal()
    key: str = owned["external_key"]
    await identities.set_digest(ctx.tx, app, profile_id, "Universal", key, digest)
    epoch = await profiles.raise_epoch(ctx.tx, app, profile_id)
    contact = await identities.find_contact(ctx.tx, app, "Universal", key)
    ctx.end_sessions(AllOf(app, profile_id), "revoked", epoch=epoch, why="new_password")
    _tell(ctx, contact)


def _tell(ctx: Context, contact: Row | None) -> None:
    core, app = ctx.core, ctx.app
    language: Any = contact["language_code"] if contact is not None else None
    to = links.mailbox(contact, "Universal")

    async def send() -> None:
        links.notify(core.mailer, core.sessions, app, "password_changed", to, language)

    ctx.after_commit(send)


# Rules


def _no_universal() -> MissingIdentity:
    return MissingIdentity("the player has no universal id to log in with")


async def _with_password(tx: Transaction, app_id: str, profile_id: str, type_: str) -> Row | None:
    """Return the player's oldest identity of a type that has a password; a name alone has none."""
    owned = await identities.all_of(tx, app_id, profile_id)
    return next((row for row in owned if row["type"] == type_ and row["digest"] is not None), None)
