"""Leaderboards: see who stands where, take a cheater's score out, and put it back if that was wrong."""

import asyncio
from typing import Any

import structlog
from starlette.responses import Response

from gameserver.admin.rights import Right
from gameserver.console.players import above_tabs
from gameserver.console.web import Choice, View, declared, page, segment, whole

log = structlog.get_logger(__name__)

PAGE_ROWS = 50
PATIENCE_SECONDS = 2.0  # with which ranks are awaited that are built again; it goes on without the page


@page("GET /apps/{app}/boards", Right.DATA_READ)
async def boards(view: View) -> Response:
    """List leaderboards."""
    after = view.query.get("after", "")
    if name := view.query.get("go", "").strip():
        return view.to(_path(view, name))
    if file := await view.file("leaderboards", "board_list", app=view.app_id):
        return file
    rows = await view.do("board_list", app=view.app_id, limit=PAGE_ROWS, after=after)
    stored = [row["board"] for row in rows if row["is_stored"]]
    return view.render("boards.html", rows=rows, after=stored[-1] if len(stored) == PAGE_ROWS else "")


@page("GET /apps/{app}/boards/{board}", Right.DATA_READ)
async def board(view: View) -> Response:
    """Show a leaderboard: its versions, and a page of ranks or those around a player."""
    name, around = view.part("board"), view.query.get("around", "").strip()
    version, first = _number(view, "version", -1), _number(view, "first", 0)
    asked: dict[str, Any] = {"app": view.app_id, "board": name}
    if file := await view.file("ranks", "board_ranks", **asked, version=version):
        return file
    shown = await view.do("board_show", **asked)
    ranks = await view.do(
        "board_ranks", **asked, version=version, first=first, limit=PAGE_ROWS, around=around
    )
    entries = ranks["entries"]
    last = entries[-1]["rank"] if entries else 0
    return view.render(
        "board.html",
        board=shown,
        ranks=ranks,
        around=around,
        here=_path(view, name),
        before=max(0, entries[0]["rank"] - 1 - PAGE_ROWS) if entries and entries[0]["rank"] > 1 else None,
        following=last if last < ranks["size"] else None,
    )


@page("POST /apps/{app}/boards/{board}/rebuild", Right.BOARDS_CHANGE)
async def rebuild(view: View) -> Response:
    """Build the ranks of a leaderboard again."""
    name = view.part("board")
    await view.do("board_show", app=view.app_id, board=name)  # there is one
    task = asyncio.create_task(view.do("leaderboard_rebuild", app=view.app_id, board=name))
    _running.add(task)
    task.add_done_callback(_ended)
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    if not task.done():
        return view.to(_path(view, name), "The ranks are being built again; this page tells how far it is.")
    done = task.result()
    return view.to(_path(view, name), f"The ranks are built again, of {done['entries']} scores.")


_running: set[asyncio.Task[Any]] = set()


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("board_not_rebuilt", reason=str(error))


@page("POST /apps/{app}/boards/{board}/scores/remove", Right.BOARDS_CHANGE)
async def remove(view: View) -> Response:
    """Remove a score; the page that follows offers to put it back."""
    form, name = view.form, view.part("board")
    done = await view.do(
        "score_remove",
        app=view.app_id,
        board=name,
        member=form.get("member", ""),
        version=whole(form.get("version", ""), "a version"),
        entry=form.get("entry", ""),
    )
    undo = Choice(view.url(f"/scores/{done['change']}/restore"), {"back": form.get("back", "")})
    return view.back(f"Removed from {name}; the ranks have closed up.", undo)


@page("POST /apps/{app}/scores/{change}/restore", Right.BOARDS_CHANGE)
async def restore(view: View) -> Response:
    """Put a removed score back."""
    done = await view.do("score_restore", app=view.app_id, change=view.part("change"))
    return view.back(f"Put back on {done['board']}: score, time and data as they were.")


@page("GET /apps/{app}/players/{profile}/boards", Right.DATA_READ)
async def of_player(view: View) -> Response:
    """Show where a player stands on each leaderboard."""
    profile = view.part("profile")
    if file := await view.file("standings", "player_boards", app=view.app_id, profile=profile):
        return file
    player = await view.do("player_show", app=view.app_id, profile=profile)
    rows = await view.do("player_boards", app=view.app_id, profile=profile)
    return view.render("player_boards.html", **await above_tabs(view, player), rows=rows)


def _path(view: View, board: str) -> str:
    return view.url(f"/boards/{segment(board)}")


def _number(view: View, name: str, default: int) -> int:
    text = view.query.get(name, "")
    return whole(text, f"what {name} says") if text else default


PAGES = declared(boards, board, rebuild, remove, restore, of_player)
