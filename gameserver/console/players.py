"""Players: find one, see everything about them, and do what they ask for."""

from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.web import Choice, View, as_document, declared, page
from gameserver.faces.backendless import BackendlessSettings

LATE_REFUSALS = 5
PAGE_ROWS = 50
DAY_MS = 86_400_000
BANS = {"1": "1 day", "7": "7 days", "30": "30 days", "": "for good"}
PART_ROWS = 20  # of each list where several share a page
COUNT_MAX = 10_000


ORDERS = {"oldest": "player_list", "name": "player_by_name"}
"""What gives players in another order than the newest first."""


# Finding


@page("GET /apps/{app}/players", Right.PLAYERS_READ)
async def players(view: View) -> Response:
    """List players, the newest or the oldest first or by name, or those whom a text finds."""
    text, (action, asked) = view.query.get("q", "").strip(), _asked(view)
    if file := await view.file("players", action, **asked):
        return file
    found = await rows(view, PAGE_ROWS)
    after = found[-1]["profile_id"] if not text and len(found) == PAGE_ROWS else ""
    return view.render("players.html", rows=found, text=text, after=after)


def _asked(view: View) -> tuple[str, dict[str, Any]]:
    if text := view.query.get("q", "").strip():
        return "player_search", {"app": view.app_id, "text": text}
    return ORDERS.get(view.query.get("sort", ""), "player_newest"), {"app": view.app_id}


async def rows(view: View, limit: int) -> list[dict[str, Any]]:
    """Return the players of a list, as its address asks for them."""
    action, asked = _asked(view)
    if action != "player_search":
        asked["after"] = view.query.get("after", "")
    found: list[dict[str, Any]] = await view.do(action, **asked, limit=limit)
    return found


# The card and its tabs


@page("GET /apps/{app}/players/{profile}", Right.PLAYERS_READ)
async def player(view: View) -> Response:
    """Show a player: who they are, how they log in, what is open, what they have, what was refused."""
    of_player = _of_player(view)
    refused = await _refused(view) if view.may(Right.RECORDS_READ) else None
    return await card(
        view,
        "player.html",
        balances=await view.tried("player_balances", **of_player),
        roles=await view.tried("player_role_list", **of_player),
        refused=refused,
    )


async def _refused(view: View) -> list[dict[str, Any]] | None:
    """Return what was refused to a player of late, logins and messages; None when nobody can tell."""
    equal = {"profile_id": view.part("profile")}
    messages = await view.tried("refusal_list", app=view.app_id, limit=LATE_REFUSALS, equal=equal)
    logins = await view.tried(
        "audit_list", app=view.app_id, limit=LATE_REFUSALS, equal={**equal, "kind": "refusal"}
    )
    if messages is None or logins is None:
        return None
    told = [
        {**row, "reason": str(row["reason_code"]), "of": row["operation"] or "packet"} for row in messages
    ]
    told += [{**row, "of": "login"} for row in logins]
    return sorted(told, key=lambda row: -row["at_ms"])[:LATE_REFUSALS]


@page("GET /apps/{app}/players/{profile}/timeline", Right.PLAYERS_READ)
async def timeline(view: View) -> Response:
    """Show what happened to a player: logins and their ends, refusals, and what staff did."""
    profile, after, shown = view.part("profile"), view.query.get("after", ""), view.query.get("of", "staff")
    rows: list[dict[str, Any]] | None = None
    if shown == "staff" or view.may(Right.RECORDS_READ):
        kinds = {"logins": "login", "refusals": "refusal", "ends": "logout", "revoked": "revocation"}
        equal = {"profile_id": profile} | ({"kind": kinds[shown]} if shown in kinds else {})
        action = "player_history" if shown == "staff" else "audit_list"
        asked = _of_player(view) if shown == "staff" else {"app": view.app_id, "equal": equal}
        if file := await view.file(f"timeline-{profile}", action, **asked):
            return file
        rows = await view.do(action, **asked, limit=PAGE_ROWS, after=after)
    more = rows[-1]["id"] if rows and len(rows) == PAGE_ROWS else ""
    return await card(view, "player_timeline.html", rows=rows, of=shown, after=more)


@page("GET /apps/{app}/players/{profile}/currencies", Right.PLAYERS_READ)
async def currencies(view: View) -> Response:
    """Show a player's balances, and why each changed."""
    after, currency = view.query.get("after", ""), view.query.get("currency", "")
    asked = {**_of_player(view), "currency": currency}
    if file := await view.file(f"ledger-{view.part('profile')}", "player_ledger", **asked):
        return file
    rows = await view.do("player_ledger", **asked, limit=PAGE_ROWS, after=after)
    balances = await view.do("player_balances", **_of_player(view))
    more = rows[-1]["key"] if len(rows) == PAGE_ROWS else ""
    return await card(
        view, "player_currencies.html", rows=rows, balances=balances, currency=currency, after=more
    )


@page("GET /apps/{app}/players/{profile}/progress", Right.PLAYERS_READ)
async def progress(view: View) -> Response:
    """Show a player's level, statistics and segments."""
    return await card(
        view,
        "player_progress.html",
        progress=await view.do("player_progress", **_of_player(view)),
        segments=await view.do("player_segments", **_of_player(view)),
    )


KEPT = {
    "devices": ("Devices", "No device is registered for notifications."),
    "pushDeliveries": ("Notifications", "None was sent of late."),
    "letters": ("Mail", "None was sent of late."),
    "messageBoxes": ("Messages", "None, in and out."),
    "friendships": ("Friends", "None."),
    "blocks": ("Blocks", "None, in either direction."),
    "playerEvents": ("Events that wait", "None."),
}
"""What is read row by row: a heading for each table, and what stands there when there is nothing."""


@page("GET /apps/{app}/players/{profile}/devices", Right.DATA_READ)
async def devices(view: View) -> Response:
    """Show a player's devices, and what became of notifications to them."""
    return await _kept(view, "devices", "pushDeliveries")


@page("GET /apps/{app}/players/{profile}/mail", Right.DATA_READ)
async def mail(view: View) -> Response:
    """Show what became of mail from and to a player."""
    return await _kept(view, "letters")


@page("GET /apps/{app}/players/{profile}/friends", Right.DATA_READ)
async def friends(view: View) -> Response:
    """Show whom a player knows, and what they write to each other."""
    return await _kept(view, "friendships", "messageBoxes", "blocks", "playerEvents")


async def _kept(view: View, *tables: str) -> Response:
    """Show rows of tables; a table that `table` names is shown alone, page by page."""
    only = view.query.get("table", "")
    text = view.query.get("skip", "")
    skip = int(text) if text.isdecimal() and len(text) <= len(str(COUNT_MAX)) else 0
    chosen = [only] if only in tables else list(tables)
    most = PAGE_ROWS if only else PART_ROWS
    if only in tables:
        asked = {**_of_player(view), "table": only}
        if file := await view.file(f"{only}-{view.part('profile')}", "player_kept", **asked):
            return file
    lists = {}
    for table in chosen:
        lists[table] = await view.do(
            "player_kept", **_of_player(view), table=table, limit=most, skip=skip if only else 0
        )
    return await card(view, "player_kept.html", lists=lists, kept=KEPT, only=only, most=most, skip=skip)


@page("GET /apps/{app}/players/{profile}/notes", Right.PLAYERS_READ)
async def notes(view: View) -> Response:
    """Show what staff noted about a player."""
    if file := await view.file(f"notes-{view.part('profile')}", "player_note_list", **_of_player(view)):
        return file
    rows = await view.do(
        "player_note_list", **_of_player(view), limit=PAGE_ROWS, after=view.query.get("after", "")
    )
    more = rows[-1]["note_id"] if len(rows) == PAGE_ROWS else ""
    return await card(view, "player_notes.html", rows=rows, after=more)


async def card(view: View, template: str, **known: Any) -> Response:
    """Render a tab of a player's card."""
    shown = await view.do("player_show", **_of_player(view))
    return view.render(template, **await above_tabs(view, shown), **known)


async def above_tabs(view: View, shown: dict[str, Any]) -> dict[str, Any]:
    """Return what stands above all tabs of a player, as `player_show` told of them."""
    of_player = {"app": view.app_id, "profile": shown["profile_id"]}
    pinned = await view.tried("player_note_list", **of_player, limit=3, pinned=True)
    return {
        "player": shown,
        "pinned": pinned or [],
        "bans": BANS,
        "currencies": list(await view.tried("player_balances", **of_player) or {}),
        "declared_roles": list(view.app.section(BackendlessSettings).roles) if view.app is not None else [],
    }


# What one does


@page("POST /apps/{app}/players/{profile}/disable", Right.PLAYERS_CHANGE)
async def disable(view: View) -> Response:
    """Lock a player out, for a time or for good."""
    days = view.form.get("days", "")
    if days not in BANS:
        raise Refused("choose for how long")
    until = view.now_ms + int(days) * DAY_MS if days else None
    done = await view.do("player_disable", **_of_player(view), until_ms=until)
    said = f"Disabled {BANS[days] if days else 'for good'}; {_ended(done['sessions_ended'])}"
    return view.to(_path(view), said, Choice(_path(view, "/enable"), {"reason": "undone"}))


@page("POST /apps/{app}/players/{profile}/enable", Right.PLAYERS_CHANGE)
async def enable(view: View) -> Response:
    """Let a player in again."""
    await view.do("player_enable", **_of_player(view))
    return view.to(_path(view), "The player can log in again.")


@page("POST /apps/{app}/players/{profile}/sessions/end", Right.PLAYERS_CHANGE)
async def end_sessions(view: View) -> Response:
    """End a player's sessions, or one of them."""
    session = view.form.get("session", "")
    one = {"session": session} if session else {"profile": view.part("profile")}
    done = await view.do("session_end", app=view.app_id, **one)
    return view.to(_path(view), _ended(len(done["ended"])))


@page("POST /apps/{app}/players/{profile}/reset-mail", Right.PLAYERS_CHANGE)
async def reset_mail(view: View) -> Response:
    """Mail a player a link for a new password."""
    done = await view.do("player_reset_mail", **_of_player(view))
    return view.to(_path(view), f"A link for a new password of the {done['type']} login is on its way.")


@page("POST /apps/{app}/players/{profile}/secure", Right.PLAYERS_CHANGE)
async def secure(view: View) -> Response:
    """End all sessions of a player, and mail a link for a new password."""
    done = await view.do("player_secure", **_of_player(view))
    mailed = "The old password opens nothing; a link for a new one is on its way."
    kept = "No mail could be sent, so the password stays."
    said = f"{_ended(done['sessions_ended'])} {mailed if done['is_mailed'] else kept}"
    return view.to(_path(view), said)


@page("POST /apps/{app}/players/{profile}/balance", Right.PLAYERS_CHANGE)
async def adjust(view: View) -> Response:
    """Adjust a balance, once for each receipt."""
    try:
        amount = int(view.form.get("amount", ""))
    except ValueError:
        raise Refused("the amount is a whole number, such as 100 or -5") from None
    done = await view.do(
        "player_balance_adjust",
        **_of_player(view),
        currency=view.form.get("currency", ""),
        amount=amount,
        receipt=view.form.get("receipt", ""),
    )
    said = f"{done['currency']}: {done['before']} → {done['balance']}, for receipt {done['receipt']}."
    return view.to(_path(view, "/currencies"), said)


@page("POST /apps/{app}/players/{profile}/name", Right.PLAYERS_CHANGE)
async def rename(view: View) -> Response:
    """Give a player another name."""
    done = await view.do("player_rename", **_of_player(view), name=view.form.get("name", ""))
    said = f"The player is called {done['name'] or 'nothing'} now."
    return view.to(_path(view), said, Choice(_path(view, "/name"), {"name": done["before"]}))


@page("POST /apps/{app}/players/{profile}/roles", Right.PLAYERS_CHANGE)
async def role(view: View) -> Response:
    """Give a player a role, or take it."""
    name, what = view.form.get("role", ""), view.form.get("what", "add")
    if what not in ("add", "remove"):
        raise Refused("a role is added or removed")
    await view.do(f"player_role_{what}", **_of_player(view), role=name)
    said = f"The player {'has' if what == 'add' else 'no longer has'} the role {name}."
    other = "remove" if what == "add" else "add"
    return view.to(_path(view), said, Choice(_path(view, "/roles"), {"role": name, "what": other}))


@page("POST /apps/{app}/players/{profile}/identities/remove", Right.PLAYERS_CHANGE)
async def unlink(view: View) -> Response:
    """Take from a player one of what they log in with."""
    done = await view.do(
        "player_identity_remove",
        **_of_player(view),
        identity=view.form.get("identity", ""),
        last=bool(view.form.get("last")),
    )
    return view.to(_path(view), f"The player no longer logs in with {done['type']}.")


@page("POST /apps/{app}/players/{profile}/notes", Right.PLAYERS_CHANGE)
async def add_note(view: View) -> Response:
    """Note something about a player."""
    pinned = bool(view.form.get("pinned"))
    done = await view.do("player_note_add", **_of_player(view), text=view.form.get("text", ""), pinned=pinned)
    undo = Choice(_path(view, "/notes/remove"), {"note": done["note_id"]})
    return view.to(_path(view, "/notes"), "Noted.", undo)


@page("POST /apps/{app}/players/{profile}/notes/pin", Right.PLAYERS_CHANGE)
async def pin_note(view: View) -> Response:
    """Let a note be seen first of all, or no longer."""
    note_id, pinned = view.form.get("note", ""), view.form.get("pinned") == "1"
    await view.do("player_note_pin", **_of_player(view), note_id=note_id, pinned=pinned)
    undo = Choice(_path(view, "/notes/pin"), {"note": note_id, "pinned": "" if pinned else "1"})
    return view.to(_path(view, "/notes"), "Pinned." if pinned else "No longer pinned.", undo)


@page("POST /apps/{app}/players/{profile}/notes/remove", Right.PLAYERS_CHANGE)
async def remove_note(view: View) -> Response:
    """Remove a note of one's own."""
    await view.do("player_note_remove", **_of_player(view), note_id=view.form.get("note", ""))
    return view.to(_path(view, "/notes"), "The note is gone.")


@page("POST /apps/{app}/players/{profile}/try", Right.PLAYERS_TRY)
async def try_as(view: View) -> Response:
    """Begin to try things as a player."""
    await view.do("player_try_begin", **_of_player(view))
    return view.to(view.url("/explorer"), "Open an operation and run it as the player.")


@page("POST /apps/{app}/players/{profile}/try/end", Right.PLAYERS_TRY)
async def end_trial(view: View) -> Response:
    """End to try things as a player."""
    await view.do("player_try_end", **_of_player(view))
    return view.to(_path(view), "You act for yourself again.")


# All that is kept


@page("POST /apps/{app}/players/{profile}/export", Right.PLAYERS_ERASE)
async def export(view: View) -> Response:
    """Download everything that is kept of a player."""
    told = await view.do("player_export", **_of_player(view))
    return as_document(f"player-{view.part('profile')}", told)


@page("GET /apps/{app}/players/{profile}/erase", Right.PLAYERS_ERASE)
async def erase(view: View) -> Response:
    """Show what a reset and a deletion would do, and ask."""
    size = await view.do("player_size", **_of_player(view))
    return await card(view, "player_erase.html", size=size, count_max=COUNT_MAX)


@page("POST /apps/{app}/players/{profile}/reset", Right.PLAYERS_ERASE)
async def reset(view: View) -> Response:
    """Remove a player's game data."""
    await _confirmed(view, view.part("profile"))
    await view.do("player_reset", **_of_player(view))
    return view.to(_path(view), "The game data is gone; the player and what they log in with stay.")


@page("POST /apps/{app}/players/{profile}/delete", Right.PLAYERS_ERASE)
async def delete(view: View) -> Response:
    """Delete a player with all that is kept of them."""
    name = await _confirmed(view, view.part("profile"))
    await view.do("player_delete", **_of_player(view))
    return view.to(view.url("/players"), f"{name} is deleted, and so is all that was kept of them.")


@page("GET /apps/{app}/players/{profile}/merge", Right.PLAYERS_ERASE)
async def merge(view: View) -> Response:
    """Ask who is the same person, show what a merge would do, and ask again."""
    text = view.query.get("other", "").strip()
    found = await view.do("player_search", app=view.app_id, text=text, limit=20) if text else []
    others = [each for each in found if each["profile_id"] != view.part("profile")]
    preview = None
    if len(others) == 1:
        words = {"profile": others[0]["profile_id"], "target": view.part("profile")}
        preview = await view.do("player_merge_preview", app=view.app_id, **words)
    return await card(view, "player_merge.html", others=others, text=text, preview=preview)


@page("POST /apps/{app}/players/{profile}/merge", Right.PLAYERS_ERASE)
async def merge_now(view: View) -> Response:
    """Give what is kept of another player to this one, and delete the other."""
    other = view.form.get("other", "")
    name = await _confirmed(view, other)
    await view.do("player_merge", app=view.app_id, profile=other, target=view.part("profile"))
    return view.to(_path(view), f"{name} is one with this player now.")


def called(shown: dict[str, Any]) -> str:
    """Return what has to be typed before something is done to a player that cannot be undone."""
    return str(shown["name"] or shown["profile_id"]).strip()


async def _confirmed(view: View, profile: str) -> str:
    shown = await view.do("player_show", app=view.app_id, profile=profile)
    if view.form.get("confirm", "").strip() != called(shown):
        raise Refused(f"type the name as it stands there, {called(shown)!r}; nothing was done")
    return called(shown)


def _ended(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'} ended."


def _of_player(view: View) -> dict[str, str]:
    return {"app": view.app_id, "profile": view.part("profile")}


def _path(view: View, path: str = "") -> str:
    return view.url(f"/players/{view.part('profile')}{path}")


PAGES = declared(
    players,
    player,
    timeline,
    currencies,
    progress,
    devices,
    mail,
    friends,
    notes,
    disable,
    enable,
    end_sessions,
    reset_mail,
    secure,
    adjust,
    rename,
    role,
    unlink,
    add_note,
    pin_note,
    remove_note,
    try_as,
    end_trial,
    export,
    erase,
    reset,
    delete,
    merge,
    merge_now,
)
