"""`gameserver datastream`: what clients have reported."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from gameserver.cli import options
from gameserver.cli.output import show_more, show_rows
from gameserver.cli.reach import do
from gameserver.services.data_stream import KINDS
from gameserver.settings import Settings

BRIEF = 100  # characters of a report that a table shows
_COLUMNS = {
    "at_ms": "WHEN",
    "kind": "KIND",
    "name": "NAME",
    "brief": "DATA",
    "profile_id": "PROFILE",
    "platform": "PLATFORM",
    "game_version": "VERSION",
    "id": "ID",
}

datastream = typer.Typer(help="Events and crashes that clients report.", no_args_is_help=True)


@datastream.callback()
def _group() -> None:
    """Keep the name of the command below, although there is but one."""


@datastream.command(
    "list",
    epilog="Examples:\n\n`gameserver datastream list 10001 --kind crash --since 2030-01-31`\n\n"
    "`gameserver datastream list 10001 --name LevelUp --limit 500 --json`",
)
@options.reaching
def datastream_list(
    app_id: options.AppId,
    *,
    profile: Annotated[str, typer.Option("--profile", help="Only reports of this player.")] = "",
    kind: Annotated[str, typer.Option("--kind", help=f"One of {', '.join(KINDS)}.")] = "",
    name: Annotated[str, typer.Option("--name", help="The name of an event, or the type of a crash.")] = "",
    platform: Annotated[
        str, typer.Option("--platform", help="Only from games on this platform, such as IOS.")
    ] = "",
    version: Annotated[str, typer.Option("--game-version", help="Only from games of this version.")] = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="Id of the last report already seen.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List reports of an app, the newest first.

    A table shows how their data begin, and of a crash its message; --json has all of it. The app's
    `[dataStream]` says how long reports are kept.
    """
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"expected one of {', '.join(KINDS)}", param_hint="--kind")
    wanted = {
        "profile_id": profile,
        "kind": kind,
        "name": name,
        "platform": platform,
        "game_version": version,
    }
    rows = do(
        where,
        "datastream_list",
        app=app_id,
        limit=limit,
        after=after,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal={name: value for name, value in wanted.items() if value},
    )
    shown = rows if as_json else [{**row, "brief": _brief(row)} for row in rows]
    show_rows(shown, _COLUMNS, as_json=as_json, none="no reports")
    show_more(rows, "id", limit, as_json=as_json)


def _brief(row: Mapping[str, Any]) -> str:
    data = row["data"]
    text = data["errorMsg"] if row["kind"] == "crash" else msgspec.json.encode(data).decode()
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 1]}…"
