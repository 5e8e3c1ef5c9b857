"""Whatever arrives, the answer is one that every client can read, and it is never our fault."""

import functools
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gameserver.documents import documents
from gameserver.wire import json as wire_json
from gameserver.wire.errors import GameError, InvalidParameterValue, UnreadableJson
from tests.conftest import APP_ID, BACKENDS, Client, Game, Refusal
from tests.protocol.dialect import check_bundle, check_text

FAULT = 50000

in_one_game = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TRICKY_TEXTS = [
    "",
    "\\",
    '"',
    '\\"',
    "a\\",
    "\u2028",
    "\x7f",
    "\x1f",
    "😀",
    "\\u005c",
    "null",
    "]}",
    "%s",
    "'; --",
    "../x",
]
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(TRICKY_TEXTS)
numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 2**53, 2**53 + 1, -(2**63), 1e308, 0.1, -0.0])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
sendable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(sendable)
@settings(max_examples=500, deadline=None)
def test_what_is_encoded_reads_back_equal_for_both_kinds_of_reader(value: Any) -> None:
    text = wire_json.encode(value)
    assert check_text(text) == json.loads(json.dumps(value))
    answer = b'{"packetId":0,"responses":[{"status":200,"data":%b}]}' % wire_json.encode({"sub": value})
    assert check_bundle(answer)["responses"][0]["data"] == {"sub": value}


@given(sendable)
@settings(max_examples=300, deadline=None)
def test_plain_values_are_encoded_alike_by_both_encoders(value: Any) -> None:
    text = wire_json.encode_plain(value)
    assert repr(check_text(text)) == repr(check_text(wire_json.encode(value)))


number_texts = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
string_texts = st.lists(
    st.sampled_from(
        ["\\u0000", "\\ud83d", "\\ude00", "\\uD800", "\\u0041", "\\\\", "e", "E+10", "9", "0" * 16]
    ),
    max_size=5,
).map(lambda parts: f'"{"".join(parts)}"')


@settings(deadline=None)
@given(st.lists(number_texts | string_texts, min_size=1, max_size=4))
def test_a_quick_look_finds_what_a_long_one_does(parts: list[str]) -> None:
    """Text is looked at closely only when it may hide trouble; that must not let any pass."""
    text = f"[{','.join(parts)}]".encode()
    values = json.loads(text)
    try:
        read = wire_json.read_text(text)
    except UnreadableJson:
        assert not all(map(is_acceptable, values))
    else:
        assert all(map(is_acceptable, values))
        assert [repr(value) for value in read] == [repr(as_kept(value)) for value in values]
    try:
        wire_json.check_whole(text, "data")
    except InvalidParameterValue:
        assert any(isinstance(value, int) and abs(value) > 2**53 for value in values)
    else:
        assert not any(isinstance(value, int) and abs(value) > 2**53 for value in values)


def is_acceptable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return math.isfinite(value)


def as_kept(value: Any) -> Any:
    """Whole numbers of 64 bits are kept as they are, larger ones as the doubles they stand for."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


@given(st.text(alphabet='[]{}"\\,1e0 :', max_size=40), st.integers(0, 3))
def test_levels_are_counted_outside_of_texts(text: str, most: int) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        return
    assert wire_json.is_deep(text.encode(), most) == (depth_of(value) > most)


@settings(deadline=None)
@given(st.recursive(st.just(1), lambda inner: st.lists(inner, max_size=3), max_leaves=20), st.integers(0, 5))
def test_levels_of_nested_lists(value: Any, most: int) -> None:
    assert wire_json.is_deep(json.dumps(value).encode(), most) == (depth_of(value) > most)


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


tricky_names = st.text(alphabet='a":,$.\\{}[] é', max_size=6)
tricky_data = st.recursive(
    st.sampled_from([None, 1.5, -2]) | tricky_names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky_names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(tricky_names, tricky_data, max_size=4))
@example({"x": "v", ":a.b": 1})
@example({'a.\\"b': 1})
@settings(max_examples=300, deadline=None)
def test_a_quick_look_at_names_finds_what_a_long_one_does(data: dict[str, Any]) -> None:
    outcomes = []
    for check in (documents.check_names, documents.data_text):
        try:
            check(data, "data.data")
            outcomes.append("")
        except GameError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(sendable)
@settings(max_examples=200, deadline=None)
def test_text_that_was_stored_with_spaces_reads_back_equal(value: Any) -> None:
    spaced = json.dumps([value, "é\\"], indent="\t", ensure_ascii=False).replace("\n", "\r\n")
    text = wire_json.encode({"sub": msgspec.Raw(spaced.encode())})
    assert text.isascii()
    assert json.loads(text) == {"sub": [value, "é\\"]}


def test_escaping_takes_no_step_for_each_character() -> None:
    texts_ = ["é" * 300_000, "a😀" * 300_000, "\\a" * 300_000]
    taken = []
    for _ in range(3):  # the first one has to get the memory
        started = time.thread_time()
        text = wire_json.encode(texts_)
        taken.append(time.thread_time() - started)
    assert json.loads(text) == texts_
    started = time.thread_time()
    assert [json.loads('"' + "".join(map(_escaped, each)) + '"') for each in texts_] == texts_
    assert min(taken) < (time.thread_time() - started) / 2  # a sixth of it


def _escaped(character: str) -> str:
    """Escape one character, as slowly as one can."""
    return json.dumps(character)[1:-1]


@given(body=st.binary(max_size=300))
@in_one_game
async def test_any_bytes(game: Game, body: bytes) -> None:
    await answered(game.client(), body)


@given(value=anything)
@in_one_game
async def test_any_json(game: Game, value: Any) -> None:
    await answered(game.client(), json.dumps(value).encode())


@given(packet=st.fixed_dictionaries(
    {"gameId": st.just(APP_ID)},
    optional={
        "packetId": st.integers(-2, 9) | anything,
        "sessionId": texts | anything,
        "messages": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "service": st.sampled_from(["time", "playerState"]) | anything,
                    "operation": st.sampled_from(["READ", "LOGOUT"]) | anything,
                    "data": anything,
                },
            )
            | anything,
            max_size=5,
        )
        | anything,
    },
))  # fmt: skip
@in_one_game
async def test_anything_like_a_packet(game: Game, packet: dict[str, Any]) -> None:
    answer = await answered(game.client(), json.dumps(packet).encode())
    assert all(entry["status"] != 200 for entry in answer["responses"]), "nobody is logged in"


@given(
    good=st.sampled_from(
        [b'{"packetId":3,"gameId":"10001","messages":[{"service":"time","operation":"READ"}]}']
    ),
    place=st.integers(0, 80),
    change=st.binary(max_size=3),
    cut=st.integers(0, 3),
)
@in_one_game
async def test_a_packet_with_a_few_bytes_changed(
    game: Game, good: bytes, place: int, change: bytes, cut: int
) -> None:
    await answered(game.client(), good[:place] + change + good[place + cut :])


PROTOCOL = Path(__file__).parents[2] / "protocol"
DOCUMENTS = [json.loads(path.read_text()) for path in sorted(PROTOCOL.glob("services/*.json"))]
METHODS = {method["name"]: method for document in DOCUMENTS for method in document["methods"]}
SCHEMAS = {
    name: schema for document in DOCUMENTS for name, schema in document["components"]["schemas"].items()
}
FOR_SERVERS = {name for name, method in METHODS.items() if method["x-access"] == "server"}


AT_ONCE = 4
"""Messages of one packet: to log in and to commit takes longer than they do."""


def text_of(chance: random.Random) -> str:
    """A text as `texts` has them."""
    if chance.random() < 0.4:
        return chance.choice(TRICKY_TEXTS)
    most = chance.choice([0x7F, 0xFF, 0xD7FF, 0x10FFFF])
    letters = (chance.randint(0, most) for _ in range(chance.choice([0, 1, 3, 10, 40])))
    return "".join(chr(letter) for letter in letters if not 0xD800 <= letter < 0xE000)


def value_of(chance: random.Random, depth: int = 0) -> Any:
    """A value as `sendable` has them."""
    kinds = ["null", "bool", "small", "whole", "real", "text", "text"]
    match chance.choice(kinds if depth > 2 else [*kinds, "list", "object", "object"]):
        case "null":
            return None
        case "bool":
            return chance.random() < 0.5
        case "small":
            return chance.randint(-2, 2)
        case "whole":
            return chance.choice([-1, 1]) * (2 ** chance.randint(0, 53) - chance.randint(0, 1))
        case "real":
            return chance.choice([0.1, -0.0, 1e308, -1e-320, 5.0]) * chance.uniform(-1, 1)
        case "list":
            return [value_of(chance, depth + 1) for _ in range(chance.randint(0, 4))]
        case "object":
            return {text_of(chance): value_of(chance, depth + 1) for _ in range(chance.randint(0, 4))}
        case _:
            return text_of(chance)


# Seeds are drawn, and values made of them: to draw the values takes longer than all that the server does.
# What fails is told with its values; it is only not made smaller.
chances = st.integers(0, 2**32 - 1).map(random.Random)
any_text, any_value = chances.map(text_of), chances.map(value_of)


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
@settings(parent=in_one_game, max_examples=10 if BACKENDS == "embedded" else 5)  # for what PostgreSQL refuses
async def test_any_data_for_an_operation(game: Game, name: str, data: st.DataObject) -> None:
    """Fields with their real names, and values of which all, some or none have the type that is wanted."""
    sent = [data.draw(data_for(name)) for _ in range(AT_ONCE)]
    player = await game.player()
    service, _, operation = name.partition(".")
    if name in FOR_SERVERS:
        for each in sent:
            assert await fault_of_server_call(game, player, service, operation, each) is None
    messages = [{"service": service, "operation": operation, "data": each} for each in sent]
    packet = {"packetId": 1, "sessionId": player.session_id, "gameId": APP_ID, "messages": messages}
    answer = await answered(player, json.dumps(packet).encode())
    assert len(answer["responses"]) == AT_ONCE


@functools.cache  # what a strategy finds out about itself is worth keeping from one example to the next
def data_for(name: str) -> st.SearchStrategy[Any]:
    """What is sent to an operation."""
    wanted = {param["name"]: of_schema(param["schema"]) for param in METHODS[name]["params"]}
    required = {param["name"] for param in METHODS[name]["params"] if param["required"]}
    as_told = st.fixed_dictionaries(
        {key: values for key, values in wanted.items() if key in required},
        optional={key: values for key, values in wanted.items() if key not in required},
    )
    about = st.fixed_dictionaries({}, optional={key: values | any_value for key, values in wanted.items()})
    return as_told | about | any_value


def of_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values as the schema wants them, its finer points aside."""
    if "$ref" in schema:
        found = SCHEMAS[schema["$ref"].rpartition("/")[2]]
        return st.deferred(lambda: of_schema(found))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([of_schema(option) for option in schema["anyOf"]])
    match schema.get("type"):
        case "string":
            least, most = schema.get("minLength", 0), schema.get("maxLength", 40)
            return any_text.filter(lambda text: least <= len(text) <= most)
        case "integer":
            return st.integers(schema.get("minimum", -5), schema.get("maximum", 2**53))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(of_schema(schema.get("items", {})), max_size=4)
        case "object":
            properties = {key: of_schema(value) for key, value in schema.get("properties", {}).items()}
            if not properties:
                return chances.map(
                    lambda chance: {text_of(chance): value_of(chance) for _ in range(chance.randint(0, 4))}
                )
            required = set(schema.get("required", ()))
            return st.fixed_dictionaries(
                {key: values for key, values in properties.items() if key in required},
                optional={key: values for key, values in properties.items() if key not in required},
            )
        case _:
            return any_value


async def fault_of_server_call(game: Game, player: Client, service: str, operation: str, data: Any) -> Any:
    """Call with a server's authority; returns the refusal if it is a fault of ours."""
    if not isinstance(data, dict) or data.keys() & {"service", "operation", "profile_id", "self"}:
        return None
    try:
        wire_json.checked(json.dumps(data).encode())  # as every face does that servers speak to
    except UnreadableJson:
        return None
    try:
        await game.server.call(service, operation, player.profile_id, **data)
    except Refusal as refusal:
        return refusal.raw if refusal.reason_code == FAULT else None
    return None


async def answered(client: Client, body: bytes) -> dict[str, Any]:
    """Send a body; the answer must be readable by all, and no fault of the server."""
    response = await client.send(body)
    assert response.status_code == 200, response.text
    answer = check_bundle(response.content)
    for entry in answer["responses"]:
        assert entry.get("reason_code") != FAULT, f"{body!r}: {entry}"
    return answer
