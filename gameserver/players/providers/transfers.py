"""What players were called before their app moved to another team of its provider."""

import asyncio
from functools import lru_cache
from pathlib import Path

from gameserver.apps import App
from gameserver.players.providers.vouching import UnableToValidate

BYTES_MAX = 64 << 20


async def former_id(app: App, file: str, transfer_id: object) -> str | None:
    """Return what a player with a transfer identifier was called before; None when the file does not say.

    Raises `UnableToValidate` when the file cannot be read: a login must not make a second player then.
    """
    if not isinstance(transfer_id, str):
        return None
    try:
        path = app.file(file)
        found = await asyncio.to_thread(_load, path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        raise UnableToValidate("what players were called before cannot be read") from None
    return found.get(transfer_id)


@lru_cache(maxsize=8)
def _load(path: Path, _: int) -> dict[str, str]:
    return read_transfers(path)


def read_transfers(path: Path) -> dict[str, str]:
    """Read lines of a transfer identifier, a comma and a former id. Raises `ValueError` for another line."""
    if path.stat().st_size > BYTES_MAX:
        raise ValueError(f"larger than {BYTES_MAX >> 20} MiB")
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        transfer_id, comma, former = (part.strip() for part in line.partition(","))
        if not line.strip() or line.startswith("#"):
            continue
        if not (transfer_id and comma and former) or "," in former:
            raise ValueError(f"line {number}: expected a transfer identifier, a comma and a former id")
        found[transfer_id] = former
    return found
