"""Sending: to players at once, to one of them at a time, to all; the rest is work without a packet.

Devices are looked up when a notification is due. For each a delivery is stored, in parts of a bounded size; a
part is one piece of work, in the lane of its provider and app.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from gameserver.apps import App
from gameserver.domain.push import storage
from gameserver.domain.push.content import Content, of_template
from gameserver.domain.push.delivering import DELIVER
from gameserver.domain.push.providers import Provider, provider_of
from gameserver.domain.push.settings import PushSettings
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.storage import Row, Transaction
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

PART_MAX = 500  # devices
STEP_MAX = 4 * PART_MAX  # of a push to all, in one transaction


async def send(
    tx: Transaction,
    app: App,
    push_id: str,
    sender_id: str,
    profile_ids: Collection[str],
    content: Content,
    now_ms: int,
) -> int:
    """Send a notification to players; returns for how many devices. `sender_id`: empty for the app."""
    found = await tx.all(storage.DEVICES_OF, app=app.id, profiles=sorted(set(profile_ids)))
    if found:
        await _store(tx, app, push_id, sender_id, "", storage.IN_HAND, content, now_ms, now_ms)
        await _deliver(tx, app, push_id, found, now_ms)
    return len(found)


async def schedule(
    tx: Transaction,
    app: App,
    push_id: str,
    sender_id: str,
    receiver_id: str,
    content: Content,
    now_ms: int,
    due_ms: int,
) -> None:
    """Send a notification to a player at a time, to the devices that they have then."""
    await _store(tx, app, push_id, sender_id, receiver_id, storage.SCHEDULED, content, now_ms, due_ms)
    await enqueue(tx, BEGIN, push_id, {"app": app.id, "push": push_id}, at_ms=due_ms, lane=app.id)


async def send_to_all(
    tx: Transaction, app: App, push_id: str, sender_id: str, content: Content, now_ms: int
) -> None:
    """Send a notification to every device of an app."""
    await _store(tx, app, push_id, sender_id, "", storage.TO_ALL, content, now_ms, now_ms)
    await enqueue(tx, BEGIN, push_id, {"app": app.id, "push": push_id}, at_ms=now_ms, lane=app.id)


async def send_template(
    tx: Transaction,
    app_id: str,
    push_id: str,
    profile_ids: Sequence[str],
    template: int,
    values: dict[str, str],
    now_ms: int,
) -> list[str]:
    """Send a template to players, for who does not know the app's definition; returns who has a device."""
    found = await tx.all(storage.DEVICES_OF, app=app_id, profiles=sorted(set(profile_ids)))
    reached = sorted({row["profile_id"] for row in found})
    for start in range(0, len(reached), PART_MAX):
        payload = {
            "app": app_id,
            "push": push_id,
            "to": reached[start : start + PART_MAX],
            "template": template,
            "values": values,
        }
        await enqueue(tx, BEGIN, f"{push_id}/{start}", payload, at_ms=now_ms, lane=app_id)
    return reached


async def begin(run: JobRun) -> None:
    """Make the deliveries of a notification that is due."""
    if "template" in run.payload:
        await _begin_template(run)
        return
    while True:
        async with run.database.write() as tx:
            app = _app(run.apps, run.payload["app"])
            push = await tx.one(storage.READ, app=run.payload["app"], push=run.payload["push"])
            if push is None or app is None or not await _step(tx, app, push, run.now_ms):
                await run.done(tx)
                return
            if run.is_over:
                await run.done(tx)
                await enqueue(tx, BEGIN, run.key, run.payload, at_ms=run.now_ms, lane=run.payload["app"])
                return


async def _step(tx: Transaction, app: App, push: Row, now_ms: int) -> bool:
    """Make the next deliveries; True when there may be more."""
    push_id, reached = push["push_id"], push["reached"]
    if push["state"] == storage.TO_ALL:
        found = await tx.all(storage.ALL_DEVICES, app=app.id, after=reached, most=STEP_MAX)
    else:
        found = await tx.all(storage.DEVICES_OF, app=app.id, profiles=[push["receiver_id"]])
    is_more = push["state"] == storage.TO_ALL and len(found) == STEP_MAX
    state = storage.TO_ALL if is_more else storage.IN_HAND
    reached = found[-1]["device"] if found else reached
    await tx.run(storage.SET_STATE, app=app.id, push=push_id, new_state=state, now_reached=reached)
    await _deliver(tx, app, push_id, found, now_ms)
    return is_more


async def _begin_template(run: JobRun) -> None:
    payload, now_ms = run.payload, run.now_ms
    app = _app(run.apps, payload["app"])
    template = None if app is None else app.section(PushSettings).templates.get(str(payload["template"]))
    content = None
    if app is not None and template is not None:
        try:
            content = of_template(template, app.default_language, payload["values"])
        except GameError as error:  # what the app says cannot be sent, now or later
            log.warning("push_template_refused", app=app.id, template=payload["template"], reason=str(error))
    async with run.database.write() as tx:
        if app is not None and content is not None:
            push_id = f"{payload['push'][:24]}{run.key.rpartition('/')[2]:>012}"
            await send(tx, app, push_id, "", payload["to"], content, now_ms)
        await run.done(tx)


BEGIN = Job("pushNotification.begin", begin, at_once=64, at_once_in_lane=32)


async def _store(
    tx: Transaction,
    app: App,
    push_id: str,
    sender_id: str,
    receiver_id: str,
    state: str,
    content: Content,
    now_ms: int,
    due_ms: int,
) -> None:
    await tx.defer(
        storage.ADD,
        push_id=push_id,
        app_id=app.id,
        sender_id=sender_id,
        receiver_id=receiver_id,
        state=state,
        content=msgspec.json.encode(content).decode(),
        reached="",
        targets=None,
        created_ms=now_ms,
        due_ms=due_ms,
    )


async def _deliver(tx: Transaction, app: App, push_id: str, found: Sequence[Row], now_ms: int) -> None:
    settings = app.section(PushSettings)
    by_provider: dict[Provider, list[dict[str, Any]]] = {}
    for row in found:
        provider = provider_of(settings, row["kind"], row["token"])
        nobody = provider is Provider.NONE
        by_provider.setdefault(provider, []).append(
            {
                "push_id": push_id,
                "device": row["device"],
                "app_id": app.id,
                "profile_id": row["profile_id"],
                "kind": row["kind"],
                "provider": provider,
                "state": storage.NOT_SENT if nobody else storage.WAITING,
                "reason": "NotConfigured" if nobody else "",
                "tries": 0,
                "ready_ms": now_ms,
                "created_ms": now_ms,
                "ended_ms": now_ms if nobody else 0,
            }
        )
    for provider, rows in sorted(by_provider.items()):
        for part, some in _parts(rows):
            await tx.run_many(storage.ADD_DELIVERIES, [{**row, "part": part} for row in some])
            if provider is not Provider.NONE:
                payload = {"app": app.id, "push": push_id, "provider": provider, "part": part}
                key, lane = f"{push_id}/{provider}/{part}", f"{app.id}/{provider}"
                await enqueue(tx, DELIVER, key, payload, at_ms=now_ms, lane=lane)


def _parts(rows: list[dict[str, Any]]) -> Iterable[tuple[int, list[dict[str, Any]]]]:
    """Split deliveries; a part's number comes from its first device, so that each step has its own."""
    for start in range(0, len(rows), PART_MAX):
        some = rows[start : start + PART_MAX]
        yield int(some[0]["device"][:7], 16), some


def _app(apps: Iterable[App], app_id: str) -> App | None:
    return next((app for app in apps if app.id == app_id), None)
