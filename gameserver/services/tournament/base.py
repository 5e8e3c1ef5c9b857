"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, field

from gameserver.apps import App, Declares, Mistake, Settings
from gameserver.apps.fields import Name
from gameserver.documents import documents
from gameserver.domain.economy.wallet import CurrencyName
from gameserver.domain.leaderboards import SCORE_MAX, EntryType
from gameserver.domain.leaderboards.boards import LeaderboardSettings
from gameserver.domain.leaderboards.fields import BoardId
from gameserver.domain.progress.rewards import Amount, Rewards
from gameserver.rpc import Service
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterType
from gameserver.wire.shapes import Request, free_members

DATA_BYTES_MAX = 10 << 10
PAYOUTS_MAX = 100
INSTANCE_PREFIX = "^D^"  # what the ids of instances of divisions begin with

SAMPLE = """\
# Templates of tournaments: what it costs to enter, and what the best get. A board carries tournaments when it
# says so (below), and then every period of the board is one, and only who has entered posts scores. At its
# end players claim their rewards, or are paid without asking. Phases are parts of the period.
[tournament]
# Codes of templates that servers of yours make while the game runs; boards may name them too.
#made_by_servers = ["autumn_cup"]

[tournament.templates.weekly_cup]
title = "Weekly cup"
entry_fee = { coins = 10 }
# The first line that fits decides: a place (equal scores share one), all places up to one, a share of the
# players, or everybody else.
payouts = [
  { rank = 1, rewards = { currency = { coins = 100 }, experience = 50 } },
  { up_to = 3, rewards = { currency = { coins = 50 } } },
  { percent = 10, rewards = { currency = { coins = 20 } } },
  { rest = true, rewards = { experience = 5 } },
]

[leaderboard.boards.weekly_cup]
rotation = "WEEKLY"
reset = 2026-01-05T00:00:00Z
retained = 4

[leaderboard.boards.weekly_cup.tournament]
codes = ["weekly_cup"]
#auto_join = false
#auto_claim = false
# Minutes: when nobody can enter yet; when players enter, but scores do not count yet; when, before the end of
# play, it is too late to enter; when scores of rounds that began in time come in.
#announcement_minutes = 0
#enrol_minutes = 0
#disallow_minutes = 0
#buffer_minutes = 0
"""

# Settings

Place = Annotated[int, Meta(ge=1)]
Percent = Annotated[float, Meta(gt=0, le=100)]


class Payout(Settings, kw_only=True):
    """What a place in the tournament brings."""

    rank: Annotated[Place | None, Meta(description="This place.")] = None
    up_to: Annotated[Place | None, Meta(description="All places up to this one.")] = None
    percent: Annotated[Percent | None, Meta(description="The best of 100 players.")] = None
    rest: Annotated[bool, Meta(description="true: everybody.")] = False
    rewards: Annotated[Rewards, Meta(description="What they get.")] = field(default_factory=Rewards)

    @property
    def conditions(self) -> int:
        """How many conditions are set; one is right."""
        return sum(set_ is not None for set_ in (self.rank, self.up_to, self.percent)) + self.rest

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield lines that say nothing, or several things, about who gets them."""
        if self.conditions != 1:
            yield "rank", "expected one of rank, up_to, percent and rest"
        yield from super().mistakes(folder)


class TemplateSettings(Settings, kw_only=True):
    """A kind of tournament."""

    title: Annotated[str, Meta(max_length=128, description="For people. Absent: the code.")] = ""
    description: Annotated[str, Meta(max_length=1024, description="For people.")] = ""
    entries: Annotated[EntryType, Meta(description="Who enters: PLAYER or GROUP.")] = EntryType.PLAYER
    entry_fee: Annotated[dict[CurrencyName, Amount], Meta(description="Amounts of currencies.")] = field(
        default_factory=dict
    )
    payouts: Annotated[list[Payout], Meta(max_length=PAYOUTS_MAX, description="Who gets what.")] = field(
        default_factory=list
    )
    exclude_initial_scores: Annotated[
        bool, Meta(description="true: who enters and never posts a score gets nothing.")
    ] = False
    data: Annotated[dict[str, Any], Meta(description="Told to clients with the tournament.")] = field(
        default_factory=dict
    )


class TournamentsSettings(Settings, kw_only=True):
    """Tournaments."""

    templates: Annotated[
        dict[Name, TemplateSettings],
        Declares("tournament"),
        Meta(description="Templates by the codes that boards name."),
    ] = field(default_factory=dict)

    made_by_servers: Annotated[
        list[Name],
        Declares("tournament"),
        Meta(description="Codes of templates that servers of yours make; boards may name them too."),
    ] = field(default_factory=list)

    def mistakes_beside(self, app: App) -> Iterator[Mistake]:
        """Yield templates with a fee that a board would enrol players in without asking."""
        if LeaderboardSettings not in app.sections:
            return
        for board_id, board in app.section(LeaderboardSettings).boards.items():
            if board.tournament is not None and board.tournament.auto_join:
                for code in board.tournament.codes:
                    if code in self.templates and self.templates[code].entry_fee:
                        words = (
                            f'the board "{board_id}" enrols players by itself (auto_join), so there is no fee'
                        )
                        yield ("templates", code, "entry_fee"), words


service = Service("tournament", section=TournamentsSettings, sample=SAMPLE)

# Errors


class NoTournament(GameError):
    """No tournament runs on the board."""

    reason_code = 40495


class NotOnBoard(GameError):
    """The tournament of this code does not run on the board."""

    reason_code = 40496


class AlreadyEnrolled(GameError):
    """The caller has entered a tournament on the board."""

    reason_code = 40497


class TooEarlyToJoin(GameError):
    """Enrolment has not begun."""

    reason_code = 40498


class OutOfTime(GameError):
    """The round that led to the score began when the tournament was not played."""

    reason_code = 40500


class NotEnoughToJoin(GameError):
    """The player cannot pay the entry fee."""

    reason_code = 40507


class TooLateToJoin(GameError):
    """Enrolment is over."""

    reason_code = 40516


class NotProcessed(GameError):
    """The tournament runs, or its results are not there yet."""

    reason_code = 40517


class AlreadyClaimed(GameError):
    """The player has got the reward."""

    reason_code = 40523


class NoTemplate(GameError):
    """There is no tournament template with this code and version."""

    reason_code = 40524


class DuplicateTemplate(GameError):
    """There is a tournament template with this code already."""

    reason_code = 40563


class NoDivisionSet(GameError):
    """There is no such division set."""

    reason_code = 40625


class InActiveDivision(GameError):
    """The caller is in an instance of the division set that still runs."""

    reason_code = 40629


class NotADivision(GameError):
    """The board is no instance of a division set."""

    reason_code = 40632


class NoSuchSchedule(GameError):
    """Division sets are not scheduled that way."""

    reason_code = 40633


class UseDivisions(GameError):
    """The board is an instance of a division set; the operations for divisions join it."""

    reason_code = 40638


class TemplateOnly(GameError):
    """The board is a model for divisions; nobody joins it."""

    reason_code = 40640


class WrongEntryType(GameError):
    """The board is for groups and the operation for players, or the other way round."""

    reason_code = 40656


class DuplicateDivisionSet(GameError):
    """There is a division set with this id already."""

    reason_code = 40770


class InstancesExist(GameError):
    """The division set has instances whose results have not expired."""

    reason_code = 40771


# Types

VersionId = (
    Annotated[int, Meta(ge=-1, description="The version of the board: which period. -1: the latest one.")]
    | None
)
InitialScore = Annotated[
    int, Meta(ge=-SCORE_MAX, le=SCORE_MAX, description="The score to enter with, a whole number.")
]
TournamentCode = Annotated[str, Meta(description="The code of the tournament: that of its template.")]
IsInitial = Annotated[bool, Meta(description="Whether the score is still the one the member entered with.")]
DivSetId = Annotated[str, Meta(description="The id of the division set.")]
VersionNumber = Annotated[int, Meta(description="1 when it was made, one more for each change.")]
Description = Annotated[
    dict[str, Any],
    Meta(description="`name` and `desc` for people, each an object of texts by language, such as `en`."),
]
CustomJson = Annotated[dict[str, Any] | None, Meta(description="An object of the studio's own, or null.")]
ExcludesInitial = Annotated[
    bool, Meta(description="Whether who enters and never posts a score gets nothing.")
]
JsonObject = dict[str, Any] | str | None
FREE_IN_CONFIG: json.Free = {"customJson": True, "description": True}
ConfigJson = Annotated[dict[str, Any] | str, free_members(*FREE_IN_CONFIG)] | None
"""An object; some clients send it as JSON text, and null or "" for none."""


class OfBoard(Request):
    leaderboard_id: BoardId


def object_of(value: JsonObject, where: str, free: json.Free = False) -> dict[str, Any]:
    """Return an object that may have come as JSON text; null and "" are the same as {}."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = json.read_text(value.encode(), where, free)
        if not isinstance(value, dict):
            raise InvalidParameterType(f"{where}: expected an object")
    return value


def score_data(data: JsonObject, where: str = "data.data") -> str | None:
    """Return the text that is stored of data beside a score; None for none."""
    if data is None or data == "":
        return None
    return documents.data_text(object_of(data, where, free=True), where, DATA_BYTES_MAX)
