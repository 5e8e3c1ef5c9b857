"""Runs a server until it is told to stop: one process, or several."""

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from gameserver.app import registry
from gameserver.apps import App, load_apps, write_sample, write_schema
from gameserver.apps.schema import SCHEMA_NAME
from gameserver.serve.errors import BrokenApps, CannotServe
from gameserver.serve.greeting import console_line, introduction, warn_of_open_doors
from gameserver.serve.options import bound, check_options
from gameserver.serve.process import Listeners, run, serve_here
from gameserver.serve.workers import supervise
from gameserver.settings import Settings

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; packets in flight are answered first. Raises `CannotServe`."""
    check_options(settings)
    with contextlib.ExitStack() as stack:
        if settings.ephemeral:
            settings = stack.enter_context(_throwaway(settings))
        main = stack.enter_context(bound(settings.host, settings.port))
        admin = None
        if not settings.ephemeral:  # which is for tests, and has everything at one address
            port = settings.port and settings.port + 1 if settings.admin_port is None else settings.admin_port
            admin = stack.enter_context(bound(settings.admin_host, port, "--admin-port"))
            settings = dataclasses.replace(settings, admin_port=admin.getsockname()[1])
        settings = dataclasses.replace(settings, port=main.getsockname()[1])
        listeners = Listeners(main, admin)
        sample = first_app(settings.apps)
        _renew_schemas(settings.apps)
        _check_apps(settings.apps)

        def ready(apps: list[App], invitation: str | None) -> None:
            warn_of_open_doors(settings, apps)
            if admin is not None:
                log.info("admin_listening", url=settings.admin_url)
            if sample is not None:
                sys.stderr.write(introduction(sample, settings))
            sys.stderr.write(console_line(settings, invitation))
            sys.stdout.write(f"ready {settings.listening_url}\n")
            sys.stdout.flush()

        if settings.workers == 1:
            run(serve_here(settings, listeners, ready))
        else:
            supervise(settings, listeners, ready)


@contextlib.contextmanager
def _throwaway(settings: Settings) -> Iterator[Settings]:
    """Keep data, and the sample app if there is no other, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gameserver-") as folder:
        apps = settings.apps if _has_apps(settings.apps) else Path(folder) / "apps"
        yield dataclasses.replace(settings, data=Path(folder) / "data", apps=apps)


def _has_apps(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def first_app(folder: Path) -> App | None:
    """Write the sample app into a folder that is empty or missing; None when there was something."""
    if _has_apps(folder):
        return None
    try:
        offered = registry()
        return write_sample(folder, offered.sections())
    except OSError as error:
        raise CannotServe(f"the sample app cannot be written into {folder}: {error.strerror}") from None


def _renew_schemas(folder: Path) -> None:
    """Bring the schemas that editors read up to date: another version of the server has other settings."""
    for path in sorted(folder.glob(f"*/{SCHEMA_NAME}")):
        try:
            if write_schema(path.parent, registry().sections()):
                log.info("app_schema_renewed", file=str(path))
        except OSError as error:  # a folder that only others write
            log.info("app_schema_stale", file=str(path), reason=error.strerror)


def _check_apps(folder: Path) -> None:
    """Log which apps cannot be served. Raises `BrokenApps` when that is all of them."""
    loaded = load_apps(folder, registry().sections())
    mistakes = [str(problem) for problem in loaded.problems]
    if not len(loaded):
        raise BrokenApps("\n".join([*mistakes, f"no app of {folder} can be served; see `gameserver check`"]))
    for name in sorted(loaded.broken or ()):
        own = [str(problem) for problem in loaded.problems if Path(problem.file).parent.name == name]
        log.error("app_not_served", app=name, mistakes=own)
    for remark in loaded.remarks:
        log.error("app_file_broken", mistake=str(remark))
