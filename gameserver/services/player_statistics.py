"""playerStatistics: the statistics and experience points of a player."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from gameserver.apps import App, LiveApps
from gameserver.domain.progress import experience, statistics
from gameserver.domain.progress.experience import PlayerStatisticsSettings, Progress, ProgressEvent
from gameserver.domain.progress.rewards import Rewards
from gameserver.domain.progress.statistics import (
    VALUE_MAX,
    ChangesField,
    Cuts,
    InvalidStatisticName,
    Process,
    ProcessReply,
    StatisticsReply,
)
from gameserver.players.fields import (
    CurrenciesAfterRewards,
    ExperienceLevel,
    ExperiencePoints,
    PaidRewards,
    RewardDetails,
    StatisticValues,
    XpCapped,
)
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.states import PlayerState, StatePart
from gameserver.rpc import PLAYER_MERGE, PLAYER_RESET, PLAYER_STATE, Access, Context, Service, Tx
from gameserver.storage import locks
from gameserver.wire.errors import InvalidParameterValue, MissingParameter, NoSession
from gameserver.wire.fields import AppId, ProfileId
from gameserver.wire.shapes import Nothing, Reply, Request

SAMPLE = """\
# Statistics of each player, by name. A change never takes a value outside of minimum and maximum. Without
# create_unknown, clients may change the declared ones only.
[playerStatistics]
#create_unknown = false
# Experience points end here.
#experience_maximum = 9007199254740992

[playerStatistics.statistics.wins]

[playerStatistics.statistics.lives]
initial = 3
minimum = 0
maximum = 9
category = "round"
# What becomes of it when `gameserver player merge` makes one player of two: "sum", or "keep" the target's.
#when_merged = "keep"

# Levels from 1 upwards: the points that reach them, and what players get then.
[[playerStatistics.levels]]
experience = 100
title = "Squire"
rewards = { currency = { coins = 10 }, statistics = { lives = "INC_TO_LIMIT#1#5" } }

[[playerStatistics.levels]]
experience = 250
title = "Knight"
rewards = { currency = { coins = 25 }, experience = 5 }
"""

service = Service("playerStatistics", section=PlayerStatisticsSettings, sample=SAMPLE)

# Operations on statistics


@service.operation("PROCESS_STATISTICS", tx=Tx.WRITE, errors=(InvalidStatisticName, InvalidParameterValue))
async def process(ctx: Context, request: Process) -> ProcessReply:
    """Change the caller's statistics, all of them or none, and return their new values.

    A result outside of a statistic's minimum and maximum is cut to it. Refused: names that are not declared,
    and text that is not in the grammar.
    """
    progress = await _advance(ctx, request.statistics)
    return ProcessReply(
        statistics=progress.settings.shown_of(progress.values, request.statistics),
        statistics_exceptions=statistics.cuts_shown(progress.cuts) or UNSET,
    )


class Update(Request):
    """The statistics, the points, or both."""

    statistics: ChangesField | None = None
    xp_points: Annotated[
        Annotated[int, Meta(ge=0, le=VALUE_MAX)] | None, Meta(description="Experience points to add.")
    ] = msgspec.field(name="xp_points", default=None)


class UpdateReply(Reply, kw_only=True):
    """The player's whole progress, and what reaching new levels has brought: see `rewards`."""

    experience_points: ExperiencePoints
    experience_level: ExperienceLevel
    xp_capped: XpCapped
    statistics: StatisticValues
    statistics_exceptions: Cuts = UNSET
    rewards: PaidRewards
    reward_details: RewardDetails
    currency: CurrenciesAfterRewards


@service.operation(
    "UPDATE",
    "UPDATE_INCREMENT",
    tx=Tx.WRITE,
    locks=lambda ctx, _: experience.locks_of_levels(ctx.app),
    errors=(InvalidStatisticName, InvalidParameterValue),
)
async def update(ctx: Context, request: Update) -> UpdateReply:
    """Change the caller's statistics, add experience points, or both.

    Points never fall; each level they reach pays its rewards once. A statistic outside of its minimum and
    maximum is cut to it. Refused: names that are not declared, and text that is not in the grammar.
    """
    if request.statistics is None and request.xp_points is None:
        raise MissingParameter("data.statistics: required, or data.xp_points")
    settings = ctx.section(PlayerStatisticsSettings)
    deed = ProgressEvent(statistics.plan(settings, request.statistics or {}), request.xp_points)
    progress, paid = await experience.advance(
        ctx.tx, ctx.app, ctx.player_id, [deed], ctx.core.new_id(), ctx.now_ms
    )
    return UpdateReply(
        experience_points=progress.experience,
        experience_level=progress.level,
        xp_capped=progress.capped,
        statistics=progress.settings.shown(progress.values),
        statistics_exceptions=statistics.cuts_shown(progress.cuts) or UNSET,
        rewards=paid.rewards,
        reward_details=paid.reward_details,
        currency=paid.currency,
    )


@service.operation("READ", tx=Tx.READ)
async def read(ctx: Context, request: Nothing) -> StatisticsReply:
    """Read all statistics of the caller."""
    progress = await _read(ctx, ctx.player_id)
    return StatisticsReply(statistics=progress.settings.shown(progress.values))


class ReadSubset(Request):
    statistics: Annotated[
        list[str], Meta(max_length=statistics.CHANGES_MAX, description="Names of statistics.")
    ]


@service.operation("READ_SUBSET", tx=Tx.READ)
async def read_subset(ctx: Context, request: ReadSubset) -> StatisticsReply:
    """Read some statistics of the caller. Names that do not exist are left out."""
    progress = await _read(ctx, ctx.player_id)
    return StatisticsReply(statistics=progress.settings.shown_of(progress.values, request.statistics))


class ReadForCategory(Request):
    category: Annotated[str, Meta(description="The category, as the app declares it.")]


@service.operation("READ_FOR_CATEGORY", tx=Tx.READ)
async def read_for_category(ctx: Context, request: ReadForCategory) -> StatisticsReply:
    """Read the caller's statistics of a category. One that does not exist is empty."""
    progress = await _read(ctx, ctx.player_id)
    return StatisticsReply(statistics=progress.settings.shown_in(progress.values, request.category))


class ResetReply(Reply):
    """The player's whole progress after the reset."""

    statistics: StatisticValues
    experience_points: ExperiencePoints
    experience_level: ExperienceLevel
    xp_capped: XpCapped
    milestones: Annotated[dict[str, str], Meta(description="Always empty.")] = msgspec.field(
        default_factory=dict
    )
    quests: Annotated[dict[str, str], Meta(description="Always empty.")] = msgspec.field(default_factory=dict)
    player_achievements: Annotated[list[str], Meta(description="Always empty.")] = msgspec.field(
        default_factory=list
    )


@service.operation("RESET", tx=Tx.WRITE)
async def reset(ctx: Context, request: Nothing) -> ResetReply:
    """Set all statistics of the caller back to their initial values. Experience points and level stay."""
    progress, _ = await experience.change(ctx.tx, ctx.app, ctx.player_id, lambda p: p.values.clear())
    return ResetReply(
        statistics=progress.settings.shown(progress.values),
        experience_points=progress.experience,
        experience_level=progress.level,
        xp_capped=progress.capped,
    )


# Operations on experience


class LevelKey(Reply):
    game_id: AppId
    numeric_level: Annotated[int, Meta(description="The number of the level; the first one is 1.")]
    primary_key: Annotated[bool, Meta(description="Always true.")] = True


class LevelRewards(Reply):
    global_game_statistics: Annotated[
        dict[str, Any] | None, Meta(description="Changes of statistics that all players share, or null.")
    ]
    experience_points: Annotated[int | None, Meta(description="Experience points, or null.")]
    player_statistics: Annotated[
        dict[str, Any] | None, Meta(description="Changes of the player's statistics, or null.")
    ]
    currencies: Annotated[dict[str, int] | None, Meta(description="Amounts of currencies by name, or null.")]
    achievement: Annotated[str | None, Meta(description="Always null.")] = None


class LevelReply(Reply):
    """A level: the points at which it is reached, its title and rewards."""

    game_id: AppId
    numeric_level: Annotated[int, Meta(description="The number of the level; the first one is 1.")]
    experience: Annotated[int, Meta(description="The points at which it is reached.")]
    rewards: Annotated[LevelRewards, Meta(description="What reaching it brings.")]
    status_title: Annotated[str, Meta(description="What players of this level are called.")]
    key: Annotated[LevelKey, Meta(description="The level, in short.")]
    facebook_action: Annotated[str, Meta(description="Always empty.")] = ""


class NextLevelReply(Reply):
    """`xp_level` is null for players of the highest level."""

    xp_level: Annotated[
        LevelReply | None, Meta(description="The next level; null for players of the highest one.")
    ] = msgspec.field(name="xp_level")


@service.operation("READ_NEXT_XPLEVEL", tx=Tx.READ)
async def read_next_level(ctx: Context, request: Nothing) -> NextLevelReply:
    """Tell what the caller reaches next, at how many points, and what it brings."""
    progress = await _read(ctx, ctx.player_id)
    number = progress.level + 1
    if number > len(progress.settings.levels):
        return NextLevelReply(xp_level=None)
    level = progress.settings.levels[number - 1]
    return NextLevelReply(
        xp_level=LevelReply(
            game_id=ctx.app.id,
            numeric_level=number,
            experience=level.experience,
            rewards=_level_rewards(level.rewards),
            status_title=level.title,
            key=LevelKey(game_id=ctx.app.id, numeric_level=number),
        )
    )


class SetExperience(Request):
    xp_points: Annotated[int, Meta(ge=0, le=VALUE_MAX, description="The experience points from now on.")] = (
        msgspec.field(name="xp_points")
    )


@service.operation("SET_XPPOINTS", tx=Tx.WRITE)
async def set_experience(ctx: Context, request: SetExperience) -> None:
    """Set the caller's experience points, and the level that belongs to them.

    Nobody is rewarded, and a level that was paid does not pay again when it is reached again.
    """
    await experience.change(
        ctx.tx, ctx.app, ctx.player_id, lambda progress: progress.set_experience(request.xp_points)
    )


class ResetExperience(Request):
    """`recalculate_xp_level`: the level follows; levels that are lost pay again when they are reached again.

    `skip_reset...`: points above what the player has change nothing, instead of being refused.
    """

    xp_points: Annotated[
        int,
        Meta(ge=0, le=VALUE_MAX, description="The experience points from now on; not more than there are."),
    ] = msgspec.field(name="xp_points")
    recalculate_xp_level: Annotated[
        bool,
        Meta(
            description="true lowers the level, too; levels that are lost pay again when they are "
            "reached again."
        ),
    ] = msgspec.field(name="recalculateXPLevel", default=False)
    skip_reset_if_already_lower: Annotated[
        bool,
        Meta(description="true: points above what the player has change nothing, instead of being refused."),
    ] = msgspec.field(name="skipResetIfUserXPPointsAlreadyLower", default=False)


class ResetExperienceOf(ResetExperience, kw_only=True):
    profile_id: ProfileId


class ExperienceReply(Reply):
    experience_points: ExperiencePoints
    experience_level: ExperienceLevel
    xp_capped: XpCapped


class SessionInvalidations(Reply):
    """The sessions that were ended: none, a player goes on with fewer points."""

    invalidated_count: Annotated[int, Meta(description="Always 0: no session ends.")] = 0
    invalidated: Annotated[list[str], Meta(description="Always empty.")] = msgspec.field(default_factory=list)
    verification: Annotated[bool, Meta(description="Always true.")] = True


class ResetExperienceReply(ExperienceReply):
    session_invalidations: Annotated[
        SessionInvalidations, Meta(description="Sessions that have ended: none.")
    ] = msgspec.field(default_factory=SessionInvalidations)


@service.operation(
    "SYS_RESET_EXPERIENCE_POINTS_AND_LEVEL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(InvalidParameterValue,),
)
async def sys_reset_experience(ctx: Context, request: ResetExperience) -> ResetExperienceReply:
    """Lower a player's experience points, and the level if asked to. Refused: more points than there are."""
    progress = await _reset_experience(ctx, ctx.player_id, request)
    return ResetExperienceReply(
        experience_points=progress.experience, experience_level=progress.level, xp_capped=progress.capped
    )


@service.operation(
    "SYS_RESET_EXPERIENCE_POINTS_AND_LEVEL_FOR_USER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lambda _, request: [locks.player_lock(request.profile_id)],
    errors=(InvalidParameterValue, UnknownPlayer),
)
async def sys_reset_experience_of(ctx: Context, request: ResetExperienceOf) -> ExperienceReply:
    """Lower the experience points of any player. Refused: more points than there are, and unknown players."""
    try:
        progress = await _reset_experience(ctx, request.profile_id, request)
    except NoSession as error:
        raise UnknownPlayer(f"there is no player {request.profile_id[:64]!r}") from error
    return ExperienceReply(
        experience_points=progress.experience, experience_level=progress.level, xp_capped=progress.capped
    )


# A player's life


def tell_progress(_: LiveApps, app: App, stored: str | None, state: PlayerState) -> None:
    """Add the player's statistics, points and level to their state."""
    progress = experience.from_state(app, stored)
    state.statistics = progress.settings.shown(progress.values)
    state.experience_points = progress.experience
    state.experience_level = progress.level
    state.xp_capped = progress.capped


service.subscribe(PLAYER_STATE, StatePart(experience.STATE, tell_progress))


@service.on(PLAYER_RESET)
async def reset_progress(ctx: Context, profile_id: str) -> None:
    """Set the player back to the start."""
    await experience.reset(ctx.tx, ctx.app, profile_id)


@service.on(PLAYER_MERGE)
async def merge_progress(ctx: Context, profile_id: str, target: str) -> None:
    """Add the player's progress to the target's."""
    await experience.merge(ctx.tx, ctx.app, profile_id, target)


service.keeps(experience.KEPT)


# Rules


async def _read(ctx: Context, profile_id: str) -> Progress:
    progress = await experience.read(ctx.tx, ctx.app, profile_id)
    if progress is None:
        raise NoSession("the player is gone")
    return progress


async def _advance(ctx: Context, changes: dict[str, Any]) -> Progress:
    deed = ProgressEvent(statistics.plan(ctx.section(PlayerStatisticsSettings), changes))
    progress, _ = await experience.advance(
        ctx.tx, ctx.app, ctx.player_id, [deed], ctx.core.new_id(), ctx.now_ms
    )
    return progress


async def _reset_experience(ctx: Context, profile_id: str, request: ResetExperience) -> Progress:
    def lower(progress: Progress) -> None:
        if request.xp_points > progress.experience:
            if request.skip_reset_if_already_lower:
                return
            raise InvalidParameterValue(
                f"data.xp_points: expected at most the {progress.experience} the player has"
            )
        progress.take_back(request.xp_points, levels_too=request.recalculate_xp_level)

    progress, _ = await experience.change(ctx.tx, ctx.app, profile_id, lower)
    return progress


def _level_rewards(rewards: Rewards) -> LevelRewards:
    return LevelRewards(
        global_game_statistics=rewards.global_statistics or None,
        experience_points=rewards.experience or None,
        player_statistics=rewards.statistics or None,
        currencies=rewards.currency or None,
    )
