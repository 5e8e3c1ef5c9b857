"""The scripts of an app: its files, what they say of themselves, and their texts as they are run."""

import hashlib
from dataclasses import dataclass

Lines = tuple[tuple[int, str, int], ...]
"""Where the lines of a text come from: first line, file, line there; each until the next."""


@dataclass(frozen=True, slots=True)
class Program:
    """A script as it is run. It never changes; a file that was saved again is another one."""

    app_id: str
    path: str
    """Folders and name, without a "/" in front and without extension: `gifts/Send`."""
    text: str
    lines: Lines
    client_callable: bool = False
    s2s_callable: bool = False
    peer_callable: bool = False
    timeout_seconds: float | None = None
    problem: str = ""
    """Why it cannot run, with file and line; empty for most."""
    key: str = ""

    def __post_init__(self) -> None:
        """Name the text."""
        told = repr((self.text, self.lines)).encode()
        object.__setattr__(self, "key", hashlib.blake2b(told, digest_size=12).hexdigest())
