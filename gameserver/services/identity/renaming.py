"""New names, addresses and passwords of identities that the caller has."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from gameserver.apps import is_mail_address
from gameserver.players import identities, links, profiles, users
from gameserver.players.accounts import (
    InvalidEmail,
    MissingIdentity,
    WeakPassword,
    WrongCredentials,
    identity_key,
)
from gameserver.players.lockout import LockedOut
from gameserver.rpc import Access, Context, Tx
from gameserver.services.identity.base import (
    CredentialInUse,
    CredentialNotOwned,
    ExternalId,
    address,
    lock_caller,
    of_type,
    service,
)
from gameserver.sessions import AllBut, AllOf
from gameserver.storage import Aborted, Row, locks
from gameserver.wire.errors import RateLimited
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Empty, Request

# Names


class UpdateUniversalLogin(Request):
    external_id: Annotated[ExternalId, Meta(description="The new name that the player logs in with.")]


@service.operation("UPDATE_UNIVERSAL_LOGIN", tx=Tx.WRITE, errors=(MissingIdentity, CredentialInUse))
async def update_universal_login(ctx: Context, request: UpdateUniversalLogin) -> None:
    """Give the caller's universal id another name; their password stays. Nobody else has it then.

    It may be one that nobody logs in with. Refused: a name that is taken, and players without a universal id.
    """
    owned = of_type(await lock_caller(ctx), "Universal")
    if owned is None:
        raise MissingIdentity("the player has no universal id")
    await _rename(ctx, ctx.player_id, "Universal", owned["external_key"], request.external_id)


# Addresses


class ChangeEmailIdentity(Request):
    old_email_address: Annotated[str, Meta(description="The address that the player logs in with now.")]
    authentication_token: Annotated[str, Meta(description="The password.")]
    new_email_address: Annotated[
        str, Meta(description="The address that the player logs in with from now on.")
    ]
    update_contact_email: Annotated[
        bool | None, Meta(description="true makes it the contact address, too.")
    ] = None


@dataclass(frozen=True, slots=True)
class Owned:
    """An identity of the caller's whose password they know, as it was then."""

    key: str
    digest: str


async def verify_email(ctx: Context, request: ChangeEmailIdentity) -> Owned:
    """See whose the address is, and check the password. Who asks for another's learns nothing of it."""
    _check_address(request.new_email_address)
    key = identity_key("Email", request.old_email_address)
    async with ctx.core.database.read() as tx:
        found = await identities.find(tx, ctx.app.id, "Email", key)
    if found is None or found["profile_id"] != ctx.player_id:
        raise _not_owned()
    return await _verify(ctx, "Email", key, request.authentication_token)


@service.operation(
    "CHANGE_EMAIL_IDENTITY",
    tx=Tx.WRITE,
    prepare=verify_email,
    errors=(InvalidEmail, CredentialNotOwned, CredentialInUse, WrongCredentials, LockedOut, RateLimited),
)
async def change_email_identity(ctx: Context, request: ChangeEmailIdentity) -> Empty:
    """Give the caller's identity of type Email another address; its password stays.

    The new address is not validated yet, and links that were mailed before lead nowhere. Refused: an old
    address that is not the caller's, a wrong password, and a new address that is taken or is none.
    """
    owned: Owned = ctx.prepared
    await lock_caller(ctx)
    await _check_unchanged(ctx, "Email", owned)
    await _change_address(
        ctx, ctx.player_id, owned.key, request.new_email_address, request.update_contact_email
    )
    return Empty()


class SysChangeEmailIdentity(Request):
    profile_id: ProfileId
    old_email_address: Annotated[str, Meta(description="The address that the player logs in with now.")]
    new_email_address: Annotated[
        str, Meta(description="The address that the player logs in with from now on.")
    ]
    update_contact_email: Annotated[
        bool | None, Meta(description="true makes it the contact address, too.")
    ] = None


def of_named(_: Context, request: SysChangeEmailIdentity) -> list[str]:
    """Return the lock of the player whom the request names."""
    return [locks.player_lock(request.profile_id)]


@service.operation(
    "SYS_CHANGE_EMAIL_IDENTITY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_named,
    errors=(InvalidEmail, CredentialNotOwned, CredentialInUse),
)
async def sys_change_email_identity(ctx: Context, request: SysChangeEmailIdentity) -> Empty:
    """Give a player's identity of type Email another address, without their password. For servers.

    Refused: an old address that is not the player's, and a new one that is taken or is none.
    """
    _check_address(request.new_email_address)
    key = identity_key("Email", request.old_email_address)
    there = await users.lock(ctx.tx, ctx.app.id, request.profile_id)
    found = await identities.find(ctx.tx, ctx.app.id, "Email", key) if there else None
    if found is None or found["profile_id"] != request.profile_id:
        raise _not_owned()
    await _change_address(
        ctx, request.profile_id, key, request.new_email_address, request.update_contact_email
    )
    return Empty()


def _check_address(text: str) -> None:
    if not is_mail_address(identity_key("Email", text)):
        raise InvalidEmail("data.newEmailAddress: not an e-mail address")


def _not_owned() -> CredentialNotOwned:
    return CredentialNotOwned("the player has no identity with this e-mail address")


async def _change_address(ctx: Context, profile_id: str, key: str, new: str, contact: bool | None) -> None:
    before = await identities.find_contact(ctx.tx, ctx.app.id, "Email", key)
    await _rename(ctx, profile_id, "Email", key, new.strip())
    _tell(ctx, "address_changed", before, "Email")
    if contact:
        await profiles.set_value(ctx.tx, ctx.app.id, profile_id, "contact_email", new.strip())


async def _rename(ctx: Context, profile_id: str, type_: str, key: str, new: str) -> None:
    if not await users.rename_identity(ctx.tx, ctx.app.id, profile_id, type_, key, new):
        raise CredentialInUse("another player has this name or address")


# Passwords


class NewPassword(Request):
    old_password: Annotated[str, Meta(description="The password of now.")]
    new_password: Annotated[str, Meta(description="The password from now on.")]


@dataclass(frozen=True, slots=True)
class Change:
    """A new password, and what it takes the place of."""

    type: str
    owned: Owned
    digest: str


async def new_email_password(ctx: Context, request: NewPassword) -> Change:
    """Do the work of a new password for the caller's address."""
    return await _prepare_change(ctx, "Email", request)


async def new_universal_password(ctx: Context, request: NewPassword) -> Change:
    """Do the work of a new password for the caller's name."""
    return await _prepare_change(ctx, "Universal", request)


async def _prepare_change(ctx: Context, type_: str, request: NewPassword) -> Change:
    async with ctx.core.database.read() as tx:
        found = of_type(await identities.all_of(tx, ctx.app.id, ctx.player_id), type_)
    if found is None:
        raise MissingIdentity(f"the player has no identity of type {type_}")
    owned = await _verify(ctx, type_, found["external_key"], request.old_password)
    return Change(
        type_, owned, await ctx.core.accounts.new_digest(ctx.app, request.new_password, address=address(ctx))
    )


PASSWORD_ERRORS = (MissingIdentity, WrongCredentials, WeakPassword, LockedOut, RateLimited)


@service.operation(
    "UPDATE_EMAIL_IDENTITY_PASSWORD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=new_email_password,
    errors=PASSWORD_ERRORS,
)
async def update_email_password(ctx: Context, request: NewPassword) -> Empty:
    """Set the password of a player's address; they say the old one. For servers, on behalf of a player.

    Sessions, devices, mailed links and handoffs of the player end with the old password; the session that
    the call came by stays. Refused: a wrong old password, a weak new one, and players without an address.
    """
    return await _change_password(ctx)


@service.operation(
    "UPDATE_UNIVERSAL_PASSWORD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=new_universal_password,
    errors=PASSWORD_ERRORS,
)
async def update_universal_password(ctx: Context, request: NewPassword) -> Empty:
    """Set the password of a player's universal id; they say the old one. For servers, on behalf of a player.

    Sessions, devices, mailed links and handoffs of the player end with the old password; the session that
    the call came by stays. Refused: a wrong old password, a weak new one, and players without such an id.
    """
    return await _change_password(ctx)


async def _change_password(ctx: Context) -> Empty:
    change: Change = ctx.prepared
    app, profile_id, session = ctx.app.id, ctx.player_id, ctx.session
    await lock_caller(ctx)
    await _check_unchanged(ctx, change.type, change.owned)
    await identities.set_digest(ctx.tx, app, profile_id, change.type, change.owned.key, change.digest)
    epoch = await profiles.raise_epoch(ctx.tx, app, profile_id)
    contact = await identities.find_contact(ctx.tx, app, change.type, change.owned.key)
    _tell(ctx, "password_changed", contact, change.type)
    if session is not None and session.home_profile_id == profile_id:
        ctx.end_sessions(AllBut(app, profile_id, session.digest), "revoked", why="new_password")
    else:
        ctx.end_sessions(AllOf(app, profile_id), "revoked", epoch=epoch, why="new_password")
    return Empty()


# Rules


def _tell(ctx: Context, template: str, contact: Row | None, type_: str) -> None:
    """Mail the owner of an identity, at the address from before the change, once it is committed."""
    core, app = ctx.core, ctx.app
    to = links.mailbox(contact, type_)
    language = contact["language_code"] if contact is not None else None

    async def send() -> None:
        links.notify(core.mailer, core.sessions, app, template, to, language)

    ctx.after_commit(send)


async def _verify(ctx: Context, type_: str, key: str, password: str) -> Owned:
    digest = await ctx.core.accounts.knows_password(ctx.app, type_, key, password, address(ctx))
    if digest is None:
        raise WrongCredentials("the password does not fit")
    return Owned(key, digest)


async def _check_unchanged(ctx: Context, type_: str, owned: Owned) -> None:
    found = await identities.find(ctx.tx, ctx.app.id, type_, owned.key)
    if found is None or (found["profile_id"], found["digest"]) != (ctx.player_id, owned.digest):
        raise Aborted("the identity has changed since it was verified")
