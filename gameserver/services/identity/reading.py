"""What identities the caller has, and what the systems that vouch for them said last."""

from typing import Annotated

from msgspec import Meta, Raw

from gameserver.players import identities
from gameserver.players.accounts import (
    EmailNotValidated,
    InvalidEmail,
    Login,
    MissingIdentity,
    SwitchingProfiles,
    UnknownAuthenticationType,
    Verified,
    WeakPassword,
    canonical_type,
    identity_key,
)
from gameserver.players.fields import AuthenticationType, ExternalAuthName, ExternalIdField
from gameserver.players.proofs import PROOFS, Proof
from gameserver.players.providers import SAME_PERSON
from gameserver.rpc import Access, Context, Tx
from gameserver.services.identity.attaching import CREDENTIAL_ERRORS
from gameserver.services.identity.base import (
    UnsupportedType,
    address,
    lock_caller,
    of_type,
    service,
)
from gameserver.storage import Aborted, Row
from gameserver.wire.shapes import Nothing, Reply, Request


class Identities(Reply):
    """The ids under which the player is known, by type."""

    identities: Annotated[
        dict[str, str], Meta(description="The ids under which the player is known, by type.")
    ]


@service.operation("GET_IDENTITIES", tx=Tx.READ)
async def get_identities(ctx: Context, request: Nothing) -> Identities:
    """Tell by what the caller is known, without the ids of devices. Empty: nobody but a device knows them."""
    return Identities(identities=await _ids(ctx))


@service.operation("GET_EXPIRED_IDENTITIES", tx=Tx.READ)
async def get_expired_identities(ctx: Context, request: Nothing) -> Identities:
    """Tell the caller's identities whose token has expired: they have not logged in with it since.

    Here the types begin with a small letter, as in the reference (`facebook`); all operations take either.
    """
    expired = await _ids(ctx, expired=True)
    return Identities(identities={type_[0].lower() + type_[1:]: id_ for type_, id_ in expired.items()})


async def _ids(ctx: Context, *, expired: bool = False) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in await identities.all_of(ctx.tx, ctx.app.id, ctx.player_id):
        if row["type"] != "Anonymous" and (not expired or _has_expired(ctx, row)):
            found.setdefault(row["type"], row["external_id"])  # of several of a type the oldest
    return found


class OfType(Request):
    """Which identity is meant; `externalAuthName` where several systems vouch for identities of the type."""

    authentication_type: AuthenticationType
    external_auth_name: ExternalAuthName = None


class IdentityStatus(Reply):
    """`loginAuthType` is the type of the last login where that is another than the identity's."""

    token_expired: Annotated[bool, Meta(description="Whether the token of the last login has expired.")]
    external_id: ExternalIdField
    login_auth_type: Annotated[
        str | None, Meta(description="The type of the last login where it is another one; else null.")
    ]


class Statuses(Reply):
    identities: Annotated[
        dict[str, IdentityStatus], Meta(description="The identity of that type, by type; {} without one.")
    ]


@service.operation("GET_IDENTITY_STATUS", tx=Tx.READ, errors=(UnknownAuthenticationType,))
async def get_identity_status(ctx: Context, request: OfType) -> Statuses:
    """Tell of the caller's identity of a type, and whether its token has expired. Empty: they have none."""
    return Statuses(
        identities={
            row["type"]: IdentityStatus(
                token_expired=_has_expired(ctx, row),
                external_id=row["external_id"],
                login_auth_type=row["login_type"],
            )
            for row in await _asked(ctx, request)
        }
    )


class IdentityStatusAndData(IdentityStatus):
    identity_data: Annotated[
        Raw | None,
        Meta(
            description="What the system that vouches for the identity said of the player; null "
            "when there is nothing."
        ),
    ]


class StatusesAndData(Reply):
    identities: Annotated[
        dict[str, IdentityStatusAndData],
        Meta(description="The identity of that type, by type; {} without one."),
    ]


@service.operation(
    "GET_IDENTITY_STATUS_AND_DATA", tx=Tx.READ, access=Access.SERVER, errors=(UnknownAuthenticationType,)
)
async def get_identity_status_and_data(ctx: Context, request: OfType) -> StatusesAndData:
    """Tell of a player's identity of a type what clients may know, and what was kept with it. For servers."""
    return StatusesAndData(
        identities={
            row["type"]: IdentityStatusAndData(
                token_expired=_has_expired(ctx, row),
                external_id=row["external_id"],
                login_auth_type=row["login_type"],
                identity_data=_data(row),
            )
            for row in await _asked(ctx, request)
        }
    )


class IdentityData(Reply):
    """What the system that vouches for the identity said of the player; null when there is nothing."""

    identity_data: Annotated[
        Raw | None,
        Meta(
            description="What the system that vouches for the identity said of the player; null "
            "when there is nothing."
        ),
    ]


@service.operation("GET_IDENTITY_DATA", tx=Tx.READ, access=Access.SERVER, errors=(UnknownAuthenticationType,))
async def get_identity_data(ctx: Context, request: OfType) -> IdentityData:
    """Tell what was kept with a player's identity of a type. For servers."""
    found = await _asked(ctx, request)
    return IdentityData(identity_data=_data(found[0]) if found else None)


async def _asked(ctx: Context, request: OfType) -> list[Row]:
    """Return the identity that is meant, the oldest of several; an empty list when there is none."""
    type_ = canonical_type(request.authentication_type)
    begins = ""
    if request.external_auth_name:
        begins = identity_key(type_, "", request.external_auth_name)
    owned = await identities.all_of(ctx.tx, ctx.app.id, ctx.player_id)
    types = (type_, SAME_PERSON.get(type_))  # which a provider's other way to log in has found
    fitting = [row for row in owned if row["type"] in types and row["external_key"].startswith(begins)]
    return fitting[:1]


def _has_expired(ctx: Context, row: Row) -> bool:
    return row["token_expires_ms"] is not None and bool(row["token_expires_ms"] <= ctx.now_ms)


def _data(row: Row) -> Raw | None:
    return None if row["data"] is None else Raw(row["data"].encode())


# Refreshing


TOKEN_ERRORS = tuple(
    error for error in CREDENTIAL_ERRORS if error not in (InvalidEmail, EmailNotValidated, WeakPassword)
)


class Refresh(Request):
    external_id: ExternalIdField
    authentication_type: AuthenticationType
    authentication_token: Annotated[str | None, Meta(description="The new token.")] = None
    external_auth_name: ExternalAuthName = None


class Refreshed(Reply):
    external_id: ExternalIdField
    authentication_type: AuthenticationType


async def verify_own(ctx: Context, request: Refresh) -> Verified:
    """Check the new token of an identity of the caller's."""
    type_ = canonical_type(request.authentication_type)
    if PROOFS[type_] not in (Proof.EXTERNAL, Proof.THIRD_PARTY):
        raise UnsupportedType(f"an identity of type {type_} has no token that could expire")
    name = request.external_auth_name or ""
    if type_ == "External" and not name:  # SDKs do not send it
        async with ctx.core.database.read() as tx:
            owned = of_type(await identities.all_of(tx, ctx.app.id, ctx.player_id), type_)
        if owned is None or owned["external_id"] != request.external_id:
            raise MissingIdentity("the player has no such identity")
        name = owned["external_key"].removesuffix(f"/{request.external_id}")
    login = Login(
        type=type_,
        external_id=request.external_id,
        token=request.authentication_token or "",
        external_auth_name=name,
        profile_id=ctx.player_id,
    )
    return await ctx.core.accounts.verify(ctx.app, login, address(ctx), ctx.now_ms, face=ctx.origin.face)


@service.operation(
    "REFRESH_IDENTITY",
    tx=Tx.WRITE,
    prepare=verify_own,
    errors=(UnsupportedType, MissingIdentity, SwitchingProfiles, *TOKEN_ERRORS),
)
async def refresh_identity(ctx: Context, request: Refresh) -> Refreshed:
    """Check a new token of one of the caller's identities, and note until when it is good.

    Refused: an identity that the caller does not have, a token that does not belong to it, and types without
    tokens that expire.
    """
    verified: Verified = ctx.prepared
    owned = await lock_caller(ctx)
    if not any((row["type"], row["external_key"]) == (verified.type, verified.key) for row in owned):
        raise Aborted("the identity has changed since it was verified")
    names = (verified.type, verified.key, verified.external_id)
    await identities.note_vouched(ctx.tx, ctx.app.id, ctx.player_id, *names, verified.vouched)
    return Refreshed(external_id=verified.external_id, authentication_type=verified.type)
