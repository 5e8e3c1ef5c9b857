"""Files and folders that only their owner may read: they hold players' data and links that open accounts."""

import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_OTHERS = 0o077


def private_folder(path: Path) -> None:
    """Make a folder for its owner alone. One that is there stays; the log warns when others may look in."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and path.stat().st_mode & _OTHERS:
        log.warning("folder_open_to_others", folder=str(path), advice=f"chmod 700 {path}")


def private_file(path: Path) -> None:
    """Make an empty file for its owner alone, or keep others from one that is there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    keep_others_out(path)


def keep_others_out(path: Path) -> None:
    """Let only the owner use a file, if there is one. Raises `OSError` when it is somebody else's."""
    if path.exists() and path.stat().st_mode & _OTHERS:
        path.chmod(0o600)
