"""The service, its refusals, and what its operations share."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Raw

from gameserver.documents import documents
from gameserver.documents.documents import data_out
from gameserver.domain.social import friends
from gameserver.domain.social.friends import PLATFORMS, Ways
from gameserver.rpc import Context, Service
from gameserver.storage import locks
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Request

IDS_MAX = 100  # profiles that one call may name
service = Service("friend")

# Errors


class NotFriends(GameError):
    """The two players are not friends."""

    reason_code = 40310


class ShortSearchText(GameError):
    """The text to search for has fewer characters than such a search wants."""

    reason_code = 40376


class SelfFriend(GameError):
    """Nobody is their own friend."""

    reason_code = 40448


class TooManyProfileIds(GameError):
    """More profile ids than one call takes."""

    reason_code = 40471


class UnsupportedPlatform(GameError):
    """There are no friends of such a platform."""

    reason_code = 500020


# Shapes

ProfileId = Annotated[
    str, Meta(min_length=1, max_length=documents.TYPE_MAX, description="The id of the player.")
]


service.keeps(*friends.KEPT)


class ProfileIds(Request):
    profile_ids: Annotated[list[ProfileId], Meta(description="Ids of players; at most 100.")]

    def wanted(self) -> list[str]:
        """The ids, each once, in their order. Raises `TooManyProfileIds`."""
        found = sorted(set(self.profile_ids))
        if len(found) > IDS_MAX:
            raise TooManyProfileIds(f"data.profileIds: at most {IDS_MAX} profiles, got {len(found)}")
        return found


# Rules


def of_both(ctx: Context, others: Iterable[str]) -> list[str]:
    """Return the locks of the caller and of others."""
    return [locks.player_lock(profile_id) for profile_id in (ctx.player_id, *others)]


def of_named(ctx: Context, request: ProfileIds) -> list[str]:
    """Return the locks of the caller, and of those whom the request names unless they are too many."""
    wanted = set(request.profile_ids)
    return of_both(ctx, wanted) if len(wanted) <= IDS_MAX else []


def summary(text: str | None) -> Raw | None:
    """Return a player's summary data as clients read it."""
    return None if text is None else data_out(text)


def platform_ways(platform: str) -> Ways:
    """Return the ways that a name of a platform stands for. Raises `UnsupportedPlatform`."""
    if platform.lower() == "all":
        return Ways(friends.ALL_WAYS)
    for name, way in PLATFORMS.items():
        if name.lower() == platform.lower():
            return way
    raise UnsupportedPlatform(f"data.friendPlatform: expected All or {', '.join(PLATFORMS)}")
