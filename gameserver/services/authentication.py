"""authenticationV2: logging in, and getting back in."""

import contextlib
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import UNSET, Meta

import gameserver
from gameserver.apps import App, LiveApps, is_mail_address
from gameserver.players import accounts, identities, links, logins, pairs, resets, tokens
from gameserver.players.accounts import (
    LOGIN_ERRORS,
    EmailNotValidated,
    InvalidEmail,
    Login,
    Verified,
    canonical_type,
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
from gameserver.players.providers import UnknownAuthenticationError
from gameserver.players.resets import RESET_ERRORS, LinkMinutes, MailParams, ResetRequest
from gameserver.players.states import PlayerState
from gameserver.players.tokens import Kind
from gameserver.players.webhooks import PlayerLoggedIn, is_wanted
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.storage import Aborted, locks
from gameserver.wire import json
from gameserver.wire.errors import (
    GameError,
    InvalidParameterValue,
    MissingParameter,
    SessionLimitReached,
)
from gameserver.wire.shapes import FreeValue, Reply, Request

service = Service("authenticationV2")

# Errors


class Redirected(GameError):
    """The app has moved; `redirect_url` and `redirect_appid` say where to."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40308


class PlatformNotEnabled(GameError):
    reason_code = 40320


class AppVersionObsolete(GameError):
    """The game is older than the app allows; `upgradeAppId` says where the new version is."""

    reason_code = 40322


# Logging in

EXTRA_BYTES_MAX = 16 << 10
EXTRA_BYTES_IN_SESSION = 1024

Fact = Annotated[str, Meta(max_length=128)]
Code = Annotated[str, Meta(max_length=32)]
Hours = Annotated[float, Meta(ge=-24, le=24)]


class Authenticate(Request):
    authentication_type: AuthenticationType
    external_id: ExternalIdField | None = None
    authentication_token: AuthenticationToken = None
    force_create: Annotated[
        bool | None, Meta(description="true makes a new player if nobody has this identity.")
    ] = False
    profile_id: Annotated[
        str | None, Meta(description="The player that the client expects; empty for a new one.")
    ] = None
    anonymous_id: Annotated[
        Annotated[str, Meta(max_length=accounts.EXTERNAL_ID_MAX)] | None,
        Meta(
            description="The random id of the device, which may come back with it; see protocol/sessions.md."
        ),
    ] = None
    release_platform: Annotated[Fact | None, Meta(description="The platform, as in protocol/values.md.")] = (
        None
    )
    game_version: Annotated[Fact | None, Meta(description="The version of the game, such as 1.4.0.")] = None
    client_lib: Annotated[
        Fact | None, Meta(description="The library that the client uses; only remembered.")
    ] = None
    client_lib_version: Annotated[Fact | None, Meta(description="Its version; only remembered.")] = None
    time_zone_offset: Annotated[Hours | None, Meta(description="Hours east of UTC, such as -5 or 5.5.")] = (
        None
    )
    language_code: Annotated[
        Code | None, Meta(description="The player's language, such as en or zh-Hant.")
    ] = None
    country_code: Annotated[
        Code | None, Meta(description="The player's country: two letters, or _LA_ for Latin America.")
    ] = None
    compress_responses: Annotated[
        bool | None,
        Meta(
            description="true lets the server pack large answers with gzip, where "
            "`Accept-Encoding` allows it."
        ),
    ] = False
    external_auth_name: ExternalAuthName = None
    extra_json: ExtraJson = None

    def login(self) -> Login:
        """What the login rules need of it."""
        return Login(
            type=self.authentication_type,
            external_id=self.external_id or "",
            token=self.authentication_token or "",
            external_auth_name=self.external_auth_name or "",
            force_create=bool(self.force_create),
            profile_id=self.profile_id or "",
            anonymous_id=self.anonymous_id or "",
            language_code=self.language_code or None,
            country_code=self.country_code or None,
            time_zone_offset=self.time_zone_offset,
            nonce=nonce_of(self.extra_json),
        )

    def facts(self) -> dict[str, Any]:
        """What the session remembers of the client; `extraJson` is for hooks, and stays if it is small."""
        extra_bytes = len(json.encode(self.extra_json)) if self.extra_json else 0
        if extra_bytes > EXTRA_BYTES_MAX:
            raise InvalidParameterValue(f"data.extraJson: at most {EXTRA_BYTES_MAX} bytes")
        facts = _Facts(
            canonical_type(self.authentication_type),
            bool(self.compress_responses),
            self.release_platform,
            self.game_version,
            self.client_lib,
            self.client_lib_version,
            self.language_code,
            self.country_code,
            (self.extra_json or None) if extra_bytes <= EXTRA_BYTES_IN_SESSION else None,
        )
        said: dict[str, Any] = msgspec.to_builtins(facts)
        return said


class _Facts(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a session remembers of the client, as far as it is said."""

    authentication_type: str
    compress_responses: bool
    release_platform: str | None = None
    game_version: str | None = None
    client_lib: str | None = None
    client_lib_version: str | None = None
    language_code: str | None = None
    country_code: str | None = None
    extra_json: dict[str, Any] | None = None


class Ready(msgspec.Struct, frozen=True):
    """A login that may take place."""

    login: Login
    verified: Verified
    facts: dict[str, Any]


async def verify(ctx: Context, request: Authenticate) -> Ready:
    """Everything about a login that must not hold a lock."""
    admit_client(ctx.app, request.release_platform or "", request.game_version or "")
    if request.external_id is None and canonical_type(request.authentication_type) == "Anonymous":
        raise MissingParameter("data.externalId: the id of a device is not null")
    login, facts = request.login(), request.facts()
    try:
        verified = await ctx.core.accounts.verify(
            ctx.app, login, ctx.origin.address, ctx.now_ms, face=ctx.origin.face
        )
        if verified.profile_id is None and verified.type == "Email" and ctx.app.login.validated_email_only:
            await _make_unproven(ctx, login, verified)
    except EmailNotValidated:
        await _mail_validation(ctx, identity_key("Email", login.external_id))
        raise
    return Ready(login, verified, facts)


async def _make_unproven(ctx: Context, login: Login, verified: Verified) -> NoReturn:
    """Make the account of an address that is not proven yet, and refuse the login: the link comes first.

    Not in the packet's transaction, which the refusal undoes.
    """
    with contextlib.suppress(Aborted):  # another first login was faster; it is refused alike
        async with ctx.core.database.write() as tx:
            await logins.log_in(tx, ctx.app, login, verified, ctx.now_ms, ctx.core.new_id)
    raise EmailNotValidated("a mail with a link was sent; the account works once the link was followed")


def admit_client(app: App, platform: str, version: str) -> None:
    """Refuse clients that the app does not want here: moved elsewhere, of a platform not enabled, too old."""
    if app.redirect is not None:
        raise Redirected(
            "the app has moved", redirect_url=app.redirect.url, redirect_appid=app.redirect.app_id
        )
    if not app.clients.platform_allowed(platform):
        raise PlatformNotEnabled(f"the platform {platform!r} is not enabled for this app")
    if not app.clients.version_allowed(version, platform):
        raise AppVersionObsolete(
            f"App version {version or '(none)'} is obsolete.",
            upgradeAppId=app.clients.upgrade_address(platform),
        )


def of_player(ctx: Context, _: Authenticate) -> list[str]:
    """Return the lock of the player who logs in, as far as they are known before."""
    ready: Ready = ctx.prepared
    profile_id = ready.verified.profile_id or ready.login.profile_id
    return [locks.player_lock(profile_id)] if profile_id else []


class LoginReply(PlayerState, kw_only=True):
    """The player's whole state, and what a client needs to know of its session."""

    handoff_json: Annotated[
        FreeValue,
        Meta(
            description="The object that the handoff code was made with; after a login of type SettopHandoff."
        ),
    ] = UNSET  # for who logged in with a hand-off
    auth_payload: Annotated[
        FreeValue, Meta(description="What the script says that has vouched for an External login.")
    ] = UNSET
    session_id: Annotated[str, Meta(description="The session: send it with every later packet.")]
    new_user: Annotated[str, Meta(description="Whether the player is new: `true` or `false`, as text.")]
    player_session_expiry: Annotated[
        int, Meta(description="Seconds that a session lives after its last packet.")
    ]
    max_bundle_msgs: Annotated[int, Meta(description="Most messages to put into one packet.")]
    max_kill_count: Annotated[
        int, Meta(description="Stop calling an operation that was refused this often in a row.")
    ]
    compress_if_larger: Annotated[int, Meta(description="Pack requests above this many bytes.")]


@service.operation(
    "AUTHENTICATE",
    tx=Tx.WRITE,
    access=Access.OPEN,
    prepare=verify,
    locks=of_player,
    opens_session=True,
    errors=(Redirected, PlatformNotEnabled, AppVersionObsolete, SessionLimitReached, *LOGIN_ERRORS),
    failure=UnknownAuthenticationError,
)
async def authenticate(ctx: Context, request: Authenticate) -> LoginReply:
    """Log in, and make a new player if the client asks for one. The answer is the player's whole state.

    A login that names an `anonymousId` lets that device come back with it as an Anonymous login, if it
    names the profile. Refused are wrong credentials, an Anonymous id that is known but comes without its
    profile, unless the app allows that, unknown identities unless `forceCreate` is set and no `profileId` is
    sent, an identity that belongs to another profile than `profileId`, accounts that are disabled or
    locked after too many failures, and clients the app does not admit. A refusal leaves the caller's
    previous session as it was.
    """
    ready: Ready = ctx.prepared
    states = ctx.core.player_hooks.states.of(ctx.app)
    undoes = ctx.app.session.when_full == "refuse_newest"  # a login
    tells = is_wanted(ctx.app, PlayerLoggedIn)
    is_whole = ctx.is_whole and not undoes and not tells
    try:
        player, created = await logins.log_in(
            ctx.tx,
            ctx.app,
            ready.login,
            ready.verified,
            ctx.now_ms,
            ctx.core.new_id,
            states,
            is_whole=is_whole,
        )
        profile_id: str = player["profile_id"]
        session_id = await ctx.log_in(profile_id, ready.facts, player["session_epoch"])
        if tells:
            await ctx.emit(_logged_in(ready, profile_id, is_new=created))
    except GameError as error:
        ctx.refuse_login(ready.verified.profile_id or "", error)
        raise
    clients = ctx.app.clients
    shape = partial(
        LoginReply,
        session_id=session_id,
        new_user="true" if created else "false",
        player_session_expiry=ctx.app.session.life_seconds,
        max_bundle_msgs=clients.max_bundle_messages,
        max_kill_count=clients.max_kill_count,
        compress_if_larger=clients.compress_if_larger,
    )
    reply = states.show(shape, ctx.core.get(LiveApps), ctx.app, player, ctx.now_ms, is_new=created)
    if ready.verified.type == "SettopHandoff":
        reply.handoff_json = ready.verified.handoff_data
    if ready.verified.vouched is not None and ready.verified.vouched.payload is not None:
        reply.auth_payload = ready.verified.vouched.payload
    return reply


def _logged_in(ready: Ready, profile_id: str, *, is_new: bool) -> PlayerLoggedIn:
    return PlayerLoggedIn(profile_id=profile_id, authentication_type=ready.verified.type, new_user=is_new)


async def _mail_validation(ctx: Context, key: str) -> None:
    """Mail the link that proves an address to who just gave the right password for it."""
    core, app = ctx.core, ctx.app
    if not await links.may_mail(core.sessions, app, "validation", key, ctx.origin.address):
        return
    settings = app.mail.validation
    async with core.database.write() as tx:
        contact = await identities.find_contact(tx, app.id, "Email", key)
        if contact is None:
            return
        token = await links.issue(
            tx,
            Kind.EMAIL_VALIDATION,
            app,
            ("Email", key),
            contact,
            now_ms=ctx.now_ms,
            minutes=settings.minutes,
        )
    url = links.link(settings, ctx.core.public_url, links.VALIDATE_PATH, token)
    links.post(
        core.mailer,
        app,
        "email_validation",
        contact["external_id"],
        {"link": url, "minutes": str(settings.minutes)},
        language=contact["language_code"] or "",
    )


# A player's life

service.keeps(identities.KEPT, pairs.KEPT, tokens.KEPT)


# The server


class GetServerVersion(Request):
    pass


class GetServerVersionReply(Reply):
    server_version: Annotated[str, Meta(description="The version of the server.")]


@service.operation("GET_SERVER_VERSION", tx=Tx.NONE, access=Access.OPEN)
async def get_server_version(ctx: Context, request: GetServerVersion) -> GetServerVersionReply:
    """Tell the version of this server. Works without a session."""
    return GetServerVersionReply(server_version=gameserver.__version__)


# Getting back in


class ResetEmailPassword(Request):
    email_address: Annotated[str | None, Meta(description="The address that the player logs in with.")] = None
    external_id: Annotated[
        str | None, Meta(description="Another name of `emailAddress`; one of them is needed.")
    ] = None
    service_params: MailParams = None
    token_ttl_in_minutes: LinkMinutes = None

    def identity(self) -> tuple[str, str]:
        """The type and the key of the identity whose password is meant."""
        text = self.email_address or self.external_id
        if not text:
            raise MissingParameter("data.emailAddress: required")
        key = identity_key("Email", text)
        if not is_mail_address(key):
            raise InvalidEmail("data.emailAddress: not an e-mail address")
        return "Email", key


class ResetUniversalIdPassword(Request):
    universal_id: Annotated[str | None, Meta(description="The name that the player logs in with.")] = None
    external_id: Annotated[
        str | None, Meta(description="Another name of `universalId`; one of them is needed.")
    ] = None
    service_params: MailParams = None
    token_ttl_in_minutes: LinkMinutes = None

    def identity(self) -> tuple[str, str]:
        """The type and the key of the identity whose password is meant."""
        text = self.universal_id or self.external_id
        if not text:
            raise MissingParameter("data.universalId: required")
        if len(text) > accounts.EXTERNAL_ID_MAX:
            raise InvalidParameterValue(f"data.universalId: at most {accounts.EXTERNAL_ID_MAX} characters")
        return "Universal", identity_key("Universal", text)


async def wish(ctx: Context, request: ResetEmailPassword | ResetUniversalIdPassword) -> ResetRequest:
    """Check the request, and whether the mailbox has had enough."""
    type_, key = request.identity()
    is_server = ctx.caller.is_studio
    return await resets.prepare(
        ctx.core.sessions,
        ctx.app,
        (type_, key),
        request.service_params,
        _minutes(ctx, request.token_ttl_in_minutes),
        address="" if is_server else ctx.origin.address,
        takes_sender=is_server,
    )


def _minutes(ctx: Context, asked: int | None) -> int:
    """How long a link works: the app's setting, or what was asked for; strangers cannot ask for longer."""
    usual = ctx.app.mail.reset.minutes
    if asked is None:
        return usual
    return asked if ctx.caller.is_studio or ctx.session is not None else min(asked, usual)


@service.operation(
    "RESET_EMAIL_PASSWORD",
    "RESET_EMAIL_PASSWORD_ADVANCED",
    "RESET_EMAIL_PASSWORD_WITH_EXPIRY",
    "RESET_EMAIL_PASSWORD_ADVANCED_WITH_EXPIRY",
    tx=Tx.WRITE,
    access=Access.OPEN,
    prepare=wish,
    errors=(InvalidEmail, *RESET_ERRORS),
)
async def reset_email_password(ctx: Context, request: ResetEmailPassword) -> None:
    """Mail a link that sets a new password to an account of type Email.

    Answers alike whether or not the account exists, and changes no password by itself. `serviceParams`
    may name a mail template of the app and values for it; sender and subject count only when a server
    asks. `tokenTtlInMinutes` says how long the link works, without a session no longer than the app's
    setting. It dies when the password or an address of the account changes. Refused are texts that are
    no mail addresses, templates the app does not have, and senders that are none. Who asks too often
    gets no further mail.
    """
    await _reset(ctx)


@service.operation(
    "RESET_UNIVERSAL_ID_PASSWORD",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED",
    "RESET_UNIVERSAL_ID_PASSWORD_WITH_EXPIRY",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED_WITH_EXPIRY",
    tx=Tx.WRITE,
    access=Access.OPEN,
    prepare=wish,
    errors=RESET_ERRORS,
)
async def reset_universal_id_password(ctx: Context, request: ResetUniversalIdPassword) -> None:
    """Mail a link that sets a new password for a universal id to the player's contact address.

    Answers alike whether or not the account exists or has a contact address, and changes no password by
    itself. `serviceParams` and `tokenTtlInMinutes` are as for e-mail accounts. Refused are templates
    the app does not have, and senders that are none. Who asks too often gets no further mail.
    """
    await _reset(ctx)


async def _reset(ctx: Context) -> None:
    asked: ResetRequest = ctx.prepared
    contact = await identities.find_contact(ctx.tx, ctx.app.id, asked.type, asked.key)
    send = await resets.issue(
        ctx.tx, ctx.app, asked, contact, ctx.core.mailer, ctx.core.public_url, now_ms=ctx.now_ms
    )
    if send is not None:
        ctx.after_commit(send)
