"""tournament: boards that players enter, and that pay those who did well."""

from gameserver.services.tournament import (
    closing,
    configs,
    division_sets,
    divisions,
    groups,
    payouts,
    playing,
    rewards,
)
from gameserver.services.tournament.base import service

service.runs(*payouts.JOBS)

__all__ = [
    "closing",
    "configs",
    "division_sets",
    "divisions",
    "groups",
    "payouts",
    "playing",
    "rewards",
    "service",
]
