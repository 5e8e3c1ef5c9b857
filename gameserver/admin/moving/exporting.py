"""Telling all there is of an app in lines: each page says where the next one begins."""

from collections.abc import Sequence
from typing import Any

from gameserver.admin.common import Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action
from gameserver.admin.moving.declared import KINDS, PARTS
from gameserver.admin.moving.kinds import Page
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.wire import json

NUMBER_MAX = 2**63 - 1


def check_place(part: str, after: Sequence[Any]) -> None:
    """Raise `Refused` for what is no place in a part that a page has told."""
    fits = tuple(map(type, after)) in KINDS[part].place
    if not fits or any(isinstance(value, int) and abs(value) > NUMBER_MAX for value in after):
        raise Refused("after is what the page before has told, or nothing")


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/export", dangerous=True)
async def export_page(
    server: Server,
    app: str,
    part: str,
    limit: int,
    after: list[Any] | None = None,
    *,
    with_passwords: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Return some lines of a part of an app, and where the next ones begin: `after`, null at the end.

    Parts are the types of lines that docs/moving-in.md describes, in their order there. Digests of passwords
    are told on the command line alone.
    """
    definition, most = app_of(server, app), limit_of(limit)
    if part not in PARTS:
        raise Refused(f"an export has the parts {', '.join(PARTS)}")
    if with_passwords and by is not CLI:
        raise Refused("digests of passwords are told on the command line alone")
    if after is not None:
        check_place(part, after)
    async with server.core.database.write() as tx:  # each page: whoever says where to begin begins anywhere
        await note(server, tx, by, "export_page", app, target=part, after={"after": after})
    page = Page(definition, most, server.core.clock.ms(), with_passwords=with_passwords)
    async with server.core.database.read() as tx:
        found, following = await KINDS[part].tell(page, tx, after)
    return {
        "lines": [json.encode_free({"type": part, **line}).decode() for line in found],
        "after": following,
    }
