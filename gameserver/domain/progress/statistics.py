"""Statistics: how a change is written, the rules values obey, and the values all players of an app share."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    String,
    Table,
    bindparam,
    case,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement, FunctionElement

from gameserver.apps import Declares, Mistake, Refers, Settings
from gameserver.apps.fields import Name
from gameserver.players.profiles import number
from gameserver.storage import Transaction, locks, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import GameError, InvalidParameterValue
from gameserver.wire.shapes import Reply, Request

VALUE_MAX = 2**53  # a double is exact up to here, and half of the clients read every number as a double
NAME_MAX = 64
CHANGES_MAX = 500  # of one request
GENERATED_MAX = 500  # statistics nobody declared, of one player or of one app
GENERATED_CATEGORY = "generated"

# Errors


class InvalidStatisticName(GameError):
    """No statistic of that name is declared, and the app does not create statistics as they come."""

    reason_code = 40369


# Settings

Value = Annotated[float, Meta(ge=-VALUE_MAX, le=VALUE_MAX)]
Changes = dict[Name, int | float | str]
"""Statistics and what happens to them, as the grammar writes it: 5, "DEC#1", "INC_TO_LIMIT#9#30"."""
PlayerChanges = dict[Annotated[Name, Refers("statistic")], int | float | str]
GlobalChanges = dict[Annotated[Name, Refers("global statistic")], int | float | str]


class Rule(Settings, kw_only=True):
    """A statistic: where it starts and the limits that cut it."""

    initial: Annotated[Value, Meta(description="The value before the first change and after a reset.")] = 0
    minimum: Annotated[Value, Meta(description="A change never takes it below this.")] = -VALUE_MAX
    maximum: Annotated[Value, Meta(description="A change never takes it above this.")] = VALUE_MAX
    category: Annotated[
        str, Meta(max_length=NAME_MAX, description="Lets clients read it together with its like.")
    ] = ""

    when_merged: Annotated[
        Literal["sum", "keep"],
        Meta(
            description="When two players become one: sum adds the values up, keep leaves the value of the "
            "player who stays. Says nothing where all players share the statistic."
        ),
    ] = "sum"

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield limits that leave no place for the initial value."""
        for key in ("initial", "minimum", "maximum"):
            if math.isnan(getattr(self, key)):
                yield key, "expected a number, got nan"
        if self.minimum > self.maximum:
            yield "minimum", "above the maximum"
        elif not self.minimum <= self.initial <= self.maximum:
            yield "initial", "outside of minimum and maximum"
        yield from super().mistakes(folder)


GENERATED = Rule(category=GENERATED_CATEGORY)


class StatisticsSettings(Settings, kw_only=True):
    """Statistics by name."""

    statistics: Annotated[dict[Name, Rule], Meta(description="Statistics by name.")] = msgspec.field(
        default_factory=dict
    )
    create_unknown: Annotated[
        bool,
        Meta(description="true creates a statistic when a client first changes it; handy in development."),
    ] = False

    def rule(self, name: str) -> Rule:
        """Return the rule of a statistic that a client names. Raises `InvalidStatisticName`."""
        rule = self.statistics.get(name)
        if rule is None:
            if not self.create_unknown:
                raise InvalidStatisticName(f"there is no statistic {name[:NAME_MAX]!r}")
            if not 0 < len(name) <= NAME_MAX or not name.isprintable():
                raise InvalidStatisticName(
                    f"{name[:NAME_MAX]!r}…: a name of a statistic has 1 to {NAME_MAX} printable characters"
                )
            rule = GENERATED
        return rule

    def own_rule(self, name: str) -> Rule:
        """Return the rule of a statistic that is stored, whether or not it is still declared."""
        return self.statistics.get(name, GENERATED)

    def exists(self, name: str) -> bool:
        """Tell whether a statistic is declared, or comes into being when it is first changed."""
        return self.create_unknown or name in self.statistics

    def shown(self, stored: Mapping[str, float]) -> dict[str, float]:
        """Return all values as clients see them: the stored ones, and declared ones nobody has changed."""
        initial = {name: rule.initial for name, rule in self.statistics.items()}
        return {name: number(value) for name, value in {**initial, **stored}.items()}

    def shown_of(self, stored: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
        """Return the values of some statistics; names that do not exist are left out."""
        shown = self.shown(stored)
        return {name: shown[name] for name in names if name in shown}

    def shown_in(self, stored: Mapping[str, float], category: str) -> dict[str, float]:
        """Return the values of a category's statistics."""
        shown = self.shown(stored)
        return {name: value for name, value in shown.items() if self.own_rule(name).category == category}


class GlobalStatisticsSettings(StatisticsSettings, kw_only=True):
    """Statistics that all players of the app share."""

    statistics: Annotated[
        dict[Name, Rule],
        Declares("global statistic", open_if="create_unknown"),
        Meta(description="Statistics by name."),
    ] = msgspec.field(default_factory=dict)


# What services of statistics take and answer


ChangesField = Annotated[
    dict[str, Any],
    Meta(
        description="What happens to each statistic, by name: a number to add, or a form such as"
        ' "INC_TO_LIMIT#9#30", as protocol/data.md tells.'
    ),
]
Cuts = Annotated[
    dict[str, str] | UnsetType,
    Meta(description="Statistics that were cut, by name: `minApplied` or `maxApplied`. Absent if none was."),
]


class StatisticsReply(Reply):
    """Values by the name of the statistic."""

    statistics: Annotated[dict[str, float], Meta(description="The statistics by name.")]


class Process(Request):
    """Changes of statistics, by name."""

    statistics: ChangesField


class ProcessReply(Reply):
    """`statistics_exceptions` names the statistics that their minimum or maximum has cut, if any."""

    statistics: Annotated[
        dict[str, float], Meta(description="The new values of the statistics that were named.")
    ]
    statistics_exceptions: Cuts = UNSET


# Grammar


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a value v: it becomes `keep * v + add`, cut to `low` … `high`.

    Every form of the grammar is one of these, so one SQL expression does them all.
    """

    keep: int
    add: float
    low: float = -math.inf
    high: float = math.inf

    def times(self, multiplier: int) -> "Change":
        """Return the change made several times over; setting a value twice is setting it once."""
        return replace(self, add=self.add * multiplier) if self.keep else self

    def apply(self, value: float, rule: Rule) -> tuple[float, int]:
        """Return the new value, and whether the rule cut it: -1 at the minimum, 1 at the maximum, else 0."""
        raw = max(self.low, min(self.high, self.keep * value + self.add))
        return max(rule.minimum, min(rule.maximum, raw)), (raw > rule.maximum) - (raw < rule.minimum)


_N = r"[+-]?[0-9]{1,16}(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?"
_FORM = re.compile(
    rf"(?P<form>INC|DEC|SET|MAX|MIN)#(?P<n>{_N})"
    rf"|(?P<limited>INC|DEC)_TO_LIMIT#(?P<step>{_N})#(?P<limit>{_N})"
    rf"|(?P<plain>{_N})"
    rf"|RESET"
)
_EXPECTED = 'expected a number or a form such as "INC#1", "INC_TO_LIMIT#9#30" or "RESET"'


def parse(where: str, operation: Any, initial: float) -> Change:
    """Read one change. `where` names the statistic in the refusal; `initial` is what a reset goes back to.

    Raises `InvalidParameterValue` for what is not in the grammar, and for numbers beyond 2^53.
    """
    if isinstance(operation, int | float) and not isinstance(operation, bool):
        return Change(1, _limited(where, operation))
    found = _FORM.fullmatch(operation) if isinstance(operation, str) else None
    if found is None:
        raise InvalidParameterValue(f"{where}: {_EXPECTED}")

    def n(group: str) -> float:
        return _limited(where, Decimal(found[group]))

    match found["form"] or found["limited"]:
        case None:
            return Change(0, initial) if found["plain"] is None else Change(1, n("plain"))
        case "INC" if found["limited"]:
            return Change(1, n("step"), high=n("limit"))
        case "DEC" if found["limited"]:
            return Change(1, -n("step"), low=n("limit"))
        case "INC":
            return Change(1, n("n"))
        case "DEC":
            return Change(1, -n("n"))
        case "SET":
            return Change(0, n("n"))
        case "MAX":
            return Change(1, 0, low=n("n"))
        case _:
            return Change(1, 0, high=n("n"))


def _limited(where: str, value: float | Decimal) -> float:
    if not -VALUE_MAX <= value <= VALUE_MAX:
        raise InvalidParameterValue(f"{where}: a number beyond 2^53 loses precision")
    return float(value)


def mistakes_in(key: str, changes: Changes) -> Iterator[Mistake]:
    """Yield the changes of a definition that are not in the grammar."""
    for name, operation in changes.items():
        try:
            parse("", operation, 0)
        except InvalidParameterValue as error:
            yield (key, name), str(error).removeprefix(": ")


def plain(changes: Changes) -> Changes:
    """Return changes as clients write numbers: 1 and not 1.0."""
    return {name: number(value) if isinstance(value, float) else value for name, value in changes.items()}


Planned = dict[str, tuple[Change, Rule]]
"""Changes that are known to be possible, by the name of their statistic."""


def plan(settings: StatisticsSettings, statistics: Mapping[str, Any]) -> Planned:
    """Read the changes of a request, all of them or none.

    Raises `InvalidStatisticName` and `InvalidParameterValue`, each naming the statistic.
    """
    if len(statistics) > CHANGES_MAX:
        raise InvalidParameterValue(f"data.statistics: at most {CHANGES_MAX} statistics at once")
    planned: Planned = {}
    for name, operation in statistics.items():
        rule = settings.rule(name)
        planned[name] = parse(f"data.statistics.{name}", operation, rule.initial), rule
    return planned


def plan_own(settings: StatisticsSettings, changes: Changes, multiplier: int = 1) -> Planned:
    """Return the changes that the app's definition itself asks for, made `multiplier` times over."""
    rules = {name: settings.own_rule(name) for name in changes}
    return {
        name: (parse(name, operation, rules[name].initial).times(multiplier), rules[name])
        for name, operation in changes.items()
    }


def cuts_shown(cuts: Mapping[str, int]) -> dict[str, str]:
    """Return which statistics were cut by their rule, in the words clients know."""
    return {name: "minApplied" if cut < 0 else "maxApplied" for name, cut in cuts.items() if cut}


# Storage of the statistics that players share

global_statistics = Table(
    "global_statistics",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("name", String(NAME_MAX), primary_key=True),
    Column("value", Float(53), nullable=False),
    Column("cut", BigInteger, nullable=False),  # whether the rule cut the last change: the answer tells
    info={"stored_by": StoredBy.APP},
)


class _Between(FunctionElement[float]):
    """`between(value, low, high)`: the value, cut to its limits."""

    type = Float(53)
    inherit_cache = True


@compiles(_Between, "sqlite")
def _between_on_sqlite(element: _Between, compiler: Any, **words: Any) -> str:
    value, low, high = (compiler.process(clause, **words) for clause in element.clauses)
    return f"max({low}, min({high}, {value}))"


@compiles(_Between, "postgresql")
def _between_on_postgresql(element: _Between, compiler: Any, **words: Any) -> str:
    value, low, high = (compiler.process(clause, **words) for clause in element.clauses)
    return f"greatest({low}, least({high}, {value}))"


def _bound(name: str) -> ColumnElement[float]:
    return bindparam(name, type_=Float(53))


_raw = _Between(global_statistics.c.value * _bound("keep") + _bound("add"), _bound("low"), _bound("high"))
# The new value is worked out by the database, under the row's lock: nothing gets lost between read and write.
CHANGE_GLOBAL = upsert(
    global_statistics,
    ("app_id", "name"),
    {
        "value": _Between(_raw, _bound("minimum"), _bound("maximum")),
        "cut": case((_raw < _bound("minimum"), -1), (_raw > _bound("maximum"), 1), else_=0),
    },
    returning=(global_statistics.c.value, global_statistics.c.cut),
)
READ_GLOBAL = select(global_statistics.c.name, global_statistics.c.value).where(
    global_statistics.c.app_id == bindparam("app")
)


async def read_global(tx: Transaction, app_id: str) -> dict[str, float]:
    """Return the statistics of an app that were ever changed."""
    return {row["name"]: row["value"] for row in await tx.all(READ_GLOBAL, app=app_id)}


def global_locks(app_id: str, names: Iterable[str]) -> set[str]:
    """Return the locks of statistics that many players share: of whoever changes more than one of them."""
    return {locks.shared_lock(app_id, "statistic", name) for name in names}


async def change_global(
    tx: Transaction, app_id: str, planned: Iterable[tuple[str, tuple[Change, Rule]]]
) -> tuple[dict[str, float], dict[str, int]]:
    """Change statistics that many players share; return their new values, and which of them were cut.

    One statement for each, in the order of their names. Whoever changes one waits until the others who did
    have committed, so this comes last in what an operation does.
    """
    new: dict[str, float] = {}
    cuts: dict[str, int] = {}
    ordered = sorted(planned, key=lambda item: item[0])
    if len(ordered) > 1:
        await locks.take(tx, global_locks(app_id, (name for name, _ in ordered)))
    for name, (change, rule) in ordered:
        first, cut = change.apply(rule.initial, rule)
        row = await tx.one(
            CHANGE_GLOBAL,
            app_id=app_id,
            name=name,
            value=first,
            cut=cut,
            keep=float(change.keep),
            add=change.add,
            low=max(change.low, -_FAR),
            high=min(change.high, _FAR),
            minimum=rule.minimum,
            maximum=rule.maximum,
        )
        assert row is not None, "an upsert without a condition returns its row"
        new[name], cuts[name] = row["value"], row["cut"] or cuts.get(name, 0)
    return new, cuts


_FAR = 1e300  # infinity, for a database that has no word for it


async def check_generated(
    tx: Transaction, settings: StatisticsSettings, app_id: str, names: Iterable[str]
) -> None:
    """Refuse to create more shared statistics than an app may have beyond those it declares."""
    unknown = set(names) - settings.statistics.keys()
    if unknown:
        check_count(settings, unknown | (await read_global(tx, app_id)).keys())


def check_count(settings: StatisticsSettings, names: Iterable[str]) -> None:
    """Refuse more undeclared statistics than one may have. Raises `InvalidStatisticName`."""
    if len(set(names) - settings.statistics.keys()) > GENERATED_MAX:
        raise InvalidStatisticName(f"at most {GENERATED_MAX} statistics are created as they come")


read_values = msgspec.json.Decoder(dict[str, float]).decode
