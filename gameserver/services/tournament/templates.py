"""Templates: what a tournament costs, and what the best get; declared by the operator or made by servers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.apps import App
from gameserver.domain.economy.wallet import CurrencySettings
from gameserver.domain.leaderboards import BEFORE_SETTINGS, EntryType
from gameserver.domain.leaderboards.tournaments import InvalidTournamentSettings, TournamentSettings
from gameserver.domain.progress.experience import PlayerStatisticsSettings
from gameserver.domain.progress.rewards import Amount, Points, Rewards
from gameserver.domain.progress.statistics import (
    Changes,
    GlobalStatisticsSettings,
    InvalidStatisticName,
    StatisticsSettings,
    plain,
)
from gameserver.players.profiles import number
from gameserver.services.tournament import storage
from gameserver.services.tournament.base import (
    PAYOUTS_MAX,
    CustomJson,
    Description,
    ExcludesInitial,
    NoTemplate,
    Payout,
    TemplateSettings,
    TournamentCode,
    TournamentsSettings,
    service,
)
from gameserver.storage import Row, Transaction
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.shapes import Reply, Request, read_value

CODE_MAX = 64  # characters


class Rank(Reply, forbid_unknown_fields=True, omit_defaults=True):
    """Who gets a reward; one of them is set. `rank_remainder` is -1 for everybody else."""

    rank_abs: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="This place.")] = None
    rank_up_to: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="All places up to this one that no earlier rule has taken."),
    ] = None
    rank_to_percent: Annotated[
        Annotated[float, Meta(gt=0, le=100)] | None, Meta(description="The best of 100 members.")
    ] = None
    rank_remainder: Annotated[int | None, Meta(description="-1: everybody else.")] = None


class Reward(Reply, forbid_unknown_fields=True, omit_defaults=True):
    """What there is to get."""

    experience_points: Annotated[Points, Meta(description="Experience points.")] = 0
    currency: Annotated[dict[str, Amount], Meta(description="Amounts of currencies by name.")] = (
        msgspec.field(default_factory=dict)
    )
    statistics: Annotated[Changes, Meta(description="Changes of the player's statistics.")] = msgspec.field(
        default_factory=dict
    )
    global_statistics: Annotated[
        Changes, Meta(description="Changes of statistics that all players share.")
    ] = msgspec.field(default_factory=dict)


class Fee(Reply, forbid_unknown_fields=True, omit_defaults=True):
    """What it costs to enter."""

    currency: Annotated[dict[str, Amount], Meta(description="Amounts of currencies by name.")] = (
        msgspec.field(default_factory=dict)
    )


class Rule(Reply, forbid_unknown_fields=True):
    """A line of the payouts."""

    rank: Rank
    reward: Reward = msgspec.field(default_factory=Reward)


class Notification(Reply, forbid_unknown_fields=True):
    """How players are told of something: by a push template, by mail templates by language."""

    enabled: bool = False
    push_id: int | None = None
    mail: dict[str, str] = msgspec.field(default_factory=dict)


class Notifications(Reply, forbid_unknown_fields=True):
    """What players may be told of."""

    starting_soon: Notification = msgspec.field(default_factory=Notification)
    start: Notification = msgspec.field(default_factory=Notification)
    score_passed: Notification = msgspec.field(default_factory=Notification)
    ending_soon: Notification = msgspec.field(default_factory=Notification)
    complete: Notification = msgspec.field(default_factory=Notification)


class TemplateConfig(Request):
    """A template as servers write it. Scripts are kept for the game to read."""

    entry_type: EntryType = EntryType.PLAYER
    description: dict[str, Any] = msgspec.field(default_factory=dict)
    notifications: dict[str, Any] = msgspec.field(default_factory=dict)
    post_script: str | None = None
    calc_script: str | None = None
    exclude_initial_scores_from_rewards: bool = False
    custom_json: dict[str, Any] | None = None
    payout_rules: Annotated[list[Rule], Meta(max_length=PAYOUTS_MAX)] = msgspec.field(default_factory=list)
    entry_fee: Fee = msgspec.field(default_factory=Fee)


class FeeReply(Reply):
    """What it costs to enter; without currencies nothing."""

    currency: Annotated[
        dict[str, int] | UnsetType,
        Meta(description="Amounts of currencies by name; absent where it costs nothing."),
    ] = UNSET


class RuleReply(Reply):
    """A line of the payouts. `reward` is as of experience levels: points, currency, statistics."""

    rank: Annotated[
        Rank,
        Meta(
            description="Who gets it: `rankAbs` this place, `rankUpTo` all places up to it, "
            "`rankToPercent` the best of 100, `rankRemainder` everybody else."
        ),
    ]
    reward: Annotated[
        dict[str, Any],
        Meta(
            description="What they get: `experiencePoints`, `currency`, `statistics`, "
            "`globalStatistics`, those that there are."
        ),
    ]


class TournamentReply(Reply, kw_only=True):
    """A tournament as players see it before they enter. Groups pay no fee and are paid nothing."""

    tournament_code: TournamentCode
    entry_type: Annotated[EntryType, Meta(description="Who enters.")]
    description: Description
    custom_json: CustomJson
    exclude_initial_scores_from_rewards: ExcludesInitial
    payout_rules: Annotated[
        list[RuleReply] | UnsetType,
        Meta(description="Who gets what, the best first; absent where groups enter."),
    ] = UNSET
    entry_fee: Annotated[
        FeeReply | UnsetType, Meta(description="What it costs to enter; absent where groups enter.")
    ] = UNSET


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template, wherever it comes from."""

    code: str
    version: int
    entry_type: EntryType
    description: dict[str, Any]
    custom_json: dict[str, Any] | None
    exclude_initial: bool
    payouts: list[Payout]
    entry_fee: dict[str, int]

    def reward(self, rank: int, size: int, *, posted: bool) -> Rewards:
        """Return what a place among so many players brings. `posted`: has a score beyond the initial one."""
        if not posted and self.exclude_initial:
            return Rewards()
        for payout in self.payouts:
            if _fits(payout, rank, size):
                return payout.rewards
        return Rewards()

    def shown(self) -> TournamentReply:
        """Return what players see before they enter."""
        shown = TournamentReply(
            tournament_code=self.code,
            entry_type=self.entry_type,
            description=self.description,
            custom_json=self.custom_json or {},
            exclude_initial_scores_from_rewards=self.exclude_initial,
        )
        if self.entry_type is EntryType.PLAYER:
            shown.payout_rules = [_rule_shown(payout) for payout in self.payouts]
            shown.entry_fee = fee_shown(self.entry_fee)
        return shown


class Period(Protocol):
    """When a period began and ends."""

    @property
    def started_ms(self) -> int:
        """When it began."""

    @property
    def ended_ms(self) -> int:
        """When it ends."""

    @property
    def last_versions(self) -> Mapping[str, int]:
        """The last versions of templates to take, by code, where not any will do."""


def _fits(payout: Payout, rank: int, size: int) -> bool:
    if payout.rank is not None:
        return rank == payout.rank
    if payout.up_to is not None:
        return rank <= payout.up_to
    if payout.percent is not None:
        return rank <= math.ceil(size * payout.percent / 100)
    return payout.rest


def _rule_shown(payout: Payout) -> RuleReply:
    rank = Rank(
        rank_abs=payout.rank,
        rank_up_to=payout.up_to,
        rank_to_percent=None if payout.percent is None else number(payout.percent),
        rank_remainder=-1 if payout.rest else None,
    )
    return RuleReply(rank=rank, reward=payout.rewards.shown())


def fee_shown(fee: dict[str, int]) -> FeeReply:
    """Return an entry fee under the names clients know."""
    return FeeReply(currency=fee or UNSET)


# Where templates come from


def check_code(code: str) -> str:
    """Return the code of a new template. Raises `InvalidParameterValue`."""
    if not 0 < len(code) <= CODE_MAX or not code.isprintable():
        raise InvalidParameterValue(f"data.tournamentCode: expected 1 to {CODE_MAX} printable characters")
    return code


def read_config(given: dict[str, Any], app: App, where: str) -> TemplateConfig:
    """Read a template as a request says it.

    Raises what says that it is none; `InvalidCurrency`, `InvalidStatisticName` for names nobody declares.
    """
    config = read_value(given, TemplateConfig, where)
    for rule in config.payout_rules:
        if rule.rank.rank_to_percent is not None:
            rule.rank.rank_to_percent = number(rule.rank.rank_to_percent)
        rule.reward.statistics = plain(rule.reward.statistics)
        rule.reward.global_statistics = plain(rule.reward.global_statistics)
    config.notifications = _notifications(config.notifications, f"{where}.notifications")
    payouts = [_payout(rule) for rule in config.payout_rules]
    if any(payout.conditions != 1 for payout in payouts):
        raise InvalidParameterValue(
            f"{where}.payoutRules: rank needs one of rankAbs, rankUpTo, rankToPercent and rankRemainder"
        )
    currencies = app.section(CurrencySettings)
    for amounts in (config.entry_fee.currency, *(payout.rewards.currency for payout in payouts)):
        for currency in amounts:
            currencies.check(currency)
    for payout in payouts:
        for settings, changes in _changes(app, payout.rewards):
            for name in changes:
                if not settings.exists(name):
                    raise InvalidStatisticName(f"{where}.payoutRules: there is no statistic {name[:64]!r}")
        for place, mistake in payout.rewards.mistakes(_NO_FOLDER):
            raise InvalidParameterValue(f"{where}.payoutRules: {place}: {mistake}")
    return config


def _changes(app: App, rewards: Rewards) -> tuple[tuple[StatisticsSettings, Changes], ...]:
    """Return the changes of statistics among rewards, each with the settings that declare its names."""
    return (
        (app.section(PlayerStatisticsSettings), rewards.statistics),
        (app.section(GlobalStatisticsSettings), rewards.global_statistics),
    )


def _existing(app: App, rewards: Rewards) -> Rewards:
    """Return what the app declares of rewards that were stored."""
    currencies = app.section(CurrencySettings).currencies
    own, shared = (
        {name: change for name, change in changes.items() if settings.exists(name)}
        for settings, changes in _changes(app, rewards)
    )
    return Rewards(
        experience=rewards.experience,
        currency={name: amount for name, amount in rewards.currency.items() if name in currencies},
        statistics=own,
        global_statistics=shared,
    )


def _notifications(given: dict[str, Any], where: str) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(read_value(given, Notifications, where))
    return told


def notification(row: Row | None, kind: str) -> Notification:
    """Return how a stored template wants players to be told of something: not at all unless it says so."""
    nothing = Notification()
    if row is None:
        return nothing
    try:
        found = msgspec.convert(_decode(row["config"]).notifications.get(kind, {}), Notification)
    except msgspec.ValidationError:  # of a template that was made when anything was taken
        return nothing
    return found if found.enabled else nothing


def from_row(row: Row, app: App) -> Template:
    """Return a stored template. What it promises and the app no longer declares is not granted."""
    config = _decode(row["config"])
    return Template(
        code=row["code"],
        version=row["version"],
        entry_type=config.entry_type,
        description=config.description,
        custom_json=config.custom_json,
        exclude_initial=config.exclude_initial_scores_from_rewards,
        payouts=[
            msgspec.structs.replace(payout, rewards=_existing(app, payout.rewards))
            for payout in map(_payout, config.payout_rules)
        ],
        entry_fee=config.entry_fee.currency,
    )


def declared(app: App, code: str) -> Template | None:
    """Return the operator's template of a code."""
    settings = app.section(TournamentsSettings).templates.get(code)
    return None if settings is None else _from_settings(code, settings)


def _from_settings(code: str, settings: TemplateSettings) -> Template:
    return Template(
        code=code,
        version=1,
        entry_type=settings.entries,
        description={"name": {"en": settings.title or code}, "desc": {"en": settings.description}},
        custom_json=settings.data,
        exclude_initial=settings.exclude_initial_scores,
        payouts=settings.payouts,
        entry_fee=settings.entry_fee,
    )


async def of_period(
    tx: Transaction, app: App, codes: Sequence[str], period: Period, *, now_ms: int, over: bool = False
) -> dict[str, Template]:
    """Return the templates of some codes as they hold for a period, by code; codes without one are left out.

    A template that has changed holds for periods that begin later, unless it was changed for running ones
    too. A version after the last one that the period takes never holds. Of a deleted template, periods that
    are `over` still know what they promised.
    """
    found = {code: template for code in codes if (template := declared(app, code)) is not None}
    missing = [code for code in codes if code not in found]
    if missing:
        rows = await stored(tx, app.id, missing, period, now_ms=now_ms, over=over)
        found |= {code: from_row(row, app) for code, row in rows.items()}
    return {code: found[code] for code in codes if code in found}


async def stored(
    tx: Transaction, app_id: str, codes: Sequence[str], period: Period, *, now_ms: int, over: bool
) -> dict[str, Row]:
    """Return the versions of templates that servers made, as they hold for a period, by code."""
    found: dict[str, Row] = {}
    for row in await tx.all(storage.TEMPLATES_OF, app=app_id, codes=list(codes)):
        usable = over or not row["deleted"]
        if usable and row["code"] not in found and _holds(row, period, now_ms):
            found[row["code"]] = row
    return found


def _holds(row: Row, period: Period, now_ms: int) -> bool:
    last = period.last_versions.get(row["code"])
    if last is not None and row["version"] > last:
        return False
    if row["live"]:
        return bool(row["updated_ms"] <= min(period.ended_ms, now_ms))
    return bool(row["updated_ms"] <= period.started_ms)


async def one_of_period(
    tx: Transaction, app: App, code: str, period: Period, *, now_ms: int, over: bool = False
) -> Template:
    """Return a template as it holds for a period. Raises `NoTemplate`."""
    found = await of_period(tx, app, [code], period, now_ms=now_ms, over=over)
    if code not in found:
        raise NoTemplate(f"there is no tournament {code[:64]!r}")
    return found[code]


class _Now(NamedTuple):
    """A period that would begin now."""

    started_ms: int
    ended_ms: int
    last_versions: Mapping[str, int]


@service.on(BEFORE_SETTINGS)
async def check_automatic(
    tx: Transaction, app: App, settings: TournamentSettings, now_ms: int, where: str
) -> None:
    """Raise `InvalidTournamentSettings` for automatic enrolment in a tournament that has a fee."""
    if settings.t_auto_join:
        period = _Now(now_ms, now_ms, settings.last_versions)
        found = await of_period(tx, app, settings.codes, period, now_ms=now_ms)
        if any(template.entry_fee for template in found.values()):
            raise InvalidTournamentSettings(f"{where}.tTournament.tAutoJoin: the tournament has an entry fee")


_decode = msgspec.json.Decoder(TemplateConfig).decode
_NO_FOLDER = Path()


def _payout(rule: Rule) -> Payout:
    return Payout(
        rank=rule.rank.rank_abs,
        up_to=rule.rank.rank_up_to,
        percent=rule.rank.rank_to_percent,
        rest=rule.rank.rank_remainder is not None,
        rewards=Rewards(
            experience=rule.reward.experience_points,
            currency=rule.reward.currency,
            statistics=rule.reward.statistics,
            global_statistics=rule.reward.global_statistics,
        ),
    )
