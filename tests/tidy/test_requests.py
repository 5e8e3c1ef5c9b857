"""What holds for the parameters and the answers of all operations."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest
from msgspec import NODEFAULT, UNSET, Meta

from gameserver.app import registry
from gameserver.domain.leaderboards.boards import BoardType
from gameserver.wire.errors import GameError, MissingParameter
from gameserver.wire.shapes import Reply, Request, RequestReader, read_value

OPERATIONS = list(registry())  # whose import brings all requests in


def requests(kind: type[Request] = Request) -> Iterator[type[Request]]:
    """Every type of request, also those that others are made of."""
    yield kind
    for derived in kind.__subclasses__():
        if derived.__module__.startswith("gameserver."):
            yield from requests(derived)


OPTIONAL = [
    pytest.param(field, id=f"{shape.__module__}.{shape.__name__}.{field.name}")
    for shape in sorted(set(requests()), key=lambda shape: (shape.__module__, shape.__name__))
    for field in msgspec.structs.fields(shape)
    if not field.required
]


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_is_as_good_as_absent(field: msgspec.structs.FieldInfo) -> None:
    """Some clients send every parameter they know, and null for those that the game did not give."""
    default: Any = msgspec.field(  # type: ignore[call-overload]  # one of the two is none
        default=field.default, default_factory=field.default_factory, name=field.encode_name
    )
    only: Any = msgspec.defstruct("Only", [(field.name, field.type, default)], bases=(Request,), kw_only=True)
    read = getattr(RequestReader(only).read(msgspec.json.encode({field.encode_name: None})), field.name)
    absent = field.default if field.default is not NODEFAULT else field.default_factory()
    # Null beside a default of no, none or -1 means that as well; a default that says more is what it means.
    assert read == absent or (read is None and absent in (False, UNSET, -1))


def test_every_answer_has_a_declared_shape() -> None:
    """An object is a `Reply`; only where data names its members it is a dict of replies or lists of them."""
    undeclared = []
    for operation in OPERATIONS:
        kind = operation.reply
        [*kinds] = get_args(kind) if isinstance(kind, UnionType) else [kind]
        kinds = [get_args(kind)[1] if get_origin(kind) is dict else kind for kind in kinds]
        kinds = [get_args(kind)[0] if get_origin(kind) is list else kind for kind in kinds]
        if not all(kind in (None, NoneType) or issubclass(kind, Reply) for kind in kinds):
            undeclared.append(f"{operation.wire_name}: {operation.reply}")
    assert not undeclared, "\n".join(undeclared)


class Part(Request):
    kind: BoardType = BoardType.HIGH_VALUE
    count: Annotated[int, Meta(ge=1)] = 1


class Whole(Request):
    name: str
    count: int
    size: int | None = None
    ratio: float | None = None
    kind: BoardType = BoardType.HIGH_VALUE
    parts: list[Part] = msgspec.field(default_factory=list)
    named: dict[str, Part] = msgspec.field(default_factory=dict)
    part: Part | None = None
    free: dict[str, Any] = msgspec.field(default_factory=dict)


SAID = {
    "name": "x",
    "count": 5.0,
    "size": 1.0,
    "ratio": 2.0,
    "kind": None,
    "parts": [{"kind": None, "count": 2.0}, {"count": None}],
    "named": {"a": {"count": None}},
    "part": {"kind": "LOW_VALUE", "count": 3.0},
    "free": {"a": 5.0, "b": None, "c": [1.0, None]},
}


def test_what_clients_say_in_another_way() -> None:
    meant = Whole(
        name="x",
        count=5,
        size=1,
        ratio=2.0,
        parts=[Part(count=2), Part()],
        named={"a": Part()},
        part=Part(kind=BoardType.LOW_VALUE, count=3),
        free={"a": 5.0, "b": None, "c": [1.0, None]},
    )
    for read in (RequestReader(Whole).read(msgspec.json.encode(SAID)), read_value(SAID, Whole)):
        assert read == meant
        assert repr(read) == repr(meant)  # 5.0 is not 5 in free data


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"name": None}, MissingParameter, "data.name: expected text, got null"),
        ({"count": None}, MissingParameter, "data.count: expected whole number, got null"),
        ({"count": 5.5}, GameError, "data.count: expected whole number, got number"),
        ({"parts": [None]}, MissingParameter, "data.parts[0]: expected object, got null"),
        ({"parts": [{"count": 0.0}]}, GameError, "data.parts[0].count: expected whole number >= 1"),
        ({"kind": "LOW"}, GameError, "data.kind: expected HIGH_VALUE or LOW_VALUE or "),
        ({"parts": [{"kind": "LOW"}]}, GameError, "data.parts[0].kind: expected HIGH_VALUE or "),
        ({"part": {"kind": "LOW"}}, GameError, "data.part.kind: expected HIGH_VALUE or "),
        ({"named": {"a": {"kind": "LOW"}}}, GameError, "data.named[...].kind: expected HIGH_VALUE or "),
    ],
)
def test_what_is_still_refused(change: dict[str, Any], kind: type[GameError], words: str) -> None:
    for read in (
        lambda said: RequestReader(Whole).read(msgspec.json.encode(said)),
        lambda said: read_value(said, Whole),
    ):
        with pytest.raises(kind) as refusal:
            read({**SAID, **change})
        assert str(refusal.value).startswith(words)
