"""Signatures of webhooks, after the Standard Webhooks specification 1.0.0: HMAC-SHA256, version `v1`."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for. Raises `ValueError` with a sentence for the operator."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"expected {PREFIX} and base64 behind it")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what is behind {PREFIX} is no base64") from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(
            f"expected {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes in base64, got {len(key)}"
        )
    return key


def headers(secrets: Iterable[str], message_id: str, at_seconds: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers that say which message this is, when it was sent, and that we have sent it.

    One signature for each secret: a receiver that knows any of them can check it.
    """
    content = f"{message_id}.{at_seconds}.".encode() + body
    signed = [hmac.new(key_of(secret), content, hashlib.sha256).digest() for secret in secrets]
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(at_seconds)),
        ("webhook-signature", " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signed)),
    ]
