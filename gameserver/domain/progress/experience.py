"""A player's progress: the values of their statistics, their experience points, and the level these reach."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, Column, Integer, String, Table, bindparam, select, update

from gameserver.apps import App, Declares, Mistake, Settings
from gameserver.apps.fields import Name
from gameserver.domain.economy.wallet import AMOUNT_MAX
from gameserver.domain.progress import statistics
from gameserver.domain.progress.rewards import Paid, Points, RewardBatch, Rewards
from gameserver.domain.progress.statistics import Change, Changes, Planned, Rule, StatisticsSettings
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import (
    Json,
    Row,
    Transaction,
    excluded,
    fail_unless,
    json_rows,
    locks,
    metadata,
    upsert,
)
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import NoSession

# Settings


class Level(Settings, kw_only=True):
    """An experience level."""

    experience: Annotated[Points, Meta(description="Points at which players reach it.")]
    title: Annotated[str, Meta(max_length=128, description="What players of this level are called.")] = ""
    rewards: Annotated[Rewards, Meta(description="What players get for reaching it.")] = msgspec.field(
        default_factory=Rewards
    )


class PlayerStatisticsSettings(StatisticsSettings, kw_only=True):
    """Statistics that each player has, and the levels that experience points lead to."""

    statistics: Annotated[
        dict[Name, Rule],
        Declares("statistic", open_if="create_unknown"),
        Meta(description="Statistics by name."),
    ] = msgspec.field(default_factory=dict)
    levels: Annotated[list[Level], Meta(max_length=1000, description="Levels from 1 upwards.")] = (
        msgspec.field(default_factory=list)
    )
    experience_maximum: Annotated[Points, Meta(description="Experience points end here.")] = AMOUNT_MAX

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield levels that do not rise, cannot be reached, or promise something for nothing."""
        before = -1
        for index, level in enumerate(self.levels):
            if level.experience <= before:
                yield ("levels", index, "experience"), f"expected more than the {before} of the level before"
            if level.experience > self.experience_maximum:
                yield ("levels", index, "experience"), "above experience_maximum: nobody gets there"
            before = level.experience
        if self.levels and not self.levels[0].experience and self.levels[0].rewards != Rewards():
            yield (
                ("levels", 0, "rewards"),
                "everybody starts at a level of 0 points; nobody is rewarded for it",
            )
        yield from super().mistakes(folder)

    def reached(self, experience: int) -> int:
        """Return the level that so many points reach; 0 below the first."""
        return bisect_right(self.levels, experience, key=lambda level: level.experience)


# Progress


@dataclass(slots=True)
class Progress:
    """How far a player is.

    `paid` is the highest level whose rewards the player got. `round` counts how often levels were taken back
    together with that memory: each may then be reached, and paid, again.
    """

    settings: PlayerStatisticsSettings
    values: dict[str, float] = field(default_factory=dict)
    experience: int = 0
    level: int = 0
    paid: int = 0
    round: int = 0
    version: int = 0  # 0: nothing is stored yet
    cuts: dict[str, int] = field(default_factory=dict)

    @property
    def capped(self) -> bool:
        """Whether no further points are gained."""
        return self.experience >= self.settings.experience_maximum

    def change(self, planned: Planned) -> None:
        """Change statistics."""
        for name, (change, rule) in planned.items():
            value, cut = change.apply(self.values.get(name, rule.initial), rule)
            self.values[name], self.cuts[name] = value, cut or self.cuts.get(name, 0)

    def set_experience(self, points: int) -> None:
        """Set the points, and the level that belongs to them. Nobody is rewarded, and no level pays twice."""
        self.experience = min(points, self.settings.experience_maximum)
        self.level = self.settings.reached(self.experience)

    def take_back(self, points: int, *, levels_too: bool) -> None:
        """Lower the points to these. Levels that are taken back may be reached, and paid, again."""
        self.experience = points
        if levels_too:
            self.level = self.settings.reached(points)
            if self.paid > self.level:
                self.paid = self.level
                self.round += 1

    def join(self, other: "Progress") -> None:
        """Take over the progress of a player who turned out to be the same person."""
        for name, value in other.values.items():
            rule = self.settings.own_rule(name)
            if name not in self.values:
                self.values[name] = value
            elif rule.when_merged == "sum":
                beyond = Change(1, value - rule.initial)
                self.values[name], _ = beyond.apply(self.values[name], rule)
        self.set_experience(self.experience + other.experience)
        self.paid = max(self.paid, other.paid)

    def gain(self, points: int, app: App, tally: RewardBatch) -> None:
        """Add points and rise as many levels as they reach; rewards of levels may be points again."""
        settings = self.settings
        while True:
            self.experience = max(self.experience, min(self.experience + points, settings.experience_maximum))
            if self.level >= settings.reached(self.experience):
                return
            self.level += 1
            points = 0
            if self.level <= self.paid:
                continue
            rewards = settings.levels[self.level - 1].rewards
            self.paid = self.level
            tally.levels.append((self.level, rewards))
            tally.collect(app, rewards, f"level/{self.round}/{self.level}")
            self.change(statistics.plan_own(settings, rewards.statistics))
            points = rewards.experience


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """What a player has done, and what it brings. `name` and `rewards` are those of an event."""

    planned: Planned = field(default_factory=dict)
    experience: int | None = None
    name: str = ""
    global_statistics: Changes = field(default_factory=dict)
    rewards: Rewards = field(default_factory=Rewards)
    multiplier: int = 1


async def advance(
    tx: Transaction, app: App, profile_id: str, deeds: Sequence[ProgressEvent], key: str, now_ms: int
) -> tuple[Progress, Paid]:
    """Do all of `deeds` in turn and pay what they earn; `key` names this occasion in the player's ledger.

    Two statements for any number of statistics, two more for each amount of a currency and one to read the
    balances, one for each statistic that all players share. Raises `NoSession` when the player is gone.
    """

    def do(progress: Progress) -> RewardBatch:
        tally = RewardBatch()
        for index, deed in enumerate(deeds):
            _do(deed, app, progress, tally, f"{key}/{index}")
        statistics.check_count(progress.settings, progress.values)
        return tally

    progress, tally = await change(tx, app, profile_id, do)
    return progress, await tally.pay(tx, app, profile_id, now_ms)


def _do(deed: ProgressEvent, app: App, progress: Progress, tally: RewardBatch, key: str) -> None:
    progress.change(deed.planned)
    tally.share(app, deed.global_statistics, deed.multiplier)
    rewards = deed.rewards
    if rewards != Rewards():
        tally.events.append((deed.name, rewards))
        tally.collect(app, rewards, key, deed.multiplier)
        progress.change(statistics.plan_own(progress.settings, rewards.statistics, deed.multiplier))
    if deed.experience is not None or rewards.experience:
        progress.gain(((deed.experience or 0) + rewards.experience) * deed.multiplier, app, tally)


# Storage

player_progress = Table(
    "player_progress",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    # One document, so that changing any number of statistics is one statement, and reading them one row.
    Column("statistics", Json, nullable=False),
    Column("experience", BigInteger, nullable=False),
    Column("level", Integer, nullable=False),
    Column("paid", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
KEPT = PlayerTable(
    player_progress,
    "profile_id",
    {
        "statistics": player_progress.c.statistics,
        "experiencePoints": player_progress.c.experience,
        "experienceLevel": player_progress.c.level,
    },
    moves=False,
)

READ = (
    select(*(column for column in player_progress.c if column.name != "profile_id"))
    .select_from(players.outerjoin(player_progress, player_progress.c.profile_id == players.c.profile_id))
    .where(players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app"))
)
_CHANGED = ("statistics", "experience", "level", "paid", "round", "version")
# The same as a column beside the player's own.
STATE = (
    select(json_rows(*(player_progress.c[name] for name in _CHANGED)))
    .where(player_progress.c.profile_id == players.c.profile_id)
    .correlate(players)
    .scalar_subquery()
    .label("progress")
)
_version, _new = player_progress.c.version, excluded(player_progress)
SAVE = upsert(
    player_progress,
    ("profile_id",),
    {name: _new[name] for name in _CHANGED}
    | {"version": fail_unless(_version, _version == bindparam("seen"), _new.version)},
    values={name: bindparam(name) for name in ("profile_id", *_CHANGED)},
)
RESET = (
    update(player_progress)
    .where(player_progress.c.profile_id == bindparam("profile"))
    .values(
        statistics=bindparam("nothing", type_=Json()),
        experience=0,
        level=bindparam("first"),
        paid=0,
        round=player_progress.c.round + 1,
        version=player_progress.c.version + 1,
    )
)

AnyResult = TypeVar("AnyResult")


async def read(tx: Transaction, app: App, profile_id: str) -> Progress | None:
    """Return a player's progress; None when there is no such player."""
    row = await tx.one(READ, profile=profile_id, app=app.id)
    return None if row is None else _progress(app.section(PlayerStatisticsSettings), row)


_read_state = msgspec.json.Decoder(list[tuple[dict[str, float], int, int, int, int, int]]).decode


def from_state(app: App, stored: str | None) -> Progress:
    """Return the progress that a value of the column `STATE` holds."""
    settings = app.section(PlayerStatisticsSettings)
    rows = _read_state(stored) if stored is not None else []
    return Progress(settings, *rows[0]) if rows else Progress(settings, level=settings.reached(0))


def _progress(settings: PlayerStatisticsSettings, row: Row) -> Progress:
    if row["version"] is None:
        return Progress(settings, level=settings.reached(0))
    values = statistics.read_values(row["statistics"])
    numbers = (row[name] for name in _CHANGED[1:])
    return Progress(settings, values, *numbers)


def locks_of_levels(app: App) -> set[str]:
    """Return the locks of what reaching a level may change for all players."""
    levels = app.section(PlayerStatisticsSettings).levels
    return statistics.global_locks(
        app.id, (name for level in levels for name in level.rewards.global_statistics)
    )


async def change(
    tx: Transaction, app: App, profile_id: str, do: Callable[[Progress], AnyResult]
) -> tuple[Progress, AnyResult]:
    """Read a player's progress, let `do` change it, and write it if that made a difference.

    Others who change this player's progress wait until the transaction has ended. Raises `NoSession` when the
    player is gone.
    """
    await locks.take(tx, [locks.player_lock(profile_id)])
    progress = await read(tx, app, profile_id)
    if progress is None:
        raise NoSession("the player is gone")
    before = replace(progress, values=dict(progress.values), cuts={})
    result = do(progress)
    if replace(progress, cuts={}) != before:
        await _save(tx, profile_id, progress)
    return progress, result


async def _save(tx: Transaction, profile_id: str, progress: Progress) -> None:
    await tx.defer(
        SAVE,
        profile_id=profile_id,
        statistics=msgspec.json.encode(progress.values).decode(),
        experience=progress.experience,
        level=progress.level,
        paid=progress.paid,
        round=progress.round,
        version=progress.version + 1,
        seen=progress.version,
    )


async def reset(tx: Transaction, app: App, profile_id: str) -> None:
    """Set a player back to the start. Levels may be reached, and their rewards paid, once more."""
    first = app.section(PlayerStatisticsSettings).reached(0)
    await tx.run(RESET, profile=profile_id, nothing="{}", first=first)


async def merge(tx: Transaction, app: App, profile_id: str, target: str) -> None:
    """Add a player's progress to another's, whose levels follow.

    Nobody is rewarded for that, and a level that one of the two was paid for is not paid again. Raises
    `NoSession` when the target is gone.
    """
    other = await read(tx, app, profile_id)
    if other is not None and other.version:
        await change(tx, app, target, lambda progress: progress.join(other))
