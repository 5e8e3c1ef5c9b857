"""The types of an app definition: every setting with its meaning, unit, limits and default.

The descriptions on the fields are what editors show and what the exported JSON Schema says, so they are
written for operators.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from msgspec import Meta, Struct, field
from msgspec.structs import fields

from gameserver.apps.fields import (
    END,
    AppId,
    AppSecret,
    Country,
    EnvironmentName,
    FileReference,
    Language,
    Name,
    Password,
    PlatformId,
    Version,
    WebAddress,
)
from gameserver.apps.login_types import LoginTypes, allows_type, unknown_types
from gameserver.apps.mail_addresses import is_mail_address
from gameserver.apps.networks import admits, network_mistakes
from gameserver.apps.references import Declares, Refers
from gameserver.apps.token_keys import TokenAlgorithm, unfit

S = TypeVar("S", bound=Struct)
DISCOVERY = "/.well-known/openid-configuration"

Mistake = tuple[str | tuple[str | int, ...], str]
"""Where, as a key or a path of keys below the settings that yield it, and what is wrong there."""


class Remark(NamedTuple):
    """What is wrong in a file beside the definition; the app is served without what stands there."""

    file: str
    """From the app's folder; empty when the definition itself is meant."""
    line: int
    message: str
    key: tuple[str | int, ...] = ()
    """Below the settings that yield it, in the definition."""


def file_inside(folder: Path, reference: str) -> Path:
    """Resolve a file that a definition names, relative to the app's folder.

    Raises ValueError with a sentence for the operator when it leaves the folder or is no file.
    """
    if not reference or "\0" in reference or "\\" in reference or Path(reference).is_absolute():
        raise ValueError('expected the path of a file in the app\'s folder, with "/" between folders')
    home = folder.resolve()
    path = (home / reference).resolve()
    if not path.is_relative_to(home):
        raise ValueError(f'"{reference}" leaves the app\'s folder')
    if not path.is_file():
        raise ValueError(f'there is no file "{reference}" in the app\'s folder')
    return path


def is_secret(kind: object) -> bool:
    """Tell whether a field's type is marked secret: its value never appears in messages or logs."""
    return any(isinstance(note, Meta) and (note.extra or {}).get("secret") for note in get_args(kind))


class Settings(Struct, forbid_unknown_fields=True):
    """Base of every table of an app definition, also of the tables that services declare."""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:  # noqa: ARG002 - for those who override it
        """Yield what the types alone cannot say, for instance two settings that exclude each other."""
        yield from ()

    def mistakes_beside(self, app: "App") -> Iterator[Mistake]:  # noqa: ARG002 - for sections that override it
        """Yield what does not fit other sections; asked of a section when each is right by itself."""
        yield from ()

    def read_beside(self, app: "App") -> Iterator[Remark]:  # noqa: ARG002 - for sections that override it
        """Read what belongs to the section and stands in other files of the app; called once, at loading."""
        yield from ()

    def claims(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what only one app of a server can have, such as a path: the key that says so, and what."""
        yield from ()

    def __repr__(self) -> str:
        """Show the settings without their secrets: definitions end up in logs and tracebacks."""
        values = ((f.name, getattr(self, f.name), is_secret(f.type)) for f in fields(self))
        shown = (f"{name}={'***' if secret and value else repr(value)}" for name, value, secret in values)
        return f"{type(self).__name__}({', '.join(shown)})"


class SessionSettings(Settings, kw_only=True):
    """How long sessions live and how many a player may have at once."""

    life_seconds: Annotated[
        int,
        Meta(ge=30, le=2_592_000, description="A session ends this many seconds after its last packet."),
    ] = 1200
    most: Annotated[int, Meta(ge=1, le=100, description="Sessions that one player may have at once.")] = 1
    when_full: Annotated[
        Literal["drop_oldest", "refuse_newest"],
        Meta(description="What a login beyond that number does: end the oldest session, or be refused."),
    ] = "drop_oldest"


def version_numbers(text: str) -> tuple[int, ...]:
    """Read a version for comparison: 1.10 is above 1.9, and 1.0 equals 1. Stops at anything but digits."""
    found = re.match(r"v?([0-9]{1,9}(?:\.[0-9]{1,9})*)", text.strip())
    numbers = [int(part) for part in found[1].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


class ClientSettings(Settings, kw_only=True):
    """Which builds of the game may log in, and limits that clients are told at login."""

    minimum_version: Annotated[
        Version, Meta(description="Oldest game version that may log in, such as 1.4.0. Absent: any.")
    ] = ""
    minimum_versions: Annotated[
        dict[PlatformId, Version],
        Meta(description="Oldest game version on particular platforms; it goes before minimum_version."),
    ] = {}
    upgrade_url: Annotated[
        WebAddress, Meta(description="Where players find the new version; part of the refusal.")
    ] = ""
    upgrade_urls: Annotated[
        dict[PlatformId, WebAddress], Meta(description="The same for particular platforms (stores).")
    ] = {}
    platforms: Annotated[
        list[PlatformId] | None,
        Meta(description="Platforms that may log in. UNKNOWN means clients that cannot tell. Absent: all."),
    ] = None
    compress_if_larger: Annotated[
        int,
        Meta(ge=0, le=1_048_576, description="Clients compress requests above this many bytes."),
    ] = 51_200
    max_bundle_messages: Annotated[
        int, Meta(ge=1, le=50, description="Most messages that clients put into one packet.")
    ] = 10
    max_kill_count: Annotated[
        int,
        Meta(ge=1, le=12, description="Clients stop making a call that was refused this often in a row."),
    ] = 11

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield platforms that appear twice in different spellings."""
        for key in ("minimum_versions", "upgrade_urls"):
            seen: dict[str, str] = {}
            for platform in getattr(self, key):
                first = seen.setdefault(platform.upper(), platform)
                if first != platform:
                    yield (key, platform), f'the same platform as "{first}"; case does not matter'
        yield from super().mistakes(folder)

    def platform_allowed(self, platform: str) -> bool:
        """Tell whether clients of this platform may log in; an empty text counts as UNKNOWN."""
        wanted = platform.upper() or "UNKNOWN"
        return self.platforms is None or any(wanted == allowed.upper() for allowed in self.platforms)

    def version_allowed(self, version: str, platform: str) -> bool:
        """Tell whether a game version is at least the minimum of its platform."""
        minimum = _of_platform(self.minimum_versions, platform, self.minimum_version)
        return not minimum or version_numbers(version) >= version_numbers(minimum)

    def upgrade_address(self, platform: str) -> str:
        """Name the address that players of a platform get the new version from; may be empty."""
        return _of_platform(self.upgrade_urls, platform, self.upgrade_url)


def _of_platform(values: dict[str, str], platform: str, otherwise: str) -> str:
    return next((value for key, value in values.items() if key.upper() == platform.upper()), otherwise)


class Redirect(Settings, kw_only=True):
    """Sends every client of this app to another server at login."""

    url: Annotated[
        WebAddress,
        Meta(description="Dispatcher of the other server, such as https://eu.example.com/dispatcherv2."),
    ]
    app_id: Annotated[AppId, Meta(description="Id of the app over there.")]


class Parent(Settings, kw_only=True):
    """The app above this one: its players' profiles are the credentials of the profiles here."""

    app: Annotated[AppId, Meta(description="Id of the parent app, which is one of this server.")]
    level: Annotated[
        Name,
        Meta(description="What clients call the parent; unlike the levels above it. Such as Master."),
    ]


class Peer(Settings, kw_only=True):
    """An app beside this one, in which players of this one may have a profile, too."""

    app: Annotated[AppId, Meta(description="Id of the peer app. It names this one among its peers, too.")]
    types: LoginTypes = None
    may_create: Annotated[
        bool, Meta(description="true lets an attachment make the profile there when there is none.")
    ] = False

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield login types that do not exist."""
        yield from unknown_types(self.types)
        yield from super().mistakes(folder)


class LoginSettings(Settings, kw_only=True):
    """Who may log in how, and how guessing passwords is slowed down."""

    enabled: Annotated[bool, Meta(description="false refuses logins; sessions that exist live on.")] = True
    types: LoginTypes = None
    failures_per_account: Annotated[
        int, Meta(ge=1, le=1000, description="Failed logins in the window that lock an account.")
    ] = 5
    failures_per_address: Annotated[
        int, Meta(ge=1, le=100_000, description="Failed logins in the window that lock a network address.")
    ] = 20
    window_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Time in which failed logins are counted.")
    ] = 60
    lock_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="How long a first lock lasts. Each further one within a day is twice as long, up to "
            "64 times.",
        ),
    ] = 60
    password_min_length: Annotated[
        int,
        Meta(ge=1, le=256, description="Fewest characters of a new password; the ones in use stay valid."),
    ] = 1
    refuse_common_passwords: Annotated[
        bool,
        Meta(
            description="true refuses new passwords that everybody's guesses begin with, such as password1."
        ),
    ] = False
    validated_email_only: Annotated[
        bool,
        Meta(description="true refuses logins of type Email until the player has followed the mailed link."),
    ] = False
    anonymous_id_alone: Annotated[
        bool,
        Meta(
            description="true lets an Anonymous login of a known id in without its profileId. Handy for "
            "trying things out by hand, not for production: whoever learns the id has the account."
        ),
    ] = False
    conceal_accounts: Annotated[
        bool,
        Meta(
            description="true answers a login of type Universal or Email to an account that does not exist "
            "like a wrong password, so that nobody learns which accounts exist. Clients that offer to make a "
            "new account then need a way of their own to ask."
        ),
    ] = False

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield login types that do not exist."""
        yield from unknown_types(self.types)
        yield from super().mistakes(folder)

    def allows(self, login_type: str) -> bool:
        """Tell whether a login type is allowed."""
        return allows_type(self.types, login_type)


class WebhookLogin(Settings, kw_only=True, tag_field="kind", tag="webhook"):
    """External login that a web service of the studio decides."""

    url: Annotated[WebAddress, Meta(description="Is asked, by POST, whether an id and its token are right.")]
    secret: Annotated[
        str,
        Meta(
            min_length=16,
            max_length=256,
            description="Signs our question. Or name an environment variable in secret_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    secret_env: EnvironmentName = ""
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=30, description="A service that is slower than this counts as a refusal.")
    ] = 5.0


class TokenLogin(Settings, kw_only=True, tag_field="kind", tag="token"):
    """External login with a signed token (JWT) that another system of the studio issued."""

    issuer: Annotated[str, Meta(min_length=1, max_length=512, description="Must be the token's iss.")]
    audience: Annotated[str, Meta(min_length=1, max_length=512, description="Must be in the token's aud.")]
    algorithm: Annotated[TokenAlgorithm, Meta(description="The one algorithm that is accepted.")]
    key: Annotated[
        str,
        Meta(
            max_length=16_384,
            description="Shared secret (HS algorithms) or public key as PEM. Or key_env, or key_file.",
            extra={"secret": "optional"},
        ),
    ] = ""
    key_env: EnvironmentName = ""
    key_file: Annotated[FileReference, Meta(description="File that holds the key.")] = ""
    claim: Annotated[Name, Meta(description="Claim with the player's id; must equal externalId.")] = "sub"
    leeway_seconds: Annotated[
        int, Meta(ge=0, le=600, description="How far the clocks of the two systems may be apart.")
    ] = 60

    def verification_key(self, folder: Path) -> str:
        """Return the key that verifies tokens; `folder` is the app's. Raises ValueError or OSError."""
        if self.key_file:
            return file_inside(folder, self.key_file).read_text("utf-8").strip()
        return self.key

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a key that is missing, given twice, weak, or of another kind than the algorithm needs."""
        if bool(self.key) == bool(self.key_file):
            yield "key", "expected exactly one of key, key_env and key_file"
            return
        where = "key_file" if self.key_file else "key_env" if self.key_env else "key"
        try:
            complaint = unfit(self.verification_key(folder), self.algorithm)
        except (OSError, ValueError) as error:
            complaint = f"the key cannot be read: {error}"
        if complaint:
            yield where, complaint


class IssuerSettings(Settings, kw_only=True):
    """Who signs tokens, and where the keys are that check them."""

    issuer: Annotated[WebAddress, Meta(description="Must be the token's iss, letter by letter.")]
    jwks_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s/?#]+[^\s]*)?" + END,
            max_length=2048,
            description="Where the issuer's keys are. Empty: its discovery document says so.",
            extra={"expected": "a web address that starts with https://"},
        ),
    ] = ""
    algorithm: Annotated[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
        Meta(description="The one algorithm that is accepted."),
    ] = "RS256"

    @property
    def keys_url(self) -> str:
        """Where the keys are, or the discovery document that says so."""
        return self.jwks_url or self.issuer.rstrip("/") + DISCOVERY

    def mistakes(self, folder: Path) -> Iterator[Mistake]:  # noqa: ARG002 - the base's signature
        """Yield an issuer that keys could be taken from by whoever is on the way."""
        if not self.jwks_url and not self.issuer.startswith("https://"):
            yield "issuer", "keys are fetched over https:// alone; or set jwks_url"


class OpenIdSettings(IssuerSettings, kw_only=True):
    """An issuer of OpenID id tokens, and which of them are taken."""

    audiences: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=512)]],
        Meta(min_length=1, max_length=100, description="One of them must be in the token's aud."),
    ]
    claim: Annotated[Name, Meta(description="Claim with the player's id; must equal externalId.")] = "sub"
    nonce_required: Annotated[
        bool, Meta(description="true refuses tokens without the nonce that the client sends in extraJson.")
    ] = False


class OpenIdLogin(OpenIdSettings, kw_only=True, tag_field="kind", tag="openid"):
    """External login with an id token of an OpenID provider, whose keys are fetched."""


class DiscordLogin(Settings, kw_only=True, tag_field="kind", tag="discord"):
    """External login with an access token that Discord made for an application."""

    application_id: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]{1,32}" + END,
            description="Number of the application, from Discord's portal for developers.",
            extra={"expected": "the number of the application"},
        ),
    ]


class ScriptLogin(Settings, kw_only=True, tag_field="kind", tag="script"):
    """External login that a script of the app decides."""

    script: Annotated[str, Meta(min_length=1, max_length=512, description="The script by its path.")]


ExternalLogin = WebhookLogin | TokenLogin | OpenIdLogin | DiscordLogin | ScriptLogin


class ServerKey(Settings, kw_only=True):
    """A server of the studio that may call this app without a player."""

    secret: Annotated[
        str,
        Meta(
            min_length=16,
            max_length=256,
            description="What the server proves itself with. Or name an environment variable in secret_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    secret_env: EnvironmentName = ""
    addresses: Annotated[
        list[str],
        Meta(description="Networks it may call from, such as 10.1.0.0/16 or 2001:db8::7. Empty: anywhere."),
    ] = []
    services: Annotated[
        list[Annotated[str, Refers("service or operation")]],
        Meta(
            description="What it may call: services such as lobby, operations such as playerState.READ. "
            "Empty: everything."
        ),
    ] = []

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield addresses that are no networks."""
        yield from network_mistakes("addresses", self.addresses)
        yield from super().mistakes(folder)

    def admits(self, address: str) -> bool:
        """Tell whether a call from this address is allowed."""
        return admits(self.addresses, address)


class SmtpSettings(Settings, kw_only=True):
    """The mail server that takes the app's mail."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+" + END)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="starttls (usual on port 587), tls from the first byte (port 465), or none."),
    ] = "starttls"
    user: Annotated[str, Meta(max_length=256, description="Absent: no login at the mail server.")] = ""
    password: Annotated[Password, Meta(description="Or name an environment variable in password_env.")] = ""
    password_env: EnvironmentName = ""
    ca_file: Annotated[
        FileReference,
        Meta(description="Certificates (PEM) to check the mail server against. Absent: the system's."),
    ] = ""
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=120, description="Longest wait for each answer of the mail server.")
    ] = 20.0

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield logins that would be incomplete or readable on the way."""
        if bool(self.user) != bool(self.password):
            yield "user", "user and password are given together or not at all"
        elif self.user and self.security == "none" and self.host not in ("localhost", "127.0.0.1", "::1"):
            yield "security", "a password does not travel unprotected: expected starttls or tls"
        yield from super().mistakes(folder)


class LinkSettings(Settings, kw_only=True):
    """The link in a mail that resets a password or proves an address."""

    minutes: Annotated[int, Meta(ge=1, le=10_080, description="How long the link works.")] = 60
    url: Annotated[
        WebAddress,
        Meta(description="Page of yours that gets the link's token. Absent: a page of this server."),
    ] = ""


class MailSettings(Settings, kw_only=True):
    """Mail to players. Without an SMTP server it is written into the outbox folder of the data folder."""

    from_address: Annotated[
        str, Meta(max_length=254, description="Sender of the mail, such as support@example.com.")
    ] = ""
    from_name: Annotated[
        str,
        Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*" + END, extra={"expected": "a name on one line"}),
    ] = ""
    smtp: Annotated[SmtpSettings | None, Meta(description="Absent: mail goes to the outbox folder.")] = None
    templates: Annotated[
        dict[Name, FileReference],
        Meta(
            description="Texts of mails by id; password_reset and email_validation replace those built in. "
            'The first line is "Subject: ...". Beside mail/reset.txt, mail/reset.html is the HTML part and '
            "mail/reset.fr.txt is French."
        ),
    ] = {}
    reset: Annotated[LinkSettings, Meta(description="The link that sets a new password.")] = field(
        default_factory=LinkSettings
    )
    validation: Annotated[LinkSettings, Meta(description="The link that proves an address.")] = field(
        default_factory=lambda: LinkSettings(minutes=1440)
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a sender that is none, and templates without a subject."""
        if self.from_address and not is_mail_address(self.from_address):
            yield "from_address", "expected a mail address such as support@example.com"
        if self.smtp and not self.from_address:
            yield "from_address", "missing: a mail server needs to know the sender"
        for template, reference in self.templates.items():
            try:
                with file_inside(folder, reference).open(encoding="utf-8") as file:
                    first = file.readline(1024)
            except (OSError, ValueError) as error:
                yield ("templates", template), f"cannot be read: {error}"
                continue
            if not re.match(r"subject:\s*\S", first, re.IGNORECASE):
                yield ("templates", template), f'the first line of {reference} must be "Subject: ..."'


class Definition(Settings, kw_only=True):
    """An app: one game, or one edition of it, with its own players."""

    id: AppId
    secret: AppSecret = ""
    secret_env: EnvironmentName = ""
    title: Annotated[str, Meta(max_length=128, description="For people. Absent: the folder's name.")] = ""
    signature: Annotated[
        Literal["required", "optional"],
        Meta(description="optional lets packets without a signature in: handy for curl, not for production."),
    ] = "required"
    enabled: Annotated[bool, Meta(description="false refuses every login to this app.")] = True
    disabled_reason: Annotated[
        dict[str, Any] | None, Meta(description="What clients of a disabled app are told.")
    ] = None
    default_language: Annotated[
        Language, Meta(description="Language of players whose client does not name one.")
    ] = "en"
    default_country: Annotated[
        Country, Meta(description="Country of players whose client does not name one.")
    ] = ""
    session: SessionSettings = field(default_factory=SessionSettings)
    clients: ClientSettings = field(default_factory=ClientSettings)
    redirect: Redirect | None = None
    parent: Parent | None = None
    peers: Annotated[dict[Name, Peer], Meta(description="Peer apps by the code that clients send.")] = {}
    login: LoginSettings = field(default_factory=LoginSettings)
    external: Annotated[
        dict[Name, ExternalLogin],
        Declares("external login"),
        Meta(description="External logins by the name that clients send as externalAuthName."),
    ] = {}
    servers: Annotated[
        dict[Name, ServerKey], Meta(description="Servers that may call without a player, by serverName.")
    ] = {}
    mail: MailSettings = field(default_factory=MailSettings)


class App(Definition, kw_only=True):
    """A loaded definition: the settings, where they came from, and the parts that services declared."""

    name: str
    path: Path
    sections: dict[type[Struct], Any] = {}
    has_hooks: bool = False  # on operations: which, the section knows that has set it at loading
    stepwise_seconds: float = 150.0  # that a packet may take which runs scripts; set likewise

    def section(self, kind: type[S]) -> S:
        """Return the part of the definition that a service declared with this type.

        Raises LookupError when the type was not among the sections at loading: a mistake of ours.
        """
        try:
            section: S = self.sections[kind]
        except KeyError:
            raise LookupError(f"{kind.__name__} is no declared section of app definitions") from None
        return section

    def file(self, reference: str) -> Path:
        """Resolve a file of the app. Raises ValueError when it leaves the app's folder or does not exist."""
        return file_inside(self.path, reference)
