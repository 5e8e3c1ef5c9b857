"""The envelope: a packet of messages in, a bundle of answers out."""

from typing import Any

import msgspec

from gameserver.wire import json
from gameserver.wire.errors import (
    GameError,
    InvalidOperation,
    InvalidRequest,
    PacketTooLarge,
    UnreadableJson,
)
from gameserver.wire.shapes import RequestReader, explain

MESSAGES_MAX = 50
NAME_MAX = 64
REFUSALS_MAX = 1000  # a small packet gets no huge answer, however many messages it claims to hold
UNKNOWN_PACKET_ID = -1  # answers to what could not be read as a packet
LOGIN_PACKET_ID = -1  # some clients begin to count here, and a login is the first that they send
PACKET_ID_MAX = 2**53
MESSAGE_DEPTH_MAX = json.DEPTH_MAX - 2  # levels within the packet and its list


class Message(msgspec.Struct):
    """One call: `service` and `operation` name it, `data` stays raw until its request type is known."""

    service: str
    operation: str
    data: msgspec.Raw = msgspec.Raw(json.JSON_NULL)

    @property
    def name(self) -> str:
        """What it calls, as the client wrote it; empty where that could not be read."""
        return f"{self.service}.{self.operation}" if self.service or self.operation else ""

    def read(self, reader: RequestReader) -> Any:
        """Read the data as the request of the message's operation. Raises a `GameError`."""
        return reader.read(self.data)

    def unknown(self) -> GameError:
        """Return the refusal of a message whose operation there is not."""
        if len(self.service) > NAME_MAX or len(self.operation) > NAME_MAX:
            return InvalidRequest(f"service and operation have at most {NAME_MAX} characters")
        return InvalidOperation(f"there is no operation {self.service}.{self.operation}")


class LongNumbersMessage(Message, kw_only=True):
    """A message with whole numbers beyond 2^53: only where its operation takes free data are they welcome.

    `kept` is the data as free data keeps it, with doubles for what is beyond 64 bits.
    """

    kept: bytes

    def read(self, reader: RequestReader) -> Any:
        """Read the data as the request of the message's operation. Raises a `GameError`."""
        return reader.read_long_numbers(bytes(self.data), self.kept)


class SpoiltMessage(Message, kw_only=True):
    """A message that can only be refused."""

    refusal: Any

    def read(self, reader: RequestReader) -> Any:  # noqa: ARG002 - whatever the operation
        """Raise the refusal."""
        raise self.refusal

    def unknown(self) -> GameError:
        """Return the refusal."""
        error: GameError = self.refusal
        return error


class Packet(msgspec.Struct, rename="camel"):
    """What a client sends in one request. `session_id` empty, null or absent all mean: no session yet."""

    packet_id: int
    messages: list[Message]
    session_id: str | None = None
    game_id: str | int | None = None


class _Envelope(msgspec.Struct, rename="camel"):
    """A packet whose parts are read one by one, so that each is refused for its own mistakes."""

    packet_id: msgspec.Raw = msgspec.Raw(json.JSON_NULL)
    messages: msgspec.Raw = msgspec.Raw(json.JSON_NULL)
    session_id: msgspec.Raw = msgspec.Raw(json.JSON_NULL)
    game_id: msgspec.Raw = msgspec.Raw(json.JSON_NULL)


_decode_packet = msgspec.json.Decoder(Packet).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_message = msgspec.json.Decoder(Message).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_number = msgspec.json.Decoder(int | float).decode
_decode_session_id = msgspec.json.Decoder(str | None).decode
_decode_game_id = msgspec.json.Decoder(str | int | None).decode


class UnreadablePacket(Exception):
    """A packet that cannot run, and what its refusal has to echo.

    `may_be_read`: a closer look may find a packet, some messages of which are spoilt.
    """

    def __init__(
        self,
        refusal: GameError,
        packet_id: int = UNKNOWN_PACKET_ID,
        messages: int = 1,
        *,
        may_be_read: bool = False,
    ) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.packet_id = packet_id
        self.messages = min(max(messages, 1), REFUSALS_MAX)
        self.may_be_read = may_be_read


def read_packet(body: bytes) -> Packet:
    """Decode a request body, as quickly as can be. What it holds is still to be checked by `check_packet`.

    Raises `UnreadablePacket`.
    """
    try:
        packet = _decode_packet(body)
    except msgspec.ValidationError as error:
        refusal: GameError = InvalidRequest(str(explain(error, root="packet")))
        raise UnreadablePacket(refusal, may_be_read=True) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePacket(UnreadableJson(f"not JSON: {error}"), may_be_read=True) from None
    _check_limits(packet.packet_id, len(packet.messages))
    return packet


def check_packet(body: bytes, packet: Packet) -> Packet:
    """Return the packet, in which messages that hold what no client sends are spoilt.

    Time and memory it takes are in proportion to the body. Raises `UnreadablePacket`.
    """
    return read_closely(body) if json.is_suspect(body) else packet


def read_closely(body: bytes) -> Packet:
    """Decode a body part by part: what is wrong with a message spoils no other. Raises `UnreadablePacket`."""
    text = json.without_half_pairs(body) if b"\\u" in body else body
    try:
        body.decode()  # the decoder does not look into what it leaves raw
        try:
            envelope = _decode_envelope(text)
        except RecursionError:
            text = json.without_depths(text)
            envelope = _decode_envelope(text)
    except msgspec.ValidationError as error:
        raise UnreadablePacket(InvalidRequest(str(explain(error, root="packet")))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePacket(UnreadableJson(f"not JSON: {error}")) from None
    packet_id = _packet_id(bytes(envelope.packet_id))
    messages, refusal = _messages(envelope.messages)
    if packet_id is None:
        wrong = InvalidRequest("packet.packetId: expected a whole number")
        raise UnreadablePacket(wrong, messages=min(len(messages), MESSAGES_MAX))
    if refusal is not None:
        raise UnreadablePacket(
            refusal, packet_id if LOGIN_PACKET_ID <= packet_id <= PACKET_ID_MAX else UNKNOWN_PACKET_ID
        )
    _check_limits(packet_id, len(messages))
    try:
        session_id = _decode_session_id(envelope.session_id)
        game_id = _decode_game_id(envelope.game_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wrong = InvalidRequest("packet: sessionId and gameId are text")
        raise UnreadablePacket(wrong, packet_id, len(messages)) from None
    read = [_read_message(f"packet.messages[{index}]", item) for index, item in enumerate(messages)]
    return Packet(packet_id, read, session_id, game_id)


def _packet_id(text: bytes) -> int | None:
    """Return the packetId; in a language with one kind of number, 5.0 is as good as 5."""
    try:
        number = _decode_number(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return int(number) if number == number // 1 else None


def _messages(text: msgspec.Raw) -> tuple[list[msgspec.Raw], GameError | None]:
    try:
        return _decode_items(text), None
    except msgspec.ValidationError as error:
        return [], InvalidRequest(str(explain(error, root="packet.messages")))
    except (msgspec.DecodeError, RecursionError) as error:
        return [], UnreadableJson(f"packet.messages: not JSON: {error}")


def _check_limits(packet_id: int, count: int) -> None:
    if not LOGIN_PACKET_ID <= packet_id <= PACKET_ID_MAX:
        wrong = InvalidRequest(f"packet.packetId: expected a whole number from 0 to {PACKET_ID_MAX}")
        raise UnreadablePacket(wrong, messages=count)
    if not count:
        raise UnreadablePacket(InvalidRequest("packet.messages: at least one message"), packet_id)
    if count > MESSAGES_MAX:
        large = PacketTooLarge(f"packet.messages: at most {MESSAGES_MAX} messages, got {count}")
        raise UnreadablePacket(large, packet_id, count)


def _read_message(where: str, text: msgspec.Raw) -> Message:
    try:
        message = _decode_message(text)
    except msgspec.ValidationError as error:
        return SpoiltMessage("", "", refusal=InvalidRequest(str(explain(error, root=where))))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return SpoiltMessage("", "", refusal=UnreadableJson(f"{where}: not JSON: {error}"))
    return check_message(message, bytes(text), MESSAGE_DEPTH_MAX)


def check_message(message: Message, text: bytes, depth_max: int = json.DEPTH_MAX) -> Message:
    """Check a message whose text, or that of its data, no packet's reader has checked."""
    if not json.is_suspect(text, depth_max):
        return message
    try:
        json.checked(text, depth_max)
        kept = json.checked(bytes(message.data), depth_max)
    except UnreadableJson as error:
        return SpoiltMessage(message.service, message.operation, refusal=error)
    return LongNumbersMessage(message.service, message.operation, message.data, kept=kept)


def success(data: bytes = json.JSON_NULL) -> bytes:
    """One entry of an answer: the call did what it says. `data` is encoded JSON."""
    return b'{"status":200,"data":%b}' % data


def refusal(error: GameError) -> bytes:
    """One entry of an answer: the call was refused."""
    return json.encode_plain(
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
