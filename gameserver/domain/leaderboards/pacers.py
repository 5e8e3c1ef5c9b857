"""Pacers: pretended friends with scores that the operator declares, for players who have few friends yet."""

from typing import Annotated, Any, NamedTuple

from msgspec import Meta, field

from gameserver.apps import Settings
from gameserver.apps.fields import WebAddress

PACERS_MAX = 100
BOARDS_MAX = 1000  # of a pacer
BoardName = Annotated[str, Meta(min_length=1, max_length=128)]


class PacerScore(Settings, kw_only=True):
    """What a pacer has reached on a board, in every version of it."""

    score: Annotated[int, Meta(ge=-(2**53), le=2**53, description="The score.")]
    tag: Annotated[dict[str, Any], Meta(description="Told to clients with the score.")] = field(
        default_factory=dict
    )


class PacerSettings(Settings, kw_only=True):
    """Somebody who stands among the friends of every player."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="What players see.")]
    picture: Annotated[WebAddress | None, Meta(description="Address of a picture.")] = None
    tag: Annotated[dict[str, Any] | None, Meta(description="Told to clients with every score.")] = None
    boards: Annotated[
        dict[BoardName, PacerScore],
        Meta(max_length=BOARDS_MAX, description="Scores by the ids of boards, also of those clients make."),
    ] = field(default_factory=dict)


class Pacer(NamedTuple):
    """A pacer on a board."""

    pacer_id: str
    name: str
    picture_url: str | None
    score: int
    data: dict[str, Any]


def pacer_on(pacer_id: str, settings: PacerSettings, board_id: str) -> Pacer | None:
    """Return a pacer as it stands on a board; None when it has no score there."""
    found = settings.boards.get(board_id)
    if found is None:
        return None
    data = {"pacerTag": settings.tag, "pacerLeaderboardTag": found.tag}
    return Pacer(pacer_id, settings.name, settings.picture, found.score, data)
