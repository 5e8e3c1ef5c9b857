"""Fields of requests and answers about boards, each described once."""

from typing import Annotated, Any, Literal

from msgspec import Meta, UnsetType

from gameserver.domain.leaderboards.boards import (
    DAYS_MAX,
    DAYS_MIN,
    RETAINED_MAX,
    SCORE_MAX,
    BoardType,
    EntryType,
)
from gameserver.domain.leaderboards.periods import Rotation
from gameserver.domain.leaderboards.tournaments import States, TournamentConfig
from gameserver.wire.shapes import FreeObjectOrText

BoardId = Annotated[str, Meta(description="The id of the leaderboard.")]
VersionId = (
    Annotated[
        int,
        Meta(
            description="The version of the board, from 1 on; each rotation begins one. -1: the running one."
        ),
    ]
    | None
)
Score = Annotated[
    int,
    Meta(ge=-SCORE_MAX, le=SCORE_MAX, description="The score, a whole number; up to 2^53, also below zero."),
]
ScoreData = Annotated[
    FreeObjectOrText | None,
    Meta(
        description="An object of the game's own that is shown with the score, up to 10 KiB. Null or nothing:"
        " what is there stays."
    ),
]
TypeField = Annotated[
    str | None,
    Meta(
        description=f"What a further score of a player does: {', '.join(BoardType)}. See protocol/values.md."
    ),
]
RotationField = Annotated[
    str | None,
    Meta(description=f"When the board begins anew: {', '.join(Rotation)}. See protocol/values.md."),
]
EntryTypeField = Annotated[
    str | None, Meta(description=f"Who has scores on the board: {' or '.join(EntryType)}. Absent: players.")
]
DaysField = Annotated[
    int | None, Meta(description=f"Days of a period, {DAYS_MIN} to {DAYS_MAX}, where the rotation is DAYS.")
]
RetainedField = Annotated[
    int | None,
    Meta(description=f"Versions that can be read, with the running one: 1 to {RETAINED_MAX}."),
]
ResetField = Annotated[
    int | float | str | None,
    Meta(
        description="A moment at which the board rotates: ms since 1970-01-01 UTC, ISO 8601, `dd-MM-yyyy` or"
        " `dd-MM-yyyy HH:mm`. It may lie in the past."
    ),
]
ResetFieldToo = Annotated[int | float | str | None, Meta(description="Another name of `rotationResetTime`.")]
DbVersion = Annotated[
    int | None,
    Meta(
        description="The `dbVersion` that the caller has seen: with another one the call is refused. -1: any."
    ),
]

Before = Annotated[int, Meta(ge=0, description="How many entries to read before it.")]
After = Annotated[
    int, Meta(ge=0, description="How many entries to read behind it; at most 500 are read in all.")
]
SettingsJson = Annotated[
    dict[str, Any] | str | None,
    Meta(
        description="Tournament settings, as an object or as JSON text: `tTournament` with `tConfigs`,"
        " `tAutoJoin`, `tAutoClaim`; `tPhases` with `announcementMins`, `enrolMins`, `disallowMins`,"
        " `bufferMins`; for a period of an ADHOC board `tPeriod` with `startingAt`, `durationDays`,"
        " `durationHours`, `durationMinutes`."
    ),
]
SortField = Annotated[
    Literal["HIGH_TO_LOW", "LOW_TO_HIGH"] | None,
    Meta(description="Which scores come first. Null or nothing: the best ones, by the type of the board."),
]
SortOrder = Annotated[
    Literal["HIGH_TO_LOW", "LOW_TO_HIGH"] | None,
    Meta(description="Another name of `sort`."),
]

# Types for answers

TypeShown = Annotated[str, Meta(description="What a further score of a player does; see protocol/values.md.")]
RotationShown = Annotated[str, Meta(description="When the board begins anew; see protocol/values.md.")]
EntryTypeShown = Annotated[str, Meta(description="Who has scores on the board: PLAYER or GROUP.")]
DaysShown = Annotated[int, Meta(description="Days of a period where the rotation is DAYS, else 0.")]
RetainedShown = Annotated[int, Meta(description="Versions that can be read, with the running one.")]
NextReset = Annotated[
    int | None, Meta(description="When the board rotates next: ms since 1970-01-01 UTC. Null: not by itself.")
]
VersionShown = Annotated[int, Meta(description="The version of the board; the first one is 1.")]
CurrentVersion = Annotated[int, Meta(description="The version that is running; the first one is 1.")]
BoardData = Annotated[Any, Meta(description="The object that the board was made with; {} without one.")]
DivSet = Annotated[
    str | UnsetType, Meta(description="The division set that the board is an instance of, if it is one.")
]
ScoreShown = Annotated[int, Meta(description="The score, a whole number.")]
DataShown = Annotated[Any, Meta(description="The object that was posted with the score, or null.")]
PostedAt = Annotated[int, Meta(description="When the first score was posted: ms since 1970-01-01 UTC.")]
ChangedAt = Annotated[int, Meta(description="When the score last changed: ms since 1970-01-01 UTC.")]
HasTournaments = Annotated[bool, Meta(description="Whether the periods of the board are tournaments.")]
IsTemplate = Annotated[
    bool, Meta(description="Whether the board is only the model of a division set, and nobody plays on it.")
]
TournamentConfigs = Annotated[
    dict[str, TournamentConfig],
    Meta(description="The tournaments of a period, by names of the studio's own."),
]
PhaseLengths = Annotated[States, Meta(description="How long the phases of a period are.")]
JobId = Annotated[
    str | UnsetType | None, Meta(description="Always null: phases follow from the clock, not from jobs.")
]
AutoJoin = Annotated[bool, Meta(description="Whether a first score enrols its player.")]
AutoClaim = Annotated[bool, Meta(description="Whether rewards are paid without a claim.")]
StartingAt = Annotated[int, Meta(description="When it begins: ms since 1970-01-01 UTC.")]
EndingAt = Annotated[
    int | None, Meta(description="When it ends or ended: ms since 1970-01-01 UTC. Null: not by itself.")
]
