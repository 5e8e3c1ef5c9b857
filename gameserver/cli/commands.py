"""The commands, and the help that teaches them."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

import gameserver.serve as serving
from gameserver import __version__, logs, protocol_export, scaffold
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.cli import certificate, moving, options
from gameserver.cli.apps import apps
from gameserver.cli.audit import audit
from gameserver.cli.backups import backup, restore_backup
from gameserver.cli.datastream import datastream
from gameserver.cli.doctor import doctor
from gameserver.cli.jobs import jobs
from gameserver.cli.leaderboards import leaderboards
from gameserver.cli.logs import logs as app_logs
from gameserver.cli.mail import mail
from gameserver.cli.output import EXIT_CODES, Exit, fail, say, show_json, show_more, show_rows
from gameserver.cli.players import players
from gameserver.cli.push import push
from gameserver.cli.reach import do
from gameserver.cli.scripts import scripts
from gameserver.cli.segments import segments
from gameserver.cli.staff import staff
from gameserver.cli.webhooks import webhooks
from gameserver.emulator import stop_at_eof
from gameserver.scripts.engine import PROCESSES_MAX
from gameserver.settings import PREFIX, Settings, prepare_data
from gameserver.storage import StorageError
from gameserver.storage.schema import migrate, schema_version, write_step

_DEFAULT = Settings()
_TYPER: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": "markdown",
    "pretty_exceptions_enable": False,
}

app = typer.Typer(
    help="A game backend you host yourself. In an empty folder, `gameserver serve` is a whole one.",
    epilog=EXIT_CODES,
    **_TYPER,
)
sessions = typer.Typer(help="Open sessions: see and end them.", **_TYPER)
protocol = typer.Typer(help="The description of every operation, for client teams.", **_TYPER)
app.add_typer(apps, name="app")
app.add_typer(players, name="player")
app.add_typer(sessions, name="session")
app.add_typer(audit, name="audit")
app.add_typer(datastream, name="datastream")
app.add_typer(push, name="push")
app.add_typer(mail, name="mail")
app.add_typer(leaderboards, name="leaderboard")
app.add_typer(segments, name="segment")
app.add_typer(jobs, name="jobs")
app.add_typer(scripts, name="script")
app.add_typer(webhooks, name="webhook")
app.add_typer(staff, name="staff")
app.add_typer(protocol, name="protocol")
app.command(
    "logs",
    epilog="Examples:\n\n`gameserver logs 10001 --level error --since 2030-01-31`\n\n"
    "`gameserver logs 10001 --text timeout --follow`",
)(app_logs)

app.command(
    "backup",
    epilog="Examples:\n\n`gameserver backup`\n\n`gameserver backup /backups/monday.db --data /var/lib/game`",
)(backup)
app.command(
    "doctor",
    epilog="Examples:\n\n`gameserver doctor https://game.example.com`\n\n"
    "`gameserver doctor https://localhost:8080 --ca certs/ca.pem --app-id 10001 --secret @secret`",
)(doctor)
app.command("restore", epilog="Examples:\n\n`gameserver restore /backups/monday.db`")(restore_backup)


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"`{line}`" for line in lines)


for _name, (_command, _lines) in moving.COMMANDS.items():
    app.command(_name, epilog=_examples(*_lines))(_command)

# The server

_NETWORK, _PROCESS, _TRIAL = "Network", "Processes and logs", "Trying things out"


@app.command(
    epilog=_examples(
        "gameserver serve",
        "gameserver serve --host 0.0.0.0 --tls-cert server.pem --tls-key server.key",
        "gameserver serve --workers 4 --redis redis://cache/0 --database postgresql://game@db/game",
        "gameserver serve --ephemeral --seed 7 --port 0",
    )
)
def serve(
    *,
    host: Annotated[
        str, typer.Option(envvar=PREFIX + "HOST", help="Address to listen on.", rich_help_panel=_NETWORK)
    ] = _DEFAULT.host,
    port: Annotated[
        int,
        typer.Option(
            envvar=PREFIX + "PORT", min=0, max=65535, help="0 picks a free one.", rich_help_panel=_NETWORK
        ),
    ] = _DEFAULT.port,
    admin_host: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "ADMIN_HOST",
            help="Address for operators and their tools: /metrics, /readyz, OpenAPI documents.",
            rich_help_panel=_NETWORK,
        ),
    ] = _DEFAULT.admin_host,
    admin_port: Annotated[
        int | None,
        typer.Option(
            envvar=PREFIX + "ADMIN_PORT",
            min=0,
            max=65535,
            help="Its port. Absent: the one after --port; 0 picks a free one.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    tls_cert: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "TLS_CERT",
            help="Certificate chain, PEM.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = "",
    tls_key: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "TLS_KEY", help="Its key, PEM.", show_default=False, rich_help_panel=_NETWORK
        ),
    ] = "",
    proxies: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "PROXIES",
            help="Proxies whose X-Forwarded-For is believed: addresses and networks, with commas between.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = "",
    public_url: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "PUBLIC_URL",
            help="What players' browsers reach this server by, for links in mails. Absent: where it listens.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = "",
    realtime_url: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "REALTIME_URL",
            help="Where players open real-time connections: URLs of ws, wss, tcp or tcps, with commas "
            "between. Absent: where --public-url leads.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = "",
    apps: options.Apps = _DEFAULT.apps,
    data: options.Data = _DEFAULT.data,
    redis: options.Redis = "",
    database: options.Database = "",
    environment: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "ENVIRONMENT",
            help="What the console calls this installation, such as production or staging.",
            show_default=False,
            rich_help_panel=_PROCESS,
        ),
    ] = "",
    sign_on: options.SignOn = None,
    edit_apps: Annotated[
        bool,
        typer.Option(
            "--edit-apps",
            envvar=PREFIX + "EDIT_APPS",
            help="Let designers and admins change the files of apps in the console: web endpoints.",
            rich_help_panel=options.WHERE,
        ),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            envvar=PREFIX + "WORKERS",
            min=1,
            max=serving.WORKERS_MAX,
            help="Processes; above 1 needs --redis and --database.",
            rich_help_panel=_PROCESS,
        ),
    ] = 1,
    script_processes: Annotated[
        int,
        typer.Option(
            envvar=PREFIX + "SCRIPT_PROCESSES",
            min=0,
            max=PROCESSES_MAX,
            help="Processes that run scripts, at most, for each server process; they start when scripts run. "
            "Absent: twice the number of CPUs, at least 4.",
            show_default=False,
            rich_help_panel=_PROCESS,
        ),
    ] = 0,
    log_level: Annotated[
        str,
        typer.Option(
            envvar=PREFIX + "LOG_LEVEL", help=f"One of {', '.join(logs.LEVELS)}.", rich_help_panel=_PROCESS
        ),
    ] = _DEFAULT.log_level,
    traces: options.Traces = False,
    ephemeral: Annotated[
        bool,
        typer.Option(
            "--ephemeral",
            envvar=PREFIX + "EPHEMERAL",
            help="Keep nothing; time stands still until it is moved, and POST /emulator/reset begins anew. "
            "See docs/emulator.md.",
            rich_help_panel=_TRIAL,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            envvar=PREFIX + "SEED",
            min=0,
            help="With --ephemeral: a number that decides all ids and tokens.",
            show_default=False,
            rich_help_panel=_TRIAL,
        ),
    ] = 0,
    seed_file: options.SeedFile = None,
    until_eof: options.UntilEof = False,
) -> None:
    """Run the server.

    Prints one line, "ready" and its address, when it accepts packets. In a folder without apps it first
    writes a sample app and says how to log in. SIGTERM lets packets in flight finish, then the server ends
    with 0.
    """
    try:
        logs.configure(log_level)
    except ValueError as error:
        fail(f"--log-level: {error}", Exit.USAGE)
    settings = Settings(
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        apps=apps,
        data=data,
        redis=redis,
        database=database,
        workers=workers,
        script_processes=script_processes,
        tls_cert=tls_cert,
        tls_key=tls_key,
        proxies=proxies,
        public_url=public_url.rstrip("/"),
        realtime_url=realtime_url,
        sign_on=sign_on,
        edit_apps=edit_apps,
        environment=environment,
        ephemeral=ephemeral,
        seed=seed,
        seed_file=seed_file,
        traces=traces,
        log_level=log_level,
    )
    try:
        if until_eof:
            stop_at_eof()
        serving.serve(settings)
    except serving.BadOptions as error:
        fail(str(error), Exit.USAGE)
    except serving.CannotReach as error:
        fail(str(error), Exit.AWAY)
    except serving.BrokenApps as error:
        fail(str(error), Exit.PROBLEMS)
    except serving.CannotServe as error:
        fail(str(error))


def _version(asked: bool) -> None:
    if asked:
        say([__version__])
        raise typer.Exit


@app.callback()
def _options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Take what may stand before any command."""


@app.command()
def version() -> None:
    """Print the version."""
    say([__version__])


@app.command(epilog=_examples("gameserver check", "gameserver check --apps staging/apps --json"))
def check(*, apps: options.Apps = _DEFAULT.apps, as_json: options.AsJson = False) -> None:
    """Check the app definitions: file, line and key of every mistake. Ends with 3 when there is one."""
    loaded = load_apps(apps, registry().sections())
    found = sorted([*loaded.problems, *loaded.remarks])
    if as_json:
        show_json([{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in found])
    else:
        say(str(problem) for problem in found)
        sys.stderr.write(f"{_count(len(loaded), 'app')} good, {_count(len(found), 'mistake')}\n")
    raise typer.Exit(Exit.PROBLEMS if found else Exit.OK)


@app.command("migrate", epilog=_examples("gameserver migrate --database postgresql://game@db/game"))
def migrate_tables(*, data: options.Data = _DEFAULT.data, database: options.Database = "") -> None:
    """Bring the tables of a database up to date. The embedded one does so by itself when a server starts."""
    settings = Settings(data=data, database=database)
    url = settings.database_url
    logs.configure("warning")
    if not database:
        prepare_data(settings)
    try:
        before = schema_version(url)
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            bar = progress.add_task("migrating", total=None)
            migrate(
                url,
                lambda done, total, step: progress.update(bar, completed=done, total=total, description=step),
            )
        after = schema_version(url)
    except StorageError as error:
        fail(str(error), Exit.AWAY)
    except ValueError as error:
        fail(f"--database: {error}", Exit.USAGE)
    done = f"migrated from {before or 'an empty database'} to {after}"
    say([f"the tables are up to date ({after})" if before == after else done])


@app.command("dev-migration", epilog=_examples("gameserver dev-migration 'Add guilds'", "ruff format"))
def dev_migration(
    title: Annotated[str, typer.Argument(help="What it does, in a few words.", show_default=False)],
) -> None:
    """Write the next migration, for who changes the server: from the last one to the tables declared now.

    It goes into the source tree that this command runs from. Read it before it is committed: conditions of
    indexes and checks are not compared, and a renamed column looks like one dropped and one added.
    """
    try:
        path = write_step(title)
    except (ValueError, OSError) as error:
        fail(str(error))
    say(["no table has changed" if path is None else f"written: {path}"])


@app.command(
    "dev-service",
    epilog=_examples("gameserver dev-service guestBook", "gameserver dev-service guestBook guestBook.json"),
)
def dev_service(
    name: Annotated[str, typer.Argument(help="Its name on the wire.", show_default=False)],
    catalogue: Annotated[
        Path | None,
        typer.Argument(help="What is known of its operations, as JSON.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Write the files of a new service, for who changes the server: service, tests, clients' scenarios.

    They go into the source tree that this command runs from. What is to be written is marked "write me".
    """
    try:
        known = None if catalogue is None else json.loads(catalogue.read_text("utf-8"))
        if known is not None and not isinstance(known, dict):
            raise ValueError("the catalogue is no object")  # noqa: TRY301 - refused like a bad file
        written = scaffold.write_service(Path(protocol_export.__file__).parents[1], name, known)
    except (ValueError, OSError) as error:
        fail(str(error))
    say(f"written: {path}" for path in written)
    say(['next: fill in what is marked, as gameserver/README.md tells under "Adding a service"'])


@app.command(
    "dev-cert",
    epilog=_examples(
        "gameserver dev-cert", "gameserver dev-cert --to certs --name game.test --name 10.0.0.5"
    ),
)
def dev_cert(
    *,
    folder: Annotated[Path, typer.Option("--to", file_okay=False, help="Folder to write into.")] = Path(
        "certs"
    ),
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A further host name or address; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files that are there.")] = False,
) -> None:
    """Make a TLS certificate for development, for localhost, 127.0.0.1, ::1 and the names given."""
    try:
        if force:
            certificate.remove(folder)
        files = certificate.write(folder, name or [])
    except ValueError as error:
        fail(f"--name: {error}", Exit.USAGE)
    except OSError as error:
        fail(str(error))
    say(
        [
            f"authority    {files.authority}",
            f"certificate  {files.certificate}",
            f"key          {files.key}",
            "",
            f"Serve:    gameserver serve --tls-cert {files.certificate} --tls-key {files.key}",
            f"curl:     curl --cacert {files.authority} https://localhost:8080/healthz",
            f"Node:     NODE_EXTRA_CA_CERTS={files.authority} node game.js",
            f"Linux:    sudo cp {files.authority} /usr/local/share/ca-certificates/gameserver.crt",
            "          sudo update-ca-certificates",
            f"Windows:  certutil -user -addstore Root {files.authority}",
            f"macOS:    security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {files.authority}",
            "C# and Unity trust what the system trusts. They connect to https://localhost:8080: for mono,",
            "addresses such as 127.0.0.1 fit no certificate. The files are readable by you alone; the",
            "authority's own key is not kept.",
        ]
    )


# Sessions

_SESSION_COLUMNS = {
    "session": "SESSION",
    "profile_id": "PROFILE",
    "face": "FACE",
    "created_ms": "SINCE",
    "last_used_ms": "LAST PACKET",
}


@sessions.command(
    "list",
    epilog=_examples("gameserver session list 10001", "gameserver session list 10001 --profile 4f0c6a0e-…"),
)
@options.reaching
def session_list(
    app_id: options.AppId,
    *,
    profile: Annotated[str, typer.Option("--profile", help="Only those of this player.")] = "",
    limit: options.Limit = 50,
    after: Annotated[str, typer.Option("--after", help="The last session already seen.")] = "",
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """List open sessions. They are named by a digest: the ids themselves are known to clients alone.

    Without --redis the running server is asked; it is found through the data folder.
    """
    rows = do(where, "session_list", needs_server=True, app=app_id, limit=limit, after=after, profile=profile)
    show_rows(rows, _SESSION_COLUMNS, as_json=as_json, none="no open sessions")
    show_more(rows, "session", limit, as_json=as_json)


@sessions.command(
    "end",
    epilog=_examples(
        "gameserver session end 10001 9f86d081…",
        "gameserver session end 10001 --profile 4f0c6a0e-…",
        "gameserver session end 10001 --all",
    ),
)
@options.reaching
def session_end(
    app_id: options.AppId,
    session: Annotated[str, typer.Argument(help="The session, as `session list` names it.")] = "",
    *,
    profile: Annotated[str, typer.Option("--profile", help="All sessions of this player.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All sessions of the app.")] = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """End sessions. Once this command has ended, no process accepts them."""
    if sum(map(bool, (session, profile, every))) != 1:
        fail("name one of: a session, --profile, --all", Exit.USAGE)
    done = do(
        where,
        "session_end",
        needs_server=True,
        app=app_id,
        session=session,
        profile=profile,
        all_of_app=every,
    )
    if as_json:
        show_json(done)
    else:
        say([f"{_count(len(done['ended']), 'session')} ended"])


# Operations


@app.command(
    epilog=_examples(
        "gameserver call 10001 playerState.READ --profile 4f0c6a0e-…",
        """gameserver call 10001 playerState.UPDATE_NAME '{"playerName":"Ada"}' --profile 4f0c6a0e-…""",
    )
)
@options.reaching
def call(
    app_id: options.AppId,
    operation: Annotated[
        str, typer.Argument(help="service.OPERATION, such as playerState.READ.", show_default=False)
    ],
    data_json: Annotated[str, typer.Argument(metavar="[JSON]", help="Its data, a JSON object.")] = "{}",
    *,
    profile: Annotated[str, typer.Option("--profile", help="The player on whose behalf it runs.")] = "",
    where: Settings,
) -> None:
    """Run an operation with the authority of a server, and print its data as JSON.

    A refusal goes to standard error, and the command ends with 1.
    """
    try:
        arguments = json.loads(data_json)
    except ValueError as error:
        fail(f"the data is not JSON: {error}", Exit.USAGE)
    if not isinstance(arguments, dict):
        fail("the data is a JSON object, such as '{}'", Exit.USAGE)
    entry = do(where, "call", app=app_id, operation=operation, data=arguments, profile=profile)
    if entry["status"] != 200:  # noqa: PLR2004 - what the protocol says for "done"
        fail(f"{entry['status']}/{entry['reason_code']}: {entry['status_message']}")
    show_json(entry.get("data"))


@protocol.command(
    "export",
    epilog=_examples(
        "gameserver protocol export",
        "gameserver protocol export entity",
        "gameserver protocol export --to protocol",
    ),
)
def export_protocol(
    service: Annotated[
        str | None, typer.Argument(help="Print this service's document instead of the index.")
    ] = None,
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--to", file_okay=False, help="Bring this folder's files up to date instead of printing."
        ),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="With --to: change nothing, end with 3 when a file is stale.")
    ] = False,
) -> None:
    """Print the index of all operations or one service (OpenRPC), or write all where client teams find it."""
    offered = registry()
    if folder is None:
        described = protocol_export.documents(offered)
        name = protocol_export.file_of(service) if service is not None else protocol_export.INDEX
        if name not in described:
            fail(f"there is no service {service!r}")
        sys.stdout.write(protocol_export.to_text(described[name]))
        return
    if check_only:
        stale = protocol_export.stale_files(offered, folder)
        say(f"stale: {path}" for path in stale)
        raise typer.Exit(Exit.PROBLEMS if stale else Exit.OK)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"written: {path}" for path in protocol_export.write(offered, folder))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
