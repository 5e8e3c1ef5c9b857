"""`gameserver webhook`: addresses of the studio that are told what happens."""

from typing import Annotated, Any

import typer

from gameserver.cli import options
from gameserver.cli.output import Exit, show_more, show_record, show_rows
from gameserver.cli.reach import do
from gameserver.players.webhooks.deliveries import STATES
from gameserver.settings import Settings

_TARGETS = {
    "name": "TARGET",
    "state": "STATE",
    "waiting": "WAITING",
    "failed": "FAILED",
    "oldest_waiting_ms": "OLDEST WAITING",
    "failing_since_ms": "FAILING SINCE",
    "reason": "WHY DISABLED",
    "events": "EVENTS",
    "url": "URL",
}
_DELIVERIES = {
    "at_ms": "WHEN",
    "event": "EVENT",
    "target": "TARGET",
    "state": "STATE",
    "attempts": "TRIES",
    "status": "STATUS",
    "error": "ERROR",
    "profile_id": "PROFILE",
    "id": "ID",
}
TargetName = Annotated[
    str, typer.Argument(help="The target, as [webhooks.outgoing] names it.", show_default=False)
]
ByTarget = Annotated[str, typer.Option("--target", help="Only those for this target.")]
ByState = Annotated[str, typer.Option("--state", help=f"One of {', '.join(STATES)}.")]
ByEvent = Annotated[str, typer.Option("--event", help="Only this event, such as player.created.")]
ByPlayer = Annotated[str, typer.Option("--profile", help="Only events of this player.")]

webhooks = typer.Typer(
    help="Outgoing webhooks: addresses that are told what happens.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@webhooks.command("list", epilog="Examples:\n\n`gameserver webhook list 10001 --json`")
@options.reaching
def webhook_list(app_id: options.AppId, *, where: Settings, as_json: options.AsJson = False) -> None:
    """List the targets of an app: whether they take what they are told, what waits, what has failed.

    A disabled one is told no more until `gameserver webhook enable`.
    """
    rows = do(where, "webhook_list", app=app_id)
    show_rows(rows, _TARGETS, as_json=as_json, none="the app declares no targets in [webhooks.outgoing]")


@webhooks.command(
    "deliveries",
    epilog="Examples:\n\n`gameserver webhook deliveries 10001 --target crm --state failed`\n\n"
    "`gameserver webhook deliveries 10001 --event player.created --since 2030-01-31 --json`",
)
@options.reaching
def webhook_deliveries(
    app_id: options.AppId,
    *,
    target: ByTarget = "",
    state: ByState = "",
    event: ByEvent = "",
    profile: ByPlayer = "",
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="Id of the last delivery already seen.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List deliveries of an app, the newest first: how often each was tried, and what came of it.

    The app's `[webhooks]` says how many days they are kept.
    """
    rows = do(
        where,
        "webhook_deliveries",
        app=app_id,
        limit=limit,
        after=after,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal=_picked(target, state, event, profile),
    )
    show_rows(rows, _DELIVERIES, as_json=as_json, none="no deliveries")
    show_more(rows, "id", limit, as_json=as_json)


@webhooks.command("show", epilog="Examples:\n\n`gameserver webhook show 10001 DELIVERY`")
@options.reaching
def webhook_show(
    app_id: options.AppId,
    delivery: Annotated[str, typer.Argument(help="The id of a delivery, as `deliveries` lists it.")],
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Show a delivery: what it tells, and how the last answer began."""
    show_record(do(where, "webhook_show", app=app_id, delivery=delivery), as_json=as_json)


@webhooks.command(
    "replay",
    epilog="Examples:\n\n`gameserver webhook replay 10001 DELIVERY`\n\n"
    "`gameserver webhook replay 10001 --target crm --since 2030-01-31`",
)
@options.reaching
def webhook_replay(
    app_id: options.AppId,
    delivery: Annotated[
        str, typer.Argument(help="The id of a delivery; without it, all that fit the options.")
    ] = "",
    *,
    target: ByTarget = "",
    state: ByState = "",
    event: ByEvent = "",
    profile: ByPlayer = "",
    since: options.Since = None,
    until: options.Until = None,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Send deliveries again, now and as if for the first time: one, or all that fit. Their ids stay the same.

    Without --state those that have failed.
    """
    picked = _picked(target, state, event, profile)
    if delivery and (picked or since or until):
        raise typer.BadParameter("name a delivery or say which ones, not both")
    told = do(
        where,
        "webhook_replay",
        app=app_id,
        delivery=delivery,
        since_ms=options.in_ms(since),
        until_ms=options.in_ms(until),
        equal=picked,
    )
    show_record(told, as_json=as_json)


@webhooks.command("test", epilog="Examples:\n\n`gameserver webhook test 10001 crm`")
@options.reaching
def webhook_test(
    app_id: options.AppId, target: TargetName, *, where: Settings, as_json: options.AsJson = False
) -> None:
    """Send the event webhook.test to a target and show what it answers. Ends with 1 if that is not 2xx."""
    told = do(where, "webhook_test", app=app_id, target=target)
    show_record(told, as_json=as_json)
    if not told["delivered"]:
        raise typer.Exit(Exit.REFUSED)


@webhooks.command("enable", epilog="Examples:\n\n`gameserver webhook enable 10001 crm`")
@options.reaching
def webhook_enable(
    app_id: options.AppId, target: TargetName, *, where: Settings, as_json: options.AsJson = False
) -> None:
    """Tell a target again that was disabled. What it has missed: `gameserver webhook replay`."""
    show_record(do(where, "webhook_enable", app=app_id, target=target), as_json=as_json)


def _picked(target: str, state: str, event: str, profile: str) -> dict[str, Any]:
    if state and state not in STATES:
        raise typer.BadParameter(f"expected one of {', '.join(STATES)}", param_hint="--state")
    wanted = {"target": target, "state": state, "event": event, "profile_id": profile}
    return {name: value for name, value in wanted.items() if value}
