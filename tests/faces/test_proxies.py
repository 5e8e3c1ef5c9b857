"""Whom a request is from when proxies stand between."""

import pytest
from starlette.types import Receive, Scope, Send

from gameserver.http_server import Proxies, behind

PROXIES = Proxies("10.0.0.5, 10.1.0.0/16,2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.5", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.6", "203.0.113.7", "10.0.0.6"),  # no proxy of ours
        ("10.0.0.5", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the client said the first itself
        ("10.0.0.5", "203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("10.0.0.5", "10.1.9.9, 10.1.2.3", "10.1.9.9"),
        ("10.0.0.5", "unknown", "10.0.0.5"),
        ("10.0.0.5", "198.51.100.1, <script>", "10.0.0.5"),
        ("10.0.0.5", "198.51.100.1, 10.1.2.3, junk, 10.1.2.4", "10.1.2.4"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", ",,,", "10.0.0.5"),
        ("10.0.0.5", "203.0.113.7:51334", "203.0.113.7"),
        ("10.0.0.5", "[2001:db9::1]:51334", "2001:db9::1"),
        ("10.0.0.5", "2001:DB9:0::1", "2001:db9::1"),
        ("::ffff:10.0.0.5", "::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.5", "203.0.113.7" + "\0" * 1000, "10.0.0.5"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_counts(peer: str, forwarded: str, client: str) -> None:
    assert PROXIES.client_of(peer, forwarded) == client


@pytest.mark.parametrize(
    ("peer", "headers", "client", "scheme"),
    [
        (
            "10.0.0.5",
            [("for", "198.51.100.1"), ("for", "203.0.113.7"), ("proto", "https")],
            "203.0.113.7",
            "https",
        ),
        ("10.0.0.5", [("proto", "gopher")], "10.0.0.5", "http"),
        ("203.0.113.9", [("for", "203.0.113.7"), ("proto", "https")], "203.0.113.9", "http"),
    ],
)
async def test_the_application_sees_the_client(
    peer: str, headers: list[tuple[str, str]], client: str, scheme: str
) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> None:
        raise AssertionError

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 1),
        "headers": [(f"x-forwarded-{name}".encode(), value.encode()) for name, value in headers],
    }
    await behind(PROXIES, app)(scope, nothing, nothing)  # type: ignore[arg-type]
    assert (seen[0]["client"][0], seen[0]["scheme"]) == (client, scheme)
