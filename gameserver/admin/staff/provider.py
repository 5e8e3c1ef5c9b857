"""The studio's own provider of logins, which speaks OpenID Connect: how it is declared, and how it is asked.

Its answers are checked as those of platforms are that vouch for players: by the same code, with the same
cache of keys.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import structlog
from msgspec import Meta

from gameserver.admin.rights import EVERY_APP, ROLES, Grants, Right
from gameserver.apps import DISCOVERY, IssuerSettings, Settings
from gameserver.players.providers import (
    Issuer,
    Providers,
    ProviderSettings,
    ProviderUnavailable,
    UnknownAuthenticationError,
)

log = structlog.get_logger(__name__)

ASK_SECONDS_MAX = 10.0  # for all that is asked while somebody waits
FRESH_MS = 6 * 3_600_000  # then it is asked again where it answers
RETRY_MS = 1_000  # it is left alone for so long after it did not answer, however many want to sign on
STALE_MS = 3 * 24 * 3_600_000  # how long that serves while it is away
GROUPS_MAX = 10_000
CALLBACK = "/console/sign-on/callback"
S = TypeVar("S", bound=Settings)


class Away(Exception):
    """The provider does not answer, or not in a way that can be understood; the log says more."""


class NotTaken(Exception):
    """The provider does not vouch for whoever has come."""


class RoleOfGroup(Settings, kw_only=True):
    """What members of a group may do."""

    group: Annotated[str, Meta(min_length=1, max_length=512)]
    role: str
    app: Annotated[str, Meta(min_length=1, max_length=64)] = EVERY_APP
    also: tuple[Right, ...] = ()


class SignOnSettings(IssuerSettings, kw_only=True):
    """A provider of logins, what this server is to it, and which of its groups have which roles."""

    client_id: Annotated[str, Meta(min_length=1, max_length=512)]
    client_secret: Annotated[str, Meta(max_length=4096)] = ""
    client_secret_env: Annotated[str, Meta(max_length=256)] = ""
    client_secret_file: Annotated[str, Meta(max_length=1024)] = ""
    console_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$", max_length=512)]
    """Where browsers reach the console, without a path: https://console.studio.example"""
    label: Annotated[str, Meta(min_length=1, max_length=40)] = "the studio's account"
    scopes: list[Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,256}$")]] = msgspec.field(
        default_factory=lambda: ["openid", "profile", "email"]
    )
    groups_claim: Annotated[str, Meta(min_length=1, max_length=256)] = "groups"
    name_claim: Annotated[str, Meta(min_length=1, max_length=256)] = "preferred_username"
    session_hours: Annotated[int, Meta(ge=1, le=168)] = 12
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=10)] = 5.0
    stand_in: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]+)?$", max_length=256)] = ""
    """For tests: this server is asked in place of the provider."""
    roles: Annotated[list[RoleOfGroup], Meta(min_length=1, max_length=1000)]

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to; it has to know this very address."""
        return self.console_url.rstrip("/") + CALLBACK


def read_settings(path: Path) -> SignOnSettings:
    """Return what a file declares. Raises `ValueError` with a sentence that names the file."""
    try:
        settings = msgspec.toml.decode(path.read_bytes(), type=SignOnSettings)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    for name, mistake in settings.mistakes(path.parent):
        raise ValueError(f"{path}: {name}: {mistake}")
    if "openid" not in settings.scopes:
        raise ValueError(f'{path}: scopes: "openid" is one of them')
    for each in settings.roles:
        if each.role not in ROLES:
            raise ValueError(f"{path}: roles: a role is one of {', '.join(ROLES)}, and not {each.role!r}")
    given = (settings.client_secret, settings.client_secret_env, settings.client_secret_file)
    if sum(map(bool, given)) > 1:
        raise ValueError(f"{path}: give one of client_secret, client_secret_env and client_secret_file")
    if settings.client_secret_env:
        if not (secret := os.environ.get(settings.client_secret_env, "")):
            raise ValueError(f"{path}: the environment variable {settings.client_secret_env} is not set")
        settings.client_secret = secret
    elif settings.client_secret_file:
        file = path.parent / settings.client_secret_file
        try:
            settings.client_secret = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{path}: client_secret_file: {file} cannot be read") from None
    return settings


class SignOn:
    """The provider that the operator has declared, or none."""

    def __init__(self, settings: SignOnSettings | None) -> None:
        self.settings = settings
        self._known: dict[str, Any] = {}
        self._known_ms: int | None = None
        self._failed_ms: int | None = None
        if settings is not None and settings.stand_in:
            log.warning("provider_of_logins_is_not_asked", stand_in=settings.stand_in)
        self._sections = (
            None
            if settings is None
            else ProviderSettings(timeout_seconds=settings.timeout_seconds, stand_in=settings.stand_in)
        )

    def section(self, kind: type[S]) -> S:
        """Return how the provider is asked, as an app would say it."""
        assert isinstance(self._sections, kind), "only where there is a provider somebody is asked"
        return self._sections

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console over TLS."""
        return self.settings is not None and self.settings.console_url.startswith("https://")

    @property
    def label(self) -> str:
        """What the way in is called; empty when there is none."""
        return "" if self.settings is None else self.settings.label

    def _declared(self) -> SignOnSettings:
        if self.settings is None:
            raise Away("no provider is declared")
        return self.settings

    async def address(self, providers: Providers, secret: str, now_ms: int) -> str:
        """Return where a browser is sent to log in; `secret` stays with it. Raises `Away`."""
        settings = self._declared()
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                known = await self._discovered(providers, now_ms)
        except TimeoutError:
            raise Away("it is slow") from None
        verifier = derived(secret, "verifier")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": settings.redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": derived(secret, "state"),
            "nonce": derived(secret, "nonce"),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = str(known["authorization_endpoint"])
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    async def claims(self, providers: Providers, secret: str, code: str, now_ms: int) -> dict[str, Any]:
        """Return what the provider says of whoever came back with a code. Raises `Away` and `NotTaken`."""
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                return await self._claims(providers, secret, code, now_ms)
        except TimeoutError:
            raise Away("it is slow") from None
        except (ProviderUnavailable, UnknownAuthenticationError) as error:
            raise Away(str(error)) from None

    async def _claims(self, providers: Providers, secret: str, code: str, now_ms: int) -> dict[str, Any]:
        settings = self._declared()
        known = await self._discovered(providers, now_ms)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_uri,
            "code_verifier": derived(secret, "verifier"),
        }
        headers = {}
        methods = known.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if settings.client_secret and "client_secret_basic" in methods:
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret:
                form["client_secret"] = settings.client_secret
        status, answer = await providers.web.ask_json(
            self, known["token_endpoint"], form=form, headers=headers
        )
        id_token = answer.get("id_token")
        if status != HTTPStatus.OK or not isinstance(id_token, str):
            log.warning("sign_on_not_taken", status=status, error=str(answer.get("error"))[:80])
            if answer.get("error") == "invalid_grant":
                raise NotTaken("the code is none of this provider's, or was used already")
            raise Away(f"status {status}")
        claims = await self._vouched(providers, id_token, derived(secret, "nonce"), now_ms)
        if _at(claims, settings.groups_claim) is None or _at(claims, settings.name_claim) is None:
            told = await self._told(providers, known, answer.get("access_token"))
            if told.get("sub") == claims["sub"]:
                claims = {**told, **claims}
        return claims

    async def _vouched(self, providers: Providers, id_token: str, nonce: str, now_ms: int) -> dict[str, Any]:
        settings = self._declared()
        names = {settings.issuer, settings.issuer.rstrip("/"), settings.issuer.rstrip("/") + "/"}
        issuer = Issuer(
            tuple(sorted(names)),
            (settings.client_id,),
            settings.keys_url,
            settings.algorithm,
            nonce_required=True,
        )
        claims = await providers.read_signed(self, issuer, id_token, nonce, now_ms)
        if claims is None:
            log.warning("sign_on_not_taken", error="the id token is none that this server takes")
            raise NotTaken("the id token is none that this server takes")
        subject, party = claims.get("sub"), claims.get("azp", settings.client_id)
        if not isinstance(subject, str) or not subject or party != settings.client_id:
            log.warning("sign_on_not_taken", error="the id token is for somebody else, or names nobody")
            raise NotTaken("the id token is for somebody else, or names nobody")
        return claims

    async def _told(self, providers: Providers, known: Mapping[str, Any], token: Any) -> dict[str, Any]:
        """Return what the provider tells beside the token; some tell groups only there."""
        url = known.get("userinfo_endpoint")
        if not isinstance(token, str) or not isinstance(url, str) or not url.startswith("https://"):
            return {}
        status, told = await providers.web.ask_json(self, url, headers={"Authorization": f"Bearer {token}"})
        return told if status == HTTPStatus.OK else {}

    async def _discovered(self, providers: Providers, now_ms: int) -> dict[str, Any]:
        settings = self._declared()
        age = None if self._known_ms is None else now_ms - self._known_ms
        if age is not None and age < FRESH_MS:
            return self._known
        is_stale = age is not None and age < STALE_MS
        if self._failed_ms is not None and now_ms - self._failed_ms < RETRY_MS:
            if is_stale:
                return self._known
            raise Away("it did not answer a moment ago")
        try:
            url = settings.issuer.rstrip("/") + DISCOVERY
            status, found = await providers.web.ask_json(self, url)
            self._check(status, found)
        except (ProviderUnavailable, UnknownAuthenticationError, Away) as error:
            self._failed_ms = now_ms
            if is_stale:
                return self._known
            raise Away(str(error)) from None
        self._known, self._known_ms, self._failed_ms = found, now_ms, None
        return found

    def _check(self, status: int, found: Mapping[str, Any]) -> None:
        """Raise `Away` for what is no description of this issuer."""
        wrong = [
            name
            for name in ("authorization_endpoint", "token_endpoint")
            if not isinstance(found.get(name), str) or not found[name].startswith("https://")
        ]
        if status == HTTPStatus.OK and str(found.get("issuer")).rstrip("/") != self._declared().issuer.rstrip(
            "/"
        ):
            wrong.append("issuer")
        if status != HTTPStatus.OK or wrong:
            log.warning("sign_on_unclear", status=status, wrong=wrong)
            raise Away("its description is none of this issuer")

    # What the provider says

    def grants(self, claims: Mapping[str, Any]) -> Grants:
        """Return what somebody may do: for each app the role of the first line with one of their groups."""
        settings = self._declared()
        groups = set(_texts(_at(claims, settings.groups_claim)))
        roles: dict[str, str] = {}
        also: dict[Right, None] = {}
        for each in settings.roles:
            if each.group in groups:
                roles.setdefault(each.app, each.role)
                also |= dict.fromkeys(each.also)
        return Grants(roles, tuple(also))

    def name(self, claims: Mapping[str, Any]) -> str:
        """Return what somebody is called in the console."""
        for claim in (self._declared().name_claim, "email", "sub"):
            text = _at(claims, claim)
            if isinstance(text, str) and text.strip():
                printable = "".join(letter if letter.isprintable() else " " for letter in text)
                return printable.replace("/", "-").strip()[:64].strip() or str(claims["sub"])[:64]
        return str(claims["sub"])[:64]

    def subject(self, claims: Mapping[str, Any]) -> str:
        """Return what is kept of who somebody is to the provider."""
        text = f"{self._declared().issuer.rstrip('/')}\n{claims['sub']}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def derived(secret: str, use: str) -> str:
    """Return what is made of a browser's secret for one use; from it nobody learns the others."""
    return hashlib.sha256(f"{use} {secret}".encode("utf-8", "surrogatepass")).hexdigest()


def _at(claims: Mapping[str, Any], claim: str) -> Any:
    """Return a claim by its name, or by the names that lead into it, with dots between."""
    if claim in claims:
        return claims[claim]
    found: Any = claims
    for part in claim.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _texts(value: Any) -> Iterable[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values[:GROUPS_MAX] if isinstance(each, str)]
