"""A connection to PostgreSQL on which statements travel together.

What a short statement costs is its round trip: both processes go to sleep and are woken. asyncpg sends one
statement and waits for its reply. PostgreSQL itself takes any number of them before the Sync that asks for
replies; so a statement whose outcome nobody waits for is *held* here, and goes out in front of the next one.
asyncpg reads over the replies of statements that it has not sent, as long as they return no rows, or rows
like those of the one it has sent. So where held statements return rows, asyncpg sends the last of these, in
the midst of the others. When a held statement fails, PostgreSQL skips what follows it up to the Sync, and
the statement it travelled with fails in its place.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Self, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.protocol import Protocol

STATEMENTS_MAX = 1000  # prepared on a connection; where-clauses of clients make ever new ones
STATEMENT_CHARACTERS_MAX = 15_000  # longer ones are not kept

BEGIN, COMMIT, ROLLBACK = "BEGIN", "COMMIT", "ROLLBACK"

_EXECUTE = b"E" + struct.pack("!i", 9) + b"\0" + struct.pack("!i", 0)
_NULL = struct.pack("!i", -1)
_LENGTH = struct.Struct("!i").pack
_COUNT = struct.Struct("!h").pack
_ALL_BINARY = _COUNT(1) + _COUNT(1)
_NO_RESULTS = _COUNT(0)
_SYNC = b"S" + struct.pack("!i", 4)

Encoder = Callable[[Any], bytes]

_ENCODERS: dict[str, Encoder] = {  # PostgreSQL's binary formats, by the name of the type
    "bool": struct.Struct("!?").pack,
    "bytea": bytes,
    "float8": struct.Struct("!d").pack,
    "int2": struct.Struct("!h").pack,
    "int4": struct.Struct("!i").pack,
    "int8": struct.Struct("!q").pack,
    "jsonb": lambda text: b"\x01" + text.encode(),  # the format's version
    "text": str.encode,
    "varchar": str.encode,
}
_COLUMNS = {
    "bool",
    "float8",
    "int2",
    "int4",
    "int8",
    "text",
    "varchar",
}  # that asyncpg reads in these formats, too


class _Prepared(NamedTuple):
    """A statement that PostgreSQL knows.

    `encoders` is None where a parameter or a column of its rows is of a kind that cannot be held; `head` is
    what comes before the values in the message that binds them, `tail` what follows there; `returns` tells
    whether it has columns.
    """

    statement: Any
    state: Any
    encoders: tuple[Encoder, ...] | None
    head: bytes
    tail: bytes
    returns: bool

    def message(self, arguments: Sequence[Any]) -> bytes:
        """Return the messages that bind and execute it. Raises `ValueError` for one that does not fit."""
        assert self.encoders is not None
        values = []
        try:
            for encode, value in zip(self.encoders, arguments, strict=True):
                if value is None:
                    values.append(_NULL)
                else:
                    encoded = encode(value)
                    values.append(_LENGTH(len(encoded)))
                    values.append(encoded)
        except struct.error as error:
            raise ValueError(f"an argument does not fit its column: {error}") from error
        body = b"".join(values)
        length = _LENGTH(4 + len(self.head) + len(body) + len(self.tail))
        return b"".join((b"B", length, self.head, body, self.tail, _EXECUTE))


class _Wanted(NamedTuple):
    """A held statement with rows, as asyncpg is to send it and as it is held; `rows` gets what it returns."""

    sql: str
    state: Any
    arguments: Sequence[Any]
    message: bytes
    rows: list[Any]


class _Transport:
    """A transport that sends `first` together with what is written next: each write is a system call.

    `last` follows what is written, in front of the Sync at its end.
    """

    __slots__ = ("first", "inner", "last")

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.first: list[bytes] = []
        self.last: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, data: bytes) -> None:
        if self.last:
            self.inner.write(b"".join((*self.first, data[: -len(_SYNC)], *self.last, _SYNC)))
            self.first, self.last = [], []
        elif self.first:
            self.writelines([data])
        else:
            self.inner.write(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        data = b"".join((*self.first, *lines))
        self.first = []
        self.inner.write(data)


class _Loop:
    """The event loop as asyncpg is to see it: what it makes has a `_Transport`.

    Over TCP asyncpg first asks whether the server speaks TLS, with a protocol of its own, and gives the
    transport to the real one afterwards.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, *words: Any, **named: Any) -> Any:
        return await self._create(self._loop.create_connection, *words, **named)

    async def create_unix_connection(self, *words: Any, **named: Any) -> Any:
        return await self._create(self._loop.create_unix_connection, *words, **named)

    async def _create(self, create: Any, factory: Any, *words: Any, **named: Any) -> Any:
        def wrapped() -> Any:
            protocol = factory()
            return _Wrap(protocol) if isinstance(protocol, Protocol) else protocol

        transport, protocol = await create(wrapped, *words, **named)
        if isinstance(protocol, _Wrap):
            return protocol.transport, protocol.protocol
        return _Transport(transport), protocol

    async def start_tls(self, transport: _Transport, *words: Any, **named: Any) -> _Transport:
        return _Transport(await self._loop.start_tls(transport.inner, *words, **named))


class _Wrap(asyncio.Protocol):
    """Stands in for asyncpg's protocol until the connection is made."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport: _Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = _Transport(transport)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.transport)


def wanted_host(url: str) -> dict[str, Any]:
    """Return which of several hosts asyncpg is to connect to: one that takes writes, unless the URL says."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    hosts = [parts.netloc.rpartition("@")[2], *query.get("host", [])]
    if any("," in host for host in hosts) and "target_session_attrs" not in query:
        return {"target_session_attrs": "read-write"}
    return {}


class Pipeline:
    """One connection. Not for two tasks at a time."""

    __slots__ = (
        "_begin",
        "_behind",
        "_held",
        "_protocol",
        "_raw",
        "_statements",
        "_transport",
        "_wanted",
        "era",
    )

    def __init__(self, raw: Any) -> None:
        self.era = 0  # for whoever keeps connections
        self._raw = raw
        self._protocol = raw._protocol  # noqa: SLF001 - one of asyncpg's versions we know: see pyproject.toml
        self._transport: _Transport = raw._transport  # noqa: SLF001 - it is ours: see `_Loop`
        self._statements: dict[str, _Prepared] = {}
        self._held: list[bytes] = []
        self._wanted: _Wanted | None = None  # is held, too, behind the others
        self._behind: list[bytes] = []  # what is held behind that
        self._begin = b""

    @classmethod
    async def open(cls, url: str, timeout_seconds: float, settings: dict[str, str]) -> Self:
        """Connect; raises what asyncpg raises."""
        loop = _Loop(asyncio.get_running_loop())
        raw = await asyncpg.connect(
            url, loop=loop, timeout=timeout_seconds, server_settings=settings, **wanted_host(url)
        )
        pipeline = cls(raw)
        try:
            for sql in (BEGIN, COMMIT, ROLLBACK):
                await pipeline._prepare(sql)
            pipeline._begin = pipeline._statements[BEGIN].message(())
        except BaseException:
            raw.terminate()
            raise
        return pipeline

    async def close(self, timeout_seconds: float) -> None:
        """Part from PostgreSQL in good order."""
        await self._raw.close(timeout=timeout_seconds)

    def terminate(self) -> None:
        """Break the connection."""
        self._raw.terminate()

    def is_closed(self) -> bool:
        """Tell whether the connection is of no more use."""
        return cast("bool", self._raw.is_closed())

    def forget_statements(self) -> None:
        """Prepare all statements anew when they are needed: a migration has changed what they mean."""
        for sql in self._statements.keys() - {BEGIN, COMMIT, ROLLBACK}:
            del self._statements[sql]

    def is_in_transaction(self) -> bool:
        """Tell whether PostgreSQL has begun a transaction, be it a failed one, when it answered last."""
        return cast("bool", self._raw.is_in_transaction())

    @property
    def holds(self) -> bool:
        """Whether there is anything that has not been sent yet."""
        return bool(self._held) or self._wanted is not None

    @property
    def begins(self) -> bool:
        """Whether the transaction's BEGIN has not been sent yet."""
        return bool(self._held) and self._held[0] is self._begin

    def begin(self) -> None:
        """Hold BEGIN."""
        self._held.append(self._begin)

    def drop(self) -> None:
        """Forget what has not been sent."""
        self._held.clear()
        self._behind.clear()
        self._wanted = None

    async def hold(self, sql: str, arguments: Sequence[Any] = (), rows: list[Any] | None = None) -> None:
        """Let a statement travel with the next one; `rows` gets what it returns, None stands for nothing.

        Raises `ValueError` for an argument that does not fit. A statement with a parameter or a column of a
        rare type runs at once, and so does one whose rows nobody wants.
        """
        prepared = self._statements.get(sql) or await self._prepare(sql)
        if prepared.encoders is None or (prepared.returns and rows is None):
            returned, _ = await self._run(sql, arguments, 0)
            if rows is not None:
                rows.extend(returned)
            return
        message = prepared.message(arguments)
        if rows is None:
            (self._held if self._wanted is None else self._behind).append(message)
            return
        if self._wanted is not None:
            if self._wanted.sql != sql or self._wanted.rows is not rows:  # could not be told apart
                await self.settle()
            else:
                self._held += (self._wanted.message, *self._behind)
                self._behind.clear()
        self._wanted = _Wanted(sql, prepared.state, arguments, message, rows)

    async def settle(self) -> str:
        """Run what is held if it returns rows, and hand these out; returns the last command tag, or ''."""
        wanted = self._wanted
        if wanted is None:
            return ""
        transport = self._transport
        transport.first, transport.last = self._held, self._behind
        self._held, self._behind, self._wanted = [], [], None
        try:
            rows, status, _ = await self._protocol.bind_execute(
                wanted.state, wanted.arguments, "", 0, True, None
            )
        finally:
            transport.last = []  # not sent if the task was cancelled; must never come behind a ROLLBACK
        wanted.rows.extend(rows)
        return cast("bytes", status).decode()

    async def end(self, sql: str) -> str:
        """Run COMMIT or ROLLBACK behind what is held; returns its command tag."""
        if self._wanted is None:
            return await self.status(sql)
        self._behind.append(self._statements[sql].message(()))
        return await self.settle()

    async def row(self, sql: str, arguments: Sequence[Any]) -> Any:
        """Run a statement; returns its first row or None."""
        rows, _ = await self._run(sql, arguments, 1)
        return rows[0] if rows else None

    async def rows(self, sql: str, arguments: Sequence[Any]) -> Any:
        """Run a statement; returns its rows."""
        rows, _ = await self._run(sql, arguments, 0)
        return rows

    async def status(self, sql: str, arguments: Sequence[Any] = ()) -> str:
        """Run a statement; returns its command tag, such as `UPDATE 3`."""
        _, status = await self._run(sql, arguments, 0)
        return status.decode()

    async def _run(self, sql: str, arguments: Sequence[Any], limit: int) -> tuple[list[Any], bytes]:
        """Run a statement; returns at most `limit` rows, all if it is 0, and the command tag."""
        prepared = self._statements.get(sql) or await self._prepare(sql)
        if self._wanted is not None:
            await self.settle()
        if self._held:
            self._send()
        # What the statement's own methods do at last, without the four calls and the lock around it.
        rows, status, _ = await self._protocol.bind_execute(prepared.state, arguments, "", limit, True, None)
        return rows, status

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of arguments."""
        prepared = self._statements.get(sql) or await self._prepare(sql)
        if self._wanted is not None:
            await self.settle()
        if self._held:
            self._send()
        await prepared.statement.executemany(rows)

    def _send(self) -> None:
        """Let what is held go out with the messages that asyncpg is about to write, which end with a Sync."""
        self._transport.first = self._held
        self._held = []

    async def _prepare(self, sql: str) -> _Prepared:
        """Let PostgreSQL read a statement. What is held has not been sent then: its replies come later."""
        statement = await self._raw.prepare(sql)
        names = [parameter.name for parameter in statement.get_parameters()]
        returned = {attribute.type.name for attribute in statement.get_attributes()}
        encoders = None
        if returned <= _COLUMNS and _ENCODERS.keys() >= set(names):
            encoders = tuple(_ENCODERS[name] for name in names)
        head = b"\0" + statement.get_name().encode() + b"\0" + _ALL_BINARY + _COUNT(len(names))
        tail = _ALL_BINARY if returned else _NO_RESULTS
        state = statement._state  # noqa: SLF001 - as `_protocol`
        prepared = _Prepared(statement, state, encoders, head, tail, bool(returned))
        if len(sql) <= STATEMENT_CHARACTERS_MAX:
            # Not while something is held besides BEGIN: PostgreSQL must still know it when it is sent.
            holds_none = self._wanted is None and len(self._held) <= self.begins
            if len(self._statements) >= STATEMENTS_MAX and holds_none:
                self._forget_oldest()
            self._statements[sql] = prepared
        return prepared

    def _forget_oldest(self) -> None:
        kept = (BEGIN, COMMIT, ROLLBACK)
        del self._statements[next(sql for sql in self._statements if sql not in kept)]
