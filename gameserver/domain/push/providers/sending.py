"""The providers together: who delivers to which device, who wants to be left alone, and whom to believe."""

import asyncio

from gameserver.apps import App
from gameserver.domain.push.providers import apns, fcm, web
from gameserver.domain.push.providers.base import Meaning, Notification, Outcome, Provider
from gameserver.domain.push.settings import ProviderSettings, PushSettings, authorities
from gameserver.wire.clock import Clock
from gameserver.wire.outgoing import Outgoing

APPLE = frozenset({"IOS", "MAC", "APPLE_TV_OS", "WATCH_OS", "VISION_OS"})
TRUSTED_MS = 60_000  # after which certificates are read again
ALARM_MS = 600_000  # between two lines of the log about the same trouble
NOBODYS = frozenset({"FB"})  # Facebook takes no notifications of apps any more


def provider_of(settings: PushSettings, kind: str, token: str) -> Provider:
    """Return who delivers to a device; NONE where the app has nobody for it."""
    if kind in NOBODYS:
        return Provider.NONE
    if token.startswith("{"):  # the subscription of a browser
        return Provider.WEB if settings.web is not None else Provider.NONE
    if kind in APPLE and settings.apns is not None:
        return Provider.APNS
    return Provider.FCM if settings.fcm is not None else Provider.NONE


class Providers:
    """Sends to providers. One for each process."""

    def __init__(self, outgoing: Outgoing, clock: Clock) -> None:
        self._outgoing, self._clock = outgoing, clock
        self._tokens, self._team_tokens = fcm.AccessTokens(outgoing), apns.TeamTokens()
        self._paused: dict[tuple[str, Provider], int] = {}
        self._tally: dict[tuple[str, str], list[int]] = {}
        self._alarmed: dict[tuple[str, Provider, str], int] = {}
        self._trusted: dict[tuple[str, str], tuple[int, str]] = {}  # until when, and what

    def paused_until(self, app: App, provider: Provider) -> int:
        """Return until when a provider wants to hear nothing of an app; 0 for no time."""
        return self._paused.get((app.id, provider), 0)

    def pause(self, app: App, provider: Provider, until_ms: int) -> None:
        """Note that a provider wants to be left alone."""
        self._paused[app.id, provider] = max(until_ms, self.paused_until(app, provider))

    def is_news(self, app: App, provider: Provider, reason: str) -> bool:
        """Tell whether an operator has not been told of some trouble for a while; from now on they have."""
        key, now_ms = (app.id, provider, reason), self._clock.ms()
        is_news = now_ms >= self._alarmed.get(key, 0)
        if is_news:
            self._alarmed[key] = now_ms + ALARM_MS
        return is_news

    async def send(self, provider: Provider, note: Notification) -> Outcome:
        """Send a notification to a device."""
        settings, now_ms = note.app.section(PushSettings), self._clock.ms()
        match provider:
            case Provider.FCM if settings.fcm is not None:
                trust = await self._trust(note.app, settings.fcm)
                return await fcm.send(self._outgoing, self._tokens, settings.fcm, trust, note, now_ms)
            case Provider.APNS if settings.apns is not None:
                trust = await self._trust(note.app, settings.apns)
                outcome = await apns.send(
                    self._outgoing, self._team_tokens, settings.apns, trust, note, now_ms
                )
                place = settings.apns.environment + settings.apns.topic_of(note.kind)
                return self._believed(note.app, place, outcome)
            case Provider.WEB if settings.web is not None:
                trust = await self._trust(note.app, settings.web)
                return await web.send(self._outgoing, settings.web, trust, note, now_ms)
        return Outcome(Meaning.REFUSED, "NotConfigured")

    def _believed(self, app: App, place: str, outcome: Outcome) -> Outcome:
        """Take a bad token for gone only while most tokens are good: else the settings are what is wrong."""
        tally = self._tally.setdefault((app.id, place), [0, 0])
        if outcome.meaning is Meaning.SENT:
            tally[0] += 1
        if outcome.meaning is not Meaning.BAD_TOKEN:
            return outcome
        tally[1] += 1
        good, bad = tally
        return outcome._replace(meaning=Meaning.GONE) if good > bad else outcome

    async def _trust(self, app: App, settings: ProviderSettings) -> str:
        """Return the certificates of those who vouch for a provider, as they were within a minute."""
        if not settings.authorities_file:
            return ""
        key, now_ms = (app.id, settings.authorities_file), self._clock.ms()
        until_ms, text = self._trusted.get(key, (0, ""))
        if now_ms >= until_ms:
            text = await asyncio.to_thread(authorities, app.path, settings.authorities_file)
            self._trusted[key] = now_ms + TRUSTED_MS, text
        return text
