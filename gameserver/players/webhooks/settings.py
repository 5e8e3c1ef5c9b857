"""The part of `app.toml` about webhooks, those that come in and those that go out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from gameserver.apps import Declares, Mistake, Refers, Settings
from gameserver.apps.fields import END, EnvironmentName, Name, WebAddress
from gameserver.apps.headers import HeaderName, HeaderValue, SecretHeader
from gameserver.apps.networks import network_mistakes
from gameserver.players.webhooks import signing
from gameserver.players.webhooks.events import fits

SECTION = "webhooks"
IN_URL: Final = "url"
IN_HEADER: Final = "header"
SECRET_MIN = 8  # characters, of a webhook that comes in
KEEP_DAYS_LEAST = 4  # more than a delivery is tried for
SAMPLE = """\
# Addresses of yours that others call, /webhook/<app id>/<name>, and the script that answers. The secret
# stands behind the name ("url") or in the header x-bc-secret ("header"); without one, everybody may call.
#[webhooks.incoming.photon]
#script = "hooks/Photon"
#secret = "replace-this-by-a-long-secret"
#secret_in = "url"
#addresses = ["203.0.113.0/24"]
#calls_per_minute = 600

# Addresses that are told what happens: signed, repeated until they answer with 2xx. protocol/webhooks.md
# lists the events; "*" is all of them, "player.*" all that begin alike. Make a secret with
# echo whsec_$(openssl rand -base64 32); while you change it, former_secret_env signs as well.
#[webhooks]
#keep_days = 7
#[webhooks.outgoing.crm]
#url = "https://crm.example.com/game-events"
#secret_env = "CRM_WEBHOOK_SECRET"
#events = ["player.created", "player.deleted", "custom.*"]
#timeout_seconds = 10.0
#headers = { X-Game = "mine" }
#secret_headers = { Authorization = { value_env = "CRM_KEY" } }
#disable_after_days = 5
# Networks that are not public and may be called all the same, and an address that begins with http://.
#networks = ["10.1.0.0/16"]
#allow_http = false

# Events of your own, which scripts and servers send with webhook.SEND_EVENT.
#[webhooks.events."custom.boss_defeated"]
#description = "A player has defeated the boss for the first time."
"""


class Incoming(Settings, kw_only=True):
    """An address that others call, and the script that answers."""

    script: Annotated[str, Meta(min_length=1, max_length=512, description="The script by its path.")]
    secret: Annotated[
        str,
        Meta(
            max_length=256,
            description="What a caller proves itself with; empty: everybody may call. Or secret_env.",
            extra={"secret": "optional"},
        ),
    ] = ""
    secret_env: EnvironmentName = ""
    secret_in: Annotated[
        Literal["url", "header"],
        Meta(description="Where the secret stands: behind the name, or in x-bc-secret."),
    ] = IN_HEADER
    addresses: Annotated[
        list[str], Meta(description="Networks that may call, such as 203.0.113.0/24. Empty: anywhere.")
    ] = field(default_factory=list)
    calls_per_minute: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Calls that run a script, of all callers together.")
    ] = 600

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield addresses that are no networks, and secrets that are soon guessed."""
        yield from network_mistakes("addresses", self.addresses)
        if self.secret and len(self.secret) < SECRET_MIN:
            yield "secret", f"expected at least {SECRET_MIN} characters"
        yield from super().mistakes(folder)


class Target(Settings, kw_only=True):
    """An address that is told what happens."""

    url: Annotated[WebAddress, Meta(description="Where events are posted to.")]
    secret: Annotated[
        str,
        Meta(
            max_length=256,
            description="Signs what is sent: whsec_ and 24 to 64 random bytes in base64. Or secret_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    secret_env: EnvironmentName = ""
    former_secret: Annotated[
        str,
        Meta(
            max_length=256,
            description="Signs as well, while receivers change to a new secret. Or former_secret_env.",
            extra={"secret": "optional"},
        ),
    ] = ""
    former_secret_env: EnvironmentName = ""
    events: Annotated[
        list[Annotated[str, Refers("webhook event")]],
        Meta(min_length=1, description='Names of events; "player.*" for all that begin alike, "*" for all.'),
    ]
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=30, description="A target that takes longer has not answered.")
    ] = 10.0
    headers: Annotated[
        dict[HeaderName, HeaderValue], Meta(description="Headers of every call, beside those of a webhook.")
    ] = field(default_factory=dict)
    secret_headers: Annotated[
        dict[HeaderName, SecretHeader], Meta(description="The same, for values that nobody should know.")
    ] = field(default_factory=dict)
    networks: Annotated[
        list[str],
        Meta(description="Networks that are not public and may be called, such as 10.1.0.0/16 or ::1."),
    ] = field(default_factory=list)
    allow_http: Annotated[
        bool, Meta(description="true lets the address begin with http://, where anybody between can read.")
    ] = False
    disable_after_days: Annotated[
        int,
        Meta(ge=1, le=90, description="A target that has refused everything for so long is told no more."),
    ] = 5

    @property
    def secrets(self) -> list[str]:
        """The secrets that sign, the present one first."""
        return [secret for secret in (self.secret, self.former_secret) if secret]

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield secrets that are none, networks that are none, and an address that others could read."""
        for name, secret in (("secret", self.secret), ("former_secret", self.former_secret)):
            try:
                if secret or name == "secret":
                    signing.key_of(secret)
            except ValueError as error:
                yield name, str(error)
        if "#" in self.url or "@" in self.url.split("://")[1].split("/")[0]:
            yield "url", "expected an address without # and credentials; secret_headers can hold these"
        if not self.allow_http and not self.url.startswith("https://"):
            yield "url", "expected an address that begins with https://, or allow_http = true"
        yield from network_mistakes("networks", self.networks)
        yield from super().mistakes(folder)


class CustomEvent(Settings, kw_only=True):
    """An event of the app's own, which its scripts and servers send."""

    description: Annotated[str, Meta(max_length=1000, description="When it happens, for people.")] = ""


TargetName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}" + END, extra={"expected": "a name of 1 to 64 letters, digits, - or _"}
    ),
]
CustomName = Annotated[
    str,
    Meta(
        pattern=r"^custom\.[a-z0-9_]{1,48}" + END,
        extra={"expected": "a name such as custom.boss_defeated: small letters, digits and _"},
    ),
]


class WebhookSettings(Settings, kw_only=True):
    """Webhooks by their names: those that come in, and those that go out."""

    incoming: Annotated[dict[Name, Incoming], Meta(description="Addresses that others call.")] = field(
        default_factory=dict
    )
    outgoing: Annotated[
        dict[TargetName, Target], Meta(description="Addresses that are told what happens.")
    ] = field(default_factory=dict)
    events: Annotated[
        dict[CustomName, CustomEvent],
        Declares("webhook event"),
        Meta(description="Events of the app's own, by names that begin with custom. and a dot."),
    ] = field(default_factory=dict)
    keep_days: Annotated[
        int, Meta(ge=KEEP_DAYS_LEAST, le=365, description="Days that deliveries are kept after their event.")
    ] = 7

    def targets(self, event: str) -> list[str]:
        """Return the names of the targets that want an event."""
        if not self.outgoing:
            return []
        return [
            name
            for name, target in self.outgoing.items()
            if any(fits(pattern, event) for pattern in target.events)
        ]
