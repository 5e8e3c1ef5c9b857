"""Ids that nobody else has."""

import uuid

from gameserver.wire.ids import new_id


def test_a_new_id_is_a_random_uuid_as_everybody_writes_it() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    for each in ids:
        read = uuid.UUID(each)
        assert (str(read), read.version, read.variant) == (each, 4, uuid.RFC_4122)
    # Every bit that is not fixed is drawn: of a thousand, each takes both values.
    numbers = [uuid.UUID(each).int for each in ids]
    fixed = sum(1 for bit in range(128) if len({number >> bit & 1 for number in numbers}) == 1)
    assert fixed == 6
