"""Attaching identities to the caller, and detaching them."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from gameserver.apps import is_mail_address
from gameserver.players import identities, tokens, users
from gameserver.players.accounts import (
    LOGIN_ERRORS,
    AccountDisabled,
    InvalidEmail,
    Login,
    MissingIdentity,
    MissingProfile,
    ProfileNotNamed,
    SwitchingProfiles,
    UnknownAuthenticationType,
    Verified,
    identity_key,
    nonce_of,
)
from gameserver.players.fields import (
    AuthenticationToken,
    AuthenticationType,
    ExternalAuthName,
    ExternalIdField,
    ExtraJson,
)
from gameserver.players.webhooks import IdentityAttached, IdentityDetached
from gameserver.rpc import Context, Tx
from gameserver.services.identity.base import (
    CredentialInUse,
    DowngradingToAnonymous,
    DuplicateIdentityType,
    ExternalId,
    IdentityOfAnother,
    IdentitySettings,
    MergeProfiles,
    UnknownBlockchain,
    UnsupportedType,
    address,
    attachable_type,
    lock_caller,
    of_type,
    opens_account,
    service,
)
from gameserver.storage import Aborted, Row
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Request

CREDENTIAL_ERRORS: tuple[type[GameError], ...] = tuple(
    error
    for error in LOGIN_ERRORS
    if error not in (MissingIdentity, SwitchingProfiles, MissingProfile, ProfileNotNamed, AccountDisabled)
)
"""What credentials are refused with, whatever they are for."""


class Credentials(Request):
    """An identity, and what proves whose it is. `extraJson` is for hooks."""

    external_id: ExternalIdField
    authentication_type: AuthenticationType
    authentication_token: AuthenticationToken = None
    external_auth_name: ExternalAuthName = None
    extra_json: ExtraJson = None

    def login(self, *, force_create: bool) -> Login:
        """What the login rules need of it."""
        return Login(
            type=attachable_type(self.authentication_type),
            external_id=self.external_id,
            token=self.authentication_token or "",
            external_auth_name=self.external_auth_name or "",
            force_create=force_create,
            nonce=nonce_of(self.extra_json),
        )


async def verify_new(ctx: Context, request: Credentials) -> Verified:
    """Check the credentials of an identity that may be nobody's yet."""
    login = request.login(force_create=True)
    if login.type == "Email" and not is_mail_address(identity_key("Email", login.external_id)):
        raise InvalidEmail("data.externalId: not an e-mail address")
    return await ctx.core.accounts.verify(ctx.app, login, address(ctx), ctx.now_ms, face=ctx.origin.face)


@service.operation(
    "ATTACH",
    tx=Tx.WRITE,
    prepare=verify_new,
    errors=(DuplicateIdentityType, MergeProfiles, UnsupportedType, *CREDENTIAL_ERRORS),
)
async def attach(ctx: Context, request: Credentials) -> None:
    """Let the caller log in with a further identity, which leads to the same player from then on.

    The credentials are checked as at a login. An address or a name that is nobody's becomes the caller's,
    with the password that is sent. Refused: an identity of a type that the player has already, an identity of
    another player, which the right credentials tell apart from wrong ones, and types that cannot be attached.
    A refusal changes nothing.
    """
    verified: Verified = ctx.prepared
    if of_type(await lock_caller(ctx), verified.type) is not None:
        raise DuplicateIdentityType(f"the player has an identity of type {verified.type} already")
    if verified.profile_id == ctx.player_id:
        raise Aborted("the identity was detached since it was verified")
    if verified.profile_id is not None:
        raise MergeProfiles("the identity belongs to another profile: switch to that, or merge the two")
    row = verified.row(ctx.app.id, ctx.player_id, ctx.now_ms)
    if not await ctx.tx.unless_taken(identities.ADD, **row):
        raise Aborted("somebody has just taken this identity")
    await _attached(ctx, verified.type)


async def _attached(ctx: Context, type_: str) -> None:
    await ctx.emit(IdentityAttached(profile_id=ctx.player_id, authentication_type=type_))


class Detach(Request):
    """SDKs say `confirmAnonymous`, the reference's page `continueAnon`. `extraJson` is for hooks."""

    external_id: ExternalIdField
    authentication_type: AuthenticationType
    external_auth_name: ExternalAuthName = None
    confirm_anonymous: Annotated[
        bool | None, Meta(description="true detaches also the last identity: only devices lead back then.")
    ] = None
    continue_anon: Annotated[bool | None, Meta(description="Another name of `confirmAnonymous`.")] = None
    extra_json: ExtraJson = None


@service.operation(
    "DETACH",
    tx=Tx.WRITE,
    errors=(
        DowngradingToAnonymous,
        MissingIdentity,
        IdentityOfAnother,
        UnsupportedType,
        UnknownAuthenticationType,
    ),
)
async def detach(ctx: Context, request: Detach) -> None:
    """Take an identity from the caller. It is nobody's from then on; sessions that are open stay.

    Links that were mailed to the player, and handoffs, end with it. The last identity that the player can
    log in with goes only with `confirmAnonymous`: then only a device that they have played on leads back.
    Refused: an identity that the caller does not have.
    """
    type_ = attachable_type(request.authentication_type)
    owned = await lock_caller(ctx)
    identity = _named(owned, type_, request)
    if identity is None:
        raise await _not_owned(ctx, type_, request)
    others = (row for row in owned if row is not identity)
    confirmed = request.confirm_anonymous or request.continue_anon
    if opens_account(identity) and not confirmed and not any(map(opens_account, others)):
        raise DowngradingToAnonymous("it is the last identity that the player can log in with")
    await identities.remove(ctx.tx, ctx.app.id, ctx.player_id, type_, identity["external_key"])
    await tokens.revoke_all(ctx.tx, ctx.app.id, ctx.player_id)
    await ctx.emit(IdentityDetached(profile_id=ctx.player_id, authentication_type=type_))


def _named(owned: Sequence[Row], type_: str, request: Detach) -> Row | None:
    """Return the identity that is meant. SDKs do not say which of the app's systems vouches for it."""
    if type_ == "External" and not request.external_auth_name:
        named = (row for row in owned if row["type"] == type_ and row["external_id"] == request.external_id)
        return next(named, None)
    key = identity_key(type_, request.external_id, request.external_auth_name or "")
    return next((row for row in owned if row["type"] == type_ and row["external_key"] == key), None)


async def _not_owned(ctx: Context, type_: str, request: Detach) -> GameError:
    if not ctx.app.login.conceal_accounts:
        key = identity_key(type_, request.external_id, request.external_auth_name or "")
        if await identities.find(ctx.tx, ctx.app.id, type_, key) is not None:
            return IdentityOfAnother("the identity belongs to another profile")
    return MissingIdentity("the player has no such identity")


# Names and keys that nobody logs in with


class AttachNonLoginUniversal(Request):
    external_id: Annotated[ExternalId, Meta(description="A name that no other player has.")]


@service.operation("ATTACH_NONLOGIN_UNIVERSAL", tx=Tx.WRITE, errors=(DuplicateIdentityType, CredentialInUse))
async def attach_nonlogin_universal(ctx: Context, request: AttachNonLoginUniversal) -> None:
    """Give the caller a name that no other player of the app has, and that nobody logs in with.

    Refused: a name that is taken, and a second one.
    """
    if of_type(await lock_caller(ctx), "Universal") is not None:
        raise DuplicateIdentityType("the player has a universal id already")
    app, profile_id, name = ctx.app.id, ctx.player_id, request.external_id
    if not await users.add_identity(ctx.tx, app, profile_id, "Universal", name, None, ctx.now_ms):
        raise CredentialInUse("another player has this universal id")
    await _attached(ctx, "Universal")


class AttachBlockchain(Request):
    blockchain_config: Annotated[str, Meta(description="The name of a blockchain, as the app declares it.")]
    public_key: Annotated[ExternalId, Meta(description="The public key of the player there.")]


@service.operation(
    "ATTACH_BLOCKCHAIN_IDENTITY",
    tx=Tx.WRITE,
    errors=(UnknownBlockchain, DuplicateIdentityType, CredentialInUse),
)
async def attach_blockchain(ctx: Context, request: AttachBlockchain) -> None:
    """Note the public key that the caller uses in a blockchain. Whose it is is not checked.

    Refused: a blockchain that the app does not declare, a second key, and one that another player has.
    """
    name = _blockchain(ctx, request.blockchain_config)
    if of_type(await lock_caller(ctx), "Blockchain") is not None:
        raise DuplicateIdentityType("the player has a key of a blockchain already")
    key = identity_key("Blockchain", request.public_key, name)
    row = identities.new_row(ctx.app.id, ctx.player_id, "Blockchain", key, request.public_key, ctx.now_ms)
    if not await ctx.tx.unless_taken(identities.ADD, **row):
        raise CredentialInUse("another player has this public key")
    await _attached(ctx, "Blockchain")


class DetachBlockchain(Request):
    blockchain_config: Annotated[str, Meta(description="The name of a blockchain, as the app declares it.")]


@service.operation("DETACH_BLOCKCHAIN_IDENTITY", tx=Tx.WRITE, errors=(UnknownBlockchain, MissingIdentity))
async def detach_blockchain(ctx: Context, request: DetachBlockchain) -> None:
    """Forget the public key that the caller uses in a blockchain. Refused: callers who have none."""
    begins = identity_key("Blockchain", "", _blockchain(ctx, request.blockchain_config))
    owned = of_type(await lock_caller(ctx), "Blockchain")
    if owned is None or not owned["external_key"].startswith(begins):
        raise MissingIdentity("the player has no key of this blockchain")
    await identities.remove(ctx.tx, ctx.app.id, ctx.player_id, "Blockchain", owned["external_key"])
    await ctx.emit(IdentityDetached(profile_id=ctx.player_id, authentication_type="Blockchain"))


def _blockchain(ctx: Context, name: str) -> str:
    if name not in ctx.section(IdentitySettings).blockchains:
        raise UnknownBlockchain(f"the app declares no blockchain {name[:64]!r}")
    return name
