"""The tournament settings of a board: what a tournament needs to know of the board's periods.

A period has phases that follow each other: announcement, enrolment, competition, buffer.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards.periods import MINUTE_MS, Rotation
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Reply

PROCESSING_DELAY_MS = 3 * MINUTE_MS  # after its end, so that the last scores have arrived
CONFIGS_MAX = 20
MINUTES_MAX = 366 * 24 * 60
SCHEDULED_MAX = 50


class InvalidTournamentSettings(GameError):
    """The tournament settings contradict each other or the board's rotation."""

    reason_code = 40840


class NotEnrolled(GameError):
    """The caller has not entered a tournament on the board."""

    reason_code = 40505


class PlayNotStarted(GameError):
    """Scores count later."""

    reason_code = 40581


class PlayEnded(GameError):
    """Scores count no longer."""

    reason_code = 40582


POST_REFUSALS = (NotEnrolled, PlayNotStarted, PlayEnded)
"""How tournaments refuse scores that are posted to their boards."""

Minutes = Annotated[int, Meta(ge=0, le=MINUTES_MAX)]
AnnouncementMinutes = Annotated[
    Minutes, Meta(description="Minutes at the start of a period in which nobody can enter yet.")
]
EnrolMinutes = Annotated[
    Minutes, Meta(description="Minutes after that in which players enter and scores do not count yet.")
]
DisallowMinutes = Annotated[
    Minutes, Meta(description="Minutes at the end of the competition in which it is too late to enter.")
]
BufferMinutes = Annotated[
    Minutes, Meta(description="Minutes at the end in which scores of rounds come in that began earlier.")
]


class TournamentConfig(Reply):
    """A tournament on the board. `active_up_until`: the last version of its template to take, -1 for any."""

    t_config_code: Annotated[
        str, Meta(min_length=1, max_length=128, description="The code of a template of tournaments.")
    ]
    active_up_until: Annotated[
        int, Meta(description="The last version of the template to take; -1 for any.")
    ] = -1


class Phases(Reply):
    """Lengths in minutes. `disallow_mins`: the end of the competition, when nobody may enter any more."""

    enrol_mins: EnrolMinutes = 0
    announcement_mins: AnnouncementMinutes = 0
    disallow_mins: DisallowMinutes = 0
    buffer_mins: BufferMinutes = 0


class Likeness(Reply):
    """How the board rotates that an instance of a division set is made like."""

    rotation: Rotation
    days: int


class TournamentSettings(Reply):
    """What runs during a period. `like` is there for instances of division sets."""

    t_configs: dict[str, TournamentConfig] = msgspec.field(default_factory=dict)
    t_auto_join: bool = False
    t_auto_claim: bool = False
    phases: Phases = msgspec.field(default_factory=Phases)
    like: Likeness | None = None

    @property
    def codes(self) -> list[str]:
        """The codes of the tournaments."""
        return [config.t_config_code for config in self.t_configs.values()]

    @property
    def last_versions(self) -> dict[str, int]:
        """The last versions of templates to take, by code; those of which any will do are left out."""
        found = self.t_configs.values()
        return {c.t_config_code: c.active_up_until for c in found if c.active_up_until > 0}


class Scheduled(TournamentSettings, kw_only=True):
    """A period of an ADHOC board, from `starting_at` until `ending_at` (ms since 1970)."""

    starting_at: int
    ending_at: int


class States(Reply):
    """The phases with what follows from the period's length."""

    enrol_mins: EnrolMinutes
    disallow_mins: DisallowMinutes
    min_mins: Annotated[
        int, Meta(description="Minutes from the end of the announcement to the end of the period.")
    ]
    comp_mins: Annotated[int, Meta(description="Minutes in which scores count.")]
    buffer_mins: BufferMinutes
    announcement_mins: AnnouncementMinutes


class PhaseTimes(Reply):
    """When the phases of a period begin and end, in ms since 1970."""

    t_registration_start: int
    t_registration_end: int
    t_play_start: int
    t_play_end: int
    t_processing_start_at: int


def states(phases: Phases, minutes: int) -> States:
    """Return the phases of a period of so many minutes."""
    at_least = minutes - phases.announcement_mins
    return States(
        enrol_mins=phases.enrol_mins,
        disallow_mins=phases.disallow_mins,
        min_mins=at_least,
        comp_mins=at_least - phases.enrol_mins - phases.buffer_mins,
        buffer_mins=phases.buffer_mins,
        announcement_mins=phases.announcement_mins,
    )


def phase_times(phases: Phases, minutes: int, ended_ms: int) -> PhaseTimes:
    """Return when the phases of a period of so many minutes are that ends at a moment."""
    start = ended_ms - (minutes - phases.announcement_mins) * MINUTE_MS
    end = ended_ms - phases.buffer_mins * MINUTE_MS
    return PhaseTimes(
        t_registration_start=start,
        t_registration_end=end - phases.disallow_mins * MINUTE_MS,
        t_play_start=start + phases.enrol_mins * MINUTE_MS,
        t_play_end=end,
        t_processing_start_at=ended_ms + PROCESSING_DELAY_MS,
    )


def check_settings(settings: TournamentSettings, minutes: int, where: str) -> None:
    """Raise `InvalidTournamentSettings` when a period of so many minutes has no room for the phases."""
    if len(settings.t_configs) > CONFIGS_MAX:
        raise InvalidTournamentSettings(f"{where}.tTournament.tConfigs: at most {CONFIGS_MAX}")
    if settings.t_auto_join and len(settings.t_configs) != 1:
        raise InvalidTournamentSettings(f"{where}.tTournament.tAutoJoin: needs exactly one of tConfigs")
    found = states(settings.phases, minutes)
    if found.comp_mins <= 0 or found.disallow_mins > found.comp_mins + found.enrol_mins:
        raise InvalidTournamentSettings(
            f"{where}.tPhases: a period of {minutes} minutes is too short for them"
        )


_settings_decoder = msgspec.json.Decoder(TournamentSettings)
_schedule_decoder = msgspec.json.Decoder(list[Scheduled])


def read_settings(text: str | None) -> TournamentSettings | None:
    """Read stored settings."""
    return None if text is None else _settings_decoder.decode(text)


def read_schedule(text: str | None) -> list[Scheduled]:
    """Read the stored periods of an ADHOC board, the next one first."""
    return [] if text is None else _schedule_decoder.decode(text)


def write_schedule(schedule: list[Scheduled]) -> str | None:
    """Return the text that is stored of periods."""
    in_order = sorted(schedule, key=lambda period: period.starting_at)
    return json.encode(in_order).decode() if in_order else None


def first_start(schedule: list[Scheduled]) -> int | None:
    """Return when the next period begins."""
    return min((period.starting_at for period in schedule), default=None)
