"""What a server that starts tells: how to log in, where the console is, which doors stand open."""

import dataclasses
import ipaddress
import json
import shlex
import uuid

import structlog

from gameserver import console
from gameserver.apps import App
from gameserver.players.providers import ProviderSettings
from gameserver.settings import Settings

log = structlog.get_logger(__name__)


def introduction(app: App, settings: Settings) -> str:
    """Tell a newcomer which app there is and how to log in; the line works when it is pasted into a shell."""
    packet = {
        "packetId": 0,
        "gameId": app.id,
        "messages": [
            {
                "service": "authenticationV2",
                "operation": "AUTHENTICATE",
                "data": {
                    "authenticationType": "Anonymous",
                    "externalId": str(uuid.uuid4()),
                    "authenticationToken": "",
                    "forceCreate": True,
                },
            }
        ],
    }
    words = [
        "curl",
        "-s",
        f"{_reachable(settings)}/dispatcher",
        "-d",
        json.dumps(packet, separators=(",", ":")),
    ]
    if settings.tls_cert:
        words.insert(1, "-k")
    return (
        f"\nThere was no app yet, so here is one: {app.path / 'app.toml'}\n"
        f"  app id  {app.id}\n"
        f"  secret  {app.secret}\n"
        f"  url     {_reachable(settings)}\n"
        "Clients take these three; docs/first-player.md shows it for each engine.\n"
        f"Log a first player in:\n  {shlex.join(words)}\n\n"
    )


def console_line(settings: Settings, invitation: str | None) -> str:
    """Tell where the console is; as long as nobody of the studio is there, by a link that lets one in."""
    url = _reachable(settings) if settings.ephemeral else settings.admin_url
    if invitation is None:
        return f"console {url}{console.BASE}/\n"
    link = f"{url}{console.BASE}/welcome/{invitation}"
    return f"console {link}  (for the first admin, who names themselves there)\n"


def _reachable(settings: Settings) -> str:
    """Return the address as a program here can use it: "all interfaces" is no destination."""
    if settings.host in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
        settings = dataclasses.replace(settings, host="127.0.0.1")
    elif settings.host == "::":
        settings = dataclasses.replace(settings, host="::1")
    return settings.listening_url


def warn_of_open_doors(settings: Settings, apps: list[App]) -> None:
    """Warn of what lets others in than the players: test accounts, packets without a signature."""
    for app in apps:
        providers = app.section(ProviderSettings)
        where = f"[providers] of {app.path / 'app.toml'}"
        if providers.dev_tokens:  # also on this machine alone, which may stand behind a proxy
            types = sorted(providers.dev_tokens)
            log.warning(
                "test_accounts_may_log_in", app=app.id, types=types, advice=f"delete dev_tokens from {where}"
            )
        if providers.stand_in:
            log.warning(
                "platforms_are_not_asked",
                app=app.id,
                stand_in=providers.stand_in,
                advice=f"delete stand_in from {where}",
            )
    if _is_loopback(settings.host):
        return
    for app in apps:
        if app.signature == "optional":
            log.warning(
                "unsigned_packets_from_other_machines",
                app=app.id,
                host=settings.host,
                advice=f'say signature = "required" in {app.path / "app.toml"}',
            )
        if app.login.anonymous_id_alone:
            log.warning(
                "anonymous_ids_alone_from_other_machines",
                app=app.id,
                host=settings.host,
                advice=f"delete anonymous_id_alone from [login] in {app.path / 'app.toml'}",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
