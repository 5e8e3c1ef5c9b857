"""Which request runs: a number that lines of the log and records of refusals carry alike."""

import itertools
import secrets
from contextvars import ContextVar

_ids = itertools.count(1)
_process = secrets.token_hex(4)
_request: ContextVar[int] = ContextVar("request", default=0)


def begin() -> None:
    """Give the request that runs in this context its number."""
    _request.set(next(_ids))


def current() -> str:
    """Name the request that runs, unique among processes; empty where there is none."""
    number = _request.get()
    return f"{_process}-{number:x}" if number else ""
