"""Making players before they log in for the first time."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from gameserver.apps import is_mail_address
from gameserver.players import identities, links, resets, users
from gameserver.players.accounts import (
    EXTERNAL_ID_MAX,
    InvalidEmail,
    WeakPassword,
    identity_key,
    stored_id,
)
from gameserver.players.external import UnknownExternalLogin
from gameserver.players.fields import ContactEmail
from gameserver.players.profiles import TEXT_MAX, check_line
from gameserver.players.resets import UnknownTemplate
from gameserver.rpc import Access, Context, Tx
from gameserver.services.user.base import UserAlreadyExists, service
from gameserver.wire.errors import InvalidParameterValue, RateLimited
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Reply, Request

PASSWORD_BYTES = 32  # of one that nobody knows


class NewUser(Request):
    """`externalId`: what the player logs in with. `notificationTemplateId`: names a mail template."""

    external_id: Annotated[str, Meta(description="What the player logs in with.")]
    user_name: Annotated[str | None, Meta(description="The name of the player; null or nothing: none.")] = (
        None
    )
    notification_template_id: Annotated[
        str | None, Meta(description="A mail template that the app declares, which is mailed to the player.")
    ] = None


class NewEmailUser(NewUser, kw_only=True):
    """`password`: null for one that nobody knows; the player then asks for a new one by mail."""

    password: Annotated[
        str | None,
        Meta(
            description="The password; null: one that nobody knows, so that the player asks for a "
            "new one by mail."
        ),
    ] = None


class NewUniversalUser(NewEmailUser, kw_only=True):
    """`contactEmail`: where mail to the player goes."""

    contact_email: ContactEmail = None


class NewExternalUser(NewUser, kw_only=True):
    """`externalAuthType`: the name of an external login that the app declares."""

    external_auth_type: Annotated[
        str, Meta(description="The name of an external login that the app declares.")
    ]
    contact_email: ContactEmail = None


class Created(Reply):
    """The player that was made."""

    profile_id: ProfileId


@dataclass(frozen=True, slots=True)
class Wanted:
    """A player who may be made."""

    type: str
    key: str
    external_id: str
    name: str
    contact: str | None
    template: str
    digest: str | None = None


async def want_email_user(ctx: Context, request: NewEmailUser) -> Wanted:
    """Check the request, and do the work of the password."""
    key = identity_key("Email", request.external_id)
    if not is_mail_address(key):
        raise InvalidEmail("data.externalId: not an e-mail address")
    return await _want(ctx, request, "Email", contact=key, digest=await _digest(ctx, request.password))


async def want_universal_user(ctx: Context, request: NewUniversalUser) -> Wanted:
    """Check the request, and do the work of the password."""
    contact = _contact(request.contact_email)
    return await _want(
        ctx, request, "Universal", contact=contact, digest=await _digest(ctx, request.password)
    )


async def want_external_user(ctx: Context, request: NewExternalUser) -> Wanted:
    """Check the request."""
    name = request.external_auth_type
    if name not in ctx.app.external:
        raise UnknownExternalLogin(f"data.externalAuthType: the app has no external login {name[:64]!r}")
    return await _want(ctx, request, "External", contact=_contact(request.contact_email), auth_name=name)


async def _want(
    ctx: Context,
    request: NewUser,
    type_: str,
    *,
    contact: str | None,
    digest: str | None = None,
    auth_name: str = "",
) -> Wanted:
    if not request.external_id.strip():
        raise InvalidParameterValue("data.externalId: expected an id")
    if len(request.external_id) > EXTERNAL_ID_MAX:
        raise InvalidParameterValue(f"data.externalId: at most {EXTERNAL_ID_MAX} characters")
    template = request.notification_template_id or ""
    if template:
        resets.check_template(ctx.app, template, "data.notificationTemplateId")
    return Wanted(
        type_,
        identity_key(type_, request.external_id, auth_name),
        stored_id(type_, request.external_id),
        check_line("data.userName", request.user_name or "", TEXT_MAX),
        contact,
        template,
        digest,
    )


def _contact(text: str | None) -> str | None:
    address = (text or "").strip()
    if address and not is_mail_address(address):
        raise InvalidEmail("data.contactEmail: not an e-mail address")
    return address or None


async def _digest(ctx: Context, password: str | None) -> str:
    if password is None:
        return await ctx.core.accounts.new_digest(
            ctx.app, ctx.core.random_bytes(PASSWORD_BYTES).hex(), checked=True
        )
    return await ctx.core.accounts.new_digest(ctx.app, password)


@service.operation(
    "SYS_CREATE_USER_EMAIL_PASSWORD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=want_email_user,
    errors=(InvalidEmail, WeakPassword, UserAlreadyExists, UnknownTemplate, RateLimited),
)
async def sys_create_user_email_password(ctx: Context, request: NewEmailUser) -> Created:
    """Make a player who logs in with an e-mail address and a password. For servers.

    The address is not validated yet. A template is mailed with the values `{userName}` and `{externalId}`.
    Refused: an address that is none or is taken, a weak password, and templates the app does not have.
    """
    return await _create(ctx)


@service.operation(
    "SYS_CREATE_USER_UNIVERSAL_ID",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=want_universal_user,
    errors=(InvalidEmail, WeakPassword, UserAlreadyExists, UnknownTemplate, RateLimited),
)
async def sys_create_user_universal_id(ctx: Context, request: NewUniversalUser) -> Created:
    """Make a player who logs in with a universal id and a password. For servers.

    A template is mailed to the contact address, with the values `{userName}` and `{externalId}`. Refused:
    an id that is taken, a weak password, a contact address that is none, and templates the app does not have.
    """
    return await _create(ctx)


@service.operation(
    "SYS_CREATE_USER_EXTERNAL_AUTH",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=want_external_user,
    errors=(InvalidEmail, UnknownExternalLogin, UserAlreadyExists, UnknownTemplate),
)
async def sys_create_user_external_auth(ctx: Context, request: NewExternalUser) -> Created:
    """Make a player for whom another system vouches, by the name of its external login. For servers.

    A template is mailed to the contact address, with the values `{userName}` and `{externalId}`. Refused:
    external logins and templates the app does not have, an id that is taken, a contact address that is none.
    """
    return await _create(ctx)


async def _create(ctx: Context) -> Created:
    wanted: Wanted = ctx.prepared
    app, profile_id = ctx.app, ctx.core.new_id()
    row = identities.new_row(
        app.id, profile_id, wanted.type, wanted.key, wanted.external_id, ctx.now_ms, wanted.digest
    )
    if not await users.create(ctx.tx, app, profile_id, row, wanted.name, wanted.contact):
        raise UserAlreadyExists("data.externalId: a player has this identity already")
    ctx.note_player(profile_id, "created")
    if wanted.template and wanted.contact:
        _mail(ctx, wanted, wanted.contact)
    return Created(profile_id=profile_id)


def _mail(ctx: Context, wanted: Wanted, to: str) -> None:
    core, app = ctx.core, ctx.app
    values = {"userName": wanted.name, "externalId": wanted.external_id}

    async def send() -> None:
        links.post(core.mailer, app, wanted.template, to, values, language=app.default_language or "")

    ctx.after_commit(send)
