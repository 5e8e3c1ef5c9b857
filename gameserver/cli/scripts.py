"""`gameserver script`: cloud code, for its authors."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from gameserver import logs
from gameserver.admin import actions
from gameserver.app import GameServer, open_server, registry
from gameserver.apps import App, load_apps
from gameserver.apps.references import hint
from gameserver.cli import options
from gameserver.cli.output import Exit, fail, log_line, say, show_json, show_rows
from gameserver.rpc import PacketFailed
from gameserver.scripts import Program, ScriptSettings
from gameserver.scripts.declarations import declarations
from gameserver.scripts.programs import FOLDER, read_tests
from gameserver.scripts.proxies import proxies
from gameserver.scripts.running import Ran, data_of
from gameserver.scripts.trying import new_player, try_script, try_test
from gameserver.settings import Settings
from gameserver.wire import json
from gameserver.wire.errors import GameError

T = TypeVar("T")
TYPES_NAME = "bridge.d.ts"
LINES_MAX = 500
_DEFAULT = Settings()

scripts = typer.Typer(
    help="Cloud code: the scripts of an app.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

AppName = Annotated[
    str,
    typer.Option(
        "--app", help="Id or folder of the app. Not needed where there is but one.", show_default=False
    ),
]


@scripts.command("list", epilog="Examples:\n\n`gameserver script list`\n\n`gameserver script list --json`")
def script_list(
    *, app: AppName = "", apps: options.Apps = _DEFAULT.apps, as_json: options.AsJson = False
) -> None:
    """List the scripts of an app: who may call them from outside, how long they may run, what is wrong.

    Ends with 3 when one cannot run.
    """
    found = _app(apps, app)
    settings = found.section(ScriptSettings)
    rows = [
        {
            "path": program.path,
            "callers": ", ".join(_callers(program)) or "none",
            "seconds": settings.limits(program).seconds,
            "file": program.file,
            "problem": program.problem,
        }
        for program in settings.programs.values()
    ]
    columns = {name: name.upper() for name in ("path", "callers", "seconds", "file", "problem")}
    show_rows(rows, columns, as_json=as_json, none=f"no scripts in {found.path / FOLDER}")
    if any(row["problem"] for row in rows):
        raise typer.Exit(Exit.PROBLEMS)


def _callers(program: Program) -> list[str]:
    may = {
        "clients": program.client_callable,
        "servers": program.s2s_callable,
        "peers": program.peer_callable,
    }
    return [whom for whom, allowed in may.items() if allowed]


@scripts.command(
    "types", epilog="Examples:\n\n`gameserver script types`\n\n`gameserver script types --out -`"
)
def script_types(
    *,
    app: AppName = "",
    out: Annotated[
        str, typer.Option("--out", help="Where to; - prints it. Absent: beside the scripts of the app.")
    ] = "",
    apps: options.Apps = _DEFAULT.apps,
) -> None:
    """Write TypeScript declarations of the bridge, with which editors complete and check scripts."""
    text = declarations(registry(), proxies())
    if out == "-":
        sys.stdout.write(text)
        return
    path = Path(out) if out else _app(apps, app).path / FOLDER / TYPES_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    say([f"written: {path}"])


@scripts.command(
    "run",
    epilog='Examples:\n\n`gameserver script run gifts/Send --data \'{"to": "somebody"}\'`\n\n'
    "`gameserver script run jobs/Nightly --as-server`",
)
def script_run(
    path: Annotated[str, typer.Argument(help="The script, such as gifts/Send.", show_default=False)],
    *,
    data: Annotated[
        str,
        typer.Option("--data", help="Its parameters, JSON. Absent: those that its file tries it with."),
    ] = "",
    as_server: Annotated[bool, typer.Option("--as-server", help="Run it for no player.")] = False,
    app: AppName = "",
    apps: options.Apps = _DEFAULT.apps,
    as_json: options.AsJson = False,
) -> None:
    """Run a script on a server of its own, with an empty database that is gone afterwards.

    It runs for a new player. The result is printed, and on standard error what the script logs, lines of
    `logDebug` among it. Ends with 1 when the script fails.
    """
    parameters = _json(data, "--data")

    async def work(server: GameServer, found: App) -> tuple[Ran, list[dict[str, Any]]]:
        program = _program(found, path)
        given = program.test_data if not data else parameters
        player = None if as_server else await new_player(server.runner, found)
        lines: list[dict[str, Any]] = []
        ran = await try_script(server.runner, found, program, data_of(given, "--data"), player, lines)
        lines += await _logged(server, found)
        return ran, sorted(lines, key=lambda line: line["at_ms"])

    ran, lines = _on_a_server(_app(apps, app), apps, work)
    if as_json:
        show_json(ran)
    else:
        for line in lines:
            context = "" if line["context"] is None else json.encode_free(line["context"]).decode()
            sys.stderr.write(log_line(line["at_ms"], line["level"], line["message"], context) + "\n")
        if ran.success:
            show_json(ran.response)
        else:
            sys.stderr.write(f"failed: {ran.error_message}\n")
    if not ran.success:
        raise typer.Exit(Exit.REFUSED)


@scripts.command("test", epilog="Examples:\n\n`gameserver script test`\n\n`gameserver script test gifts/`")
def script_test(
    beginning: Annotated[
        str, typer.Argument(help="Only tests whose paths begin like this.", show_default=False)
    ] = "",
    *,
    app: AppName = "",
    apps: options.Apps = _DEFAULT.apps,
    as_json: options.AsJson = False,
) -> None:
    """Run the scripts that test others, each on a server of its own with an empty database.

    They are the files that end with .test.js or .test.ccjs. Such a script runs for no player and passes
    unless it throws, or its result is false; `data.players` are the profile ids of three new players. Ends
    with 1 when one fails.
    """
    found = _app(apps, app)
    tests = [test for test in read_tests(found) if test.path.startswith(beginning)]
    if not tests:
        fail(f"no tests in {found.path / FOLDER}: scripts whose names end with .test.js")
    results = []
    for test in tests:

        async def work(server: GameServer, found: App, test: Program = test) -> Any:
            return await try_test(server.runner, found, test)

        tried = _on_a_server(found, apps, work)
        results.append(tried)
        if not as_json:
            say([f"failed  {tried.problem}" if tried.problem else f"passed  {tried.path}"])
    failed = sum(1 for tried in results if tried.problem)
    if as_json:
        show_json([{"path": t.path, "passed": not t.problem, "problem": t.problem} for t in results])
    else:
        sys.stderr.write(f"{len(results) - failed} passed, {failed} failed\n")
    if failed:
        raise typer.Exit(Exit.REFUSED)


def _app(apps: Path, name: str) -> App:
    """Return the app of an id or a folder; the only one unless one is named. Ends the command without."""
    loaded = load_apps(apps, registry().sections())
    for problem in loaded.problems:
        sys.stderr.write(f"{problem}\n")
    if not name and len(loaded) == 1:
        return next(iter(loaded))
    found = next((app for app in loaded if name in (app.id, app.name)), None)
    if found is not None:
        return found
    names = [app.name for app in loaded]
    if not name:
        fail(f"say which app: --app {'|'.join(names) or 'NAME'}", Exit.USAGE)
    return fail(f'there is no app "{name}" in {apps}{hint(name, names, "")}')


def _program(app: App, path: str) -> Program:
    programs = app.section(ScriptSettings).programs
    program = programs.find(path)
    if program is None:
        fail(f"there is no script {path}{hint(path, programs)}")
    return program


def _json(text: str, option: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=option) from None


def _on_a_server(app: App, apps: Path, work: Callable[[GameServer, App], Awaitable[T]]) -> T:
    """Do something on a server with an empty database, which is gone afterwards."""

    async def run() -> T:
        with tempfile.TemporaryDirectory(prefix="gameserver-") as folder:
            settings = Settings(apps=apps, data=Path(folder) / "data", ephemeral=True)
            async with open_server(settings, with_jobs=False) as server:
                found = server.apps.find(app.id)
                assert found is not None, "it was loaded a moment ago"
                return await work(server, found)

    logs.configure("error")
    try:
        return asyncio.run(run())
    except GameError as error:
        fail(str(error))
    except PacketFailed as error:
        fail(str(error))


async def _logged(server: GameServer, app: App) -> list[dict[str, Any]]:
    """Return what was logged, the oldest first."""
    return (await actions.log_list(server, app.id, LINES_MAX))[::-1]
