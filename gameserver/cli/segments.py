"""`gameserver segment`: who belongs to which segment of an app, and a refresh of all players."""

from typing import Annotated

import typer

from gameserver.cli import options
from gameserver.cli.output import show_record, show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

_COLUMNS = {
    "segment": "SEGMENT",
    "name": "NAME",
    "members": "MEMBERS",
    "version": "VERSION",
    "description": "DESCRIPTION",
}
_MEMBERS = {"profile": "PROFILE", "name": "NAME", "since_ms": "SINCE"}

segments = typer.Typer(help="Segments of players: who belongs to them.", no_args_is_help=True)


@segments.command("list", epilog="Examples:\n\n`gameserver segment list 10001`")
@options.reaching
def segment_list(
    app_id: options.AppId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List the segments of an app, and how many players belong to each, counted up to 10 000."""
    rows = do(where, "segment_list", app=app_id)
    shown = (
        rows if as_json else [{**row, "members": f"{row['members']}{'+' * row['has_more']}"} for row in rows]
    )
    show_rows(shown, _COLUMNS, as_json=as_json, none="no segments")


@segments.command("members", epilog="Examples:\n\n`gameserver segment members 10001 7 --limit 500 --json`")
@options.reaching
def segment_members(
    app_id: options.AppId,
    segment: Annotated[int, typer.Argument(help="Its number.")],
    *,
    after: Annotated[str, typer.Option("--after", help="Only players behind this id.")] = "",
    limit: options.Limit = 50,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List the players of a segment, by their ids."""
    rows = do(where, "segment_members", app=app_id, segment=segment, limit=limit, after=after)
    show_rows(rows, _MEMBERS, as_json=as_json, none="no players")


@segments.command("refresh", epilog="Examples:\n\n`gameserver segment refresh 10001`")
@options.reaching
def segment_refresh(
    app_id: options.AppId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Begin to work out anew, for all players, who belongs to which segment. A job does it, in the server."""
    show_record(do(where, "segment_refresh", app=app_id), as_json=as_json)
