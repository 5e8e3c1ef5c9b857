"""Runs packets for clients that send no packetIds."""

import msgspec

from gameserver.apps import App
from gameserver.rpc import Context, Origin, Packets
from gameserver.sessions import Session
from gameserver.storage import Transaction
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message

FACE = "endpoints"
NO_PACKET_ID = -2  # below that of any packet, and of a session that has had none


class _Answers(msgspec.Struct):
    responses: list[msgspec.Raw]


_decode_answers = msgspec.json.Decoder(_Answers).decode


class WebPackets(Packets):
    """Calls and logins of this face. What is repeated runs again: nothing tells a repeat from a new wish."""

    records = False

    async def call(
        self, message: Message, app: App, address: str, session: Session | None, why_none: GameError | None
    ) -> bytes:
        """Run one call for a session, or for nobody; returns its entry. Raises `PacketFailed`."""
        ctx = Context(self.core, app, Origin(FACE, address))
        ctx.packet_id = NO_PACKET_ID
        ctx.session_error = why_none
        if session is not None:
            ctx.session, ctx.profile_id = session, session.profile_id
        answer = await self._run_unclaimed(ctx, self._plan([message]))
        return bytes(_decode_answers(answer).responses[0])

    async def open_session(self, ctx: Context) -> None:
        """Open the session that `ctx.log_in` has promised, after the commit. Raises why it cannot be."""
        assert ctx.opening is not None, "log_in has been called"
        too_late = await self._open(ctx, ctx.opening)
        if too_late is not None:
            self.refused(ctx, too_late, ctx.opening.profile_id)
            raise too_late

    def refused(self, ctx: Context, error: GameError, profile_id: str = "") -> None:
        """Tell the audit of a login that its credentials did not decide."""
        self._note(ctx, "refusal", str(error.reason_code), profile_id)

    async def _store(
        self, ctx: Context, tx: Transaction, session: Session, body_hash: str, answer: bytes
    ) -> None:
        """Keep no answer: nobody can ask for it."""
