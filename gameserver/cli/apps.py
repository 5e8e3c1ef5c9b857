"""`gameserver app`: new apps, their sections, and the schema that editors read."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gameserver.app import registry
from gameserver.apps import load_apps, write_app, write_schema, write_section
from gameserver.apps.loading import FILE_NAME
from gameserver.apps.references import hint
from gameserver.apps.schema import SCHEMA_NAME
from gameserver.cli import options
from gameserver.cli.output import Exit, fail, say, show_rows
from gameserver.settings import Settings

_DEFAULT = Settings()
apps = typer.Typer(
    help="App definitions.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

AppName = Annotated[
    str,
    typer.Option("--app", help="Folder of the app. Not needed where there is but one.", show_default=False),
]


@apps.command("list", epilog="Examples:\n\n`gameserver app list`\n\n`gameserver app list --json`")
def app_list(*, apps: options.Apps = _DEFAULT.apps, as_json: options.AsJson = False) -> None:
    """List the apps that are defined well; `gameserver check` names the mistakes of others."""
    loaded = load_apps(apps, registry().sections())
    rows = [
        {"id": a.id, "title": a.title, "enabled": a.enabled, "signature": a.signature, "folder": str(a.path)}
        for a in sorted(loaded, key=lambda a: a.id)
    ]
    columns = {name: name.upper() for name in ("id", "title", "enabled", "signature", "folder")}
    show_rows(rows, columns, as_json=as_json, none=f"no apps in {apps}")
    if loaded.problems and not as_json:
        count = len(loaded.problems)
        sys.stderr.write(f"{count} mistake{'' if count == 1 else 's'}: see `gameserver check`\n")


@apps.command("new", epilog="Examples:\n\n`gameserver app new chess`")
def app_new(
    name: Annotated[str, typer.Argument(help="What its folder is called.", show_default=False)],
    *,
    apps: options.Apps = _DEFAULT.apps,
) -> None:
    """Write a new app: a folder with an app.toml, an id that is free, and a secret of its own."""
    try:
        made = write_app(apps, name, registry().sections())
    except ValueError as error:
        fail(str(error), Exit.USAGE)
    except FileExistsError:
        fail(f"there is an app {name} already: {apps / name / FILE_NAME}")
    except OSError as error:
        fail(f"{apps / name} cannot be written: {error.strerror}")
    say([f"written: {made.path / FILE_NAME}", f"app id  {made.id}", f"secret  {made.secret}"])


@apps.command(
    "add", epilog="Examples:\n\n`gameserver app add`\n\n`gameserver app add leaderboard --app chess`"
)
def app_add(
    section: Annotated[str, typer.Argument(help="The section; absent: list them.", show_default=False)] = "",
    *,
    app: AppName = "",
    apps: options.Apps = _DEFAULT.apps,
) -> None:
    """Write a section into a file of its own, beside app.toml, with every setting explained.

    The settings are commented out: nothing changes before one is used.
    """
    samples = registry().samples()
    if not section:
        say(sorted(samples))
        return
    if section not in samples:
        fail(f'there is no section "{section}"{hint(section, samples)}', Exit.USAGE)
    home = _home(apps, app)
    try:
        path = write_section(home, section, samples[section])
        write_schema(home, registry().sections())
    except FileExistsError:
        fail(f"{home / section}.toml is there already")
    except OSError as error:
        fail(f"{home} cannot be written: {error.strerror}")
    say([f"written: {path}"])


@apps.command("schema", epilog="Examples:\n\n`gameserver app schema`\n\n`gameserver app schema --app chess`")
def app_schema(*, app: AppName = "", apps: options.Apps = _DEFAULT.apps) -> None:
    """Write the JSON Schema that editors complete and check app.toml with, into one app or into all.

    `gameserver serve` brings those that exist up to date when it starts.
    """
    homes = [_home(apps, app)] if app else _homes(apps)
    if not homes:
        fail(f"no apps in {apps}")
    for home in homes:
        try:
            written = write_schema(home, registry().sections())
        except OSError as error:
            fail(f"{home} cannot be written: {error.strerror}")
        say([f"{'written' if written else 'up to date'}: {home / SCHEMA_NAME}"])


def _homes(apps: Path) -> list[Path]:
    return sorted(path.parent for path in apps.glob(f"*/{FILE_NAME}"))


def _home(apps: Path, name: str) -> Path:
    """Return the folder of an app; the only one unless one is named. Ends the command when there is none."""
    homes = _homes(apps)
    if not name and len(homes) == 1:
        return homes[0]
    if not name:
        fail(f"say which app: --app {'|'.join(home.name for home in homes) or 'NAME'}", Exit.USAGE)
    if apps / name not in homes:
        fail(f'there is no app "{name}" in {apps}{hint(name, [home.name for home in homes], "")}')
    return apps / name
