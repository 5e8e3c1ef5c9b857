"""Whom a request is from when proxies stand between: what they say of it, as far as they are believed."""

import ipaddress
from collections.abc import Awaitable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""

    def __init__(self, text: str) -> None:
        """Read addresses and networks with commas between. Raises `ValueError` with a sentence."""
        self._networks = [_network(part.strip()) for part in text.split(",") if part.strip()]
        self.trusts = lru_cache(1024)(self._trusts)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _trusts(self, address: str) -> bool:
        """Tell whether an address is one of a proxy."""
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_of(self, peer: str, forwarded: str) -> str:
        """Return the address of the client: the right-most that is not a proxy's. What is left of it may lie.

        `forwarded` is what all `X-Forwarded-For` say, with commas between. It is believed up to the first
        entry from the right that is no address.
        """
        client = peer
        for entry in reversed(forwarded.split(",")):
            if not self.trusts(client):
                break
            parsed = _address(_without_port(entry.strip()))
            if parsed is None:
                break
            client = str(parsed)
        return client


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network("0.0.0.0/0" if text == "*" else text)
    except ValueError as error:
        raise ValueError(f"{error}; expected addresses and networks such as 10.0.0.5,10.1.0.0/16") from None
    if not network.prefixlen:
        raise ValueError(
            f"{text} would believe everybody, and everybody could choose the address that failed logins "
            "count for; name the proxies, such as 10.0.0.5,10.1.0.0/16"
        )
    return network


def _address(text: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _without_port(text: str) -> str:
    """Some proxies pass on where the client spoke from: `203.0.113.7:51334`, `[2001:db8::1]:51334`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def behind(proxies: Proxies, app: ASGIApp) -> ASGIApp:
    """Return the application as it is behind proxies: it sees the client's address and scheme."""

    def forwarded(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        client = scope.get("client")
        if client and proxies.trusts(client[0]):
            addresses = []
            for name, value in scope["headers"]:
                if name == b"x-forwarded-for":
                    addresses.append(value.decode("latin-1"))
                elif name == b"x-forwarded-proto" and value in (b"http", b"https"):
                    scope["scheme"] = value.decode()
            if addresses:
                scope["client"] = (proxies.client_of(client[0], ",".join(addresses)), 0)
        return app(scope, receive, send)

    return forwarded
