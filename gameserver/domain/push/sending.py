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
from gameserver.domain.push.delivering import DELIVER, GIVEN_UP_MS
from gameserver.domain.push.providers import Provider, provider_of
from gameserver.domain.push.settings import PushSettings
from gameserver.domain.segments import membership, refreshing
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.storage import Row, Transaction
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

PART_MAX = 500  # devices
STEP_MAX = 4 * PART_MAX  # of a push to all, in one transaction
TARGETS_MAX = 1_000_000  # that are counted
PAUSE_MS = 5000  # until it is looked again whether it is known who belongs to segments
ZONES = (
    -12.0, -11.0, -10.0, -9.5, -9.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.5, -3.0, -2.5, -2.0, -1.0,
    0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 5.75, 6.0, 6.5, 7.0, 8.0, 8.75, 9.0, 9.5, 10.0, 10.5,
    11.0, 12.0, 12.75, 13.0, 13.75, 14.0,
)  # fmt: skip
"""The time zones of the world, in hours east of UTC, in summer and in winter."""


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


class Targets(msgspec.Struct, frozen=True, omit_defaults=True):
    """For whom a notification to many is: the players of segments, or all; of one time zone, or of any."""

    segments: list[int] | None = None
    zone: float | None = None


async def send_to_many(
    tx: Transaction,
    app: App,
    push_id: str,
    content: Content,
    now_ms: int,
    due_ms: int,
    *,
    segments: Sequence[int] | None = None,
    zone: float | None = None,
) -> None:
    """Send a notification of the app's to every device, or to those of the players of segments, at a time.

    `zone`: only to players of this time zone, one of `ZONES`. Who belongs to the segments is looked up then.
    """
    targets = Targets(None if segments is None else list(segments), zone)
    state = storage.TO_ALL if segments is None else storage.TO_SEGMENTS
    await _store(tx, app, push_id, "", "", state, content, now_ms, due_ms, targets)
    await enqueue(tx, BEGIN, push_id, {"app": app.id, "push": push_id}, at_ms=due_ms, lane=app.id)


async def estimate(tx: Transaction, app: App, segments: Sequence[int] | None) -> int:
    """Count the players of segments, or all devices of an app; up to a million."""
    if segments is not None:
        return await membership.count_members(tx, app, segments, TARGETS_MAX)
    row = await tx.one(storage.COUNT_DEVICES, app=app.id, most=TARGETS_MAX)
    return 0 if row is None else int(row[0])


def zone_of(offset: float | None) -> float:
    """Return the time zone of `ZONES` that is nearest to a player's, in hours east of UTC."""
    return min(ZONES, key=lambda zone: (abs(zone - (offset or 0.0)), zone))


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
    app_id = run.payload["app"]
    while True:
        async with run.database.write() as tx:
            app = _app(run.apps, app_id)
            push = await tx.one(storage.READ, app=app_id, push=run.payload["push"])
            if push is None or app is None:
                await run.done(tx)
                return
            pause_ms = 0 if await _is_ready(tx, app, push, run.now_ms) else PAUSE_MS
            if not pause_ms and not await _step(tx, app, push, run.now_ms):
                await run.done(tx)
                return
            if pause_ms or run.is_over:
                await run.done(tx)
                at_ms = run.now_ms + pause_ms
                await enqueue(tx, BEGIN, run.key, run.payload, at_ms=at_ms, lane=app_id)
                return


async def _is_ready(tx: Transaction, app: App, push: Row, now_ms: int) -> bool:
    """Tell whether it is known who gets a notification.

    When segments have changed, that takes until all players were looked at: else a part of them would get it.
    Nobody waits for longer than a day.
    """
    is_late = now_ms - push["due_ms"] > GIVEN_UP_MS
    return push["state"] != storage.TO_SEGMENTS or is_late or await refreshing.is_whole(tx, app)


async def _step(tx: Transaction, app: App, push: Row, now_ms: int) -> bool:
    """Make the next deliveries; True when there may be more."""
    push_id, reached, state = push["push_id"], push["reached"], push["state"]
    targets = Targets() if push["targets"] is None else _read_targets(push["targets"])
    is_more = False
    if state == storage.TO_SEGMENTS:
        members = await membership.next_members(tx, app, targets.segments or [], reached, PART_MAX)
        reached, is_more = members[-1].profile_id if members else reached, len(members) == PART_MAX
        chosen = [each.profile_id for each in members if targets.zone in (None, zone_of(each.time_zone))]
        found = await tx.all(storage.DEVICES_OF, app=app.id, profiles=chosen) if chosen else []
    elif state == storage.TO_ALL:
        statement = storage.ALL_DEVICES if targets.zone is None else storage.ALL_DEVICES_AND_ZONES
        found = await tx.all(statement, app=app.id, after=reached, most=STEP_MAX)
        reached, is_more = found[-1]["device"] if found else reached, len(found) == STEP_MAX
        if targets.zone is not None:
            found = [row for row in found if zone_of(row["time_zone_offset"]) == targets.zone]
    else:
        found = await tx.all(storage.DEVICES_OF, app=app.id, profiles=[push["receiver_id"]])
    state = state if is_more else storage.IN_HAND
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


_read_targets = msgspec.json.Decoder(Targets).decode
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
    targets: Targets | None = None,
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
        targets=None if targets is None else msgspec.json.encode(targets).decode(),
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
