"""`gameserver staff`: who of the studio may open the console, and keys for programs."""

from typing import Annotated, Any

import typer

from gameserver import console
from gameserver.admin.rights import EVERY_APP, ROLES, Right
from gameserver.cli import options
from gameserver.cli.output import say, show_record, show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

_COLUMNS = {
    "name": "NAME",
    "roles": "ROLES",
    "also": "ALSO",
    "has_password": "PASSWORD",
    "has_second_factor": "SECOND FACTOR",
    "signs_on": "SIGN-ON",
    "is_disabled": "SHUT OUT",
    "created_ms": "SINCE",
}
_KEYS = {"label": "LABEL", "owner": "OWNER", "roles": "ROLES", "until_ms": "UNTIL", "key": "KEY"}
Name = Annotated[str, typer.Argument(help="What somebody is called in the console.", show_default=False)]
Role = Annotated[str, typer.Option("--role", help=f"One of {', '.join(ROLES)}.", show_default=False)]
OfApp = Annotated[str, typer.Option("--app", help="Id of the app where the role holds; * is every app.")]

staff = typer.Typer(
    help="Staff: who may open the console and what they may do there; keys for programs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
keys = typer.Typer(
    help="Keys with which programs use the API of the admin address.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
staff.add_typer(keys, name="key")


@staff.command("list", epilog="Examples:\n\n`gameserver staff list --json`")
@options.reaching
def staff_list(*, where: Settings, as_json: options.AsJson = False) -> None:
    """List who may open the console."""
    show_rows(
        do(where, "staff_list"), _COLUMNS, as_json=as_json, none="nobody yet: gameserver staff add NAME"
    )


@staff.command(
    "add",
    epilog="Examples:\n\n`gameserver staff add ada --role admin`\n\n"
    "`gameserver staff add bob --role support --app 10001 --also contacts.read --second-factor`",
)
@options.reaching
def staff_add(
    name: Name,
    *,
    role: Role,
    app: OfApp = EVERY_APP,
    also: Annotated[
        list[str] | None, typer.Option("--also", help=f"A right beside the role: {', '.join(Right)}.")
    ] = None,
    second_factor: Annotated[
        bool, typer.Option("--second-factor", help="They have to use an authenticator.")
    ] = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Let somebody in, or give them a role in another app. Prints the path of a link for their password.

    The link works once, within a day, behind the address that `gameserver serve` prints for the console.
    """
    done = do(where, "staff_add", name=name, role=role, app=app, also=also, needs_second_factor=second_factor)
    _show(done, as_json=as_json)


@staff.command("reset", epilog="Examples:\n\n`gameserver staff reset ada`")
@options.reaching
def staff_reset(name: Name, *, where: Settings, as_json: options.AsJson = False) -> None:
    """Take password and second factor from somebody who lost them, and print the path of a new link."""
    _show(do(where, "staff_reset", name=name), as_json=as_json)


@staff.command(
    "remove", epilog="Examples:\n\n`gameserver staff remove bob`\n\n`gameserver staff remove bob --app 10001`"
)
@options.reaching
def staff_remove(
    name: Name,
    *,
    app: Annotated[str, typer.Option("--app", help="Only the role in this app.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Take somebody's role in an app, or all of it; their sessions and keys end at once."""
    show_record(do(where, "staff_remove", name=name, app=app), as_json=as_json)


@staff.command("disable", epilog="Examples:\n\n`gameserver staff disable bob`")
@options.reaching
def staff_disable(name: Name, *, where: Settings, as_json: options.AsJson = False) -> None:
    """Shut somebody out, whatever way they come; their sessions end, and their keys open nothing."""
    show_record(do(where, "staff_disable", name=name), as_json=as_json)


@staff.command("enable", epilog="Examples:\n\n`gameserver staff enable bob`")
@options.reaching
def staff_enable(name: Name, *, where: Settings, as_json: options.AsJson = False) -> None:
    """Let somebody in again who was shut out."""
    show_record(do(where, "staff_enable", name=name), as_json=as_json)


@keys.command("list", epilog="Examples:\n\n`gameserver staff key list`")
@options.reaching
def key_list(*, where: Settings, as_json: options.AsJson = False) -> None:
    """List the keys of programs. What opens the door is not kept."""
    show_rows(do(where, "key_list"), _KEYS, as_json=as_json, none="no keys")


@keys.command(
    "add", epilog="Examples:\n\n`gameserver staff key add nightly --owner ada --role viewer --app 10001`"
)
@options.reaching
def key_add(
    label: Annotated[str, typer.Argument(help="What the key is for.", show_default=False)],
    *,
    owner: Annotated[
        str, typer.Option("--owner", help="Whose it is: it may do no more than they may.", show_default=False)
    ],
    role: Role,
    app: OfApp = EVERY_APP,
    days: Annotated[int, typer.Option("--days", help="How long it works.")] = 365,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Make a key, and print it this once."""
    done = do(where, "key_add", label=label, owner=owner, role=role, app=app, days=days)
    show_record(done, as_json=as_json)


@keys.command("remove", epilog="Examples:\n\n`gameserver staff key remove 5f0c…`")
@options.reaching
def key_remove(
    key: Annotated[str, typer.Argument(help="As `gameserver staff key list` shows it.", show_default=False)],
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """End a key at once."""
    show_record(do(where, "key_remove", key=key), as_json=as_json)


def _show(done: dict[str, Any], *, as_json: bool) -> None:
    show_record(done, as_json=as_json)
    if done["invitation"] and not as_json:
        say(
            f"They choose a password at {console.BASE}/welcome/{done['invitation']} of the console's address."
        )
