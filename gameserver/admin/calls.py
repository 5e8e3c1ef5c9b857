"""Operations run with a server's authority."""

from typing import Any

import msgspec

from gameserver.admin import trials
from gameserver.admin.common import ORIGIN, Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.rpc import Caller
from gameserver.wire import json
from gameserver.wire.errors import UnreadableJson
from gameserver.wire.packet import Message, check_message


@action(Right.OPERATIONS_CALL, "POST /apps/{app}/operations/{operation}")
async def call(
    server: Server,
    app: str,
    operation: str,
    data: dict[str, Any],
    profile: str = "",
    *,
    as_player: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Run `service.OPERATION` with a server's authority; returns the entry of the answer, refused or not.

    With `as_player` it runs with the authority of the player's own client instead, but without a session:
    staff have to try things as that player (`player_try_begin`).
    """
    service, _, name = operation.rpartition(".")
    if not service:
        raise Refused("the operation is of the form service.OPERATION, such as playerState.READ")
    definition = app_of(server, app)
    if as_player and not profile:
        raise Refused("say as which player")
    if as_player:
        await trials.check(server, app, profile, operation, by)
    if profile:
        async with server.core.database.read() as tx:
            await player_row(tx, app, profile)
    what = "call_as_player" if as_player else "call"
    text = json.encode(data)
    try:
        json.checked(text)  # as everybody's data is
    except UnreadableJson as error:
        raise Refused(str(error)) from None
    message = check_message(Message(service, name, msgspec.Raw(text)), text)
    async with server.core.database.write() as tx:  # before: whatever comes of it was asked for
        await note(server, tx, by, what, app, profile=profile, target=operation, after=data)
    entry = await server.runner.call(
        message,
        definition,
        ORIGIN,
        caller=Caller.CLIENT if as_player else Caller.SERVER,
        profile_id=profile or None,
    )
    told: dict[str, Any] = msgspec.json.decode(entry)
    return told
