"""The pipes to a process, by the system's own calls: those of an event loop take half as much CPU again."""

import asyncio
import contextlib
import os
from collections.abc import Callable

READ_BYTES = 1 << 16


class Pipes:
    """A pipe to a process and one from it. Not for Windows, whose event loop cannot wait for pipes."""

    def __init__(self) -> None:
        """Open both. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._open: set[int] = set()
        self.input = self.output = self._read_end = self._write_end = -1
        try:
            self.input, self._write_end = self._opened()
            self._read_end, self.output = self._opened()
        except OSError:
            self.close()
            raise
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def _opened(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def begin(self, receive: Callable[[bytes], None]) -> None:
        """Let go of the process's ends; `receive` is told what comes from it, and nothing at its end."""
        self._close(self.input, self.output)
        self._receive = receive
        self._loop.add_reader(self._read_end, self.read)

    def read(self) -> None:
        """Tell what has come."""
        if self._read_end not in self._open:
            return
        try:
            data = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._read_end)
        self._receive(data)

    def write(self, data: bytes) -> None:
        """Send, now or as soon as there is room. Raises OSError when nobody reads any more."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = os.write(self._write_end, data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._write_end, self._send_more)

    def _send_more(self) -> None:
        self._loop.remove_writer(self._write_end)
        data, self._unsent = self._unsent, b""
        with contextlib.suppress(OSError):  # the end of the process is told to who reads
            self.write(data)

    def close(self) -> None:
        """Close what is open."""
        for end in self._open & {self._read_end, self._write_end}:
            self._loop.remove_reader(end)
            self._loop.remove_writer(end)
        self._close(*self._open)

    def _close(self, *ends: int) -> None:
        for end in ends:
            self._open.discard(end)
            os.close(end)
