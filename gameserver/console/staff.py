"""Who of the studio may do what, and the keys of their programs."""

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import EVERY_APP, MEANINGS, ROLES, Right
from gameserver.console.web import Choice, View, at, declared, page


@page("GET /apps/{app}/staff", Right.STAFF_MANAGE)
async def staff(view: View) -> Response:
    """List who has a role in this app or in every one, and what roles mean."""
    return await _shown(view)


async def _shown(view: View, link: str = "", key: str = "") -> Response:
    everywhere = view.may(Right.STAFF_MANAGE, "")
    of = "" if everywhere else view.app_id
    members, keys = await view.do("staff_list", app=of), await view.do("key_list", app=of)
    return view.render(
        "staff.html",
        members=members,
        keys=keys,
        everywhere=everywhere,
        roles=ROLES,
        meanings=MEANINGS,
        link=link,
        key=key,
        EVERY_APP=EVERY_APP,
    )


@page("POST /apps/{app}/staff", Right.STAFF_MANAGE)
async def add(view: View) -> Response:
    """Let somebody in, and show the link for their password this once."""
    form = view.form
    done = await view.do(
        "staff_add",
        name=form.get("name", ""),
        role=form.get("role", ""),
        app=_app(view),
        also=[Right.CONTACTS_READ] if form.get("contacts") else None,
        needs_second_factor=bool(form.get("second_factor")),
    )
    if done["invitation"] is None:
        return view.to(view.url("/staff"), f"{done['name']} has the role now.")
    return await _shown(view, link=_link(view, done["invitation"]))


@page("POST /apps/{app}/staff/reset", Right.STAFF_MANAGE)
async def reset(view: View) -> Response:
    """Take password and second factor from somebody who lost them, and show a new link."""
    done = await view.do("staff_reset", name=view.form.get("name", ""))
    return await _shown(view, link=_link(view, done["invitation"]))


@page("POST /apps/{app}/staff/remove", Right.STAFF_MANAGE)
async def remove(view: View) -> Response:
    """Take somebody's role in this app, or all they may do."""
    name = view.form.get("name", "")
    if view.form.get("confirm") != name:
        raise Refused("type the name as it is written")
    await view.do("staff_remove", name=name, app="" if view.form.get("everywhere") else view.app_id)
    return view.to(view.url("/staff"), f"{name} is out.")


@page("POST /apps/{app}/staff/disable", Right.STAFF_MANAGE)
async def disable(view: View) -> Response:
    """Shut somebody out."""
    name = view.form.get("name", "")
    await view.do("staff_disable", name=name)
    undo = Choice(view.url("/staff/enable"), {"name": name})
    return view.to(view.url("/staff"), f"{name} is shut out, and all their sessions are over.", undo)


@page("POST /apps/{app}/staff/enable", Right.STAFF_MANAGE)
async def enable(view: View) -> Response:
    """Let somebody in again."""
    name = view.form.get("name", "")
    await view.do("staff_enable", name=name)
    return view.to(view.url("/staff"), f"{name} may come in again.")


@page("POST /apps/{app}/staff/keys", Right.STAFF_MANAGE)
async def add_key(view: View) -> Response:
    """Make a key for a program, and show it this once."""
    form = view.form
    done = await view.do("key_add", label=form.get("label", ""), role=form.get("role", ""), app=_app(view))
    return await _shown(view, key=done["token"])


@page("POST /apps/{app}/staff/keys/remove", Right.STAFF_MANAGE)
async def remove_key(view: View) -> Response:
    """End a key."""
    of = "" if view.may(Right.STAFF_MANAGE, "") else view.app_id
    await view.do("key_remove", key=view.form.get("key", ""), app=of)
    return view.to(view.url("/staff"), "The key opens nothing any more.")


def _app(view: View) -> str:
    return EVERY_APP if view.form.get("everywhere") else view.app_id


def _link(view: View, invitation: str) -> str:
    return f"{str(view.request.base_url).rstrip('/')}{at(f'/welcome/{invitation}')}"


PAGES = declared(staff, add, reset, remove, disable, enable, add_key, remove_key)
