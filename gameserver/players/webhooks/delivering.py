"""Sending deliveries: signed, guarded, tried again for days, and given up.

Each delivery is a piece of work of its own, so any process sends it. Those of a target share a lane: one that
is silent keeps no other waiting. They may arrive in any order, and more than once, under the same id.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
import structlog
from msgspec import Meta
from prometheus_client import Counter, Histogram

from gameserver.apps import App
from gameserver.jobs import Job, JobRun, forget_of_apps
from gameserver.players.app_log import AppLog
from gameserver.players.webhooks import deliveries, signing
from gameserver.players.webhooks.deliveries import ANSWER_MAX, DELIVERED, FAILED, PENDING
from gameserver.players.webhooks.settings import Target, WebhookSettings
from gameserver.storage import Row, Transaction
from gameserver.storage.timeline import DAY_MS
from gameserver.wire.outgoing import Caller, Outgoing, Unanswered
from gameserver.wire.shapes import Reply

log = structlog.get_logger(__name__)

API_VERSION = 1  # of the body
USER_AGENT = "gameserver"
FACE = "webhook"
ATTEMPTS_MAX = 27  # with the pauses of the job: about three days
PAUSE_SECONDS_MAX = 6 * 3600.0
ANSWER_BYTES_MAX = 4096
OURS = frozenset({"host", "content-type", "content-length", "user-agent", "accept", "transfer-encoding"})
SENT = Counter(
    "gameserver_webhook_attempts",
    "Calls of targets of outgoing webhooks, by outcome: delivered, failed, given_up.",
    ["app", "target", "outcome"],
)
LATE = Histogram(
    "gameserver_webhook_seconds",
    "From what happened to when a target has taken it.",
    ["app", "target"],
    buckets=(0.5, 1, 2, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 72 * 3600),
)
DISABLED = Counter("gameserver_webhook_targets_disabled", "Targets that are told no more.", ["app", "target"])


class NotDelivered(Exception):
    """The target has not taken it; it is tried again."""


class Message(NamedTuple):
    """What a target is told. `id` is that of the event, the same at every try."""

    id: str
    event: str
    at_ms: int
    data: str


class Outcome(NamedTuple):
    """What came of a try: the status, how the answer begins, and why it is none that counts."""

    status: int
    answer: str
    error: str


class Body(Reply):
    """What is posted to a target."""

    id: Annotated[str, Meta(description="The id of the event, the same at every try; also webhook-id.")]
    type: Annotated[str, Meta(description="The name of the event.")]
    timestamp: Annotated[str, Meta(description="When it happened: UTC, as 2030-01-31T12:00:00.000Z.")]
    app_id: Annotated[str, Meta(description="The app in which it happened.")]
    api_version: Annotated[int, Meta(description="Of this form. What is only added does not change it.")]
    data: Annotated[
        msgspec.Raw, Meta(description="What is told of it; `profileId` is empty where it is no player's.")
    ]


def body_of(app: App, message: Message) -> bytes:
    """Return the body, the same bytes at every try."""
    at = datetime.fromtimestamp(message.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    body = Body(
        id=message.id,
        type=message.event,
        timestamp=at.replace("+00:00", "Z"),
        app_id=app.id,
        api_version=API_VERSION,
        data=msgspec.Raw(message.data),
    )
    return msgspec.json.encode(body)


async def send(
    outgoing: Outgoing, app: App, name: str, target: Target, message: Message, now_ms: int
) -> Outcome:
    """Tell a target, once. No redirect is followed."""
    body = body_of(app, message)
    signed = signing.headers(target.secrets, message.id, now_ms // 1000, body)
    own = [*target.headers.items(), *((key, secret.value) for key, secret in target.secret_headers.items())]
    headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        *((key, value) for key, value in own if not _is_ours(key)),
        *signed,
    ]
    try:
        answer = await outgoing.exchange(
            Caller(f"{app.id}/webhook/{name}", tuple(target.networks)),
            "POST",
            target.url,
            headers=headers,
            content=body,
            seconds=target.timeout_seconds,
            bytes_max=ANSWER_BYTES_MAX,
            cut=True,
        )
    except Unanswered as error:
        return Outcome(0, "", f"no answer: {error}")
    good = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    return Outcome(answer.status, _text(answer.body), "" if good else f"it answered {answer.status}")


def _is_ours(name: str) -> bool:
    return name.lower() in OURS or name.lower().startswith("webhook-")


def _text(body: bytes) -> str:
    text = body.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text[:ANSWER_MAX]


def message_of(row: Row) -> Message:
    """Return what a stored delivery tells."""
    return Message(row["id"].partition("/")[0], row["event"], row["at_ms"], row["data"])


async def deliver(run: JobRun) -> None:
    """Try a delivery once. Raises `NotDelivered` where it is to be tried again."""
    app_id: str = run.payload["app"]
    async with run.database.read() as tx:
        row = await tx.one(deliveries.FIND, app=app_id, delivery=run.key)
    if row is None or row["state"] != PENDING:
        return
    app = next((app for app in run.apps if app.id == app_id), None)
    target = None if app is None else app.section(WebhookSettings).outgoing.get(row["target"])
    if app is None or target is None:
        await _close(run, row, Outcome(0, "", "the app declares no such target any more"), FAILED, tries=0)
    elif row["disabled_ms"] is not None:
        await _close(run, row, Outcome(0, "", "the target is disabled"), FAILED, tries=0)
    else:
        outcome = await send(run.get(Outgoing), app, row["target"], target, message_of(row), run.now_ms)
        if outcome.error:
            await _failed(run, app, target, row, outcome)
        else:
            await _close(run, row, outcome, DELIVERED)
            LATE.labels(app.id, row["target"]).observe(max(0, run.now_ms - row["at_ms"]) / 1000)
            _count(row, "delivered")


async def _close(run: JobRun, row: Row, outcome: Outcome, state: str, *, tries: int = 1) -> None:
    """Note what came of it in the end."""

    async def note(tx: Transaction) -> None:
        await _note(tx, run, row, outcome, state, tries)
        if state == DELIVERED and row["failing_since_ms"] is not None:
            await tx.run(deliveries.WORKS, **_target(row))
        await run.done(tx)

    await run.database.transact(note)


async def _failed(run: JobRun, app: App, target: Target, row: Row, outcome: Outcome) -> None:
    """Note a failure; disable the target where it is gone, or has failed for too long."""
    now_ms = run.now_ms
    since_ms = row["failing_since_ms"] or now_ms
    reason = ""
    if outcome.status == HTTPStatus.GONE:
        reason = "it answered 410 Gone"
    elif now_ms - since_ms >= target.disable_after_days * DAY_MS:
        reason = f"it has taken nothing for {target.disable_after_days} days; last: {outcome.error}"

    async def note(tx: Transaction) -> tuple[bool, bool]:
        if row["failing_since_ms"] is None:
            await _fails(tx, row, now_ms)
        disables = bool(reason) and await _disable(tx, row, since_ms, now_ms, reason)
        gives_up = disables or row["attempts"] + 1 >= ATTEMPTS_MAX
        await _note(tx, run, row, outcome, FAILED if gives_up else PENDING, 1)
        if gives_up:
            await run.done(tx)
        return disables, gives_up

    disables, gives_up = await run.database.transact(note)
    if disables:
        DISABLED.labels(app.id, row["target"]).inc()
        log.error("webhook_target_disabled", app=app.id, target=row["target"], reason=reason)
        text = f"the webhook target {row['target']} is told no more: {reason}"
        run.get(AppLog).note(app, "error", text, face=FACE, source=row["target"])
    _count(row, "given_up" if gives_up else "failed")
    if not gives_up:
        raise NotDelivered(f"{app.id}/{row['target']}: {outcome.error}")


async def _note(tx: Transaction, run: JobRun, row: Row, outcome: Outcome, state: str, tries: int) -> None:
    await tx.run(
        deliveries.TRIED,
        app=row["app_id"],
        delivery=row["id"],
        now_state=state,
        tries=tries,
        now_status=outcome.status,
        now_answer=outcome.answer,
        now_error=outcome.error,
        now_ms=run.now_ms,
    )


async def _disable(tx: Transaction, row: Row, since_ms: int, now_ms: int, reason: str) -> bool:
    new = {"now_ms": now_ms, "now_reason": reason}
    return await tx.run(deliveries.DISABLE, **_target(row), since_ms=since_ms, **new) > 0


async def _fails(tx: Transaction, row: Row, now_ms: int) -> None:
    new = {"failing_since_ms": None, "disabled_ms": None, "reason": ""}
    await tx.run(deliveries.FAILS, app_id=row["app_id"], name=row["target"], **new)
    await tx.run(deliveries.FAILS_AGAIN, **_target(row), since_ms=now_ms)


def _target(row: Row) -> dict[str, Any]:
    return {"app": row["app_id"], "target": row["target"]}


def _count(row: Row, outcome: str) -> None:
    SENT.labels(row["app_id"], row["target"], outcome).inc()


DELIVER = Job(
    "webhook.deliver",
    deliver,
    at_once=64,
    at_once_in_lane=8,
    tries_max=10
    * ATTEMPTS_MAX,  # a delivery counts its tries; those of the job include the server's own trouble
    pause_seconds_max=PAUSE_SECONDS_MAX,
    expected=(NotDelivered,),
)


def _kept_ms(app: App) -> int:
    return app.section(WebhookSettings).keep_days * DAY_MS


FORGET = forget_of_apps("webhook.forget", deliveries.timeline.expiry, _kept_ms)
