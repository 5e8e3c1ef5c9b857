"""playerStatisticsEvent: things that happen in a game, declared with all they change and bring."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from gameserver.apps import Mistake, Settings
from gameserver.apps.fields import Name
from gameserver.domain.progress import experience, statistics
from gameserver.domain.progress.experience import PlayerStatisticsSettings, ProgressEvent
from gameserver.domain.progress.rewards import Points, Rewards
from gameserver.domain.progress.statistics import GlobalChanges, PlayerChanges
from gameserver.players.fields import CurrenciesAfterRewards, PaidRewards, RewardDetails
from gameserver.rpc import Context, Service, Tx
from gameserver.wire.errors import GameError, InvalidParameterValue
from gameserver.wire.shapes import Reply, Request

EVENTS_MAX = 50  # of one request
MULTIPLIER_MAX = 1_000_000

SAMPLE = """\
# Events by name, and what they change: statistics of the player and of all players, experience points. What
# the player gets besides are rewards. A client may say how many times an event has happened.
[playerStatisticsEvent]

[playerStatisticsEvent.events.round_won]
statistics = { wins = 1 }
global_statistics = { rounds_played = 1 }
experience = 10
rewards = { currency = { coins = 5 } }
"""


class Event(Settings, kw_only=True):
    """Something that happens in a game."""

    statistics: Annotated[PlayerChanges, Meta(description="Changes of the player's statistics.")] = field(
        default_factory=dict
    )
    global_statistics: Annotated[
        GlobalChanges, Meta(description="Changes of statistics all players share.")
    ] = field(default_factory=dict)
    experience: Annotated[Points, Meta(description="Experience points the player gains.")] = 0
    rewards: Annotated[Rewards, Meta(description="What the player gets besides.")] = field(
        default_factory=Rewards
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield changes of statistics that are none."""
        yield from statistics.mistakes_in("statistics", self.statistics)
        yield from statistics.mistakes_in("global_statistics", self.global_statistics)
        yield from super().mistakes(folder)


class EventSettings(Settings, kw_only=True):
    """Events by name."""

    events: Annotated[dict[Name, Event], Meta(description="Events by name.")] = field(default_factory=dict)


service = Service("playerStatisticsEvent", section=EventSettings, sample=SAMPLE)

# Errors


class InvalidEventName(GameError):
    """No event of that name is declared."""

    reason_code = 40321


# Operations

Multiplier = Annotated[
    float,
    Meta(
        ge=0,
        le=MULTIPLIER_MAX,
        description="How many times it has happened; what is behind the point is cut off.",
    ),
]


class Trigger(Request):
    event_name: Annotated[str, Meta(description="The name of the event, as the app declares it.")]
    event_multiplier: Multiplier | None = None


def locks_of(ctx: Context, triggers: Sequence[Trigger]) -> set[str]:
    """Return the locks of what events may change for all players, the levels they lead to included."""
    declared = ctx.section(EventSettings).events
    events = [event for each in triggers if (event := declared.get(each.event_name)) is not None]
    names = [
        name for event in events for name in {**event.global_statistics, **event.rewards.global_statistics}
    ]
    return statistics.global_locks(ctx.app.id, names) | experience.locks_of_levels(ctx.app)


class TriggerReply(Reply):
    """What the player got. `currency` holds all balances if one of them has changed."""

    rewards: PaidRewards
    reward_details: RewardDetails
    currency: CurrenciesAfterRewards


@service.operation(
    "TRIGGER",
    tx=Tx.WRITE,
    locks=lambda ctx, request: locks_of(ctx, [request]),
    errors=(InvalidEventName, InvalidParameterValue),
)
async def trigger(ctx: Context, request: Trigger) -> TriggerReply:
    """Let an event happen to the caller, once or `eventMultiplier` times, and pay what it brings.

    A level that is reached pays its rewards as well. Refused: events that are not declared.
    """
    return await _happen(ctx, [request])


class TriggerMultiple(Request):
    events: Annotated[
        list[Trigger],
        Meta(
            max_length=EVENTS_MAX,
            description="The events, at most 50: each `eventName`, with `eventMultiplier` if it is not 1.",
        ),
    ]


@service.operation(
    "TRIGGER_MULTIPLE",
    tx=Tx.WRITE,
    locks=lambda ctx, request: locks_of(ctx, request.events),
    errors=(InvalidEventName,),
)
async def trigger_multiple(ctx: Context, request: TriggerMultiple) -> TriggerReply:
    """Let up to 50 events happen to the caller in turn, all of them or none, and pay what they bring."""
    return await _happen(ctx, request.events)


# Rules


async def _happen(ctx: Context, triggers: Sequence[Trigger]) -> TriggerReply:
    deeds = [deed for trigger in triggers if (deed := _deed(ctx, trigger)) is not None]
    _, paid = await experience.advance(
        ctx.tx, ctx.app, ctx.player_id, deeds, f"event/{ctx.core.new_id()}", ctx.now_ms
    )
    return TriggerReply(rewards=paid.rewards, reward_details=paid.reward_details, currency=paid.currency)


def _deed(ctx: Context, trigger: Trigger) -> ProgressEvent | None:
    """Return what a trigger does; None when it happens zero times. Raises `InvalidEventName`."""
    event = ctx.section(EventSettings).events.get(trigger.event_name)
    if event is None:
        raise InvalidEventName(f"there is no event {trigger.event_name[:64]!r}")
    times = 1 if trigger.event_multiplier is None else int(trigger.event_multiplier)
    if not times:
        return None
    return ProgressEvent(
        planned=statistics.plan_own(ctx.section(PlayerStatisticsSettings), event.statistics, times),
        experience=event.experience or None,
        name=trigger.event_name,
        global_statistics=event.global_statistics,
        rewards=event.rewards,
        multiplier=times,
    )
