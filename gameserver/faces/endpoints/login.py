"""Logging in over an endpoint, by an authentication profile."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gameserver.apps import App
from gameserver.faces.endpoints.declaration import Profile
from gameserver.players import logins, refresh_tokens
from gameserver.players.accounts import (
    EmailNotValidated,
    Login,
    MissingIdentity,
    MissingProfile,
    Verified,
    WrongCredentials,
)
from gameserver.players.refresh_tokens import RefreshSettings
from gameserver.players.webhooks import PlayerLoggedIn
from gameserver.rpc import Caller, Context, Origin, Runner
from gameserver.wire.errors import GameError, InvalidParameterType, MissingParameter, NotAllowed

FACE = "endpoints"
PLATFORM = "WEB"

_WRONG = "the login or the password does not fit"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login that took place."""

    session_id: str
    profile_id: str
    is_new: bool
    refresh_token: str | None


async def log_in(
    runner: Runner, app: App, profile: Profile, body: Mapping[str, Any], address: str
) -> LoggedIn:
    """Log in with the fields of a body. Raises the refusal; unknown players look like wrong passwords."""
    if app.redirect is not None:
        raise NotAllowed(
            "the app has moved", redirect_url=app.redirect.url, redirect_appid=app.redirect.app_id
        )
    if not app.clients.platform_allowed(PLATFORM):
        raise NotAllowed("the app is not open to browsers")
    login = Login(
        type=profile.type,
        external_id=_text(body, profile.login_field),
        token=_text(body, profile.password_field),
        external_auth_name=profile.external_name,
        force_create=profile.create,
    )

    async def verify(ctx: Context) -> Verified:
        verified = await ctx.core.accounts.verify(app, login, address, ctx.now_ms, face=FACE)
        if verified.profile_id is None and verified.type == "Email" and app.login.validated_email_only:
            error = EmailNotValidated("the app makes accounts of validated mail addresses only")
            ctx.refuse_login("", error)
            raise error
        return verified

    try:
        return await runner.do(
            partial(_write, profile, login), app, Origin(FACE, address), caller=Caller.CLIENT, prepare=verify
        )
    except (MissingProfile, MissingIdentity, WrongCredentials):
        raise WrongCredentials(_WRONG) from None


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if value is None or value == "":
        raise MissingParameter(f"body.{field}: required")
    if not isinstance(value, str):
        raise InvalidParameterType(f"body.{field}: expected text")
    return value


async def _write(profile: Profile, login: Login, ctx: Context) -> LoggedIn:
    """Write the login; its session is opened afterwards."""
    app, core, verified = ctx.app, ctx.core, ctx.prepared
    settings = app.section(RefreshSettings)
    refresh_token = None
    profile_id = verified.profile_id or ""
    try:
        player, is_new = await logins.log_in(ctx.tx, app, login, verified, ctx.now_ms, core.new_id)
        profile_id, epoch = player["profile_id"], player["session_epoch"]
        facts = {"authenticationType": verified.type, "releasePlatform": PLATFORM}
        session_id = await ctx.log_in(profile_id, facts, epoch)
        await ctx.emit(
            PlayerLoggedIn(profile_id=profile_id, authentication_type=verified.type, new_user=is_new)
        )
        if profile.refresh_tokens and settings.enabled:
            refresh_token = await refresh_tokens.issue(
                ctx.tx,
                settings,
                app.id,
                profile_id,
                session_id,
                epoch,
                now_ms=ctx.now_ms,
                random=core.random_bytes,
            )
    except GameError as error:
        ctx.refuse_login(profile_id, error)
        raise
    return LoggedIn(session_id, profile_id, is_new, refresh_token)
