"""Calls out: which addresses they reach, what bounds them, and what is sent twice."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from gameserver.wire import outgoing
from gameserver.wire.outgoing import Answer, Caller, Forbidden, Outgoing, TooLarge, Unanswered, may_reach
from tests.websites import Page, Seen, website

LOOPBACK = Caller("test", ("127.0.0.0/8",))
NOBODY = Caller("test", ())


@pytest.fixture
async def calls() -> AsyncIterator[Outgoing]:
    made = Outgoing()
    yield made
    await made.close()


async def get(
    calls: Outgoing, url: str, caller: Caller = LOOPBACK, *, method: str = "GET", **how: Any
) -> Answer:
    return await calls.exchange(
        caller, method, url, **{"headers": [], "seconds": 5, "bytes_max": 1 << 20, **how}
    )


# Addresses


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "192.88.99.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1"),
        *("ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "::127.0.0.1", "2002:7f00:1::1", "2001::1", "fec0::1"),
        *("64:ff9b:1::1", "100::1", "3fff::1", "4000::1"),
    ],
)
def test_what_is_not_public_is_reached_by_nobody_who_does_not_list_it(text: str) -> None:
    assert not may_reach(text, ())
    assert may_reach(text, None)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_public_is_reached(text: str) -> None:
    assert may_reach(text, ())


def test_what_is_listed_is_reached_in_whatever_spelling() -> None:
    assert may_reach("10.1.2.3", ("10.1.0.0/16",))
    assert may_reach("::ffff:10.1.2.3", ("10.1.0.0/16",))
    assert not may_reach("10.2.0.1", ("10.1.0.0/16",))
    assert may_reach("::1", ("::1",))
    assert may_reach("169.254.169.254", ("192.168.0.0/16", "169.254.169.254"))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]", "0"]
)
async def test_no_spelling_of_this_machine_gets_through(calls: Outgoing, host: str) -> None:
    async with website(lambda _: Page()) as site:
        with pytest.raises(Forbidden):
            await get(calls, f"http://{host}:{site.port}/", NOBODY)
        assert site.connections == 0


async def test_a_name_that_flips_leads_to_what_was_looked_at(
    calls: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved once, and the connection made to that address, not to the name."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with website(lambda seen: Page(body=seen.headers["host"].encode())) as site:
        answer = await get(calls, f"http://flip.example:{site.port}/")
        assert answer.body == f"flip.example:{site.port}".encode()
        assert asked == ["flip.example"]
        await get(calls, f"http://flip.example:{site.port}/")  # on the connection that there is
        assert asked == ["flip.example"]
        with pytest.raises(Forbidden):  # another caller has no share of it
            await get(calls, f"http://flip.example:{site.port}/", Caller("other", ("127.0.0.0/8",)))


async def test_of_several_addresses_only_those_are_tried_that_may_be(
    calls: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_: str, port: int, **__: Any) -> Any:
        places = ("169.254.169.254", "127.0.0.2", "127.0.0.1")  # nobody listens at the second
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in places]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with website(lambda _: Page()) as site:
        assert (await get(calls, f"http://many.example:{site.port}/")).status == 200


async def test_a_name_that_is_none(calls: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Unanswered, match="ConnectError"):
        await get(calls, "http://nowhere.example/")


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://", "http:///x", "x", "http://[::1", "http://a b/"]
)
async def test_what_is_no_address_of_the_web(calls: Outgoing, url: str) -> None:
    with pytest.raises(Unanswered):
        await get(calls, url)


# Bounds


async def test_who_does_not_answer_keeps_nobody_else_waiting(
    calls: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "CONNECTIONS_MAX", 4)
    async with website(lambda _: None) as silent, website(lambda _: Page(body=b"here")) as alive:
        url = f"http://127.0.0.1:{silent.port}/"
        waiting = [asyncio.create_task(get(calls, url, seconds=3)) for _ in range(40)]
        await silent.reached.wait()
        assert (await get(calls, f"http://127.0.0.1:{alive.port}/")).body == b"here"
        assert not any(task.done() for task in waiting)
        assert silent.connections <= 4
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, Unanswered) for end in ends)
        # The connections are free again, whatever became of those calls.
        silent.serve = lambda _: Page(body=b"awake")
        assert (await get(calls, url)).body == b"awake"


async def test_an_answer_has_a_size(calls: Outgoing) -> None:
    async with website(lambda _: Page(body=b"x" * 1000)) as site:
        url = f"http://127.0.0.1:{site.port}/"
        assert len((await get(calls, url, bytes_max=1000)).body) == 1000
        with pytest.raises(TooLarge):
            await get(calls, url, bytes_max=999)


async def test_destinations_are_forgotten_when_there_are_too_many(
    calls: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "DESTINATIONS_MAX", 2)
    async with website(lambda _: Page()) as site:
        for number in range(10):
            await get(calls, f"http://127.0.0.1:{site.port}/", Caller(f"c{number}", ("127.0.0.1",)))
    assert len(calls._destinations) <= 3


async def test_more_destinations_are_in_use_than_are_kept(
    calls: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "DESTINATIONS_MAX", 1)
    held, all_there = asyncio.Event(), asyncio.Event()
    open_: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        open_.append(writer)
        if len(open_) == 3:
            all_there.set()
        await held.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        callers = [Caller(f"c{number}", ("127.0.0.1",)) for number in range(3)]
        waiting = asyncio.gather(*(get(calls, url, caller) for caller in callers))
        either: list[asyncio.Future[Any]] = [asyncio.ensure_future(all_there.wait()), waiting]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        held.set()
        assert [answer.status for answer in await waiting] == [200, 200, 200]
        await get(calls, url)
        assert len(calls._destinations) == 1
        await calls.close()
        for writer in open_:
            writer.close()


# Sending


@pytest.mark.parametrize(
    ("method", "times"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)]
)
async def test_only_what_changes_nothing_is_sent_twice(calls: Outgoing, method: str, times: int) -> None:
    """When a connection ends before there is an answer, nobody knows whether the request has arrived."""
    seen: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unanswered):
            await get(calls, f"http://127.0.0.1:{port}/", method=method)
    assert len(seen) == times


async def test_what_is_sent_arrives_as_it_is(calls: Outgoing) -> None:
    async with website(lambda _: Page(204)) as site:
        answer = await get(
            calls,
            f"http://127.0.0.1:{site.port}/a%20b?x=ä",
            method="POST",
            headers=[("X-One", "1"), ("Host", "elsewhere.example")],
            content=b"body",
        )
        assert (answer.status, answer.body) == (204, b"")
        [seen] = site.seen
        assert (seen.method, seen.target, seen.body) == ("POST", "/a%20b?x=%C3%A4", b"body")
        assert seen.headers == {"x-one": "1", "host": "elsewhere.example", "content-length": "4"}


# TLS


async def test_certificates_are_checked_against_the_name(calls: Outgoing) -> None:
    authority = trustme.CA()

    def tls(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def serve(_: Seen) -> Page:
        return Page(body=b"secret")

    trusting = Caller("test", ("127.0.0.0/8",), authority.cert_pem.bytes().decode())
    async with website(serve, tls("localhost")) as good, website(serve, tls("other.example")) as wrong:
        assert (await get(calls, f"https://localhost:{good.port}/", trusting)).body == b"secret"
        for url, caller in (
            (f"https://localhost:{wrong.port}/", trusting),
            (f"https://127.0.0.1:{good.port}/", trusting),
            (f"https://localhost:{good.port}/", LOOPBACK),
        ):
            with pytest.raises(Unanswered, match="ConnectError"):
                await get(calls, url, caller)
    assert good.seen
    assert not wrong.seen
