"""What can be done with many players, one after the other; each in a transaction of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import String, bindparam, select

from gameserver.admin import bans
from gameserver.admin.balances import adjusted, check_adjustment
from gameserver.admin.common import Refused, lock_player
from gameserver.admin.operators import Operator, note
from gameserver.apps import App
from gameserver.players import users
from gameserver.players.profiles import players
from gameserver.rpc import Context
from gameserver.services.mail.operations import BasicEmail, send_basic
from gameserver.services.messaging.sending import SystemSendSimple, system_send_simple
from gameserver.services.push_notification.sending import SendSimple, send_simple
from gameserver.storage import Row, locks

TEXT_MAX = 4_000


class Skip(Exception):
    """There is nothing to do for this player; the text tells why."""


class Given(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a bulk action takes besides players; each kind has its own."""

    currency: str = ""
    amount: int = 0
    until_ms: int | None = None
    title: str = ""
    text: str = ""
    sender: str = ""


class One(NamedTuple):
    """A player whose turn it is."""

    ctx: Context
    bulk: Row
    by: Operator
    profile: str
    before: Any
    """Of an undo: what the first bulk action noted of this player."""

    @property
    def given(self) -> Given:
        """What the bulk action was given."""
        return msgspec.json.decode(self.bulk["given"], type=Given)


# What can be done: each returns what an undo has to know.


async def _balance(one: One) -> Any:
    given = one.given
    change = await adjusted(
        one.ctx, one.by, one.profile, given.currency, given.amount, f"bulk/{one.bulk['id']}", one.bulk["id"]
    )
    return {"was": change[0]}


async def _disable(one: One) -> Any:
    given, tx, app_id = one.given, one.ctx.tx, one.ctx.app.id
    row = await _locked(one)
    if row["is_disabled"]:
        raise Skip("disabled already")
    if given.until_ms is not None and given.until_ms <= one.ctx.now_ms:
        raise Refused("the end of the ban is over already")
    epoch = await users.set_disabled(tx, app_id, one.profile, disabled=True)
    ban = bans.Ban(one.by.reason, one.by.name, one.ctx.now_ms, given.until_ms)
    await bans.begin(tx, app_id, one.profile, ban)
    after = {"is_disabled": True, "until_ms": given.until_ms}
    await _noted(one, "player_disable", after=after)
    return {"at_ms": one.ctx.now_ms, "epoch": epoch}


async def _enable(one: One) -> Any:
    tx, app_id = one.ctx.tx, one.ctx.app.id
    row = await _locked(one)
    ban = await bans.read(tx, app_id, one.profile)
    if not row["is_disabled"]:
        raise Skip("not disabled")
    if one.before is not None and (ban is None or ban.at_ms != one.before["at_ms"]):
        raise Skip("disabled anew by somebody else")
    await users.set_disabled(tx, app_id, one.profile, disabled=False)
    await bans.end(tx, app_id, one.profile)
    await _noted(one, "player_enable", before=bans.told(ban))
    return bans.told(ban)


async def _message(one: One) -> None:
    await locks.take(one.ctx.tx, [locks.player_lock(one.profile)])
    await lock_player(one.ctx.tx, one.ctx.app.id, one.profile)
    sender = {"name": one.given.sender}
    sent = SystemSendSimple(to_profile_ids=[one.profile], text=one.given.text, from_json=sender)
    await system_send_simple(one.ctx, sent)
    await _noted(one, "player_message")


async def _push(one: One) -> None:
    await lock_player(one.ctx.tx, one.ctx.app.id, one.profile)
    await send_simple(one.ctx, SendSimple(to_profile_id=one.profile, message=one.given.text))
    await _noted(one, "player_push")


async def _mail(one: One) -> None:
    await lock_player(one.ctx.tx, one.ctx.app.id, one.profile)
    one.ctx.prepared = set()  # servers are held up by no count of letters
    given = one.given
    await send_basic(one.ctx, BasicEmail(profile_id=one.profile, subject=given.title, body=given.text))
    await _noted(one, "player_mail")


async def _delete(one: One) -> None:
    if not await one.ctx.core.player_hooks.delete_player(one.ctx, one.profile):
        raise Skip("there is no such player")
    await _noted(one, "player_delete")


class Kind(NamedTuple):
    """A kind of bulk action."""

    do: Callable[[One], Awaitable[Any]]
    needs: tuple[str, ...] = ()
    """What of `Given` it cannot do without."""
    ends: str = ""
    """What the players' sessions are told that end with it."""
    undo: str = ""
    """The kind that undoes it."""


KINDS: dict[str, Kind] = {
    "balance": Kind(_balance, ("currency", "amount"), undo="balance"),
    "disable": Kind(_disable, ends="disabled", undo="enable"),
    "enable": Kind(_enable),
    "message": Kind(_message, ("text", "sender")),
    "push": Kind(_push, ("text",)),
    "mail": Kind(_mail, ("title", "text")),
    "delete": Kind(_delete, ends="deleted"),
}


async def _locked(one: One) -> Row:
    await lock_player(one.ctx.tx, one.ctx.app.id, one.profile)
    row = await one.ctx.tx.one(IS_DISABLED, app=one.ctx.app.id, profile=one.profile)
    assert row is not None, "it is locked"
    return row


async def _noted(one: One, what: str, before: Any = None, after: Any = None) -> None:
    app_id = one.ctx.app.id
    await note(
        one.ctx, one.ctx.tx, one.by, what, app_id,
        profile=one.profile, target=one.bulk["id"], before=before, after=after,
    )  # fmt: skip


def check(app: App, kind: str, given: dict[str, Any]) -> Given:
    """Return what a bulk action takes. Raises `Refused` for what its kind cannot do anything with."""
    chosen = KINDS.get(kind)
    if chosen is None:
        raise Refused(f"a kind is one of {', '.join(KINDS)}")
    try:
        checked = msgspec.convert(given, Given)
    except msgspec.ValidationError as error:
        raise Refused(str(error)) from None
    for name in chosen.needs:
        if not getattr(checked, name):
            raise Refused(f"{kind} needs {name}")
    if max(len(checked.text), len(checked.title)) > TEXT_MAX:
        raise Refused(f"a text has at most {TEXT_MAX} characters")
    if kind == "balance":
        check_adjustment(app, checked.currency, checked.amount)
    return checked


_p = players.c
IS_DISABLED = select(_p.is_disabled).where(
    _p.profile_id == bindparam("profile"), _p.app_id == bindparam("app", type_=String)
)
