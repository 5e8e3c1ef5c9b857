"""Where clients are told to connect to."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

_SCHEMES = {"ws": ("ws", False), "wss": ("ws", True), "tcp": ("tcp", False), "tcps": ("tcp", True)}
_FORMS = "such as wss://play.example.com,tcp://play.example.com:9000"


class BadEndpoints(ValueError):
    """What the operator declares are no endpoints; the text says what is expected."""


class Endpoint(NamedTuple):
    """One way to connect. `protocol` is `ws` or `tcp`."""

    protocol: str
    host: str
    port: int
    ssl: bool


class Endpoints:
    """Those that clients are told, in the order in which they try them."""

    def __init__(self, declared: str, public_url: str, listening_url: str) -> None:
        """`declared` are URLs with commas between, and win. Raises `BadEndpoints`.

        Else a server that has a public URL is reached there, over WebSocket: what stands before it forwards
        HTTP. Without one, both forms are spoken where the client has reached the server.
        """
        self._fixed: Sequence[Endpoint] = ()
        if declared:
            self._fixed = [_declared(part.strip()) for part in declared.split(",") if part.strip()]
        elif public_url:
            self._fixed = _of_server(public_url)[:1]
        self._listening_url = listening_url

    def told(self, reached: str) -> Sequence[Endpoint]:
        """Return what a client is told that has reached the server under a URL, as far as that is known."""
        return self._fixed or _of_server(reached) or _of_server(self._listening_url)


def _of_server(url: str) -> list[Endpoint]:
    """Return the endpoints of a server that nobody stands in front of; none of a text that is no URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return []
    if not host or not _is_host(host):
        return []
    is_tls = parts.scheme == "https"
    port = port or (443 if is_tls else 80)
    found = [Endpoint("ws", host, port, is_tls)]
    if not is_tls:  # clients speak the bare form without TLS
        found.append(Endpoint("tcp", host, port, ssl=False))
    return found


def _is_host(text: str) -> bool:
    return text.isascii() and all(char.isalnum() or char in ".-:_%" for char in text)


def _declared(text: str) -> Endpoint:
    try:
        parts: SplitResult = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadEndpoints(f"{text!r} is no URL; expected URLs {_FORMS}") from None
    if parts.scheme not in _SCHEMES or not host or parts.path.strip("/") or parts.query:
        raise BadEndpoints(f"{text!r}: expected URLs {_FORMS}, without a path")
    protocol, ssl = _SCHEMES[parts.scheme]
    if port is None:
        if protocol == "tcp":
            raise BadEndpoints(f"{text!r}: the port is missing")
        port = 443 if ssl else 80
    return Endpoint(protocol, host, port, ssl)
