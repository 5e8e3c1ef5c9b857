"""Passing a login on to another device."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gameserver.players import profiles, tokens
from gameserver.players.tokens import Kind, security_digest, settop_text
from gameserver.rpc import Access, Context, Tx
from gameserver.services.identity.base import service
from gameserver.wire import json
from gameserver.wire.errors import InternalError, InvalidParameterType, InvalidParameterValue, NoSession
from gameserver.wire.shapes import FreeObject, Reply, Request

HANDOFF_SECONDS = 600
SECURITY_TOKEN_BYTES = 16
CODE_LENGTH = 6
CODE_SECONDS = 180
CODE_SECONDS_MAX = 86_400
DIGITS = "0123456789"
POOL_MAX = 256
POOL_WORD_MAX = 16
COMBINATIONS_MIN = 10_000  # fewer, and a stranger's code is guessed before it lapses
HANDOFF_BYTES_MAX = 4096
TRIES = 20  # at finding a code that nobody else has at this moment


class CreateHandoffId(Request):
    """With none of the fields: a handoff id and a security token. With any of them: a code to type."""

    num_chars: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | UnsetType | None,
        Meta(description="How many parts the code has, 1 to 64; absent: 6."),
    ] = UNSET
    valid_secs: Annotated[
        Annotated[int, Meta(ge=1, le=CODE_SECONDS_MAX)] | UnsetType | None,
        Meta(description="How long the code works, in seconds, up to a day; absent: 180."),
    ] = UNSET
    handoff_json: Annotated[
        FreeObject | UnsetType | None,
        Meta(description="An object of the game's own for the other device, up to 4 KiB."),
    ] = UNSET
    string_pool: Annotated[
        str | list[str] | UnsetType | None,
        Meta(
            description="What the code is made of: characters as a text, or a list of phrases. "
            "Absent: digits."
        ),
    ] = UNSET

    @property
    def wants_code(self) -> bool:
        """Whether it is the second form."""
        fields = (self.num_chars, self.valid_secs, self.handoff_json, self.string_pool)
        return any(field is not UNSET for field in fields)


class Handoff(Reply):
    """What the other device logs in with: the first two, or the code."""

    handoff_id: Annotated[
        str | UnsetType, Meta(description="The `externalId` of a login of type Handoff.")
    ] = UNSET
    security_token: Annotated[
        str | UnsetType, Meta(description="The `authenticationToken` of that login.")
    ] = UNSET
    handoff_code: Annotated[
        str | UnsetType, Meta(description="The `externalId` of a login of type SettopHandoff.")
    ] = UNSET


@service.operation("CREATE_HANDOFF_ID", tx=Tx.WRITE, access=Access.SERVER)
async def create_handoff_id(ctx: Context, request: CreateHandoffId) -> Handoff:
    """Make what another device needs to log in as the player: it works once, and for a short time.

    Without fields the answer is `handoffId` and `securityToken`, for a login of type Handoff within ten
    minutes. With `numChars`, `validSecs`, `handoffJson` or `stringPool` it is `handoffCode`, short enough to
    type, for a login of type SettopHandoff, whose answer holds `handoffJson`. For servers, on behalf of a
    player; refused are codes that are too easy to guess and `handoffJson` beyond 4 KiB.
    """
    profile_id = ctx.player_id
    if await profiles.read(ctx.tx, ctx.app.id, profile_id) is None:
        raise NoSession("the player is gone")
    if request.wants_code:
        return Handoff(handoff_code=await _code(ctx, profile_id, request))
    handoff_id, security_token = ctx.core.new_id(), ctx.core.random_bytes(SECURITY_TOKEN_BYTES).hex()
    made = await tokens.issue_as(
        ctx.tx,
        Kind.HANDOFF,
        ctx.app.id,
        profile_id,
        handoff_id,
        now_ms=ctx.now_ms,
        life_seconds=HANDOFF_SECONDS,
        data=security_digest(security_token),
    )
    if not made:
        raise InternalError("internal error")
    return Handoff(handoff_id=handoff_id, security_token=security_token)


async def _code(ctx: Context, profile_id: str, request: CreateHandoffId) -> str:
    length = request.num_chars or CODE_LENGTH
    pool = read_pool(request.string_pool or DIGITS)
    if len(pool) ** length < COMBINATIONS_MIN:
        raise InvalidParameterValue(
            f"data.numChars: {length} of {len(pool)} different parts are too easy to guess; "
            f"expected at least {COMBINATIONS_MIN} combinations"
        )
    handoff_json = request.handoff_json or None
    if handoff_json is not None and len(json.encode(handoff_json)) > HANDOFF_BYTES_MAX:
        raise InvalidParameterValue(f"data.handoffJson: at most {HANDOFF_BYTES_MAX} bytes")
    for _ in range(TRIES):
        code = "".join(pool[pick] for pick in _picks(ctx, length, len(pool)))
        if await tokens.issue_as(
            ctx.tx,
            Kind.SETTOP_CODE,
            ctx.app.id,
            profile_id,
            settop_text(ctx.app.id, code),
            now_ms=ctx.now_ms,
            life_seconds=request.valid_secs or CODE_SECONDS,
            data=handoff_json or {},
        ):
            return code
    raise InvalidParameterValue("data.numChars: nearly all codes of this length are in use; make it longer")


def read_pool(pool: str | list[str]) -> list[str]:
    """The parts a code is made of: the characters of a text, or phrases such as "0n3" and "tw0"."""
    parts = list(dict.fromkeys(pool))
    if len(parts) > POOL_MAX or not all(0 < len(part) <= POOL_WORD_MAX for part in parts):
        raise InvalidParameterValue(
            f"data.stringPool: expected at most {POOL_MAX} parts of 1 to {POOL_WORD_MAX} characters"
        )
    if not all(part.isprintable() for part in parts):
        raise InvalidParameterType("data.stringPool: expected printable text")
    return parts


def _picks(ctx: Context, count: int, size: int) -> list[int]:
    """Draw numbers below `size`, each as likely as the others."""
    bound = 256**4 // size * size
    picks: list[int] = []
    while len(picks) < count:
        number = int.from_bytes(ctx.core.random_bytes(4))
        if number < bound:
            picks.append(number % size)
    return picks
