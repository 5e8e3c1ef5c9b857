"""Packets no client should send, and the documented answer to each."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import APP_ID

MIB = 1 << 20
DEPTH_MAX = 32
TOO_LARGE, NO_PACKET, NOT_JSON = 40600, 40001, 40408
BAD_SIGNATURE, UNKNOWN_APP, NO_SESSION, NO_OPERATION = 40301, 40316, 40304, 40333
MISSING, WRONG_TYPE, WRONG_VALUE = 40358, 40359, 40660

Mangle = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """`signed` text is what the signature is made of; `sent` what travels, when that is something else."""

    name: str
    signed: bytes
    reasons: list[int | None]  # one for each entry of the answer; None is a success
    packet_id: int = -1
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    sent: bytes | None = None


def envelope(*messages: Any, **more: Any) -> bytes:
    """A packet with whatever is to be wrong about it. Keys given as `...` are left out."""
    packet = {"packetId": 7, "sessionId": "", "gameId": APP_ID, "messages": list(messages), **more}
    return json.dumps({key: value for key, value in packet.items() if value is not ...}).encode()


def call(service: Any = "time", operation: Any = "READ", **more: Any) -> dict[str, Any]:
    return {"service": service, "operation": operation, "data": {}, **more}


def raw(
    messages: str = '[{"service":"time","operation":"READ"}]', packet_id: str = "7", more: str = ""
) -> bytes:
    """A packet of text that json.dumps would not write."""
    return f'{{"packetId":{packet_id},"gameId":"{APP_ID}","messages":{messages}{more}}}'.encode()


def login(**data: Any) -> dict[str, Any]:
    return {
        "service": "authenticationV2",
        "operation": "AUTHENTICATE",
        "data": {"authenticationType": "Anonymous", "externalId": "x", "forceCreate": False, **data},
    }


AROUND = 4  # levels of the packet itself, down to the fields of data
BAD_TEXTS = {
    "half a surrogate pair": '"\\ud800"',
    "the other half": '"\\udc00"',
    "halves the wrong way round": '"\\udc00\\ud800"',
    "half a pair and a letter": '"\\ud83dx"',
    "half a pair and a whole one": '"\\ud83d\\ud83d\\ude00"',
    "half a pair behind a backslash": '"\\\\\\ud83d"',
    "NUL": '"a\\u0000b"',
}
GOOD = envelope(call())  # readable, but without a session
PACKED = gzip.compress(GOOD, mtime=0)
NESTED = 10_000


def cases() -> Iterator[Case]:
    yield from bodies_that_are_no_packets()
    yield from envelopes_of_the_wrong_shape()
    yield from numbers()
    yield from texts()
    yield from sizes()
    yield from packed_bodies()
    yield from identities()
    yield from data_of_the_wrong_shape()
    yield from tokens_of_platforms()


def bodies_that_are_no_packets() -> Iterator[Case]:
    for name, body in {
        "nothing": b"",
        "white space": b" \r\n\t",
        "a byte of zero": b"\0",
        "an opening bracket": b"{",
        "half a packet": GOOD[:-1],
        "two packets": GOOD + GOOD,
        "a packet and something behind it": GOOD + b"x",
        "a form": b"packetId=1&messages=2",
        "xml": b"<packet/>",
        "a comment": b"/* */" + GOOD,
        "a trailing comma": GOOD[:-1] + b",}",
        "single quotes": GOOD.replace(b'"', b"'"),
        "a byte order mark": b"\xef\xbb\xbf" + GOOD,
        "utf-16": GOOD.decode().encode("utf-16"),
        "bytes that are no utf-8": raw(
            '[{"service":"\udcff","operation":"READ"}]'.replace("\udcff", "")
        ).replace(b'"service":""', b'"service":"\xff"'),
    }.items():
        yield Case(name, body, [NOT_JSON])
    for name, body in {
        "null": b"null",
        "true": b"true",
        "a number": b"17",
        "a text": b'"packet"',
        "a list": b"[]",
        "a list of packets": b"[" + GOOD + b"]",
        "an empty object": b"{}",
    }.items():
        yield Case(name, body, [NO_PACKET])


def envelopes_of_the_wrong_shape() -> Iterator[Case]:
    yield Case("no packetId", envelope(call(), packetId=...), [NO_PACKET])
    yield Case("no packetId, three messages", envelope(call(), call(), call(), packetId=...), [NO_PACKET] * 3)
    shapes: dict[str, Any] = {
        "no messages": ...,
        "messages null": None,
        "messages an object": {"service": "time", "operation": "READ"},
        "messages a text": "time.READ",
        "an empty list of messages": [],
    }
    for name, messages in shapes.items():
        yield Case(name, envelope(messages=messages), [NO_PACKET], 7)
    yield Case("no messages and no packetId to echo", raw("[]", "-1"), [NO_PACKET])
    for name, message in {
        "a message that is null": None,
        "a message that is a list": ["time", "READ"],
        "a message without a service": {"operation": "READ"},
        "a message without an operation": {"service": "time"},
        "a service that is a number": call(service=1),
        "a service that is null": call(service=None),
        "an operation that is a list": call(operation=["READ"]),
    }.items():
        yield Case(name, envelope(call(), message), [NO_SESSION, NO_PACKET], 7)
    yield Case(
        "a null among messages", envelope(call(), None, call()), [NO_SESSION, NO_PACKET, NO_SESSION], 7
    )
    yield Case("a session that is a number", envelope(call(), sessionId=5), [NO_PACKET], 7)
    yield Case("a session that is an object", envelope(call(), sessionId={"$ne": ""}), [NO_PACKET], 7)
    yield Case("an app that is an object", envelope(call(), gameId={}), [NO_PACKET], 7)
    yield Case("fifty messages", envelope(*[call()] * 50), [NO_SESSION] * 50, 7)
    yield Case("fifty-one messages", envelope(*[call()] * 51), [TOO_LARGE] * 51, 7)
    yield Case("unknown keys", envelope(call(more=1), more={"a": []}), [NO_SESSION], 7)
    yield Case("a key twice, the last counts", raw(more=',"packetId":9'), [NO_SESSION], 9)
    yield Case(
        "data twice", raw('[{"service":"time","operation":"READ","data":5,"data":{}}]'), [NO_SESSION], 7
    )
    for length, reason in ((64, NO_OPERATION), (65, NO_PACKET), (MIB // 2, NO_PACKET)):
        yield Case(f"a service of {length} letters", envelope(call(service="s" * length)), [reason], 7)
        yield Case(f"an operation of {length} letters", envelope(call(operation="O" * length)), [reason], 7)
    for service, operation in (
        ("time", "read"),
        ("Time", "READ"),
        ("time", "__init__"),
        ("", ""),
        ("../time", "READ"),
    ):
        yield Case(
            f"no such operation {service}.{operation}", envelope(call(service, operation)), [NO_OPERATION], 7
        )


def numbers() -> Iterator[Case]:
    for text in ("-2", "-5", "1.5", '"4"', "null", "true", "[4]", "{}", "1e-3", "1e17"):
        yield Case(f"packetId {text}", raw(packet_id=text), [NO_PACKET], -1)
    for text in ("1e400", "-1e400", "9007199254740994", "99999999999999999999999999", "1" * 5000):
        yield Case(f"packetId {text[:40]}", raw(packet_id=text), [NO_PACKET], -1)
    for text in ("NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x10", "1e", "--1", "\u0967"):
        yield Case(f"packetId {text}", raw(packet_id=text), [NOT_JSON], -1)
    for text, packet_id in (
        ("-1", -1),
        ("7.0", 7),
        ("0", 0),
        ("-0", 0),
        ("7e0", 7),
        ("9007199254740992", 2**53),
    ):
        yield Case(f"packetId {text}", raw(packet_id=text), [NO_SESSION], packet_id)
    yield Case("NaN in data", raw('[{"service":"time","operation":"READ","data":{"n":NaN}}]'), [NOT_JSON])


def texts() -> Iterator[Case]:
    for name, text in BAD_TEXTS.items():
        yield Case(f"{name} as service", raw(f'[{{"service":{text},"operation":"READ"}}]'), [NOT_JSON], 7)
        yield Case(f"{name} as operation", raw(f'[{{"service":"s","operation":{text}}}]'), [NOT_JSON], 7)
        yield Case(f"{name} as session", raw(more=f',"sessionId":{text}'), [NO_SESSION], 7)
        yield Case(f"{name} as app", raw().replace(f'"{APP_ID}"'.encode(), text.encode()), [UNKNOWN_APP], 7)
    for name, text in {
        "a bare line end": '"a\nb"',
        "an unknown escape": '"\\x41"',
        "a cut escape": '"\\u12"',
    }.items():
        yield Case(
            f"{name} in data",
            raw(f'[{{"service":"time","operation":"READ","data":{{"t":{text}}}}}]'),
            [NOT_JSON],
        )
        yield Case(f"{name} as service", raw(f'[{{"service":{text},"operation":"READ"}}]'), [NOT_JSON])
        yield Case(f"{name} as session", raw(more=f',"sessionId":{text}'), [NOT_JSON])
    yield Case("a pair", raw('[{"service":"\\ud83d\\ude00","operation":"READ"}]'), [NO_OPERATION], 7)
    yield Case(
        "quotes and backslashes", envelope(call(service='a\\"b\\\\', operation="\\")), [NO_OPERATION], 7
    )
    yield Case("a service in another alphabet", envelope(call(service="время")), [NO_OPERATION], 7)


def spoiling_values() -> dict[str, str]:
    """JSON text that a message must not hold, wherever in it."""
    nested = {
        f"{kind} {depth} deep": opening * depth + "1" + closing * depth
        for depth in (DEPTH_MAX - AROUND + 2, 900, NESTED)
        for kind, opening, closing in (("lists", "[", "]"), ("objects", '{"a":', "}"))
    }
    return {
        **BAD_TEXTS,
        "NUL as a key": '{"\\u0000":1}',
        "half a pair as a key": '{"\\ud83d":1}',
        "1e400": "1e400",
        "-1e400": "-1e400",
        "400 digits": "1" * 400,
        "5000 digits": "1" * 5000,
        **nested,
    }


def slow_texts(size: int) -> dict[str, bytes]:
    """JSON text, or none, of a size, that a careless check takes long for."""
    pieces: dict[str, tuple[bytes, bytes, bytes]] = {  # what stands once, again and again, and at the end
        "a string that never ends": (b"[" + b"[]," * 40 + b'"', b'\\"', b""),
        "quotes": (b"", b'"', b""),
        "backslashes": (b'"', b"\\", b""),
        "empty lists": (b"[", b"[],", b"1234567890123456]"),
        "opening brackets": (b"", b"[", b""),
        "two that open and one that closes": (b"", b"[[]", b""),
        "objects as deep as allowed": (b"[", b'{"a":' * 31 + b"1" + b"}" * 31 + b",", b"1]"),
        "digits": (b"", b"1", b""),
        "long numbers": (b"[", b"12345678901234567890123,", b"1]"),
        "almost long numbers": (b"[", b"123456789012345,", b"1e999]"),
        "large exponents": (b"[", b"1e300,", b"1]"),
        "numbers of exponents": (b"", b"1e", b"300"),
        "digits and points": (b"", b"1.", b"1"),
        "halves of pairs": (b'"', b"\\ud83d", b'"'),
        "pairs": (b'"', b"\\ud83d\\ude00", b'"'),
        "escaped backslashes and NUL": (b'"', b"\\\\u0000", b'"'),
        "texts": (b"[1234567890123456", b',"ab"', b"]"),
        "commas": (b"[1234567890123456", b",", b""),
    }
    return {
        name: first + piece * ((size - len(first) - len(last)) // len(piece)) + last
        for name, (first, piece, last) in pieces.items()
    }


def sizes() -> Iterator[Case]:
    for depth in (DEPTH_MAX, NESTED):  # below the one of the packet
        yield Case(f"objects {depth} deep", raw('{"a":' * depth + "1" + "}" * depth), [NO_PACKET], 7)
    yield Case("brackets that never close", raw("[" * NESTED), [NOT_JSON])
    yield Case("brackets that close twice", raw("[" * NESTED + "]" * NESTED + "]"), [NOT_JSON])
    deepest = "[" * (DEPTH_MAX - AROUND) + "]" * (DEPTH_MAX - AROUND)
    yield Case(
        "as deep as allowed",
        raw(f'[{{"service":"time","operation":"READ","data":{{"d":{deepest}}}}}]'),
        [NO_SESSION],
        7,
    )
    yield Case("brackets in a text", envelope(call(data={"t": "[{" * 100})), [NO_SESSION], 7)
    full = envelope(call(data={"t": ""}))
    filled = envelope(call(data={"t": "x" * (MIB - len(full))}))
    yield Case("one mebibyte", filled, [NO_SESSION], 7)
    yield Case("a byte more", filled + b" ", [TOO_LARGE])
    yield Case("four mebibytes", b" " * (4 * MIB), [TOO_LARGE])
    many = {f"k{number}": number for number in range(50_000)}
    yield Case("fifty thousand keys", envelope(call(data=many)), [NO_SESSION], 7)


def packed_bodies() -> Iterator[Case]:
    packed = {"Content-Encoding": "gzip"}
    yield Case("gzip", GOOD, [NO_SESSION], 7, packed, PACKED)
    yield Case("gzip in capital letters", GOOD, [NO_SESSION], 7, {"Content-Encoding": " GZIP "}, PACKED)
    yield Case("gzip that is none", GOOD, [NOT_JSON], -1, packed, GOOD)
    yield Case("gzip of nothing", b"", [NOT_JSON], -1, packed, gzip.compress(b""))
    yield Case("an empty body that says gzip", b"", [NOT_JSON], -1, packed, b"")
    yield Case("gzip, not announced", GOOD, [NOT_JSON], -1, {}, PACKED)
    for length in (1, 9, 10, len(PACKED) // 2, len(PACKED) - 8, len(PACKED) - 1):
        yield Case(f"gzip cut after {length} bytes", GOOD, [NOT_JSON], -1, packed, PACKED[:length])
    yield Case("gzip and something behind it", GOOD, [NOT_JSON], -1, packed, PACKED + b"x")
    yield Case("two gzip members", GOOD + GOOD, [NOT_JSON], -1, packed, PACKED + PACKED)
    halves = gzip.compress(GOOD[:20], mtime=0) + gzip.compress(GOOD[20:], mtime=0)
    yield Case("gzip of two members", GOOD, [NO_SESSION], 7, packed, halves)
    yield Case("gzip whose second member is cut", GOOD, [NOT_JSON], -1, packed, halves[:-3])
    nothing = gzip.compress(b"", mtime=0)
    yield Case("gzip of many members", GOOD, [NOT_JSON], -1, packed, nothing * 40_000 + PACKED)
    bombs = b"".join(_packed_spaces(MIB) for _ in range(6))
    yield Case("gzip bombs one after the other", GOOD, [TOO_LARGE], -1, packed, bombs)
    broken = PACKED[:-8] + bytes(byte ^ 1 for byte in PACKED[-8:-4]) + PACKED[-4:]
    yield Case("gzip with a wrong checksum", GOOD, [NOT_JSON], -1, packed, broken)
    yield Case("gzip in gzip", GOOD, [NOT_JSON], -1, packed, gzip.compress(PACKED))
    for size in (2 * MIB, 16 * MIB, 64 * MIB):
        bomb = _packed_spaces(size)
        yield Case(f"a gzip bomb of {size >> 20} MiB", GOOD, [TOO_LARGE], -1, packed, bomb)
    for encoding in ("br", "deflate", "gzip, gzip", "x" * 5000, "gzip;q=1", b"\xff\xfe"):
        yield Case(f"packed as {encoding[:12]!r}", GOOD, [NO_PACKET], -1, {"Content-Encoding": encoding})


def identities() -> Iterator[Case]:
    signatures: dict[str, str | bytes] = {
        "no digits": "",
        "one digit too few": "0" * 31,
        "all zero": "0" * 32,
        "very long": "f" * 100_000,
        "not ASCII": b"\xe9" * 32,
        "the text undefined": "undefined",
    }
    for name, signature in signatures.items():
        yield Case(f"signature: {name}", GOOD, [BAD_SIGNATURE], 7, {"X-SIG": signature})
    two = envelope(call(), call())
    yield Case("a wrong signature is told to each message", two, [BAD_SIGNATURE] * 2, 7, {"X-SIG": "x"})
    yield Case(
        "a changed byte", GOOD, [BAD_SIGNATURE], 8, {}, GOOD.replace(b'"packetId": 7', b'"packetId": 8')
    )
    yield Case("an unknown app", envelope(call(), gameId="nobody"), [UNKNOWN_APP], 7)
    yield Case("no app", envelope(call(), gameId=...), [UNKNOWN_APP], 7)
    yield Case("an app of a megabyte", envelope(call(), gameId="a" * 900_000), [UNKNOWN_APP], 7)
    yield Case("no app but in the header", envelope(call(), gameId=...), [NO_SESSION], 7, {"X-APPID": APP_ID})
    yield Case("an app as a number", envelope(call(), gameId=int(APP_ID)), [NO_SESSION], 7)
    yield Case("another app in the header", GOOD, [NO_SESSION], 7, {"X-APPID": "nobody"})
    yield Case(
        "header junk",
        GOOD,
        [NO_SESSION],
        7,
        {"X-APPID": b"\xff\x00", "Content-Type": "\t;;=", "X-A": "a" * 9999},
    )
    for name, session in {
        "a letter": "x",
        "a form that could be one": "0000-" + "A" * 24,
        "its digest": "0000." + "0" * 32,
        "long": "a" * 100_000,
        "a pattern": "*",
        "another pattern": "{0000}*",
        "a path": "../../etc/passwd",
        "SQL": "' OR '1'='1",
        "line ends": "0000-" + "A" * 24 + "\r\nDEL x",
        "a smile": "😀" * 30,
        "digits of another script": "\u0966" * 30,
    }.items():
        yield Case(f"session: {name}", envelope(call(), call(), sessionId=session), [NO_SESSION] * 2, 7)


def data_of_the_wrong_shape() -> Iterator[Case]:
    for data in (5, "text", [1], True, [], "", 0):
        yield Case(f"data {data!r}", envelope(login(), {**login(), "data": data}), [40208, WRONG_TYPE], 7)
    yield Case("data left out", envelope({**login(), "data": None}), [MISSING], 7)
    yield Case("a field that is null", envelope(login(authenticationType=None)), [MISSING], 7)
    yield Case("a field that is an object", envelope(login(authenticationType={})), [WRONG_TYPE], 7)
    yield Case("a field that is true", envelope(login(externalId=True)), [WRONG_TYPE], 7)
    yield Case("an id of a megabyte", envelope(login(externalId="x" * 900_000)), [40307], 7)
    yield Case("a token of a megabyte", envelope(login(authenticationToken="x" * 900_000)), [40307], 7)
    yield Case("an id of blanks", envelope(login(externalId=" \u3000\t")), [40307], 7)
    yield Case("a device's id of a megabyte", envelope(login(anonymousId="x" * 900_000)), [40660], 7)
    address = "\N{KELVIN SIGN}ate@example.com"  # Kelvin's sign is a small k to Python
    kelvin = login(authenticationType="Email", externalId=address, authenticationToken="x" * 9)
    yield Case("an address that only looks like one", envelope(kelvin), [40208], 7)
    unsure = login(authenticationType="Universal", externalId="e\u0301" * 128, authenticationToken="x" * 9)
    yield Case("a name of many marks", envelope(unsure), [40208], 7)


PROVIDERS = """
[providers]
stand_in = "http://127.0.0.1:9"
dev_tokens.Oculus = { "70" = "a-token-for-tests", "71" = "a-token-for-tests", "72" = "a-token-for-tests" }
[providers.apple]
audiences = ["game"]
[providers.google]
audiences = ["game"]
[providers.game_center]
bundle_ids = ["game"]
[providers.parse]
url = "https://parse.example.com"
application_id = "game"
[providers.steam]
app_id = 480
publisher_key = "key"
[providers.twitter]
consumer_key = "key"
consumer_secret = "secret"
[external.discord]
kind = "discord"
application_id = "99"
"""
"""Platforms that cannot be reached: a proof for which one was asked is refused as 49110."""


def tokens_of_platforms() -> Iterator[Case]:
    """Proofs that are refused before anybody is asked about them."""

    def token(header: Any, body: Any = None, signature: str = "AAAA") -> str:
        parts = (header, body or {"iss": "https://appleid.apple.com", "aud": "game", "sub": "x"})
        texts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
        return ".".join([*(base64.urlsafe_b64encode(text).decode().rstrip("=") for text in texts), signature])

    def case(name: str, type_: str, proof: str, **more: Any) -> Case:
        id_ = f"{type_} {name}"[:100]  # each has an account of its own, which failures lock
        data = {"authenticationType": type_, "externalId": id_, "authenticationToken": proof, **more}
        return Case(f"{type_}: {name}", envelope(login(**data)), [40307], 7)

    key = {"kty": "oct", "k": "AAAA"}
    keys = "https://evil.example.com/keys"
    for name, proof in {
        "no token": "",
        "dots": "." * 10_000,
        "a token of a megabyte": "eyJ" + "A" * 900_000,
        "no base64": "\u00e4.\u00e4.\u00e4",
        "a header that is no object": token([]),
        "a header that is no JSON": token(b"{"),
        "a header that is no text": token(b"\xff\xfe{}"),
        "a header that nests": token(b"[" * NESTED + b"]" * NESTED),
        "a header of huge numbers": token(b'{"alg":"RS256","kid":1' + b"0" * 5000 + b"}"),
        "no alg": token({"kid": "k1"}),
        "alg none": token({"alg": "none", "kid": "k1"}, signature=""),
        "alg None": token({"alg": "None", "kid": "k1"}, signature=""),
        "alg HS256": token({"alg": "HS256", "kid": "k1"}),
        "alg as a list": token({"alg": ["RS256"], "kid": "k1"}),
        "no key id": token({"alg": "RS256"}),
        "an empty key id": token({"alg": "RS256", "kid": ""}),
        "a key id that is a number": token({"alg": "RS256", "kid": 1}),
        "a key id that is an object": token({"alg": "RS256", "kid": {}}),
        "a key id of many letters": token({"alg": "RS256", "kid": "k" * 10_000}),
        "a key of its own": token({"alg": "RS256", "jwk": key}),
        "a key of its own that it names": token({"alg": "HS256", "kid": "k1", "jwk": key}),
        "an address of keys": token({"alg": "RS256", "jku": keys, "x5u": keys}),
    }.items():
        yield case(name, "Apple", proof)
    yield case("an empty nonce, and no token", "Apple", "", extraJson={"nonce": ""})
    yield case("an address as the id", "GoogleOpenId", token({"alg": "none"}), externalId="a@example.com")
    for name, proof in {
        "no hex": "zz",
        "half a byte": "14a",
        "much": "aa" * 100_000,
        "blanks": " 14aa",
    }.items():
        yield case(name, "Steam", proof)
    for name, proof in {
        "a token alone": "token",
        "no secret": "token:",
        "a line end": "token:a\r\nX: y",
        "a letter beyond ASCII": "t\u00f6ken:secret",
        "much": "a:" + "b" * 100_000,
    }.items():
        yield case(name, "Twitter", proof)
    for name, proof in {"a line end": "a\r\nX: y", "blanks": "a b", "much": "a" * 100_000}.items():
        yield case(name, "Parse", proof)
        yield case(name, "External", proof, externalAuthName="discord")
    for name, proof in {
        "no JSON": "{",
        "a list": "[]",
        "nothing signed": "{}",
        "depths": "[" * NESTED,
        "a time beyond all": json.dumps(
            {"publicKeyUrl": keys, "timestamp": 1 << 70, "signature": "", "salt": ""}
        ),
        "another's key": json.dumps({"publicKeyUrl": keys, "timestamp": 0, "signature": "", "salt": ""}),
    }.items():
        yield case(name, "GameCenter", proof)
    yield case("another token", "Oculus", "a-token-for-test\u00df", externalId="70")
    yield case("no token", "Oculus", "", externalId="71")
    yield case("a token that goes on", "Oculus", "a-token-for-tests" * 50_000, externalId="72")


def _packed_spaces(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    chunk = b" " * MIB
    return b"".join([*(packer.compress(chunk) for _ in range(size // MIB)), packer.flush()])
