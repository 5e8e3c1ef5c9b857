"""Players: find one, see everything about them, and do what they ask for."""

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.web import View, as_file, declared, page

PAGE_ROWS = 50
DAY_MS = 86_400_000
BANS = {"1": "1 day", "7": "7 days", "30": "30 days", "": "for good"}


@page("GET /apps/{app}/players", Right.PLAYERS_READ)
async def players(view: View) -> Response:
    """List players, the newest first, or those whom a text finds."""
    text, after = view.query.get("q", "").strip(), view.query.get("after", "")
    if text:
        rows = await view.do("player_search", app=view.app_id, text=text, limit=PAGE_ROWS)
    else:
        rows = await view.do("player_newest", app=view.app_id, limit=PAGE_ROWS, after=after)
    if kind := view.query.get("as"):
        return as_file("players", rows, "json" if kind == "json" else "csv")
    is_last = bool(text) or len(rows) < PAGE_ROWS
    return view.render("players.html", rows=rows, text=text, after="" if is_last else rows[-1]["profile_id"])


@page("GET /apps/{app}/players/{profile}", Right.PLAYERS_READ)
async def player(view: View) -> Response:
    """Show a player: who they are, how they log in, what is open."""
    profile = view.part("profile")
    shown = await view.do("player_show", app=view.app_id, profile=profile)
    return view.render("player.html", player=shown, tab="overview", bans=BANS)


@page("POST /apps/{app}/players/{profile}/disable", Right.PLAYERS_CHANGE)
async def disable(view: View) -> Response:
    """Lock a player out, for a time or for good."""
    days = view.form.get("days", "")
    if days not in BANS:
        raise Refused("choose for how long")
    until = view.now_ms + int(days) * DAY_MS if days else None
    profile = view.part("profile")
    done = await view.do("player_disable", app=view.app_id, profile=profile, until_ms=until)
    said = f"Disabled {BANS[days] if days else 'for good'}; {done['sessions_ended']} sessions ended."
    return view.to(view.url(f"/players/{profile}"), said)


@page("POST /apps/{app}/players/{profile}/enable", Right.PLAYERS_CHANGE)
async def enable(view: View) -> Response:
    """Let a player in again."""
    profile = view.part("profile")
    await view.do("player_enable", app=view.app_id, profile=profile)
    return view.to(view.url(f"/players/{profile}"), "The player can log in again.")


@page("POST /apps/{app}/players/{profile}/sessions/end", Right.PLAYERS_CHANGE)
async def end_sessions(view: View) -> Response:
    """End a player's sessions, or one of them."""
    profile, session = view.part("profile"), view.form.get("session", "")
    one = {"session": session} if session else {"profile": profile}
    done = await view.do("session_end", app=view.app_id, **one)
    return view.to(view.url(f"/players/{profile}"), f"{len(done['ended'])} sessions ended.")


PAGES = declared(players, player, disable, enable, end_sessions)
