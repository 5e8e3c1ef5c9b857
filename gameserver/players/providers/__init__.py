"""Platforms that vouch for players: each login type, and the check that its platform documents."""

import hmac
from collections.abc import Callable
from typing import Any, NamedTuple

from gameserver.apps import App, DiscordLogin, OpenIdLogin
from gameserver.players.providers import game_center, graph, playstation, tokens, xbox
from gameserver.players.providers.asking import Check, Claimed, Outside
from gameserver.players.providers.keys import KeySets
from gameserver.players.providers.settings import SAMPLE, SECTION, ProviderSettings
from gameserver.players.providers.tokens import Issuer
from gameserver.players.providers.vouching import (
    ProviderUnavailable,
    UnableToValidate,
    UnknownAuthenticationError,
    Vouched,
)
from gameserver.players.providers.web import Asker, Web
from gameserver.wire.outgoing import Outgoing

__all__ = [
    "SAME_PERSON",
    "SAMPLE",
    "SECTION",
    "Asker",
    "Claimed",
    "Issuer",
    "ProviderSettings",
    "ProviderUnavailable",
    "Providers",
    "UnableToValidate",
    "UnknownAuthenticationError",
    "Vouched",
]


class Provider(NamedTuple):
    """The check of a login type, and whether an app has what it takes."""

    check: Check
    has: Callable[[ProviderSettings], object | None]


PROVIDERS: dict[str, Provider] = {
    "Apple": Provider(tokens.apple, lambda app: app.apple),
    "Facebook": Provider(graph.facebook, lambda app: app.facebook),
    "FacebookLimited": Provider(tokens.facebook_limited, lambda app: app.facebook),
    "GameCenter": Provider(game_center.game_center, lambda app: app.game_center),
    "Google": Provider(tokens.google, lambda app: app.google),
    "GoogleOpenId": Provider(tokens.google_open_id, lambda app: app.google),
    "Nintendo": Provider(tokens.nintendo, lambda app: app.nintendo),
    "Oculus": Provider(graph.oculus, lambda app: app.oculus),
    "Parse": Provider(graph.parse, lambda app: app.parse),
    "PlaystationNetwork": Provider(playstation.network, lambda app: app.playstation),
    "PlaystationNetwork5": Provider(playstation.network5, lambda app: app.playstation5),
    "Steam": Provider(graph.steam, lambda app: app.steam),
    "Twitter": Provider(graph.twitter, lambda app: app.twitter),
    "Ultra": Provider(tokens.ultra, lambda app: app.ultra),
    "Xbox": Provider(xbox.xbox, lambda app: app.xbox),
}
SAME_PERSON = {"Facebook": "FacebookLimited", "FacebookLimited": "Facebook"}
"""Login types under which one provider gives a person the same id."""


class Providers:
    """Asks whoever vouches. Holds keys, which `close` lets go of."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.web = Web(outgoing)
        self._outside = Outside(self.web, KeySets(self.web))

    async def close(self) -> None:
        """Let go of what is being fetched."""
        await self._outside.keys.close()

    def can_check(self, app: App, type_: str) -> bool:
        """Tell whether an app has what it takes to check logins of a type, or test accounts of it."""
        settings = app.section(ProviderSettings)
        provider = PROVIDERS.get(type_)
        return type_ in settings.dev_tokens or (provider is not None and provider.has(settings) is not None)

    async def vouch(self, type_: str, claimed: Claimed) -> Vouched | None:
        """Tell whether an id and a token belong together; None when they do not.

        Raises `UnableToValidate` when the app has not what it takes, `ProviderUnavailable` and
        `UnknownAuthenticationError` when the provider does not say.
        """
        settings = claimed.settings
        expected = settings.dev_tokens.get(type_, {}).get(claimed.external_id)
        if expected is not None and hmac.compare_digest(expected.encode(), claimed.token.encode()):
            return Vouched()
        provider = PROVIDERS.get(type_)
        if provider is not None and provider.has(settings) is not None:
            return await provider.check(claimed, self._outside)
        if type_ in settings.dev_tokens:
            return None
        raise UnableToValidate(f"this app is not connected to a service that vouches for {type_} identities")

    async def vouch_external(self, claimed: Claimed, login: OpenIdLogin | DiscordLogin) -> Vouched | None:
        """Tell the same of an external login that a known provider vouches for."""
        if isinstance(login, DiscordLogin):
            return await graph.discord(claimed, self._outside, login)
        return await tokens.open_id(claimed, self._outside, login)

    async def read_token(self, claimed: Claimed, issuer: Issuer) -> dict[str, Any] | None:
        """Return the claims of a token that an issuer has signed and that is good now; None of any other.

        Raises `ProviderUnavailable` or `UnknownAuthenticationError` when the issuer's keys cannot be had.
        """
        return await tokens.read(claimed, self._outside, issuer)

    async def read_signed(
        self, asker: Asker, issuer: Issuer, token: str, nonce: str, now_ms: int
    ) -> dict[str, Any] | None:
        """Do the same on behalf of somebody who is no app."""
        return await tokens.read_signed(asker, self._outside, issuer, token, nonce, now_ms)
