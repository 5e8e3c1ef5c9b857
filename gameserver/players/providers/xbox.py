"""Xbox: a token of its security token service, encrypted for one relying party and signed within."""

import base64
import binascii
import hmac
import re
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gameserver.players.providers.asking import Claimed, Outside
from gameserver.players.providers.settings import Xbox, read_private_keys
from gameserver.players.providers.tokens import KEY_ID_MAX, LEEWAY_SECONDS, expiry_ms, is_current, read_claims
from gameserver.players.providers.vouching import UnableToValidate, Vouched
from gameserver.players.providers.web import unclear, where

ISSUER = "xsts.auth.xboxlive.com"
CERTIFICATE_URL = re.compile(r"https://xsts\.auth\.xboxlive\.com/[A-Za-z0-9._~/?&=%-]{1,512}")
KEYS_URL = re.compile(r"https://xsts-keys\.auth\.xboxlive\.com/[A-Za-z0-9._~/?&=%-]{1,512}")
CERTIFICATES_MAX = 64
SIGNED_BYTES_MAX = 64 << 10  # of the token within, unpacked
_AUTHORIZATION = re.compile(r"(?:XBL3\.0 x=([0-9]{1,32}|\*|-);)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){4})")
_ALGORITHMS = ("RS256", "ES256")
_BLOCK = 16
_KEY_BYTES = 32  # one half authenticates, the other one encrypts
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def xbox(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check a token for the app's relying party. Clients send it as they would in `Authorization`."""
    settings = claimed.settings.xbox
    assert settings is not None, "a check is called where its settings are"
    given = _AUTHORIZATION.fullmatch(claimed.token)
    if given is None:
        return None
    signed = _decrypt(given[2], _keys(claimed, settings))
    if signed is None:
        return None
    claims = await _claims(claimed, outside, settings, signed)
    if claims is None or claims.get("sbx", settings.sandbox) != settings.sandbox:
        return None
    user = _user(claims.get("xui"), given[1])
    if user is None or user.get(settings.claim) != claimed.external_id:
        return None
    return Vouched(token_expires_ms=expiry_ms(claims["exp"]))


def _user(told: object, user_hash: str | None) -> dict[str, Any] | None:
    """Return the user that the header names, of those in the token; the only one where it names none."""
    users = [user for user in told if isinstance(user, dict)] if isinstance(told, list) else []
    if user_hash is not None and user_hash.isdigit():
        users = [user for user in users if user.get("uhs") == user_hash]
    return users[0] if len(users) == 1 else None


# The outer token: RFC 7516


def _keys(claimed: Claimed, settings: Xbox) -> tuple[rsa.RSAPrivateKey, ...]:
    try:
        path = claimed.app.file(settings.key_file)
        return _load(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, TypeError):
        raise UnableToValidate("the key of the app's relying party cannot be read") from None


@lru_cache(maxsize=64)
def _load(path: Path, _: int) -> tuple[rsa.RSAPrivateKey, ...]:
    return read_private_keys(path.read_bytes())


def _decrypt(token: str, keys: tuple[rsa.RSAPrivateKey, ...]) -> str | None:
    """Return the signed token within; None when it is not for one of the keys, or not as it was made."""
    head, *parts = token.split(".")
    try:
        header = _decode(_bytes(head))
        wrapped, iv, content, tag = map(_bytes, parts)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    named = (header.get("alg"), header.get("enc"), header.get("zip", "DEF"))
    if named != ("RSA-OAEP", "A128CBC-HS256", "DEF") or len(iv) != _BLOCK:
        return None
    for key in keys:
        try:
            secret = key.decrypt(wrapped, _OAEP)
        except ValueError:
            continue
        return _open(secret, head, iv, content, tag, packed="zip" in header)
    return None


_OAEP = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - RSA-OAEP is that


def _open(secret: bytes, head: str, iv: bytes, content: bytes, tag: bytes, *, packed: bool) -> str | None:
    if len(secret) != _KEY_BYTES:
        return None
    checks, encrypts = secret[: _KEY_BYTES // 2], secret[_KEY_BYTES // 2 :]
    named = head.encode()
    authentic = hmac.digest(checks, named + iv + content + (len(named) * 8).to_bytes(8, "big"), "sha256")
    if not hmac.compare_digest(authentic[:_BLOCK], tag):
        return None
    try:
        plain = Cipher(algorithms.AES(encrypts), modes.CBC(iv)).decryptor()
        unpad = padding.PKCS7(_BLOCK * 8).unpadder()
        text = unpad.update(plain.update(content) + plain.finalize()) + unpad.finalize()
        if packed:
            text = zlib.decompressobj(-zlib.MAX_WBITS).decompress(text, SIGNED_BYTES_MAX)
        return text.decode("ascii")
    except (ValueError, zlib.error):
        return None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


# The token within: RFC 7515


async def _claims(claimed: Claimed, outside: Outside, settings: Xbox, signed: str) -> dict[str, Any] | None:
    """Check the signature of the service, for whom the token is, and its times; its claims, or None."""
    try:
        header = jwt.get_unverified_header(signed)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    algorithm = header.get("alg")
    if algorithm not in _ALGORITHMS:
        return None
    key = await _signer(claimed, outside, header, algorithm)
    if key is None:
        return None
    claims = read_claims(signed, key, algorithm, (ISSUER,), (settings.relying_party,))
    return claims if claims is not None and is_current(claims, claimed.now_ms, LEEWAY_SECONDS) else None


async def _signer(
    claimed: Claimed, outside: Outside, header: dict[str, Any], algorithm: str
) -> jwt.PyJWK | rsa.RSAPublicKey | None:
    """Return the key that a token names, if it is to be had from Xbox itself."""
    thumbprint, address = header.get("x5t"), header.get("x5u")
    if isinstance(thumbprint, str) and isinstance(address, str):
        if algorithm != "RS256" or not CERTIFICATE_URL.fullmatch(address):
            return None
        certificate = await _certificate(claimed, outside, address, thumbprint)
        now = datetime.fromtimestamp(claimed.now_ms / 1000, UTC)
        if certificate is None or not (
            certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        ):
            return None
        key = certificate.public_key()
        return key if isinstance(key, rsa.RSAPublicKey) else None
    kid, address = header.get("kid"), header.get("jku")
    if not isinstance(kid, str) or not 0 < len(kid) <= KEY_ID_MAX:
        return None
    if not isinstance(address, str) or not KEYS_URL.fullmatch(address):
        return None
    return await outside.keys.find(claimed.app, address, kid, algorithm, claimed.now_ms)


async def _certificate(
    claimed: Claimed, outside: Outside, address: str, thumbprint: str
) -> x509.Certificate | None:
    """Return the certificate with a thumbprint, fetched once; None when the address has no such."""
    known = f"{where(claimed.app, address)} {thumbprint}"
    found = outside.certificates.get(known)
    if found is not None:
        return found
    status, answer = await outside.web.ask_json(claimed.app, address)
    if status == HTTPStatus.NOT_FOUND:
        return None
    if status != HTTPStatus.OK:
        raise unclear(ISSUER, f"status {status}")
    text = answer.get(thumbprint)
    if not isinstance(text, str):
        return None
    try:
        found = x509.load_pem_x509_certificate(text.encode())
        right = found.fingerprint(hashes.SHA1()) == _bytes(thumbprint)  # noqa: S303 - what `x5t` is
    except ValueError:
        raise unclear(ISSUER, "no certificate") from None
    if not right:
        return None
    outside.certificates[known] = found
    while len(outside.certificates) > CERTIFICATES_MAX:
        outside.certificates.pop(next(iter(outside.certificates)))
    return found
