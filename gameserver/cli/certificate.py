"""A certificate for development, signed by an authority that exists on this machine only."""

import os
from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Files:
    """What was written: the authority to trust, the server's certificate and its key."""

    authority: Path
    certificate: Path
    key: Path


def write(folder: Path, names: list[str]) -> Files:
    """Write a certificate for this machine's names and the ones given.

    Raises `FileExistsError` when one of the files is there already, `OSError` when the folder cannot be
    written, `ValueError` for a name that is none.
    """
    files = Files(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    for path in (files.authority, files.certificate, files.key):
        if path.exists():
            raise FileExistsError(f"{path} exists; --force makes all three files anew")
    # RSA: mono's store of trusted authorities leaves out others, and says nothing.
    authority = trustme.CA(organization_name="gameserver development", key_type=trustme.KeyType.RSA)
    made = authority.issue_cert(
        *NAMES, *names, organization_name="gameserver development", key_type=trustme.KeyType.RSA
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(files.authority, authority.cert_pem.bytes())
    _write(files.certificate, b"".join(blob.bytes() for blob in made.cert_chain_pems))
    _write(files.key, made.private_key_pem.bytes())
    return files


def remove(folder: Path) -> None:
    """Make room for a new certificate."""
    for name in ("ca.pem", "server.pem", "server.key"):
        (folder / name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
