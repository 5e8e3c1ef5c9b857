"""`gameserver audit`: who got in, who was refused, whose sessions ended and why, what was done to players."""

from typing import Annotated

import typer

from gameserver.cli import options
from gameserver.cli.output import show_more, show_rows
from gameserver.cli.reach import do
from gameserver.players.audit import KINDS
from gameserver.settings import Settings

_COLUMNS = {
    "at_ms": "WHEN",
    "kind": "EVENT",
    "reason": "REASON",
    "profile_id": "PROFILE",
    "face": "FACE",
    "address": "ADDRESS",
    "times": "TIMES",
    "id": "ID",
}

audit = typer.Typer(
    help="Logins, refused logins, ended sessions, and what was done to players.", no_args_is_help=True
)


@audit.callback()
def _group() -> None:
    """Keep the name of the command below, although there is but one."""


@audit.command(
    "list",
    epilog="Examples:\n\n`gameserver audit list 10001 --event refusal --since 2030-01-31`\n\n"
    "`gameserver audit list 10001 --profile 4f0c6a0e-… --json`",
)
@options.reaching
def audit_list(
    app_id: options.AppId,
    *,
    profile: Annotated[str, typer.Option("--profile", help="Only events of this player.")] = "",
    event: Annotated[str, typer.Option("--event", help=f"One of {', '.join(KINDS)}.")] = "",
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            help="The type of a login, the reason code of a refusal, or why a session ended, such as "
            "logged_out, replaced, revoked, disabled, deleted, password_reset; of a player: exported, reset, "
            "deleted, merged_into:ID, merged_from:ID.",
        ),
    ] = "",
    face: Annotated[str, typer.Option("--face", help="Only through this face, such as dispatcher.")] = "",
    address: Annotated[str, typer.Option("--address", help="Only from this network address.")] = "",
    session: Annotated[str, typer.Option("--session", help="The session, as `session list` names it.")] = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="Id of the last event already seen.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List events of an app, the newest first.

    Servers write them within a second or so. A refusal that came many times within that is listed once,
    with the number of times; the app's `[audit]` says how long events are kept.
    """
    if event and event not in KINDS:
        raise typer.BadParameter(f"expected one of {', '.join(KINDS)}", param_hint="--event")
    wanted = {
        "profile_id": profile,
        "kind": event,
        "reason": reason,
        "face": face,
        "address": address,
        "session": session,
    }
    rows = do(
        where,
        "audit_list",
        app=app_id,
        limit=limit,
        after=after,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal={name: value for name, value in wanted.items() if value},
    )
    show_rows(rows, _COLUMNS, as_json=as_json, none="no events")
    show_more(rows, "id", limit, as_json=as_json)
