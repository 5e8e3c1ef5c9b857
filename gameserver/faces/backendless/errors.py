"""Refusals: the numbers that clients know, and the HTTP status each travels with.

Never 502: one client throws away what comes with it.
"""

from enum import IntEnum
from http import HTTPStatus

from gameserver.players import accounts
from gameserver.players.lockout import LockedOut
from gameserver.wire import errors, json
from gameserver.wire.errors import GameError


class Code(IntEnum):
    """What is wrong. Those below 1000 have no published number and repeat the HTTP status."""

    UNREADABLE = 400
    NOTHING_HERE = 404
    TOO_LARGE = 413
    TOO_BUSY = 429
    OUR_FAULT = 500
    AWAY = 503
    NO_SUCH_OBJECT = 1000
    MAY_NOT_FIND = 1012
    BAD_APPLICATION = 2002
    NO_SUCH_ROLE = 2005
    SYSTEM_ROLE_ASSIGNED = 2007
    SYSTEM_ROLE_UNASSIGNED = 2008
    ROLES_ARE_FOR_SERVERS = 2011
    LOGIN_BY_ID_IS_FOR_SERVERS = 2014
    LOGIN_DISABLED_FOR_USER = 3000
    NO_LOGIN_SETTINGS = 3001
    ALREADY_LOGGED_IN = 3002
    WRONG_LOGIN = 3003
    EMPTY_LOGIN = 3006
    BAD_APPLICATION_AT_LOGOUT = 3007
    REGISTRATION_DISABLED = 3009
    NO_PASSWORD = 3011
    NO_REQUIRED_PROPERTY = 3012
    NO_IDENTITY = 3013
    IDENTITY_TAKEN = 3018
    CANNOT_RESTORE = 3020
    CANNOT_REGISTER = 3021
    LOGOUT_FAILED = 3023
    CANNOT_UPDATE = 3024
    NOT_LOGGED_IN = 3028
    ANOTHER_USER = 3029
    NO_SUCH_USER_ID = 3030
    USER_EXISTS = 3033
    LOGINS_DISABLED = 3034
    LOCKED_OUT = 3036
    MISSING = 3038
    PROPERTY_ID = 3039
    BAD_EMAIL = 3040
    TOO_MANY_LOGINS = 3044
    STATUS_IS_FOR_SERVERS = 3054
    NO_SUCH_USER = 3057
    UNKNOWN_TOKEN = 3064
    EMAIL_NOT_CONFIRMED = 3087
    USER_DISABLED = 3090
    SESSION_TIMED_OUT = 3091
    PASSWORD_CHECK_IS_FOR_SERVERS = 3122
    VALUE_TOO_LONG = 8000


_STATUS = {
    Code.NO_SUCH_OBJECT: HTTPStatus.NOT_FOUND,
    Code.MAY_NOT_FIND: HTTPStatus.FORBIDDEN,
    Code.NO_SUCH_ROLE: HTTPStatus.NOT_FOUND,
    Code.SYSTEM_ROLE_ASSIGNED: HTTPStatus.FORBIDDEN,
    Code.SYSTEM_ROLE_UNASSIGNED: HTTPStatus.FORBIDDEN,
    Code.ROLES_ARE_FOR_SERVERS: HTTPStatus.FORBIDDEN,
    Code.LOGIN_BY_ID_IS_FOR_SERVERS: HTTPStatus.FORBIDDEN,
    Code.LOGIN_DISABLED_FOR_USER: HTTPStatus.FORBIDDEN,
    Code.ALREADY_LOGGED_IN: HTTPStatus.CONFLICT,
    Code.WRONG_LOGIN: HTTPStatus.UNAUTHORIZED,
    Code.REGISTRATION_DISABLED: HTTPStatus.FORBIDDEN,
    Code.IDENTITY_TAKEN: HTTPStatus.CONFLICT,
    Code.CANNOT_RESTORE: HTTPStatus.NOT_FOUND,
    Code.LOGOUT_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.NOT_LOGGED_IN: HTTPStatus.UNAUTHORIZED,
    Code.ANOTHER_USER: HTTPStatus.FORBIDDEN,
    Code.NO_SUCH_USER_ID: HTTPStatus.NOT_FOUND,
    Code.USER_EXISTS: HTTPStatus.CONFLICT,
    Code.LOGINS_DISABLED: HTTPStatus.FORBIDDEN,
    Code.LOCKED_OUT: HTTPStatus.LOCKED,
    Code.TOO_MANY_LOGINS: HTTPStatus.CONFLICT,
    Code.STATUS_IS_FOR_SERVERS: HTTPStatus.FORBIDDEN,
    Code.NO_SUCH_USER: HTTPStatus.NOT_FOUND,
    Code.UNKNOWN_TOKEN: HTTPStatus.UNAUTHORIZED,
    Code.EMAIL_NOT_CONFIRMED: HTTPStatus.FORBIDDEN,
    Code.USER_DISABLED: HTTPStatus.FORBIDDEN,
    Code.SESSION_TIMED_OUT: HTTPStatus.UNAUTHORIZED,
    Code.PASSWORD_CHECK_IS_FOR_SERVERS: HTTPStatus.FORBIDDEN,
}


class Refused(Exception):
    """A refusal in the words of this face."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status; 400 where no other says it better."""
        return _STATUS.get(
            self.code, self.code if self.code < Code.NO_SUCH_OBJECT else HTTPStatus.BAD_REQUEST
        )

    def body(self) -> bytes:
        """The body clients read."""
        return json.encode({"code": int(self.code), "message": str(self), "errorData": {}})


_WRONG = "Invalid login or password."

# What the other floors refuse, in the words of this one. An account that does not exist and a password that
# is wrong are the same refusal to the last byte.
_OF_GAME: dict[type[GameError], tuple[Code, str]] = {
    accounts.WrongCredentials: (Code.WRONG_LOGIN, _WRONG),
    accounts.MissingProfile: (Code.WRONG_LOGIN, _WRONG),
    accounts.MissingIdentity: (Code.WRONG_LOGIN, _WRONG),
    accounts.InvalidEmail: (Code.WRONG_LOGIN, _WRONG),
    accounts.AccountDisabled: (Code.LOGIN_DISABLED_FOR_USER, "Login is disabled for this user."),
    accounts.EmailNotValidated: (Code.EMAIL_NOT_CONFIRMED, "The email address is not confirmed yet."),
    accounts.UnknownAuthenticationType: (
        Code.NO_LOGIN_SETTINGS,
        "The app does not allow logins of this kind.",
    ),
    LockedOut: (Code.LOCKED_OUT, "Locked: too many failed logins. Try again later."),
    errors.DisabledApp: (Code.LOGINS_DISABLED, "Logins are disabled for this app."),
    errors.RateLimited: (Code.TOO_BUSY, ""),
    errors.PacketTooLarge: (Code.TOO_LARGE, ""),
}


def from_game(error: GameError) -> Refused:
    """Say a refusal of another floor in the words of this one."""
    code, message = _OF_GAME.get(type(error), (Code.UNREADABLE, ""))
    return Refused(code, message or str(error))
