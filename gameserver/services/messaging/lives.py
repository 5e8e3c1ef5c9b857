"""What becomes of messages in time, and in the life of a player who is named in them."""

from typing import Any

from gameserver.jobs import forget_of_apps
from gameserver.rpc import PLAYER_DELETE, PLAYER_MERGE, Context
from gameserver.services.messaging import storage
from gameserver.services.messaging.base import service
from gameserver.wire import json

service.keeps(*storage.KEPT)
service.runs(
    forget_of_apps("messaging.forget_boxes", storage.BOXES_EXPIRY, storage.kept_ms),
    forget_of_apps("messaging.forget", storage.MESSAGES_EXPIRY, storage.kept_ms),
)


@service.on(PLAYER_DELETE)
async def forget_player(ctx: Context, profile_id: str) -> None:
    """Take what a player has sent out of all boxes, and their id out of what was sent to them.

    What nobody else has goes with them. What others have is still told to servers that read all messages.
    """
    for statement in (
        storage.DELETE_ENTRIES_OF_SENDER,
        storage.FORGET_UNWANTED,
        storage.FORGET_UNWANTED_ENTRIES,
        storage.HAND_OVER,
    ):
        await ctx.tx.run(statement, profile=profile_id, app=ctx.app.id)
    await _rename(ctx, profile_id, None)


@service.on(PLAYER_MERGE)
async def rename_player(ctx: Context, profile_id: str, target: str) -> None:
    """Say in messages that they are from, and to, the player who stays."""
    await ctx.tx.run(storage.HAND_OVER_TO, profile=profile_id, target=target, app=ctx.app.id)
    await _rename(ctx, profile_id, target)


async def _rename(ctx: Context, profile_id: str, target: str | None) -> None:
    for row in await ctx.tx.all(storage.NAMING, profile=profile_id, app=ctx.app.id):
        body: dict[str, Any] = json.read_stored(row["message"])
        to = [target if each == profile_id else each for each in body["to"]]
        body["to"] = list(dict.fromkeys(each for each in to if each is not None))
        if body["from"]["id"] == profile_id and target is not None:
            body["from"]["id"] = target
        await ctx.tx.run(storage.RENAME, msg=row["msg_id"], new_message=json.encode_free(body).decode())
