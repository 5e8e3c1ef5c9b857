"""`gameserver player`: find players, lock them out, and decide over all that is kept of them."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gameserver.cli import options
from gameserver.cli.output import fail, say, show_json, show_more, show_record, show_rows
from gameserver.cli.reach import do
from gameserver.cli.roles import roles
from gameserver.settings import Settings

_COLUMNS = {
    "profile_id": "PROFILE",
    "name": "NAME",
    "last_login_ms": "LAST LOGIN",
    "is_disabled": "DISABLED",
    "login_count": "LOGINS",
    "created_ms": "CREATED",
}

players = typer.Typer(
    help="Players: find, inspect, lock out, export, reset, delete, merge.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
players.add_typer(roles, name="role")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; for programs.")]


@players.command(
    "list",
    epilog="Examples:\n\n`gameserver player list 10001`\n\n`gameserver player list 10001 --limit 500 --json`",
)
@options.reaching
def player_list(
    app_id: options.AppId,
    *,
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="Profile id of the last player already seen.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List the players of an app, the oldest first."""
    rows = do(where, "player_list", app=app_id, limit=limit, after=after)
    show_rows(rows, _COLUMNS, as_json=as_json, none="no players")
    show_more(rows, "profile_id", limit, as_json=as_json)


@players.command(
    "find",
    epilog="Examples:\n\n`gameserver player find 10001 ada@example.com`\n\n"
    "`gameserver player find 10001 Ada --json`",
)
@options.reaching
def player_find(
    app_id: options.AppId,
    text: Annotated[
        str,
        typer.Argument(
            help="A profile id, a name, a mail address, or what somebody logs in with.", show_default=False
        ),
    ],
    *,
    limit: options.Limit = 50,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Find players by the whole profile id, name, mail address or external id, spelt as it is."""
    rows = do(where, "player_find", app=app_id, text=text, limit=limit)
    show_rows(rows, _COLUMNS, as_json=as_json, none="no such player")


@players.command("show", epilog="Examples:\n\n`gameserver player show 10001 4f0c6a0e-…`")
@options.reaching
def player_show(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Show a player with identities and open sessions."""
    show_record(do(where, "player_show", app=app_id, profile=profile_id), as_json=as_json)


@players.command("disable", epilog="Examples:\n\n`gameserver player disable 10001 4f0c6a0e-…`")
@options.reaching
def player_disable(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Lock a player out: logins are refused, and open sessions end at once on every process."""
    show_record(do(where, "player_disable", app=app_id, profile=profile_id), as_json=as_json)


@players.command("enable", epilog="Examples:\n\n`gameserver player enable 10001 4f0c6a0e-…`")
@options.reaching
def player_enable(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Let a disabled player log in again."""
    show_record(do(where, "player_enable", app=app_id, profile=profile_id), as_json=as_json)


@players.command(
    "export",
    epilog="Examples:\n\n`gameserver player export 10001 4f0c6a0e-…`\n\n"
    "`gameserver player export 10001 4f0c6a0e-… --to ada.json`",
)
@options.reaching
def player_export(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", dir_okay=False, help="File to write, readable by you alone; it must not exist yet."
        ),
    ] = None,
    where: Settings,
) -> None:
    """Write everything that is kept of a player as one JSON document, for the person to read.

    An object for each service, under the names clients know; times are milliseconds since 1970. Password
    digests, session ids and tokens that open an account are not in it.
    """
    if to is not None and to.exists():
        fail(f"{to} exists already")
    found = do(where, "player_export", app=app_id, profile=profile_id)
    if to is None:
        show_json(found)
        return
    text = msgspec.json.format(msgspec.json.encode(found), indent=2)
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text + b"\n")
    except OSError as error:
        fail(str(error))
    say([f"written: {to}"])


@players.command("reset", epilog="Examples:\n\n`gameserver player reset 10001 4f0c6a0e-… --yes`")
@options.reaching
def player_reset(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    yes: Yes = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Remove a player's game data: entities, statistics, scores, tournaments, statuses and attributes.

    The player stays, and with them name, identities, currencies, global entities and open sessions. It is
    what a client's own data reset does.
    """
    _ask(f"Remove the game data of player {profile_id} of app {app_id}?", yes=yes)
    show_record(do(where, "player_reset", app=app_id, profile=profile_id), as_json=as_json)


@players.command("delete", epilog="Examples:\n\n`gameserver player delete 10001 4f0c6a0e-… --yes`")
@options.reaching
def player_delete(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    yes: Yes = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Delete a player with everything that is kept of them, and end their sessions on every process.

    The identities are free again. Events of the audit stay as long as the app keeps them, and answers of the
    last packets for a day. A command that was cut short may be given again.
    """
    _ask(f"Delete player {profile_id} of app {app_id} with everything that is kept of them?", yes=yes)
    show_record(do(where, "player_delete", app=app_id, profile=profile_id), as_json=as_json)


@players.command("merge", epilog="Examples:\n\n`gameserver player merge 10001 4f0c6a0e-… 93b1d2aa-… --yes`")
@options.reaching
def player_merge(
    app_id: options.AppId,
    profile_id: Annotated[
        str, typer.Argument(metavar="FROM", help="The profile id that goes.", show_default=False)
    ],
    target: Annotated[
        str, typer.Argument(metavar="INTO", help="The profile id that stays.", show_default=False)
    ],
    *,
    yes: Yes = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Make one player of two who are the same person: FROM is deleted, what was theirs becomes INTO's.

    Every identity of FROM then leads to INTO. Entities, devices and roles move, and so do tournament entries
    where INTO has none; of two singletons of a type INTO's stays. Balances, experience points and statistics
    add up (a statistic may say when_merged = "keep"), without new rewards. Of two scores the better one
    stays, the later one, or their sum, by the type of the board. INTO's name, profile and properties stay as
    they are. FROM's sessions and refresh tokens end.

    All of it happens in one transaction, or nothing. A command that was cut short may be given again.
    """
    _ask(f"Delete player {profile_id} of app {app_id} and give what was theirs to {target}?", yes=yes)
    done = do(where, "player_merge", app=app_id, profile=profile_id, target=target)
    show_record(done, as_json=as_json)


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        fail("nothing was done; --yes does it without asking")
