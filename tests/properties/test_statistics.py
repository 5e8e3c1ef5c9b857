"""The grammar of statistics against its formulas, worked out the slow way, in memory and in the database."""

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.domain.progress import statistics
from gameserver.domain.progress.statistics import Rule, parse
from gameserver.storage import Database, open_database
from gameserver.wire.errors import InvalidParameterValue

numbers = st.integers(-50, 50) | st.sampled_from([0.5, -2.25, 2**53, -(2**53)])


@dataclass(frozen=True)
class Form:
    """One change, as text and as its formula's parts."""

    name: str
    n: float
    limit: float

    @property
    def text(self) -> str | float:
        match self.name:
            case "plain":
                return self.n
            case "text":
                return str(self.n)
            case "RESET":
                return self.name
            case name if name.endswith("LIMIT"):
                return f"{name}#{self.n}#{self.limit}"
            case name:
                return f"{name}#{self.n}"

    def result(self, value: float, initial: float) -> float:
        """The formulas of the reference, one by one, in doubles."""
        n, limit = float(self.n), float(self.limit)
        return {
            "plain": value + n,
            "text": value + n,
            "INC": value + n,
            "DEC": value - n,
            "SET": n,
            "RESET": initial,
            "INC_TO_LIMIT": min(value + n, limit),
            "DEC_TO_LIMIT": max(value - n, limit),
            "MAX": max(value, n),
            "MIN": min(value, n),
        }[self.name]


NAMES = ("plain", "text", "INC", "DEC", "SET", "RESET", "INC_TO_LIMIT", "DEC_TO_LIMIT", "MAX", "MIN")
forms = st.builds(Form, name=st.sampled_from(NAMES), n=numbers, limit=numbers)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    minimum, initial, maximum = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Rule(initial=initial, minimum=minimum, maximum=maximum)


def model(rule: Rule, sequence: list[Form]) -> list[tuple[float, int]]:
    """Every value a statistic goes through, and how its rule cut it."""
    value, steps = rule.initial, []
    for form in sequence:
        raw = form.result(value, rule.initial)
        value = rule.minimum if raw < rule.minimum else min(raw, rule.maximum)
        steps.append((value, -1 if raw < rule.minimum else 1 if raw > rule.maximum else 0))
    return steps


@given(rules(), st.lists(forms, max_size=12))
def test_in_memory(rule: Rule, sequence: list[Form]) -> None:
    value, steps = rule.initial, []
    for form in sequence:
        value, cut = parse("a", form.text, rule.initial).apply(value, rule)
        steps.append((value, cut))
    assert steps == model(rule, sequence)


@given(st.integers(0, 20), forms, st.integers(-50, 50))
def test_a_multiplier_is_the_change_made_that_often(times: int, form: Form, start: int) -> None:
    """As long as nothing is cut on the way; that is why limits are not tried here."""
    if form.name.endswith("LIMIT") or abs(form.n) > 50 or (form.name in ("SET", "RESET") and not times):
        return
    change, rule = parse("a", form.text, 3), Rule()
    value: float = start
    for _ in range(times):
        value, _ = change.apply(value, rule)
    if times or form.name not in ("MAX", "MIN"):
        assert change.times(times).apply(start, rule) == (value, 0)


pieces = st.sampled_from(
    [*NAMES, "#", "##", "1", "-5", "+3", "0.5", ".", "e9", " ", "\n", "x", "٣", "inf", "nan"]
)


@given(st.lists(pieces, max_size=6).map("".join) | st.text(max_size=20))
def test_text_is_understood_or_refused(text: str) -> None:
    try:
        change = parse("a", text, 0)
    except InvalidParameterValue:
        return
    assert text.isascii()
    assert text == text.strip()
    assert abs(change.add) <= 2**53


# In the database


@pytest.fixture
def database_url(migrated: dict[str, str], schema_template: Path | None, tmp_path: Path) -> str:
    """A migrated database of the run's backend."""
    if schema_template is None:
        return migrated["database"]
    shutil.copy(schema_template, tmp_path / "game.db")
    return f"sqlite:///{tmp_path / 'game.db'}"


@contextmanager
def opened(url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    with asyncio.Runner() as runner:
        database = runner.run(open_database(url))
        try:
            yield runner, database
        finally:
            runner.run(database.close())


async def change(database: Database, name: str, rule: Rule, form: Form) -> tuple[float, int]:
    async with database.write() as tx:
        planned = {name: (parse("a", form.text, rule.initial), rule)}
        new, cuts = await statistics.change_global(tx, "properties", planned.items())
    return new[name], cuts[name]


def test_in_the_database(database_url: str) -> None:
    examples = itertools.count()
    with opened(database_url) as (runner, database):

        @settings(
            max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
        )
        @given(rules(), st.lists(forms, max_size=8))
        def check(rule: Rule, sequence: list[Form]) -> None:
            name = f"s{next(examples)}"
            steps = [runner.run(change(database, name, rule, form)) for form in sequence]
            assert steps == model(rule, sequence)

        check()


def test_concurrent_increments_are_all_counted(database_url: str) -> None:
    async def check(database: Database) -> None:
        step = Form("INC", 0.5, 0)
        seen = await asyncio.gather(*(change(database, "hot", Rule(), step) for _ in range(100)))
        assert sorted(value for value, _ in seen) == [step.n * count for count in range(1, 101)]

    with opened(database_url) as (runner, database):
        runner.run(check(database))
