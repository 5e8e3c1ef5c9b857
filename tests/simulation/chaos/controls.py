"""How a run reaches into the servers it has started: a wrong clock, a slow disk."""

import mmap
import struct
from pathlib import Path

FIELDS = struct.Struct("dd")


class Controls:
    """What a running server is told by its surroundings: how wrong its clock goes, how slow its disk is.

    A small file in shared memory; the process of the server reads it whenever it asks for the time.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(FIELDS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), FIELDS.size)

    @property
    def clock_seconds(self) -> float:
        """How far the clock goes ahead; negative when it is behind."""
        return float(FIELDS.unpack_from(self._shared)[0])

    @property
    def commit_seconds(self) -> float:
        """How long a commit to the server's own disk takes longer."""
        return float(FIELDS.unpack_from(self._shared)[1])

    def set(self, *, clock_seconds: float | None = None, commit_seconds: float | None = None) -> None:
        """Change one or both; the server follows at once."""
        clock = self.clock_seconds if clock_seconds is None else clock_seconds
        commit = self.commit_seconds if commit_seconds is None else commit_seconds
        FIELDS.pack_into(self._shared, 0, clock, commit)
