"""Stand-ins for the platforms that vouch for players: each speaks its wire format, with keys of its own."""

import asyncio
import base64
import hmac
import json
import re
import secrets
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Answer = tuple[int, Any]

TWITTER_ME = "api.twitter.com/1.1/account/verify_credentials.json"


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key, made once: making one takes long."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(name: str, kid: str) -> dict[str, Any]:
    """The public half of a key, as issuers publish it."""
    shown = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(name).public_key(), as_dict=True)
    return {**shown, "kid": kid, "alg": "RS256", "use": "sig"}


@dataclass
class Asked:
    """A request that a stand-in got. `values` are those of its query or form."""

    path: str
    values: dict[str, str]
    headers: dict[str, str]


@dataclass
class StandIn:
    """Answers for every platform, under the platform's host as the first part of the path."""

    url: str = ""
    weather: str = "fair"
    asked: list[Asked] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    routes: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, address: str, *kids: str, name: str = "right") -> None:
        """Publish keys at an address."""
        self.routes[address] = lambda _: (
            200,
            {"keys": [jwk(name if i == 0 else kid, kid) for i, kid in enumerate(kids)]},
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            target = urlsplit(head[0].split(" ")[1])
            values = dict(parse_qsl(target.query or body.decode(), keep_blank_values=True))
            self.asked.append(Asked(target.path[1:], values, headers))
            self.reached.set()
            status, answer = await self._answer(self.asked[-1])
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write(content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the server has had enough
        finally:
            writer.close()

    async def _answer(self, asked: Asked) -> Answer:
        match self.weather:
            case "garbage":
                return 200, b"<html>\xff"
            case "list":
                return 200, [[[]]]
            case "broken":
                return 500, {"error": "x"}
            case "huge":
                return 200, b"[" * (10 << 20)
            case "slow":
                await self.released.wait()
        route = self.routes.get(asked.path)
        return route(asked) if route else (404, {"error": "nobody"})


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """Serve a stand-in."""
    found = StandIn()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found
        found.released.set()


# Tokens


def claims(issuer: str, audience: str, id_: str, now_ms: int, **more: Any) -> dict[str, Any]:
    """What an id token says. Keys given as `...` are left out."""
    now = now_ms // 1000
    told = {"iss": issuer, "aud": audience, "sub": id_, "iat": now - 10, "exp": now + 600, **more}
    return {key: value for key, value in told.items() if value is not ...}


def signed(told: dict[str, Any], *, kid: str | None = "k1", name: str = "right", alg: str = "RS256") -> str:
    """An id token."""
    headers = {} if kid is None else {"kid": kid}
    if alg == "none":
        return jwt.encode(told, "", algorithm="none", headers=headers)
    if alg.startswith("HS"):  # with the public key as the secret, as attackers try
        secret = base64.urlsafe_b64encode(str(jwk(name, "x")["n"]).encode()).decode()
        return jwt.encode(told, secret, algorithm=alg, headers=headers)
    return jwt.encode(told, rsa_key(name), algorithm=alg, headers=headers)


@dataclass(frozen=True)
class TokenIssuer:
    """A platform that signs tokens: its part of the app, and what makes a token right."""

    type: str
    settings: str
    issuer: str
    audience: str
    keys: str
    claim: str = "sub"
    external: str = ""

    def token(self, id_: str, now_ms: int, **how: Any) -> str:
        """A token that is right, but for what `how` says."""
        sign = {key: how.pop(key) for key in ("kid", "name", "alg") if key in how}
        told = claims(self.issuer, self.audience, id_, now_ms, **{self.claim: id_, **how})
        return signed(told, **sign)


TOKEN_ISSUERS = [
    TokenIssuer(
        "Apple",
        '[providers.apple]\naudiences = ["com.example.web", "com.example.game"]\n',
        "https://appleid.apple.com",
        "com.example.game",
        "appleid.apple.com/auth/keys",
    ),
    TokenIssuer(
        "Google",
        '[providers.google]\naudiences = ["web", "game"]\n',
        "https://accounts.google.com",
        "game",
        "www.googleapis.com/oauth2/v3/certs",
    ),
    TokenIssuer(
        "GoogleOpenId",
        '[providers.google]\naudiences = ["web", "game"]\n',
        "accounts.google.com",
        "game",
        "www.googleapis.com/oauth2/v3/certs",
    ),
    TokenIssuer(
        "FacebookLimited",
        '[providers.facebook]\napp_id = "77"\napp_secret = "s3cret"\n',
        "https://www.facebook.com",
        "77",
        "limited.facebook.com/.well-known/oauth/openid/jwks/",
    ),
    TokenIssuer(
        "Nintendo",
        '[providers.nintendo]\nissuer = "https://n.example.com"\naudiences = ["0100"]\n'
        'jwks_url = "https://n.example.com/certs"\n',
        "https://n.example.com",
        "0100",
        "n.example.com/certs",
    ),
    TokenIssuer(
        "Ultra",
        '[providers.ultra]\nissuer = "https://u.example.com"\naudiences = ["game"]\n'
        'jwks_url = "https://u.example.com/certs"\nclaim = "preferred_username"\n',
        "https://u.example.com",
        "game",
        "u.example.com/certs",
        claim="preferred_username",
    ),
    TokenIssuer(
        "External",
        '[external.okta]\nkind = "openid"\nissuer = "https://o.example.com"\naudiences = ["game"]\n'
        'jwks_url = "https://o.example.com/keys"\n',
        "https://o.example.com",
        "game",
        "o.example.com/keys",
        external="okta",
    ),
]


# Platforms that are asked


@dataclass(frozen=True)
class AskedPlatform:
    """A platform that is asked: its part of the app, what a right token is, what it says of wrong ones."""

    type: str
    settings: str
    address: str
    right: str
    answer: Callable[[Asked, str, int], Answer]  # the request, the id that is right, now in ms
    wrong: tuple[str, ...]
    external: str = ""


def _facebook(asked: Asked, id_: str, now_ms: int) -> Answer:
    if asked.values["access_token"] != "77|s3cret":
        return 400, {"error": {"code": 190}}
    told = {
        "app_id": "77",
        "type": "USER",
        "is_valid": True,
        "user_id": id_,
        "expires_at": now_ms // 1000 + 60,
    }
    match asked.values["input_token"]:
        case "right":
            return 200, {"data": told}
        case "of-another-app":
            return 200, {"data": {**told, "app_id": "78"}}
        case "of-another-player":
            return 200, {"data": {**told, "user_id": "1"}}
        case "expired":
            return 200, {"data": {**told, "expires_at": now_ms // 1000 - 1}}
        case _:
            return 200, {"data": {"is_valid": False, "error": {"code": 190}}}


def _steam(asked: Asked, id_: str, now_ms: int) -> Answer:
    assert now_ms
    if (asked.values["key"], asked.values["appid"]) != ("k3y", "480") or asked.values["identity"] != "game":
        return 403, b"Forbidden"
    told = {"result": "OK", "steamid": id_, "ownersteamid": id_, "vacbanned": False, "publisherbanned": False}
    match asked.values["ticket"]:
        case "14aa":
            return 200, {"response": {"params": told}}
        case "14ab":
            return 200, {"response": {"params": {**told, "steamid": "76561190000000009"}}}
        case "14ac":
            return 200, {"response": {"params": {**told, "publisherbanned": True}}}
        case "14ad":
            return 200, {"response": {"params": {**told, "ownersteamid": "76561190000000009"}}}
        case "14ae":
            return 200, {"response": {"params": {**told, "vacbanned": True}}}
        case "14af":
            return 200, {"response": {"error": {"errorcode": 102, "errordesc": "Ticket for other app"}}}
        case _:
            return 200, {"response": {"error": {"errorcode": 101, "errordesc": "Invalid ticket"}}}


def _oculus(asked: Asked, id_: str, now_ms: int) -> Answer:
    assert now_ms
    if asked.values["access_token"] != "OC|88|s3cret":
        return 400, {"error": {"code": 190}}
    return 200, {"is_valid": asked.values["nonce"] == "right" and asked.values["user_id"] == id_}


def _twitter(asked: Asked, id_: str, now_ms: int) -> Answer:
    """Check the signature as RFC 5849 says, 3.4, of a request without parameters of its own."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', asked.headers["authorization"]))
    signature = unquote(given.pop("oauth_signature"))
    listed = "&".join(f"{name}={value}" for name, value in sorted(given.items()))
    parts = ("GET", f"https://{TWITTER_ME}", listed)
    base = "&".join(quote(part, safe="") for part in parts)
    expected = hmac.digest(b"cs&se%26cret", base.encode(), "sha1")
    if given["oauth_consumer_key"] != "ck" or not given["oauth_nonce"]:
        return 401, {"errors": [{"code": 32}]}
    assert given["oauth_timestamp"] == str(now_ms // 1000)
    if signature != base64.b64encode(expected).decode():
        return 401, {"errors": [{"code": 32}]}
    return 200, {"id": 1, "id_str": {"right": id_, "other": "1"}.get(given["oauth_token"])}


def _parse(asked: Asked, id_: str, now_ms: int) -> Answer:
    assert now_ms
    if asked.headers["x-parse-application-id"] != "app":
        return 403, {"error": "unauthorized"}
    match asked.headers["x-parse-session-token"]:
        case "right":
            return 200, {"objectId": id_, "username": "ada"}
        case "other":
            return 200, {"objectId": "somebody", "username": "bob"}
        case _:
            return 400, {"code": 209, "error": "Invalid session token"}


def _discord(asked: Asked, id_: str, now_ms: int) -> Answer:
    def at(ms: int) -> str:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat()

    told = {"application": {"id": "99"}, "user": {"id": id_}, "expires": at(now_ms + 60_000)}
    match asked.headers["authorization"]:
        case "Bearer right":
            return 200, told
        case "Bearer of-another-app":
            return 200, {**told, "application": {"id": "98"}}
        case "Bearer of-another-player":
            return 200, {**told, "user": {"id": "1"}}
        case "Bearer expired":
            return 200, {**told, "expires": at(now_ms - 1)}
        case _:
            return 401, {"message": "401: Unauthorized", "code": 0}


ASKED_PLATFORMS = [
    AskedPlatform(
        "Facebook",
        '[providers.facebook]\napp_id = "77"\napp_secret = "s3cret"\n',
        "graph.facebook.com/debug_token",
        "right",
        _facebook,
        ("wrong", "of-another-app", "of-another-player", "expired", ""),
    ),
    AskedPlatform(
        "Steam",
        '[providers.steam]\napp_id = 480\npublisher_key = "k3y"\nidentity = "game"\nowners_only = true\n'
        "refuse_vac_banned = true\n",
        "partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/",
        "14aa",
        _steam,
        ("ffff", "14ab", "14ac", "14ad", "14ae", "14af", "no hex", "14a", ""),
    ),
    AskedPlatform(
        "Oculus",
        '[providers.oculus]\napp_id = "88"\napp_secret = "s3cret"\n',
        "graph.oculus.com/user_nonce_validate",
        "right",
        _oculus,
        ("wrong", ""),
    ),
    AskedPlatform(
        "Twitter",
        '[providers.twitter]\nconsumer_key = "ck"\nconsumer_secret = "cs"\n',
        TWITTER_ME,
        "right:se&cret",
        _twitter,
        ("wrong:se&cret", "other:se&cret", "right:secret", "right", "right:", ":", "right:a\nb", ""),
    ),
    AskedPlatform(
        "Parse",
        '[providers.parse]\nurl = "https://parse.example.com/p/"\napplication_id = "app"\n',
        "parse.example.com/p/users/me",
        "right",
        _parse,
        ("wrong", "other", "a\r\nX: y", ""),
    ),
    AskedPlatform(
        "External",
        '[external.okta]\nkind = "discord"\napplication_id = "99"\n',
        "discord.com/api/v10/oauth2/@me",
        "right",
        _discord,
        ("wrong", "of-another-app", "of-another-player", "expired", "a b", ""),
        external="okta",
    ),
]


# Game Center

GAME_CENTER_KEY = "https://static.gc.apple.com/public-key/gc-prod-11.cer"


def certificate(
    name: str, issuer: str, at_ms: int, *, organization: str = "Apple Inc.", ca: bool = False
) -> x509.Certificate:
    """The certificate of a key, signed by another or by itself."""

    def named(common: str, org: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, org),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )

    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    issuer_organization = organization if issuer == name else "Roots"
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    ) | {"encipher_only": False, "decipher_only": False}
    return (
        x509.CertificateBuilder()
        .subject_name(named(name, organization))
        .issuer_name(named(issuer, issuer_organization))
        .public_key(rsa_key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True
        )
        .sign(rsa_key(issuer), hashes.SHA256())
    )


def der(made: x509.Certificate) -> bytes:
    """As Apple serves it."""
    return made.public_bytes(Encoding.DER)


def pem(*made: x509.Certificate) -> str:
    """As files hold it."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in made)


def game_center_proof(
    id_: str,
    now_ms: int,
    *,
    bundle: str = "com.example.game",
    key: str = "apple",
    **told: Any,
) -> str:
    """What a game makes of GameKit's answer. `told` takes the place of what was signed."""
    salt = b"salt"
    text = id_.encode() + bundle.encode() + struct.pack(">Q", now_ms) + salt
    signature = rsa_key(key).sign(text, padding.PKCS1v15(), hashes.SHA256())
    return json.dumps(
        {
            "publicKeyUrl": GAME_CENTER_KEY,
            "timestamp": now_ms,
            "signature": base64.b64encode(signature).decode(),
            "salt": base64.b64encode(salt).decode(),
            **told,
        }
    )


# PlayStation Network

PLAYSTATION_TOKEN = "auth.api.sonyentertainmentnetwork.com/2.0/oauth/token"


def serve_playstation(platform: StandIn, id_: str, *, address: str = PLAYSTATION_TOKEN) -> None:
    """Exchange codes that begin with `v3.` once each, and tell that their tokens are a player's."""
    used = set[str]()
    basic = "Basic " + base64.b64encode(b"game+server:s3%3Acret").decode()

    def exchange(asked: Asked) -> Answer:
        code = asked.values["code"]
        if asked.headers["authorization"] != basic:
            return 401, {"error": "invalid_client", "error_code": 4102}
        right = (asked.values["grant_type"], asked.values["redirect_uri"]) == (
            "authorization_code",
            "orbis://games",
        )
        if not right or not code.startswith("v3.") or code in used:
            return 400, {"error": "invalid_grant", "error_code": 4159, "error_description": "Invalid code"}
        used.add(code)
        return 200, {"access_token": "a/t", "token_type": "bearer", "expires_in": 3599, "scope": "psn:s2s"}

    def tell(asked: Asked) -> Answer:
        assert asked.headers["authorization"] == basic
        return 200, {
            "scopes": "psn:s2s",
            "expiration": "2033-02-04T06:49:05.999Z",
            "user_id": id_,
            "client_id": "game server",
            "is_sub_account": False,
            "online_id": "ada",
        }

    platform.routes[address] = exchange
    platform.routes[f"{address}/a%2Ft"] = tell


# Xbox

XBOX_CERTIFICATE = "https://xsts.auth.xboxlive.com/keys/current"
XBOX_KEYS = "https://xsts-keys.auth.xboxlive.com/keys"


def private_key(name: str) -> str:
    """A private key, as files hold it."""
    return rsa_key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def thumbprint(made: x509.Certificate) -> str:
    """What `x5t` says of a certificate."""
    return _base64url(made.fingerprint(hashes.SHA1()))


def xbox_claims(id_: str, now_ms: int, **told: Any) -> dict[str, Any]:
    """What a token of Xbox says. Keys given as `...` are left out."""
    now = now_ms // 1000
    claims = {
        "aud": "rp://game.example.com/",
        "iss": "xsts.auth.xboxlive.com",
        "nbf": now - 10,
        "exp": now + 3600,
        "sbx": "RETAIL",
        "xui": [{"uhs": "77", "gtg": "ada", "ptx": id_, "prv": "1 2"}],
        **told,
    }
    return {key: value for key, value in claims.items() if value is not ...}


def xbox_signed(claims: dict[str, Any], *, name: str = "xsts", alg: str = "RS256", **header: Any) -> str:
    """The token within."""
    return jwt.encode(claims, rsa_key(name), algorithm=alg, headers=header)


def xbox_encrypted(signed: str, *, to: str = "party", packed: bool = True, **header: Any) -> str:
    """The token as clients get it: encrypted for the certificate of a relying party, by RFC 7516."""
    named = {"alg": "RSA-OAEP", "enc": "A128CBC-HS256", "x5t": "AAAA", "cty": "JWT", **header}
    head = _base64url(json.dumps(named | ({"zip": "DEF"} if packed else {})).encode())
    secret, iv, text = secrets.token_bytes(32), secrets.token_bytes(16), signed.encode()
    if packed:
        pack = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        text = pack.compress(text) + pack.flush()
    pad = PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(secret[16:]), modes.CBC(iv)).encryptor()
    content = cipher.update(pad.update(text) + pad.finalize()) + cipher.finalize()
    length = (len(head) * 8).to_bytes(8, "big")
    tag = hmac.digest(secret[:16], head.encode() + iv + content + length, "sha256")[:16]
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    wrapped = rsa_key(to).public_key().encrypt(secret, oaep)
    return ".".join([head, *map(_base64url, (wrapped, iv, content, tag))])


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
