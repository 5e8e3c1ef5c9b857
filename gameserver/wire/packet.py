"""The envelope: a packet of messages in, a bundle of answers out."""

from typing import Any

import msgspec

from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidRequest, PacketTooLarge, UnreadableJson
from gameserver.wire.shapes import explain

MESSAGES_MAX = 50
NAME_MAX = 64
REFUSALS_MAX = 1000  # a small packet gets no huge answer, however many messages it claims to hold
UNKNOWN_PACKET_ID = -1  # answers to what could not be read as a packet
PACKET_ID_MAX = 2**53


class Message(msgspec.Struct):
    """One call: `service` and `operation` name it, `data` stays raw until its request type is known."""

    service: str
    operation: str
    data: msgspec.Raw = msgspec.Raw(json.JSON_NULL)


class Packet(msgspec.Struct, rename="camel"):
    """What a client sends in one request. `session_id` empty, null or absent all mean: no session yet."""

    packet_id: int
    messages: list[Message]
    session_id: str | None = None
    game_id: str | int | None = None


class _FloatPacket(Packet):
    """The same from a client whose language has one kind of number: 5.0 is as good as 5."""

    packet_id: float  # type: ignore[assignment]  # narrowed again by `_decode_whole`


class Sender(msgspec.Struct, rename="camel"):
    """What can still be read of a packet that is none, so that a refusal echoes its id."""

    packet_id: Any = None
    messages: Any = None


_decode_packet = msgspec.json.Decoder(Packet).decode
_decode_float_packet = msgspec.json.Decoder(_FloatPacket).decode
_decode_sender = msgspec.json.Decoder(Sender).decode


class UnreadablePacket(Exception):
    """A packet that cannot run, and what its refusal has to echo."""

    def __init__(self, refusal: GameError, packet_id: int = UNKNOWN_PACKET_ID, messages: int = 1) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.packet_id = packet_id
        self.messages = min(max(messages, 1), REFUSALS_MAX)


def read_packet(body: bytes) -> Packet:
    """Decode a request body. Raises `UnreadablePacket`."""
    try:
        json.check_text(body)
        packet = _decode_packet(body)
    except UnreadableJson as error:
        raise UnreadablePacket(error) from None
    except msgspec.ValidationError as error:
        whole = _decode_whole(body) if str(error).endswith("at `$.packetId`") else None
        if whole is None:
            raise _unreadable(body, explain(error, root="packet")) from None
        packet = whole
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePacket(UnreadableJson(f"not JSON: {error}")) from None
    count = len(packet.messages)
    if not 0 <= packet.packet_id <= PACKET_ID_MAX:
        raise UnreadablePacket(
            InvalidRequest(f"packet.packetId: expected a whole number from 0 to {PACKET_ID_MAX}"),
            messages=count,
        )
    if not count:
        raise UnreadablePacket(InvalidRequest("packet.messages: at least one message"), packet.packet_id)
    if count > MESSAGES_MAX:
        raise UnreadablePacket(
            PacketTooLarge(f"packet.messages: at most {MESSAGES_MAX} messages, got {count}"),
            packet.packet_id,
            count,
        )
    for index, message in enumerate(packet.messages):
        if len(message.service) > NAME_MAX or len(message.operation) > NAME_MAX:
            raise UnreadablePacket(
                InvalidRequest(f"packet.messages[{index}]: names have at most {NAME_MAX} characters"),
                packet.packet_id,
                count,
            )
    return packet


def _decode_whole(body: bytes) -> Packet | None:
    try:
        packet = _decode_float_packet(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not float(packet.packet_id).is_integer():
        return None
    return Packet(int(packet.packet_id), packet.messages, packet.session_id, packet.game_id)


def _unreadable(body: bytes, refusal: GameError) -> UnreadablePacket:
    """Wrap a refusal with as much of the sender's envelope as can be read."""
    wrapped = InvalidRequest(str(refusal))
    try:
        sender = _decode_sender(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UnreadablePacket(wrapped)
    packet_id = sender.packet_id
    if isinstance(packet_id, bool) or not isinstance(packet_id, int) or not 0 <= packet_id <= PACKET_ID_MAX:
        packet_id = UNKNOWN_PACKET_ID
    count = len(sender.messages) if isinstance(sender.messages, list) else 1
    return UnreadablePacket(wrapped, packet_id, min(max(count, 1), MESSAGES_MAX))


def success(data: bytes = json.JSON_NULL) -> bytes:
    """One entry of an answer: the call did what it says. `data` is encoded JSON."""
    return b'{"status":200,"data":%b}' % data


def refusal(error: GameError) -> bytes:
    """One entry of an answer: the call was refused."""
    return json.encode(
        {
            "status": int(error.status),
            "reason_code": error.reason_code,
            "status_message": str(error),
            "severity": "ERROR",
            **error.extra,
        }
    )


def bundle(
    packet_id: int, entries: list[bytes], events: list[bytes] | None = None, key: bytes = b"responses"
) -> bytes:
    """Join the entries of an answer. `packetId` comes first: one client reads it by position."""
    text = b'{"packetId":%d,"%b":[%b]' % (packet_id, key, b",".join(entries))
    return text + (b',"events":[%b]}' % b",".join(events) if events else b"}")


def refuse_all(packet_id: int, error: GameError, messages: int) -> bytes:
    """Refuse a whole packet: clients know no top-level error, so each message gets its own copy."""
    return bundle(packet_id, [refusal(error)] * messages)
