"""What is sent to connections: encoded once, however many listen."""

import struct
from functools import cached_property
from http import HTTPStatus
from typing import Any

from gameserver.wire import json
from gameserver.wire.errors import GameError

FRAME_BYTES_MAX = (1 << 16) - 1  # one client takes what does not fit into its buffer for several messages

_BINARY, _LONG = 0x82, 126  # the only frame of a message; its length is in the next two bytes


class FrameTooLarge(GameError):
    """What is to be sent over real-time connections does not fit into a frame."""

    status = HTTPStatus.BAD_REQUEST
    reason_code = 40600


class Frame:
    """A JSON object on its way to connections; each form on the wire is made once."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    @cached_property
    def websocket(self) -> bytes:
        """As a binary WebSocket message: one official client drops text."""
        size = len(self.payload)
        head = (
            struct.pack("!BB", _BINARY, size) if size < _LONG else struct.pack("!BBH", _BINARY, _LONG, size)
        )
        return head + self.payload

    @cached_property
    def tcp(self) -> bytes:
        """As it is sent over bare TCP."""
        return len(self.payload).to_bytes(4, "big") + self.payload


def encode_frame(service: str, operation: str, data: Any) -> bytes:
    """Encode a message for clients. Raises `FrameTooLarge`."""
    frame = json.encode({"service": service, "operation": operation, "data": data})
    if len(frame) > FRAME_BYTES_MAX:
        raise FrameTooLarge(
            f"{service}: a message has at most {FRAME_BYTES_MAX} bytes of JSON; this one has {len(frame)}"
        )
    return frame
