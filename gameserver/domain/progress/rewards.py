"""Rewards: what a definition promises for an event or a level, paying it, and the words that tell clients."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec import field as setting

from gameserver.apps import App, Mistake, Settings
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import AMOUNT_MAX, CurrencyAwarded, CurrencyName, CurrencySettings
from gameserver.domain.progress import statistics
from gameserver.domain.progress.statistics import (
    Change,
    Changes,
    GlobalChanges,
    GlobalStatisticsSettings,
    PlayerChanges,
    Rule,
)
from gameserver.players.fields import Balance
from gameserver.players.profiles import number
from gameserver.players.webhooks import emit
from gameserver.storage import Transaction

Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
Points = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]


class Rewards(Settings, kw_only=True):
    """What a player gets."""

    experience: Annotated[Points, Meta(description="Experience points.")] = 0
    currency: Annotated[dict[CurrencyName, Amount], Meta(description="Amounts of currencies.")] = setting(
        default_factory=dict
    )
    statistics: Annotated[PlayerChanges, Meta(description="Changes of the player's statistics.")] = setting(
        default_factory=dict
    )
    global_statistics: Annotated[
        GlobalChanges, Meta(description="Changes of statistics all players share.")
    ] = setting(default_factory=dict)

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield changes of statistics that are none."""
        yield from statistics.mistakes_in("statistics", self.statistics)
        yield from statistics.mistakes_in("global_statistics", self.global_statistics)
        yield from super().mistakes(folder)

    def shown(self) -> dict[str, Any]:
        """Return what there is to get under the names clients know."""
        parts = {
            "experiencePoints": self.experience,
            "currency": self.currency,
            "statistics": statistics.plain(self.statistics),
            "globalStatistics": statistics.plain(self.global_statistics),
        }
        return {name: part for name, part in parts.items() if part}


class Paid(Struct, kw_only=True):
    """The part of an answer that tells what the player got."""

    rewards: dict[str, Any] = {}
    reward_details: dict[str, Any] = {}
    currency: dict[str, Balance] = {}


@dataclass(slots=True)
class RewardBatch:
    """What an operation has earned for a player, beyond progress, and not yet paid."""

    levels: list[tuple[int, Rewards]] = field(default_factory=list)
    events: list[tuple[str, Rewards]] = field(default_factory=list)
    experience: int = 0
    currency: list[tuple[str, str, int]] = field(default_factory=list)  # currency, key of the entry, amount
    statistics: dict[str, Any] = field(default_factory=dict)
    global_statistics: dict[str, Any] = field(default_factory=dict)
    shared: list[tuple[str, tuple[Change, Rule]]] = field(default_factory=list)

    def collect(self, app: App, rewards: Rewards, key: str, multiplier: int = 1) -> None:
        """Add the rewards of one cause; the same `key` is paid once in a player's life."""
        self.experience += rewards.experience * multiplier
        for currency, amount in rewards.currency.items():
            self.currency.append((currency, f"{key}/{currency}", amount * multiplier))
        _sum_up(self.statistics, rewards.statistics, multiplier)
        _sum_up(self.global_statistics, rewards.global_statistics, multiplier)
        self.share(app, rewards.global_statistics, multiplier)

    def share(self, app: App, changes: Changes, multiplier: int = 1) -> None:
        """Add changes of statistics that all players share."""
        settings = app.section(GlobalStatisticsSettings)
        self.shared += statistics.plan_own(settings, changes, multiplier).items()

    async def pay(self, tx: Transaction, app: App, profile_id: str, now_ms: int) -> Paid:
        """Pay what was collected, and tell it. What the player shares with others comes last."""
        got: dict[str, int] = defaultdict(int)
        for currency, key, amount in sorted(self.currency):
            if await wallet.add(tx, profile_id, currency, amount, key, now_ms):
                got[currency] += amount
                event = CurrencyAwarded(profile_id=profile_id, currency=currency, amount=amount, entry=key)
                await emit(tx, app, event, now_ms)
        paid = Paid(rewards=self._shown(got), reward_details=self._details())
        if got:
            stored = await wallet.balances(tx, app.id, profile_id)
            paid.currency = app.section(CurrencySettings).shown(stored or {})
        await statistics.change_global(tx, app.id, self.shared)
        return paid

    def _shown(self, got: dict[str, int]) -> dict[str, Any]:
        parts = {
            "experienceLevels": [number for number, _ in self.levels],
            "experiencePoints": self.experience,
            "currency": got,
            "statistics": self.statistics,
            "globalStatistics": self.global_statistics,
        }
        return {name: part for name, part in parts.items() if part}

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = {}
        if self.levels:
            levels = [{"level": number, "rewards": rewards.shown()} for number, rewards in self.levels]
            details["xp"] = {"experienceLevels": levels}
        if self.events:
            details["events"] = [
                {"eventName": name, "rewards": rewards.shown()} for name, rewards in self.events
            ]
        return details


def _sum_up(total: dict[str, Any], changes: Changes, multiplier: int) -> None:
    """Add changes to those that are told already. Numbers add up; of other forms the last one is told."""
    for name, operation in changes.items():
        if isinstance(operation, str):
            total[name] = operation
        else:
            before = total.get(name, 0)
            total[name] = number(operation * multiplier + (0 if isinstance(before, str) else before))
