"""What an operator does with outgoing webhooks: see targets and deliveries, send again, test, enable."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import String, bindparam, select

from gameserver.admin.common import Refused, Server, app_of, columns_of, limit_of
from gameserver.admin.declaring import action, at_once, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.players.webhooks import deliveries, new_event_id
from gameserver.players.webhooks.deliveries import FAILED, PENDING, STATES
from gameserver.players.webhooks.delivering import Message, send
from gameserver.players.webhooks.emitting import replay
from gameserver.players.webhooks.events import TEST
from gameserver.players.webhooks.settings import Target, WebhookSettings
from gameserver.storage import Row, Transaction
from gameserver.wire import json
from gameserver.wire.outgoing import Outgoing

FILTERS = frozenset({"target", "state", "event", "profile_id"})
AT_ONCE = 200  # deliveries that a transaction has sent again
COLUMNS = tuple(name for name in deliveries.timeline.columns if name != "app_id")
ONE = select(deliveries.deliveries).where(
    deliveries.deliveries.c.app_id == bindparam("app", type_=String),
    deliveries.deliveries.c.id == bindparam("delivery", type_=String),
)


@action(Right.RECORDS_READ, "GET /apps/{app}/webhooks", pages=at_once)
async def webhook_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the targets of an app, with how they do and how much waits for them or has failed."""
    declared = app_of(server, app).section(WebhookSettings).outgoing
    async with server.core.database.read() as tx:
        stored = {row["name"]: row for row in await tx.all(deliveries.OF_APP, app=app)}
        counted = {(row["target"], row["state"]): row for row in await tx.all(deliveries.COUNT_OPEN, app=app)}
    names = [*declared, *sorted({name for name, _ in counted} - declared.keys())]
    return [_shown(name, declared.get(name), stored.get(name), counted) for name in names]


def _shown(
    name: str, target: Target | None, stored: Row | None, counted: dict[tuple[str, str], Row]
) -> dict[str, Any]:
    waiting, failed = counted.get((name, PENDING)), counted.get((name, FAILED))
    disabled_ms = stored["disabled_ms"] if stored is not None else None
    failing_ms = stored["failing_since_ms"] if stored is not None else None
    if target is None:
        state = "not declared"
    elif disabled_ms is not None:
        state = "disabled"
    else:
        state = "ok" if failing_ms is None else "failing"
    return {
        "name": name,
        "state": state,
        "waiting": 0 if waiting is None else waiting["rows"],
        "failed": 0 if failed is None else failed["rows"],
        "oldest_waiting_ms": None if waiting is None else waiting["oldest_ms"],
        "failing_since_ms": failing_ms,
        "disabled_ms": disabled_ms,
        "reason": stored["reason"] if stored is not None else "",
        "events": [] if target is None else target.events,
        "url": "" if target is None else target.url,
    }


@action(Right.RECORDS_READ, "GET /apps/{app}/webhooks/deliveries", pages=by_key("id"))
async def webhook_deliveries(
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
    """Return deliveries of an app, the newest (or `oldest`) first; `after`: the last id seen.

    `equal` says what must be in columns, such as `target` or `state`.
    """
    app_of(server, app)
    async with server.core.database.read() as tx:
        rows = await _find(tx, app, limit_of(limit), after, since_ms, until_ms, equal, oldest=oldest)
    return [{name: row[name] for name in COLUMNS if name not in ("data", "answer")} for row in rows]


@action(Right.RECORDS_READ, "GET /apps/{app}/webhooks/delivery")
async def webhook_show(server: Server, app: str, delivery: str) -> dict[str, Any]:
    """Return a delivery with what it tells, and how the last answer began."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        row = await _one(tx, app, delivery)
    return {name: row[name] for name in COLUMNS} | {"data": json.read_stored(row["data"])}


@action(Right.JOBS_RUN, "POST /apps/{app}/webhooks/replay")
async def webhook_replay(
    server: Server,
    app: str,
    delivery: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
    *,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Have one delivery sent again, or all that fit; returns how many. Their ids stay the same.

    Without a state in `equal`, those that have failed.
    """
    app_of(server, app)
    core = server.core
    if delivery:
        async with core.database.write() as tx:
            row = await _one(tx, app, delivery)
            await replay(tx, app, row["id"], row["target"], core.clock.ms())
            await note(server, tx, by, "webhook_replay", app, target=delivery)
        return {"replayed": 1}
    wanted, after, count = {"state": FAILED, **(equal or {})}, "", 0
    while True:
        async with core.database.read() as tx:
            rows = await _find(tx, app, AT_ONCE, after, since_ms, until_ms, wanted)
        if rows:
            await core.database.transact(partial(_replay_all, app, rows, core.clock.ms()))
        count += len(rows)
        if len(rows) < AT_ONCE:
            async with core.database.write() as tx:
                await note(server, tx, by, "webhook_replay", app, after={**wanted, "replayed": count})
            return {"replayed": count}
        after = rows[-1]["id"]


async def _replay_all(app: str, rows: Sequence[Row], now_ms: int, tx: Transaction) -> None:
    for row in rows:
        await replay(tx, app, row["id"], row["target"], now_ms)


@action(Right.JOBS_RUN, "POST /apps/{app}/webhooks/targets/{target}/test")
async def webhook_test(server: Server, app: str, target: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Send the event webhook.test to a target, be it disabled or not; returns what it answers."""
    definition = app_of(server, app)
    now_ms = server.core.clock.ms()
    message = Message(new_event_id(now_ms), TEST, now_ms, '{"profileId":""}')
    found = _target(definition, target)
    async with server.core.database.write() as tx:
        await note(server, tx, by, "webhook_test", app, target=target)
    outcome = await send(server.core.get(Outgoing), definition, target, found, message, now_ms)
    return {
        "target": target,
        "delivered": not outcome.error,
        "status": outcome.status,
        "error": outcome.error,
        "answer": outcome.answer,
        "id": message.id,
    }


@action(Right.JOBS_RUN, "POST /apps/{app}/webhooks/targets/{target}/enable")
async def webhook_enable(server: Server, app: str, target: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Tell a target again that was disabled. What has failed meanwhile is for `webhook_replay`."""
    _target(app_of(server, app), target)
    async with server.core.database.write() as tx:
        await tx.run(deliveries.ENABLE, app=app, target=target)
        await note(server, tx, by, "webhook_enable", app, target=target)
    return {"target": target, "state": "ok"}


ACTIONS = (
    webhook_list,
    webhook_deliveries,
    webhook_show,
    webhook_replay,
    webhook_test,
    webhook_enable,
)


async def _find(
    tx: Transaction,
    app: str,
    most: int,
    after: str,
    since_ms: int | None,
    until_ms: int | None,
    equal: dict[str, str] | None,
    *,
    oldest: bool = False,
) -> Sequence[Row]:
    equal = columns_of(equal, FILTERS)
    if equal.get("state", PENDING) not in STATES:
        raise Refused(f"the state is one of {', '.join(STATES)}")
    picked: dict[str, Any] = {"after": after, "since_ms": since_ms, "until_ms": until_ms, "oldest": oldest}
    picked |= equal
    return await deliveries.timeline.find(tx, app, most, **picked)


async def _one(tx: Transaction, app: str, delivery: str) -> Row:
    row = await tx.one(ONE, app=app, delivery=delivery)
    if row is None:
        raise Refused(f"app {app} has no delivery {delivery}; `gameserver webhook deliveries` lists them")
    return row


def _target(app: App, name: str) -> Target:
    found = app.section(WebhookSettings).outgoing.get(name)
    if found is None:
        known = ", ".join(app.section(WebhookSettings).outgoing) or "none"
        raise Refused(f"app {app.id} declares no target {name!r} in [webhooks.outgoing]; there are: {known}")
    return found
