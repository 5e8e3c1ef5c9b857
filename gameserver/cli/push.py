"""`gameserver push`: what became of push notifications."""

from typing import Annotated

import typer

from gameserver.cli import options
from gameserver.cli.output import show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

STATES = ("waiting", "sent", "failed", "not_sent")
_COLUMNS = {
    "created_ms": "WHEN",
    "kind": "PLATFORM",
    "state": "STATE",
    "reason": "REASON",
    "tries": "TRIES",
    "profile_id": "PROFILE",
    "push_id": "PUSH",
}

push = typer.Typer(help="Push notifications that were sent, and those that were not.", no_args_is_help=True)


@push.callback()
def _group() -> None:
    """Keep the name of the command below, although there is but one."""


@push.command(
    "list",
    epilog="Examples:\n\n`gameserver push list 10001 --state failed --since 2030-01-31`\n\n"
    "`gameserver push list 10001 --profile 1b2c --json`",
)
@options.reaching
def push_list(
    app_id: options.AppId,
    *,
    profile: Annotated[str, typer.Option("--profile", help="Only those to this player.")] = "",
    state: Annotated[str, typer.Option("--state", help=f"One of {', '.join(STATES)}.")] = "",
    platform: Annotated[
        str, typer.Option("--platform", help="Only those to devices of this platform, such as IOS.")
    ] = "",
    reason: Annotated[
        str, typer.Option("--reason", help="What the provider said, such as BadDeviceToken.")
    ] = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List what became of an app's notifications on each device, the newest first.

    The app's `[pushNotification]` says for how many days it is kept.
    """
    if state and state not in STATES:
        raise typer.BadParameter(f"expected one of {', '.join(STATES)}", param_hint="--state")
    wanted = {"profile_id": profile, "state": state, "kind": platform.upper(), "reason": reason}
    rows = do(
        where,
        "push_list",
        app=app_id,
        limit=limit,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal={name: value for name, value in wanted.items() if value},
    )
    show_rows(rows, _COLUMNS, as_json=as_json, none="no notifications")
