"""`gameserver logs`: what an app's scripts and servers have logged."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import typer

from gameserver.cli import options
from gameserver.cli.output import log_line, show_more, show_rows, wire_spelling
from gameserver.cli.reach import Do, do, keep_doing
from gameserver.players.app_log import LEVELS
from gameserver.settings import Settings

PAGE = 500
POLL_SECONDS = 1.0
OVERLAP_MS = 15_000  # lines are written a moment late, and clocks of processes differ
REMEMBERED = 20_000  # lines that have been shown already
_COLUMNS = {
    "at_ms": "WHEN",
    "level": "LEVEL",
    "message": "MESSAGE",
    "source": "SOURCE",
    "context": "CONTEXT",
    "profile_id": "PROFILE",
    "face": "FACE",
    "id": "ID",
}


@options.reaching
def logs(
    app_id: options.AppId,
    *,
    level: Annotated[str, typer.Option("--level", help=f"This level and worse: {', '.join(LEVELS)}.")] = "",
    player: Annotated[
        str, typer.Option("--player", help="Only what was logged on behalf of this profile.")
    ] = "",
    source: Annotated[
        str,
        typer.Option("--source", help="Only of this server, by its name, or of this script, by its path."),
    ] = "",
    text: Annotated[str, typer.Option("--text", help="Only messages that contain this text.")] = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="Id of the last line already seen.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show the newest lines, then each that comes.")
    ] = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Show what scripts and servers have logged, the newest first.

    With --follow the newest is the last line, and more come until you press Ctrl-C. A table shows texts as
    far as they fit; --json has all of them. The app's `[log]` says how long lines are kept.
    """
    if level and level not in LEVELS:
        raise typer.BadParameter(f"expected one of {', '.join(LEVELS)}", param_hint="--level")
    wanted: dict[str, Any] = {
        "app": app_id,
        "level": level,
        "text": text,
        "equal": {name: value for name, value in (("profile_id", player), ("source", source)) if value},
    }
    if not follow:
        span: dict[str, Any] = {
            "since_ms": options.in_ms(since),
            "until_ms": options.in_ms(until),
            "after": after,
        }
        rows = do(where, "log_list", limit=limit, **span, **wanted)
        show_rows(rows, _COLUMNS, as_json=as_json, none="no lines")
        show_more(rows, "id", limit, as_json=as_json)
        return
    if until is not None or after:
        raise typer.BadParameter("it has no end, and begins with the newest lines", param_hint="--follow")
    show = _show_json if as_json else _show_line

    async def watch(act: Do) -> None:
        first = await act("log_list", limit=limit, since_ms=options.in_ms(since), **wanted)
        await follow_on(act, wanted, first, show)

    keep_doing(where, watch)


async def follow_on(
    act: Do, wanted: dict[str, Any], first: Sequence[dict[str, Any]], show: Callable[[dict[str, Any]], None]
) -> None:
    """Show lines and those that come after them, for ever."""
    seen, order = set[str](), deque[str]()
    fresh, newest = list(first), 0
    while True:
        for row in sorted(fresh, key=lambda row: str(row["id"])):
            if row["id"] not in seen:
                show(row)
                seen.add(row["id"])
                order.append(row["id"])
            newest = max(newest, row["at_ms"])
        while len(order) > REMEMBERED:
            seen.discard(order.popleft())
        await asyncio.sleep(POLL_SECONDS)
        fresh = []
        page: list[dict[str, Any]] = []
        while True:
            last = page[-1]["id"] if page else ""
            page = await act("log_list", limit=PAGE, since_ms=newest - OVERLAP_MS, after=last, **wanted)
            fresh += page
            if len(page) < PAGE or page[-1]["id"] in seen:
                break


def _show_line(row: dict[str, Any]) -> None:
    parts = [
        row["source"],
        row["profile_id"],
        row["context"] and msgspec.json.encode(row["context"]).decode(),
    ]
    sys.stdout.write(log_line(row["at_ms"], row["level"], row["message"], *(p for p in parts if p)) + "\n")
    sys.stdout.flush()


def _show_json(row: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(wire_spelling(row)).decode() + "\n")
    sys.stdout.flush()
