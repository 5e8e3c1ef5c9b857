"""Packets of a client that does not wait for an answer before the next: each runs once, in any order.

A session remembers its last packet only, which is enough for clients that take turns. Where they do not, the
claim and the answer of each packet are kept under a name of its own, the session's with the packetId behind
it. An answer is kept for an hour, also that of a packet which only read.
"""

import contextlib

from gameserver.apps import App
from gameserver.rpc.caller import Caller, Origin
from gameserver.rpc.context import Context
from gameserver.rpc.packets import Packets
from gameserver.rpc.recording import PacketRecord, Repeated
from gameserver.rpc.runner import Outcome, PacketFailed, Plan, why
from gameserver.rpc.runs import RUN_SECONDS_MAX, Superseded, Waiter
from gameserver.rpc.steps import Steps, run_messages
from gameserver.sessions import Session
from gameserver.storage import Aborted, CommitUnknown, answers
from gameserver.wire import errors
from gameserver.wire.packet import Packet

CLAIM_SECONDS_MORE = 30
KEPT_MS = 3600 * 1000


class UnorderedPackets:
    """Answers packets of sessions in any order. One for each process."""

    def __init__(self, packets: Packets) -> None:
        self.runner = packets.runner
        self.core = packets.core
        self.runs = packets.runs
        self._bodies: dict[str, str] = {}  # of packets that run here

    async def answer(
        self,
        packet: Packet,
        body_hash: str,
        app: App,
        session: Session,
        origin: Origin,
        waiter: Waiter,
        *,
        caller: Caller,
    ) -> bytes:
        """Answer a packet of a live session, on nobody's behalf.

        Raises `Superseded` when another connection gets the answer, `ReusedPacketId`, `PacketInProgress` when
        the packet runs elsewhere, and `PacketFailed` when it may be repeated.
        """
        name = f"{session.digest}/{packet.packet_id}"
        ctx = Context(self.core, app, origin, caller=caller)
        ctx.packet_id, ctx.session = packet.packet_id, session
        record = _Record(ctx, name, packet.packet_id, body_hash)
        if self.runs.has(session, packet.packet_id):
            if self._bodies.get(name, body_hash) != body_hash:
                raise _reused()
            return await self.runs.join(session, packet.packet_id, waiter)
        plan = self.runner.plan(packet.messages)
        if not await self.core.sessions.hit(_claim(name), 1, claim_seconds(app)):
            if (stored := await record.find_any()) is not None:
                return stored.answer
            raise errors.PacketInProgress("this packet is still running")
        try:
            return await self._run_claimed(ctx, plan, record, name, body_hash, waiter)
        except (Aborted, CommitUnknown) as error:
            raise PacketFailed(why(error)) from error

    async def _run_claimed(
        self, ctx: Context, plan: Plan, record: "_Record", name: str, body_hash: str, waiter: Waiter
    ) -> bytes:
        session, packet_id = ctx.session, ctx.packet_id
        assert session is not None, "who calls this has one"
        assert packet_id is not None, "packets have one"
        stepwise = self.runner.runs_in_steps(ctx, plan)
        run = self.runs.begin(session, packet_id, waiter, ctx.app.stepwise_seconds if stepwise else None)
        ctx.is_over = run.is_over
        self._bodies[name] = body_hash
        try:
            answer = await self._run(ctx, plan, record, name if stepwise else None)
        except BaseException:
            with contextlib.suppress(Exception):  # the claim lapses by itself
                await self.core.sessions.forget_hits(_claim(name))
            self.runs.fail(run)
            raise
        finally:
            self._bodies.pop(name, None)
        self.runs.end(run, answer)
        if run.waiter is not waiter:
            raise Superseded
        return answer

    async def _run(self, ctx: Context, plan: Plan, record: "_Record", journal: str | None) -> bytes:
        try:
            reaches_out = any(operation is not None and operation.reaches_out for operation, _ in plan)
            if (reaches_out or journal) and (stored := await record.find_any()) is not None:
                return stored.answer  # its claim has lapsed since
            outcome = await self._commit(ctx, plan, record, journal)
        except Repeated as repeated:
            return repeated.stored.answer
        assert outcome.answer is not None, "every answer is stored"
        if ctx.effects.endings:
            await ctx.effects.end_sessions(ctx.by)
            await record.note_done()
        await ctx.effects.run_outbox()
        return outcome.answer

    async def _commit(self, ctx: Context, plan: Plan, record: "_Record", journal: str | None) -> Outcome:
        if journal is not None:
            steps = Steps(self.runner, ctx.effects, journal)
            await steps.load()
            outcome = await run_messages(steps, ctx, plan)
        else:
            outcome = await self.runner.commit(ctx, plan, record)
        if outcome.answer is None:
            await record.store(outcome)
        return outcome


class _Record(PacketRecord):
    """The record of a packet that has a name of its own."""

    @property
    def stored_ms(self) -> int:
        """The time the answer is taken to be of, so that it is forgotten sooner than others."""
        return self._ctx.now_ms - answers.KEPT_MS + KEPT_MS

    async def settle(self, outcome: Outcome) -> None:
        """Leave it to who stores the answer: every one is."""

    async def find_any(self) -> answers.StoredAnswer | None:
        """Return the answer that is kept under the name. Raises `ReusedPacketId` for another packet's."""
        stored = await self.find()
        if stored is None:
            async with self._ctx.core.database.read() as tx:
                other = await answers.find(tx, self._digest, self._packet_id)
            if other is not None and other.body_hash != self._body_hash:
                raise _reused()
            if other is not None:  # it was committed between the two looks
                stored = await self.find()
        return stored

    async def _is_passed(self) -> bool:
        return False


def claim_seconds(app: App) -> int:
    """Return how long a claim holds: longer than any packet runs. After a crash it may be run again then."""
    return round(max(app.stepwise_seconds, RUN_SECONDS_MAX)) + CLAIM_SECONDS_MORE


def _claim(name: str) -> str:
    return f"packet/{name}"


def _reused() -> errors.ReusedPacketId:
    return errors.ReusedPacketId("another packet has used this packetId")
