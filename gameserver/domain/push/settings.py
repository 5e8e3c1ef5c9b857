"""What an app says of its push notifications: who delivers them, and its templates."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Meta, field

from gameserver.apps import Mistake, Settings, file_inside
from gameserver.apps.fields import END, EnvironmentName, FileReference, Language, PlatformId, WebAddress
from gameserver.apps.networks import network_mistakes
from gameserver.players.devices import DeviceSettings

KEY_BYTES = 32  # of the number that is a private key of the curve P-256
TEXT_MAX = 2000  # characters of a template's text
SAMPLE = """\
# Push notifications. A session that ends through one of these faces (dispatcher, s2s, backendless, sap,
# endpoints, oauth, pages, cli) takes the devices it registered along; logouts through others leave them.
[pushNotification]
#forget_at_logout = ["sap"]
# Days for which it is kept what became of notifications. refuse_unconfigured: refuse to send while nobody
# delivers for the app; else such notifications are kept as not sent.
#keep_days = 7
#refuse_unconfigured = false

# Firebase, for Android and whoever else has its tokens: the service account as its JSON file says.
#[pushNotification.fcm]
#service_account_env = "FCM_SERVICE_ACCOUNT"

# Apple: the key (.p8) of your team, and the bundle id of the game. Platforms with a bundle id of their own
# are listed in topics. environment = "sandbox" is for builds that Xcode has installed.
#[pushNotification.apns]
#team_id = "TEAM123456"
#key_id = "KEY1234567"
#key_env = "APNS_KEY"
#topic = "com.example.game"
#topics = { MAC = "com.example.game.mac" }
#environment = "production"

# Browsers: a VAPID key (32 bytes as base64url, or PEM), and how their makers reach you.
#[pushNotification.web]
#key_env = "VAPID_KEY"
#contact = "mailto:support@example.com"

# Templates by number. {0}, {1}, {name} stand for what the sender fills in; '{' is a brace. Players read their
# own language, or else that of the app.
#[pushNotification.templates.1]
#name = "gift"
#texts = { en = "{0} sent you a gift", fr = "{0} t'a envoyé un cadeau" }
#titles = { en = "A gift!" }
"""

Text = Annotated[
    str, Meta(pattern=r"\S", max_length=TEXT_MAX, extra={"expected": "a text that is not blank"})
]
TemplateNumber = Annotated[
    str, Meta(pattern=r"^(0|[1-9][0-9]{0,8})" + END, extra={"expected": "the number of a template"})
]
Authorities = Annotated[FileReference, Meta(description="Certificates (PEM) that vouch for the provider.")]


def authorities(folder: Path, reference: str) -> str:
    """Return the certificates in a file of the app; none without a file. Raises OSError or ValueError."""
    if not reference:
        return ""
    text = file_inside(folder, reference).read_text("ascii")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError("expected certificates in the PEM format")
    return text


class ProviderSettings(Settings, kw_only=True):
    """What settings of providers have in common."""

    authorities_file: Authorities = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a file that holds no certificates."""
        try:
            authorities(folder, self.authorities_file)
        except (OSError, ValueError) as error:
            yield "authorities_file", f"no certificates: {error}"
        yield from super().mistakes(folder)


class FcmSettings(ProviderSettings, kw_only=True):
    """Firebase Cloud Messaging, by its HTTP v1 API."""

    service_account: Annotated[
        str,
        Meta(
            min_length=2,
            max_length=16_384,
            description="The JSON file of a service account that may send. Or name an environment variable "
            "in service_account_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    service_account_env: EnvironmentName = ""
    url: Annotated[WebAddress, Meta(description="Where Firebase takes messages.")] = (
        "https://fcm.googleapis.com"
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a service account that is none."""
        try:
            key = _pem_key(self.account()["private_key"])
        except ValueError as error:
            yield "service_account", str(error)
        else:
            if not isinstance(key, rsa.RSAPrivateKey):
                yield "service_account", "its private_key is none with which Google's tokens are signed (RSA)"
        yield from super().mistakes(folder)

    def account(self) -> dict[str, str]:
        """Return the members of the service account that count. Raises ValueError, without its content."""
        try:
            told: Any = json.loads(self.service_account)
        except ValueError:
            raise ValueError("expected the JSON file of a service account") from None
        names = ("project_id", "client_email", "private_key")
        if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in names):
            raise ValueError(f"expected a service account with {', '.join(names)}")
        token_uri = told.get("token_uri")
        usual = "https://oauth2.googleapis.com/token"
        return {name: told[name] for name in names} | {
            "token_uri": token_uri if isinstance(token_uri, str) and token_uri else usual,
            "private_key_id": str(told.get("private_key_id", "")),
        }


class ApnsSettings(ProviderSettings, kw_only=True):
    """Apple Push Notification service, with a token key."""

    team_id: Annotated[str, Meta(min_length=1, max_length=32, description="The id of your team at Apple.")]
    key_id: Annotated[str, Meta(min_length=1, max_length=32, description="The id of the key.")]
    key: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="The key (.p8, PEM). Or name an environment variable in key_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    key_env: EnvironmentName = ""
    topic: Annotated[str, Meta(min_length=1, max_length=155, description="The bundle id of the game.")]
    topics: Annotated[
        dict[PlatformId, Annotated[str, Meta(min_length=1, max_length=155)]],
        Meta(description="Bundle ids of particular platforms, such as MAC or APPLE_TV_OS."),
    ] = field(default_factory=dict)
    environment: Annotated[
        Literal["production", "sandbox"],
        Meta(
            description="sandbox: for builds that are installed from Xcode; their tokens work nowhere else."
        ),
    ] = "production"
    url: Annotated[
        WebAddress,
        Meta(description="Where Apple takes notifications. Empty: as the environment says."),
    ] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a key that is none, and a platform that appears twice."""
        try:
            elliptic_key(self.key)
        except ValueError as error:
            yield "key", str(error)
        if len({platform.upper() for platform in self.topics}) < len(self.topics):
            yield "topics", "a platform appears twice in different spellings"
        yield from super().mistakes(folder)

    def topic_of(self, kind: str) -> str:
        """Return the bundle id for a platform, whose id comes in capitals."""
        return next((topic for name, topic in self.topics.items() if name.upper() == kind), self.topic)

    @property
    def address(self) -> str:
        """Where Apple takes notifications."""
        if self.url:
            return self.url.rstrip("/")
        return f"https://api{'.sandbox' if self.environment == 'sandbox' else ''}.push.apple.com"


class WebPushSettings(ProviderSettings, kw_only=True):
    """Browsers, by Web Push with VAPID."""

    key: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="The private VAPID key: 32 bytes as base64url, or PEM. Or name an environment "
            "variable in key_env. Pages subscribe with its public half.",
            extra={"secret": "required"},
        ),
    ] = ""
    key_env: EnvironmentName = ""
    contact: Annotated[
        str,
        Meta(
            pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)" + END,
            max_length=254,
            description="How makers of browsers reach you: mailto: or https:.",
            extra={"expected": "an address that begins with mailto: or https://"},
        ),
    ]
    networks: Annotated[
        list[str],
        Meta(description="Networks that are not public and may be reached, for a push service of your own."),
    ] = field(default_factory=list)

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a key that is none, and networks that are none."""
        try:
            elliptic_key(self.key)
        except ValueError as error:
            yield "key", str(error)
        yield from network_mistakes("networks", self.networks)
        yield from super().mistakes(folder)


class TemplateSettings(Settings, kw_only=True):
    """A notification whose texts the app declares."""

    name: Annotated[str, Meta(max_length=128, description="For people.")] = ""
    texts: Annotated[dict[Language, Text], Meta(description="What it says, by language.")]
    titles: Annotated[dict[Language, Text], Meta(description="Its title, by language.")] = field(
        default_factory=dict
    )


class PushSettings(DeviceSettings, kw_only=True):
    """Push notifications: the devices, who delivers, and templates."""

    keep_days: Annotated[
        int, Meta(ge=1, le=90, description="Days for which it is kept what became of notifications.")
    ] = 7
    refuse_unconfigured: Annotated[
        bool,
        Meta(
            description="Whether sending is refused while no provider is configured; else notifications are "
            "kept as not sent."
        ),
    ] = False
    fcm: Annotated[FcmSettings | None, Meta(description="Firebase. Absent: not used.")] = None
    apns: Annotated[ApnsSettings | None, Meta(description="Apple. Absent: not used.")] = None
    web: Annotated[WebPushSettings | None, Meta(description="Browsers. Absent: not used.")] = None
    templates: Annotated[
        dict[TemplateNumber, TemplateSettings], Meta(description="Templates by their number.")
    ] = field(default_factory=dict)

    def mistakes_beside(self, app: Any) -> Iterator[Mistake]:
        """Yield templates without a text in the app's own language, which whoever has another one reads."""
        for number, template in self.templates.items():
            if language_of(template.texts, app.default_language) is None:
                message = f"missing: a text in the app's default language {app.default_language!r}"
                yield ("templates", number, "texts"), message

    @property
    def is_configured(self) -> bool:
        """Whether anybody delivers."""
        return self.fcm is not None or self.apns is not None or self.web is not None


def elliptic_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key of the curve P-256: PEM, or 32 bytes as base64url. Raises ValueError without it."""
    key = _pem_key(text) if "-----BEGIN" in text else _bare_key(text.strip())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("expected a private key of the curve P-256")


def _pem_key(text: str) -> PrivateKeyTypes:
    """Read a private key of any kind. Raises ValueError, whose words tell nothing of the key."""
    try:
        return load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # none, one with a password, an unusual one
        raise ValueError("expected a private key (PEM) without a password") from None


def _bare_key(text: str) -> ec.EllipticCurvePrivateKey | None:
    """Read the number that is a key of the curve P-256, as base64url; None where it is none."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        number = int.from_bytes(raw, "big")
        return ec.derive_private_key(number, ec.SECP256R1()) if len(raw) == KEY_BYTES else None
    except ValueError:
        return None


def language_of(texts: dict[str, str], language: str) -> str | None:
    """Return which of some languages is the closest to one: fr-CA, fr; None for none."""
    folded = {name.lower().replace("_", "-"): name for name in texts}
    wanted = language.lower().replace("_", "-")
    while wanted:
        if wanted in folded:
            return folded[wanted]
        wanted = wanted.rpartition("-")[0]
    return None
