"""`gameserver mail`: what became of mail."""

from typing import Annotated

import typer

from gameserver.cli import options
from gameserver.cli.output import show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

STATES = ("waiting", "sent", "failed", "not_sent")
_COLUMNS = {
    "created_ms": "WHEN",
    "state": "STATE",
    "reason": "REASON",
    "tries": "TRIES",
    "sender_id": "FROM",
    "receiver_id": "TO",
    "letter_id": "ID",
}

mail = typer.Typer(help="Mail that players and servers have sent, and what was not.", no_args_is_help=True)


@mail.callback()
def _group() -> None:
    """Keep the name of the command below, although there is but one."""


@mail.command(
    "list",
    epilog="Examples:\n\n`gameserver mail list 10001 --state failed --since 2030-01-31`\n\n"
    "`gameserver mail list 10001 --to 1b2c --json`",
)
@options.reaching
def mail_list(
    app_id: options.AppId,
    *,
    sender: Annotated[str, typer.Option("--from", help="Only those that this player has sent.")] = "",
    receiver: Annotated[str, typer.Option("--to", help="Only those to this player.")] = "",
    state: Annotated[str, typer.Option("--state", help=f"One of {', '.join(STATES)}.")] = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List what became of an app's mail, the newest first, for 30 days. Addresses are not told."""
    if state and state not in STATES:
        raise typer.BadParameter(f"expected one of {', '.join(STATES)}", param_hint="--state")
    wanted = {"sender_id": sender, "receiver_id": receiver, "state": state}
    rows = do(
        where,
        "mail_list",
        app=app_id,
        limit=limit,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal={name: value for name, value in wanted.items() if value},
    )
    show_rows(rows, _COLUMNS, as_json=as_json, none="no mail")
