"""The table `[backendless]` of an app definition."""

import hmac
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from gameserver.apps import App, LiveApps, Settings
from gameserver.apps.definition import Mistake
from gameserver.apps.fields import EnvironmentName
from gameserver.players.accounts import EXTERNAL_ID_MAX
from gameserver.players.roles import ROLE_LENGTH_MAX
from gameserver.sessions import SESSIONS_PER_PLAYER_MAX, LoginLimit

PROPERTY_LENGTH = 500
AUTHENTICATED, NOT_AUTHENTICATED = "AuthenticatedUser", "NotAuthenticatedUser"
SERVER = "server"  # the kind of key that runs with the studio's authority

# Roles that come and go by themselves with what a request is; nobody gives them to a user.
SYSTEM_ROLES = frozenset(
    {
        AUTHENTICATED,
        NOT_AUTHENTICATED,
        "ASUser",
        "AndroidUser",
        "DotNetUser",
        "FacebookUser",
        "GooglePlusUser",
        "GuestUser",
        "IOSUser",
        "JSUser",
        "RestUser",
        "ServerCodeUser",
        "SocialUser",
        "TwitterUser",
    }
)
# What the server says of a user; a client that sends it back changes nothing.
SYSTEM_PROPERTIES = frozenset(
    {
        "___class",
        "___meta",
        "blUserLocale",
        "created",
        "lastLogin",
        "oAuthIdentities",
        "objectId",
        "ownerId",
        "roles",
        "socialAccount",
        "updated",
        "user-token",
        "userStatus",
    }
)

_END = r"$(?!\n)"
Id = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,128}" + _END,
        extra={"expected": "1 to 128 letters, digits, - or _: it is part of web addresses"},
    ),
]
Kind = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}" + _END, extra={"expected": "a kind of client such as js"})
]
VersionName = Annotated[str, Meta(min_length=1, max_length=64)]
PropertyName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}" + _END,
        extra={"expected": "a name of letters, digits and _ that starts with a letter"},
    ),
]
RoleName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9 _.-]{{0,{ROLE_LENGTH_MAX - 1}}}" + _END,
        extra={"expected": f"1 to {ROLE_LENGTH_MAX} letters, digits, spaces, _, . or -"},
    ),
]
Host = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?" + _END,
        extra={"expected": "a host name in lower case such as api.example.com, with a port if there is one"},
    ),
]


class Property(Settings, kw_only=True):
    """A property of users."""

    type: Literal["string", "integer", "number", "boolean", "object"] = "string"
    max_length: Annotated[
        int,
        Meta(ge=1, le=21_000, description="Most characters of text, or of an object written as JSON."),
    ] = PROPERTY_LENGTH
    required: Annotated[bool, Meta(description="true: whoever registers must give it.")] = False
    public: Annotated[bool, Meta(description="true: other logged-in users see it too.")] = False


class LoginPolicy(Settings, kw_only=True):
    """How users log in. Without this table nobody can."""

    multiple_logins: Annotated[
        Literal["newest_wins", "block_second", "up_to"],
        Meta(
            description="A login while the user is logged in elsewhere: newest_wins ends the older one, "
            "block_second refuses it (3002), up_to refuses those beyond `most` (3044)."
        ),
    ] = "newest_wins"
    most: Annotated[
        int,
        Meta(ge=1, le=SESSIONS_PER_PLAYER_MAX, description="Logins at once, where multiple_logins is up_to."),
    ] = 1
    life_seconds: Annotated[
        int, Meta(ge=30, le=2_592_000, description="A user-token ends this many seconds after its last use.")
    ] = 3600
    guests: Annotated[bool, Meta(description="false refuses logins without an account.")] = True

    @property
    def limit(self) -> LoginLimit:
        """The policy in the words of the session store."""
        if self.multiple_logins == "newest_wins":
            return LoginLimit()
        return LoginLimit(self.most if self.multiple_logins == "up_to" else 1, "refuse_newest")

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a number of logins that has no meaning."""
        if self.most > 1 and self.multiple_logins != "up_to":
            yield "most", f'has no meaning with multiple_logins = "{self.multiple_logins}"'
        yield from super().mistakes(folder)


class AppVersion(Settings, kw_only=True):
    """A version of the app: what its clients are built with. All versions share their users."""

    application_id: Annotated[Id, Meta(description="First part of the address, as given to initApp.")]
    keys: Annotated[
        dict[Kind, Id],
        Meta(description="API keys of clients, by kind: js, rest, android, ios ... Not secret."),
    ] = field(default_factory=dict)
    server_key: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{16,128}" + _END,
            description="API key of servers of the studio: may give roles, disable users, log in as a user. "
            "Or name an environment variable in server_key_env.",
            extra={"secret": "optional", "expected": "16 to 128 letters, digits, - or _"},
        ),
    ] = ""
    server_key_env: EnvironmentName = ""
    domains: Annotated[
        list[Host],
        Meta(description="Hosts under whose address /api this version is reached without id and key."),
    ] = field(default_factory=list)
    enabled: Annotated[bool, Meta(description="false refuses every request of this version.")] = True
    logins: Annotated[bool, Meta(description="false refuses logins; sessions that exist live on.")] = True

    def kind_of(self, key: str) -> str | None:
        """Return the kind of client that has this API key; None for a key of nobody."""
        found = None
        for kind, known in self._all_keys():
            if hmac.compare_digest(known.encode(), key.encode("utf-8", "surrogatepass")):
                found = kind
        return found

    def _all_keys(self) -> Iterator[tuple[str, str]]:
        yield from self.keys.items()
        if self.server_key:
            yield SERVER, self.server_key

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield keys that two kinds of clients share: nobody could tell them apart."""
        if SERVER in self.keys:
            yield ("keys", SERVER), "the key of servers is given as server_key"
        owner: dict[str, str] = {}
        for kind, key in self._all_keys():
            if owner.setdefault(key, kind) != kind:
                where = ("keys", kind) if kind != SERVER else "server_key"
                yield where, f'the same key as of "{owner[key]}"'
        if not owner and not self.domains:
            yield "keys", "missing: without a key or a domain nobody reaches this version"
        yield from super().mistakes(folder)


class BackendlessSettings(Settings, kw_only=True):
    """Users, logins and roles for clients that speak Backendless."""

    identity: Annotated[
        PropertyName,
        Meta(
            description="The property users log in with. email: the player's Email identity. Any other: "
            "their Universal identity."
        ),
    ] = "email"
    registration: Annotated[bool, Meta(description="false refuses registrations.")] = True
    restore_mail: Annotated[
        bool, Meta(description="false: no mail with a link for a new password is sent.")
    ] = True
    dynamic_properties: Annotated[
        bool,
        Meta(
            description=f"Keep undeclared properties too, up to {PROPERTY_LENGTH} characters; or drop them."
        ),
    ] = True
    roles: Annotated[list[RoleName], Meta(description="Roles that may be given to users.")] = field(
        default_factory=list
    )
    properties: Annotated[dict[PropertyName, Property], Meta(description="Properties of users.")] = field(
        default_factory=dict
    )
    login: LoginPolicy | None = None
    versions: Annotated[dict[VersionName, AppVersion], Meta(description="Versions of the app.")] = field(
        default_factory=dict
    )

    @property
    def identity_type(self) -> str:
        """The type of the identity that users log in with."""
        return "Email" if self.identity == "email" else "Universal"

    @property
    def identity_length(self) -> int:
        """Most characters of what users log in with."""
        declared = self.properties.get(self.identity)
        return declared.max_length if declared is not None else EXTERNAL_ID_MAX

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield names that mean something else, and versions that cannot be told apart."""
        if self.identity in ("id", "password", *SYSTEM_PROPERTIES):
            yield "identity", f'"{self.identity}" is no property to log in with'
        for name, declared in self.properties.items():
            if name in ("id", "password") or name in SYSTEM_PROPERTIES:
                yield ("properties", name), "the server has a property of this name"
            if name in (self.identity, "email") and not self._is_name(declared):
                yield ("properties", name), f"expected a string of at most {EXTERNAL_ID_MAX} characters"
        for index, role in enumerate(self.roles):
            if role in SYSTEM_ROLES:
                yield ("roles", index), f'"{role}" is given by the server'
        taken: dict[str, str] = {}
        for name, version in self.versions.items():
            for what in (version.application_id, *version.domains):
                if taken.setdefault(what, name) != name:
                    yield ("versions", name), f'"{what}" belongs to the version "{taken[what]}"'
        yield from super().mistakes(folder)

    @staticmethod
    def _is_name(declared: Property) -> bool:
        return declared.type == "string" and declared.max_length <= EXTERNAL_ID_MAX


def find_versions(
    apps: LiveApps, application_id: str
) -> Iterator[tuple[App, BackendlessSettings, AppVersion]]:
    """Yield the versions with an application id. Apps that were copied may share one; the key decides."""
    for app in apps:
        settings = app.section(BackendlessSettings)
        for version in settings.versions.values():
            if version.application_id == application_id:
                yield app, settings, version


def find_domain(apps: LiveApps, host: str) -> tuple[App, BackendlessSettings, AppVersion] | None:
    """Find the version that is reached under a host; None when there is none, or more than one."""
    found = [
        (app, settings, version)
        for app in apps
        for settings in (app.section(BackendlessSettings),)
        for version in settings.versions.values()
        if host.lower() in version.domains
    ]
    return found[0] if len(found) == 1 else None


def is_locale(value: Any) -> bool:
    """Tell whether a value is the language of a user as clients name it, such as en."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", value) is not None


SAMPLE = """
# For clients that speak Backendless, such as its JavaScript SDK: Backendless.initApp("sample", "js-key").
[backendless]
# The property users log in with. "email" is a login of type Email elsewhere; any other is of type Universal.
#identity = "email"
#registration = true
#restore_mail = true
# false drops properties that are not declared below.
#dynamic_properties = true
# Roles that may be given to users; see `gameserver player role add`.
#roles = ["Moderator"]

# Without this table nobody can log in.
#[backendless.login]
# A second login of a user: "newest_wins" ends the older one, "block_second" refuses it, "up_to" refuses
# those beyond `most`.
#multiple_logins = "newest_wins"
#most = 1
# A user-token ends this many seconds after its last use (30 to 2592000).
#life_seconds = 3600
#guests = true

#[backendless.versions.release]
#application_id = "sample"
#keys = { js = "js-key", rest = "rest-key" }
# Servers of yours; this key is a secret.
# server_key_env = "BACKENDLESS_SERVER_KEY"
# Hosts under which /api leads here without id and key.
#domains = ["api.example.com"]
#enabled = true
#logins = true

# Properties: "string", "integer", "number", "boolean" or "object".
#[backendless.properties.city]
#type = "string"
#max_length = 500
#required = false
# true: other users see it.
#public = false
"""
