"""Web Push (RFC 8030): encrypted for the browser (RFC 8291), signed with the app's VAPID key (RFC 8292).

A device's token is the subscription that its page got, as JSON. Its address comes from a client, so only
public addresses are called, over TLS, unless the app lists others.
"""

import os
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gameserver.domain.push.content import for_web
from gameserver.domain.push.providers.base import (
    ANSWER_BYTES,
    SECONDS,
    Meaning,
    Notification,
    Outcome,
    is_passing,
    retry_after,
)
from gameserver.domain.push.providers.signing import base64url, es256, from_base64url
from gameserver.domain.push.settings import WebPushSettings, elliptic_key
from gameserver.wire.outgoing import Answer, Caller, Forbidden, Outgoing, Unanswered

RECORD_BYTES = 4096
LIFE_SECONDS = 12 * 3600  # of a VAPID token; at most 24 hours
KEEP_SECONDS = 24 * 3600  # for which the push service keeps what it cannot deliver
AUTH_BYTES = 16
ADDRESS_MAX = 2048  # characters


class _Keys(msgspec.Struct):
    p256dh: str
    auth: str


class Subscription(msgspec.Struct):
    """What `PushManager.subscribe` gives to a page."""

    endpoint: str
    keys: _Keys


_READ = msgspec.json.Decoder(Subscription).decode


async def send(
    outgoing: Outgoing, settings: WebPushSettings, trust: str, note: Notification, now_ms: int
) -> Outcome:
    """Send a notification to a browser."""
    payload = for_web(note.content, note.language)
    if payload is None:
        return Outcome(Meaning.REFUSED, "NoContent")
    try:
        subscription = _READ(note.token)
        where = urlsplit(subscription.endpoint)
        body = encrypted(msgspec.json.encode(payload), subscription)
        port = where.port
    except (msgspec.MsgspecError, ValueError):
        return Outcome(Meaning.REFUSED, "NoSubscription")
    if where.scheme != "https" or not where.hostname or "@" in where.netloc:
        return Outcome(Meaning.REFUSED, "NoSubscription")
    origin = f"https://{where.hostname if port in (None, 443) else f'{where.hostname}:{port}'}"
    signed, public = vapid(settings, origin, now_ms)
    headers = [
        ("Authorization", f"vapid t={signed}, k={public}"),
        ("Content-Encoding", "aes128gcm"),
        ("Content-Type", "application/octet-stream"),
        ("TTL", str(KEEP_SECONDS)),
        ("Urgency", "normal"),
        ("Topic", base64url(note.id.bytes)),  # what waits for the browser under it is replaced
    ]
    try:
        answer = await outgoing.exchange(
            Caller(f"{note.app.id}/web", tuple(settings.networks), trust),
            "POST",
            subscription.endpoint,
            headers=headers,
            content=body,
            seconds=SECONDS,
            bytes_max=ANSWER_BYTES,
        )
    except Forbidden:
        return Outcome(Meaning.REFUSED, "ForbiddenAddress")
    except Unanswered as error:
        return Outcome(Meaning.LATER, str(error))
    return meaning(answer, now_ms)


def meaning(answer: Answer, now_ms: int) -> Outcome:
    """Read an answer. Every maker of browsers has a push service of its own, so none stops the others."""
    reason = f"Status{answer.status}"
    match answer.status:
        case status if status in (200, 201, 202, 204):
            return Outcome(Meaning.SENT)
        case 404 | 410:
            return Outcome(Meaning.GONE, reason)
        case status if is_passing(status):
            return Outcome(Meaning.LATER, reason, retry_after(answer, now_ms))
    return Outcome(Meaning.REFUSED, reason)


def vapid(settings: WebPushSettings, origin: str, now_ms: int) -> tuple[str, str]:
    """Return a token for a push service, and the public key that it is checked with.

    Every push gets one: making it takes 0.1 ms, and push services are as many as clients care to name.
    """
    key = elliptic_key(settings.key)
    now = now_ms // 1000
    claims = {"aud": origin, "exp": now + LIFE_SECONDS, "sub": settings.contact}
    return es256(key, {}, claims), base64url(_point(key.public_key()))


def encrypted(text: bytes, subscription: Subscription) -> bytes:
    """Encrypt for a browser: one record of RFC 8188 under the keys of RFC 8291. Raises ValueError."""
    theirs_raw, secret = from_base64url(subscription.keys.p256dh), from_base64url(subscription.keys.auth)
    if len(secret) != AUTH_BYTES or len(subscription.endpoint) > ADDRESS_MAX:
        raise ValueError("no subscription")
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs_raw)
    ours, salt = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
    shared, public = ours.exchange(ec.ECDH(), theirs), _point(ours.public_key())
    material = _derived(shared, secret, b"WebPush: info\0" + _point(theirs) + public, 32)
    key = _derived(material, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(material, salt, b"Content-Encoding: nonce\0", 12)
    head = salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(public)]) + public
    return head + AESGCM(key).encrypt(nonce, text + b"\x02", None)  # 2: the last record, without padding


def _derived(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
