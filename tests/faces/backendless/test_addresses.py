"""Backendless REST: which paths and keys lead where, and what an app may declare."""

import re
from pathlib import Path
from typing import Any

import pytest

from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.faces.backendless.rest import CALLS
from tests.conftest import APP_ID, APP_TOML, Game
from tests.faces.backendless.device import BASE, USER_TOKEN, Device

# Addresses


async def test_a_domain_stands_for_id_and_key(game: Game, device: Device) -> None:
    user = await device.user()
    at_home = {"Host": "api.game.test", USER_TOKEN: device.token}
    response = await game.http.get("/api/users/userroles", headers=at_home)
    assert response.json() == ["AuthenticatedUser"]
    body = {"user": user["email"], "roleName": "Guard"}
    response = await game.http.post("/api/users/assignRole", json=body, headers=at_home)
    assert response.json()["code"] == 2011
    response = await game.http.get("/api/info", headers={"Host": "elsewhere.test"})
    assert (response.status_code, response.json()["code"]) == (400, 2002)
    response = await game.http.get("/api/users/logout", headers={"Host": "elsewhere.test"})
    assert response.json()["code"] == 3007


async def test_browsers_of_any_page_may_call(device: Device) -> None:
    response = await device.game.http.options(
        f"{BASE}/users/login",
        headers={
            "Origin": "https://game.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,user-token",
        },
    )
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    allowed = {name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")}
    assert {"content-type", USER_TOKEN} <= allowed
    assert {"GET", "POST", "PUT"} <= set(response.headers["access-control-allow-methods"].split(", "))
    response = await device.send("GET", "/info")
    assert response.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/nothing"),
        ("POST", "/users/logout"),
        ("DELETE", "/users/x"),
        ("GET", "/data/Orders/1"),
        ("POST", "/messaging/default"),
        ("GET", "/files/a/b.png"),
        ("DELETE", "/nothing"),
    ],
)
async def test_what_there_is_not_is_said_in_the_same_form(device: Device, method: str, path: str) -> None:
    assert await device.refused(method, path) == (404, 404)


async def test_what_is_the_address_of_no_app_is_left_to_others(game: Game) -> None:
    response = await game.http.get("/UNKNOWN/js-key/messaging")
    assert (response.status_code, response.json()["status"]) == (404, 404)


@pytest.mark.parametrize(("method", "path"), [(m, path) for m, path, _ in CALLS if "{" in path])
@pytest.mark.parametrize("part", ["%00", "%FF", "a%2Fb", "x" * 5000, "%F0%9F%9A%80", "' OR 1=1 --"])
async def test_strange_addresses_are_refused_or_find_nothing(
    device: Device, studio: Device, method: str, path: str, part: str
) -> None:
    await device.user()
    for caller in (device, studio):
        path = re.sub(r"\{[^}]*\}", part, path)
        response = await caller.send(method, path, {"userStatus": "DISABLED"})
        assert response.status_code < 500
        assert response.status_code != 502
        assert response.content == b"" or response.json() is not None


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in CALLS])
async def test_every_call_needs_an_application(game: Game, method: str, path: str) -> None:
    stranger = Device(game, "/UNKNOWN/js-key")
    path = path.replace(":path", "").replace("{", "").replace("}", "")
    expected = 3007 if path == "/users/logout" else 2002
    assert await stranger.refused(method, path, {}) == (expected, 400)


async def test_answers_are_kept_by_no_cache(device: Device) -> None:
    for path in ("/info", "/users/userroles", "/users/nothing"):
        assert (await device.send("GET", path)).headers["cache-control"] == "no-store"


# The definition


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[backendless]\nidentity = "password"', "backendless.identity"),
        ('[backendless]\nidentity = "objectId"', "backendless.identity"),
        ('[backendless]\nroles = ["AuthenticatedUser"]', "backendless.roles[0]"),
        ("[backendless.properties.created]", "backendless.properties.created"),
        ('[backendless.properties.email]\ntype = "integer"', "backendless.properties.email"),
        ("[backendless.properties.email]\nmax_length = 257", "backendless.properties.email"),
        ("[backendless.login]\nmost = 2", "backendless.login.most"),
        ("[backendless.login]\nlife_seconds = 2592001", "backendless.login.life_seconds"),
        ('[backendless.versions.a]\napplication_id = "A"', "backendless.versions.a.keys"),
        (
            '[backendless.versions.a]\napplication_id = "A"\nkeys = { js = "x", rest = "x" }',
            "backendless.versions.a.keys.rest",
        ),
        (
            '[backendless.versions.a]\napplication_id = "A"\nkeys = { server = "x" }',
            "backendless.versions.a.keys.server",
        ),
        (
            '[backendless.versions.a]\napplication_id = "A"\nserver_key = "short"',
            "backendless.versions.a.server_key",
        ),
        (
            """\
[backendless.versions]
a = { application_id = "A", keys = { js = "x" } }
b = { application_id = "A", keys = { js = "y" } }""",
            "backendless.versions.b",
        ),
    ],
)
def test_mistakes_in_a_definition_are_named(definition: Path, text: str, key: str) -> None:
    definition.write_text(f"{APP_TOML}\n{text}\n")
    problems = load_apps(definition.parents[1], registry().sections()).problems
    assert [problem.key for problem in problems] == [key]


def test_the_sample_shows_settings_that_work(definition: Path) -> None:
    sample = registry().samples()["backendless"]
    wanted = re.sub(r"^#(?! )", "", sample, flags=re.MULTILINE)
    definition.write_text(APP_TOML + wanted)
    loaded = load_apps(definition.parents[1], registry().sections())
    assert not loaded.problems
    app = loaded.find(APP_ID)
    assert app is not None
    section: Any = app.section(registry().sections()["backendless"])
    [version] = section.versions.values()
    assert version.kind_of("js-key") == "js"
