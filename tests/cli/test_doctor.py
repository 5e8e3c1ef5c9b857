"""The doctor: what it finds on a server that is well, and behind proxies that are not."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Running, command, running
from tests.servers import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("doctor")) as server:
        yield server


def found(folder: Path, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
    """What the doctor finds, by what it looks at: the outcome, and its words with the advice."""
    done = command(folder, "doctor", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    findings = json.loads(done.stdout)
    return {each["what"]: (each["outcome"], f"{each['text']}: {each['advice']}") for each in findings}


def credentials(server: Running) -> list[str]:
    text = (server.folder / "apps" / "sample" / "app.toml").read_text()
    [secret] = [line.split('"')[1] for line in text.splitlines() if line.startswith("secret = ")]
    return ["--app-id", "10001", "--secret", secret]


def test_a_server_that_is_well(server: Running) -> None:
    outcomes = found(server.folder, server.url, *credentials(server))
    assert {what: outcome for what, (outcome, _) in outcomes.items()} == dict.fromkeys(
        ("address", "packets", "clock", "cors", "large packets", "packed packets", "real-time"), "ok"
    )
    assert "takes the app id" in outcomes["packets"][1]
    told = command(server.folder, "doctor", server.url)  # without credentials, for people
    assert told.returncode == 0
    assert "ok       packets        a gameserver answers" in told.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--app-id", "nowhere"], "40316 gameId: there is no app 'nowhere': --app-id is `id` in app.toml"),
        (["--app-id", "10001", "--secret", "wrong"], "the secret of app 10001: --secret is `secret`"),
    ],
)
def test_wrong_credentials(server: Running, words: list[str], told: str) -> None:
    outcome, text = found(server.folder, server.url, *words, code=3)["packets"]
    assert outcome == "failed"
    assert told in text


def test_the_operators_address_is_not_for_everybody(server: Running) -> None:
    readiness = server.admin_url + "/readyz"
    assert httpx.get(readiness).status_code == 200
    outcomes = found(server.folder, server.admin_url, code=3)
    assert outcomes["packets"][0] == "failed"
    assert "HTTP 404" in outcomes["packets"][1]


def test_nobody_answers(tmp_path: Path) -> None:
    assert found(tmp_path, f"http://127.0.0.1:{free_port()}", code=4)["address"][0] == "failed"
    assert "typing error" in found(tmp_path, "https://nowhere.invalid", code=4)["address"][1]
    assert command(tmp_path, "doctor", "ftp://here").returncode == 2


def test_certificates(tmp_path: Path) -> None:
    assert command(tmp_path, "dev-cert").returncode == 0
    files = ["--tls-cert", "certs/server.pem", "--tls-key", "certs/server.key"]
    with running(tmp_path, *files) as server:
        unknown = found(tmp_path, server.url, code=3)
        assert unknown["certificate"][0] == "failed"
        assert "--ca" in unknown["certificate"][1]
        assert unknown["packets"][0] == unknown["real-time"][0] == "ok"  # the rest is looked at even so
        trusted = found(tmp_path, server.url, "--ca", "certs/ca.pem")
        assert trusted["certificate"][0] == "ok"
        assert {outcome for outcome, _ in trusted.values()} == {"ok"}
        plain = found(tmp_path, server.url.replace("https", "http"), code=3)
        assert plain["packets"][0] == "failed"


class Proxy(BaseHTTPRequestHandler):
    """Passes everything on, but with one fault."""

    protocol_version = "HTTP/1.1"
    behind: str
    fault: str

    def do_OPTIONS(self) -> None:
        if self.fault == "options":
            self.answer(405, b"", {})
        else:
            self.pass_on()

    def do_GET(self) -> None:
        if self.fault == "operators":
            self.answer(200, b"gameserver_packets_total 1", {})
        else:
            self.answer(404, b"", {})

    def do_POST(self) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.fault == "html":
            self.answer(200, b"<html>Welcome</html>", {})
            return
        if self.fault == "redirect":
            self.answer(301, b"", {"Location": "https://elsewhere.example.com/dispatcherv2"})
            return
        if self.fault == "large" and len(body) > 100_000:
            self.answer(413, b"", {})
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        if self.fault == "gzip":
            headers.pop("Content-Encoding", None)
        told = httpx.request(self.command, self.behind + self.path, content=body, headers=headers)
        kept = {name: value for name, value in told.headers.items() if name.startswith("access-control")}
        if self.fault == "no cors":
            kept = {}
        elif self.fault == "clock":
            kept["Date"] = "Mon, 30 Nov 2020 17:00:00 GMT"
        elif self.fault == "headers":
            kept["access-control-allow-headers"] = "Content-Type"
        self.answer(told.status_code, told.content, kept)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        if "Date" not in headers:
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if self.fault == "twice" and headers:
            self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base calls it so
        """Say nothing."""


@contextlib.contextmanager
def behind_a_proxy(server: Running, fault: str) -> Iterator[str]:
    handler = type("Faulty", (Proxy,), {"behind": server.url, "fault": fault})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


@pytest.mark.parametrize(
    ("fault", "what", "outcome", "told"),
    [
        ("html", "packets", "failed", "pass the path on"),
        ("redirect", "packets", "failed", "give them https://elsewhere.example.com/dispatcherv2"),
        ("options", "cors", "failed", "OPTIONS"),
        ("no cors", "cors", "failed", "pages of other origins may not"),
        ("headers", "cors", "failed", "x-appid, x-sig"),
        ("twice", "cors", "failed", "told twice"),
        ("large", "large packets", "failed", "HTTP 413"),
        ("gzip", "packed packets", "failed", "Content-Encoding: gzip"),
        ("clock", "clock", "warning", "behind"),
        ("operators", "operators", "warning", "/metrics and /readyz"),
        ("none but sockets", "real-time", "warning", "Upgrade"),
    ],
)
def test_a_proxy_that_is_not_well(server: Running, fault: str, what: str, outcome: str, told: str) -> None:
    with behind_a_proxy(server, fault) as url:
        outcomes = found(server.folder, url, *credentials(server), code=3 if outcome == "failed" else 0)
    assert outcomes[what][0] == outcome
    assert told in outcomes[what][1]
    failed = {each for each, (its, _) in outcomes.items() if its == "failed"}
    assert failed == ({what} if outcome == "failed" else set())
