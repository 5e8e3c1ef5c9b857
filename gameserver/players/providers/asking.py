"""What a check of a provider is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cryptography import x509

from gameserver.apps import App
from gameserver.players.providers.keys import KeySets
from gameserver.players.providers.settings import ProviderSettings
from gameserver.players.providers.vouching import Vouched
from gameserver.players.providers.web import Web


@dataclass(frozen=True, slots=True)
class Claimed:
    """An id and what is to prove it. `nonce`: as the client made it, for tokens that carry one."""

    app: App
    external_id: str
    token: str
    nonce: str
    now_ms: int

    @property
    def settings(self) -> ProviderSettings:
        """The app's providers."""
        return self.app.section(ProviderSettings)


@dataclass(frozen=True, slots=True)
class Outside:
    """Whom a check may ask."""

    web: Web
    keys: KeySets
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)  # by address


Check = Callable[[Claimed, Outside], Awaitable[Vouched | None]]
"""Tell whether an id and a token belong together; None when they do not.

Raises `ProviderUnavailable` or `UnknownAuthenticationError` when the provider does not say. It is called only
where the app has its settings.
"""
