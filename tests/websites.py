"""Websites for tests: others' web services, over real HTTP on loopback, with TLS or without."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """A request that a website got. Names of headers are in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Page:
    """What a website answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Serve = Callable[[Seen], Page | None]


@dataclass
class Website:
    """Answers with what `serve` returns; where that is None it says nothing until it closes."""

    serve: Serve
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    attending: dict["asyncio.Task[None]", asyncio.StreamWriter] = field(default_factory=dict)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Attend to a connection until it ends, or the website does."""
        task = asyncio.create_task(self.attend(reader, writer))
        self.attending[task] = writer
        task.add_done_callback(self.attending.pop)

    async def close(self) -> None:
        """End all connections."""
        self.closing.set()
        for writer in self.attending.values():
            writer.transport.abort()
        await asyncio.gather(*self.attending, return_exceptions=True)

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.seen.append(Seen(method, target, headers, body))
                self.reached.set()
                page = self.serve(self.seen[-1])
                if page is None:
                    await self.closing.wait()
                    break
                writer.write(f"HTTP/1.1 {page.status} X\r\nContent-Length: {len(page.body)}\r\n".encode())
                for name, value in page.headers.items():
                    writer.write(f"{name}: {value}\r\n".encode())
                writer.write(b"\r\n" + (b"" if method == "HEAD" else page.body))
                await writer.drain()
        writer.close()


@asynccontextmanager
async def website(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Website]:
    """Serve a website on 127.0.0.1."""
    site = Website(serve)
    server = await asyncio.start_server(site.accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        try:
            yield site
        finally:
            await site.close()
