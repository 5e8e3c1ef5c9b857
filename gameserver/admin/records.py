"""What staff read of what has happened: refusals, logins, reports, lines of the log, pushes, mail."""

import functools
from typing import Any

import msgspec
from sqlalchemy import String, bindparam, select

from gameserver.admin import operators
from gameserver.admin.common import Refused, Server, app_of, columns_of, limit_of
from gameserver.admin.declaring import action, at_once, by_key
from gameserver.admin.rights import Right
from gameserver.domain.push import storage as pushes
from gameserver.players import app_log, audit, refusals
from gameserver.players.app_log import AppLog
from gameserver.players.refusals import Refusals
from gameserver.rpc import Operation
from gameserver.services import data_stream
from gameserver.services.mail import storage as letters
from gameserver.storage import Transaction
from gameserver.storage.timeline import Timeline
from gameserver.wire import errors
from gameserver.wire.errors import GameError

REPORT_FILTERS = frozenset({"profile_id", "kind", "name", "platform", "game_version"})
MAIL_FILTERS = frozenset({"sender_id", "receiver_id", "state", "reason"})
PUSH_FILTERS = frozenset({"profile_id", "state", "kind", "reason", "push_id"})
LOG_FILTERS = frozenset({"profile_id", "face", "source"})
REFUSAL_FILTERS = frozenset({"profile_id", "reason_code", "operation", "face", "session", "request_id"})
JOURNAL_FILTERS = frozenset({"staff", "profile_id", "action", "target", "outcome", "via", "request_id"})
CODES_MOST = 20
LIMITS = frozenset(
    kind.reason_code
    for kind in (
        errors.RateLimited,
        errors.PacketTooLarge,
        errors.QueryTooExpensive,
        errors.SessionLimitReached,
    )
)
"""Refusals that say that a limit was reached."""
AUDIT_FILTERS = frozenset({"profile_id", "kind", "session", "face", "address", "reason"})


@action(Right.RECORDS_READ, "GET /apps/{app}/audit", pages=by_key("id"))
async def audit_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return audit events of an app, the newest (or `oldest`) first; `after`: the last id seen.

    `equal` says what must be in columns, such as `profile_id`.
    """
    await server.core.audit.flush()
    span = _span(after, since_ms, until_ms, oldest=oldest)
    return await _found(server, app, audit.timeline, limit, span, equal, AUDIT_FILTERS)


@action(Right.RECORDS_READ, "GET /apps/{app}/refusals", pages=by_key("id"))
async def refusal_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return messages of an app that were refused, the newest (or `oldest`) first; `after`: the last id seen.

    `equal` says what must be in columns, such as `reason_code` or `profile_id`. Where a session had ended,
    `profile_id` is who had logged in with it.
    """
    await server.core.get(Refusals).flush()
    wanted: dict[str, Any] = dict(equal or {})
    if "reason_code" in wanted:
        try:
            wanted["reason_code"] = int(wanted["reason_code"])
        except ValueError:
            raise Refused("a reason code is a number, such as 40304") from None
        if not 0 <= wanted["reason_code"] < 1 << 31:
            raise Refused("a reason code is a number, such as 40304")
    span = _span(after, since_ms, until_ms, oldest=oldest)
    rows = await _found(server, app, refusals.timeline, limit, span, wanted, REFUSAL_FILTERS)
    unknown = {row["session"] for row in rows if row["session"] and not row["profile_id"]}
    if unknown:
        await server.core.audit.flush()
        async with server.core.database.read() as tx:
            players = await _players_of(tx, app, unknown)
        for row in rows:
            row["profile_id"] = row["profile_id"] or players.get(row["session"], "")
    operations = server.registry.operations
    return [
        row | {"meaning": meaning_of(row["reason_code"], operations.get((service, name)))}
        for row in rows
        for service, _, name in [row["operation"].partition(".")]
    ]


async def _players_of(tx: Transaction, app: str, sessions: set[str]) -> dict[str, str]:
    rows = await tx.all(WHO, app=app, sessions=sorted(sessions))
    return {row["session"]: row["profile_id"] for row in rows if row["profile_id"]}


WHO = (
    select(audit.audit_events.c.session, audit.audit_events.c.profile_id)
    .where(
        audit.audit_events.c.app_id == bindparam("app", type_=String),
        audit.audit_events.c.session.in_(bindparam("sessions", expanding=True)),
    )
    .limit(2000)
)


@action(Right.RECORDS_READ, "GET /apps/{app}/refusals/codes", pages=at_once)
async def refusal_codes(server: Server, app: str, since_ms: int) -> list[dict[str, Any]]:
    """Return how often each reason code was given in an app since a time, the most frequent first.

    The newest 50 000 rows are counted, and 20 codes told.
    """
    app_of(server, app)
    await server.core.get(Refusals).flush()
    async with server.core.database.read() as tx:
        rows = await refusals.counted(tx, app, since_ms, CODES_MOST)
    return [
        {
            "reason_code": row["reason_code"],
            "times": int(row["times"]),
            "meaning": meaning_of(row["reason_code"]),
            "is_limit": row["reason_code"] in LIMITS,
        }
        for row in rows
    ]


def meaning_of(reason_code: int, operation: Operation | None = None) -> str:
    """Return what a reason code means, in a sentence; empty where scripts have made it up.

    Some codes mean several things. An operation says which of them it refuses with; what none lists may come
    of each. Where that leaves several, all are told.
    """
    kinds = _refusals().get(reason_code, [])
    of_operation = [kind for kind in kinds if operation is not None and kind in operation.errors]
    of_all = [kind for kind in kinds if operation is not None and kind.__module__ == errors.__name__]
    meant = of_operation or of_all or kinds
    return " Or: ".join(dict.fromkeys((kind.__doc__ or "").partition("\n")[0] for kind in meant))


@functools.cache
def _refusals() -> dict[int, list[type[GameError]]]:
    """Return the kinds of refusals by their codes: all are declared once the server is loaded."""
    found: dict[int, list[type[GameError]]] = {}
    waiting = [GameError]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if "reason_code" in vars(kind):
            found.setdefault(kind.reason_code, []).append(kind)
    return found


@action(Right.RECORDS_READ, "GET /apps/{app}/journal", pages=by_key("id"))
async def journal_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return what staff did in an app, the newest (or `oldest`) first; `after`: the last id seen.

    `equal` says what must be in columns, such as `staff` or `profile_id`.
    """
    span = _span(after, since_ms, until_ms, oldest=oldest)
    rows = await _found(server, app, operators.timeline, limit, span, equal, JOURNAL_FILTERS)
    return [row | {name: _read(row[name]) for name in ("before", "after")} for row in rows]


def _read(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


@action(Right.RECORDS_READ, "GET /apps/{app}/reports", pages=by_key("id"))
async def datastream_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return reports of an app's clients, the newest (or `oldest`) first; `after`: the last id seen.

    `equal` says what must be in columns, such as `kind`.
    """
    span = _span(after, since_ms, until_ms, oldest=oldest)
    rows = await _found(server, app, data_stream.timeline, limit, span, equal, REPORT_FILTERS)
    return [row | {"data": msgspec.json.decode(row["data"])} for row in rows]


@action(Right.RECORDS_READ, "GET /apps/{app}/logs", pages=by_key("id"))
async def log_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    level: str = "",
    text: str = "",
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return lines of an app's log, the newest (or `oldest`) first; `after`: the last id seen.

    `level` is the least bad one, `text` a part of the message, `equal` what must be in columns.
    """
    if level and level not in app_log.LEVELS:
        raise Refused(f"a level is one of {', '.join(app_log.LEVELS)}")
    await server.core.get(AppLog).flush()
    span = _span(after, since_ms, until_ms, oldest=oldest) | {"also": app_log.picked(level, text)}
    rows = await _found(server, app, app_log.timeline, limit, span, equal, LOG_FILTERS)
    return [row | {"context": row["context"] and msgspec.json.decode(row["context"])} for row in rows]


@action(Right.RECORDS_READ, "GET /apps/{app}/pushes", pages=by_key("delivery"))
async def push_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return what became of an app's push notifications on each device, the newest (or `oldest`) first.

    `after` is the `delivery` of the last one already seen; `equal` says what must be in columns.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, PUSH_FILTERS)
    async with server.core.database.read() as tx:
        return await pushes.listed(
            tx, app, most, after=after, since_ms=since_ms, until_ms=until_ms, oldest=oldest, **equal
        )


@action(Right.RECORDS_READ, "GET /apps/{app}/mails", pages=by_key("letter_id"))
async def mail_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    oldest: bool = False,
) -> list[dict[str, Any]]:
    """Return what became of an app's letters, the newest (or `oldest`) first, without addresses.

    `after` is the `letter_id` of the last one already seen; `equal` says what must be in columns.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, MAIL_FILTERS)
    async with server.core.database.read() as tx:
        return await letters.listed(
            tx, app, most, after=after, since_ms=since_ms, until_ms=until_ms, oldest=oldest, **equal
        )


def _span(after: str, since_ms: int | None, until_ms: int | None, *, oldest: bool) -> dict[str, Any]:
    return {"after": after, "since_ms": since_ms, "until_ms": until_ms, "oldest": oldest}


async def _found(
    server: Server,
    app: str,
    timeline: Timeline,
    limit: int,
    span: dict[str, Any],
    equal: dict[str, str] | None,
    filters: frozenset[str],
) -> list[dict[str, Any]]:
    """Return rows of what has happened in an app, picked by columns among `filters`."""
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, filters)
    async with server.core.database.read() as tx:
        rows = await timeline.find(tx, app, most, **{**span, **equal})
    return [{name: row[name] for name in timeline.columns} for row in rows]
