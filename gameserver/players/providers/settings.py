"""The part of `app.toml` that names the platforms which vouch for players."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Meta, field

from gameserver.apps import Mistake, OpenIdSettings, Settings, file_inside
from gameserver.apps.fields import EnvironmentName, FileReference, WebAddress
from gameserver.players.proofs import PROOFS, Proof
from gameserver.players.providers.transfers import read_transfers

SECTION = "providers"
SAMPLE = """\
# Platforms that vouch for players; a login type works once its table is here. Where the values are found:
# docs/platform-logins.md. Every secret may stand in an environment variable instead.
[providers]
# A platform that is slower counts as away.
#timeout_seconds = 5.0
# Test accounts: tokens by login type and id, taken without asking the platform. Never in production.
#dev_tokens = { Steam = { "76561190000000001" = "a-token-for-tests" } }
# Asks this server in place of every platform, which a stand-in for tests is. Never in production.
#stand_in = "http://127.0.0.1:9999"

# Sign in with Apple: bundle ids of native apps, Services IDs of web and Android.
#[providers.apple]
#audiences = ["com.example.game"]
#nonce_required = false
# After a move to another team: "transfer identifier,id in the former team", a line for each player.
# transfers_file = "apple-transfers.csv"

# Types Google and GoogleOpenId. Id tokens need audiences alone. Server auth codes need the web client's id
# and secret, and those of Play Games the number of the game.
#[providers.google]
#audiences = ["1234-abcd.apps.googleusercontent.com"]
#client_id = "1234-abcd.apps.googleusercontent.com"
#client_secret = "the web client's secret"
# client_secret_env = "GOOGLE_SECRET"
#play_games_app = "1234567890"

# Types Facebook and FacebookLimited; both lead to the same player.
#[providers.facebook]
#app_id = "1234567890"
#app_secret = "the app's secret"
# app_secret_env = "FACEBOOK_SECRET"

#[providers.steam]
#app_id = 480
#publisher_key = "the publisher's Web API key"
# publisher_key_env = "STEAM_KEY"
# What the game passes to GetAuthTicketForWebApi: a ticket for another service is refused then.
#identity = "gameserver"
#owners_only = false
#refuse_vac_banned = false

# authorities_file: certificates to check Apple's with, when they are not those built in.
#[providers.game_center]
#bundle_ids = ["com.example.game"]
#max_age_seconds = 300
# authorities_file = "keys/gamecenter.pem"

# Meta Quest, formerly Oculus.
#[providers.oculus]
#app_id = "1234567890"
#app_secret = "the app's secret"
# app_secret_env = "META_SECRET"

#[providers.twitter]
#consumer_key = "the app's API key"
#consumer_secret = "the app's API secret"
# consumer_secret_env = "TWITTER_SECRET"

#[providers.parse]
#url = "https://parse.example.com/parse"
#application_id = "the app's id"
#rest_key = ""
# rest_key_env = "PARSE_KEY"

# PlayStation Network: client id and secret of the game's server, from PlayStation Partners. Environments for
# tests have token addresses of their own.
#[providers.playstation]
#client_id = "the server's client id"
#client_secret = "the server's client secret"
# client_secret_env = "PLAYSTATION_SECRET"
#redirect_uri = "orbis://games"
#token_url = "https://auth.api.sonyentertainmentnetwork.com/2.0/oauth/token"

#[providers.playstation5]
#client_id = "the server's client id"
#client_secret = "the server's client secret"
# client_secret_env = "PLAYSTATION5_SECRET"

# Xbox: the relying party of your web services in Partner Center, and the private key (PEM) of its
# certificate.
# [providers.xbox]
# relying_party = "rp://game.example.com/"
# key_file = "keys/xbox.pem"
# sandbox = "RETAIL"
# claim = "ptx"

# Nintendo and Ultra: id tokens, as their portals for developers describe them to you.
#[providers.nintendo]
#issuer = "https://id.nintendo.example.com"
#audiences = ["0100000000001000"]
#jwks_url = "https://id.nintendo.example.com/certificates"

#[providers.ultra]
#issuer = "https://id.ultra.example.com"
#audiences = ["the client's id"]
#jwks_url = "https://id.ultra.example.com/certs"
#claim = "preferred_username"
"""

Text = Annotated[str, Meta(min_length=1, max_length=512, description="As the platform's console shows it.")]
Secret = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description="Or name an environment variable in the setting with _env at its end.",
        extra={"secret": "required"},
    ),
]
Number = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,32}$(?!\n)",
        description="Number of the app, from the platform's console.",
        extra={"expected": "the number of the app"},
    ),
]
Audiences = Annotated[
    list[Text], Meta(min_length=1, max_length=100, description="The token is for one of them.")
]


class Apple(Settings, kw_only=True):
    """Sign in with Apple."""

    audiences: Audiences
    nonce_required: Annotated[
        bool, Meta(description="true refuses tokens without the nonce that the client sends in extraJson.")
    ] = False
    transfers_file: Annotated[
        FileReference,
        Meta(description="Former ids of players by transfer identifier (CSV), after a move to another team."),
    ] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield lines that say nothing."""
        if self.transfers_file:
            try:
                read_transfers(file_inside(folder, self.transfers_file))
            except (OSError, ValueError) as error:
                yield "transfers_file", str(error)


class Google(Settings, kw_only=True):
    """Google accounts and Play Games."""

    audiences: Annotated[
        list[Text], Meta(max_length=100, description="OAuth client ids whose id tokens are taken.")
    ] = field(default_factory=list)
    client_id: Annotated[str, Meta(max_length=512, description="Web client that exchanges auth codes.")] = ""
    client_secret: Annotated[
        str, Meta(max_length=1024, description="Of the client above.", extra={"secret": "optional"})
    ] = ""
    client_secret_env: EnvironmentName = ""
    redirect_uri: Annotated[
        str,
        Meta(max_length=2048, description="Of the web client, when it has one; codes of Android have none."),
    ] = ""
    play_games_app: Annotated[
        str, Meta(pattern=r"^[0-9]*$(?!\n)", max_length=32, description="Number of the game in Play Games.")
    ] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:  # noqa: ARG002 - the base's signature
        """Yield half a client, and a table that could verify nothing."""
        if bool(self.client_id) != bool(self.client_secret):
            yield "client_id", "client_id and client_secret go together"
        if not self.audiences and not self.client_id:
            yield "audiences", "expected audiences, client_id with client_secret, or both"


class Facebook(Settings, kw_only=True):
    """Facebook, also as Limited Login."""

    app_id: Number
    app_secret: Secret = ""
    app_secret_env: EnvironmentName = ""
    nonce_required: Annotated[
        bool, Meta(description="true refuses limited tokens without the nonce that the client sends.")
    ] = False


class Steam(Settings, kw_only=True):
    """Steam."""

    app_id: Annotated[int, Meta(ge=1, le=0xFFFFFFFF, description="Number of the game on Steam.")]
    publisher_key: Secret = ""
    publisher_key_env: EnvironmentName = ""
    identity: Annotated[
        str, Meta(max_length=128, description="For whom the ticket was made; empty: not checked.")
    ] = ""
    owners_only: Annotated[bool, Meta(description="true refuses games borrowed from a family member.")] = (
        False
    )
    refuse_vac_banned: Annotated[bool, Meta(description="true refuses players whom VAC has banned.")] = False


class GameCenter(Settings, kw_only=True):
    """Game Center."""

    bundle_ids: Annotated[
        list[Text], Meta(min_length=1, max_length=100, description="Bundle ids of the game.")
    ]
    max_age_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="A signature that is older is refused.")
    ] = 300
    authorities_file: Annotated[
        FileReference, Meta(description="Certificates (PEM) that vouch for Apple's signing certificate.")
    ] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a file that holds no certificates."""
        if self.authorities_file:
            try:
                x509.load_pem_x509_certificates(file_inside(folder, self.authorities_file).read_bytes())
            except (OSError, ValueError) as error:
                yield "authorities_file", f"no certificates: {error}"


class Oculus(Settings, kw_only=True):
    """Meta Quest."""

    app_id: Number
    app_secret: Secret = ""
    app_secret_env: EnvironmentName = ""


class Twitter(Settings, kw_only=True):
    """X, formerly Twitter."""

    consumer_key: Text
    consumer_secret: Secret = ""
    consumer_secret_env: EnvironmentName = ""


class Parse(Settings, kw_only=True):
    """A Parse Server."""

    url: Annotated[WebAddress, Meta(description="Where the server is, with its mount path.")]
    application_id: Text
    rest_key: Annotated[
        str, Meta(max_length=1024, description="If the server wants one.", extra={"secret": "optional"})
    ] = ""
    rest_key_env: EnvironmentName = ""


class PlayStation(Settings, kw_only=True):
    """PlayStation Network."""

    client_id: Text
    client_secret: Secret = ""
    client_secret_env: EnvironmentName = ""
    redirect_uri: Annotated[
        str, Meta(min_length=1, max_length=2048, description="With which the game has asked for the code.")
    ] = "orbis://games"
    token_url: Annotated[WebAddress, Meta(description="Where codes are exchanged.")] = (
        "https://auth.api.sonyentertainmentnetwork.com/2.0/oauth/token"  # noqa: S105 - an address
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:  # noqa: ARG002 - the base's signature
        """Yield an address that would be told the secret without encryption."""
        if not self.token_url.startswith("https://"):
            yield "token_url", "expected an address that starts with https://: the secret is sent there"


class Xbox(Settings, kw_only=True):
    """Xbox network."""

    relying_party: Annotated[
        str, Meta(min_length=1, max_length=512, description="For which the tokens are, from Partner Center.")
    ]
    key_file: Annotated[
        FileReference,
        Meta(description="Private key (PEM) of the relying party's certificate; a second one may follow."),
    ]
    sandbox: Annotated[str, Meta(min_length=1, max_length=64, description="Where the players play.")] = (
        "RETAIL"
    )
    claim: Annotated[
        str, Meta(min_length=1, max_length=64, description="Claim of a user that is the player's id.")
    ] = "ptx"

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a file that holds no private keys."""
        try:
            read_private_keys(file_inside(folder, self.key_file).read_bytes())
        except (OSError, ValueError, TypeError) as error:
            yield "key_file", f"no private keys: {error}"


def read_private_keys(text: bytes) -> tuple[rsa.RSAPrivateKey, ...]:
    """Return the RSA keys in a PEM file: the one in use, and the one before. Raises `ValueError`."""
    found = [load_pem_private_key(block[0], None) for block in _PRIVATE_KEY.finditer(text)]
    keys = [key for key in found if isinstance(key, rsa.RSAPrivateKey)]
    if not keys or len(keys) != len(found):
        raise ValueError("expected RSA private keys without a password")
    return tuple(keys[:KEYS_MAX])


KEYS_MAX = 2  # while a certificate is being replaced, tokens for either are about
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^-]*-----END \1-----")

DevToken = Annotated[str, Meta(min_length=8, max_length=256)]


class ProviderSettings(Settings, kw_only=True):
    """Platforms that vouch for players, each by the proof that it documents."""

    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=30, description="A platform that is slower than this counts as away.")
    ] = 5.0
    stand_in: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/?#]+)?$(?!\n)",
            max_length=256,
            description="For tests: this server is asked in place of every platform.",
            extra={"expected": "the origin of a server, such as http://127.0.0.1:9999"},
        ),
    ] = ""
    dev_tokens: Annotated[
        dict[str, Annotated[dict[str, DevToken], Meta(max_length=1000)]],
        Meta(description="For tests: tokens by login type and id, taken without asking the platform."),
    ] = field(default_factory=dict)
    apple: Apple | None = None
    google: Google | None = None
    facebook: Facebook | None = None
    steam: Steam | None = None
    game_center: GameCenter | None = None
    oculus: Oculus | None = None
    twitter: Twitter | None = None
    parse: Parse | None = None
    playstation: PlayStation | None = None
    playstation5: PlayStation | None = None
    xbox: Xbox | None = None
    nintendo: OpenIdSettings | None = None
    ultra: OpenIdSettings | None = None

    def mistakes(self, folder: Path) -> Iterator[Mistake]:  # noqa: ARG002 - the base's signature
        """Yield test accounts of types that no platform vouches for."""
        for name in self.dev_tokens:
            if PROOFS.get(name) is not Proof.THIRD_PARTY:
                known = ", ".join(sorted(n for n, proof in PROOFS.items() if proof is Proof.THIRD_PARTY))
                yield ("dev_tokens", name), f"expected a login type that a platform vouches for: {known}"
