"""The console in Chromium: no page complains, asks another host, or shuts somebody out."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from gameserver.console import PAGES
from tests.browser import Browser
from tests.cli.running import command
from tests.conftest import APP_ID, APP_TOML
from tests.console.conftest import PASSWORD
from tests.console.things import make
from tests.processes import serve
from tests.servers import missing
from tests.warm import ROOT

AXE = ROOT / "tests" / "console" / "js" / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations
  .filter((each) => ['serious', 'critical'].includes(each.impact))
  .map((each) => each.id + ': ' + each.nodes.map((node) => node.html.slice(0, 120)).join(' | '))));
"""
HELLO = """
# What everybody may ask.
[web.endpoints.hello]
path = "/CONSOLE/hello"
method = "GET"
[web.actions.hello]
trigger = "hello"
events = [{ do = "call", operation = "time.READ" }]
"""
SET = "document.querySelector(`[name='${arguments[0]}']`).value = arguments[1]"
HOSTS = "return performance.getEntriesByType('resource').map((each) => new URL(each.name).host)"
ASTRAY = r"""
const astray = [], nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (nodes.nextNode())
  if (/[\u0590-\u08ff]/.test(nodes.currentNode.data)
      && !nodes.currentNode.parentElement.closest('bdi, [dir=auto], pre, code, textarea, script'))
    astray.push(nodes.currentNode.parentElement.outerHTML.slice(0, 200));
return astray;
"""
"""Texts from right to left that turn what stands around them."""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Console(NamedTuple):
    """A server with a console, and players whom others know."""

    url: str
    game: str
    app_id: str
    players: dict[str, str]
    refused_at: str
    bulk: str

    def of_app(self, path: str = "") -> str:
        return f"{self.url}/console/apps/{self.app_id}{path}"


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object, browser: Browser
) -> Iterator[Console]:
    """A server whose first admin is logged in, in the browser."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "apps" / "test").mkdir(parents=True)
    app_id = uuid.uuid4().hex
    definition = APP_TOML.replace(f'id = "{APP_ID}"', f'id = "{app_id}"').replace(
        'title = "Test"', 'title = "Moon Miners"'
    )
    (folder / "apps" / "test" / "app.toml").write_text(
        f'{definition}signature = "optional"\n[group.types.clan]\n[segment.segments.all]\nid = 1\n'
        "[virtualCurrency.currencies.coins]\n" + HELLO.replace("CONSOLE", app_id)
    )
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(folder, "--edit-apps", *options) as server:
        log = next(folder.glob("server-*.log")).read_text()
        url = re.search(r"console (http://[^/]+)", log)
        assert url is not None
        players = {
            name: _player(server.url, app_id, name) for name in ("Ada Lovelace", "Adam", "Grace", "Lin")
        }
        refused_at = browser.run(
            "return new Date().toTimeString().slice(0, 5)"
        )  # as a player's watch shows it
        token = _admin(folder, options)
        browser.go(f"{url.group(1)}/console/welcome/{token}")
        browser.write("input[name=password]", PASSWORD)
        browser.write("input[name=repeat]", PASSWORD, enter=True)
        browser.shows("Newest players")
        browser.go(f"{url.group(1)}/console/apps/{app_id}/players?q=ad")
        browser.click("summary", "Save this view")
        browser.write("details[open] input[name=name]", "Those with Ad", enter=True)
        browser.shows("Saved as Those with Ad.")
        browser.go(f"{url.group(1)}/console/apps/{app_id}/bulk/new?which=all")
        browser.click("summary", "Enable…")
        browser.write("details[open].act input[name=reason]", "to have one", enter=True)
        browser.shows("had their turn")
        bulk = browser.path().rpartition("/")[2]
        yield Console(url.group(1), server.url, app_id, players, refused_at, bulk)


def _admin(folder: Path, options: list[str]) -> str:
    """Add an admin; returns what opens the page for their password."""
    name = f"admin-{uuid.uuid4().hex[:8]}"
    words = [part for place in ("apps", "data") for part in (f"--{place}", str(folder / place))]
    done = command(folder, "staff", "add", name, "--role", "admin", *words, *options, "--json")
    return str(json.loads(done.stdout)["invitation"])


def _player(url: str, app_id: str, name: str) -> str:
    login = {
        "authenticationType": "Universal",
        "externalId": f"{name}-{uuid.uuid4().hex[:6]}",
        "authenticationToken": "x" * 12,
        "forceCreate": True,
    }
    packet: dict[str, Any] = {
        "packetId": 0,
        "gameId": app_id,
        "messages": [{"service": "authenticationV2", "operation": "AUTHENTICATE", "data": login}],
    }
    [answer] = httpx.post(f"{url}/dispatcher", json=packet).json()["responses"]
    packet |= {"packetId": 1, "sessionId": answer["data"]["sessionId"]}
    packet["messages"] = [
        {"service": "playerState", "operation": "UPDATE_NAME", "data": {"playerName": name}}
    ]
    assert httpx.post(f"{url}/dispatcher", json=packet).json()["responses"][0]["status"] == 200
    if name == "Lin":  # is logged out, and asks for more: 40304
        for number, (service, operation) in enumerate((("playerState", "LOGOUT"), ("time", "READ"))):
            packet |= {
                "packetId": 2 + number,
                "messages": [{"service": service, "operation": operation, "data": {}}],
            }
            httpx.post(f"{url}/dispatcher", json=packet)
    return str(answer["data"]["profileId"])


NOT_ALONE = {
    "/go",
    "/apps/{app}/metrics",  # numbers for charts
    "/apps/{app}/activity/log/{line}",  # of one row, such as tests of activity open
    "/apps/{app}/activity/journal/{line}",
    "/apps/{app}/webhooks/delivery",
    "/apps/{app}/scripts/source",
}


def pages(console: Console) -> list[str]:
    """Each page that opens by itself."""
    parts = {
        "app": console.app_id,
        "profile": console.players["Grace"],
        "operation": "entity.CREATE",
        "endpoint": "hello",
        "segment": "1",
        "bulk": console.bulk,
        **make(console.game, console.app_id),
    }
    entities = {"/players/": parts["entity"], "/groups/": parts["chest"]}

    def filled(path: str) -> str:
        entity = next((entities[each] for each in entities if each in path), parts["global"])
        return path.format(**{**parts, "entity": entity}) + (
            "?which=all" if path.endswith("/bulk/new") else ""
        )

    alone = [
        f"{console.url}/console{filled(page.path)}"
        for page in PAGES
        if page.method == "GET" and page.path not in NOT_ALONE
    ]
    return [*alone, console.of_app("/players?q=ad")]  # with a saved view


def test_no_page_complains_or_shuts_somebody_out(console: Console, browser: Browser) -> None:
    if not AXE.exists():
        missing("the npm package axe-core (npm install in tests/console/js)")
    axe = AXE.read_text()
    browser.complaints()
    trouble: list[str] = []
    for theme in ("light", "dark"):
        for page in pages(console):
            browser.go(page)
            browser.run(f"document.documentElement.dataset.theme = '{theme}'")
            browser.run("document.getAnimations().forEach((each) => each.finish())")  # of changing colours
            browser.run(axe)
            found = browser._ask("POST", "/execute/async", {"script": RUN_AXE, "args": []})
            trouble += [f"{page} {theme}: {each}" for each in [*found, *browser.complaints()]]
            hosts = set(browser.run(HOSTS))
            trouble += [f"{page} asks {host}" for host in hosts if f"http://{host}" != console.url]
    assert not trouble, "\n".join(trouble)


def test_every_page_fits_a_telephone_whatever_players_call_themselves(
    console: Console, browser: Browser
) -> None:
    browser.size(360, 800)
    trouble: list[str] = []
    try:
        for page in pages(console):
            browser.go(page)
            if (wide := browser.run(OVERFLOW)) > 0:
                trouble.append(f"{page} is {wide} too wide")
            trouble += [f"{page}: {each}" for each in browser.run(ASTRAY)]
    finally:
        browser.size(1280, 900)
    assert not trouble, "\n".join(trouble)


def test_a_player_is_found_by_half_a_name(console: Console, browser: Browser) -> None:
    browser.go(console.of_app())
    browser.write("#search", "gra", enter=True)
    browser.at(f"/players/{console.players['Grace']}")
    browser.write("#search", "ada", enter=True)
    browser.shows("Lovelace")
    browser.shows("Adam")


def test_a_broken_save_is_edited_with_three_clicks(console: Console, browser: Browser) -> None:
    browser.go(console.of_app(f"/players/{make(console.game, console.app_id)['profile']}"))
    browser.clicks = 0
    browser.click(".tabs a", "Data")
    browser.at("/data")
    browser.click("td a", "Edit")
    browser.shows("Numbers are stored as they are written here")
    text = browser.run("return document.querySelector('textarea').value")
    assert '"gold": 1e' in text
    browser.write("textarea", text.replace('"level": 41', '"level": 7'))
    browser.click("form.wide button", "Save")
    browser.shows("Saved as version 2")
    assert browser.clicks <= 3
    browser.shows('+   "level": 7,')
    browser.click(".said button", "Undo")
    browser.shows("as it was before")
    browser.shows('"level": 41')


def test_a_fake_score_is_removed_with_two_clicks_and_put_back_with_one(
    console: Console, browser: Browser
) -> None:
    browser.go(console.of_app(f"/players/{make(console.game, console.app_id)['profile']}"))
    browser.clicks = 0
    browser.click(".tabs a", "Boards")
    browser.shows("1 of 1")
    browser.click("td button", "Remove")
    browser.shows("the ranks have closed up")
    assert browser.clicks <= 2
    browser.shows("no score on any leaderboard")
    browser.click(".said button", "Undo")
    browser.shows("as they were")
    browser.shows("1 of 1")


def test_a_ban_for_a_week_takes_three_clicks(console: Console, browser: Browser) -> None:
    browser.go(console.of_app(f"/players/{console.players['Adam']}"))
    browser.clicks = 0
    browser.click("summary", "Disable")
    browser.click("label", "7 days")
    browser.write("details[open] input[name=reason]", "cheated in the arena", enter=True)
    browser.shows("Disabled 7 days")
    browser.shows("cheated in the arena")
    assert browser.clicks <= 3


def test_error_40304_at_a_time_is_found_with_two_clicks(console: Console, browser: Browser) -> None:
    browser.go(console.of_app())
    browser.clicks = 0
    browser.write("#search", f"error 40304 at {console.refused_at}", enter=True)
    browser.shows("There is no such session")
    browser.click("td a", console.players["Lin"])
    browser.at(f"/players/{console.players['Lin']}")
    assert browser.clicks <= 2


def test_charts_are_drawn_in_every_zone_and_followed_rows_come_by_themselves(
    console: Console, browser: Browser
) -> None:
    browser.complaints()
    browser.go(console.of_app())
    browser.shows("Packets and errors")
    canvases = "const [done] = arguments, look = () => document.querySelectorAll('.chart canvas').length > 3"
    canvases += " ? done(true) : setTimeout(look, 50); look();"
    assert browser._ask("POST", "/execute/async", {"script": canvases, "args": []})
    # The ticks of a day with 25 hours: uPlot asks the zone, so no hour is told where there is none.
    hours = browser.run("""return [0, 1, 2, 3, 4].map((hour) =>
        uPlot.tzDate(new Date(Date.UTC(2026, 9, 25, hour)), 'Europe/Berlin').getHours())""")
    assert hours == [2, 2, 3, 4, 5]
    browser.go(console.of_app("/activity/audit?follow=1"))
    row = browser.run("return document.querySelectorAll('#rows tbody tr').length")
    _player(console.game, console.app_id, "Ada Late")
    grown = (
        "const [least, done] = arguments, rows = () => document.querySelectorAll('#rows tbody tr').length;"
    )
    grown += "const look = () => rows() > least ? done(true) : setTimeout(look, 50); look();"
    assert browser._ask("POST", "/execute/async", {"script": grown, "args": [row]})
    assert browser.complaints() == []


def test_the_recipe_of_web_endpoints_is_done_without_code(console: Console, browser: Browser) -> None:
    """401, login, 200, logout 200, 401: made and run in the console alone."""
    paths = {name: f"/{console.app_id}/{name}" for name in ("login", "me", "logout_user")}

    def create(name: str, method: str, *clicks: str, **fields: str) -> None:
        browser.go(console.of_app("/endpoints"))
        browser.click("a", "Create an endpoint")
        browser.at("/new-endpoint")
        browser.write("input[name=name]", name)
        browser.write("input[name=path]", paths[name.lower().split()[0].replace("logout", "logout_user")])
        browser.run(f"document.querySelector('[name=method]').value = '{method}'")
        for selector in clicks:
            browser.click(selector)
        for field, value in fields.items():
            browser.run(
                "document.querySelector(`[name='${arguments[0]}']`).value = arguments[1]", field, value
            )
        browser.click("button", "Save")
        browser.shows("Saved. It answers as of now.")

    create("Login", "POST", **{"do.0": "login"})
    create("Me", "GET", "input[name=requires_login]", **{"do.0": "call", "operation.0": "playerState.READ"})
    create("Logout user", "GET", "input[name=get_changes_state]", **{"do.0": "logout"})

    def run(name: str, body: str = "") -> str:
        """Run one, with the cookies of the page before; returns the status."""
        cookies = browser.run("return document.querySelector('[name=cookies]')?.value ?? '{}'")
        browser.go(console.of_app(f"/endpoints/{name}"))
        browser.run("document.querySelector('[name=cookies]').value = arguments[0]", cookies)
        if body:
            browser.write("textarea[name=body]", body)
        browser.click("#run button")
        browser.shows("Answer")
        return str(browser.run("return document.querySelector('#answer .badge').textContent"))

    assert run("Me") == "401"
    assert run("Login", '{"login": "ada", "password": "correct horse"}') == "200"
    assert run("Me") == "200"
    browser.shows("profileId")
    assert run("Logout user") == "200"
    assert run("Me") == "401"
    browser.go(console.of_app("/definition"))
    assert "# What everybody may ask." in browser.run("return document.body.textContent")
    assert "a-secret-for-tests" not in browser.run("return document.body.textContent")


def test_a_list_that_is_all_there_is_sorted_by_its_columns(console: Console, browser: Browser) -> None:
    browser.go(console.of_app("/players"))
    names = "return [...document.querySelectorAll('tbody td:nth-child(2) a')].map((each) => each.textContent)"
    newest = browser.run(names)
    browser.click("th button", "Name")
    assert browser.run(names) == sorted(newest)
    browser.click("th button", "Name")
    assert browser.run(names) == sorted(newest, reverse=True)
    browser.click("th button", "Created")
    assert browser.run(names) == newest[::-1]
    assert browser.run("return document.querySelectorAll('th[aria-sort]').length") == 1
    browser.click(".orders a", "the oldest first")
    browser.at("?sort=oldest")
    assert browser.run(names) == newest[::-1]
    browser.click(".orders a", "by name")
    browser.at("?sort=name")
    assert browser.run(names) == sorted((name for name in newest if name != "(no name)"), key=str.lower)
    assert not browser.complaints()


def test_keys_on_a_list_change_nothing(console: Console, browser: Browser) -> None:
    browser.go(console.of_app("/players?q=ad"))
    before = browser.run("return document.querySelector('main').innerHTML")
    browser.run("window.sent = 0; addEventListener('submit', () => { window.sent += 1; })")
    keys = (
        "abcdefghijklmnopqrstuvwxyz0123456789.,-+*#!?" + "\ue017\ue003\ue00d\ue012\ue014"
    )  # Delete, Backspace, …
    for body in (keys, "\ue009a\ue000", "\ue008d\ue000"):
        actions = [{"type": kind, "value": key} for key in body for kind in ("keyDown", "keyUp")]
        browser._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})
    assert browser.path().endswith("/players?q=ad")
    assert browser.run("return window.sent") == 0
    assert browser.run("return document.querySelector('main').innerHTML") == before


def test_back_three_times_gives_whole_pages_with_their_filters(console: Console, browser: Browser) -> None:
    browser.go(console.of_app("/players"))
    browser.write("main input[name=q]", "ad", enter=True)
    browser.shows("Lovelace")
    browser.click("td a", "Adam")
    browser.at(f"/players/{console.players['Adam']}")
    browser.click(".tabs a", "Timeline")
    browser.at("/timeline")
    browser.go(console.of_app("/activity/audit?follow=1&kind=login"))
    for path in ("/timeline", f"/players/{console.players['Adam']}", "/players?q=ad"):
        browser.back()
        browser.at(path)
        assert (
            browser.run("return document.querySelectorAll('header, main, nav[aria-label=Console]').length")
            == 3
        )
    assert browser.run("return document.querySelector('main input[name=q]').value") == "ad"
    browser.shows("Lovelace")
    browser.go(browser.run("return location.href"))  # as a reload
    browser.shows("Lovelace")


def test_a_player_is_found_and_disabled_by_keys_alone(console: Console, browser: Browser) -> None:
    browser.go(console.of_app())

    def press(*keys: str) -> None:
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        browser._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    press("/", *"grace", "\ue007")
    browser.at(f"/players/{console.players['Grace']}")
    for _ in range(60):
        press("\ue004")  # Tab
        if "Disable" in browser.run("return document.activeElement.textContent.slice(0, 20)"):
            break
    assert browser.run("return document.activeElement.tagName") == "SUMMARY"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    press("\ue007")
    for _ in range(10):
        if browser.run("return document.activeElement.name") == "reason":
            break
        press("\ue004")
    press(*"by keys", "\ue007")
    browser.shows("by keys")
    browser.shows("Undo")
    browser.click(".said button", "Undo")
