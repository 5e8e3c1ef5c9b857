"""Providers that sign tokens: Apple, Google, Facebook's Limited Login, and whatever speaks OpenID."""

import hashlib
import hmac
import math
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from gameserver.apps import OpenIdSettings
from gameserver.players.providers import transfers
from gameserver.players.providers.asking import Claimed, Outside
from gameserver.players.providers.settings import Google
from gameserver.players.providers.vouching import Vouched
from gameserver.players.providers.web import Asker, unclear

EXPIRES_MAX = 253_402_300_799  # the end of the year 9999; later is for ever
LEEWAY_SECONDS = 60
KEY_ID_MAX = 256
JWT_BEGINS = "eyJ"  # a JSON object in base64, which no auth code is

APPLE_KEYS = "https://appleid.apple.com/auth/keys"
GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
GOOGLE_EXCHANGE = "https://oauth2.googleapis.com/token"
PLAY_GAMES = "https://games.googleapis.com/games/v1/applications"
FACEBOOK_KEYS = "https://limited.facebook.com/.well-known/oauth/openid/jwks/"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken, for whom, and where their keys are. One algorithm, whatever a token says."""

    names: tuple[str, ...]
    audiences: tuple[str, ...]
    keys_url: str
    algorithm: str = "RS256"
    nonce_required: bool = False


async def apple(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check an identity token of Sign in with Apple."""
    settings = claimed.settings.apple
    assert settings is not None, "a check is called where its settings are"
    issuer = Issuer(
        ("https://appleid.apple.com",),
        tuple(settings.audiences),
        APPLE_KEYS,
        nonce_required=settings.nonce_required,
    )
    claims = await read(claimed, outside, issuer)
    vouched = _names(claims, "sub", claimed.external_id)
    if claims is None or vouched is None or not settings.transfers_file:
        return vouched
    former = await transfers.former_id(claimed.app, settings.transfers_file, claims.get("transfer_sub"))
    return replace(vouched, former_id=former)


async def google(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check an id token of Google, or a server auth code, which works once."""
    settings = claimed.settings.google
    assert settings is not None, "a check is called where its settings are"
    if claimed.token.startswith(JWT_BEGINS) or not settings.client_id:
        return _names(await read(claimed, outside, _google(settings)), "sub", claimed.external_id)
    return await _google_code(claimed, outside, settings)


async def google_open_id(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check an id token of Google against the player's number, or their address if Google has proven it."""
    settings = claimed.settings.google
    assert settings is not None, "a check is called where its settings are"
    claims = await read(claimed, outside, _google(settings))
    if claims is not None and "@" in claimed.external_id:
        if claims.get("email_verified") not in (True, "true"):
            return None
        return _names(claims, "email", claimed.external_id)
    return _names(claims, "sub", claimed.external_id)


def _google(settings: Google) -> Issuer:
    audiences = tuple(settings.audiences) or (settings.client_id,)
    return Issuer(("https://accounts.google.com", "accounts.google.com"), audiences, GOOGLE_KEYS)


async def _google_code(claimed: Claimed, outside: Outside, settings: Google) -> Vouched | None:
    form = {
        "grant_type": "authorization_code",
        "code": claimed.token,
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "redirect_uri": settings.redirect_uri,
    }
    status, answer = await outside.web.ask_json(claimed.app, GOOGLE_EXCHANGE, form=form)
    if status == HTTPStatus.BAD_REQUEST and answer.get("error") == "invalid_grant":
        return None
    access = answer.get("access_token")
    if status != HTTPStatus.OK or not isinstance(access, str):
        raise unclear("oauth2.googleapis.com", f"status {status}, {answer.get('error')!r:.80}")
    if not settings.play_games_app:
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise unclear("oauth2.googleapis.com", "no id token for the auth code: set play_games_app")
        issuer = Issuer(_google(settings).names, (settings.client_id,), GOOGLE_KEYS)
        claims = await read(claimed, outside, issuer, id_token)
        return _names(claims, "sub", claimed.external_id)
    url = f"{PLAY_GAMES}/{settings.play_games_app}/verify"
    status, answer = await outside.web.ask_json(
        claimed.app, url, headers={"Authorization": f"Bearer {access}"}
    )
    if status != HTTPStatus.OK:
        raise unclear("games.googleapis.com", f"status {status}")
    return Vouched() if answer.get("player_id") == claimed.external_id else None


async def facebook_limited(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check a token of Facebook's Limited Login, which the graph does not take."""
    settings = claimed.settings.facebook
    assert settings is not None, "a check is called where its settings are"
    names = ("https://www.facebook.com", "https://facebook.com", "https://limited.facebook.com")
    issuer = Issuer(names, (settings.app_id,), FACEBOOK_KEYS, nonce_required=settings.nonce_required)
    return _names(await read(claimed, outside, issuer), "sub", claimed.external_id)


async def nintendo(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check an id token of a Nintendo Network Service Account."""
    assert claimed.settings.nintendo is not None, "a check is called where its settings are"
    return await open_id(claimed, outside, claimed.settings.nintendo)


async def ultra(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check an id token of Ultra."""
    assert claimed.settings.ultra is not None, "a check is called where its settings are"
    return await open_id(claimed, outside, claimed.settings.ultra)


async def open_id(claimed: Claimed, outside: Outside, settings: OpenIdSettings) -> Vouched | None:
    """Check an id token of an issuer that the app declares."""
    issuer = Issuer(
        (settings.issuer,),
        tuple(settings.audiences),
        settings.keys_url,
        settings.algorithm,
        settings.nonce_required,
    )
    return _names(await read(claimed, outside, issuer), settings.claim, claimed.external_id)


async def read(
    claimed: Claimed, outside: Outside, issuer: Issuer, token: str | None = None
) -> dict[str, Any] | None:
    """Check signature, issuer, audience, times and nonce of a token; its claims, or None.

    Raises `ProviderUnavailable` or `UnknownAuthenticationError` when the issuer's keys cannot be had.
    """
    token = claimed.token if token is None else token
    return await read_signed(claimed.app, outside, issuer, token, claimed.nonce, claimed.now_ms)


async def read_signed(
    asker: Asker, outside: Outside, issuer: Issuer, token: str, nonce: str, now_ms: int
) -> dict[str, Any] | None:
    """Do what `read` does on whoever's behalf."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    kid = header.get("kid")
    # Before any fetch: what could not be taken in any case shall cause none.
    if header.get("alg") != issuer.algorithm or not isinstance(kid, str) or not 0 < len(kid) <= KEY_ID_MAX:
        return None
    key = await outside.keys.find(asker, issuer.keys_url, kid, issuer.algorithm, now_ms)
    if key is None:
        return None
    claims = read_claims(token, key, issuer.algorithm, issuer.names, issuer.audiences)
    if (
        claims is None
        or not is_current(claims, now_ms, LEEWAY_SECONDS)
        or not _nonce_fits(claims, nonce, issuer)
    ):
        return None
    return claims


def read_claims(
    token: str,
    key: jwt.PyJWK | rsa.RSAPublicKey,
    algorithm: str,
    names: tuple[str, ...],
    audiences: tuple[str, ...],
) -> dict[str, Any] | None:
    """Check signature, issuer and audience of a token; its claims, or None. Of its times see `is_current`."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=list(names),
            audience=list(audiences),
            options={
                "require": ["exp", "iss", "aud"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None
    return claims


def is_current(claims: dict[str, Any], now_ms: int, leeway: float) -> bool:
    """Tell whether a token is good at a time: expiry, and beginning and issue where it has them."""
    now = now_ms / 1000
    expires, begins, issued = claims["exp"], claims.get("nbf", 0), claims.get("iat", 0)
    if not all(map(is_number, (expires, begins, issued))):
        return False
    return bool(expires + leeway > now and begins - leeway <= now and issued - leeway <= now)


def is_number(value: object) -> bool:
    """Tell whether a claim is a number that can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def expiry_ms(expires: float) -> int:
    """Return a token's `exp` in ms."""
    return int(min(expires, EXPIRES_MAX) * 1000)


def _nonce_fits(claims: dict[str, Any], nonce: str, issuer: Issuer) -> bool:
    """Compare the nonce, which some clients hand to the provider as SHA-256 in hex."""
    if not nonce:
        return not issuer.nonce_required
    named = claims.get("nonce")
    if not isinstance(named, str):
        return False
    hashed = hashlib.sha256(nonce.encode()).hexdigest()
    return any(hmac.compare_digest(named.encode(), text.encode()) for text in (nonce, hashed))


def _names(claims: dict[str, Any] | None, claim: str, external_id: str) -> Vouched | None:
    """Tell whether a claim names the player."""
    if claims is None:
        return None
    named = claims.get(claim)
    if not isinstance(named, str | int) or isinstance(named, bool):
        return None
    same = str(named).casefold() == external_id.casefold() if claim == "email" else str(named) == external_id
    return Vouched(token_expires_ms=expiry_ms(claims["exp"])) if same else None
