"""What any bytes may do to the reader of packets: be read, or be refused in words every client understands.

`check` is driven by the fuzzer (`python -m tests.fuzz`) and by a test that replays the corpus.
"""

import json

import msgspec

from gameserver.rpc import Registry
from gameserver.services import ALL
from gameserver.wire import json as wire_json
from gameserver.wire.errors import GameError
from gameserver.wire.http import INFLATED_BYTES_MAX, inflate
from gameserver.wire.packet import (
    LOGIN_PACKET_ID,
    MESSAGES_MAX,
    PACKET_ID_MAX,
    REFUSALS_MAX,
    UNKNOWN_PACKET_ID,
    Message,
    UnreadablePacket,
    check_packet,
    read_closely,
    read_packet,
    refusal,
    refuse_all,
)

GZIP = b"\x1f\x8b"
OPERATIONS = Registry(ALL).operations


def check(body: bytes) -> bool:
    """Read bytes as a packet and its messages as requests. False when they are no packet; any bug raises."""
    if body.startswith(GZIP):
        try:
            body = inflate(body)
        except GameError as error:
            check_answer(refuse_all(UNKNOWN_PACKET_ID, error, 1), UNKNOWN_PACKET_ID)
            return False
        assert len(body) <= INFLATED_BYTES_MAX
    try:
        try:
            packet = check_packet(body, read_packet(body))
        except UnreadablePacket as unreadable:
            if not unreadable.may_be_read:
                raise
            packet = read_closely(body)
    except UnreadablePacket as unreadable:
        assert 1 <= unreadable.messages <= REFUSALS_MAX
        packet_id = unreadable.packet_id
        check_answer(refuse_all(packet_id, unreadable.refusal, unreadable.messages), packet_id)
        return False
    assert LOGIN_PACKET_ID <= packet.packet_id <= PACKET_ID_MAX
    assert 1 <= len(packet.messages) <= MESSAGES_MAX
    for message in packet.messages:
        check_message(message)
    return True


def check_message(message: Message) -> None:
    """Read a message's data as the request of its operation."""
    operation = OPERATIONS.get((message.service, message.operation))
    if operation is None:
        check_answer(b'{"packetId":0,"responses":[%b]}' % refusal(message.unknown()), 0)
        return
    try:
        request = message.read(operation.reader)
    except GameError as error:
        check_answer(b'{"packetId":0,"responses":[%b]}' % refusal(error), 0)
    else:
        wire_json.encode(request)  # what was accepted can be told


def check_answer(answer: bytes, packet_id: int) -> None:
    """An answer is ASCII, JSON to two readers, and carries the id it was asked under."""
    assert answer.isascii()
    assert b"\\\\" not in answer, "one client loses its place at an escaped backslash"
    read = msgspec.json.decode(answer)
    assert read == json.loads(answer)
    assert read["packetId"] == packet_id
    for entry in read["responses"]:
        assert entry["status"] >= 400
        assert entry["reason_code"]
