"""Calls to others over HTTP: bounded in time and bytes, past no redirect, only to addresses that are meant.

Where a caller names the networks that it may reach beside the public ones, the addresses of a host are looked
at after its name is resolved, and the connection goes to what was looked at: a name that changes its mind in
between leads nowhere else. TLS is checked against the name. Each destination of each caller has connections
of its own, so whoever does not answer keeps only those waiting who asked them.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPMethod
from typing import Any, NamedTuple

import httpcore
import httpx
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Headers = Sequence[tuple[bytes, bytes]]

DESTINATIONS_MAX = 256  # whose connections are kept
CONNECTIONS_MAX = 32  # to one destination, for one caller
TRIES = 2
SAFE = frozenset({HTTPMethod.GET, HTTPMethod.HEAD})  # change nothing on the other side, and may be sent twice
PORTS = {"http": 80, "https": 443}
STREAMS_MAX = 100  # calls at the same time over one connection of HTTP/2
IDLE_SECONDS = 30.0
SHARED_IDLE_SECONDS = 300.0  # of HTTP/2, whose servers want connections to last
CONNECT_SECONDS_MAX = 5.0  # for one of several addresses
RESOLVERS = 8  # names that are looked up at the same time
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = [  # of these: what stands for another address, or for none
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_SPECIAL_V4 = [
    ipaddress.IPv4Network(text)
    for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")
]


class Unanswered(Exception):
    """There is no answer; the text is the kind of trouble, and names no address."""


class Forbidden(Unanswered):
    """The host has no address that may be called."""


class TooLarge(Unanswered):
    """The answer has more bytes than are taken."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Names of headers are in small letters."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> str:
        """Return a header; empty where there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Callers share no connections.

    `networks` are those it may reach that are not public; None: any address at all, for what the operator has
    declared with its address. `authorities` are certificates (PEM) that vouch for the other side instead of
    the usual ones. `http2`: all calls to a server share one connection of HTTP/2, which it has to speak.
    """

    name: str
    networks: tuple[str, ...] | None = None
    authorities: str = ""
    http2: bool = False


class _Bound(NamedTuple):
    """How much of an answer is taken, and whether one that is longer is cut or refused."""

    bytes_max: int
    cut: bool


class Outgoing:
    """Calls others. One for each process."""

    def __init__(self) -> None:
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._looking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._destinations: OrderedDict[tuple[Caller, str], _Destination | _SharedDestination] = OrderedDict()
        self._trust: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._making = asyncio.Lock()

    async def close(self) -> None:
        """Let go of connections."""
        for destination in self._destinations.values():
            await destination.close()
        self._destinations.clear()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def exchange(
        self,
        caller: Caller,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]],
        content: bytes | None = None,
        seconds: float,
        bytes_max: int,
        cut: bool = False,
    ) -> Answer:
        """Send a request and return the answer, whatever its status; a redirect is an answer.

        A GET or a HEAD whose connection is lost before there is an answer is sent once more, and so is a
        request that found nobody to connect to; nothing else is. Raises `Unanswered` when there is no answer
        within the time, `TooLarge` and `Forbidden`; with `cut`, the first `bytes_max` bytes of an answer that
        is too large are the answer.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(caller, method, url, headers, content, _Bound(bytes_max, cut))
        except (OSError, ValueError, httpx.InvalidURL) as error:  # a time-out is one of the first
            raise Unanswered(type(error).__name__) from None

    async def _exchange(
        self,
        caller: Caller,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        content: bytes | None,
        bound: _Bound,
    ) -> Answer:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Unanswered("InvalidURL")
        target = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        sent = [(name.encode("ascii"), value.encode()) for name, value in headers]
        if not any(name.lower() == b"host" for name, _ in sent):
            sent.insert(0, (b"Host", parsed.netloc))
        if content is not None or method in ("POST", "PUT", "PATCH"):
            sent.append((b"Content-Length", b"%d" % len(content or b"")))
        request = httpcore.Request(method, target, headers=sent, content=content)
        async with self._destination(caller, parsed) as destination:
            failed: Exception | None = None
            for _ in range(TRIES):
                try:
                    return await destination.send(request, bound)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failed = error  # nothing was sent
                except (httpcore.RemoteProtocolError, httpcore.ReadError) as error:
                    failed = error
                    if method not in SAFE:
                        break
                except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
                    failed = error
                    break
        raise Unanswered(type(failed).__name__) from None

    @asynccontextmanager
    async def _destination(
        self, caller: Caller, url: httpx.URL
    ) -> AsyncIterator["_Destination | _SharedDestination"]:
        key = (caller, f"{url.scheme}://{url.netloc.decode()}")
        destination = self._destinations.get(key)
        if destination is None:
            trust = await self._trusted(caller) if url.scheme == "https" else None
            origin = httpcore.Origin(url.raw_scheme, url.raw_host, url.port or PORTS[url.scheme])
            kind = _SharedDestination if caller.http2 else _Destination
            destination = self._destinations.setdefault(key, kind(origin, trust, _Guarded(self, caller)))
        self._destinations.move_to_end(key)
        destination.users += 1  # before anything is waited for: nobody forgets it meanwhile
        try:
            await self._forget_some()
            yield destination
        finally:
            destination.users -= 1

    async def _forget_some(self) -> None:
        too_many = len(self._destinations) - DESTINATIONS_MAX
        if too_many <= 0:
            return
        unused = [key for key, known in self._destinations.items() if not known.users]
        forgotten = [self._destinations.pop(key) for key in unused[:too_many]]
        for destination in forgotten:
            await destination.close()

    async def _trusted(self, caller: Caller) -> ssl.SSLContext:
        """Return what TLS trusts. Reading the usual roots takes 30 ms.

        The library notes there which HTTP it offers, so each version has its own.
        """
        authorities, key = caller.authorities, (caller.authorities, caller.http2)
        async with self._making:
            if key not in self._trust:
                make = _own_trust if authorities else _usual_trust
                self._trust[key] = await asyncio.to_thread(make, authorities)
        return self._trust[key]

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host. Those who ask for the same at once share the answer."""
        key = (host, port)
        looking = self._looking.get(key)
        if looking is None:
            loop = asyncio.get_running_loop()
            looking = self._looking[key] = asyncio.ensure_future(
                loop.run_in_executor(self._resolvers, _addresses, host, port)
            )
            looking.add_done_callback(lambda done: self._looked(key, done))
        return await asyncio.shield(looking)

    def _looked(self, key: tuple[str, int], done: "asyncio.Future[list[str]]") -> None:
        del self._looking[key]
        if not done.cancelled():
            done.exception()  # whoever asked may be gone


class _Destination:
    """The connections of a caller to a server. The library's pool loses a place where a call is cancelled."""

    def __init__(
        self, origin: httpcore.Origin, trust: ssl.SSLContext | None, network: AsyncNetworkBackend
    ) -> None:
        self.users = 0
        self._origin, self._trust, self._network = origin, trust, network
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    async def send(self, request: httpcore.Request, bound: _Bound) -> Answer:
        """Send a request, once there is a place for it. Raises what the library does, and `TooLarge`."""
        async with self._places:
            connection = await self._connection()
            try:
                return await _receive(connection, request, bound)
            finally:
                if connection.is_idle() and not connection.is_closed():
                    self._idle.append(connection)
                else:
                    await asyncio.shield(connection.aclose())

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._origin,
            ssl_context=self._trust,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._network,
        )

    async def close(self) -> None:
        """Let go of connections that nobody uses."""
        while self._idle:
            await self._idle.pop().aclose()


class _SharedDestination:
    """The connection of HTTP/2 that a caller has to a server: every call is a stream of it.

    One that lost a call, or kept it waiting until its time was over, gets no further ones: it may be open at
    this end alone. Calls that the server says it has not looked at, because it closes, are sent once more.
    """

    def __init__(
        self, origin: httpcore.Origin, trust: ssl.SSLContext | None, network: AsyncNetworkBackend
    ) -> None:
        self.users = 0
        self._origin, self._trust, self._network = origin, trust, network
        self._places = asyncio.Semaphore(STREAMS_MAX)
        self._current: httpcore.AsyncHTTPConnection | None = None
        self._streams: dict[httpcore.AsyncHTTPConnection, int] = {}

    async def send(self, request: httpcore.Request, bound: _Bound) -> Answer:
        """Send a request, once there is a place for it. Raises what the library does, and `TooLarge`."""
        async with self._places:
            for _ in range(TRIES):
                connection = self._connection()
                self._streams[connection] += 1
                try:
                    return await _receive(connection, request, bound)
                except httpcore.ConnectionNotAvailable:
                    self._retire(connection)
                except BaseException as error:
                    if not isinstance(error, TooLarge):
                        self._retire(connection)
                    raise
                finally:
                    self._streams[connection] -= 1
                    await self._close_unused()
        raise httpcore.ConnectError("the server takes no call on any connection")

    def _connection(self) -> httpcore.AsyncHTTPConnection:
        current = self._current
        if current is None or not current.is_available() or current.has_expired():
            current = self._current = httpcore.AsyncHTTPConnection(
                self._origin,
                ssl_context=self._trust,
                keepalive_expiry=SHARED_IDLE_SECONDS,
                http1=False,
                http2=True,
                network_backend=self._network,
            )
            self._streams[current] = 0
        return current

    def _retire(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if self._current is connection:
            self._current = None

    async def _close_unused(self) -> None:
        for connection in [each for each, count in self._streams.items() if not count]:
            if connection is not self._current:
                del self._streams[connection]
                await asyncio.shield(connection.aclose())

    async def close(self) -> None:
        """Let go of connections that nobody uses."""
        self._current = None
        await self._close_unused()


@dataclass
class _Guarded(AsyncNetworkBackend):
    """Connects a caller to addresses that it may reach, and to nothing else."""

    outgoing: Outgoing
    caller: Caller
    plain: AnyIOBackend = field(default_factory=AnyIOBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> AsyncNetworkStream:
        try:
            found = await self.outgoing.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(type(error).__name__) from None
        addresses = [text for text in found if may_reach(text, self.caller.networks)]
        if not addresses:
            raise Forbidden("the host has no address that may be called")
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self.plain.connect_tcp(
                    address, port, CONNECT_SECONDS_MAX, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None, "there was an address to try"
        raise failed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _receive(
    connection: httpcore.AsyncHTTPConnection, request: httpcore.Request, bound: _Bound
) -> Answer:
    response = await connection.handle_async_request(request)
    try:
        body = bytearray()
        async for chunk in response.aiter_stream():  # raw: nothing is unpacked, so the bound below holds
            body += chunk
            if len(body) > bound.bytes_max:
                if not bound.cut:
                    raise TooLarge(f"the answer has more than {bound.bytes_max} bytes")
                del body[bound.bytes_max :]
                break  # the rest is not wanted, nor is the connection on which it comes
    finally:
        await response.aclose()
    return Answer(response.status, [(name.lower(), value) for name, value in response.headers], bytes(body))


# Addresses


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@lru_cache(4096)
def may_reach(text: str, networks: tuple[str, ...] | None) -> bool:
    """Tell whether an address is public, or in one of these networks; None admits any."""
    if networks is None:
        return True
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = _within(address) or address
    if any(address in network_of(network) for network in networks):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        return address in _PUBLIC_V6 and address.is_global and not _in(address, _SPECIAL_V6)
    return address.is_global and not address.is_multicast and not _in(address, _SPECIAL_V4)


def _within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the address of the fourth version that one of the sixth stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    if number >> 32 in (0, 0x64FF9B << 64) and number > 1:  # compatible ones; those of translators
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(1024)
def network_of(text: str) -> Network:
    """Read an address or a network. Raises `ValueError`."""
    return ipaddress.ip_network(text)


# TLS


def _usual_trust(_: str) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _own_trust(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authorities)
