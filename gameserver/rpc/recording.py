"""The answers of packets: kept in the transaction they tell of, and given again to repeats."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gameserver.apps import LiveApps
from gameserver.rpc.answer_template import RowNeeded, TemplateRow
from gameserver.rpc.context import Context
from gameserver.rpc.effects import Cause, Effects, Ending, Switch, end, switch
from gameserver.rpc.last import Last
from gameserver.rpc.runner import Outcome, PacketFailed
from gameserver.sessions import Ended, Session
from gameserver.storage import Aborted, CommitUnknown, Transaction, answers
from gameserver.wire import errors, json
from gameserver.wire.packet import bundle, success

ANSWER_BYTES_IN_REDIS = 4096  # larger answers of packets that wrote are read back from SQL


class Repeated(Exception):
    """Another run of the packet was committed: its answer is the packet's."""

    def __init__(self, stored: answers.StoredAnswer) -> None:
        super().__init__()
        self.stored = stored


class PacketRecord(msgspec.Struct, eq=False):
    """The record of one packet of a session, which the digest names."""

    _ctx: Context
    _digest: str
    _packet_id: int
    _body_hash: str
    closing: Callable[[], Awaitable[None]] | None = None

    @property
    def stored_ms(self) -> int:
        """The time from which on the answer is kept."""
        return self._ctx.now_ms

    # While it runs; see `runner.Record`

    async def commit_with_answer(
        self, tx: Transaction, last: Last[Any], entries: list[bytes], effects: Effects
    ) -> bytes | None:
        """Run a statement that is the whole transaction, and have it store the answer, which has blanks."""
        if self.closing is not None or not tx.takes_only or effects.endings or effects.switch is not None:
            return None
        row = TemplateRow(last.statement, last.known)
        try:
            entry = success(json.encode(last.reply(row)))
            columns, texts = row.split(bundle(self._packet_id, [*entries, entry], effects.events))
        except RowNeeded:
            return None
        answer = await answers.commit_with_answer(
            tx,
            last.statement,
            last.params,
            columns,
            texts,
            self._digest,
            self._packet_id,
            self._body_hash,
            self.stored_ms,
        )
        if answer is None:
            raise await last.missing()
        return answer

    async def keep(self, tx: Transaction, entries: list[bytes], effects: Effects) -> bytes:
        """Store the answer, and beside it what a crash must not make forgotten.

        Without the id of a session that the packet opens: who repeats the packet when only the database
        still knows the answer logs in again.
        """
        answer = bundle(self._packet_id, entries, effects.events)
        stored = answer
        if effects.opening is not None:  # a copy of the database must open no account
            stored = answer.replace((effects.opening.session.session_id or "").encode(), b"")
        note = _note_text(effects)
        await answers.store(tx, self._digest, self._packet_id, self._body_hash, stored, note, self.stored_ms)
        return answer

    async def store(self, outcome: Outcome) -> None:
        """Store the answer by itself, when what it tells of is committed. Raises what `look_again` does."""

        async def work(tx: Transaction) -> None:
            outcome.answer = await self.keep(tx, outcome.entries, self._ctx.effects)

        await self._ctx.core.database.transact(work, between=self.look_again)

    async def look_again(self, reason: Aborted | CommitUnknown) -> None:
        """See whether the packet is to run once more after its transaction has failed.

        Raises `Repeated` when it has been committed, `OutdatedPacket` when the session has gone on, and
        `Aborted` when a run of it was committed whose answer is gone.
        """
        fenced = answers.is_fenced(reason)
        if not fenced and not isinstance(reason, CommitUnknown):
            return
        stored = await self.find()
        if stored is not None:
            raise Repeated(stored)
        if fenced:
            if await self._is_passed():
                raise errors.OutdatedPacket("the session has gone on to a later packet") from reason
            raise Aborted("the packet was run twice, and its answer is gone") from reason

    async def settle(self, outcome: Outcome) -> None:
        """Store a refusal, where the claim may be forgotten; raise what `look_again` does.

        No fence stops what writes nothing. Without its claim a copy of the packet runs beside this one: who
        leaves a group twice is refused the second time, and who could not pay at first can later.
        """
        if not self._ctx.core.sessions.may_forget:
            return
        if outcome.refused is not None:
            await self.store(outcome)
            outcome.wrote = True
        elif (stored := await self.find()) is not None:
            raise Repeated(stored)

    # Afterwards

    async def finish(self, session: Session, outcome: Outcome) -> bytes:
        """Do what follows the commit, and keep the answer with the session; returns it.

        Raises `PacketFailed` when another run of the packet, that wrote nothing, was faster.
        """
        ctx, effects = self._ctx, self._ctx.effects
        answer = outcome.answer
        if answer is None:
            answer = bundle(self._packet_id, outcome.entries, effects.events)
        if effects.switch is not None:
            await effects.switch_session(session, ctx.by)
            if not effects.endings:
                await self.note_done()
        if effects.endings:
            ended = await effects.end_sessions(ctx.by, self._cause(answer))
            if outcome.wrote:
                await self.note_done()
            if self._digest in ended:
                await effects.run_outbox()
                return answer
        kept = None if outcome.wrote and len(answer) > ANSWER_BYTES_IN_REDIS else answer
        finished = self._ctx.core.sessions.finish(session, self._packet_id, kept)
        if outcome.wrote and effects.outbox:  # what goes to Redis as well travels with it
            try:
                await effects.run_outbox()
            finally:
                await finished
            return answer
        if not await finished and not outcome.wrote and not await self._is_passed():
            raise PacketFailed("another copy of the packet was answered first")
        if effects.outbox:
            await effects.run_outbox()
        return answer

    async def _is_passed(self) -> bool:
        """Tell whether the session has gone on or has ended: no copy of this packet is answered now."""
        found = await self._ctx.core.sessions.peek_digest(self._digest)
        if isinstance(found, Ended):
            return found.reason != "unknown"
        return found.last_packet_id > self._packet_id

    def _cause(self, answer: bytes) -> Cause:
        return Cause(self._digest, self._packet_id, self._body_hash, answer)

    async def note_done(self) -> None:
        """Note that what the note asks for has been done."""
        async with self._ctx.core.database.write() as tx:
            await answers.note_done(tx, self._digest, self._packet_id)

    # Repeats

    async def find(self) -> answers.StoredAnswer | None:
        """Return the committed answer of this very packet, after doing what its note still asks for."""
        async with self._ctx.core.database.read() as tx:
            stored = await answers.find(tx, self._digest, self._packet_id)
        if stored is None or stored.body_hash != self._body_hash:
            return None
        if stored.note is not None:
            ctx, note = self._ctx, _read_note(stored.note)
            if isinstance(note, list):
                note = _Note(note)
            if note.switch is not None:
                session = await self._ctx.core.sessions.peek_digest(self._digest)
                if isinstance(session, Session):
                    core = ctx.core
                    await switch(core.sessions, core.endings, ctx.app, session, note.switch, ctx.by)
            await end(
                self._ctx.core.endings,
                self._ctx.core.get(LiveApps),
                ctx.app,
                note.endings,
                ctx.by,
                self._cause(stored.answer),
            )
            await self.note_done()
        return stored

    async def replay(self, session: Session, stored: answers.StoredAnswer) -> bytes:
        """Answer a repeat that has claimed the packet once more."""
        if stored.note is None:
            kept = stored.answer if len(stored.answer) <= ANSWER_BYTES_IN_REDIS else None
            await self._ctx.core.sessions.finish(session, self._packet_id, kept)
        return stored.answer


class _Note(msgspec.Struct):
    """What a crash must not make forgotten. A list of ends is one as well, and all that most need."""

    endings: list[Ending]
    switch: Switch | None = None


_read_note = msgspec.json.Decoder(list[Ending] | _Note).decode


def _note_text(effects: Effects) -> str | None:
    if effects.switch is not None:
        return json.encode(_Note(effects.endings, effects.switch)).decode()
    return json.encode(effects.endings).decode() if effects.endings else None
