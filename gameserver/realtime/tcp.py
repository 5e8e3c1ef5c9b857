"""Connections over bare TCP: each message is its length in four bytes, then JSON."""

from collections.abc import Callable

from gameserver.realtime.connection import MESSAGE_BYTES_MAX, Connection, Owner
from gameserver.realtime.frames import Frame
from gameserver.realtime.reasons import TOO_LARGE

LENGTH_BYTES = 4
FIRST_BYTE = 0  # of every message, since none is that large; and of nothing in HTTP


class TcpConnection(Connection):
    """A connection over bare TCP."""

    __slots__ = ("_buffer", "_wanted")

    def __init__(self, owner: Owner, leave: Callable[[], None]) -> None:
        super().__init__(owner, leave)
        self._buffer = bytearray()
        self._wanted = LENGTH_BYTES  # bytes in the buffer before there is anything to do

    def form(self, frame: Frame) -> bytes:
        """Return a frame as it travels here."""
        return frame.tcp

    def say_goodbye(self) -> None:
        """Let the other side see the end."""
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """Read messages."""
        self.hear(len(data))
        buffer = self._buffer
        buffer += data
        while self.is_open and len(buffer) >= self._wanted:
            size = int.from_bytes(buffer[:LENGTH_BYTES], "big")
            if size > MESSAGE_BYTES_MAX:
                self.end(TOO_LARGE)
                break
            end = LENGTH_BYTES + size
            if len(buffer) < end:
                self._wanted = end
                break
            self.message(bytes(buffer[LENGTH_BYTES:end]))
            del buffer[:end]
            self._wanted = LENGTH_BYTES
            self.check_spent()
        self.check_spent()
        if not self.is_open:
            buffer.clear()
