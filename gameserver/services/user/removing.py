"""Deleting players, and letting them do so themselves."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.apps import LiveApps
from gameserver.players import links, profile_links, users
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
from gameserver.storage import Aborted, locks
from gameserver.wire.shapes import Empty, Reply


class DeleteOptions(msgspec.Struct, rename="camel"):
    """`deleteChildren`: the player's profiles in child apps go as well."""

    delete_children: Annotated[
        bool | None, Meta(description="true deletes the profiles in child apps, too.")
    ] = None


class DeleteUser(OfPlayer):
    """Which player, and what goes with them."""

    options_json: Annotated[
        DeleteOptions | None,
        Meta(description="What goes with the player. Null or nothing: the player alone."),
    ] = None


async def find_children(ctx: Context, request: DeleteUser) -> list[tuple[str, str]]:
    """Find the players in child apps who are to go as well."""
    if request.options_json is None or not request.options_json.delete_children:
        return []
    async with ctx.core.database.read() as tx:
        return await profile_links.descendants(tx, request.profile_id)


def lock_all(ctx: Context, request: DeleteUser) -> list[str]:
    """Return the locks of everybody who is to go."""
    children: list[tuple[str, str]] = ctx.prepared
    return [
        locks.player_lock(profile_id)
        for profile_id in (request.profile_id, *(child for _, child in children))
    ]


@service.operation(
    "SYS_DELETE_USER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=find_children,
    locks=lock_all,
    errors=(UnknownPlayer,),
)
async def sys_delete_user(ctx: Context, request: DeleteUser) -> Empty:
    """Delete a player and everything that is kept of them, and end their sessions. For servers.

    With `deleteChildren` their profiles in child apps go as well, and those below these; otherwise they stay,
    without a parent. Refused for an unknown player.
    """
    await locks.take(ctx.tx, lock_all(ctx, request))
    if await users.lock(ctx.tx, ctx.app.id, request.profile_id):  # else it may be another app's player
        await _delete_children(ctx, request.profile_id)
    if not await ctx.core.player_hooks.delete_player(ctx, request.profile_id):
        raise unknown()
    return Empty()


async def _delete_children(ctx: Context, profile_id: str) -> None:
    children: list[tuple[str, str]] = ctx.prepared
    if children and sorted(await profile_links.descendants(ctx.tx, profile_id)) != sorted(children):
        raise Aborted("the player has other children by now")
    for app_id, child in children:
        app = ctx.core.get(LiveApps).find(app_id)
        if app is not None:
            await ctx.core.player_hooks.delete_player(ctx.at(app), child)


class DeletionUrl(Reply):
    """The address of a page where the player confirms, and is deleted then."""

    url: Annotated[str, Meta(description="The address; it works once.")]


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
