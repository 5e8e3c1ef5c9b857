"""Social: what is said in chat, and groups, as far as somebody has to step in."""

from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.players import above_tabs
from gameserver.console.web import Choice, View, declared, page

PAGE_ROWS = 50
KINDS = {"gl": "Of all players", "gr": "Of groups", "dy": "Made by players", "sy": "Of servers"}


@page("GET /apps/{app}/social", Right.DATA_READ)
async def channels(view: View) -> Response:
    """List channels of a kind, the last used first."""
    kind = view.query.get("kind", "gl")
    if file := await view.file("channels", "chat_list", app=view.app_id, kind=kind):
        return file
    rows = await view.do(
        "chat_list", app=view.app_id, kind=kind, limit=PAGE_ROWS, after=view.query.get("after", "")
    )
    after = rows[-1]["channel"] if len(rows) == PAGE_ROWS else ""
    return view.render("social.html", rows=rows, kind=kind, kinds=KINDS, after=after)


@page("GET /apps/{app}/social/chat/{channel}", Right.DATA_READ)
async def chat(view: View) -> Response:
    """Show what was said in a channel, the newest first."""
    channel = view.part("channel")
    if file := await view.file("chat", "chat_read", app=view.app_id, channel=channel):
        return file
    rows = await view.do(
        "chat_read", app=view.app_id, channel=channel, limit=PAGE_ROWS, after=view.query.get("after", "")
    )
    after = rows[-1]["line"] if len(rows) == PAGE_ROWS else ""
    return view.render("chat.html", rows=rows, channel=channel, after=after)


@page("POST /apps/{app}/social/chat/{channel}/{line}/delete", Right.SOCIAL_MODERATE)
async def delete_line(view: View) -> Response:
    """Delete a line of a chat."""
    await view.do("chat_delete", app=view.app_id, channel=view.part("channel"), line=view.part("line"))
    return view.back("The line is deleted, for all who listen too. The journal keeps what it said.")


@page("GET /apps/{app}/social/groups", Right.DATA_READ)
async def groups(view: View) -> Response:
    """List groups, the newest or the oldest first or by name, or those that a name finds."""
    name = view.query.get("name", "").strip()
    if file := await view.file("groups", "group_list", app=view.app_id, name=name, sort=_sort(view)):
        return file
    rows = await group_rows(view, PAGE_ROWS)
    after = rows[-1]["group_id"] if len(rows) == PAGE_ROWS and not name else ""
    return view.render("groups.html", rows=rows, name=name, after=after)


async def group_rows(view: View, limit: int) -> list[dict[str, Any]]:
    """Return the groups of a list, as its address asks for them."""
    name, after = view.query.get("name", "").strip(), view.query.get("after", "")
    found: list[dict[str, Any]] = await view.do(
        "group_list", app=view.app_id, name=name, limit=limit, after=after, sort=_sort(view)
    )
    return found


def _sort(view: View) -> str:
    return view.query.get("sort", "") or "newest"


@page("GET /apps/{app}/social/groups/{group}", Right.DATA_READ)
async def group(view: View) -> Response:
    """Show a group and who is in it."""
    if file := await view.file("members", "group_show", app=view.app_id, group=view.part("group")):
        return file
    found = await view.do(
        "group_show", app=view.app_id, group=view.part("group"), after=view.query.get("after", "")
    )
    rows = found["members"]
    after = rows[-1]["profile_id"] if len(rows) == 100 else ""  # noqa: PLR2004 - as many as a page has
    return view.render("group.html", group=found, rows=rows, after=after)


@page("POST /apps/{app}/social/groups/{group}/name", Right.SOCIAL_MODERATE)
async def rename_group(view: View) -> Response:
    """Give a group another name."""
    group, form = view.part("group"), view.form
    done = await view.do("group_rename", app=view.app_id, group=group, name=form.get("name", "").strip())
    path = view.url(f"/social/groups/{group}")
    undo = Choice(f"{path}/name", {"name": done["before"], "reason": "undone"})
    return view.to(path, f"The group is called {done['name']} now.", undo)


@page("POST /apps/{app}/social/groups/{group}/delete", Right.SOCIAL_MODERATE)
async def delete_group(view: View) -> Response:
    """Delete a group, once its name is typed."""
    found = await view.do("group_show", app=view.app_id, group=view.part("group"))
    if view.form.get("confirm", "") != found["name"]:
        raise Refused("what was typed is not the group's name, so nothing was deleted")
    done = await view.do("group_delete", app=view.app_id, group=view.part("group"))
    return view.to(
        view.url("/social/groups"), f"{done['name']} is deleted; it had {done['members']} members."
    )


@page("POST /apps/{app}/social/groups/{group}/members/{profile}/remove", Right.SOCIAL_MODERATE)
async def remove_member(view: View) -> Response:
    """Remove a member from a group."""
    key = {"app": view.app_id, "group": view.part("group"), "profile": view.part("profile")}
    await view.do("group_member_remove", **key)
    return view.to(view.url(f"/social/groups/{view.part('group')}"), "Removed from the group.")


@page("GET /apps/{app}/players/{profile}/social", Right.DATA_READ)
async def of_player(view: View) -> Response:
    """Show what a player has said in chat, and the groups they are in."""
    key = {"app": view.app_id, "profile": view.part("profile")}
    if file := await view.file("chat", "player_chat", **key):
        return file
    player = await view.do("player_show", **key)
    is_whole = bool(view.query.get("whole"))
    rows = await view.do("player_chat", **key, **({} if is_whole else {"limit": PAGE_ROWS}))
    return view.render(
        "player_social.html",
        **await above_tabs(view, player),
        rows=rows,
        has_more=not is_whole and len(rows) == PAGE_ROWS,
        groups=await view.do("player_groups", **key),
    )


PAGES = declared(
    channels, chat, delete_line, groups, group, rename_group, delete_group, remove_member, of_player
)
