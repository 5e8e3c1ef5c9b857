"""A proxy that loses what it is told to, for clients that have to send again."""

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class Lossy(ThreadingHTTPServer):
    """Stands before a server and loses what it is told to, by the operation in a packet."""

    daemon_threads = True

    def __init__(self, url: str, troubles: Mapping[str, list[str]]) -> None:
        self.url = url
        self.troubles = {operation: deque(kinds) for operation, kinds in troubles.items()}
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Passing)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; what else goes wrong, the test sees."""


class Passing(BaseHTTPRequestHandler):
    """Passes a packet on."""

    server: Lossy
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer, or not."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        [message] = json.loads(body)["messages"]
        troubles = self.server.troubles.get(message["operation"])
        trouble = troubles.popleft() if troubles else ""
        if trouble.isdigit():
            self.answer(int(trouble), b"later")
            return
        headers = {name: value for name, value in self.headers.items() if name.startswith("X-")}
        told = httpx.post(self.server.url + "/dispatcher", content=body, headers=headers)
        if trouble in {"lost", "silent"}:
            self.close_connection = True
            if trouble == "silent":
                self.rfile.read(1)  # until the client has hung up
            return
        self.answer(200, b"<html>" if trouble == "garbled" else told.content)

    def answer(self, status: int, body: bytes) -> None:
        """Send a status and a body."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base calls it so
        """Say nothing."""


@contextlib.contextmanager
def losing(url: str, troubles: Mapping[str, list[str]]) -> Iterator[Lossy]:
    """Stand before a server. Each packet of an operation gets its next trouble; "" is none.

    A status in place of an answer; `lost`: none; `silent`: none as long as the client waits; `garbled`.
    """
    with Lossy(url, dict(troubles)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
