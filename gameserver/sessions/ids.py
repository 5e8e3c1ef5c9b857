"""Session ids, which only clients keep, and their digests, which is all the server keeps.

Both begin with the player's tag, four hex digits. It names the Redis slot that holds everything about the
player's sessions, so whoever has an id or a digest knows where to look, and one script may touch all of them.
"""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

SECRET_BYTES = 18  # 144 random bits: 24 characters without padding
TAG_LENGTH = 4
DIGEST_LENGTH = TAG_LENGTH + 33

_SESSION_ID = re.compile(r"[0-9a-f]{4}-[A-Za-z0-9_-]{22,64}")
_DIGEST = re.compile(r"[0-9a-f]{4}\.[0-9a-f]{32}")


@lru_cache(maxsize=1024)  # a login asks four times
def tag_of(profile_id: str) -> str:
    """Return the tag that all sessions of a player share."""
    return blake2b(profile_id.encode(errors="surrogatepass"), digest_size=TAG_LENGTH // 2).hexdigest()


def new_session_id(profile_id: str, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Make an id nobody can guess; safe in URLs, headers and cookies."""
    return f"{tag_of(profile_id)}-{urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b'=').decode()}"


def digest_of(session_id: str) -> str | None:
    """Return the digest of a session id, or `None` for a text that is no session id.

    A digest has a dot where an id has a hyphen, so it never passes for an id: who reads one in a log or a
    table cannot call with it.
    """
    if _SESSION_ID.fullmatch(session_id) is None:
        return None
    return f"{session_id[:TAG_LENGTH]}.{blake2b(session_id.encode(), digest_size=16).hexdigest()}"


def is_digest(text: str) -> bool:
    """Tell whether a text has the form of a digest."""
    return _DIGEST.fullmatch(text) is not None
