"""`gameserver player role`: which roles a player has."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gameserver.cli import options
from gameserver.cli.output import say, show_json
from gameserver.cli.reach import do
from gameserver.settings import Settings

_DEFAULT = Settings()

roles = typer.Typer(help="Roles of players, as `[backendless]` declares them.", no_args_is_help=True)

Role = Annotated[str, typer.Argument(help="The role, such as Moderator.", show_default=False)]


@roles.command("list", epilog="Examples:\n\n`gameserver player role list 10001 4f0c6a0e-…`")
def role_list(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    *,
    apps: options.Apps = _DEFAULT.apps,
    data: options.Data = _DEFAULT.data,
    redis: options.Redis = "",
    database: options.Database = "",
    as_json: options.AsJson = False,
) -> None:
    """List the roles a player was given. Those of logged-in users and of guests come by themselves."""
    _do("player_role_list", apps, data, redis, database, as_json=as_json, app=app_id, profile=profile_id)


@roles.command("add", epilog="Examples:\n\n`gameserver player role add 10001 4f0c6a0e-… Moderator`")
def role_add(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    role: Role,
    *,
    apps: options.Apps = _DEFAULT.apps,
    data: options.Data = _DEFAULT.data,
    redis: options.Redis = "",
    database: options.Database = "",
    as_json: options.AsJson = False,
) -> None:
    """Give a player a role, from their next request on. Prints the roles they have then."""
    _do(
        "player_role_add",
        apps,
        data,
        redis,
        database,
        as_json=as_json,
        app=app_id,
        profile=profile_id,
        role=role,
    )


@roles.command("remove", epilog="Examples:\n\n`gameserver player role remove 10001 4f0c6a0e-… Moderator`")
def role_remove(
    app_id: options.AppId,
    profile_id: options.ProfileId,
    role: Role,
    *,
    apps: options.Apps = _DEFAULT.apps,
    data: options.Data = _DEFAULT.data,
    redis: options.Redis = "",
    database: options.Database = "",
    as_json: options.AsJson = False,
) -> None:
    """Take a role from a player, from their next request on. Prints the roles they keep."""
    _do(
        "player_role_remove",
        apps,
        data,
        redis,
        database,
        as_json=as_json,
        app=app_id,
        profile=profile_id,
        role=role,
    )


def _do(
    action: str, apps: Path, data: Path, redis: str, database: str, *, as_json: bool, **arguments: Any
) -> None:
    held = do(Settings(apps=apps, data=data, redis=redis, database=database), action, **arguments)
    if as_json:
        show_json(held)
    else:
        say(held)
