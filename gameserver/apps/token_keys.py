"""Keys that verify signed tokens: which algorithms there are, and whether a key can serve one."""

from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TokenAlgorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
_HMAC_KEY_BYTES_MIN = {"HS256": 32, "HS384": 48, "HS512": 64}
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA_BITS_MIN = 2048


def unfit(key: str, algorithm: str) -> str:
    """Say why a key cannot serve an algorithm; empty when it can."""
    if least := _HMAC_KEY_BYTES_MIN.get(algorithm):
        if "-----BEGIN" in key:
            return f"{algorithm} needs a shared secret, got a PEM key"
        size = len(key.encode())
        return "" if size >= least else f"{algorithm} needs a key of at least {least} bytes, got {size}"
    try:
        public = load_pem_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        return f"{algorithm} needs a public key in PEM form (-----BEGIN PUBLIC KEY-----)"
    if algorithm in _CURVES:
        fits = isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == _CURVES[algorithm]
        return "" if fits else f"{algorithm} needs an elliptic curve key on {_CURVES[algorithm]}"
    if algorithm == "EdDSA":
        fits = isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
        return "" if fits else "EdDSA needs an Ed25519 or Ed448 key"
    if not isinstance(public, rsa.RSAPublicKey):
        return f"{algorithm} needs an RSA key"
    return "" if public.key_size >= _RSA_BITS_MIN else f"an RSA key needs at least {_RSA_BITS_MIN} bits"
