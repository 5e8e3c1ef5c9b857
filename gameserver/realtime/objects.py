"""Cuts JSON objects out of a stream of bytes that need not end where they do."""

_OPEN, _CLOSE, _QUOTE, _BACKSLASH = b'{}"\\'


class ObjectCutter:
    """Some clients send a message in fragments of which none says that it is the last.

    Each byte is looked at once, however small the fragments are. Raises `ValueError` from `feed` when
    what is not yet an object has grown beyond `bytes_max`.
    """

    __slots__ = ("_buffer", "_bytes_max", "_depth", "_in_string", "_is_escaped")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.clear()

    def clear(self) -> None:
        """Forget what has come so far."""
        self._buffer = bytearray()
        self._depth = 0
        self._in_string = self._is_escaped = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an object is there yet."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; returns the objects that are complete with them, without what stands between."""
        found: list[bytes] = []
        for byte in data:
            if not self._depth and byte != _OPEN:
                continue  # white space, or what nobody can make sense of
            self._buffer.append(byte)
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif byte == _BACKSLASH:
                    self._is_escaped = True
                elif byte == _QUOTE:
                    self._in_string = False
            elif byte == _QUOTE:
                self._in_string = True
            elif byte == _OPEN:
                self._depth += 1
            elif byte == _CLOSE:
                self._depth -= 1
                if not self._depth:
                    found.append(bytes(self._buffer))
                    self._buffer.clear()
            if len(self._buffer) > self._bytes_max:
                raise ValueError("an object that is too large")
        return found
