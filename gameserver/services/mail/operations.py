"""The operations: each puts letters into the queue, from which a job sends them."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.apps import is_mail_address
from gameserver.documents import documents
from gameserver.domain.social import friends
from gameserver.jobs import enqueue
from gameserver.players import unsubscribing
from gameserver.players.mail import RECIPIENTS_MAX, SUBJECT_MAX
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Access, Context, Tx
from gameserver.services.mail import storage
from gameserver.services.mail.base import (
    CONTENT_ERRORS,
    COPIES_MAX,
    InvalidEmailAddress,
    MailParams,
    Stored,
    check,
    service,
)
from gameserver.services.mail.work import SEND
from gameserver.wire.errors import InvalidParameterValue, PacketTooLarge, RateLimited
from gameserver.wire.shapes import Empty, Request

CALL_BYTES_MAX = 4 << 20  # of all letters of one call, as stored
MAILS_TO_ONE = 10  # that clients send to a player or an address in an hour; further ones are not sent
WINDOW_SECONDS = 3600
ProfileId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=documents.TYPE_MAX,
        description="The player, at whose contact address it arrives; without one it is not sent.",
    ),
]
Address = Annotated[str, Meta(max_length=254)]
Wanted = Annotated[MailParams, Meta(description="What the mail says, and how.")]


class BasicEmail(Request):
    profile_id: ProfileId
    subject: Annotated[str, Meta(min_length=1, max_length=SUBJECT_MAX, description="The subject, one line.")]
    body: Annotated[str, Meta(min_length=1, description="What it says.")]


class AdvancedEmail(Request):
    profile_id: ProfileId
    service_params: Wanted


class ByAddress(Request):
    email_address: Annotated[Address, Meta(description="The address that it goes to.")]
    service_params: Wanted


class ByAddresses(Request):
    email_addresses: Annotated[
        list[Address],
        Meta(
            min_length=1,
            max_length=RECIPIENTS_MAX,
            description="The addresses that it goes to, each by itself.",
        ),
    ]
    service_params: Wanted


AnyRequest = BasicEmail | AdvancedEmail | ByAddress | ByAddresses


async def withheld(ctx: Context, request: AnyRequest) -> set[str]:
    """Count what clients send to each player and address, copies too; return those who have had enough."""
    if ctx.caller.is_studio:
        return set()
    mails: dict[str, int] = {}
    match request:
        case BasicEmail() | AdvancedEmail():
            mails[request.profile_id] = 1
        case ByAddress():
            mails[request.email_address] = 1
        case ByAddresses():
            mails |= dict.fromkeys(request.email_addresses, 1)
    if not isinstance(request, BasicEmail):
        copies, letters = request.service_params, len(mails)
        for address in {*(copies.cc or ())[:COPIES_MAX], *(copies.bcc or ())[:COPIES_MAX]}:
            mails[address] = mails.get(address, 0) + letters  # a copy of each letter

    async def is_enough(each: str, count: int) -> bool:
        key = f"mail/letters/{unsubscribing.digest(ctx.app.id, each)}"
        return not await ctx.core.sessions.hit(key, MAILS_TO_ONE, WINDOW_SECONDS, count)

    answers = await asyncio.gather(*(is_enough(each, count) for each, count in mails.items()))
    return {each for each, answer in zip(mails, answers, strict=True) if answer}


@service.operation(
    "SEND_BASIC_EMAIL",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    prepare=withheld,
    errors=(UnknownPlayer, PacketTooLarge, RateLimited),
)
async def send_basic(ctx: Context, request: BasicEmail) -> Empty:
    """Mail a text to a player. It is sent soon after; `gameserver mail list` tells what became of it.

    Not sent, without a word: to who has no contact address, wants no mail, or has blocked the caller; and
    more than ten in an hour from clients, copies too. Refused: unknown players, too much text, more than a
    player may send.
    """
    if not request.subject.isprintable():
        raise InvalidParameterValue("data.subject: expected one line of printable text")
    params = MailParams(subject=request.subject, body=request.body)
    await _to_player(ctx, request.profile_id, params)
    return Empty()


@service.operation(
    "SEND_ADVANCED_EMAIL",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    prepare=withheld,
    errors=(UnknownPlayer, RateLimited, *CONTENT_ERRORS),
)
async def send_advanced(ctx: Context, request: AdvancedEmail) -> Empty:
    """Mail a player a template of the app, or a subject and a body. Only servers choose who it is from.

    Not sent, and refused, as SEND_BASIC_EMAIL; refused also: senders and copies that are no addresses,
    unknown templates.
    """
    await _to_player(ctx, request.profile_id, request.service_params)
    return Empty()


@service.operation(
    "SEND_ADVANCED_EMAIL_BY_ADDRESS",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    prepare=withheld,
    errors=(InvalidEmailAddress, RateLimited, *CONTENT_ERRORS),
)
async def send_by_address(ctx: Context, request: ByAddress) -> Empty:
    """Mail to an address, as SEND_ADVANCED_EMAIL does to a player. Refused: also what is no address."""
    await _to_addresses(ctx, [request.email_address], request.service_params)
    return Empty()


@service.operation(
    "SEND_ADVANCED_EMAIL_BY_ADDRESSES",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    prepare=withheld,
    errors=(InvalidEmailAddress, RateLimited, *CONTENT_ERRORS),
)
async def send_by_addresses(ctx: Context, request: ByAddresses) -> Empty:
    """Mail to several addresses, each by itself: nobody sees the others. If one is none, nothing is sent."""
    await _to_addresses(ctx, request.email_addresses, request.service_params)
    return Empty()


# Rules


async def _to_player(ctx: Context, profile_id: str, params: MailParams) -> None:
    checked = check(ctx.app, params, takes_sender=ctx.caller.is_studio)
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.profile_id or "", [profile_id])
    if not there:
        raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")
    _count(ctx, 1, checked)
    if not blocking and profile_id not in ctx.prepared:
        await _store(ctx, [(profile_id, None)], checked)


async def _to_addresses(ctx: Context, addresses: Sequence[str], params: MailParams) -> None:
    checked = check(ctx.app, params, takes_sender=ctx.caller.is_studio)
    if not all(is_mail_address(address) for address in addresses):
        raise InvalidEmailAddress("an address is no e-mail address")
    wanted = sorted(set(addresses))
    _count(ctx, len(wanted), checked)
    await _store(ctx, [("", address) for address in wanted if address not in ctx.prepared], checked)


def _count(ctx: Context, receivers: int, params: MailParams) -> None:
    copies = len(params.cc or ()) + len(params.bcc or ())
    if not ctx.caller.is_studio:
        who = ctx.profile_id or ctx.origin.address
        ctx.core.quotas.send_mails(ctx.app, who, receivers * (1 + copies), ctx.now_ms)


async def _store(ctx: Context, receivers: Sequence[tuple[str, str | None]], params: MailParams) -> None:
    params = msgspec.structs.replace(
        params,
        cc=[address for address in params.cc or () if address not in ctx.prepared],
        bcc=[address for address in params.bcc or () if address not in ctx.prepared],
    )
    content = msgspec.json.encode(Stored(params=params)).decode()
    if len(content) * len(receivers) > CALL_BYTES_MAX:
        raise PacketTooLarge(f"the mails of one call have at most {CALL_BYTES_MAX} bytes together")
    for profile_id, address in receivers:
        letter_id = ctx.core.new_id()
        await ctx.tx.defer(
            storage.ADD,
            app_id=ctx.app.id,
            letter_id=letter_id,
            sender_id=ctx.profile_id or "",
            receiver_id=profile_id,
            address=address,
            content=content,
            state=storage.WAITING,
            reason="",
            tries=0,
            created_ms=ctx.now_ms,
            ended_ms=0,
        )
        payload = {"app": ctx.app.id, "letter": letter_id}
        await enqueue(ctx.tx, SEND, letter_id, payload, at_ms=ctx.now_ms, lane=ctx.app.id)
