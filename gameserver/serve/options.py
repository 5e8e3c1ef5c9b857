"""What options may be given together, and the addresses that they name."""

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator

from gameserver.http_server import Proxies
from gameserver.realtime import BadEndpoints, Endpoints
from gameserver.serve.errors import BadOptions, CannotServe
from gameserver.settings import Settings

WORKERS_MAX = 64
PORT_MAX = 65535


def check_options(settings: Settings) -> None:
    """Refuse options that contradict each other. Raises `BadOptions`."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise BadOptions("--tls-cert and --tls-key are given together or not at all")
    if settings.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ValueError) as error:
            raise BadOptions(f"the certificate or its key cannot be used: {error}") from None
    if settings.admin_port is None and settings.port == PORT_MAX:
        raise BadOptions("there is no port after --port for operators; choose one with --admin-port")
    try:
        Proxies(settings.proxies)
    except ValueError as error:
        raise BadOptions(f"--proxies: {error}") from None
    try:
        Endpoints(settings.realtime_url, settings.public_url, settings.listening_url)
    except BadEndpoints as error:
        raise BadOptions(f"--realtime-url: {error}") from None
    if settings.ephemeral and (settings.redis or settings.database):
        raise BadOptions("--ephemeral keeps nothing; leave out --redis and --database")
    if not 1 <= settings.workers <= WORKERS_MAX:
        raise BadOptions(f"--workers is a number from 1 to {WORKERS_MAX}")
    if settings.workers > 1 and not settings.redis:
        raise BadOptions(
            "--workers above 1 needs --redis: without it every process would know only its own sessions, "
            "and a logout on one would not count on the others"
        )
    if settings.workers > 1 and not settings.database:
        raise BadOptions(
            "--workers above 1 needs --database with PostgreSQL: SQLite lets one process write at a time, "
            "so more of them would only wait for each other"
        )
    if settings.seed_file is not None and not settings.ephemeral:
        raise BadOptions("--seed-file works with --ephemeral; `gameserver import` fills a server that stays")
    if settings.seed and not settings.ephemeral:
        raise BadOptions("--seed makes ids and tokens predictable and so works with --ephemeral only")


@contextlib.contextmanager
def bound(host: str, port: int, option: str = "--port") -> Iterator[socket.socket]:
    """Take the address before anything else is opened, so that a second start changes nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise CannotServe(f"{host} is no address of this machine") from None
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise CannotServe(_why_not_bound(error, host, port, option)) from None
        yield listener


def _why_not_bound(error: OSError, host: str, port: int, option: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use by another program; choose another with {option}"
        case errno.EACCES:
            return f"port {port} is reserved for privileged programs; choose one above 1023 with {option}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
        case _:
            return f"cannot listen on port {port} of {host}: {error.strerror}"
