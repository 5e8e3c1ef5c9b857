"""Options that several commands share. Each has an environment variable."""

import functools
import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from gameserver import tracing
from gameserver.settings import PREFIX, Settings

WHERE = "Where the server keeps things"
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]


def _url(ctx: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Take the URL of a service, also as `@FILE`: a password among the arguments is in the process list."""
    option = parameter.opts[0]
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise typer.BadParameter(f"{value[1:]} cannot be read: {reason}") from None
    source = ctx.get_parameter_source(parameter.name or "")
    if source is not None and source.name == "COMMANDLINE" and _has_password(value):
        sys.stderr.write(
            f"warning: everybody on this machine can read the password in {option} (ps). Put the URL into "
            f"the environment as {parameter.envvar}, or into a file: {option} @FILE\n"
        )
    return value


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return ":" in parts.netloc.rpartition("@")[0] or "password=" in parts.query


Apps = Annotated[
    Path,
    typer.Option(
        "--apps",
        envvar=PREFIX + "APPS",
        help="Folder of app definitions.",
        file_okay=False,
        rich_help_panel=WHERE,
    ),
]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar=PREFIX + "DATA",
        help="Folder of the embedded database and of mail that was not sent.",
        file_okay=False,
        rich_help_panel=WHERE,
    ),
]
Redis = Annotated[
    str,
    typer.Option(
        "--redis",
        envvar=PREFIX + "REDIS",
        help="URL of a Redis that keeps sessions, such as redis://127.0.0.1/0, or @FILE with it. "
        "Absent: the server's memory.",
        show_default=False,
        callback=_url,
        rich_help_panel=WHERE,
    ),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar=PREFIX + "DATABASE",
        help="URL of a PostgreSQL, such as postgresql://user@host/name, or @FILE with it. "
        "Absent: SQLite in the data folder.",
        show_default=False,
        callback=_url,
        rich_help_panel=WHERE,
    ),
]


def _traces(asked: bool) -> bool:
    if asked and not tracing.is_installed():
        raise typer.BadParameter("traces need further packages: pip install 'gameserver[otel]'")
    return asked


Traces = Annotated[
    bool,
    typer.Option(
        "--traces",
        envvar=PREFIX + "TRACES",
        help="Send OpenTelemetry traces, to where OTEL_EXPORTER_OTLP_ENDPOINT says.",
        callback=_traces,
        rich_help_panel="Processes and logs",
    ),
]
SeedFile = Annotated[
    Path | None,
    typer.Option(
        "--seed-file",
        envvar=PREFIX + "SEED_FILE",
        exists=True,
        dir_okay=False,
        help="With --ephemeral: what it begins with, and is reset to: a file of `gameserver export`.",
        show_default=False,
        rich_help_panel="Trying things out",
    ),
]
SignOn = Annotated[
    Path | None,
    typer.Option(
        "--sign-on",
        envvar=PREFIX + "SIGN_ON",
        exists=True,
        dir_okay=False,
        help="File that names the studio's own provider of logins to the console. See docs/console.md.",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
UntilEof = Annotated[
    bool,
    typer.Option(
        "--until-eof",
        help="Stop when standard input ends, so that the server does not outlive the program that has "
        "started it.",
        rich_help_panel="Trying things out",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="At most this many.")]
AppId = Annotated[str, typer.Argument(help="App id, such as 10001.", show_default=False)]
ProfileId = Annotated[str, typer.Argument(help="The player's profile id.", show_default=False)]
Since = Annotated[
    datetime | None, typer.Option("--since", formats=_FORMATS, help="Only from this time on, UTC.")
]
Until = Annotated[
    datetime | None, typer.Option("--until", formats=_FORMATS, help="Only before this time, UTC.")
]


def in_ms(time: datetime | None) -> int | None:
    """Return the time that an option names, in milliseconds since 1970."""
    return None if time is None else int(time.replace(tzinfo=UTC).timestamp() * 1000)


# Which server

_DEFAULT = Settings()


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which server it is about; it takes them as `where`, settings."""
    own = inspect.signature(command)
    kinds = {"apps": Apps, "data": Data, "redis": Redis, "database": Database}
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(_DEFAULT, name), annotation=kind
        )
        for name, kind in kinds.items()
    ]
    kept = [parameter for parameter in own.parameters.values() if parameter.name != "where"]
    as_json = [kept.pop()] if kept and kept[-1].name == "as_json" else []

    @functools.wraps(command)
    def reach(**given: Any) -> None:
        where = Settings(**{name: given.pop(name) for name in kinds})
        command(**given, where=where)

    reach.__signature__ = own.replace(parameters=[*kept, *added, *as_json])  # type: ignore[attr-defined]
    reach.__annotations__ = {  # both are what the command line is made from
        **{name: kind for name, kind in command.__annotations__.items() if name != "where"},
        **kinds,
    }
    return reach
