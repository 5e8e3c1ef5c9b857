"""External logins that a script decides."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gameserver.apps import ScriptLogin
from gameserver.frame import Parts
from gameserver.players.app_log import AppLog
from gameserver.players.providers import Claimed, UnableToValidate, Vouched
from gameserver.players.providers.vouching import Unproven
from gameserver.rpc import Caller, Origin, PacketFailed, Runner
from gameserver.scripts.bridge import RUN
from gameserver.wire import json
from gameserver.wire.packet import Message, check_message

FACE = "external"
ID_MAX = 512  # characters


async def vouch(parts: Parts, login: ScriptLogin, name: str, claimed: Claimed) -> Vouched | None:
    """Ask a script whether an id and a token belong together; a script that fails says no.

    Raises `Unproven` where the client is told more, `UnableToValidate` when the script cannot run just now.
    """
    asked = {"externalId": claimed.external_id, "authenticationToken": claimed.token}
    text = json.encode_free({"scriptName": login.script, "scriptData": asked})
    message = check_message(Message(*RUN, msgspec.Raw(text)), text)
    try:
        entry = await parts.get(Runner).call(
            message, claimed.app, Origin(FACE, "", name), caller=Caller.SCRIPT
        )
    except PacketFailed:
        raise UnableToValidate("the script that vouches for the player cannot run just now") from None
    told = msgspec.json.decode(entry)
    if told["status"] != 200:  # noqa: PLR2004 - what the protocol says for "done"
        why = f"external login {name}: {told['status_message']}"
        parts.get(AppLog).note(claimed.app, "error", why, face=FACE, source=login.script)
        return None
    return _verdict(told["data"]["response"]) if told["data"]["success"] else None


def _verdict(said: Any) -> Vouched | None:
    if isinstance(said, bool):
        return Vouched() if said else None
    if not isinstance(said, dict):
        return None
    if said.get("valid") is not True:
        extra = said.get("extraErrorJson")
        if isinstance(extra, dict):
            raise Unproven(extra)
        return None
    data: str | UnsetType | None = UNSET
    if isinstance(kept := said.get("identityData"), dict):
        data = json.encode_free(kept).decode() if kept else None
    payload = said.get("authPayload")
    return Vouched(
        data=data,
        external_id=_id(said.get("externalIdOverride")),
        profile_id=_id(said.get("useProfileId")),
        payload=payload if isinstance(payload, dict) else None,
    )


def _id(said: Any) -> str | None:
    return said if isinstance(said, str) and said.strip() and len(said) <= ID_MAX else None
