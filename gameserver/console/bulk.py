"""Bulk actions: do something for many players, see how far it is, stop it, undo it."""

from typing import Any

from starlette.responses import Response

from gameserver.admin.bulk import OtherCount
from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.players import BANS, DAY_MS
from gameserver.console.web import HEADERS, View, declared, page, whole
from gameserver.domain.economy.wallet import CurrencySettings

PAGE_ROWS = 50
CHECKED = "p."  # what the names of boxes begin with; the rest is a profile id
WORDS = {
    "balance": "Adjust a balance",
    "message": "Send a message in the game",
    "push": "Send a push notification",
    "mail": "Send a mail",
    "disable": "Disable",
    "enable": "Enable",
    "delete": "Delete",
}
"""What can be done, by kind."""


def _checked(names: Any) -> list[str]:
    return sorted(name.removeprefix(CHECKED) for name in names if name.startswith(CHECKED))


@page("GET /apps/{app}/bulk/new", Right.PLAYERS_CHANGE)
async def choose(view: View) -> Response:
    """Show how many players are meant, and ask what is to be done for them."""
    text, profiles = view.query.get("q", "").strip(), _checked(view.query)
    segment = _segment(view.query.get("segment", ""))
    if segment is not None or view.query.get("which") == "all":
        profiles = []
        counted = await view.do("bulk_count", app=view.app_id, text=text, segment=segment)
        expected = counted["players"]
    else:
        expected = len(profiles)
        if not profiles:
            raise Refused("check the players first, or choose all that are found")
    return _form(view, text, segment, profiles, expected)


def _segment(text: str) -> int | None:
    return whole(text, "a segment") if text else None


def _form(
    view: View, text: str, segment: int | None, profiles: list[str], expected: int, wrong: str = "",
    status: int = 200,
) -> Response:  # fmt: skip
    assert view.app is not None, "the page is of an app"
    return view.render(
        "bulk_new.html",
        status=status,
        text=text,
        segment=segment,
        profiles=profiles,
        expected=expected,
        wrong=wrong,
        bans=BANS,
        words=WORDS,
        currencies=list(view.app.section(CurrencySettings).currencies),
    )


@page("POST /apps/{app}/bulk/new", Right.PLAYERS_CHANGE)
async def begin(view: View) -> Response:
    """Begin a bulk action; with another number of players than was shown it asks again."""
    form, profiles = view.form, _checked(view.form)
    kind, text, segment = form.get("kind", ""), form.get("q", "").strip(), _segment(form.get("segment", ""))
    expected = whole(form.get("expected", ""), "how many players it is")
    asked: dict[str, Any] = {"app": view.app_id, "expected": expected}
    if profiles:
        asked["profiles"] = profiles
    elif text:
        asked["text"] = text
    elif segment is not None:
        asked["segment"] = segment
    else:
        asked["everybody"] = True
    try:
        if kind == "delete":
            wanted = f"delete {expected} players"
            if form.get("confirm", "").strip() != wanted:
                raise Refused(f"type {wanted!r} to go on; nothing was done")
            done = await view.do("bulk_delete", **asked)
        else:
            done = await view.do("bulk_start", **asked, kind=kind, given=_given(view, kind))
    except OtherCount as error:
        wrong = f"{str(error)[0].upper()}{str(error)[1:]}. Look again, and begin once more if it is right."
        return _form(view, text, segment, profiles, error.count, wrong, 409)
    return view.to(view.url(f"/bulk/{done['id']}"), f"Begun for {done['total']} players.")


def _given(view: View, kind: str) -> dict[str, Any]:
    form = view.form
    match kind:
        case "balance":
            return {
                "currency": form.get("currency", ""),
                "amount": whole(form.get("amount", ""), "the amount"),
            }
        case "disable":
            days = form.get("days", "")
            if days not in BANS:
                raise Refused("choose for how long")
            return {"until_ms": view.now_ms + int(days) * DAY_MS} if days else {}
        case "message":
            return {"text": form.get("message", ""), "sender": form.get("sender", "")}
        case "push":
            return {"text": form.get("push", "")}
        case "mail":
            return {"title": form.get("subject", ""), "text": form.get("mail", "")}
    return {}


@page("GET /apps/{app}/bulk", Right.PLAYERS_READ)
async def actions(view: View) -> Response:
    """List bulk actions, the newest first."""
    if file := await view.file("bulk-actions", "bulk_list", app=view.app_id):
        return file
    rows = await view.do("bulk_list", app=view.app_id, limit=PAGE_ROWS, after=view.query.get("after", ""))
    after = rows[-1]["id"] if len(rows) == PAGE_ROWS else ""
    return view.render("bulk.html", rows=rows, after=after, words=WORDS)


@page("GET /apps/{app}/bulk/{bulk}", Right.PLAYERS_READ)
async def one(view: View) -> Response:
    """Show how far a bulk action is, and what came of it for each player."""
    key, outcome = {"app": view.app_id, "bulk": view.part("bulk")}, view.query.get("outcome", "")
    if file := await view.file("bulk-action", "bulk_players", **key, outcome=outcome):
        return file
    row = await view.do("bulk_show", **key)
    mark = f"{row['state']}{row['changed'] + row['skipped'] + row['refused']}"
    if view.request.headers.get("hx-request"):
        if mark == view.query.get("mark", ""):
            return Response(status_code=204, headers=HEADERS)
        return view.render("bulk_progress.html", row=row, mark=mark)
    rows = await view.do(
        "bulk_players", **key, outcome=outcome, limit=PAGE_ROWS, after=view.query.get("after", "")
    )
    after = rows[-1]["profile_id"] if len(rows) == PAGE_ROWS else ""
    return view.render(
        "bulk_one.html", row=row, mark=mark, rows=rows, outcome=outcome, after=after, words=WORDS
    )


@page("POST /apps/{app}/bulk/{bulk}/cancel", Right.PLAYERS_CHANGE)
async def cancel(view: View) -> Response:
    """Stop a bulk action."""
    done = await view.do("bulk_cancel", app=view.app_id, bulk=view.part("bulk"))
    turns = done["changed"] + done["skipped"] + done["refused"]
    said = f"Stopped; {turns} of {done['total']} players had their turn."
    return view.to(view.url(f"/bulk/{done['id']}"), said)


@page("POST /apps/{app}/bulk/{bulk}/undo", Right.PLAYERS_CHANGE)
async def undo(view: View) -> Response:
    """Undo a bulk action, as another one."""
    done = await view.do("bulk_undo", app=view.app_id, bulk=view.part("bulk"))
    return view.to(view.url(f"/bulk/{done['id']}"), f"It is being undone for {done['total']} players.")


PAGES = declared(choose, begin, actions, one, cancel, undo)
