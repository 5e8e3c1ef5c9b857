"""`gameserver player role`: which roles a player has."""

from typing import Annotated

import typer

from gameserver.cli import options
from gameserver.cli.output import say, show_json
from gameserver.cli.reach import do
from gameserver.settings import Settings

roles = typer.Typer(help="Roles of players, as `[backendless]` declares them.", no_args_is_help=True)

Role = Annotated[str, typer.Argument(help="The role, such as Moderator.", show_default=False)]


@roles.command("list", epilog="Examples:\n\n`gameserver player role list 10001 4f0c6a0e-…`")
@options.reaching
def role_list(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List the roles a player was given. Those of logged-in users and of guests come by themselves."""
    _show(do(where, "player_role_list", app=app_id, profile=profile_id), as_json=as_json)


@roles.command("add", epilog="Examples:\n\n`gameserver player role add 10001 4f0c6a0e-… Moderator`")
@options.reaching
def role_add(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    role: Role,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Give a player a role, from their next request on. Prints the roles they have then."""
    _show(do(where, "player_role_add", app=app_id, profile=profile_id, role=role), as_json=as_json)


@roles.command("remove", epilog="Examples:\n\n`gameserver player role remove 10001 4f0c6a0e-… Moderator`")
@options.reaching
def role_remove(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    role: Role,
    *,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Take a role from a player, from their next request on. Prints the roles they keep."""
    _show(do(where, "player_role_remove", app=app_id, profile=profile_id, role=role), as_json=as_json)


def _show(held: list[str], *, as_json: bool) -> None:
    if as_json:
        show_json(held)
    else:
        say(held)
