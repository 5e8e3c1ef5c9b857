"""What both clients share: settings, logins, bundles. Neither knows here how bytes travel."""

import logging
import sys
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from gameserver_client.identity import Identity, IdentityStore, MemoryStore
from gameserver_client.protocol import AUTHENTICATE, LOGOUT, Call, Data, PacketCore, Session, Settings
from gameserver_client.service import R
from gameserver_client.services import OPEN_OPERATIONS, Services

log = logging.getLogger("gameserver_client")

OnEvent = Callable[[Data], object]
PLATFORMS = {"win32": "WINDOWS", "darwin": "MAC"}


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a login tells about the game build and the machine. `time_zone_hours` None: ask the machine."""

    game_version: str = "1.0.0"
    platform: str = PLATFORMS.get(sys.platform, "LINUX")
    language_code: str = "en"
    country_code: str = ""
    time_zone_hours: float | None = None


class ClientBase(Services[R]):
    """Logins and sign-out in terms of one call. `R` is what a call returns: data, or a future of it."""

    def __init__(
        self,
        url: str,
        app_id: str,
        secret: str,
        settings: Settings | None,
        device: Device | None,
        store: IdentityStore | None,
        on_event: OnEvent | None,
        lock: AbstractContextManager[object],
    ) -> None:
        self.url = dispatcher_url(url)
        self.device = device or Device()
        self._store: IdentityStore = store or MemoryStore()
        self._on_event = on_event
        self._app_id = app_id
        self._lock = lock  # held wherever the core is touched; asyncio needs none
        self._core = PacketCore(
            app_id,
            secret,
            settings=settings,
            identity=self._store.load(),
            open_operations=OPEN_OPERATIONS,
        )
        self._saved = self._core.identity

    @abstractmethod
    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> R:
        """Run one call."""

    # Who plays

    @property
    def session(self) -> Session | None:
        """The session calls travel under; None when nobody is signed in."""
        return self._core.session

    @property
    def stored_identity(self) -> Identity:
        """The ids kept for the next login."""
        return self._core.identity

    def authenticate_anonymous(self, anonymous_id: str = "", *, force_create: bool = True) -> R:
        """Sign in as this installation. Without an id the stored one is used, or a new one made and stored.

        A stored id that has no profile beside it is replaced: the server wants both of a player it knows.

        Raises what `store.save` raises: an id that could not be kept must not own a player.
        """
        if anonymous_id not in {"", self.stored_identity.anonymous_id}:
            self._keep(Identity(anonymous_id=anonymous_id))
        elif not self.stored_identity.profile_id:
            self._keep(Identity(anonymous_id=anonymous_id or str(uuid.uuid4())))
        return self.authenticate(
            "Anonymous",
            self._anonymous_id(),
            "",
            force_create=force_create,
            profile_id=self.stored_identity.profile_id,
        )

    def authenticate_universal(self, user_id: str, password: str, *, force_create: bool = True) -> R:
        """Sign in with a name and a password."""
        return self.authenticate("Universal", user_id, password, force_create=force_create)

    def authenticate_email(self, email: str, password: str, *, force_create: bool = True) -> R:
        """Sign in with an e-mail address and a password."""
        return self.authenticate("Email", email, password, force_create=force_create)

    def authenticate_external(
        self, user_id: str, token: str, external_auth_name: str, *, force_create: bool = True
    ) -> R:
        """Sign in with what another system vouches for; the app says which under `external_auth_name`."""
        return self.authenticate(
            "External", user_id, token, force_create=force_create, external_auth_name=external_auth_name
        )

    def authenticate_handoff(self, handoff_id: str, security_token: str) -> R:
        """Take over a session that another client or script prepared. Never creates a player."""
        return self.authenticate("Handoff", handoff_id, security_token, force_create=False)

    def authenticate_settop_handoff(self, handoff_code: str) -> R:
        """Take over a session by the short code shown on a screen. Never creates a player."""
        return self.authenticate("SettopHandoff", handoff_code, "", force_create=False)

    def reconnect(self) -> R:
        """Sign in again as the stored profile of this installation. Never creates a player."""
        return self.authenticate_anonymous(force_create=False)

    def authenticate(
        self,
        authentication_type: str,
        external_id: str,
        token: str,
        *,
        force_create: bool = True,
        profile_id: str = "",
        external_auth_name: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> R:
        """Sign in any way the server knows. A `profile_id` demands that the login is that profile's.

        A login goes ahead of queued calls, in a packet of its own; a refused one leaves an older session be.
        """
        data = {
            "gameId": self._app_id,
            "externalId": external_id,
            "authenticationToken": token,
            "authenticationType": authentication_type,
            "forceCreate": force_create,
            "profileId": profile_id,
            "anonymousId": self._anonymous_id(),
            "releasePlatform": self.device.platform,
            "gameVersion": self.device.game_version,
            "clientLib": "python",
            "clientLibVersion": library_version(),
            "timeZoneOffset": time_zone_hours(self.device),
            "languageCode": self.device.language_code,
            "compressResponses": True,
        }
        if self.device.country_code:
            data["countryCode"] = self.device.country_code
        if external_auth_name:
            data["externalAuthName"] = external_auth_name
        if extra is not None:
            data["extraJson"] = extra
        return self._invoke(*AUTHENTICATE, data)

    def logout(self, *, forget_user: bool = False) -> R:
        """End the session. `forget_user` drops the stored ids: the next anonymous login is a new player."""
        if forget_user:
            self._keep(Identity())
        return self._invoke(*LOGOUT, {})

    def reset_kill_switch(self) -> None:
        """Send again after a `KillSwitchError`."""
        with self._lock:
            self._core.reset_kill_switch()

    # For the two shells

    def _anonymous_id(self) -> str:
        if not self.stored_identity.anonymous_id:
            self._keep(replace(self.stored_identity, anonymous_id=str(uuid.uuid4())))
        return self.stored_identity.anonymous_id

    def _keep(self, identity: Identity) -> None:
        """Store before use: a crash between the two must not orphan a player."""
        with self._lock:
            self._store.save(identity)
            self._core.identity = self._saved = identity

    def _save_identity(self) -> None:
        """Store the ids if an answer changed them. A full disk is no reason to lose the answer."""
        if self._core.identity != self._saved:
            self._saved = self._core.identity
            try:
                self._store.save(self._saved)
            except Exception:
                log.exception("the identity could not be saved")

    def _hand_over(self, events: Sequence[Data]) -> None:
        """Call `on_event` for each; its mistakes are logged and stop nothing."""
        if self._on_event is None:
            return
        for event in events:
            try:
                self._on_event(event)
            except Exception:
                log.exception("on_event failed")


class Cancellable(Protocol):
    """What the futures of asyncio and of threads have in common."""

    def cancel(self) -> bool:
        """Take it back if it is not settled."""


F = TypeVar("F", bound=Cancellable)


class Bundle(Services[F], Generic[F]):
    """Calls that will travel in one packet, in order, when the `with` block ends well.

    They share a round trip, not a fate: each has its own answer, and one may be refused while others succeed.
    """

    def __init__(
        self, limit: int, new_future: Callable[[], F], submit: Callable[[list[Call], list[F]], None]
    ) -> None:
        self._limit = limit
        self._new_future = new_future
        self._submit = submit
        self._calls: list[Call] = []
        self._futures: list[F] = []

    def send(self, service: str, operation: str, data: Mapping[str, Any] | None = None) -> F:
        """Add a call. Raises ValueError for one more than the server takes in a packet, and for a login."""
        if len(self._calls) == self._limit:
            raise ValueError(f"the server takes {self._limit} calls in one packet")
        if (service, operation) == AUTHENTICATE:
            raise ValueError("AUTHENTICATE travels alone")
        self._calls.append(Call(service, operation, data or {}))
        self._futures.append(self._new_future())
        return self._futures[-1]

    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> F:
        return self.send(service, operation, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._submit(self._calls, self._futures)
        else:
            for future in self._futures:
                future.cancel()


def dispatcher_url(url: str) -> str:
    """Find the dispatcher of a server. Raises ValueError unless it is http(s) with a host."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address")
    path = parts.path.rstrip("/")
    if not path.endswith(("/dispatcher", "/dispatcherv2")):
        path += "/dispatcherv2"
    return parts._replace(path=path, query="", fragment="").geturl()


def library_version() -> str:
    """Look up the package's version; `0` when it runs from a checkout without being installed."""
    try:
        return version("gameserver-client")
    except PackageNotFoundError:
        return "0"


def time_zone_hours(device: Device) -> float:
    """Hours east of UTC, as the device says or as the machine's clock is set now."""
    if device.time_zone_hours is not None:
        return device.time_zone_hours
    offset = datetime.now().astimezone().utcoffset()
    return offset.total_seconds() / 3600 if offset else 0.0
