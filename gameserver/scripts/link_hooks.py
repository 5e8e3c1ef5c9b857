"""Hooks on the links that prove mail addresses: scripts that run when somebody opens one.

They run for nobody, once the address is proven, or where the link is good for nothing. What they say may add
a button to the page. The page does not depend on them: one that fails adds none.
"""

from typing import Any, Literal

import msgspec
import structlog

from gameserver.apps import App
from gameserver.rpc import Caller, Origin, PacketFailed, Runner
from gameserver.rpc.registry import MAIL_LINK
from gameserver.scripts.bridge import RUN
from gameserver.scripts.programs import ScriptSettings
from gameserver.sessions import SessionsUnavailable
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message, check_message

log = structlog.get_logger(__name__)

LABEL_MAX, HOVER_MAX, URL_MAX = 100, 200, 2000
SCHEMES = ("https://", "http://")


class Button(msgspec.Struct, frozen=True):
    """A link to go on by."""

    label: str
    url: str
    hover: str


async def after_link(
    runner: Runner, app: App, origin: Origin, kind: Literal["post", "post_fail"], data: dict[str, Any]
) -> Button | None:
    """Run an app's hooks of a kind one after the other; returns the button of the last that wants one."""
    button = None
    if not app.enabled:
        return None
    for hook in app.section(ScriptSettings).hooked.get(MAIL_LINK, ()):
        if hook.kind != kind:
            continue
        service, _, operation = MAIL_LINK.partition(".")
        asked = {"service": service, "operation": operation, "parms": hook.parms, **data}
        text = json.encode_free({"scriptName": hook.script, "scriptData": asked})
        try:
            message = check_message(Message(*RUN, msgspec.Raw(text)), text)
            entry = await runner.call(message, app, origin, caller=Caller.SCRIPT)
        except (GameError, PacketFailed, SessionsUnavailable) as error:
            log.warning("hook_of_link_failed", script=hook.script, reason=str(error))
            continue
        told = msgspec.json.decode(entry).get("data") or {}
        button = _button(told.get("response")) or button
    return button


def _button(said: Any) -> Button | None:
    """Return what a script wants on the page; None where it wants nothing, or what no page of ours shows."""
    if not isinstance(said, dict) or said.get("action") != "continue":
        return None
    label, url, hover = (said.get(name) or "" for name in ("label", "targetUrl", "hover"))
    if not (isinstance(label, str) and isinstance(url, str) and url.lower().startswith(SCHEMES)):
        return None
    if not label.strip() or len(url) > URL_MAX or not url.isprintable() or " " in url:
        return None
    return Button(label[:LABEL_MAX], url, hover[:HOVER_MAX] if isinstance(hover, str) else "")
