"""Stand-ins for those who deliver push notifications: real protocols, keys of their own."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import h2.config
import h2.connection
import h2.events
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.stand_ins import rsa_key
from tests.websites import Page, Seen, Website, website

TEAM, KEY_ID, TOPIC, PROJECT = "TEAM123456", "KEY1234567", "com.example.game", "game-1"
CONTACT = "mailto:support@example.com"


@cache
def elliptic(name: str) -> ec.EllipticCurvePrivateKey:
    """A key of the curve P-256, made once."""
    assert name
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    """A private key as text."""
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half of a key, as Web Push writes it."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def un64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Got:
    """A notification that a stand-in took, or refused."""

    token: str
    content: Any
    headers: dict[str, str]


Answer = tuple[int, dict[str, Any], dict[str, str]]


@dataclass
class Behaviour:
    """What a stand-in answers: what is planned for a token, in turn, or for everybody; else yes."""

    got: list[Got] = field(default_factory=list)
    planned: dict[str, list[Answer]] = field(default_factory=dict)
    always: Answer | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, token: str) -> list[Got]:
        """What came for a token."""
        return [each for each in self.got if each.token == token]

    def plan(self, token: str, status: int, body: dict[str, Any] | None = None, **headers: str) -> None:
        """Answer a token so, once."""
        answer = status, body or {}, {k.replace("_", "-"): v for k, v in headers.items()}
        self.planned.setdefault(token, []).append(answer)

    def answer(self, got: Got, usual: Answer) -> Answer:
        """Take a notification."""
        self.got.append(got)
        self.reached.set()
        if planned := self.planned.get(got.token):
            return planned.pop(0)
        return self.always or usual


def fcm_error(status: str, code: str = "") -> dict[str, Any]:
    """An error as Firebase writes it."""
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details = [{"@type": kind, "errorCode": code}] if code else []
    return {"error": {"status": status, "message": "x", "details": details}}


@dataclass
class Firebase(Behaviour):
    """Firebase, and Google's token endpoint."""

    site: Website | None = None
    access: str = "access-1"
    tokens_given: int = 0

    @property
    def url(self) -> str:
        assert self.site is not None
        return f"http://127.0.0.1:{self.site.port}"

    def account(self) -> str:
        """The service account, as its JSON file says."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "k1",
                "private_key": pem(rsa_key("firebase")),
                "client_email": "push@example.com",
                "token_uri": f"{self.url}/token",
            }
        )

    def serve(self, seen: Seen) -> Page:
        """Answer a request."""
        if seen.target == "/token":
            form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            told = jwt.decode(
                form["assertion"],
                rsa_key("firebase").public_key(),
                ["RS256"],
                audience=f"{self.url}/token",
                options={"verify_exp": False, "verify_iat": False},
            )
            assert told["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
            assert told["iss"] == "push@example.com"
            assert told["exp"] - told["iat"] == 3600
            self.tokens_given += 1
            return Page(body=json.dumps({"access_token": self.access, "expires_in": 3599}).encode())
        assert seen.target == f"/v1/projects/{PROJECT}/messages:send"
        message = json.loads(seen.body)["message"]
        got = Got(message.pop("token"), message, seen.headers)
        if seen.headers["authorization"] != f"Bearer {self.access}":
            return Page(401, json.dumps(fcm_error("UNAUTHENTICATED")).encode())
        status, body, headers = self.answer(got, (200, {"name": "projects/x/messages/1"}, {}))
        return Page(status, json.dumps(body).encode(), headers)


@dataclass
class Apple(Behaviour):
    """APNs, over HTTP/2 with TLS. `goaway_after`: it closes a connection after so many notifications."""

    port: int = 0
    connections: int = 0
    goaway_after: int | None = None
    silent: bool = False
    bearers: list[str] = field(default_factory=list)
    attending: set["asyncio.Task[None]"] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Attend to a connection."""
        task = asyncio.current_task()
        assert task is not None
        self.attending.add(task)
        try:
            await self.attend(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.attending.discard(task)
            writer.close()

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self.connections += 1
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        link = h2.connection.H2Connection(config)
        link.initiate_connection()
        writer.write(link.data_to_send())
        requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        taken = 0
        while data := await reader.read(1 << 16):
            for event in link.receive_data(data):
                match event:
                    case h2.events.RequestReceived():
                        assert event.stream_id is not None
                        requests[event.stream_id] = (
                            {str(k): str(v) for k, v in event.headers or []},
                            bytearray(),
                        )
                    case h2.events.DataReceived():
                        assert event.stream_id is not None
                        requests[event.stream_id][1].extend(event.data or b"")
                        link.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                    case h2.events.StreamEnded():
                        assert event.stream_id is not None
                        if self.goaway_after is not None and taken >= self.goaway_after:
                            continue  # one that it has not looked at
                        taken += 1
                        self.respond(link, event.stream_id, *requests.pop(event.stream_id))
                        writer.write(link.data_to_send())
                        if taken == self.goaway_after:
                            link.close_connection(last_stream_id=event.stream_id)
            writer.write(link.data_to_send())
            await writer.drain()
            if self.goaway_after is not None and taken >= self.goaway_after:
                self.goaway_after = None
                while await reader.read(1 << 16):  # until the other side has read all and closes
                    pass
                return

    def respond(
        self, link: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytearray
    ) -> None:
        """Answer a request."""
        token = headers[":path"].removeprefix("/3/device/")
        assert headers[":method"] == "POST"
        scheme, _, bearer = headers["authorization"].partition(" ")
        assert scheme == "bearer"
        told = jwt.decode(bearer, elliptic("apple").public_key(), ["ES256"], options={"verify_iat": False})
        assert told["iss"] == TEAM
        assert jwt.get_unverified_header(bearer)["kid"] == KEY_ID
        if bearer not in self.bearers:
            self.bearers.append(bearer)
        got = Got(token, json.loads(bytes(body)), headers)
        status, answer, _ = self.answer(got, (200, {}, {}))
        if self.silent:
            return
        shown = [(":status", str(status)), ("apns-id", headers["apns-id"])]
        link.send_headers(stream, shown, end_stream=not answer)
        if answer:
            link.send_data(stream, json.dumps(answer).encode(), end_stream=True)


@dataclass
class Browsers(Behaviour):
    """The push service of a browser, and the browser."""

    site: Website | None = None

    def subscribe(self, name: str) -> str:
        """Subscribe a page; returns what it registers."""
        assert self.site is not None
        address = f"https://127.0.0.1:{self.site.port}/{name}"
        keys = {"p256dh": b64(point(elliptic(name))), "auth": b64(name.encode()[-16:])}
        return json.dumps({"endpoint": address, "expirationTime": None, "keys": keys})

    def serve(self, seen: Seen) -> Page:
        """Answer a request."""
        assert self.site is not None
        scheme, told = seen.headers["authorization"].split(" ", 1)
        assert scheme == "vapid"
        parts = dict(part.strip().split("=", 1) for part in told.split(","))
        assert un64(parts["k"]) == point(elliptic("vapid"))
        claims = jwt.decode(
            parts["t"],
            elliptic("vapid").public_key(),
            ["ES256"],
            audience=f"https://127.0.0.1:{self.site.port}",
            options={"verify_exp": False},
        )
        assert claims["sub"] == CONTACT
        assert seen.headers["content-encoding"] == "aes128gcm"
        assert int(seen.headers["ttl"]) > 0
        name = seen.target[1:]
        got = Got(name, json.loads(decrypted(seen.body, name)), seen.headers)
        status, body, headers = self.answer(got, (201, {}, {}))
        return Page(status, json.dumps(body).encode(), headers)


def decrypted(body: bytes, name: str) -> bytes:
    """What a browser reads of a message (RFC 8188, RFC 8291)."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    theirs, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(body) <= size == 4096
    key = elliptic(name)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))

    def derived(material: bytes, own_salt: bytes, info: bytes, count: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=count, salt=own_salt, info=info).derive(material)

    material = derived(shared, name.encode()[-16:], b"WebPush: info\0" + point(key) + theirs, 32)
    content_key = derived(material, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = derived(material, salt, b"Content-Encoding: nonce\0", 12)
    padded = AESGCM(content_key).decrypt(nonce, sealed, None).rstrip(b"\0")
    assert padded[-1:] == b"\x02"
    return padded[:-1]


@dataclass
class Providers:
    """All of them, and what an app says of them."""

    fcm: Firebase
    apns: Apple
    web: Browsers
    authority: str

    def settings(self) -> str:
        """The part of `app.toml`, with the certificates in push.pem."""
        return f"""
[pushNotification.fcm]
service_account = '''{self.fcm.account()}'''
url = "{self.fcm.url}"
[pushNotification.apns]
team_id = "{TEAM}"
key_id = "{KEY_ID}"
key = '''{pem(elliptic("apple"))}'''
topic = "{TOPIC}"
topics = {{ MAC = "com.example.mac" }}
url = "https://127.0.0.1:{self.apns.port}"
authorities_file = "push.pem"
[pushNotification.web]
key = "{b64(elliptic("vapid").private_numbers().private_value.to_bytes(32, "big"))}"
contact = "{CONTACT}"
networks = ["127.0.0.1"]
authorities_file = "push.pem"
"""


@cache
def _authority() -> tuple[trustme.CA, trustme.LeafCert]:
    made = trustme.CA()
    return made, made.issue_cert("127.0.0.1")


@asynccontextmanager
async def providers() -> AsyncIterator[Providers]:
    """Serve all stand-ins on loopback."""
    authority, leaf = _authority()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(tls)
    tls2 = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(tls2)
    tls2.set_alpn_protocols(["h2"])
    fcm, apns, web = Firebase(), Apple(), Browsers()
    async with AsyncExitStack() as stack:
        fcm.site = await stack.enter_async_context(website(fcm.serve))
        web.site = await stack.enter_async_context(website(web.serve, tls))
        server = await asyncio.start_server(apns.accept, "127.0.0.1", 0, ssl=tls2)
        apns.port = server.sockets[0].getsockname()[1]
        yield Providers(fcm, apns, web, authority.cert_pem.bytes().decode("ascii"))
        server.close()
        for task in list(apns.attending):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*apns.attending, return_exceptions=True)
