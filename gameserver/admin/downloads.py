"""Lists as files: all rows that a filter finds, read a page at a time and sent while they are read.

However many rows there are, a file takes the memory of one page. The last line tells how many there were; a
file without it is not whole. Each is noted in the journal, and a few run at once in each process.
"""

import asyncio
import contextlib
import csv
import io
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gameserver.admin.bounded import BoundedServer
from gameserver.admin.common import Refused, Server, Spent
from gameserver.admin.declaring import Action, Forbidden, Rows, TooSlow, perform
from gameserver.admin.operators import Operator, note
from gameserver.frame import Parts
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError

KINDS = {"csv": "text/csv", "json": "application/json", "jsonl": "application/jsonl"}
"""What a list can be had as, and how that is called on the web."""
AT_ONCE, AT_ONCE_EACH = 4, 2
PAUSE_SECONDS = 2.0  # of one whose reads have taken as long as they may in a minute
PAUSES_MAX = 100  # without a row between them
SEND_SECONDS_MAX = 60.0  # in which a reader has to take what is sent
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Downloads:
    """The files that are being sent by this process, by whom they are for."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[None]:
        """Take one of the places. Raises `Refused` when all of them, or one's own, are taken."""
        if self._running[name] >= AT_ONCE_EACH or self._running.total() >= AT_ONCE:
            raise Refused("enough files are being made just now; wait until one is done")
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1


@asynccontextmanager
async def lifespan(_: Parts) -> AsyncIterator[Downloads]:
    """Count what is being sent."""
    yield Downloads()


async def download(
    server: Server, chosen: Action, arguments: Mapping[str, Any], by: Operator, kind: str, name: str,
    headers: Mapping[str, str],
) -> Response:  # fmt: skip
    """Begin to send all rows that a list gives; raises what the list raises for its first page."""
    if kind not in KINDS or chosen.pages is None:
        raise Refused(f"a list is had as {', '.join(KINDS)}")
    parts = _parts(server, chosen, arguments, by, _Writer(kind))
    first = await anext(parts)
    named = {**headers, "Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return _Download(first, parts, named, KINDS[kind])


async def _parts(
    server: Server, chosen: Action, arguments: Mapping[str, Any], by: Operator, writer: "_Writer"
) -> AsyncGenerator[bytes, None]:
    """Yield the file; whatever stops it later than on the first page is told by its last line."""
    count, is_begun, is_whole = 0, False, False
    with server.core.get(Downloads).place(by.name):
        try:
            async for rows in _pages(server, chosen, arguments, by):
                if not is_begun:
                    await _note(server, chosen, arguments, by, {"as": writer.kind, **_filter(arguments)})
                    is_begun = True
                    yield writer.begin(rows)
                began = time.perf_counter()
                part = writer.rows(rows)
                count += len(rows)
                yield part
                # Players go first: whoever takes a file along waits as long as the page has kept the process.
                await asyncio.sleep(time.perf_counter() - began if rows else 0)
            is_whole = True
            yield writer.end(count)
        except (Refused, Forbidden, StorageError, SessionsUnavailable, _Uneven) as error:
            if not is_begun:
                raise
            yield writer.broken(str(error), count)
        finally:
            if is_begun:
                with contextlib.suppress(StorageError):
                    ended = {"rows": count, "whole": is_whole}
                    await asyncio.shield(_note(server, chosen, arguments, by, ended))


async def _pages(
    server: Server, chosen: Action, arguments: Mapping[str, Any], by: Operator
) -> AsyncIterator[Rows]:
    assert chosen.pages is not None, "only what has pages is asked for"

    async def ask(**more: Any) -> Any:
        for _ in range(PAUSES_MAX):
            with contextlib.suppress(Spent, TooSlow):
                return await perform(server, chosen, {**arguments, **more}, by)
            await asyncio.sleep(PAUSE_SECONDS)
        raise TooSlow("the database had no time for it")

    async for rows in chosen.pages(ask, BoundedServer(server, by.name), arguments):
        yield rows


def _filter(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "app" and value not in (None, "", {})}


async def _note(
    server: Server, chosen: Action, arguments: Mapping[str, Any], by: Operator, after: dict[str, Any]
) -> None:
    app, profile = str(arguments.get("app", "")), str(arguments.get("profile", ""))
    async with server.core.database.write() as tx:
        await note(server, tx, by, "list_export", app, profile=profile, target=chosen.name, after=after)


class _Uneven(Exception):
    """A row has columns that the first ones had not."""


class _Writer:
    """Writes rows as one kind of file."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._columns: list[str] = []
        self._is_first = True

    def begin(self, rows: Rows) -> bytes:
        if self.kind == "json":
            return b'{"rows": [\n'
        if self.kind == "jsonl":
            return b""
        self._columns = list(dict.fromkeys(column for row in rows for column in row))
        return _csv([self._columns])

    def rows(self, rows: Rows) -> bytes:
        if not rows:
            return b""
        if self.kind == "csv":
            known = set(self._columns)
            if any(row.keys() - known for row in rows):
                raise _Uneven("a row has columns that the first ones had not: take it along as lines of JSON")
            return _csv([_cell(row.get(column)) for column in self._columns] for row in rows)
        lines = [msgspec.json.encode(row) for row in rows]
        if self.kind == "jsonl":
            return b"\n".join(lines) + b"\n"
        before, self._is_first = b"" if self._is_first else b",\n", False
        return before + b",\n".join(lines)

    def end(self, count: int) -> bytes:
        match self.kind:
            case "csv":
                return _csv([["# count", str(count)]])
            case "json":
                return b'\n],\n"count": %d}\n' % count
            case _:
                return msgspec.json.encode({"count": count}) + b"\n"

    def broken(self, error: str, count: int) -> bytes:
        if self.kind == "csv":
            return _csv([["# error", error, "after", str(count)]])
        return b"\n" + msgspec.json.encode({"error": error, "count": count}) + b"\n"


def _csv(rows: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):  # a spreadsheet takes no cell of it for a formula
        return f"'{value}" if value[:1] in FORMULA else value
    return msgspec.json.encode(value).decode()


class _Download(Response):
    """Sends what has begun; whoever has gone away is not read for."""

    def __init__(
        self, first: bytes, parts: AsyncGenerator[bytes, None], headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(b"", headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._first, self._parts = first, parts

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive))
        try:
            async with contextlib.aclosing(self._parts):
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
                await _send(send, self._first)
                async for part in self._parts:
                    if gone.done():
                        return
                    if part:
                        await _send(send, part)
                await send({"type": "http.response.body", "body": b""})
        except (OSError, TimeoutError):  # nobody is there any more
            return
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, part: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await send({"type": "http.response.body", "body": part, "more_body": True})
