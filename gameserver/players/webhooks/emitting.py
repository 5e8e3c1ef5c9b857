"""Telling that something has happened: a delivery for each target that wants it, in the same transaction."""

import secrets

from gameserver.apps import App
from gameserver.jobs import enqueue, hasten
from gameserver.players.webhooks import deliveries
from gameserver.players.webhooks.deliveries import NEVER_TRIED
from gameserver.players.webhooks.delivering import DELIVER
from gameserver.players.webhooks.events import EventData
from gameserver.players.webhooks.settings import WebhookSettings
from gameserver.storage import Transaction
from gameserver.storage.timeline import first_id
from gameserver.wire import json


def is_wanted(app: App, event: type[EventData]) -> bool:
    """Tell whether a target of the app wants an event, for who can do something in a cheaper way if not."""
    return bool(app.section(WebhookSettings).targets(event.event))


def new_event_id(now_ms: int) -> str:
    """Return an id for an event, for who may have to tell it again after a commit of unknown outcome."""
    return f"{first_id(now_ms)}{secrets.token_hex(8)}"


async def emit(
    tx: Transaction, app: App, event: EventData, now_ms: int, *, name: str = "", event_id: str = ""
) -> None:
    """Have all targets of the app told that want it: exactly if this transaction is committed.

    `name` is that of an event which the app has declared; what has been told under an `event_id` is not told
    again. Where no target wants it, nothing is done; else it costs two statements for each target, which
    travel with others.
    """
    name = name or event.event
    targets = app.section(WebhookSettings).targets(name)
    if not targets:
        return
    event_id = event_id or new_event_id(now_ms)
    row = {"event": name, "profile_id": event.profile_id, "data": json.encode_free(event).decode()}
    for target in targets:
        delivery = f"{event_id}/{target}"
        await tx.defer(
            deliveries.ADD, app_id=app.id, id=delivery, target=target, at_ms=now_ms, **row, **NEVER_TRIED
        )
    for target in targets:
        await enqueue_delivery(tx, app.id, f"{event_id}/{target}", target, now_ms)


async def replay(tx: Transaction, app_id: str, delivery: str, target: str, now_ms: int) -> None:
    """Have a stored delivery sent now, once more or for the first time, under the same id."""
    await tx.defer(deliveries.AGAIN, app=app_id, delivery=delivery)
    await enqueue_delivery(tx, app_id, delivery, target, now_ms)
    await hasten(tx, DELIVER, delivery, now_ms=now_ms)


async def enqueue_delivery(tx: Transaction, app_id: str, delivery: str, target: str, now_ms: int) -> None:
    """Have a delivery sent that is stored."""
    await enqueue(tx, DELIVER, delivery, {"app": app_id}, at_ms=now_ms, lane=f"{app_id}/{target}")
