"""Criteria: what must be true of a player who belongs to a segment."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.apps import Mistake, Refers, Settings, version_numbers
from gameserver.apps.fields import Country, Language, Name, PlatformId, Version
from gameserver.domain.economy.wallet import CurrencyName

DEPTH_MAX = 6  # of criteria within criteria
LISTED_MAX = 200

Number = Annotated[float, Meta(ge=-(2**53), le=2**53)]


class Range(Settings, kw_only=True):
    """A number from one to another, both included."""

    minimum: Annotated[Number | None, Meta(description="At least this. Absent: any.")] = None
    maximum: Annotated[Number | None, Meta(description="At most this. Absent: any.")] = None

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a range that says nothing, or that no number is in."""
        if self.minimum is None and self.maximum is None:
            yield "minimum", "expected a minimum, a maximum, or both"
        elif any(math.isnan(limit or 0) for limit in (self.minimum, self.maximum)):
            yield "minimum", "expected numbers, got nan"
        elif self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield "minimum", "above the maximum"
        yield from super().mistakes(folder)

    def holds(self, value: float) -> bool:
        """Tell whether a number is in the range."""
        return (self.minimum is None or value >= self.minimum) and (
            self.maximum is None or value <= self.maximum
        )


class VersionRange(Settings, kw_only=True):
    """Versions of the game from one to another."""

    minimum: Annotated[Version, Meta(description="At least this version, such as 1.4.0. Absent: any.")] = ""
    below: Annotated[Version, Meta(description="Older than this version. Absent: any.")] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a range that says nothing, or that no version is in."""
        if not self.minimum and not self.below:
            yield "minimum", "expected minimum, below, or both"
        elif self.minimum and self.below and version_numbers(self.minimum) >= version_numbers(self.below):
            yield "minimum", "not below the version in below"
        yield from super().mistakes(folder)

    def holds(self, version: str) -> bool:
        """Tell whether a version is in the range; one that is not known is not."""
        numbers = version_numbers(version)
        return (
            bool(numbers)
            and (not self.minimum or numbers >= version_numbers(self.minimum))
            and (not self.below or numbers < version_numbers(self.below))
        )


Values = Annotated[list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=LISTED_MAX)]


class Criteria(Settings, kw_only=True):
    """What must be true of a player: all that stands here. Without anything everybody fits."""

    statistics: Annotated[
        dict[Annotated[Name, Refers("statistic")], Range],
        Meta(description="Values of statistics, by name, such as `wins = { minimum = 100 }`."),
    ] = msgspec.field(default_factory=dict)
    currencies: Annotated[
        dict[CurrencyName, Range], Meta(description="Balances of currencies of this app, by name.")
    ] = msgspec.field(default_factory=dict)
    attributes: Annotated[
        dict[Name, Values],
        Meta(
            description="Attributes of the player, by name, and the texts of which each is one. An empty "
            "list: the player has the attribute."
        ),
    ] = msgspec.field(default_factory=dict)
    level: Annotated[Range | None, Meta(description="The experience level.")] = None
    experience: Annotated[Range | None, Meta(description="The experience points.")] = None
    account_days: Annotated[Range | None, Meta(description="Days since the player was made.")] = None
    away_days: Annotated[Range | None, Meta(description="Days since the last login.")] = None
    logins: Annotated[Range | None, Meta(description="How often the player has logged in.")] = None
    ab_test: Annotated[
        Range | None,
        Meta(description="The player's number for tests, from 1 to 100, which stays with them."),
    ] = None
    countries: Annotated[
        list[Country], Meta(max_length=LISTED_MAX, description="Countries, one of which is the player's.")
    ] = msgspec.field(default_factory=list)
    languages: Annotated[
        list[Language],
        Meta(
            max_length=LISTED_MAX,
            description="Languages, one of which is the player's; fr stands for fr-CA and the like as well.",
        ),
    ] = msgspec.field(default_factory=list)
    platforms: Annotated[
        list[PlatformId],
        Meta(max_length=LISTED_MAX, description="Platforms, one of which the last login came from."),
    ] = msgspec.field(default_factory=list)
    client_version: Annotated[
        VersionRange | None, Meta(description="The version of the game that last logged in.")
    ] = None
    tester: Annotated[
        bool | None, Meta(description="Whether servers have marked the player as a tester.")
    ] = None
    all: Annotated[
        list["Criteria"], Meta(max_length=LISTED_MAX, description="Further criteria that all must be true.")
    ] = msgspec.field(default_factory=list)
    any: Annotated[
        list["Criteria"], Meta(max_length=LISTED_MAX, description="Criteria of which one must be true.")
    ] = msgspec.field(default_factory=list)
    not_: Annotated["Criteria | None", Meta(description="Criteria that must not be true.")] = msgspec.field(
        default=None, name="not"
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield criteria that nobody could read."""
        if self.depth > DEPTH_MAX:
            yield (), f"criteria stand within criteria at most {DEPTH_MAX} deep"
        yield from super().mistakes(folder)

    @property
    def within(self) -> Iterator["Criteria"]:
        """The criteria that stand in these."""
        yield from self.all
        yield from self.any
        if self.not_ is not None:
            yield self.not_

    @property
    def depth(self) -> int:
        """How deep criteria stand in each other."""
        return 1 + max((each.depth for each in self.within), default=0)

    @property
    def ask_client(self) -> bool:
        """Whether they speak of what only a login tells: the platform, or the version of the game."""
        return bool(self.platforms or self.client_version) or any(each.ask_client for each in self.within)


@dataclass(slots=True)
class Facts:
    """What is known of a player. Further criteria, such as purchases, have a member here and one above."""

    account_days: float = 0.0
    away_days: float = 0.0
    logins: int = 0
    ab_test: int = 0
    is_tester: bool = False
    country: str = ""
    language: str = ""
    platform: str = ""
    version: str = ""
    level: int = 0
    experience: int = 0
    statistics: Mapping[str, float] = field(default_factory=dict)  # all that are declared
    balances: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


def fits(criteria: Criteria, facts: Facts) -> bool:
    """Tell whether criteria are true of a player."""
    return (
        _numbers_fit(criteria, facts)
        and _texts_fit(criteria, facts)
        and (criteria.tester is None or criteria.tester == facts.is_tester)
        and all(fits(each, facts) for each in criteria.all)
        and (not criteria.any or any(fits(each, facts) for each in criteria.any))
        and (criteria.not_ is None or not fits(criteria.not_, facts))
    )


_RANGES = ("level", "experience", "account_days", "away_days", "logins", "ab_test")


def _numbers_fit(criteria: Criteria, facts: Facts) -> bool:
    for name in _RANGES:
        limits: Range | None = getattr(criteria, name)
        if limits is not None and not limits.holds(getattr(facts, name)):
            return False
    return all(
        limits.holds(facts.statistics.get(name, 0)) for name, limits in criteria.statistics.items()
    ) and all(limits.holds(facts.balances.get(name, 0)) for name, limits in criteria.currencies.items())


def _texts_fit(criteria: Criteria, facts: Facts) -> bool:
    for name, values in criteria.attributes.items():
        value = facts.attributes.get(name)
        if value is None or (values and value not in values):
            return False
    return (
        _is_one_of(facts.country, criteria.countries)
        and _is_one_of(facts.platform, criteria.platforms)
        and (not criteria.languages or any(_speaks(facts.language, each) for each in criteria.languages))
        and (criteria.client_version is None or criteria.client_version.holds(facts.version))
    )


def _is_one_of(value: str, wanted: list[str]) -> bool:
    return not wanted or any(value.upper() == each.upper() for each in wanted)


def _speaks(language: str, wanted: str) -> bool:
    theirs, wanted = language.replace("_", "-").lower(), wanted.replace("_", "-").lower()
    return theirs == wanted or theirs.startswith(f"{wanted}-")
