"""What staff read of what has happened: logins, reports of clients, lines of the log, pushes, mail."""

from typing import Any

import msgspec

from gameserver.admin.common import Server, app_of, columns_of, limit_of
from gameserver.admin.declaring import action
from gameserver.admin.rights import Right
from gameserver.domain.push import storage as pushes
from gameserver.players import app_log, audit
from gameserver.players.app_log import AppLog
from gameserver.services import data_stream
from gameserver.services.mail import storage as letters
from gameserver.storage.timeline import Timeline

REPORT_FILTERS = frozenset({"profile_id", "kind", "name", "platform", "game_version"})
MAIL_FILTERS = frozenset({"sender_id", "receiver_id", "state", "reason"})
PUSH_FILTERS = frozenset({"profile_id", "state", "kind", "reason", "push_id"})
LOG_FILTERS = frozenset({"profile_id", "face", "source"})
AUDIT_FILTERS = frozenset({"profile_id", "kind", "session", "face", "address", "reason"})


@action(Right.RECORDS_READ, "GET /apps/{app}/audit")
async def audit_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return audit events of an app, the newest first; `after` is the id of the last one already seen.

    `equal` says what must be in columns, such as `profile_id`.
    """
    await server.core.audit.flush()
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms}
    return await _found(server, app, audit.timeline, limit, span, equal, AUDIT_FILTERS)


@action(Right.RECORDS_READ, "GET /apps/{app}/reports")
async def datastream_list(
    server: Server,
    app: str,
    limit: int = 50,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return reports of an app's clients, the newest first; `after` is the id of the last one already seen.

    `equal` says what must be in columns, such as `kind`.
    """
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms}
    rows = await _found(server, app, data_stream.timeline, limit, span, equal, REPORT_FILTERS)
    return [row | {"data": msgspec.json.decode(row["data"])} for row in rows]


@action(Right.RECORDS_READ, "GET /apps/{app}/logs")
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
) -> list[dict[str, Any]]:
    """Return lines of an app's log, the newest first; `after` is the id of the last one already seen.

    `level` is the least bad one, `text` a part of the message, `equal` what must be in columns.
    """
    await server.core.get(AppLog).flush()
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms, "also": app_log.picked(level, text)}
    rows = await _found(server, app, app_log.timeline, limit, span, equal, LOG_FILTERS)
    return [row | {"context": row["context"] and msgspec.json.decode(row["context"])} for row in rows]


@action(Right.RECORDS_READ, "GET /apps/{app}/pushes")
async def push_list(
    server: Server,
    app: str,
    limit: int = 50,
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what became of an app's push notifications on each device, the newest first.

    `equal` says what must be in columns, such as `state`.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, PUSH_FILTERS)
    async with server.core.database.read() as tx:
        return await pushes.listed(tx, app, most, since_ms=since_ms, until_ms=until_ms, **equal)


@action(Right.RECORDS_READ, "GET /apps/{app}/mails")
async def mail_list(
    server: Server,
    app: str,
    limit: int = 50,
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what became of an app's letters, the newest first, without addresses.

    `equal` says what must be in columns, such as `state`.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, MAIL_FILTERS)
    async with server.core.database.read() as tx:
        return await letters.listed(tx, app, most, since_ms=since_ms, until_ms=until_ms, **equal)


async def _found(
    server: Server,
    app: str,
    timeline: Timeline,
    limit: int,
    span: dict[str, Any],
    equal: dict[str, str] | None,
    filters: frozenset[str],
) -> list[dict[str, Any]]:
    """Return rows of what has happened in an app, the newest first, picked by columns among `filters`."""
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, filters)
    async with server.core.database.read() as tx:
        rows = await timeline.find(tx, app, most, **{**span, **equal})
    return [{name: row[name] for name in timeline.columns} for row in rows]
