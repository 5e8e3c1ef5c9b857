"""The life of a packet: admit, run, commit, answer.

A packet of a session runs once. Its effects and its answer are committed in one SQL transaction; a repeat
of the packet gets that answer, whichever process it reaches and whatever crashed in between.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Update

from gameserver.apps import App
from gameserver.players.audit import Kind
from gameserver.rpc import locks, metrics
from gameserver.rpc.blanks import Blanks, CannotTell
from gameserver.rpc.context import (
    SERVER_PROFILE_ID,
    Caller,
    Concluded,
    Context,
    Core,
    Ending,
    NoRow,
    Origin,
    session_error,
)
from gameserver.rpc.registry import Registry
from gameserver.rpc.running import PacketFailed, Runs, Superseded, Waiter
from gameserver.rpc.service import Access, Operation, Tx
from gameserver.sessions import (
    Admitted,
    Ended,
    Full,
    NewSession,
    Opened,
    OtherApp,
    Outdated,
    RateLimited,
    Replay,
    Reused,
    Running,
    Session,
    SessionsUnavailable,
)
from gameserver.storage import (
    Aborted,
    CommitUnknown,
    QueryTooSlow,
    StorageError,
    Transaction,
    answers,
)
from gameserver.wire import errors, json
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message, Packet, bundle, refusal, refuse_all, success

log = structlog.get_logger(__name__)

T = TypeVar("T")

TRIES_MAX = 5  # of a packet that the database aborts
BACKOFF_SECONDS = 0.01
ANSWER_BYTES_IN_REDIS = 4096  # larger answers of packets that wrote are read back from SQL


class OtherAppNeeded(Exception):
    """The packet's session belongs to another app than the one its signature was checked against."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class _RolledBack(Exception):
    """The packet's only message was refused after it had written: nothing stays."""

    def __init__(self, entries: list[bytes]) -> None:
        super().__init__()
        self.entries = entries


class _NeedsSavepoints(Exception):
    """A message was refused after it had written: run the packet again, with a savepoint for each message."""


class Packets:
    """Runs packets for every face that speaks in packets."""

    records = True  # whether answers are stored for repeats

    def __init__(self, core: Core, registry: Registry) -> None:
        self.core = core
        self.registry = registry
        self.runs = Runs(core.sessions)

    # Admit

    async def answer(
        self,
        packet: Packet,
        body_hash: str,
        app: App,
        origin: Origin,
        waiter: Waiter,
        *,
        caller: Caller = Caller.CLIENT,
    ) -> tuple[bytes, Session | None]:
        """Answer a packet whose signature was checked against `app`; also tells the session it belongs to.

        Raises `Superseded` when another connection gets the answer, `errors.PacketInProgress` when the packet
        runs elsewhere, `OtherAppNeeded` when its session belongs to another app, and `PacketFailed` when it
        may be repeated.
        """
        ctx = Context(self.core, app, origin, caller=caller)
        ctx.packet_id = packet.packet_id
        try:
            return await self._admit(ctx, packet, body_hash, waiter)
        except (Aborted, CommitUnknown) as error:
            raise PacketFailed("the database refused the packet") from error

    async def _admit(
        self, ctx: Context, packet: Packet, body_hash: str, waiter: Waiter
    ) -> tuple[bytes, Session | None]:
        plan = self._plan(packet.messages)
        if not packet.session_id or _logs_in_first(plan):
            return await self._run_unclaimed(ctx, plan), ctx.session
        admission = await self.core.sessions.admit(packet.session_id, packet.packet_id, body_hash, ctx.app.id)
        match admission:
            case Admitted(session=session, resumed=resumed):
                if resumed and self.runs.has(session, packet.packet_id):
                    # The process was out cold and its lease lapsed, but the packet still runs here.
                    return await self.runs.join(session, packet.packet_id, waiter), session
                if (
                    resumed
                    and (stored := await self._stored_answer(ctx, session.digest, body_hash)) is not None
                ):
                    return await self._replay_stored(session, ctx.packet_id, stored), session
                return await self._run_claimed(ctx, plan, packet, session, body_hash, waiter), session
            case Replay(session=session, answer=answer) if answer is not None:
                return answer, session
            case Replay(session=session):
                stored = await self._stored_answer(ctx, session.digest, body_hash)
                if stored is None:
                    raise PacketFailed("the stored answer is out of reach")
                return stored.answer, session
            case Running(session=session):
                return await self.runs.join(session, packet.packet_id, waiter), session
            case Ended(replay=answer) if answer is not None:
                return answer, None
            case Ended(reason=reason):
                return await self._run_without_session(ctx, plan, packet, body_hash, reason), None
            case OtherApp(session=session):
                raise OtherAppNeeded(session)
            case Reused(session=session):
                return _refused(
                    packet, errors.ReusedPacketId("another packet has used this packetId")
                ), session
            case Outdated(session=session):
                words = f"packetId {packet.packet_id} is below the last one, {session.last_packet_id}"
                return _refused(packet, errors.OutdatedPacket(words)), session
            case RateLimited(session=session):
                return _refused(packet, errors.RateLimited("too many packets in a minute")), session

    async def answer_server(
        self, messages: list[Message], app: App, origin: Origin, profile_id: str | None
    ) -> bytes:
        """Run messages with a server's authority, on behalf of a player if one is named. Repeats run again.

        Raises `PacketFailed` when the database gave up; nothing happened then.
        """
        ctx = Context(self.core, app, origin, caller=Caller.SERVER)
        ctx.profile_id = profile_id
        return await self._run_unclaimed(ctx, self._plan(messages))

    async def run(self, work: Callable[[Context], Awaitable[T]], app: App, origin: Origin) -> T:
        """Do what is no operation, with a server's authority: all of it, again if aborted, or nothing."""
        ctx = Context(self.core, app, origin, caller=Caller.SERVER)
        for left in range(TRIES_MAX - 1, -1, -1):
            ctx.begin()
            try:
                async with self.core.database.write() as tx:
                    ctx.use(tx)
                    done = await work(ctx)
            except Aborted:
                if not left:
                    raise
                ctx.is_retry = True
            else:
                await self._finish(ctx, None, [], "", in_sql=True)
                return done
        raise AssertionError("the last try returns or raises")

    def _plan(self, messages: list[Message]) -> list[tuple[Operation | None, Message]]:
        operations = self.registry.operations
        return [(operations.get((message.service, message.operation)), message) for message in messages]

    async def _run_claimed(
        self,
        ctx: Context,
        plan: list[tuple[Operation | None, Message]],
        packet: Packet,
        session: Session,
        body_hash: str,
        waiter: Waiter,
    ) -> bytes:
        ctx.session = session
        ctx.profile_id = session.profile_id if session.profile_id != SERVER_PROFILE_ID else None
        run = self.runs.begin(session, packet.packet_id, waiter)
        try:
            answer = await self._run(ctx, plan, body_hash)
        except BaseException:
            with contextlib.suppress(Exception):  # the claim lapses by itself
                await self.core.sessions.release(session, packet.packet_id)
            self.runs.fail(run)
            raise
        self.runs.end(run, answer)
        if run.waiter is not waiter:
            raise Superseded
        return answer

    async def _run_unclaimed(self, ctx: Context, plan: list[tuple[Operation | None, Message]]) -> bytes:
        try:
            return await self._run(ctx, plan, "")
        except (Aborted, CommitUnknown) as error:
            raise PacketFailed("the database refused the packet") from error

    async def _run_without_session(
        self,
        ctx: Context,
        plan: list[tuple[Operation | None, Message]],
        packet: Packet,
        body_hash: str,
        reason: str,
    ) -> bytes:
        """The session is gone. Its last answer may still be wanted; open operations work without one."""
        if reason == "unknown" and packet.session_id:
            digest = self.core.sessions.digest(packet.session_id)
            if (
                digest is not None
                and (stored := await self._stored_answer(ctx, digest, body_hash)) is not None
            ):
                return stored.answer
        ctx.session_error = session_error(reason)
        return await self._run_unclaimed(ctx, plan)

    # Run

    async def _run(self, ctx: Context, plan: list[tuple[Operation | None, Message]], body_hash: str) -> bytes:
        """Run the messages and commit what they wrote together with the answer."""
        prepared = await self._prepare(ctx, plan)
        level = max((operation.tx for operation, _ in plan if operation is not None), default=Tx.NONE)
        session, profile_id = ctx.session, ctx.profile_id
        if level is not Tx.WRITE:
            if level is Tx.READ:
                async with self.core.database.read() as tx:
                    entries = await self._run_messages(ctx, plan, prepared, tx)
            else:
                entries = await self._run_messages(ctx, plan, prepared, None)
            return await self._finish(ctx, session, entries, body_hash, in_sql=False)
        savepoints = False
        alone = self.records and session is not None and len(plan) == 1
        for left in range(TRIES_MAX - 1, -1, -1):
            ctx.begin()
            ctx.profile_id = profile_id
            if ctx.is_retry:  # whoever was faster commits meanwhile, and may have changed what was prepared
                await asyncio.sleep(BACKOFF_SECONDS * (TRIES_MAX - left))
                prepared = await self._prepare(ctx, plan)
            try:
                async with self.core.database.write() as tx:
                    if alone and not ctx.is_retry:
                        ctx.conclude = partial(self._conclude, tx, body_hash)
                    if len(plan) > 1:
                        await locks.take(ctx, plan, prepared, tx)
                    entries = await self._run_messages(
                        ctx, plan, prepared, tx, writing=True, savepoints=savepoints
                    )
                    wrote = tx.writes > 0
                    if wrote and session is not None and ctx.concluded is None:
                        answer = bundle(ctx.packet_id, entries, ctx.events)
                        await self._store(ctx, tx, session, body_hash, answer)
            except _RolledBack as refused:
                entries, wrote = refused.entries, False
            except _NeedsSavepoints:
                savepoints = True
                continue
            except (Aborted, CommitUnknown) as error:
                if session is not None and (answers.is_fenced(error) or isinstance(error, CommitUnknown)):
                    # Whoever committed may have died before it ended what it had to.
                    stored = await self._stored_answer(ctx, session.digest, body_hash)
                    if stored is not None:
                        return await self._replay_stored(session, ctx.packet_id, stored)
                if answers.is_fenced(error):
                    if session is not None and await self._is_passed(session, ctx.packet_id):
                        raise errors.OutdatedPacket("the session has gone on to a later packet") from error
                    raise Aborted("the packet was run twice, and its answer is gone") from error
                if not left:
                    raise
                ctx.is_retry = True
                continue
            return await self._finish(ctx, session, entries, body_hash, in_sql=wrote)
        raise Aborted("the database aborted the packet again and again")

    async def _prepare(self, ctx: Context, plan: list[tuple[Operation | None, Message]]) -> dict[int, object]:
        """Do what must not hold a lock. A refusal here is the message's answer when its turn comes."""
        prepared: dict[int, object] = {}
        for index, (operation, message) in enumerate(plan):
            if operation is None or operation.prepare is None:
                continue
            try:
                self._check_access(ctx, operation)
                prepared[index] = await operation.prepare(ctx, message.read(operation.reader))
            except GameError as error:
                prepared[index] = error
            except (StorageError, SessionsUnavailable):
                raise
            except Exception:
                log.exception("operation_failed", operation=operation.wire_name)
                prepared[index] = errors.InternalError("internal error")
        return prepared

    async def _run_messages(
        self,
        ctx: Context,
        plan: list[tuple[Operation | None, Message]],
        prepared: dict[int, object],
        tx: Transaction | None,
        *,
        writing: bool = False,
        savepoints: bool = False,
    ) -> list[bytes]:
        ctx.use(tx)
        entries: list[bytes] = []
        for index, (operation, message) in enumerate(plan):
            ctx.prepared = prepared.get(index)
            before = tx.writes if tx is not None else 0
            wanted = ctx.mark()
            try:
                if savepoints and tx is not None:
                    async with tx.savepoint():
                        entries.append(await self._run_message(ctx, operation, message))
                else:
                    entries.append(await self._run_message(ctx, operation, message))
            except GameError as error:
                entries.append(refusal(error))
                ctx.rollback_to(wanted)
                # PostgreSQL does nothing more in a transaction in which a query was cancelled.
                cancelled = isinstance(error, errors.QueryTooExpensive)
                if writing and not savepoints and tx is not None and (tx.writes != before or cancelled):
                    if len(plan) == 1:
                        raise _RolledBack(entries) from error
                    raise _NeedsSavepoints from error
            if ctx.opening is not wanted[0]:
                ctx.login_entry = index
        return entries

    async def _run_message(self, ctx: Context, operation: Operation | None, message: Message) -> bytes:
        """Run one message. Refusals and failures leave as `GameError`s, nothing else of its making does."""
        started = time.perf_counter()
        outcome = "ok"
        try:
            if operation is None:
                raise message.unknown()  # noqa: TRY301 - an outcome like any other below
            self._check_access(ctx, operation)
            if isinstance(ctx.prepared, GameError):
                raise ctx.prepared  # noqa: TRY301 - as above
            reply = await operation.handler(ctx, message.read(operation.reader))
            if ctx.concluded is not None:
                assert reply is ctx.concluded.reply, f"{operation.wire_name} goes on after its last statement"
            return success(json.encode(reply)) if reply is not None else success()
        except GameError as error:
            outcome = str(error.reason_code)
            if isinstance(error, errors.NoSession | errors.SessionExpired | errors.SessionReplaced):
                ctx.profile_id, ctx.session_error = None, error  # the rest of the packet fails alike
            raise
        except (Aborted, CommitUnknown, SessionsUnavailable, asyncio.CancelledError):
            outcome = "aborted"
            raise
        except QueryTooSlow as error:
            outcome = str(errors.QueryTooExpensive.reason_code)
            raise errors.QueryTooExpensive("the query takes too long; narrow it down") from error
        except Exception as error:
            outcome = "failed"
            log.exception("operation_failed", operation=f"{message.service}.{message.operation}")
            raise errors.InternalError("internal error") from error
        finally:
            name = operation.wire_name if operation is not None else "unknown"
            metrics.message(name, outcome, time.perf_counter() - started)

    def _check_access(self, ctx: Context, operation: Operation) -> None:
        if operation.access is Access.SERVER and ctx.caller is not Caller.SERVER:
            raise errors.NotAllowed(f"{operation.wire_name} is for servers, not for clients")
        if operation.access is Access.PLAYER or (
            operation.access is Access.SIGNED_IN and ctx.caller is not Caller.SERVER
        ):
            _ = ctx.player_id

    # Commit and answer

    async def _store(
        self, ctx: Context, tx: Transaction, session: Session, body_hash: str, answer: bytes
    ) -> None:
        note = json.encode(ctx.endings).decode() if ctx.endings else None
        await answers.store(tx, session.digest, ctx.packet_id, body_hash, answer, note, ctx.now_ms)

    async def _conclude(
        self,
        tx: Transaction,
        body_hash: str,
        ctx: Context,
        statement: Update,
        params: dict[str, Any],
        reply: Callable[[Any], T],
        known: Mapping[str, Any],
    ) -> T:
        """Run the only statement of a packet's only message together with the storing of its answer.

        The reply it returns has blanks; what the client gets is in `ctx.concluded`. Raises `CannotTell` when
        the answer needs more of the row, and `NoRow` when there was none: the packet goes on then.
        """
        if not tx.takes_only or ctx.endings or ctx.events:
            raise CannotTell
        assert ctx.session is not None, "a packet without a session has no answer to store"
        row = Blanks(statement, known)
        filled = reply(row)
        columns, texts = row.split(bundle(ctx.packet_id, [success(json.encode(filled))]))
        answer = await answers.store_with(
            tx, statement, params, columns, texts, ctx.session.digest, ctx.packet_id, body_hash, ctx.now_ms
        )
        if answer is None:
            raise NoRow
        ctx.concluded = Concluded(answer, filled)
        return filled

    async def _finish(
        self, ctx: Context, session: Session | None, entries: list[bytes], body_hash: str, *, in_sql: bool
    ) -> bytes:
        """What lives outside SQL: sessions opened and ended, the answer kept for repeats, effects set off."""
        if ctx.opening is not None and (too_late := await self._open(ctx, ctx.opening)) is not None:
            entries[ctx.login_entry] = refusal(too_late)
            ctx.events.clear()
            ctx.refusals.append((ctx.opening.profile_id, too_late))
        for profile_id, error in ctx.refusals:
            self._note(ctx, "refusal", str(error.reason_code), profile_id)
        answer = bundle(ctx.packet_id, entries, ctx.events) if ctx.concluded is None else ctx.concluded.answer
        if session is None:
            for ending in ctx.endings:
                await self.core.endings.end(
                    ctx.app,
                    ending.selector,
                    ending.reason,
                    dataclasses.replace(ctx.by, why=ending.why),
                    epoch=ending.epoch,
                )
        else:
            ended = await self._end(ctx, ctx.endings, session.digest, body_hash, answer)
            if ctx.endings and in_sql:
                await self._settle(session.digest, ctx.packet_id)
            if session.digest not in ended:
                kept = None if in_sql and len(answer) > ANSWER_BYTES_IN_REDIS else answer
                finished = self.core.sessions.finish(session, ctx.packet_id, kept)
                if in_sql and ctx.outbox:  # effects that go to Redis as well travel with it
                    try:
                        await ctx.set_off_effects()
                    finally:
                        await finished
                    return answer
                if not await finished and not in_sql and not await self._is_passed(session, ctx.packet_id):
                    raise PacketFailed("another copy of the packet was answered first")
        if ctx.outbox:
            await ctx.set_off_effects()
        return answer

    async def _is_passed(self, session: Session, packet_id: int) -> bool:
        """Tell whether the session has gone on or has ended: no copy of this packet is answered now."""
        found = await self.core.sessions.peek_digest(session.digest)
        return found.reason != "unknown" if isinstance(found, Ended) else found.last_packet_id > packet_id

    async def _open(self, ctx: Context, opening: NewSession) -> GameError | None:
        """Open the session of a login; tells why not when all sessions of the player have ended meanwhile."""
        sessions, reserved = self.core.sessions, ctx.login_limit.when_full == "refuse_newest"
        opened: Opened | Full | Session | Ended
        if reserved:
            opened = await sessions.confirm(opening.session_id or "", opening.life_seconds)
        else:
            opened = await sessions.open(opening, ctx.login_limit)
        if isinstance(opened, Ended):
            return session_error(opened.reason)
        digest = sessions.digest(opening.session_id or "") or ""
        self._note(ctx, "login", opening.facts.get("authenticationType", ""), opening.profile_id, digest)
        if isinstance(opened, Opened) and opened.dropped:
            await self.core.endings.replaced(ctx.app, opening.profile_id, opened.dropped, ctx.by)
        return None

    def _note(self, ctx: Context, kind: Kind, reason: str, profile_id: str, session: str = "") -> None:
        self.core.audit.note(
            ctx.app,
            kind,
            reason,
            face=ctx.origin.face,
            address=ctx.origin.address,
            profile_id=profile_id,
            session=session,
        )

    async def _end(
        self, ctx: Context, endings: list[Ending], digest: str, body_hash: str, answer: bytes
    ) -> set[str]:
        """End what the packet of session `digest` asked for; its answer stays with that session for repeats.

        Returns the digests of the sessions that were alive.
        """
        ended: set[str] = set()
        for ending in endings:
            ended |= set(
                await self.core.endings.end(
                    ctx.app,
                    ending.selector,
                    ending.reason,
                    dataclasses.replace(ctx.by, why=ending.why),
                    epoch=ending.epoch,
                    packet_id=ctx.packet_id,
                    body_hash=body_hash,
                    answer=answer,
                    came_by=digest,
                )
            )
        return ended

    async def _settle(self, digest: str, packet_id: int) -> None:
        async with self.core.database.write() as tx:
            await answers.note_done(tx, digest, packet_id)

    # Repeats

    async def _stored_answer(self, ctx: Context, digest: str, body_hash: str) -> answers.StoredAnswer | None:
        """The committed answer of this very packet, after doing what its note still asks for."""
        async with self.core.database.read() as tx:
            stored = await answers.find(tx, digest, ctx.packet_id)
        if stored is None or stored.body_hash != body_hash:
            return None
        if stored.note is not None:
            await self._end(ctx, _read_note(stored.note), digest, body_hash, stored.answer)
            await self._settle(digest, ctx.packet_id)
        return stored

    async def _replay_stored(self, session: Session, packet_id: int, stored: answers.StoredAnswer) -> bytes:
        if stored.note is None:
            kept = stored.answer if len(stored.answer) <= ANSWER_BYTES_IN_REDIS else None
            await self.core.sessions.finish(session, packet_id, kept)
        return stored.answer


_read_note = msgspec.json.Decoder(list[Ending]).decode


def _logs_in_first(plan: list[tuple[Operation | None, Message]]) -> bool:
    """A packet that begins with a login has no use for the session it may still carry."""
    return plan[0][1].operation == "AUTHENTICATE"


def _refused(packet: Packet, error: GameError) -> bytes:
    return refuse_all(packet.packet_id, error, len(packet.messages))
