"""Deleting players, and letting them do so themselves."""

import msgspec

from gameserver.players import links, users
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Access, Context, Tx
from gameserver.services.user.base import (
    OfPlayer,
    UserSettings,
    lock_named,
    read_player,
    service,
    unknown,
)
from gameserver.wire.shapes import Empty, Reply


class DeleteOptions(msgspec.Struct, rename="camel"):
    """`deleteChildren`: the player's profiles in child apps go as well."""

    delete_children: bool | None = None


class DeleteUser(OfPlayer):
    """Which player, and what goes with them."""

    options_json: DeleteOptions | None = None


@service.operation(
    "SYS_DELETE_USER", tx=Tx.WRITE, access=Access.SERVER, locks=lock_named, errors=(UnknownPlayer,)
)
async def sys_delete_user(ctx: Context, request: DeleteUser) -> Empty:
    """Delete a player and everything that is kept of them, and end their sessions. For servers.

    Refused for an unknown player.
    """
    await users.lock(ctx.tx, ctx.app.id, request.profile_id)
    if not await ctx.core.player_hooks.delete_player(ctx, request.profile_id):
        raise unknown()
    return Empty()


class DeletionUrl(Reply):
    """The address of a page where the player confirms, and is deleted then."""

    url: str


@service.operation(
    "SYS_CREATE_SELF_SERVICE_DELETION_URL_FOR_USER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lock_named,
    errors=(UnknownPlayer,),
)
async def sys_create_self_service_deletion_url_for_user(ctx: Context, request: OfPlayer) -> DeletionUrl:
    """Make the address of a page where a player may delete their account themselves. For servers.

    Whoever has it may do so, once, within the time that the app sets, and only as long as it is the newest
    and the player's password stays. Looking at the page deletes nothing. Refused for an unknown player.
    """
    await read_player(ctx.tx, ctx.app.id, request.profile_id)
    url = await links.issue_deletion(
        ctx.tx,
        ctx.app,
        request.profile_id,
        ctx.core.public_url,
        now_ms=ctx.now_ms,
        minutes=ctx.section(UserSettings).deletion_minutes,
    )
    return DeletionUrl(url=url)
