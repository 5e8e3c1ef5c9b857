"""Trying things as a player: staff run operations with the authority of a player's own client, for a while.

It begins with a reason, ends after thirty minutes, and never reaches what opens the player's account, ends
it, or would outlive the trial. What is run is in the journal with both: who of the studio, and which player.
"""

from typing import Any

from gameserver.admin.common import FACE, Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.admin.staff.storage import END_TRIALS, TRIAL, give
from gameserver.storage import Row
from gameserver.wire import json

LIFE_MS = 30 * 60_000
NEVER_SERVICES = frozenset({"authentication", "authenticationV2", "rttRegistration"})
NEVER = frozenset(
    {
        "playerState.LOGOUT",
        "playerState.FULL_PLAYER_RESET",
        "playerState.GAME_DATA_RESET",
        "playerState.UPDATE_CONTACT_EMAIL",
        "playerState.RESEND_VALIDATION_EMAIL",
    }
)
"""What nobody tries as somebody else: passwords, what one logs in with, connections, and the end of data."""


@action(Right.PLAYERS_TRY, "POST /apps/{app}/players/{profile}/try", dangerous=True)
async def player_try_begin(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Begin to try things as a player, for thirty minutes; whom one has tried things as before, that ends.

    Operations are then run with `call` and `as_player`.
    """
    definition, now = app_of(server, app), server.core.clock.ms()
    if not by.name:
        raise Refused("the command line needs no trial: gameserver call does it")
    async with server.core.database.write() as tx:
        await player_row(tx, app, profile)
        await tx.run(END_TRIALS, name=by.name)
        data = json.encode({"app": app, "reason": by.reason[:500]}).decode()
        await give(tx, "trial", by.name, now, LIFE_MS, by.address, label=profile, data=data)
        await note(server, tx, by, "player_try_begin", app, profile=profile)
    server.core.audit.note(definition, "player", "tried", face=FACE, address="", profile_id=profile)
    return {"app": app, "profile": profile, "until_ms": now + LIFE_MS}


@action(Right.PLAYERS_TRY, "DELETE /apps/{app}/players/{profile}/try")
async def player_try_end(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """End to try things as a player."""
    app_of(server, app)
    trial = await trial_of(server, by.name)
    if trial is None or (trial["app"], trial["profile"]) != (app, profile):
        raise Refused("you try nothing as this player")
    async with server.core.database.write() as tx:
        await tx.run(END_TRIALS, name=by.name)
        await note(server, tx, by, "player_try_end", app, profile=profile)
    return {"app": app, "profile": profile, "until_ms": server.core.clock.ms()}


async def trial_of(server: Server, name: str) -> dict[str, Any] | None:
    """Return as whom somebody tries things just now, and why."""
    async with server.core.database.read() as tx:
        row = await tx.one(TRIAL, name=name, now=server.core.clock.ms())
    return None if row is None else _told(row)


def _told(row: Row) -> dict[str, Any]:
    kept = json.read_stored(row["data"])
    return {
        "app": kept["app"],
        "profile": row["label"],
        "reason": kept["reason"],
        "until_ms": row["until_ms"],
    }


async def check(server: Server, app: str, profile: str, operation: str, by: Operator) -> None:
    """Raise `Refused` unless somebody may run an operation as a player now."""
    if not by.name:
        return
    trial = await trial_of(server, by.name)
    if trial is None or (trial["app"], trial["profile"]) != (app, profile):
        raise Refused("begin with Try as player on the player's card: it lasts thirty minutes")
    if not by.may(Right.PLAYERS_TRY, app):
        raise Refused(f"this needs the right {Right.PLAYERS_TRY}")
    service, _, name = operation.rpartition(".")
    opens = service == "identity" and not name.startswith("GET_")
    if service in NEVER_SERVICES or operation in NEVER or opens:
        raise Refused(f"nobody runs {operation} as somebody else: it is the player's own")


ACTIONS = (player_try_begin, player_try_end)
