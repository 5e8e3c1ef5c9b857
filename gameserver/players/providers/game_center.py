"""Game Center: a signature of Apple over player, app and time, and the certificate that checks it."""

import base64
import binascii
import re
import struct
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import certifi
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from msgspec import Meta

from gameserver.apps import App
from gameserver.players.providers.asking import Claimed, Outside
from gameserver.players.providers.settings import GameCenter
from gameserver.players.providers.vouching import UnableToValidate, Vouched
from gameserver.players.providers.web import unclear, where

KEY_URL = re.compile(r"https://(?:static|sandbox)\.gc\.apple\.com/public-key/[A-Za-z0-9._-]{1,100}\.cer")
ORGANIZATION = "Apple Inc."
INTERMEDIATE = "https://cacerts.digicert.com/DigiCertTrustedG4CodeSigningRSA4096SHA3842021CA1.crt.pem"
"""Has signed the certificate that Apple serves; it is trusted because a root that comes with us signed it."""
ROOT = "DigiCert Trusted Root G4"
_END = "-----END CERTIFICATE-----\n"
CERTIFICATES_MAX = 64
CHAIN_MAX = 4
AHEAD_MS = 60_000  # how far Apple's clock may be ahead of ours


class Proof(msgspec.Struct, rename="camel"):
    """What GameKit's identity verification gave the game, as JSON in the token.

    `signature` and `salt` are base64, `timestamp` is ms since 1970.
    """

    public_key_url: Annotated[str, Meta(max_length=512)]
    timestamp: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    signature: Annotated[str, Meta(max_length=2048)]
    salt: Annotated[str, Meta(max_length=256)]


_decode = msgspec.json.Decoder(Proof, strict=False).decode


async def game_center(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check Apple's signature over the player, one of the app's bundles, and a time not long ago."""
    settings = claimed.settings.game_center
    assert settings is not None, "a check is called where its settings are"
    try:
        proof = _decode(claimed.token)
        signature = base64.b64decode(proof.signature, validate=True)
        salt = base64.b64decode(proof.salt, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
        return None
    age_ms = claimed.now_ms - proof.timestamp
    if not -AHEAD_MS <= age_ms <= settings.max_age_seconds * 1000:
        return None
    if not KEY_URL.fullmatch(proof.public_key_url):
        return None
    certificate = await _certificate(claimed.app, proof.public_key_url, outside)
    if certificate is None or not await _is_apples(claimed, outside, settings, certificate):
        return None
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    time = struct.pack(">Q", proof.timestamp)
    for bundle in settings.bundle_ids:
        signed = claimed.external_id.encode() + bundle.encode() + time + salt
        try:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return Vouched()
    return None


async def _certificate(app: App, url: str, outside: Outside) -> x509.Certificate | None:
    """Return the certificate at an address, fetched once; None when there is none."""
    key = where(app, url)
    found = outside.certificates.get(key)
    if found is not None:
        return found
    status, body = await outside.web.ask(app, url)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
        return None
    if status != HTTPStatus.OK:
        raise unclear("the certificates of Game Center", f"status {status}")
    try:
        is_text = body.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_certificate(body) if is_text else x509.load_der_x509_certificate(body)
    except ValueError:
        raise unclear("the certificates of Game Center", "no certificate") from None
    outside.certificates[key] = found
    while len(outside.certificates) > CERTIFICATES_MAX:
        outside.certificates.pop(next(iter(outside.certificates)))
    return found


async def _is_apples(
    claimed: Claimed, outside: Outside, settings: GameCenter, leaf: x509.Certificate
) -> bool:
    """Tell whether a certificate is Apple's and good now: who signed it, up to somebody who is trusted."""
    now = datetime.fromtimestamp(claimed.now_ms / 1000, UTC)
    named = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if named != [ORGANIZATION] or not _is_good(leaf, now):
        return False
    if settings.authorities_file:
        try:
            given = _given(claimed.app.file(settings.authorities_file))
        except (OSError, ValueError):
            raise UnableToValidate("the certificates that vouch for Apple's cannot be read") from None
        return _leads_to(leaf, given, given, now)
    intermediate = await _certificate(claimed.app, INTERMEDIATE, outside)
    between = [] if intermediate is None else [intermediate]
    return _leads_to(leaf, between, _roots(), now)


def _leads_to(
    leaf: x509.Certificate,
    between: list[x509.Certificate],
    trusted: list[x509.Certificate],
    now: datetime,
) -> bool:
    current = leaf
    for _ in range(CHAIN_MAX):
        if any(_has_signed(issuer, current, now) for issuer in trusted):
            return True
        above = next((issuer for issuer in between if _has_signed(issuer, current, now)), None)
        if above is None:
            return False
        current = above
    return False


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate, now: datetime) -> bool:
    if issuer.subject != certificate.issuer or not _is_good(issuer, now) or not _may_sign(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_good(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


@lru_cache(maxsize=1)
def _roots() -> list[x509.Certificate]:
    """Find the root of `INTERMEDIATE` among those that come with us, as with every HTTPS client."""
    _, _, below = Path(certifi.where()).read_text("utf-8").partition(f'# Label: "{ROOT}"')
    text = below.partition(_END)[0] + _END
    return [x509.load_pem_x509_certificate(text.encode())] if below else []


def _given(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())
