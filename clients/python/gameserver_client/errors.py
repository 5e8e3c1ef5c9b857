"""What a call that did not succeed raises, and the codes that change how the client behaves."""

from typing import Any

STATUS_LOCAL = 900  # never travels: the refusal was made here, not by the server

NO_ANSWER = 90001
KILL_SWITCH = 90200
UNREADABLE_ANSWER = 40408

SESSION_EXPIRED = 40303
NO_SESSION = 40304
SESSION_REPLACED = 40356
SESSION_CODES = frozenset({SESSION_EXPIRED, NO_SESSION, SESSION_REPLACED})


class GameServerError(Exception):
    """A call was refused, or its answer never arrived.

    `status` and `reason_code` are the numbers of the protocol, `message` is for people and may change.
    `raw` is the whole error object: some refusals carry more, like `redirect_url` with reason 40308.
    """

    def __init__(self, status: int, reason_code: int, message: str, raw: dict[str, Any]) -> None:
        super().__init__(status, reason_code, message, raw)
        self.status = status
        self.reason_code = reason_code
        self.message = message
        self.raw = raw

    def __str__(self) -> str:
        return f"{self.status}/{self.reason_code} {self.message}"


class SessionEndedError(GameServerError):
    """Nobody is signed in: the session expired (40303), is missing (40304) or was replaced (40356)."""


class NoAnswerError(GameServerError):
    """Every try went without a usable answer. The calls may have run on the server, or not."""


class KillSwitchError(GameServerError):
    """One operation failed so often in a row that the client stopped sending anything."""


def error_from(raw: dict[str, Any]) -> GameServerError:
    """Make the exception for an error object; missing or odd fields become 0 and an empty message."""
    status, reason_code, message = raw.get("status"), raw.get("reason_code"), raw.get("status_message")
    kind = GameServerError
    if reason_code in SESSION_CODES:
        kind = SessionEndedError
    elif status == STATUS_LOCAL:
        kind = KillSwitchError if reason_code == KILL_SWITCH else NoAnswerError
    return kind(
        status if isinstance(status, int) else 0,
        reason_code if isinstance(reason_code, int) else 0,
        message if isinstance(message, str) else "",
        raw,
    )


def local_error(status: int, reason_code: int, message: str) -> GameServerError:
    """Make a refusal of the client's own, in the same shape as the server's."""
    return error_from(
        {"status": status, "reason_code": reason_code, "status_message": message, "severity": "ERROR"}
    )
