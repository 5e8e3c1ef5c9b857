"""Delivering a part of a notification: in bounded steps, each noted before the next one begins.

Of what was sent when a process is killed, no more than the last step may be sent again, at most `STEP`
notifications of a part: with the same `apns-id` and collapse id, tag or topic, so that a device that got it
shows it once.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import structlog

from gameserver.apps import App
from gameserver.domain.push import storage
from gameserver.domain.push.content import Content
from gameserver.domain.push.providers import Meaning, Notification, Outcome, Provider, Providers
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players.app_log import AppLog
from gameserver.storage import Row, Transaction

log = structlog.get_logger(__name__)

STEP = 32  # notifications that are on their way at the same time
TRIES_MAX = 8  # for one device; while the provider takes nothing at all, its time alone counts
FIRST_PAUSE_SECONDS = 2.0
PAUSE_SECONDS_MAX = 900.0
BROKEN_SECONDS = 300.0  # until credentials that are not accepted are tried again
GIVEN_UP_MS = round(timedelta(days=1).total_seconds() * 1000)  # after which nobody wants to read it any more
FACE = "pushNotification"
_READ = msgspec.json.Decoder(Content).decode


async def deliver(run: JobRun) -> None:
    """Deliver what is ready of a part; what has to wait comes with another piece of work."""
    payload, providers = run.payload, run.get(Providers)
    provider = Provider(payload["provider"])
    this = {"app": payload["app"], "push": payload["push"]}
    part = {**this, "by_provider": provider, "of_part": payload["part"]}
    app = next((app for app in run.apps if app.id == payload["app"]), None)
    async with run.database.read() as tx:
        push = await tx.one(storage.READ, **this)
    if app is None or push is None:  # its sender is gone, or the app
        await _end(run, part, storage.NOT_SENT, "Withdrawn")
        return
    if run.now_ms - push["due_ms"] > GIVEN_UP_MS:
        await _end(run, part, storage.FAILED, "TooLate")
        return
    content = _READ(push["content"])
    while not run.is_over and providers.paused_until(app, provider) <= run.now_ms:
        async with run.database.read() as tx:
            rows = await tx.all(storage.READY, **part, now_ms=run.now_ms, most=STEP)
        if not rows:
            break
        await _send(run, app, provider, payload["push"], content, rows)
    await _go_on(run, app, provider, part)


async def _go_on(run: JobRun, app: App, provider: Provider, part: dict[str, object]) -> None:
    async with run.database.write() as tx:
        row = await tx.one(storage.NEXT, **part)
        await run.done(tx)
        if row is not None and row[0] is not None:
            at_ms = max(row[0], run.get(Providers).paused_until(app, provider), run.now_ms)
            lane = f"{app.id}/{provider}"
            await enqueue(tx, DELIVER, run.key, run.payload, at_ms=at_ms, lane=lane)


async def _end(run: JobRun, part: dict[str, object], state: str, reason: str) -> None:
    async with run.database.write() as tx:
        await tx.run(storage.END_PART, **part, new_state=state, new_reason=reason, end_ms=run.now_ms)
        await run.done(tx)


async def _send(
    run: JobRun, app: App, provider: Provider, push_id: str, content: Content, rows: Sequence[Row]
) -> None:
    """Send to some devices at the same time, and note what became of it."""
    providers, began_ms = run.get(Providers), run.now_ms

    async def one(row: Row) -> Outcome:
        if row["token"] is None:
            return Outcome(Meaning.REFUSED, "NoDevice")
        language = row["language_code"] or app.default_language
        note = Notification(app, push_id, row["device"], row["kind"], row["token"], language, content)
        try:
            return await providers.send(provider, note)
        except Exception:  # our fault, and of this one alone: what became of the others is noted
            log.exception("push_failed", app=app.id, provider=str(provider), kind=row["kind"])
            return Outcome(Meaning.LATER, "InternalError")

    outcomes = await asyncio.gather(*(one(row) for row in rows))
    now_ms, answered = run.now_ms, list(zip(rows, outcomes, strict=True))

    async def record(tx: Transaction) -> None:
        this = {"app": app.id, "push": push_id}
        await tx.run_many(storage.ENDED, [this | _ended(row, outcome, now_ms) for row, outcome in answered])
        for row, outcome in answered:
            if outcome.meaning is Meaning.GONE:
                until = began_ms if outcome.gone_ms is None else min(outcome.gone_ms, began_ms)
                await tx.run(storage.FORGET_DEVICE, app=app.id, of_device=row["device"], until=until)

    await run.database.transact(record)
    for row, outcome in answered:
        if outcome.meaning in (Meaning.PAUSE, Meaning.BROKEN):
            pause = _pause(outcome, row["tries"])
            providers.pause(app, provider, now_ms + round(pause * 1000))
        if outcome.meaning in (Meaning.BROKEN, Meaning.BAD_TOKEN):
            alarm(run, app, provider, outcome)


def _ended(row: Row, outcome: Outcome, now_ms: int) -> dict[str, object]:
    ended = {
        "of_device": row["device"],
        "new_reason": outcome.reason[: storage.REASON_MAX],
    }
    match outcome.meaning:
        case Meaning.SENT:
            return {**ended, "new_state": storage.SENT, "again_ms": 0, "end_ms": now_ms}
        case Meaning.PAUSE | Meaning.LATER | Meaning.BROKEN if (
            outcome.meaning is Meaning.PAUSE or row["tries"] + 1 < TRIES_MAX
        ):
            again_ms = now_ms + round(_pause(outcome, row["tries"]) * 1000)
            return {**ended, "new_state": storage.WAITING, "again_ms": again_ms, "end_ms": 0}
        case Meaning.REFUSED if outcome.reason in ("NoDevice", "NotConfigured", "NoContent"):
            return {**ended, "new_state": storage.NOT_SENT, "again_ms": 0, "end_ms": now_ms}
    return {**ended, "new_state": storage.FAILED, "again_ms": 0, "end_ms": now_ms}


def _pause(outcome: Outcome, tries: int) -> float:
    """For how long to wait: longer each time, and at least as the provider says."""
    if outcome.meaning is Meaning.BROKEN:
        return BROKEN_SECONDS
    longer = float(min(FIRST_PAUSE_SECONDS * 2 ** min(tries, 16), PAUSE_SECONDS_MAX))
    return max(outcome.seconds, longer)


def alarm(run: JobRun, app: App, provider: Provider, outcome: Outcome) -> None:
    """Tell the operator and the app's log that the settings seem to be wrong; not for each notification."""
    if not run.get(Providers).is_news(app, provider, outcome.reason):
        return
    log.warning("push_settings_wrong", app=app.id, provider=str(provider), reason=outcome.reason)
    run.get(AppLog).note(
        app,
        "error",
        f"{provider} does not accept notifications as the app is set up: {outcome.reason}",
        {"provider": str(provider), "reason": outcome.reason},
        face=FACE,
        source=str(provider),
    )


DELIVER = Job("pushNotification.deliver", deliver, seconds_max=90.0, at_once=128, at_once_in_lane=64)
