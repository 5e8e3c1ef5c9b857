"""Sending letters, the mail of tournaments, and a player's life."""

import asyncio
from uuid import NAMESPACE_OID, uuid5

import msgspec
import structlog

from gameserver.apps import App
from gameserver.domain.social import notices
from gameserver.domain.social.notices import TOURNAMENT_OVER, TournamentOver
from gameserver.jobs import Job, JobRun, enqueue, forget
from gameserver.players import unsubscribing
from gameserver.players.links import PublicUrl
from gameserver.players.mail import Letter, Mail, MailNotSent, MailRefused
from gameserver.services.mail import storage
from gameserver.services.mail.base import Stored, service, write
from gameserver.storage import Row, Transaction

log = structlog.get_logger(__name__)

TRIES_MAX = 10
_READ = msgspec.json.Decoder(Stored).decode


async def send(run: JobRun) -> None:
    """Send a letter, and note what became of it.

    A process that is killed in between may send it twice, with the same Message-ID, by which mail servers and
    programs know that it is the same.
    """
    where = {"app": run.payload["app"], "letter": run.payload["letter"]}
    app = next((app for app in run.apps if app.id == where["app"]), None)
    async with run.database.read() as tx:
        row = await tx.one(storage.READ, **where)
    if app is None or row is None:
        await _end(run, where, storage.NOT_SENT, "Withdrawn")
        return
    to = row["contact_email"] if row["receiver_id"] else row["address"]
    if not to:
        await _end(run, where, storage.NOT_SENT, "NoAddress")
        return
    try:
        letter = await _letter(run, app, row, to)
        if letter is None:
            await _end(run, where, storage.NOT_SENT, "Unsubscribed")
            return
        await run.get(Mail).send(app, letter)
    except MailRefused as error:
        log.info("mail_refused", app=app.id, letter=where["letter"], reason=str(error))
        await _end(run, where, storage.FAILED, "Refused")
    except MailNotSent:
        if row["tries"] + 1 >= TRIES_MAX:
            await _end(run, where, storage.FAILED, "NotTaken")
            return
        async with run.database.write() as tx:
            await tx.run(storage.TRIED, **where, new_reason="NotTaken")
        raise
    else:
        await _end(run, where, storage.SENT, "")


async def _letter(run: JobRun, app: App, row: Row, to: str) -> Letter | None:
    """Write a letter; None where the address wants none. Copies go only to who wants them."""
    stored = _READ(row["content"])
    known = {"name": row["name"] or "", "language": row["language_code"] or app.default_language}
    letter = await asyncio.to_thread(
        write, app, to, stored, row["language_code"] or app.default_language, known
    )
    params = stored.params
    async with run.database.write() as tx:
        mailbox = await unsubscribing.mailbox(tx, app, to, run.now_ms)
        if mailbox.is_unsubscribed:
            return None
        letter.cc = await _wanted(tx, app, (params and params.cc) or [], run.now_ms)
        letter.bcc = await _wanted(tx, app, (params and params.bcc) or [], run.now_ms)
    letter.unsubscribe_url = unsubscribing.link(run.get(PublicUrl).text, app, mailbox.token)
    letter.message_id = row["letter_id"]
    return letter


async def _wanted(tx: Transaction, app: App, addresses: list[str], now_ms: int) -> list[str]:
    return [
        address
        for address in addresses
        if not (await unsubscribing.mailbox(tx, app, address, now_ms)).is_unsubscribed
    ]


async def _end(run: JobRun, where: dict[str, str], state: str, reason: str) -> None:
    async with run.database.write() as tx:
        await tx.run(storage.END, **where, new_state=state, new_reason=reason, end_ms=run.now_ms)
        await run.done(tx)


SEND = Job("mail.send", send, seconds_max=300.0, at_once=8, at_once_in_lane=4, expected=(MailNotSent,))
service.runs(
    SEND,
    forget("mail.forget", storage.EXPIRY, storage.KEPT_MS),
    forget("mail.forgetAddresses", unsubscribing.EXPIRY, unsubscribing.KEPT_MS),
)


@service.on(TOURNAMENT_OVER)
async def tell_of_tournament(tx: Transaction, over: TournamentOver) -> list[str]:
    """Mail players, or the members of groups, the template that the tournament names when it is over."""
    if not over.mail or not over.member_ids:
        return []
    of_member = await notices.players_of(tx, over)
    everybody = sorted({profile_id for profile_ids in of_member.values() for profile_id in profile_ids})
    rows = await tx.all(storage.MAILBOXES, app=over.app_id, profiles=everybody)
    values = {"leaderboardId": over.board_id}
    content = msgspec.json.encode(Stored(templates=dict(over.mail), values=values)).decode()
    mailed = {row["profile_id"] for row in rows}
    for row in rows:
        name = f"{over.app_id}/{over.board_id}/{over.version}/{over.code}/{row['profile_id']}"
        letter_id = str(uuid5(NAMESPACE_OID, name))
        await tx.defer(
            storage.ADD,
            app_id=over.app_id,
            letter_id=letter_id,
            sender_id="",
            receiver_id=row["profile_id"],
            address=None,
            content=content,
            state=storage.WAITING,
            reason="",
            tries=0,
            created_ms=over.now_ms,
            ended_ms=0,
        )
        payload = {"app": over.app_id, "letter": letter_id}
        await enqueue(tx, SEND, letter_id, payload, at_ms=over.now_ms, lane=over.app_id)
    return [member for member, profile_ids in of_member.items() if not mailed.isdisjoint(profile_ids)]


# A player's life

service.keeps(storage.KEPT)
