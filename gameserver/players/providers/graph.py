"""Providers that are asked about a token: Facebook, Steam, Meta, X, Parse and Discord."""

import hashlib
import hmac
import re
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from msgspec import UNSET, UnsetType
from oauthlib.oauth1 import Client

from gameserver.apps import DiscordLogin
from gameserver.players.providers.asking import Claimed, Outside
from gameserver.players.providers.tokens import expiry_ms, is_number
from gameserver.players.providers.vouching import ProviderUnavailable, UnknownAuthenticationError, Vouched
from gameserver.players.providers.web import unclear
from gameserver.wire import json

FACEBOOK = "https://graph.facebook.com/"
FACEBOOK_DEBUG = FACEBOOK + "debug_token"
FACEBOOK_NAME_MAX = 256  # characters that are kept
STEAM_TICKET = "https://partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/"
STEAM_BAD_TICKETS = (101, 102)  # no ticket, and a ticket for another game
META_NONCE = "https://graph.oculus.com/user_nonce_validate"
TWITTER_USER = "https://api.twitter.com/1.1/account/verify_credentials.json"
DISCORD_ME = "https://discord.com/api/v10/oauth2/@me"

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){1,4096}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,4096}")
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


async def facebook(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Ask the graph for whom and for which app an access token of Facebook is, and what they are called.

    The name and the picture are what friends see; a login does not fail for want of them.
    """
    settings = claimed.settings.facebook
    assert settings is not None, "a check is called where its settings are"
    if not claimed.token:
        return None
    query = {
        "input_token": claimed.token,
        "access_token": f"{settings.app_id}|{settings.app_secret}",
    }
    status, answer = await outside.web.ask_json(claimed.app, FACEBOOK_DEBUG, query=query)
    told = answer.get("data")
    if status != HTTPStatus.OK or not isinstance(told, dict):
        raise unclear("graph.facebook.com", f"status {status}: are app_id and app_secret right?")
    if told.get("is_valid") is not True or str(told.get("app_id")) != settings.app_id:
        return None
    if str(told.get("user_id")) != claimed.external_id:
        return None
    expires = told.get("expires_at")
    if not is_number(expires) or not expires:  # 0: never
        return Vouched(data=await _facebook_profile(claimed, outside, settings.app_secret))
    if expires * 1000 <= claimed.now_ms:
        return None
    profile = await _facebook_profile(claimed, outside, settings.app_secret)
    return Vouched(token_expires_ms=expiry_ms(expires), data=profile)


async def _facebook_profile(claimed: Claimed, outside: Outside, app_secret: str) -> str | UnsetType:
    """Return what friends see of a player whose token is proven; `UNSET` where the graph is silent."""
    proof = hmac.new(app_secret.encode(), claimed.token.encode(errors="replace"), hashlib.sha256).hexdigest()
    query = {"fields": "name", "access_token": claimed.token, "appsecret_proof": proof}
    address = FACEBOOK + quote(claimed.external_id, safe="")
    try:
        status, answer = await outside.web.ask_json(claimed.app, address, query=query)
    except (ProviderUnavailable, UnknownAuthenticationError):
        return UNSET
    name = answer.get("name")
    if status != HTTPStatus.OK or not isinstance(name, str):
        return UNSET
    # The address that Facebook gives for a picture lapses after some days; this one leads to the present one.
    profile = {"name": name[:FACEBOOK_NAME_MAX].replace("\0", ""), "pictureUrl": f"{address}/picture"}
    return json.encode_free(profile).decode()


async def steam(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Ask Steam's partner API whose a session ticket is."""
    settings = claimed.settings.steam
    assert settings is not None, "a check is called where its settings are"
    if not _HEX.fullmatch(claimed.token):
        return None
    query = {"key": settings.publisher_key, "appid": str(settings.app_id), "ticket": claimed.token}
    if settings.identity:
        query["identity"] = settings.identity
    status, answer = await outside.web.ask_json(claimed.app, STEAM_TICKET, query=query)
    told = _dict(answer.get("response"))
    params, error = _dict(told.get("params")), _dict(told.get("error"))
    if error.get("errorcode") in STEAM_BAD_TICKETS:
        return None
    if status != HTTPStatus.OK or params.get("result") != "OK":
        raise unclear("partner.steam-api.com", f"status {status}, error {error.get('errorcode')!r:.20}")
    if params.get("steamid") != claimed.external_id or params.get("publisherbanned") is not False:
        return None
    if settings.refuse_vac_banned and params.get("vacbanned") is not False:
        return None
    if settings.owners_only and params.get("ownersteamid") != params["steamid"]:
        return None
    return Vouched()


async def oculus(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Ask Meta whether a nonce is a player's. A nonce can be asked about once."""
    settings = claimed.settings.oculus
    assert settings is not None, "a check is called where its settings are"
    if not claimed.token:
        return None
    form = {
        "access_token": f"OC|{settings.app_id}|{settings.app_secret}",
        "nonce": claimed.token,
        "user_id": claimed.external_id,
    }
    status, answer = await outside.web.ask_json(claimed.app, META_NONCE, form=form)
    if status != HTTPStatus.OK or not isinstance(answer.get("is_valid"), bool):
        raise unclear("graph.oculus.com", f"status {status}: are app_id and app_secret right?")
    return Vouched() if answer["is_valid"] else None


async def twitter(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Ask X whose an access token is. Clients send token and secret with a colon between them."""
    settings = claimed.settings.twitter
    assert settings is not None, "a check is called where its settings are"
    token, _, secret = claimed.token.partition(":")
    if not token or not secret or not _HEADER_SAFE.fullmatch(claimed.token):
        return None
    signer = Client(
        settings.consumer_key,
        settings.consumer_secret,
        token,
        secret,
        timestamp=str(claimed.now_ms // 1000),
    )
    _, signed, _ = signer.sign(TWITTER_USER)
    status, answer = await outside.web.ask_json(claimed.app, TWITTER_USER, headers=signed)
    if status in REFUSALS:
        return None
    if status != HTTPStatus.OK:
        raise unclear("api.twitter.com", f"status {status}")
    return Vouched() if answer.get("id_str") == claimed.external_id else None


async def parse(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Ask a Parse Server whose a session token is."""
    settings = claimed.settings.parse
    assert settings is not None, "a check is called where its settings are"
    if not _HEADER_SAFE.fullmatch(claimed.token):
        return None
    headers = {"X-Parse-Application-Id": settings.application_id, "X-Parse-Session-Token": claimed.token}
    if settings.rest_key:
        headers["X-Parse-REST-API-Key"] = settings.rest_key
    url = settings.url.rstrip("/") + "/users/me"
    status, answer = await outside.web.ask_json(claimed.app, url, headers=headers)
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
        if answer.get("code") in (101, 209):  # no such object, and no such session
            return None
        raise unclear("the Parse Server", f"status {status}, code {answer.get('code')!r:.20}")
    if status != HTTPStatus.OK:
        raise unclear("the Parse Server", f"status {status}")
    return Vouched() if answer.get("objectId") == claimed.external_id else None


async def discord(claimed: Claimed, outside: Outside, settings: DiscordLogin) -> Vouched | None:
    """Ask Discord whose an access token is, and for which application it was made."""
    if not _HEADER_SAFE.fullmatch(claimed.token):
        return None
    headers = {"Authorization": f"Bearer {claimed.token}"}
    status, answer = await outside.web.ask_json(claimed.app, DISCORD_ME, headers=headers)
    if status in REFUSALS:
        return None
    if status != HTTPStatus.OK:
        raise unclear("discord.com", f"status {status}")
    if _dict(answer.get("application")).get("id") != settings.application_id:
        return None
    if _dict(answer.get("user")).get("id") != claimed.external_id:
        return None
    try:
        expires_ms = int(datetime.fromisoformat(answer["expires"]).timestamp() * 1000)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Vouched(token_expires_ms=expires_ms) if expires_ms > claimed.now_ms else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
