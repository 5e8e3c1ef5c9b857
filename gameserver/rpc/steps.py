"""The journal of a run: what it has done so far, so that a repeat of a run that was cut off goes on there.

An operation that is `stepwise`, such as the one that runs a script, takes long and makes calls of its own. It
cannot be one transaction with all of them. So each call is a step: it runs by itself, and what it answered is
stored in the transaction of its effects. A repeat runs from the beginning, on whichever process, and the
calls that were made before answer from the journal.

Steps that only read are kept in memory, and stored together with the next one that writes: so a repeat reads
what was read before, and a run that writes nothing stores nothing.

Two runs of one packet at once write the same journal. Each row has a number, and a number is stored once: who
is second does nothing, and begins again with what is stored.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from enum import IntEnum
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    false,
    select,
    update,
)

from gameserver.apps import LiveApps
from gameserver.rpc.context import Context
from gameserver.rpc.effects import Effects, Ending, Switch, end
from gameserver.rpc.hooks import MessageHooks
from gameserver.rpc.runner import Outcome, PacketFailed, Plan, Runner
from gameserver.rpc.service import Tx
from gameserver.sessions import One
from gameserver.storage import (
    Aborted,
    CommitUnknown,
    Conflict,
    StoredBy,
    Transaction,
    excluded,
    fail_unless,
    metadata,
    upsert,
)
from gameserver.storage.expiry import Expiry
from gameserver.wire.packet import Message

T = TypeVar("T")

PACKET_KEPT_MS = 3600 * 1000
"""How long the journal of a packet is kept: longer than any process may run it."""
JOB_KEPT_MS = 30 * 24 * 3600 * 1000
"""The same for a job, which is tried again for as long as an operator wants it."""
PENDING_BYTES_MAX = 1 << 20
"""Answers that a run keeps in memory before it stores them by themselves."""
STARTS_MAX = 20
"""How often a run begins again because another run of the same packet was faster."""
CUT_OFF_MAX = 3
"""How often a script may be cut off in one run before that is how it ended."""


class WentAnotherWay(Exception):
    """A repeat makes other calls than the run that was cut off: its script is another one now."""


class BeginAgain(Aborted):
    """The run begins again with what is stored: it was cut off, or another run of it was faster."""


class _Stored(Exception):
    """The step is stored, exactly as this run wanted it."""


class Kind(IntEnum):
    """What an entry of the journal tells of."""

    CALL = 0
    BEGIN = 1  # a call began that makes calls of its own, which follow
    END = 2  # it has ended, with this answer


class Note(msgspec.Struct, array_like=True):
    """What a step makes happen outside SQL."""

    endings: list[Ending]
    switch: Switch | None
    events: list[bytes]


class Entry(msgspec.Struct, array_like=True):
    """A call of a run: which one, its answer, and what its caller had taken of time and chance before it."""

    kind: Kind
    call: bytes
    answer: bytes = b""
    drawn: bytes = b""
    note: Note | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode


class Steps:
    """The journal of one run, and where the run is in it.

    `run` names it in the database; None where a repeat is a new call, and nothing is stored. `effects` are
    those of the packet, which come after its answer is stored: a switch, ends of sessions that its own
    messages ask for, and events.
    """

    def __init__(
        self, runner: Runner, effects: Effects, run: str | None, *, kept_ms: int = PACKET_KEPT_MS
    ) -> None:
        self.runner = runner
        self.effects = effects
        self.run = run
        self.wrote = False
        self._kept_ms = kept_ms
        self._began_ms = runner.core.clock.ms()
        self._entries: list[Entry] = []  # what is stored
        self._cursor = 0  # the next of them that is made again
        self._rows = 0  # how many rows they are
        self._pending: list[Entry] = []  # what is to be stored with the next step that writes
        self._pending_bytes = 0
        self._cut_off = 0
        self._hooked: list[str] = []  # messages around which hooks run just now
        self.shared: dict[str, object] = {}  # what the parts of a run tell each other

    async def load(self) -> None:
        """Begin from the beginning, with what is stored."""
        self.effects.clear()
        self.shared.clear()
        self._pending.clear()
        self._pending_bytes = 0
        self._cursor = 0
        async with self.runner.core.database.read() as tx:
            rows = await tx.all(_READ, run=self.run or "")
        self._entries = [entry for row in rows for entry in _decode(row["calls"])]
        self._rows = len(rows)
        self.wrote = bool(rows)

    @property
    def draws(self) -> bytes | None:
        """What the caller took of time and chance before its next call, when it made that call before."""
        return self._entries[self._cursor].drawn if self._cursor < len(self._entries) else None

    # Steps

    async def answer(
        self, call: bytes, work: Callable[[], Awaitable[bytes]], *, drawn: bytes = b"", told: bool = False
    ) -> bytes:
        """Return what reads, or takes of chance, and is no message; a repeat gets the same.

        `told`: a repeat is told the same anyway, so the answer is not kept.
        """
        name = _digest(call)
        found = self._found(Kind.CALL, name)
        if found is not None:
            return await work() if told else found.answer
        self._check_time()
        answer = await work()
        await self._keep(Entry(Kind.CALL, name, b"" if told else answer, drawn))
        return answer

    async def change(
        self, call: bytes, work: Callable[[Transaction], Awaitable[bytes]], *, drawn: bytes = b""
    ) -> bytes:
        """Do what writes and is no message, as a step of its own; returns what `work` does."""
        name = _digest(call)
        entry = self._found(Kind.CALL, name)
        if entry is not None:
            return entry.answer
        self._check_time()
        entry = Entry(Kind.CALL, name, drawn=drawn)
        record = _StepRecord(self, entry)

        async def attempt(tx: Transaction) -> None:
            entry.answer = await work(tx)
            if self.run is not None:
                await record.store(tx)

        async def step() -> None:
            with contextlib.suppress(_Stored):
                between = record.look_again if self.run is not None else None
                await self.runner.core.database.transact(attempt, between=between)
            self._note_stored()

        await _whole(step())
        return entry.answer

    def cut_off(self) -> bool:
        """Tell whether a run whose script was cut off may begin again: twice, where it has a journal."""
        self._cut_off += 1
        return self.run is not None and self._cut_off < CUT_OFF_MAX

    async def message(
        self, ctx: Context, message: Message, *, call: bytes = b"", drawn: bytes = b"", is_own: bool = False
    ) -> bytes:
        """Run a message as a step of its own, and return its entry of an answer.

        `call` says which call it is, so that a repeat knows it again. `is_own`: it is one of the packet's own
        messages; what these end, ends when the packet's answer is stored, and else now. Where the app wants
        something done around the message, that is part of the step.
        """
        if ctx.app.has_hooks and (found := self.runner.hooks_of(ctx, message)) is not None:
            wire_name = f"{message.service}.{message.operation}"
            if wire_name not in self._hooked:
                return await self._message_with_hooks(
                    ctx, message, *found, name=wire_name, call=call, drawn=drawn, is_own=is_own
                )
        [(operation, _)] = plan = self.runner.plan([message])
        if operation is not None and operation.opens_session:  # logins are never replayed
            self._check_time()
            outcome = await self.runner.commit(ctx, plan)
            await self._after(ctx, _note(ctx.effects), is_own=is_own)
            return outcome.entries[0]
        name = _digest(
            call or b"\0".join((message.service.encode(), message.operation.encode(), message.data))
        )
        if operation is not None and operation.stepwise:
            return await self._nest(ctx, plan, Entry(Kind.BEGIN, name, drawn=drawn), is_own=is_own)
        entry = self._found(Kind.CALL, name)
        if entry is not None:
            await self._after(ctx, entry.note, is_own=is_own)
            return entry.answer
        self._check_time()
        entry = Entry(Kind.CALL, name, drawn=drawn)

        step = self._step(ctx, plan, entry, is_own=is_own)
        await (_whole(step) if operation is not None and operation.tx is Tx.WRITE else step)
        return entry.answer

    async def _step(self, ctx: Context, plan: Plan, entry: Entry, *, is_own: bool) -> None:
        await self._run(ctx, plan, entry)
        if entry.note is not None or is_own:
            await self._after(ctx, entry.note, is_own=is_own)
        if ctx.effects.outbox:
            await ctx.effects.run_outbox()

    async def _run(self, ctx: Context, plan: Plan, entry: Entry) -> None:
        record = _StepRecord(self, entry) if self.run is not None else None
        try:
            outcome = await self.runner.commit(ctx, plan, record)
        except _Stored:
            self._note_stored()
            return
        entry.answer, entry.note = outcome.entries[0], _note(ctx.effects)
        if outcome.wrote:
            self._note_stored()
            return
        operation, _ = plan[0]
        at_once = operation is not None and (
            operation.reaches_out
            # As the record of a packet does: see its `settle`.
            or (operation.tx is Tx.WRITE and outcome.refused is not None and self._may_forget)
        )
        await self._keep(entry, at_once=at_once)

    @property
    def _may_forget(self) -> bool:
        return self.runner.core.sessions.may_forget

    async def _nest(self, ctx: Context, plan: Plan, begin: Entry, *, is_own: bool) -> bytes:
        """Run an operation that makes calls of its own."""

        async def work() -> bytes:
            ctx.steps = self
            return (await self.runner.commit(ctx, plan)).entries[0]

        return await self.nest(ctx, begin, work, is_own=is_own)

    async def nest(
        self, ctx: Context, begin: Entry, work: Callable[[], Awaitable[bytes]], *, is_own: bool = False
    ) -> bytes:
        """Do what makes calls of its own; when it ended before, tell what it answered.

        What it makes happen besides is among the effects of `ctx`, which are its own.
        """
        begun = self._found(Kind.BEGIN, begin.call)
        if begun is not None and (ended := self._end()) is not None:
            inner, last = self._entries[self._cursor : ended], self._entries[ended]
            self._cursor = ended + 1
            for entry in inner:
                await self._after(ctx, entry.note, is_own=False)
            await self._after(ctx, last.note, is_own=is_own)
            return last.answer
        self._check_time()
        if begun is None:
            await self._keep(begin)
        answer = await work()
        self._cursor = len(self._entries)  # it may have ended before the call at which it was cut off
        note = _note(ctx.effects)
        await self._keep(Entry(Kind.END, b"", answer, note=note))
        await self._after(ctx, note, is_own=is_own)
        await ctx.effects.run_outbox()
        return answer

    async def _message_with_hooks(
        self,
        ctx: Context,
        message: Message,
        hooks: MessageHooks,
        declared: Any,
        *,
        name: str,
        call: bytes,
        drawn: bytes,
        is_own: bool,
    ) -> bytes:
        """Run a message with what the app wants done around it, all of it part of one step.

        What is done around a message is done once: not around the same message, where a hook sends it.
        """

        async def run(message: Message) -> bytes:
            own = ctx.alone()
            entry = await self.message(own, message, is_own=is_own)
            ctx.profile_id, ctx.session_error = own.profile_id, own.session_error
            return entry

        async def work() -> bytes:
            around = ctx.alone()
            around.steps = self
            self._hooked.append(name)
            try:
                return await hooks.around(declared, around, message, run)
            finally:
                self._hooked.pop()

        [(operation, _)] = self.runner.plan([message])
        if operation is not None and operation.opens_session:  # logins are never replayed
            return await work()
        begin = begin_of(call or b"\0".join((b"hooks", name.encode(), message.data)), drawn)
        return await self.nest(ctx.alone(), begin, work)

    @property
    def hook_depth(self) -> int:
        """How many messages are being run with their hooks, one because of the other."""
        return len(self._hooked)

    async def _keep(self, entry: Entry, *, at_once: bool = False) -> None:
        """Note a step that wrote nothing: to be stored with the next one that writes, or at once."""
        if self.run is None:
            return
        self._pending_bytes += len(entry.answer) + len(entry.drawn)
        if not at_once and self._pending_bytes <= PENDING_BYTES_MAX:
            self._pending.append(entry)
            return
        record = _StepRecord(self, entry)
        with contextlib.suppress(_Stored):
            await self.runner.core.database.transact(record.store, between=record.look_again)
        self._note_stored()

    # The journal

    def _found(self, kind: Kind, call: bytes) -> Entry | None:
        """Return the next stored entry, if any. Raises `WentAnotherWay` when it is another call's."""
        if self._cursor >= len(self._entries):
            return None
        entry = self._entries[self._cursor]
        if entry.kind is not kind or entry.call != call:
            self._cursor = len(self._entries)
            raise WentAnotherWay("the script makes other calls than when it was cut off")
        self._cursor += 1
        return entry

    def _end(self) -> int | None:
        """Return where what has begun has ended."""
        depth = 0
        for index in range(self._cursor, len(self._entries)):
            match self._entries[index].kind:
                case Kind.BEGIN:
                    depth += 1
                case Kind.END if depth == 0:
                    return index
                case Kind.END:
                    depth -= 1
        return None

    def _check_time(self) -> None:
        """Nothing is done any more by a process that was out cold, when the journal may be gone."""
        if self.run is not None and self.runner.core.clock.ms() - self._began_ms > self._kept_ms // 2:
            raise PacketFailed("the run was stopped for too long")

    def _note_stored(self) -> None:
        self._pending.clear()
        self._pending_bytes = 0
        self._rows += 1
        self.wrote = True

    @property
    def next_number(self) -> int:
        """The number of the row that is stored next."""
        return self._rows

    def row(self, entry: Entry) -> dict[str, Any]:
        """Return the row that holds a step, and what was not stored before it."""
        return {
            "run": self.run,
            "number": self._rows,
            "calls": _encode([*self._pending, entry]),
            "expires_ms": self.runner.core.clock.ms() + self._kept_ms,
        }

    async def _after(self, ctx: Context, note: Note | None, *, is_own: bool) -> None:
        """Do what follows a step, or leave it to the end of the packet."""
        if is_own and ctx.effects.opening is not None:
            self.effects.opening = ctx.effects.opening
        if note is None:
            return
        self.effects.events += note.events
        if note.switch is not None:
            self.effects.switch = note.switch
        if is_own:
            self.effects.endings += note.endings
        elif note.endings:
            core = ctx.core
            ended = await end(core.endings, core.get(LiveApps), ctx.app, note.endings, ctx.by, None)
            if ctx.session is not None and ctx.session.digest in ended:
                # Once more with the answer, which then stays with the session for repeats.
                one = One(digest=ctx.session.digest)
                self.effects.endings.append(Ending(one, note.endings[0].reason))


def _note(effects: Effects) -> Note | None:
    if effects.endings or effects.switch is not None or effects.events:
        return Note(list(effects.endings), effects.switch, list(effects.events))
    return None


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Do a step to its end, though its run is over: or nobody knew whether it took place."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise


def begin_of(call: bytes, drawn: bytes = b"") -> Entry:
    """Return what the journal says of a call that makes calls of its own; `call` tells it from others."""
    return Entry(Kind.BEGIN, _digest(call), drawn=drawn)


def _digest(call: bytes) -> bytes:
    return blake2b(call, digest_size=8).digest()


class _StepRecord:
    """Stores a step in the transaction of its effects; see `runner.Record`."""

    __slots__ = ("_entry", "_row", "_steps", "closing")

    def __init__(self, steps: Steps, entry: Entry) -> None:
        self._steps = steps
        self._entry = entry
        self._row: dict[str, Any] = {}
        self.closing = None

    async def commit_with_answer(self, *_: object) -> bytes | None:
        """Leave it to `keep`: the answer of a step is one of several in its row."""
        return None

    async def keep(self, tx: Transaction, entries: list[bytes], effects: Effects) -> bytes:
        """Store the step, as the last thing before the commit."""
        self._entry.answer, self._entry.note = entries[0], _note(effects)
        await self.store(tx)
        return entries[0]

    async def store(self, tx: Transaction) -> None:
        """Store the step."""
        self._row = self._steps.row(self._entry)
        await tx.defer(_STORE, **self._row)

    async def look_again(self, reason: Aborted | CommitUnknown) -> None:
        """See whether this step is stored, by this run or by another one."""
        fenced = isinstance(reason, Conflict) and reason.column == str(run_steps.c.calls)
        if not fenced and not isinstance(reason, CommitUnknown):
            return
        calls = await self._stored()
        if calls is not None and calls == self._row["calls"]:
            raise _Stored
        if calls is not None:
            raise BeginAgain("another run of the packet was faster")
        if fenced:
            raise Aborted("the packet was run twice, and its journal is gone") from reason

    async def settle(self, outcome: Outcome) -> None:
        """Raise `BeginAgain` when another run has stored what comes next; a refusal is stored by itself."""
        steps = self._steps
        if outcome.refused is None and steps.runner.core.sessions.may_forget and await self._stored():
            raise BeginAgain("another run of the packet was faster")

    async def _stored(self) -> bytes | None:
        """Return what is stored where this run stores next."""
        steps = self._steps
        async with steps.runner.core.database.read() as tx:
            row = await tx.one(_FIND, run=steps.run, number=steps.next_number)
        return None if row is None else row["calls"]


def steps_of(ctx: Context) -> Steps:
    """Return the journal of the run that a stepwise operation is part of."""
    if isinstance(ctx.steps, Steps):
        return ctx.steps
    return Steps(ctx.core.get(Runner), ctx.effects, None)


async def run_messages(steps: Steps, ctx: Context, plan: Plan) -> Outcome:
    """Run the messages of a packet, each a step of its own.

    What is to follow the packet is among the effects of `ctx`. Raises `Aborted`, and `PacketFailed`.
    """
    profile_id = ctx.profile_id
    for _ in range(STARTS_MAX):
        try:
            ctx.profile_id = profile_id
            return await _run_messages(steps, ctx, plan)
        except BeginAgain:
            await steps.load()
    raise PacketFailed("other runs of the packet were faster each time")


async def _run_messages(steps: Steps, ctx: Context, plan: Plan) -> Outcome:
    outcome, effects = Outcome(), steps.effects
    try:
        for index, (operation, message) in enumerate(plan):
            if index and ctx.is_over is not None and ctx.is_over():
                raise PacketFailed("the packet takes too long, or nobody waits for it any more")
            ctx.effects = Effects(ctx.core, ctx.app, ctx.origin)  # each message has its own
            outcome.entries.append(await steps.message(ctx, message, is_own=True))
            if operation is not None and operation.opens_session:
                outcome.login = index
    finally:
        ctx.effects = effects
    outcome.wrote = steps.wrote
    return outcome


# Storage

run_steps = Table(
    "run_steps",
    metadata,
    Column("run", String(200), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("calls", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
    info={"stored_by": StoredBy.RUN},
)
_c = run_steps.c
_STORE = upsert(
    run_steps, ["run", "number"], {"calls": fail_unless(_c.calls, false(), excluded(run_steps)["calls"])}
)
_READ = select(_c.calls).where(_c.run == bindparam("run")).order_by(_c.number)
_FIND = select(_c.calls).where(_c.run == bindparam("run"), _c.number == bindparam("number"))
FORGET_SOON = (
    update(run_steps).where(_c.run == bindparam("of_run")).values(expires_ms=bindparam("new_expires_ms"))
)
expiry = Expiry(_c.expires_ms)
