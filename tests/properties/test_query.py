"""Where clauses and orders against a slow model that is easy to believe, on SQLite and on PostgreSQL."""

import functools
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gameserver.documents import patterns
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, order, where
from gameserver.wire.errors import GameError
from tests.properties.query import FIELDS, Engines, engines, holds, matched, rank

__all__ = ["engines"]  # a fixture

# The property

NAMES = st.sampled_from(["a", "b", "0", "1", "é x"])
TEXTS = st.one_of(
    st.sampled_from(["", "a", "A", "ab", "Ab*", "é", "a\nb", "5", "true", "[1]"]),
    st.text("ab[*?é\n", max_size=4),
)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**53, -(2**53), 0.5, 1.0, -1.25, 1e20, 2.0**63, -0.0]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=5,
)
DATA = st.dictionaries(NAMES, VALUES, max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["a", "b", "Ab*"]),
            "made": st.one_of(st.integers(-3, 3), st.just(2**53)),
            "owner": st.one_of(st.none(), st.sampled_from(["a", "b"])),
            "data": DATA,
        }
    ),
    min_size=1,
    max_size=5,
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
DATA_PATHS = PATHS.map("data.{}".format)
FIELD = st.one_of(DATA_PATHS, st.sampled_from(["kind", "made", "owner", "unknown", "data"]))
PATTERN = st.sampled_from(
    [
        "a",
        "^a",
        "b$",
        "^a.*b$",
        "a|b",
        "^(a|é)?b?$",
        "[^a]",
        "^[a-b]{2}",
        r"\*",
        r"[*?\[]",
        ".+b",
        r"\d",
        "",
        "^.?$",
        r"[\]a]",
    ]
)


def operators(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    single = st.one_of(
        st.tuples(st.sampled_from(["$eq", "$ne"]), VALUES),
        st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(NUMBERS, TEXTS)),
        st.tuples(st.sampled_from(["$in", "$nin", "$all"]), st.lists(VALUES, max_size=3)),
        st.tuples(st.just("$exists"), st.booleans()),
        st.tuples(st.just("$type"), st.sampled_from([1, 2, 3, 4, 8, 10, 16, 18, [2, 10], [16, 1, 4], []])),
        st.tuples(st.just("$size"), st.integers(-1, 3)),
        st.tuples(st.just("$not"), conditions),
        st.tuples(st.just("$elemMatch"), conditions),
        st.tuples(st.just("$elemMatch"), st.dictionaries(PATHS, conditions, min_size=1, max_size=2)),
    )
    regex = st.builds(
        lambda pattern, options: {"$regex": pattern, "$options": options}, PATTERN, st.sampled_from(["", "i"])
    )
    return st.one_of(st.lists(single, min_size=1, max_size=2).map(dict), regex)


CONDITIONS = st.recursive(
    st.one_of(st.just({"$exists": True}), st.just({"$gt": 0}), st.just({"$ne": None})),
    operators,
    max_leaves=3,
)
LEAF = st.dictionaries(FIELD, st.one_of(VALUES, CONDITIONS), min_size=1, max_size=2)
CLAUSES = st.recursive(
    LEAF,
    lambda inner: st.builds(
        lambda name, clauses: {name: clauses},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=2),
    ),
    max_leaves=3,
)
SORTS = st.dictionaries(
    st.one_of(DATA_PATHS, st.sampled_from(["kind", "made", "owner", "id"])),
    st.sampled_from([1, -1]),
    max_size=2,
)


def expected(made: list[dict[str, Any]], clause: dict[str, Any], sort: dict[str, int]) -> list[int]:
    numbered = [{**row, "id": position} for position, row in enumerate(made)]
    passed = [position for position, row in enumerate(numbered) if holds(clause, row)]

    def compare(left: int, right: int) -> int:
        last = 1
        for path, direction in sort.items():
            a, b = rank(numbered[left], path), rank(numbered[right], path)
            last = direction
            if a != b:
                return direction if a > b else -direction
        return last if left > right else -last

    return sorted(passed, key=functools.cmp_to_key(compare))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=ROWS, clause=CLAUSES, sort=SORTS)
@example(
    made=[{"kind": "a", "made": 1, "owner": None, "data": {"a": [{"b": 1}, {"b": 2}]}}],
    clause={"data.a.b": 2},
    sort={},
)
@example(
    made=[{"kind": "a", "made": 1, "owner": None, "data": {"a": [[1, 2], 3]}}],
    clause={"data.a": [1, 2]},
    sort={},
)
@example(made=[{"kind": "a", "made": 1, "owner": None, "data": {"a": True}}], clause={"data.a": 1}, sort={})
def test_engines_and_model_agree(
    engines: Engines, made: list[dict[str, Any]], clause: dict[str, Any], sort: dict[str, int]
) -> None:
    try:
        where(clause, FIELDS)
    except InvalidWhere as refusal:  # more than the limits allow
        assert "more than" in str(refusal) or "deeper" in str(refusal)  # noqa: PT017 - the limits are the point
        return
    wanted = expected(made, clause, sort)
    assert engines.answers(made, clause, sort) == [wanted, wanted]


# Patterns

LITERALS = st.sampled_from(list("abAB01_-^]*?[{.$ é\n"))
PIECES = st.one_of(
    LITERALS.map(re.escape),
    st.sampled_from(
        [
            ".",
            "[ab]",
            "[^a]",
            "[a-c_]",
            "[]^-]",
            "[^]a]",
            "[A-b]",
            r"[\d\]]",
            r"\d",
            r"\W",
            r"\s",
            "[*-_]",
            "[^-a]",
        ]
    ),
)
COUNTED = st.builds(str.__add__, PIECES, st.sampled_from(["", "", "?", "{2}", "{0,1}", "{1,2}"]))
RUNS = st.one_of(COUNTED, st.sampled_from([".*", ".+", ".{1,}", ".*?"]))
GROUPS = st.lists(st.lists(RUNS, max_size=2).map("".join), min_size=1, max_size=2).map(
    lambda branches: f"({'|'.join(branches)})"
)
PATTERNS = st.builds(
    lambda start, middle, end: f"{start}{middle}{end}",
    st.sampled_from(["", "^"]),
    st.lists(st.one_of(RUNS, RUNS, GROUPS), max_size=4).map("".join),
    st.sampled_from(["", "$"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pattern=PATTERNS,
    texts=st.lists(st.text("abAB01_-^]*?[{.$ é\n", max_size=6), min_size=1, max_size=6),
    options=st.sampled_from(["", "i", "is"]),
)
@example(pattern="[_^]", texts=["^", "_", "a"], options="")
@example(pattern="[*-^][^-_]", texts=["^^", "a_", "]_"], options="i")
def test_patterns_match_what_they_match_elsewhere(
    engines: Engines, pattern: str, texts: list[str], options: str
) -> None:
    # Elsewhere a $ also matches before a line end that is the last character; here the end is the end.
    usual = pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
    clause = {"data.a": {"$regex": pattern, "$options": options}}
    made = [{"kind": "a", "made": 0, "owner": None, "data": {"a": text}} for text in texts]
    try:
        where(clause, FIELDS)
    except InvalidWhere as refusal:
        assert "more than" in str(refusal) or "repeats too much" in str(refusal)  # noqa: PT017 - limits
        return
    wanted = [position for position, text in enumerate(texts) if matched(text, usual, options)]
    assert engines.answers(made, clause, {}) == [wanted, wanted]


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "a*",
        "(a|aa)*b",
        r"(a)\1",
        "(?=a)a",
        "(?i)a",
        "a{2,}",
        "[",
        "[a",
        "(",
        "a)",
        "[z-a]",
        "a{5,2}",
        "(a|b){9}",
        "*a",
        "?",
        "\\",
        "[[:alpha:]]",
        "a^b",
        "a$b",
        "x" * 257,
        "a{1,300}",
        r"\b",
        r"[^\D]",
        "(" * 200,
        "(a|b)(c|d)(e|f)(g|h)(i|j)",
    ],
)
def test_patterns_that_are_not_understood_are_refused(pattern: str) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.parse(pattern, fold=False)
    with pytest.raises(InvalidWhere):
        where({"data.a": {"$regex": pattern}}, FIELDS)


@pytest.mark.parametrize(
    "pattern", [".*a" * 60 + "b$", "a.*" * 80 + "b", "([ab]|a).*" * 4 + "z", "a" * 200 + "b"]
)
def test_no_pattern_takes_long_over_a_long_text(engines: Engines, pattern: str) -> None:
    made = [{"kind": "a", "made": 0, "owner": None, "data": {"a": "a" * 100_000}}]
    started = time.monotonic()
    assert engines.answers(made, {"data.a": {"$regex": pattern}}, {}) == [[], []]
    assert time.monotonic() - started < 5  # a pattern that backtracks takes longer than the universe lasts


# Refusals


def nested(levels: int) -> Any:
    clause: Any = {"data.a": 1}
    for _ in range(levels):
        clause = {"$and": [clause]}
    return clause


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


INNERMOST = {"a" + ".0.b" * 4: {"$nin": [deep(4), {"a": {"b": {"c": {"d": 1}}}}]}, "b": 1}
DEEPEST = {
    "data.0.a.b": {
        "$elemMatch": {
            "$or": [
                {"a" + ".0.b" * 4: {"$not": {"$elemMatch": {"$nor": [INNERMOST, {"a": 1}]}}}, "c": 1},
                {"z": 1},
            ]
        }
    },
    "data.c": 1,
}


@pytest.mark.parametrize(
    ("clause", "kind"),
    [
        (5, InvalidWhere),
        ([], InvalidWhere),
        ("{", InvalidWhere),
        ("5", InvalidWhere),
        ('{"data.a":"\\u0000"}', InvalidWhere),
        ('{"data.a":"\\ud800"}', InvalidWhere),
        ('{"data.a":NaN}', InvalidWhere),
        ('{"data.a":1e999}', InvalidWhere),
        ("[" * 100_000, InvalidWhere),
        ({"$where": "sleep(1)"}, InvalidWhere),
        ({"$text": {"$search": "a"}}, InvalidWhere),
        ({"$not": {"a": 1}}, InvalidWhere),
        ({"$or": {}}, InvalidWhere),
        ({"$or": []}, InvalidWhere),
        ({"$and": [5]}, InvalidWhere),
        ({"data.a": {"$near": 1}}, InvalidWhere),
        ({"data.a": {"$gt": 1, "b": 2}}, InvalidWhere),
        ({"data.a": {"$gt": None}}, InvalidWhere),
        ({"data.a": {"$gt": True}}, InvalidWhere),
        ({"data.a": {"$gt": [1]}}, InvalidWhere),
        ({"data.a": {"$in": 1}}, InvalidWhere),
        ({"data.a": {"$in": [1] * 501}}, InvalidWhere),
        ({"data.a": {"$all": "x"}}, InvalidWhere),
        ({"data.a": {"$exists": "yes"}}, InvalidWhere),
        ({"data.a": {"$type": 99}}, InvalidWhere),
        ({"data.a": {"$type": True}}, InvalidWhere),
        ({"data.a": {"$type": [2, 99]}}, InvalidWhere),
        ({"data.a": {"$type": [[2]]}}, InvalidWhere),
        ({"data.a": {"$type": [2] * 65}}, InvalidWhere),
        ({"data.a": {"$size": "1"}}, InvalidWhere),
        ({"data.a": {"$size": True}}, InvalidWhere),
        ({"data.a": {"$not": 1}}, InvalidWhere),
        ({"data.a": {"$not": {"b": 1}}}, InvalidWhere),
        ({"data.a": {"$regex": 1}}, InvalidWhere),
        ({"data.a": {"$regex": "a", "$options": "x"}}, InvalidWhere),
        ({"data.a": {"$regex": "a", "$options": 1}}, InvalidWhere),
        ({"data.a": {"$options": "i"}}, InvalidWhere),
        ({"data.a": {"$elemMatch": 1}}, InvalidWhere),
        ({"data.a": {"$elemMatch": {}}}, InvalidWhere),
        ({"unknown": {"$elemMatch": {"$foo": 1}}}, InvalidWhere),
        ({"kind": {"$elemMatch": {"$foo": 1}}}, InvalidWhere),
        ({"data..a": 1}, InvalidWhere),
        ({"data.": 1}, InvalidWhere),
        ({'data.a"b': 1}, InvalidWhere),
        ({"data.a\\": 1}, InvalidWhere),
        ({"data.a": {'b"': 1}}, InvalidWhere),
        ({"data" + ".a" * 16: 1}, InvalidWhere),
        ({"data.$a": 1}, InvalidFieldInWhere),
        ({"a$": 1}, InvalidFieldInWhere),
        ({"data.a": {"b": {"c$": 1}}}, InvalidFieldInWhere),
        ({"data.a": {"b.c": 1}}, InvalidFieldInWhere),
        (nested(8), InvalidWhere),
        ({"data.a": deep(5)}, InvalidWhere),
        ({"data.a.0.0.0.0.0": 1}, InvalidWhere),
        ({"data.a": {"$elemMatch": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}}}, InvalidWhere),
        ({f"data.a{n}": 1 for n in range(65)}, InvalidWhere),
        ({"data" + ".a" * 14 + f".a{n}": 1 for n in range(17)}, InvalidWhere),
        ({"data.a": list(range(65))}, InvalidWhere),
        ({"data.a": {"$in": [{"a": 1}] * 40}}, InvalidWhere),
        ({"$or": [{"data.a": {"$regex": "(a|b)(c|d)(e|f)(g|h)"}} for _ in range(5)]}, InvalidWhere),
    ],
)
def test_what_is_no_clause_is_refused(clause: Any, kind: type[GameError]) -> None:
    with pytest.raises(kind) as refusal:
        where(clause, FIELDS)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "clause",
    [
        nested(7),
        DEEPEST,
        {"$nor": [{"$nor": [DEEPEST, {"data.b": 2}]}], "kind": "a"},
        {"$nor": [DEEPEST] * 2},
        {f"data.a{n}": 1 for n in range(64)},
        {f"data.b.c.a{n}": 1 for n in range(64)},
        {"data" + ".a" * 14 + f".a{n}": 1 for n in range(16)},
        {"data.a": {"$in": list(range(500))}},
        {"data.a": {"$in": [str(n) for n in range(500)]}},
        {"data" + ".a" * 15: 1},
        {"made": {"$gt": 1e300, "$lt": -1e300}},
        {"made": 2**63},
        {"made": {"$lte": -(2**63), "$gt": 2**63}},
        {"made": {"$in": [2**70, 1e300, 0.5]}},
        {"data.a": {"$size": 2**60}},
        {"data.a": {"$gt": 1e300}},
        None,
        "",
        "{}",
    ],
)
def test_what_is_just_within_the_limits_runs_on_both_engines(engines: Engines, clause: Any) -> None:
    made = [{"kind": "a", "made": 0, "owner": None, "data": {"a": 0}}]
    left, right = engines.answers(made, clause, {})
    assert left == right


@pytest.mark.parametrize(
    "sort",
    [
        5,
        [],
        "x",
        {"kind": 2},
        {"kind": "up"},
        {"kind": True},
        {"kind": None},
        {"data.$a": 1},
        {"data..a": 1},
        {f"data.a{n}": 1 for n in range(9)},
    ],
)
def test_what_is_no_order_is_refused(sort: Any) -> None:
    with pytest.raises((InvalidWhere, InvalidFieldInWhere)):
        order(sort, FIELDS)


@pytest.mark.parametrize("evil", ["'", '"', "') OR 1=1 --", "%", "a' || 'b", "\\", ":x", "$1", "?"])
def test_values_and_names_are_never_part_of_the_statement(engines: Engines, evil: str) -> None:
    made = [
        {"kind": "a", "made": 0, "owner": evil, "data": {"a": evil}},
        {"kind": "a", "made": 0, "owner": None, "data": {}},
    ]
    for clause in (
        {"owner": evil},
        {"data.a": evil},
        {"data.a": {"$in": [evil]}},
        {"data.a": {"$regex": re.escape(evil)}},
    ):
        assert engines.answers(made, clause, {}) == [[0], [0]]
    if not set(evil) & set('"\\$'):
        assert engines.answers([{**made[0], "data": {evil: 1}}], {f"data.{evil}": 1}, {}) == [[0], [0]]
