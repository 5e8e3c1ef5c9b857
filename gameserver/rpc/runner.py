"""Runs messages: in order, in one transaction, and commits what they wrote.

It knows nothing of sessions, packetIds and stored answers. What claims packets, keeps their answers and gives
them again is wrapped around it (see `packets`).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from gameserver.apps import App
from gameserver.players.quotas import QuotaSettings
from gameserver.rpc import locks, metrics
from gameserver.rpc.caller import Caller, Origin
from gameserver.rpc.context import Context, Core
from gameserver.rpc.effects import NOTHING, Effects
from gameserver.rpc.hooks import MESSAGE_HOOKS, MessageHooks
from gameserver.rpc.last import Last
from gameserver.rpc.registry import Registry
from gameserver.rpc.service import Access, Operation, Tx
from gameserver.sessions import Session, SessionsUnavailable
from gameserver.storage import Aborted, BudgetSpent, CommitUnknown, QueryTooSlow, StorageError, Transaction
from gameserver.wire import errors, json
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message, refusal, success

log = structlog.get_logger(__name__)

T = TypeVar("T")
Plan = Sequence[tuple[Operation | None, Message]]
"""The messages of a packet, each with its operation if there is such a one."""


def why(error: Exception) -> str:
    """Return what the database says, for the log: the first line, without the details of a deadlock."""
    return str(error).partition("\n")[0]


class PacketFailed(Exception):
    """The database or the session store gave up; the client may repeat the packet."""


class Outcome(msgspec.Struct, eq=False):
    """What messages came to: their entries, whether they wrote, and the answer where a record keeps it."""

    entries: list[bytes] = []
    login: int = 0  # which message is the login that opens a session
    wrote: bool = False
    answer: bytes | None = None
    refused: list[tuple[Message, GameError, str | None]] | None = None  # and to whom


class Record(Protocol):
    """Keeps the answer to messages in the very transaction that it tells of."""

    @property
    def closing(self) -> Callable[[], Awaitable[None]] | None:
        """What is done after the messages, in their transaction; they get one that writes then."""

    async def commit_with_answer(
        self, tx: Transaction, last: Last[Any], entries: list[bytes], effects: Effects
    ) -> bytes | None:
        """Run the last statement of the last message, keep the answer and commit, all in one.

        Returns the answer; None where that is not possible, and then nothing has happened. Raises what
        `Last.run` and the end of a transaction do.
        """

    async def keep(self, tx: Transaction, entries: list[bytes], effects: Effects) -> bytes:
        """Keep the answer, as the last thing before the commit; returns it."""

    async def look_again(self, reason: Aborted | CommitUnknown) -> None:
        """See whether this run, or a faster one, was committed after all: raises what ends the tries."""

    async def settle(self, outcome: Outcome) -> None:
        """See to it that no other run answers otherwise, when this one might have written and did not.

        Raises what says that another run was committed.
        """


class Runner:
    """Runs messages and other work for all faces. One for each process."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self.core = core
        self.registry = registry

    def hooks_of(self, ctx: Context, message: Message) -> tuple[MessageHooks, Any] | None:
        """Return what the app wants done around a message, and who does it."""
        for hooks in self.registry.hooks.of(MESSAGE_HOOKS):
            declared = hooks.of(ctx, message)
            if declared is not None:
                return hooks, declared
        return None

    def runs_in_steps(self, ctx: Context, plan: Plan) -> bool:
        """Tell whether messages are to run one after the other, each a step: see `steps`."""
        for operation, _ in plan:
            if operation is not None and operation.stepwise:
                return True
        return ctx.app.has_hooks and any(self.hooks_of(ctx, message) for _, message in plan)

    def plan(self, messages: Sequence[Message]) -> Plan:
        """Look up the operations of messages."""
        operations = self.registry.operations
        return [(operations.get((message.service, message.operation)), message) for message in messages]

    async def call(
        self,
        message: Message,
        app: App,
        origin: Origin,
        *,
        caller: Caller = Caller.CLIENT,
        profile_id: str | None = None,
        session: Session | None = None,
        session_error: GameError | None = None,
    ) -> bytes:
        """Run one message, for a player or a session if one is named; returns its entry. A repeat runs again.

        `session_error` is why there is no session. Raises `PacketFailed`.
        """
        ctx = Context(self.core, app, origin, caller=caller)
        ctx.session, ctx.session_error = session, session_error
        ctx.profile_id = profile_id if session is None else session.profile_id
        return (await self.run(ctx, self.plan([message]))).entries[0]

    async def run(self, ctx: Context, plan: Plan) -> Outcome:
        """Run messages and everything that follows. A repeat runs again. Raises `PacketFailed`."""
        try:
            outcome = await self.commit(ctx, plan)
        except (Aborted, CommitUnknown) as error:
            raise PacketFailed(why(error)) from error
        return await self.finish(ctx, outcome)

    async def finish(self, ctx: Context, outcome: Outcome) -> Outcome:
        """Do what follows the commit of messages that no record is kept of."""
        effects = ctx.effects
        if ctx.session is not None:
            await effects.switch_session(ctx.session, ctx.by)
        if effects.endings:
            await effects.end_sessions(ctx.by)
        if effects.outbox:
            await effects.run_outbox()
        return outcome

    def commit(self, ctx: Context, plan: Plan, record: Record | None = None) -> Awaitable[Outcome]:
        """Run messages and commit; of the effects only a login's session is open when this returns.

        Raises `Aborted` and `CommitUnknown`, and what the record does.
        """
        return _Run(self.core, ctx, plan, record, ctx.profile_id).commit()

    async def do(
        self,
        work: Callable[[Context], Awaitable[T]],
        app: App,
        origin: Origin,
        *,
        caller: Caller = Caller.SERVER,
        prepare: Callable[[Context], Awaitable[Any]] | None = None,
    ) -> T:
        """Do what is no operation: all of it and everything that follows, again if aborted, or nothing.

        `prepare` is for what must not hold a lock, and makes `ctx.prepared`. Raises what the two do, why the
        session of a login does not open, and what `Database.transact` does.
        """
        ctx = Context(self.core, app, origin, caller=caller)

        async def attempt(tx: Transaction) -> T:
            ctx.use(tx)
            return await work(ctx)

        async def again(reason: Aborted | CommitUnknown) -> None:
            _refuse_unknown(reason)
            ctx.start_over()
            ctx.is_retry = True
            if prepare is not None:
                ctx.prepared = await prepare(ctx)

        try:
            if prepare is not None:
                ctx.prepared = await prepare(ctx)
            done = await self.core.database.transact(attempt, between=again)
        except GameError:
            ctx.effects.note_refusals()
            raise
        too_late = await ctx.effects.open_session(ctx.by)
        if too_late is not None:
            raise too_late
        await ctx.effects.end_sessions(ctx.by)
        await ctx.effects.run_outbox()
        return done


class _RolledBack(Exception):
    """The only message was refused after it had written: nothing stays."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class _NeedsSavepoints(Exception):
    """A message was refused after it had written: run them again, with a savepoint for each."""


class _Run(msgspec.Struct, eq=False):
    """One run of messages, which may take several tries."""

    core: Core
    ctx: Context
    plan: Plan
    record: Record | None
    profile_id: str | None
    prepared: dict[int, object] = {}
    savepoints: bool = False

    async def commit(self) -> Outcome:
        """Run the messages in the weakest transaction that will do, and open the session of a login."""
        level, prepares = Tx.WRITE if self.record is not None and self.record.closing else Tx.NONE, False
        for operation, _ in self.plan:  # generators take longer than all of this
            if operation is not None:
                level = max(level, operation.tx)
                prepares = prepares or operation.has_to_prepare
        if prepares:
            self.prepared = await self._prepare()
        if level is Tx.NONE:
            outcome = await self._run_messages(None)
        elif level is Tx.READ:
            async with self.core.database.read(self.ctx.payer) as tx:
                outcome = await self._run_messages(tx)
        else:
            outcome = await self._write()
        effects = self.ctx.effects
        if effects.opening is not None or effects.refusals:
            too_late = await effects.open_session(self.ctx.by)
            if too_late is not None:
                outcome.entries[outcome.login] = refusal(too_late)
                outcome.answer = None
                outcome.refused = [*(outcome.refused or ()), (self.plan[outcome.login][1], too_late, None)]
        if outcome.refused is not None:
            self._note_refused(outcome.refused)
        return outcome

    def _note_refused(self, refused: list[tuple[Message, GameError, str | None]]) -> None:
        asked_for = {id(error): profile_id for profile_id, error in self.ctx.effects.refusals}  # by logins
        for message, error, profile_id in refused:
            self.ctx.note_refusal(message.name, error, profile_id or asked_for.get(id(error), ""))

    async def _write(self) -> Outcome:
        try:
            outcome = await self.core.database.transact(
                self._attempt, payer=self.ctx.payer, between=self._again
            )
        except (Aborted, CommitUnknown) as error:  # of the last try
            if self.record is not None:
                await self.record.look_again(error)
            raise
        except _RolledBack as refused:
            outcome = refused.outcome
        except _NeedsSavepoints:
            self._start_over()
            self.savepoints = True
            return await self._write()
        if not outcome.wrote and self.record is not None:
            await self.record.settle(outcome)
        return outcome

    async def _attempt(self, tx: Transaction) -> Outcome:
        outcome = await self._run_messages(tx, writing=True)
        if self.record is not None and self.record.closing is not None:
            await self.record.closing()
        # A switch is kept as well: a repeat would be another player's call.
        outcome.wrote = tx.writes > 0 or self.ctx.effects.switch is not None
        if outcome.wrote and outcome.answer is None and self.record is not None:
            outcome.answer = await self.record.keep(tx, outcome.entries, self.ctx.effects)
        return outcome

    async def _again(self, reason: Aborted | CommitUnknown) -> None:
        """See what another try needs: whoever was faster may have changed what was prepared."""
        if self.record is not None:
            await self.record.look_again(reason)
        else:
            _refuse_unknown(reason)
        self._start_over()
        self.ctx.is_retry = True
        self.prepared = await self._prepare()

    def _start_over(self) -> None:
        self.ctx.start_over()
        self.ctx.profile_id = self.profile_id

    async def _prepare(self) -> dict[int, object]:
        """Do what must not hold a lock. A refusal here is the message's answer when its turn comes.

        What needs the player who logs in earlier in the same packet has to wait for its turn.
        """
        prepared: dict[int, object] = {}
        logins = 0
        for index, (operation, message) in enumerate(self.plan):
            if operation is None or not operation.has_to_prepare:
                continue
            if operation.reaches_out and index in self.prepared:
                prepared[index] = self.prepared[index]
                continue
            waits = logins > 0 and operation.access in (Access.PLAYER, Access.SIGNED_IN)
            if operation.opens_session:
                logins += 1
                if logins > 1 and logins > (most := self.ctx.app.section(QuotaSettings).logins_per_packet):
                    prepared[index] = errors.RateLimited(
                        f"the app allows {most} in a packet (logins_per_packet); send others by themselves"
                    )
                    continue
            if operation.prepare is not None and not waits:
                prepared[index] = await self._prepare_one(operation, message)
        return prepared

    async def _prepare_one(self, operation: Operation, message: Message) -> object:
        assert operation.prepare is not None, "who has nothing to prepare is not asked"
        ctx = self.ctx
        try:
            _check_access(ctx, operation)
            return await operation.prepare(ctx, message.read(operation.reader))
        except GameError as error:
            return error
        except (StorageError, SessionsUnavailable):
            raise
        except Exception:
            log.exception("operation_failed", operation=operation.wire_name)
            return operation.failure("internal error")

    async def _run_messages(self, tx: Transaction | None, *, writing: bool = False) -> Outcome:
        ctx, effects, outcome = self.ctx, self.ctx.effects, Outcome()
        entries = outcome.entries
        ctx.use(tx)
        ctx.is_whole = writing and self.record is None and len(self.plan) == 1
        if writing and tx is not None and len(self.plan) > 1:
            await locks.take(ctx, self.plan, self.prepared, tx)
        for index, (operation, message) in enumerate(self.plan):
            if index and ctx.is_over is not None and ctx.is_over():
                raise PacketFailed("the packet takes too long, or nobody waits for it any more")
            ctx.prepared = self.prepared.get(index)
            if operation is not None and operation.prepare is not None and index not in self.prepared:
                ctx.prepared = await self._prepare_one(operation, message)
            before = tx.writes if tx is not None else 0
            mark = effects.mark() if index else NOTHING
            try:
                if self.savepoints and tx is not None:
                    async with tx.savepoint():
                        entry = await self._run_message(operation, message, outcome)
                else:
                    entry = await self._run_message(operation, message, outcome)
                entries.append(entry)
            except GameError as error:
                entries.append(refusal(error))
                note = (message, error, ctx.profile_id or self.profile_id)
                outcome.refused = [note] if outcome.refused is None else [*outcome.refused, note]
                effects.rollback_to(mark)
                # PostgreSQL does nothing more in a transaction in which a query was cancelled.
                cancelled = isinstance(error, errors.QueryTooExpensive)
                if writing and not self.savepoints and tx is not None and (tx.writes != before or cancelled):
                    if len(self.plan) == 1:
                        raise _RolledBack(outcome) from error
                    raise _NeedsSavepoints from error
            if effects.opening is not mark[0]:
                outcome.login = index
                is_login = operation is not None and operation.opens_session
                assert is_login or effects.opening is None, "an operation that logs in declares opens_session"
        return outcome

    async def _run_message(self, operation: Operation | None, message: Message, outcome: Outcome) -> bytes:
        """Run one message. Refusals and failures leave as `GameError`s, nothing else of its making does."""
        ctx = self.ctx
        started = time.perf_counter()
        told = "ok"
        try:
            if operation is None:
                raise message.unknown()  # noqa: TRY301 - an outcome like any other below
            _check_access(ctx, operation)
            if isinstance(ctx.prepared, GameError):
                raise ctx.prepared  # noqa: TRY301 - as above
            reply = await operation.handler(ctx, message.read(operation.reader))
            if isinstance(reply, Last):
                if self.record is not None and message is self.plan[-1][1]:
                    outcome.answer = await self.record.commit_with_answer(
                        ctx.tx, reply, outcome.entries, ctx.effects
                    )
                    if outcome.answer is not None:
                        return b""
                reply = await reply.run(ctx.tx)
            return success(json.encode(reply)) if reply is not None else success()
        except GameError as error:
            told = str(error.reason_code)
            if isinstance(error, errors.NoSession | errors.SessionExpired | errors.SessionReplaced):
                ctx.profile_id, ctx.session_error = None, error  # the rest of the packet fails alike
            raise
        except (Aborted, CommitUnknown, SessionsUnavailable, asyncio.CancelledError):
            told = "aborted"
            raise
        except BudgetSpent as error:
            told = str(errors.RateLimited.reason_code)
            raise errors.RateLimited(f"{error} (search_seconds); try again later") from error
        except QueryTooSlow as error:
            told = str(errors.QueryTooExpensive.reason_code)
            raise errors.QueryTooExpensive("the query takes too long; narrow it down") from error
        except Exception as error:
            told = "failed"
            log.exception("operation_failed", operation=f"{message.service}.{message.operation}")
            failure = operation.failure if operation is not None else errors.InternalError
            raise failure("internal error") from error
        finally:
            name = operation.wire_name if operation is not None else "unknown"
            metrics.MESSAGES.observe((name, told), time.perf_counter() - started)


def _check_access(ctx: Context, operation: Operation) -> None:
    limits = ctx.origin.may_call
    if limits is not None and limits.isdisjoint((operation.service, operation.wire_name)):
        raise errors.NotAllowed(f"server {ctx.origin.name!r} may not call {operation.wire_name}")
    access = operation.access
    if access is Access.PLAYER or (access is Access.SIGNED_IN and ctx.caller is Caller.CLIENT):
        _ = ctx.player_id
    elif access is Access.SERVER and not ctx.caller.is_studio:
        refusal = errors.ServersOnly if errors.ServersOnly in operation.errors else errors.NotAllowed
        raise refusal(f"{operation.wire_name} is for servers and scripts, not for clients")


def _refuse_unknown(reason: Aborted | CommitUnknown) -> None:
    """Without a record nobody can tell whether a commit took place, so it is not tried once more."""
    if isinstance(reason, CommitUnknown):
        raise reason


RunMessage = Callable[[Any, Operation | None, Message, Outcome], Awaitable[bytes]]


@contextlib.contextmanager
def messages_wrapped(wrap: Callable[[RunMessage], RunMessage]) -> Iterator[None]:
    """Put something around every message of this process, until the end of the block; for traces.

    A message that has nothing around it pays nothing for that.
    """
    plain = _Run._run_message  # noqa: SLF001 - a class of this file
    _Run._run_message = wrap(plain)  # type: ignore[method-assign, assignment]  # noqa: SLF001 - as above
    try:
        yield
    finally:
        _Run._run_message = plain  # type: ignore[method-assign]  # noqa: SLF001 - as above
