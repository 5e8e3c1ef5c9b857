"""Looks at a server from where the game runs: the way there, and what stands on it."""

import email.utils
import gzip
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx
import typer
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from gameserver.cli.output import Exit, fail, show_json

TIMEOUT_SECONDS = 10.0
CLOCK_SECONDS_MAX = 30
CERTIFICATE_DAYS_MIN = 14
LARGE_BYTES = 1_000_000  # the server takes 1 MiB
DAY_SECONDS = 86400
OK, WARNING, FAILED = "ok", "warning", "failed"
DISPATCHER = "/dispatcherv2"
ORIGIN = "https://game.example.com"
OPERATORS_PATHS = ("/metrics", "/readyz")
UNKNOWN_APP, BAD_SIGNATURE = 40316, 40301

# Of OpenSSL, with what to do about them.
_NOT_VALID_YET, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_ROOT, _NO_ISSUER, _NO_LEAF_ISSUER = 9, 10, 18, 19, 20, 21
_OTHER_NAME, _OTHER_ADDRESS = 62, 64
_NOT_WHOLE = (
    "the chain is not whole: serve the certificate with those between it and the root (fullchain.pem); "
    "of a dev-cert, --ca names the authority"
)
_CHAIN_ADVICE = {
    _NOT_VALID_YET: "the certificate begins later: set the clock of this machine, or wait",
    _EXPIRED: "renew the certificate, and have the server or the proxy read it again",
    _SELF_SIGNED: "nobody vouches for it: take one of an authority, or make clients trust it; see dev-cert",
    _SELF_SIGNED_ROOT: "its authority is unknown here: clients must trust it, see dev-cert; --ca names it",
    _NO_ISSUER: _NOT_WHOLE,
    _NO_LEAF_ISSUER: _NOT_WHOLE,
    _OTHER_NAME: "clients must use a name that the certificate has",
    _OTHER_ADDRESS: "clients must use a name that the certificate has, not an address",
}


@dataclass(frozen=True)
class Finding:
    """What one look has found. `advice` says what to do, where something is to be done."""

    what: str
    outcome: str
    text: str
    advice: str = ""


@dataclass
class Patient:
    """Where the server is said to be, and what the looks before have learnt."""

    url: SplitResult
    app_id: str = ""
    secret: str = ""
    authority: str = ""
    trusts: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.trusts = ssl.create_default_context(cafile=self.authority or None)

    @property
    def is_tls(self) -> bool:
        """Whether clients speak HTTPS."""
        return self.url.scheme == "https"

    @property
    def port(self) -> int:
        """Where they connect."""
        return self.url.port or (443 if self.is_tls else 80)

    def at(self, path: str, scheme: str = "") -> str:
        """The address of something on the server."""
        base = self.url.path.rstrip("/").removesuffix("/dispatcherv2").removesuffix("/dispatcher")
        return urlunsplit((scheme or self.url.scheme, self.url.netloc, base + path, "", ""))

    def ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """Send a request. Raises `httpx.HTTPError`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with httpx.Client(verify=self.trusts, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            return client.request(method, self.at(path), content=content, headers=named)

    def packet(self, padding: int = 0) -> bytes:
        """A packet that needs no session, with text that is not ASCII."""
        data = {"gameId": self.app_id, "padding": "é" + "x" * padding}
        message = {"service": "authenticationV2", "operation": "GET_SERVER_VERSION", "data": data}
        document = {"packetId": 0, "gameId": self.app_id, "messages": [message]}
        return json.dumps(document, ensure_ascii=False).encode()

    def send(self, body: bytes, *, packed: bool = False) -> httpx.Response:
        """Post a packet, signed if the secret is known."""
        headers = {"Content_Type": "application/json", "Origin": ORIGIN}
        if self.secret:
            headers["X_SIG"] = hashlib.md5(body + self.secret.encode(), usedforsecurity=False).hexdigest()
        if packed:
            headers["Content_Encoding"] = "gzip"
        return self.ask("POST", DISPATCHER, gzip.compress(body) if packed else body, **headers)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def examine(patient: Patient) -> Iterator[Finding]:
    """Look at one thing after the other. Ends where nobody answers, for nothing else can be seen then."""
    for look in (_address, _certificate, _packets, _clock, _cors, _large_packets, _sockets, _operators):
        findings = list(look(patient))
        yield from findings
        if look in {_address, _packets} and any(finding.outcome == FAILED for finding in findings):
            return


def _address(patient: Patient) -> Iterator[Finding]:
    host = patient.url.hostname or ""
    try:
        with socket.create_connection((host, patient.port), TIMEOUT_SECONDS) as connection:
            yield Finding(
                "address", OK, f"{host} is {connection.getpeername()[0]}, port {patient.port} is open"
            )
    except socket.gaierror:
        yield Finding(
            "address", FAILED, f"nobody knows the name {host}", "look for a typing error; ask the DNS"
        )
    except TimeoutError:
        advice = "a firewall drops it, or the address is another one"
        yield Finding("address", FAILED, f"nothing answers at port {patient.port} of {host}", advice)
    except OSError as error:
        advice = "does the server run, and does it listen on more than 127.0.0.1 (--host 0.0.0.0)?"
        yield Finding("address", FAILED, f"port {patient.port} of {host}: {error.strerror}", advice)


def _certificate(patient: Patient) -> Iterator[Finding]:
    host = patient.url.hostname or ""
    if not patient.is_tls:
        if host not in {"localhost", "127.0.0.1", "::1"}:
            advice = "passwords and session ids can be read on the way: see docs/tls.md"
            yield Finding("certificate", WARNING, "packets travel without TLS", advice)
        return
    try:
        with (
            socket.create_connection((host, patient.port), TIMEOUT_SECONDS) as connection,
            patient.trusts.wrap_socket(connection, server_hostname=host) as secured,
        ):
            ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
            spoken = secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = _CHAIN_ADVICE.get(
            error.verify_code, "look at the chain: openssl s_client -connect HOST:PORT"
        )
        yield Finding("certificate", FAILED, error.verify_message.strip(), advice)
        patient.trusts = ssl.create_default_context()  # that trusts anybody, to see what else is wrong
        patient.trusts.check_hostname = False
        patient.trusts.verify_mode = ssl.CERT_NONE
    except (OSError, ssl.SSLError) as error:
        advice = "is it HTTP that is spoken at this port?"
        yield Finding("certificate", FAILED, f"no TLS: {getattr(error, 'reason', None) or error}", advice)
    else:
        days = int((ends - time.time()) // DAY_SECONDS)
        outcome = OK if days >= CERTIFICATE_DAYS_MIN else WARNING
        advice = "" if outcome == OK else "renew it"
        yield Finding("certificate", outcome, f"trusted here, good for {days} days, {spoken}", advice)


def _entry(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the one entry of an answer; None for what is no answer to a packet."""
    try:
        [entry] = answer.json()["responses"]
    except (ValueError, KeyError, TypeError):
        return None
    return entry if answer.status_code == httpx.codes.OK and isinstance(entry, dict) else None


def _packets(patient: Patient) -> Iterator[Finding]:
    try:
        answer = patient.send(patient.packet())
    except httpx.HTTPError as error:
        yield Finding("packets", FAILED, f"no answer: {_words(error)}", "see the server's log")
        return
    entry = _entry(answer)
    if entry is None:
        who = answer.headers.get("server", "what answers there")
        text = f"{who} answers {DISPATCHER} with HTTP {answer.status_code}, and not as this server does"
        if answer.is_redirect:
            advice = f"clients follow no redirect: give them {answer.headers.get('location')}"
        else:
            advice = "name the server's own address, or have the proxy pass the path on as it is"
        yield Finding("packets", FAILED, text, advice)
    elif entry["status"] == httpx.codes.OK:
        yield Finding(
            "packets", OK, f"gameserver {entry['data']['serverVersion']} answers, and takes the app id"
        )
    elif not patient.app_id and entry["reason_code"] == UNKNOWN_APP:
        yield Finding("packets", OK, "a gameserver answers; --app-id and --secret would look at those, too")
    else:
        advice = {
            UNKNOWN_APP: "--app-id is `id` in app.toml; was the server started with another folder of apps?",
            BAD_SIGNATURE: "--secret is `secret` in app.toml; if it is, something on the way changes bodies",
        }.get(entry["reason_code"], "see docs/reason-codes.md")
        yield Finding("packets", FAILED, f"{entry['reason_code']} {entry['status_message']}", advice)


def _clock(patient: Patient) -> Iterator[Finding]:
    before = time.time()
    told = patient.ask("OPTIONS", DISPATCHER).headers.get("date")
    if told is None:
        return
    away = email.utils.parsedate_to_datetime(told).timestamp() - (before + time.time()) / 2
    if abs(away) <= CLOCK_SECONDS_MAX:
        yield Finding("clock", OK, "the server has the time of this machine")
    else:
        advice = (
            "set both by NTP: tokens of platforms, signed links and webhooks are refused by a wrong clock"
        )
        text = (
            f"the server's clock is {abs(away):.0f} seconds {'ahead of' if away > 0 else 'behind'} this one's"
        )
        yield Finding("clock", WARNING, text, advice)


def _cors(patient: Patient) -> Iterator[Finding]:
    asked = "content-type,x-appid,x-sig"
    preflight = patient.ask(
        "OPTIONS",
        DISPATCHER,
        Origin=ORIGIN,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers=asked,
    )
    names = {
        name.strip().lower() for name in preflight.headers.get("access-control-allow-headers", "").split(",")
    }
    missing = set(asked.split(",")) - names
    origins = preflight.headers.get_list("access-control-allow-origin")
    answered = patient.send(patient.packet()).headers.get_list("access-control-allow-origin")
    advice = "have the proxy pass OPTIONS on, and neither remove nor add Access-Control headers"
    if not preflight.is_success or not origins or not answered:
        yield Finding("cors", FAILED, "pages of other origins may not send packets", advice)
    elif len(origins) > 1 or len(answered) > 1:
        yield Finding(
            "cors", FAILED, "Access-Control-Allow-Origin is told twice, which browsers refuse", advice
        )
    elif missing:
        yield Finding("cors", FAILED, f"pages may not send {', '.join(sorted(missing))}", advice)
    else:
        yield Finding("cors", OK, "pages of any origin may send packets")


def _large_packets(patient: Patient) -> Iterator[Finding]:
    body = patient.packet(LARGE_BYTES)
    for name, packed, advice in (
        ("large packets", False, "let the proxy take bodies of 1 MiB (nginx: client_max_body_size 1m)"),
        ("packed packets", True, "have the proxy leave bodies with Content-Encoding: gzip as they are"),
    ):
        try:
            answer = patient.send(body, packed=packed)
        except httpx.HTTPError as error:
            yield Finding(name, FAILED, f"no answer: {_words(error)}", advice)
            continue
        entry = _entry(answer)
        if entry is not None and (entry["status"] == httpx.codes.OK or entry["reason_code"] == UNKNOWN_APP):
            yield Finding(name, OK, "arrive as they were sent")
        else:
            why = f"HTTP {answer.status_code}" if entry is None else entry["status_message"]
            yield Finding(name, FAILED, f"do not arrive: {why}", advice)


def _sockets(patient: Patient) -> Iterator[Finding]:
    """Knock without a secret: who hangs up with a reason is the server."""
    trusts = patient.trusts if patient.is_tls else None
    hello = {"service": "rtt", "operation": "CONNECT", "data": {"sessionId": "", "auth": {}}}
    try:
        address = patient.at("/", "wss" if patient.is_tls else "ws")
        with connect(address, ssl=trusts, open_timeout=TIMEOUT_SECONDS, proxy=None) as opened:
            opened.send(json.dumps(hello))
            words = json.loads(opened.recv(TIMEOUT_SECONDS))
        assert words["operation"] == "DISCONNECT"
    except (
        OSError,
        WebSocketException,
        TimeoutError,
        ValueError,
        KeyError,
        TypeError,
        AssertionError,
    ) as error:
        advice = (
            "have the proxy pass Upgrade and Connection on; not needed where --realtime-url leads elsewhere"
        )
        yield Finding("real-time", WARNING, f"WebSockets do not arrive: {_words(error)}", advice)
    else:
        yield Finding("real-time", OK, "WebSockets arrive")


def _operators(patient: Patient) -> Iterator[Finding]:
    seen = [path for path in OPERATORS_PATHS if patient.ask("GET", path).status_code == httpx.codes.OK]
    if seen:
        advice = "they ask for no password: let only your own network reach --admin-port"
        yield Finding("operators", WARNING, f"{' and '.join(seen)} can be read from here", advice)


def doctor(
    *,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where clients reach the server.")],
    app_id: Annotated[str, typer.Option("--app-id", help="The id that the game has.")] = "",
    secret: Annotated[str, typer.Option(help="Its secret. @FILE reads it from a file.")] = "",
    authority: Annotated[
        Path | None,
        typer.Option("--ca", help="An authority to trust, as dev-cert writes it.", dir_okay=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Look at a server from where the game runs: address, certificate, clock, CORS, proxies.

    Sends a dozen requests, and logs nobody in.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        fail("URL: an address as https://game.example.com", Exit.USAGE)
    try:
        if secret.startswith("@"):
            secret = Path(secret[1:]).read_text("utf-8").strip()
        patient = Patient(parts, app_id, secret, str(authority) if authority else "")
    except OSError as error:
        fail(f"a file cannot be used: {error.strerror or error}", Exit.USAGE)
    findings = []
    for finding in _careful(patient):
        findings.append(finding)
        if not as_json:
            advice = f"\n{'':17}{finding.advice}" if finding.advice else ""
            typer.echo(f"{finding.outcome:8} {finding.what:14} {finding.text}{advice}")
    if as_json:
        show_json([vars(finding) for finding in findings])
    if any(finding.outcome == FAILED for finding in findings):
        raise typer.Exit(Exit.AWAY if len(findings) == 1 else Exit.PROBLEMS)


def _careful(patient: Patient) -> Iterator[Finding]:
    """Examine; a server that goes away meanwhile is a finding, too."""
    try:
        yield from examine(patient)
    except httpx.HTTPError as error:
        yield Finding("packets", FAILED, f"no answer any more: {error}", "see the server's log")
