"""Chromium over WebDriver, for tests of what people do in a browser.

    def test_a_page(browser: Browser, ...): browser.go(url); browser.shows("a text")

`browser` is a fixture where a `conftest.py` imports it.
"""

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import free_port, missing

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # how WebDriver marks one
WAIT_SECONDS = 60
LOOK_SECONDS = 5  # at one page; its script ends without a word when the page goes
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

AT = """
const [end, ms, done] = arguments, until = performance.now() + ms;
const look = () => {
  const path = location.pathname + location.search;
  if (path.endsWith(end) && document.readyState === "complete") done(true);
  else if (performance.now() > until) done(`${path} (${document.readyState}) is not at ${end}`);
  else setTimeout(look, 20);
};
look();
"""

FIND = """
const [selector, text] = arguments;
for (const each of document.querySelectorAll(selector))
  if (each.checkVisibility({visibilityProperty: true}) && each.textContent.includes(text)) return each;
return null;
"""


class Browser:
    """A window of Chromium, as far as these tests need one."""

    def __init__(self, driver: httpx.Client, profile: Path, program: str) -> None:
        self.saved = profile / "saved"
        prefs = {"download.default_directory": str(self.saved), "download.prompt_for_download": False}
        options = {"binary": program, "args": [*FLAGS, f"--user-data-dir={profile}"], "prefs": prefs}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        answer = driver.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        self._driver = driver
        self._session = f"/session/{value['sessionId']}"
        self._ask("POST", "/timeouts", {"script": 4 * LOOK_SECONDS * 1000})
        where = {"behavior": "allow", "downloadPath": str(self.saved)}
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": where})
        self.clicks = 0

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
        """Wait until the page shows a text, be it the next page."""
        shown: Any = None
        for _ in range(WAIT_SECONDS // LOOK_SECONDS):
            body = {"script": SHOWS, "args": [text, LOOK_SECONDS * 1000]}
            answer = self._driver.post(f"{self._session}/execute/async", json=body)
            shown = answer.json()["value"]
            if shown is True:
                return
        raise AssertionError(shown)

    def at(self, end: str) -> None:
        """Wait until the browser is at a path that ends so, and has all of its page.

        What a click or a form asks for may come after it; so may a text that the page before shows, too.
        """
        where: Any = None
        for _ in range(WAIT_SECONDS // LOOK_SECONDS):
            body = {"script": AT, "args": [end, LOOK_SECONDS * 1000]}
            where = self._driver.post(f"{self._session}/execute/async", json=body).json()["value"]
            if where is True:
                return
        raise AssertionError(where)

    def saves(self, pattern: str) -> bytes:
        """Wait until a file whose name fits a pattern is saved; returns what is in it."""
        for _ in range(WAIT_SECONDS * 10):
            if found := list(self.saved.glob(pattern)):
                return found[0].read_bytes()
            self._ask("POST", "/execute/async", {"script": "setTimeout(arguments[0], 100)", "args": []})
        raise AssertionError(f"nothing like {pattern} is saved, only {list(self.saved.glob('*'))}")

    def cookies(self) -> dict[str, dict[str, Any]]:
        """The cookies that the browser would send to this page, by name."""
        return {cookie["name"]: cookie for cookie in self._ask("GET", "/cookie")}

    def click(self, selector: str, text: str = "") -> None:
        """Click the first visible element that a CSS selector finds, and that holds a text."""
        found = self.run(FIND, selector, text)
        assert found is not None, f"nothing to click: {selector} {text!r}\n{self.text()}"
        self.clicks += 1
        self._ask("POST", f"/element/{found[ELEMENT]}/click", {})

    def write(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Type into a field, in place of what stands there; `enter` sends its form."""
        found = self.run(FIND, selector, "")
        assert found is not None, f"nothing to write into: {selector}\n{self.text()}"
        self.run("arguments[0].value = ''", found)
        self._ask("POST", f"/element/{found[ELEMENT]}/value", {"text": text + ("\ue007" if enter else "")})

    def path(self) -> str:
        """The path and query of the page."""
        return str(self.run("return location.pathname + location.search"))

    def back(self) -> None:
        """Go back, as the button does."""
        self._ask("POST", "/back", {})

    def size(self, width: int, height: int) -> None:
        """Make the window another size."""
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def complaints(self) -> list[str]:
        """What pages have written to the console of the browser since the last time, as errors."""
        lines = self._ask("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in lines if line["level"] == "SEVERE"]

    def forget(self) -> None:
        """Forget the cookies of this address."""
        self._ask("DELETE", "/cookie")

    def close(self) -> None:
        """Close the window."""
        self._ask("DELETE", "")


@pytest.fixture(name="browser", scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
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
