"""The recipe of declared endpoints in Chromium, over WebDriver, against a server in its own process."""

import contextlib
import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from gameserver.serve import first_app
from tests.browser import WAIT_SECONDS, Browser
from tests.clients.pages import blocks, ran, secret_of_the_sample
from tests.conftest import APP_ID, APP_TOML
from tests.faces.web_app import PASSWORD, app_toml
from tests.processes import serve
from tests.servers import missing
from tests.warm import ROOT


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server_url(
    tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("endpoints")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(_of_its_own(app_toml()))
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(folder, *options) as server:
        yield server.url


def _of_its_own(definition: str) -> str:
    """Give the app an id nobody else uses: tests of a run may share a database, and players' names."""
    return definition.replace(f'id = "{APP_ID}"', f'id = "{uuid.uuid4().hex}"', 1)


def log_in(browser: Browser, server_url: str, user: str) -> None:
    """Log in with a script of a page of the server, as a game's web page does."""
    browser.go(f"{server_url}/v1/me")
    body = f'{{"user":"{user}","secret":"{PASSWORD}"}}'
    answer = browser.fetch(
        "/v1/login", method="POST", headers={"Content-Type": "application/json"}, body=body
    )
    assert answer["status"] == 200, answer


def test_the_recipe(browser: Browser, server_url: str) -> None:
    assert browser.status(f"{server_url}/v1/me") == 401
    assert "40304" in browser.text()
    log_in(browser, server_url, "ada")
    assert browser.status(f"{server_url}/v1/me") == 200
    assert browser.status(f"{server_url}/v1/logout_user") == 200
    assert browser.cookies() == {}
    assert browser.status(f"{server_url}/v1/me") == 401


def test_scripts_cannot_read_the_cookie(browser: Browser, server_url: str) -> None:
    log_in(browser, server_url, "grace")
    cookie = browser.cookies()["test_session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert browser.run("return document.cookie") == ""
    assert browser.status(f"{server_url}/v1/logout_user") == 200


def test_the_cookie_is_dead_and_not_only_gone(browser: Browser, server_url: str) -> None:
    log_in(browser, server_url, "hedy")
    cookie = browser.cookies()["test_session"]["value"]
    with httpx.Client(base_url=server_url, headers={"Cookie": f"test_session={cookie}"}) as thief:
        assert thief.get("/v1/me").status_code == 200
        assert browser.fetch("/mobileservices/sessions/v2/logout", method="POST")["status"] == 204
        assert thief.get("/v1/me").status_code == 401
    assert browser.cookies() == {}


def test_a_page_of_another_origin_logs_nobody_out(browser: Browser, server_url: str) -> None:
    """`localhost` is another site than `127.0.0.1`, though the same server answers."""
    log_in(browser, server_url, "joan")
    stranger = server_url.replace("127.0.0.1", "localhost")
    browser.go(f"{stranger}/v1/me")
    for path, method in (("/v1/logout_user", "GET"), ("/v1/logout", "POST")):
        browser.fetch(server_url + path, method=method, mode="no-cors", credentials="include")
    # a link on the stranger's page is followed with the cookie, and refused for where it comes from
    browser.run("location.href = arguments[0]", f"{server_url}/v1/logout_user")
    assert "40346" in browser.text()
    assert browser.status(f"{server_url}/v1/me") == 200
    # typed into the address bar it works
    assert browser.status(f"{server_url}/v1/logout_user") == 200
    assert browser.status(f"{server_url}/v1/me") == 401


@contextlib.contextmanager
def files(folder: Path) -> Iterator[str]:
    """Serve a folder as any web server does; yields its address."""
    handler = partial(QuietFiles, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


@pytest.fixture(scope="module")
def clicker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the example game, on a web server of its own, with a server beside it."""
    packages = ROOT / "tests" / "clients" / "js" / "node_modules"
    if not packages.exists():
        missing("the npm package braincloud (npm install in tests/clients/js)")
    folder = tmp_path_factory.mktemp("clicker")
    for script in ("braincloud/lib/brainCloudClient.min.js", "crypto-js/crypto-js.js"):
        shutil.copy(packages / script, folder)
    shutil.copy(ROOT / "docs" / "examples" / "browser" / "index.html", folder)
    with serve(folder, "--apps", str(ROOT / "docs" / "examples" / "apps")) as server, files(folder) as site:
        yield f"{site}/?server={server.url}"


def test_the_example_game_is_played(browser: Browser, clicker: str) -> None:
    browser.go(clicker)
    browser.shows("Welcome")
    browser.run("document.getElementById('name').value = 'Ada <b>'; naming.requestSubmit()")
    browser.shows("Hello, Ada <b>")
    browser.run("for (let i = 0; i < 7; i++) press.click()")
    browser.shows("7 clicks")
    browser.shows("Ada <b>\t7")
    browser.run("line.value = 'Bollocks, <i>Bob</i>'; talking.requestSubmit()")
    browser.shows("Ada <b>: ********, <i>Bob</i>")
    browser.go(clicker)  # the browser remembers who plays
    browser.shows("Welcome back, Ada <b>")
    browser.shows("Ada <b>: ********, <i>Bob</i>")
    browser.run("logout.click()")
    browser.shows("Logged out")


def test_the_quick_start_with_our_own_client(browser: Browser, tmp_path: Path) -> None:
    [page] = blocks("docs/quick-start/browser.md", "html")
    copy, _serve, _install = blocks("docs/quick-start/browser.md", "sh")
    ran(["bash", "-euc", copy], tmp_path, SOURCES=str(ROOT))
    first_app(tmp_path / "apps")
    (tmp_path / "apps" / "sample" / "leaderboard.toml").write_text("[leaderboard.boards.main]\n")
    with serve(tmp_path) as server, files(tmp_path) as site:
        page = page.replace("http://127.0.0.1:8080", server.url)
        (tmp_path / "index.html").write_text(page.replace("the secret", secret_of_the_sample(tmp_path)))
        told = []
        for _ in range(2):
            browser.go(site)
            browser.shows(" has 42")
            told.append(browser.text())
    assert told[0] == told[1]  # the same player


def test_the_recipe_of_the_docs_with_curl(tmp_path: Path, services: dict[str, str], migrated: object) -> None:
    if shutil.which("curl") is None:
        missing("curl")
    page = (ROOT / "docs" / "web-endpoints.md").read_text("utf-8")
    toml, script = (page.split(f"```{kind}\n")[1].split("```")[0] for kind in ("toml", "sh"))
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(_of_its_own(APP_TOML + toml))
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(tmp_path, *options) as server:
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env={**os.environ, "HOST": server.url},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
    expected = [line.rpartition("# ")[2] for line in script.splitlines() if line.startswith("api $HOST")]
    assert done.stdout.split() == expected == ["401", "200", "200", "200", "200", "401"], done.stderr
