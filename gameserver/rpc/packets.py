"""Packets of sessions run once: admitted, run, recorded, answered.

The effects of a packet and its answer are committed in one SQL transaction; a repeat of the packet gets that
answer, whichever process it reaches and whatever crashed in between.
"""

import contextlib
from functools import partial

from gameserver.apps import App, LiveApps
from gameserver.rpc.caller import Caller, Origin
from gameserver.rpc.context import Context
from gameserver.rpc.hooks import PACKET_MARKED
from gameserver.rpc.recording import PacketRecord, Repeated
from gameserver.rpc.runner import Outcome, PacketFailed, Plan, Runner, why
from gameserver.rpc.runs import Runs, Superseded, Waiter, time_limit
from gameserver.rpc.service import Access
from gameserver.rpc.steps import Steps, run_messages
from gameserver.sessions import (
    SERVER_PROFILE_ID,
    SWITCHED_SECONDS,
    Admitted,
    Ended,
    Mark,
    OtherApp,
    Outdated,
    RateLimited,
    Replay,
    Reused,
    Running,
    Session,
    session_error,
)
from gameserver.storage import Aborted, CommitUnknown
from gameserver.wire import errors
from gameserver.wire.errors import GameError
from gameserver.wire.packet import LOGIN_PACKET_ID, PACKET_ID_MAX, Packet, bundle, refuse_all


class OtherAppNeeded(Exception):
    """The packet's session belongs to another app than the one its signature was checked against."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class Packets:
    """Answers packets, for every face whose clients number them. One for each process."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.core = runner.core
        self.runs = Runs(runner.core.sessions)

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
        packet_id = packet.packet_id if packet.packet_id != LOGIN_PACKET_ID else None
        ctx = Context(self.core, app, origin, caller, packet_id, session_id=packet.session_id or "")
        try:
            return await self._admit(ctx, packet, body_hash, waiter)
        except (Aborted, CommitUnknown) as error:
            raise PacketFailed(why(error)) from error

    async def _admit(
        self, ctx: Context, packet: Packet, body_hash: str, waiter: Waiter
    ) -> tuple[bytes, Session | None]:
        plan = self.runner.plan(packet.messages)
        if not packet.session_id or _logs_in_first(plan):
            return await self._run(ctx, plan, packet.packet_id), None
        if ctx.packet_id is None:
            words = f"packet.packetId: expected a whole number from 0 to {PACKET_ID_MAX}, but for a login"
            return _refused(ctx, packet, errors.InvalidRequest(words)), None
        admission = await self.core.sessions.admit(packet.session_id, packet.packet_id, body_hash, ctx.app.id)
        if isinstance(admission, Ended):
            return await self._answer_ended(ctx, plan, packet, body_hash, admission), None
        session = admission.session
        record = PacketRecord(ctx, session.digest, packet.packet_id, body_hash)
        match admission:
            case Admitted(resumed=resumed):
                if resumed and self.runs.has(session, packet.packet_id):
                    # The process was out cold and its lease lapsed, but the packet still runs here.
                    return await self.runs.join(session, packet.packet_id, waiter), session
                if resumed and (stored := await record.find()) is not None:
                    return await record.replay(session, stored), session
                if (refusal := self._why_not(ctx, session)) is not None:
                    await self.core.sessions.release(session, packet.packet_id)
                    return _refused(ctx, packet, refusal, session), session
                return await self._run_claimed(ctx, plan, record, admission, waiter), session
            case Replay(answer=answer) if answer is not None:
                return answer, session
            case Replay():
                if (stored := await record.find()) is None:
                    raise PacketFailed("the stored answer is out of reach")
                return stored.answer, session
            case Running():
                return await self.runs.join(session, packet.packet_id, waiter), session
            case OtherApp():
                raise OtherAppNeeded(session)
            case Reused():
                reused = errors.ReusedPacketId("another packet has used this packetId")
                return _refused(ctx, packet, reused, session), session
            case Outdated():
                words = f"packetId {packet.packet_id} is below the last one, {session.last_packet_id}"
                return _refused(ctx, packet, errors.OutdatedPacket(words), session), session
            case RateLimited():
                limited = errors.RateLimited("too many packets in a minute")
                return _refused(ctx, packet, limited, session), session

    async def _stay_switched(self, session: Session, now_ms: int) -> None:
        """Note anew whom a session acts for, before it is forgotten: it ends with that player's sessions."""
        since = session.facts["switchedMs"]
        if isinstance(since, int) and now_ms - since > SWITCHED_SECONDS * 1000 // 3:
            await self.core.sessions.switch(session, session.app_id, session.profile_id)

    def _why_not(self, ctx: Context, session: Session) -> GameError | None:
        """Return why a player's packet is refused: the app of the login is disabled, or it is one too many.

        Whoever asks counts it.
        """
        if ctx.caller is not Caller.CLIENT:
            return None
        if session.home_app_id != session.app_id:
            home = self.core.get(LiveApps).find(session.home_app_id)
            if home is None or not home.enabled:
                reason = None if home is None else home.disabled_reason
                return errors.DisabledApp("the app of the login is disabled", disabledReason=reason or {})
        try:
            self.core.quotas.call(ctx.app, session.home_profile_id, ctx.now_ms)
        except errors.RateLimited as refusal:
            return refusal
        return None

    async def _tell_waiting(self, ctx: Context, mark: Mark) -> None:
        """Ask for what waits for the player of a marked session: it belongs to the answer."""
        if ctx.profile_id is not None:
            for tell in self.core.hooks.of(PACKET_MARKED):
                await tell(ctx, mark)

    async def _run(self, ctx: Context, plan: Plan, packet_id: int) -> bytes:
        """Run a packet that no session remembers: a repeat runs again."""
        if self.runner.runs_in_steps(ctx, plan):
            ctx.is_over = time_limit(ctx.app.stepwise_seconds)
            outcome = await self.runner.finish(
                ctx, await run_messages(Steps(self.runner, ctx.effects, None), ctx, plan)
            )
        else:
            ctx.is_over = time_limit()
            outcome = await self.runner.run(ctx, plan)
        return bundle(packet_id, outcome.entries, ctx.effects.events)

    async def _run_claimed(
        self, ctx: Context, plan: Plan, record: PacketRecord, admission: Admitted, waiter: Waiter
    ) -> bytes:
        """Run a packet that this process has claimed."""
        session = admission.session
        assert ctx.packet_id is not None, "packets have one"
        ctx.session = session
        ctx.profile_id = session.profile_id if session.profile_id != SERVER_PROFILE_ID else None
        stepwise = self.runner.runs_in_steps(ctx, plan)
        if admission.mark is not None and not stepwise:
            # Steps are a transaction each: the next packet tells what waits.
            record.closing = partial(self._tell_waiting, ctx, admission.mark)
        if "switchedMs" in session.facts:
            await self._stay_switched(session, ctx.now_ms)
        run = self.runs.begin(session, ctx.packet_id, waiter, ctx.app.stepwise_seconds if stepwise else None)
        ctx.is_over = run.is_over
        try:
            try:
                if stepwise:
                    outcome = await self._run_steps(ctx, plan, record, admission)
                else:
                    outcome = await self.runner.commit(ctx, plan, record)
            except Repeated as repeated:
                answer = await record.replay(session, repeated.stored)
            else:
                answer = await record.finish(session, outcome)
        except BaseException:
            with contextlib.suppress(Exception):  # the claim lapses by itself
                await self.core.sessions.release(session, ctx.packet_id)
            self.runs.fail(run)
            raise
        self.runs.end(run, answer)
        if run.waiter is not waiter:
            raise Superseded
        return answer

    async def _run_steps(
        self, ctx: Context, plan: Plan, record: PacketRecord, admission: Admitted
    ) -> Outcome:
        """Run a packet whose messages are steps, and store its answer when the last of them is done."""
        steps = Steps(self.runner, ctx.effects, f"{admission.session.digest}/{ctx.packet_id}")
        if admission.resumed:
            await steps.load()
        outcome = await run_messages(steps, ctx, plan)
        if outcome.wrote:
            await record.store(outcome)
        return outcome

    async def _answer_ended(
        self, ctx: Context, plan: Plan, packet: Packet, body_hash: str, ended: Ended
    ) -> bytes:
        """The session is gone. Its last answer may still be wanted; open operations work without one."""
        if ended.replay is not None:
            return ended.replay
        if ended.reason == "unknown" and packet.session_id:
            digest = self.core.sessions.digest(packet.session_id)
            if digest is not None:
                stored = await PacketRecord(ctx, digest, packet.packet_id, body_hash).find()
                if stored is not None:
                    return stored.answer
        ctx.session_error = session_error(ended.reason)
        return await self._run(ctx, plan, packet.packet_id)


def _logs_in_first(plan: Plan) -> bool:
    """A packet that begins with a login has no use for the session it may still carry."""
    operation = plan[0][0]
    return operation is not None and operation.opens_session and operation.access is Access.OPEN


def _refused(ctx: Context, packet: Packet, error: GameError, session: Session | None = None) -> bytes:
    profile_id = session.profile_id if session is not None else ""
    ctx.note_refusal(packet.messages[0].name, error, profile_id if profile_id != SERVER_PROFILE_ID else "")
    return refuse_all(packet.packet_id, error, len(packet.messages))
