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
from typing import Any

import httpx
import pytest

from gameserver.serve import first_app
from tests.clients.pages import blocks, ran, secret_of_the_sample
from tests.conftest import APP_ID, APP_TOML
from tests.faces.web_app import PASSWORD, app_toml
from tests.processes import serve
from tests.servers import free_port, missing
from tests.warm import ROOT

WAIT_SECONDS = 60
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")

# Asks like a page's own script does; what it says is how the request ended.
FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(async (answer) => done({status: answer.status, body: await answer.text()}))
                   .catch((error) => done({error: String(error)}));
"""

SHOWS = """
const [text, ms, done] = arguments, body = document.body;
const look = () => body.innerText.includes(text) && (seen.disconnect(), done(true));
const seen = new MutationObserver(look);
seen.observe(body, {subtree: true, childList: true, characterData: true});
setTimeout(() => done(`"${text}" is not in "${body.innerText}"`), ms);
look();
"""


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


class Browser:
    """A window of Chromium, as far as these tests need one."""

    def __init__(self, driver: httpx.Client, profile: Path, program: str) -> None:
        options = {"binary": program, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL"},
        }
        answer = driver.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        self._driver = driver
        self._session = f"/session/{value['sessionId']}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._driver.request(method, self._session + path, json=body)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def go(self, url: str) -> None:
        """Open an address, as if it were typed in."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; returns what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": arguments})

    def fetch(self, url: str, **options: Any) -> Any:
        """Send a request from a script in the page."""
        return self._ask("POST", "/execute/async", {"script": FETCH, "args": [url, options]})

    def status(self, url: str) -> int:
        """Open an address; returns the HTTP status of the page."""
        self.go(url)
        return int(self.run("return performance.getEntriesByType('navigation')[0].responseStatus"))

    def text(self) -> str:
        """The text that the page shows."""
        return str(self.run("return document.body.innerText"))

    def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        shown = self._ask("POST", "/execute/async", {"script": SHOWS, "args": [text, WAIT_SECONDS * 250]})
        assert shown is True, shown

    def cookies(self) -> dict[str, dict[str, Any]]:
        """The cookies that the browser would send to this page, by name."""
        return {cookie["name"]: cookie for cookie in self._ask("GET", "/cookie")}

    def close(self) -> None:
        """Close the window."""
        self._ask("DELETE", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a profile of its own."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        missing("Chromium (packages chromium and chromium-driver)")
    driver = shutil.which("chromedriver")
    if driver is None:
        missing("chromedriver (package chromium-driver)")
    assert program is not None
    assert driver is not None
    folder = tmp_path_factory.mktemp("chromium")
    with contextlib.ExitStack() as stack:
        port = free_port()
        process = stack.enter_context(
            subprocess.Popen(
                [driver, f"--port={port}", f"--log-path={folder / 'driver.log'}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "HOME": str(folder)},
            )
        )
        stack.callback(process.terminate)
        assert process.stdout is not None
        assert any("started successfully" in line for line in process.stdout), "chromedriver ended early"
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS, trust_env=False)
        stack.enter_context(client)
        window = Browser(client, folder / "profile", program)
        stack.callback(window.close)
        yield window


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
