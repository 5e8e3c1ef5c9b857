"""The public keys of token issuers: fetched when a key id is new, cached, bounded."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from gameserver.apps import DISCOVERY
from gameserver.players.providers.vouching import ProviderUnavailable, UnknownAuthenticationError
from gameserver.players.providers.web import Asker, Web, unclear, where

SETS_MAX = 256  # issuers of all apps
KEYS_MAX = 64  # of one issuer
REFRESH_MS = 60_000  # unknown key ids cause one fetch in this time, however many come
RETRY_MS = 1_000  # the same after a fetch that failed
FRESH_MS = 6 * 3_600_000  # then the keys are fetched again, to learn of those withdrawn
STALE_MS = 3 * 24 * 3_600_000  # how long they serve while the issuer is away
_RSA_BITS_MIN = 2048


@dataclass
class _KeySet:
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    ready: dict[tuple[str, str], jwt.PyJWK] = field(default_factory=dict)
    fetched_ms: int | None = None
    tried_ms: int | None = None
    failure: type[ProviderUnavailable | UnknownAuthenticationError] | None = None  # of the last fetch
    fetching: asyncio.Task[None] | None = None

    def wants_fetch(self, kid: str, now_ms: int) -> bool:
        if self.tried_ms is not None and now_ms - self.tried_ms < (RETRY_MS if self.failure else REFRESH_MS):
            return False
        return self.fetched_ms is None or kid not in self.keys or now_ms - self.fetched_ms >= FRESH_MS

    def is_usable(self, now_ms: int) -> bool:
        return self.fetched_ms is not None and now_ms - self.fetched_ms < STALE_MS


class KeySets:
    """The keys of every issuer that logins have named."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._sets: OrderedDict[str, _KeySet] = OrderedDict()

    async def close(self) -> None:
        """Stop fetching."""
        tasks = [known.fetching for known in self._sets.values() if known.fetching is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sets.clear()

    async def find(self, app: Asker, url: str, kid: str, algorithm: str, now_ms: int) -> jwt.PyJWK | None:
        """Return the key of an id, for an algorithm; None when the issuer has no such.

        `url` is that of the keys, or of a discovery document that names it. Raises `ProviderUnavailable` when
        the keys cannot be fetched and none are at hand, and `UnknownAuthenticationError` when what was
        fetched is no keys.
        """
        address = where(app, url)
        known = self._sets.get(address)
        if known is None:
            known = self._sets[address] = _KeySet()
            while len(self._sets) > SETS_MAX:
                _, dropped = self._sets.popitem(last=False)
                if dropped.fetching is not None:
                    dropped.fetching.cancel()
        self._sets.move_to_end(address)
        if known.fetching is not None or known.wants_fetch(kid, now_ms):
            if known.fetching is None:
                known.tried_ms = now_ms
                known.fetching = asyncio.create_task(self._fetch(app, url, known, now_ms))
            if kid not in known.keys:
                await asyncio.wait([known.fetching])  # one fetch for all who wait; it outlives each of them
        if not known.is_usable(now_ms):
            failure = known.failure or ProviderUnavailable
            raise failure("the keys of the player's token cannot be fetched now: try again later")
        return _ready(known, kid, algorithm)

    async def _fetch(self, app: Asker, url: str, known: _KeySet, now_ms: int) -> None:
        try:
            keys = await self._keys(app, url)
        except (ProviderUnavailable, UnknownAuthenticationError) as error:  # it is in the log
            known.failure = type(error)
        else:
            known.keys, known.fetched_ms, known.failure = keys, now_ms, None
            known.ready.clear()
        finally:
            known.fetching = None

    async def _keys(self, app: Asker, url: str) -> dict[str, dict[str, Any]]:
        if url.endswith(DISCOVERY):
            status, document = await self._web.ask_json(app, url)
            named = document.get("jwks_uri") if status == HTTPStatus.OK else None
            if not isinstance(named, str) or not named.startswith("https://"):
                raise unclear(httpx.URL(url).host, f"status {status}, and no address of keys")
            url = named
        status, document = await self._web.ask_json(app, url)
        keys = document.get("keys")
        if status != HTTPStatus.OK or not isinstance(keys, list):
            raise unclear(httpx.URL(url).host, f"status {status}, and no keys")
        usable = (key for key in keys if isinstance(key, dict) and key.get("use") in (None, "sig"))
        by_id = {kid: key for key in usable if isinstance(kid := key.get("kid"), str)}
        return dict(list(by_id.items())[:KEYS_MAX])


def _ready(known: _KeySet, kid: str, algorithm: str) -> jwt.PyJWK | None:
    """Return a key in its usable form, made once. Keys that are for another algorithm are none."""
    found = known.ready.get((kid, algorithm))
    if found is None:
        key = known.keys.get(kid)
        if key is None or key.get("alg") not in (None, algorithm) or key.get("kty") == "oct":
            return None
        try:
            found = jwt.PyJWK(key, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            return None
        if isinstance(found.key, rsa.RSAPublicKey) and found.key.key_size < _RSA_BITS_MIN:
            return None
        known.ready[kid, algorithm] = found
    return found
