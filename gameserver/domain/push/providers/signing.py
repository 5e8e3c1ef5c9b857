"""Tokens that providers ask for, signed with the curve P-256."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NUMBER_BYTES = 32


def es256(key: ec.EllipticCurvePrivateKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Sign a token. Of the same claims all processes make the same one: providers count how often it changes.

    PyJWT signs with chance, so each process would have one of its own.
    """
    head = {"alg": "ES256", "typ": "JWT", **header}
    text = b".".join(base64url(msgspec.json.encode(part)).encode() for part in (head, claims))
    try:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:  # an OpenSSL before 3.2
        algorithm = ec.ECDSA(hashes.SHA256())
    r, s = decode_dss_signature(key.sign(text, algorithm))
    signature = r.to_bytes(NUMBER_BYTES, "big") + s.to_bytes(NUMBER_BYTES, "big")
    return f"{text.decode()}.{base64url(signature)}"


def base64url(data: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Read base64url, padded or not. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
