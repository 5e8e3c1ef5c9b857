"""What a provider may say of a player, and the refusals when it says nothing."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from msgspec import UNSET, UnsetType

from gameserver.wire.errors import GameError


class UnableToValidate(GameError):
    """A third party would have to vouch for this identity, and none is configured or can be asked now."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40302


class ProviderUnavailable(GameError):
    """The platform that vouches for this identity is away or slow: try again later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason_code = 49110


class UnknownAuthenticationError(GameError):
    """Nobody can tell whose the identity is: whoever vouches gave no clear answer, or this server has failed.

    Nothing is wrong with what the client sent, as far as anybody knows: try again later.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason_code = 40217


class Unproven(Exception):
    """The id and the token do not belong together; `extra` is what the client is told besides."""

    def __init__(self, extra: dict[str, Any]) -> None:
        super().__init__()
        self.extra = extra


@dataclass(frozen=True, slots=True)
class Vouched:
    """An id and a token belong together; what else was said of the player.

    `token_expires_ms`: until when the token is good; None where nobody says. `data`: JSON to keep with the
    identity; None to keep nothing, `UNSET` to keep what there is. `former_id`: what the provider called the
    player before. `login_type`: the type of the login, where the identity is of another one. `external_id`:
    what the identity goes by instead of what the client sent. `profile_id`: whose login it is, whoever has
    the identity. `payload`: what the client is told.
    """

    token_expires_ms: int | None = None
    data: str | UnsetType | None = UNSET
    former_id: str | None = None
    login_type: str | None = None
    external_id: str | None = None
    profile_id: str | None = None
    payload: dict[str, Any] | None = None
