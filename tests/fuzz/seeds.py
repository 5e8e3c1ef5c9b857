"""Where fuzzing starts: the hostile packets that have a documented answer, and what fuzzing has found since."""

import random
from collections.abc import Iterator
from pathlib import Path

from gameserver.services import ALL
from tests.hostile.corpus import cases

CORPUS = Path(__file__).with_name("corpus")
SEED_BYTES_MAX = 4096
PIECES = [
    b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"null", b"-", b"1e999", b"1e16", b"0.5",
    b"9007199254740993", b"\xff", b"\xe2\x80\xa8", b"\x00", b'"data"', b'"packetId"', b'"messages"',
]  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Bytes worth changing: each file of the corpus, each hostile packet, a call of each operation."""
    for path in sorted(CORPUS.iterdir()):
        yield path.read_bytes()
    for case in cases():
        body = case.sent if case.sent is not None else case.signed
        if len(body) <= SEED_BYTES_MAX:
            yield body
    for service in ALL:
        for name in service.operations:
            yield b'{"packetId":1,"messages":[{"service":"%b","operation":"%b","data":{}}]}' % (
                service.name.encode(),
                name.encode(),
            )


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Change a few places: cut, repeat, replace or insert."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(body))
        end = min(len(body), start + chance.choice([0, 1, 1, 2, 4, 16]))
        middle = chance.choice(
            [
                b"",
                chance.choice(PIECES),
                chance.randbytes(chance.randint(0, 3)),
                body[start:end] * chance.randint(0, 3),
            ]
        )
        body = body[:start] + middle + body[end:]
    return body
