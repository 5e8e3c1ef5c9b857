"""What staff may do: rights, and the roles that bundle them."""

from enum import StrEnum

import msgspec


class Right(StrEnum):
    """One thing that somebody may do. An action needs one; the console shows what its reader may open."""

    PLAYERS_READ = "players.read"
    CONTACTS_READ = "contacts.read"
    PLAYERS_CHANGE = "players.change"
    PLAYERS_ERASE = "players.erase"
    PLAYERS_TRY = "players.try"
    DATA_READ = "data.read"
    DATA_CHANGE = "data.change"
    BOARDS_CHANGE = "boards.change"
    SOCIAL_MODERATE = "social.moderate"
    RECORDS_READ = "records.read"
    JOBS_RUN = "jobs.run"
    APP_READ = "app.read"
    APP_CHANGE = "app.change"
    OPERATIONS_CALL = "operations.call"
    SYSTEM_READ = "system.read"
    VIEWS_SHARE = "views.share"
    STAFF_MANAGE = "staff.manage"


MEANINGS: dict[Right, str] = {
    Right.PLAYERS_READ: "see players, their sessions and what they have",
    Right.CONTACTS_READ: "see mail addresses and what players log in with",
    Right.PLAYERS_CHANGE: "disable players, end sessions, send reset mail, adjust balances, leave notes",
    Right.PLAYERS_ERASE: "reset, merge and delete players, export all that is kept of them, move data in",
    Right.PLAYERS_TRY: "run operations as a player, for thirty minutes at a time",
    Right.DATA_READ: "see entities, boards, groups and chat",
    Right.DATA_CHANGE: "edit entities and properties",
    Right.BOARDS_CHANGE: "remove scores and rebuild ranks",
    Right.SOCIAL_MODERATE: "delete chat lines and groups",
    Right.RECORDS_READ: "read logs, reports and audits",
    Right.JOBS_RUN: "run jobs and send webhooks again",
    Right.APP_READ: "see how the app is defined, without its secrets",
    Right.APP_CHANGE: "edit the app's definition, where the operator allows it",
    Right.OPERATIONS_CALL: "run operations with a server's authority",
    Right.SYSTEM_READ: "see processes, load and what is wrong",
    Right.VIEWS_SHARE: "share saved views of lists with all staff of the app",
    Right.STAFF_MANAGE: "add and remove staff and their keys",
}

_VIEWER = frozenset(
    {
        Right.PLAYERS_READ,
        Right.DATA_READ,
        Right.RECORDS_READ,
        Right.APP_READ,
        Right.SYSTEM_READ,
    }
)
_SUPPORT = _VIEWER | {Right.PLAYERS_CHANGE, Right.SOCIAL_MODERATE, Right.BOARDS_CHANGE, Right.VIEWS_SHARE}
_DESIGNER = _VIEWER | {
    Right.DATA_CHANGE,
    Right.BOARDS_CHANGE,
    Right.APP_CHANGE,
    Right.OPERATIONS_CALL,
    Right.PLAYERS_TRY,
    Right.JOBS_RUN,
    Right.VIEWS_SHARE,
}
ROLES: dict[str, frozenset[Right]] = {
    "viewer": _VIEWER,
    "support": _SUPPORT,
    "designer": _DESIGNER,
    "admin": frozenset(Right),
}
"""What each role may do. Support edits data by the right `data.change` of a designer, given beside it."""

EVERY_APP = "*"


class Grants(msgspec.Struct, frozen=True):
    """What somebody may do: a role for each app, or for every app, and rights beside the roles."""

    roles: dict[str, str] = {}
    """By the app's id, or `*` for those that are not named."""
    also: tuple[Right, ...] = ()
    """Rights in each app where there is a role, such as `contacts.read` for support."""

    def role_in(self, app_id: str) -> str:
        """Return the role in an app; empty when there is none. What belongs to no app ("") needs `*`."""
        return self.roles.get(app_id) or self.roles.get(EVERY_APP, "")

    def may(self, right: Right, app_id: str) -> bool:
        """Tell whether somebody has a right in an app."""
        role = self.role_in(app_id)
        return bool(role) and (right in ROLES.get(role, ()) or right in self.also)


EVERYTHING = Grants({EVERY_APP: "admin"})
