"""Who plays on this device: two ids that outlive the process, and where they are kept."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Identity:
    """`profile_id` is the player's, given by the server; `anonymous_id` names this installation."""

    profile_id: str = ""
    anonymous_id: str = ""


class IdentityStore(Protocol):
    """Keeps one `Identity`. Use one store per app: profile ids of one app mean nothing in another."""

    def load(self) -> Identity:
        """Return the identity saved last; an empty one when there is none."""

    def save(self, identity: Identity) -> None:
        """Keep this one instead."""


class MemoryStore:
    """Forgets with the process. The default."""

    def __init__(self, identity: Identity | None = None) -> None:
        self.identity = identity or Identity()

    def load(self) -> Identity:
        """Return the identity saved last."""
        return self.identity

    def save(self, identity: Identity) -> None:
        """Keep this one instead."""
        self.identity = identity


class JsonFileStore:
    """One small file, readable by its owner only: the anonymous id is as good as a password."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> Identity:
        """Read the file; without one the identity is empty. Raises ValueError if it holds something else."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Identity()
        match json.loads(text):
            case {"profileId": str(profile_id), "anonymousId": str(anonymous_id)}:
                return Identity(profile_id, anonymous_id)
        raise ValueError(f"{self.path} does not hold a saved identity")

    def save(self, identity: Identity) -> None:
        """Replace the file in one step, so that a crash leaves the old or the new one. Raises OSError."""
        text = json.dumps({"profileId": identity.profile_id, "anonymousId": identity.anonymous_id})
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)  # created with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink()
            raise
