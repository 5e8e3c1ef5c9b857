"""Endpoints that an operator declares: the recipe, the session's cookie, calls, and what is refused."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from gameserver.app import registry
from gameserver.apps import Apps, load_apps
from gameserver.faces.endpoints import values
from gameserver.faces.endpoints.declaration import RESERVED
from gameserver.wire.errors import GameError
from tests.conftest import APP_ID, APP_TOML, SECRET, Client, Game
from tests.faces.web_app import (
    PASSWORD,
    account,
    app_toml,
    audited,
    browser,
    player,
    session_of,
    status,
)

MORE = """
[web.endpoints.rename]
path = "/v1/players/{id}/name"
method = "PUT"
requires_login = true
[web.actions.rename]
trigger = "rename"
events = [
  { do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{path.id} {body.who.name}" } },
]

[web.endpoints.read]
path = "/v1/players/me"
method = "GET"
[web.actions.read]
trigger = "read"
events = [{ do = "call", operation = "playerState.READ" }]

[web.endpoints.any_player]
path = "/v1/players/{id}"
method = "GET"

[web.endpoints.sneaky]
path = "/v1/sneaky"
method = "GET"
requires_login = true
[web.actions.sneaky]
trigger = "sneaky"
events = [{ do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{query.name}" } }]

[web.endpoints.zone]
path = "/v1/zone"
requires_login = true
[web.actions.zone]
trigger = "zone"
[[web.actions.zone.events]]
do = "call"
operation = "playerState.UPDATE_TIMEZONE_OFFSET"
data = { timeZoneOffset = "{query.hours:number}" }

[web.endpoints.leave]
path = "/v1/leave"
requires_login = true
[web.actions.leave]
trigger = "leave"
events = [{ do = "call", operation = "playerState.LOGOUT" }]

[web.endpoints.leave_elsewhere]
path = "/v1/leave_elsewhere"
requires_login = true
[web.actions.leave_elsewhere]
trigger = "leave_elsewhere"
events = [
  { do = "call", operation = "playerState.SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", authority = "server" },
]

[web.endpoints.be_gone]
path = "/v1/be_gone"
requires_login = true
[web.actions.be_gone]
trigger = "be_gone"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION", authority = "server" }]

[web.endpoints.be_gone_by_link]
path = "/v1/be_gone_by_link"
method = "GET"
requires_login = true
[web.actions.be_gone_by_link]
trigger = "be_gone_by_link"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION", authority = "server" }]

[web.endpoints.not_yours]
path = "/v1/not_yours"
requires_login = true
[web.actions.not_yours]
trigger = "not_yours"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION" }]

[web.endpoints.enter]
path = "/v1/enter"
[web.actions.enter]
trigger = "enter"
events = [
  { do = "login", profile = "players" },
  { do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{body.name}" } },
  { do = "call", operation = "playerState.READ" },
]
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(app_toml(MORE))
    return apps_folder


def cookie_of(response: httpx.Response) -> list[str]:
    return response.headers["set-cookie"].split("; ")


# The recipe


async def test_the_recipe(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    refused = await page.get("/v1/me")
    assert refused.status_code == 401
    assert refused.json()["reason_code"] == 40304
    assert refused.headers["www-authenticate"] == "Bearer"
    login = await page.post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert login.status_code == 200
    assert login.json()["data"]["newUser"] is False
    assert (await page.get("/v1/me")).json() == {"status": 200, "data": None}
    kept = session_of(page)
    assert (await page.get("/v1/logout_user")).status_code == 200
    assert session_of(page) == ""
    assert await status(page) == 401
    # the cookie is not what makes the difference
    assert await status(browser(game, Cookie=f"test_session={kept}")) == 401
    # again: no effect, and no complaint
    assert (await page.get("/v1/logout_user")).status_code == 200


async def test_a_login_is_the_same_player_in_the_dispatcher(game: Game) -> None:
    page: Any = await player(game)
    client = game.client()
    client.session_id = session_of(page)
    assert (await client.call("playerState", "READ"))["profileId"] == page.told["profileId"]
    await client.call("playerState", "LOGOUT")
    assert await status(page) == 401


async def test_a_session_of_the_dispatcher_works_as_bearer_token(game: Game) -> None:
    client = await game.player()
    page = browser(game, Authorization=f"Bearer {client.session_id}")
    assert await status(page) == 200
    assert (await page.post("/v1/logout")).status_code == 200
    assert (await client.refused("playerState", "READ")).reason_code == 40304


async def test_sessions_expire_and_are_renewed(game: Game) -> None:
    page = await player(game)
    for _ in range(3):
        game.clock.advance(1000)
        assert await status(page) == 200
    game.clock.advance(1201)
    response = await page.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (401, 40303)
    assert session_of(page) == ""


async def test_a_second_login_replaces_the_first(game: Game) -> None:
    user = await account(game)
    first, second = await player(game, user=user), await player(game, user=user)
    response = await first.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (401, 40356)
    assert await status(second) == 200


async def test_another_login_in_the_same_browser_ends_the_session_before(game: Game) -> None:
    page = await player(game)
    before = session_of(page)
    response = await page.post("/v1/login", json={"user": game.unique("bob"), "secret": PASSWORD})
    assert response.json()["data"]["newUser"] is True
    assert session_of(page) != before
    assert await status(page) == 200
    assert await status(browser(game, Cookie=f"test_session={before}")) == 401


async def test_a_login_may_be_a_form(game: Game) -> None:
    page = browser(game)
    user = await account(game)
    response = await page.post("/v1/login", data={"user": user, "secret": PASSWORD})
    assert response.status_code == 200
    assert await status(page) == 200


# Refused logins


async def test_unknown_players_and_wrong_passwords_look_alike(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    wrong = await page.post("/v1/stay", json={"user": user, "secret": "guess"})
    unknown = await page.post("/v1/stay", json={"user": game.unique("nobody"), "secret": "guess"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["reason_code"] == 40307
    assert "set-cookie" not in wrong.headers


async def test_guessing_locks(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    for _ in range(5):
        await page.post("/v1/stay", json={"user": user, "secret": "guess"})
    response = await page.post("/v1/stay", json={"user": user, "secret": PASSWORD})
    assert (response.status_code, response.json()["reason_code"]) == (429, 40788)
    assert response.headers["retry-after"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"secret": "x"}, 40358, "body.user: required"),
        ({"user": "", "secret": "x"}, 40358, "body.user: required"),
        ({"user": "x"}, 40358, "body.secret: required"),
        ({"user": 5, "secret": "x"}, 40359, "body.user: expected text"),
        ([], 40359, "body: expected an object"),
    ],
)
async def test_logins_that_lack_something(game: Game, body: Any, code: int, words: str) -> None:
    response = await browser(game).post("/v1/login", json=body)
    assert response.status_code == 400
    assert (response.json()["reason_code"], response.json()["status_message"]) == (code, words)


@pytest.mark.parametrize(
    ("content", "kind", "status_code"),
    [
        (b"{", "application/json", 400),
        (b'{"user":"\\u0000","secret":"x"}', "application/json", 400),
        (b"user=%00&secret=x", "application/x-www-form-urlencoded", 400),
        (b"user=%ff&secret=x", "application/x-www-form-urlencoded", 400),
        ("user=ä".encode(), "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % i for i in range(200)), "application/x-www-form-urlencoded", 400),
        (b"<user/>", "text/xml", 400),
        (b"x" * 1_100_000, "application/json", 413),
    ],
)
async def test_bodies_that_cannot_be_read(game: Game, content: bytes, kind: str, status_code: int) -> None:
    response = await browser(game).post("/v1/login", content=content, headers={"Content-Type": kind})
    assert response.status_code == status_code
    assert response.json()["reason_code"]


async def test_the_newest_login_may_be_refused(game: Game, apps_folder: Path) -> None:
    text = app_toml("[session]\nwhen_full = 'refuse_newest'\n")
    (apps_folder / "test" / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    page = await player(game)
    second = browser(game)
    response = await second.post("/v1/login", json={"user": page.user, "secret": PASSWORD})  # type: ignore[attr-defined]
    assert response.json()["reason_code"] == 49102
    assert await status(page) == 200
    await page.post("/v1/logout")
    assert (await second.post("/v1/login", json={"user": page.user, "secret": PASSWORD})).status_code == 200  # type: ignore[attr-defined]


async def test_a_disabled_app_answers_nobody(game: Game, apps_folder: Path) -> None:
    page = await player(game)
    (apps_folder / "test" / "app.toml").write_text(
        app_toml().replace("[cookie]", "enabled = false\n[cookie]", 1)
    )
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    response = await page.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (403, 40330)


@pytest.mark.parametrize(
    "settings",
    [
        '[redirect]\nurl = "https://eu.example.com/dispatcherv2"\napp_id = "1"\n',
        '[clients]\nplatforms = ["IOS"]\n',
        "[login]\nenabled = false\n",
    ],
)
async def test_apps_that_do_not_take_logins_of_browsers(game: Game, apps_folder: Path, settings: str) -> None:
    user = await account(game)
    (apps_folder / "test" / "app.toml").write_text(app_toml(settings))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_mail_addresses_that_are_not_validated(game: Game, apps_folder: Path) -> None:
    text = app_toml("[login]\nvalidated_email_only = true\n")
    text = text.replace("[web.profiles.players]", '[web.profiles.players]\ntype = "Email"')
    (apps_folder / "test" / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    user = f"{game.unique('ada')}@example.com"
    for _ in range(2):
        response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
        assert (response.status_code, response.json()["reason_code"]) == (403, 40214)


# The cookie


async def test_the_cookie(game: Game) -> None:
    user = await account(game)
    response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
    first, *attributes = cookie_of(response)
    assert first.startswith("test_session=")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]
    assert session_of(await player(game, user=user)) not in response.text
    secure = browser(game, "https://game.test")
    response = await secure.post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert "Secure" in cookie_of(response)
    response = await secure.get("/v1/logout_user")
    assert {"test_session=", "Max-Age=0", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} == set(
        cookie_of(response)
    )


async def test_a_cookie_of_another_app_or_no_session_is_none(game: Game, apps_folder: Path) -> None:
    (apps_folder / "other").mkdir()
    (apps_folder / "other" / "app.toml").write_text(f'id = "other"\nsecret = "{SECRET}"\n')
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    stranger = Client(game, "other")
    await stranger.log_in()
    for value in (stranger.session_id, "nonsense", "", "0123-"):
        page = browser(game, Cookie=f"test_session={value}")
        assert await status(page) == 401
        await page.post("/v1/logout")
    await stranger.call("playerState", "READ")  # the logouts were not for it


# Other origins


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://game.test"}, True),
        ({"Origin": "https://game.test"}, True),  # a proxy does the TLS
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://game.test.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://play.example.com"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://play.example.com"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/logout"), ("GET", "/v1/logout_user")])
async def test_pages_of_others_change_nothing(
    game: Game, method: str, path: str, headers: dict[str, str], allowed: bool
) -> None:
    page = await player(game)
    response = await page.request(method, path, headers=headers)
    assert response.status_code == (200 if allowed else 403)
    assert await status(page) == (401 if allowed else 200)


async def test_pages_of_others_cannot_log_anybody_in(game: Game) -> None:
    user = await account(game)
    response = await browser(game).post(
        "/v1/login", json={"user": user, "secret": PASSWORD}, headers={"Origin": "https://evil.example"}
    )
    assert (response.status_code, response.json()["reason_code"]) == (403, 40346)
    assert "set-cookie" not in response.headers


async def test_pages_of_named_origins_may_read(game: Game) -> None:
    page = await player(game)
    friend, stranger = {"Origin": "https://play.example.com"}, {"Origin": "https://evil.example"}
    response = await page.get("/v1/me", headers=friend)
    assert response.headers["access-control-allow-origin"] == friend["Origin"]
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["vary"] == "Origin"
    response = await page.get("/v1/me", headers=stranger)
    assert "access-control-allow-origin" not in response.headers
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    response = await page.options("/v1/players/1/name", headers=friend | asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-methods"] == "PUT"
    response = await page.options("/v1/players/1/name", headers=stranger | asked)
    assert "access-control-allow-methods" not in response.headers


# Calls


async def test_a_call_with_values_of_the_request(game: Game) -> None:
    page = await player(game)
    response = await page.put("/v1/players/Lady/name", json={"who": {"name": "Ada"}})
    assert response.status_code == 200
    assert response.json()["data"]["playerName"] == "Lady Ada"
    assert (await page.get("/v1/players/me")).json()["data"]["playerName"] == "Lady Ada"


async def test_calls_of_one_session_each_write(game: Game) -> None:
    client = await game.player()
    page = browser(game, Authorization=f"Bearer {client.session_id}")
    await client.call("playerState", "UPDATE_NAME", playerName="Eve")
    for name in ("Ada", "Bob"):
        response = await page.put("/v1/players/Lady/name", json={"who": {"name": name}})
        assert response.json()["data"]["playerName"] == f"Lady {name}"
    assert (await page.post("/v1/zone?hours=2")).status_code == 200
    state = (await page.get("/v1/players/me")).json()["data"]
    assert (state["playerName"], state["timeZoneOffset"]) == ("Lady Bob", 2)
    await client.call("playerState", "UPDATE_NAME", playerName="Eve")
    assert (await client.call("playerState", "READ"))["playerName"] == "Eve"


async def test_a_call_with_a_servers_authority_acts_for_who_is_logged_in(
    game: Game, apps_folder: Path
) -> None:
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "\n[session]\nmost = 5\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    user = await account(game)
    here, there, third = [await player(game, user=user) for _ in range(3)]
    stranger = await player(game)
    assert (await here.post("/v1/not_yours")).json()["reason_code"] == 40346
    assert (await browser(game).post("/v1/leave_elsewhere")).status_code == 401
    answer = (await here.post("/v1/leave_elsewhere")).json()
    assert (answer["status"], answer["data"]["invalidatedCount"]) == (200, 2)
    assert [await status(page) for page in (here, there, third, stranger)] == [200, 401, 401, 200]
    assert (await here.get("/v1/be_gone_by_link")).json()["reason_code"] == 40346
    assert await status(here) == 200
    answer = (await here.post("/v1/be_gone")).json()
    assert (answer["status"], answer["data"]["invalidatedCount"]) == (200, 1)
    assert await status(here) == 401


async def test_a_number_from_the_query(game: Game) -> None:
    page = await player(game)
    assert (await page.post("/v1/zone?hours=5.5")).status_code == 200
    assert (await page.get("/v1/players/me")).json()["data"]["timeZoneOffset"] == 5.5
    response = await page.post("/v1/zone?hours=five")
    assert (response.status_code, response.json()["reason_code"]) == (400, 40359)
    assert response.json()["status_message"] == "query.hours: expected a number"


async def test_a_value_that_is_missing(game: Game) -> None:
    page = await player(game)
    response = await page.put("/v1/players/Lady/name", json={"who": "Ada"})
    assert (response.status_code, response.json()["reason_code"]) == (400, 40358)
    assert response.json()["status_message"] == "body.who.name: required"


async def test_what_an_operation_refuses_is_passed_on(game: Game) -> None:
    page = await player(game)
    response = await page.put("/v1/players/Lady/name", json={"who": {"name": "x" * 500}})
    assert response.status_code == 400
    assert response.json()["reason_code"] == 40660


VISITORS = """
[web.endpoints.time]
path = "/v1/time"
method = "GET"
[web.actions.time]
trigger = "time"
events = [{ do = "call", operation = "time.READ" }]

[web.endpoints.news]
path = "/v1/news"
method = "GET"
[web.actions.news]
trigger = "news"
events = [{ do = "call", operation = "globalEntity.GET_LIST", data = { where = { entityType = "news" } } }]

[web.endpoints.mine]
path = "/v1/mine"
[web.actions.mine]
trigger = "mine"
events = [{ do = "call", operation = "globalEntity.CREATE", data = { entityType = "news", data = {} } }]

[web.endpoints.secret]
path = "/v1/secret"
method = "GET"
[web.actions.secret]
trigger = "secret"
events = [{ do = "call", operation = "globalEntity.GET_SYSTEM_ENTITY_LIST", data = { where = {} } }]
"""


async def test_a_visitor_may_call_what_needs_no_player(game: Game, apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(app_toml(VISITORS))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    ada = await game.player()
    for other in (0, 1):
        await ada.call(
            "globalEntity", "CREATE", entityType="news", data={"other": other}, acl={"other": other}
        )
    visitor = browser(game)
    assert (await visitor.get("/v1/time")).status_code == 200
    listed = (await visitor.get("/v1/news")).json()["data"]["entityList"]
    assert {entity["data"]["other"] for entity in listed if entity["ownerId"] == ada.profile_id} == {1}
    assert (await visitor.post("/v1/mine", json={})).status_code == 401, "whose would it be?"
    dead = {"Authorization": "Bearer nonsense"}
    assert (await visitor.get("/v1/time", headers=dead)).status_code == 200
    assert await status(visitor) == 401


async def test_a_call_needs_the_session_that_its_operation_needs(game: Game) -> None:
    response = await browser(game).get("/v1/players/me")
    assert (response.status_code, response.json()["reason_code"]) == (401, 40304)


async def test_a_get_does_not_call_what_writes(game: Game) -> None:
    page = await player(game)
    response = await page.get("/v1/sneaky?name=Eve")
    assert (response.status_code, response.json()["reason_code"]) == (403, 40346)
    assert (await page.get("/v1/players/me")).json()["data"]["playerName"] == ""


async def test_an_operation_that_ends_the_session(game: Game) -> None:
    page = await player(game)
    assert (await page.post("/v1/leave")).status_code == 200
    assert await status(page) == 401


async def test_events_happen_in_order_up_to_a_refusal(game: Game) -> None:
    page = browser(game)
    body = {"user": game.unique("new"), "secret": PASSWORD, "name": "Grace"}
    response = await page.post("/v1/enter", json=body)
    assert response.json()["data"]["playerName"] == "Grace"  # the answer of the last event
    response = await page.post("/v1/enter", json=body | {"name": "x" * 500})
    assert response.status_code == 400
    assert await status(page) == 200  # the login was good, and its cookie came along
    response = await page.post("/v1/enter", json=body | {"secret": "wrong", "name": "Eve"})
    assert response.status_code == 401
    assert (await page.get("/v1/players/me")).json()["data"]["playerName"] == "Grace"


async def test_a_player_has_a_packet_rate(game: Game) -> None:
    page = await player(game)
    client = game.client()
    client.session_id = session_of(page)
    for number in range(1200):
        await client.packet(("heartbeat", "READ", {}), packet_id=number)
    response = await page.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (429, 40823)


async def test_the_literal_path_goes_before_the_parameter(game: Game) -> None:
    page = browser(game)
    assert await status(page, "/v1/players/me") == 401
    assert await status(page, "/v1/players/other") == 200


@pytest.mark.parametrize(
    "path",
    ["/v1", "//v1/me", "/v1//me", "/v1/me/more", "/V1/me", "/v1/../v1/me/x"],
)
async def test_paths_that_nobody_claims(game: Game, path: str) -> None:
    page = await player(game)
    assert (await page.get(f"http://game.test{path}")).status_code == 404


async def test_a_method_that_an_endpoint_does_not_have(game: Game) -> None:
    page = browser(game)
    response = await page.delete("/v1/me")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await page.request("HEAD", "/v1/logout_user")).status_code == 405


async def test_head_is_a_get_without_its_body(game: Game) -> None:
    page = await player(game)
    got, head = await page.get("/v1/me"), await page.head("/v1/me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))
    assert (await browser(game).head("/v1/me")).status_code == 401
    assert (await page.head("/v1/login")).status_code == 405


async def test_names_with_blanks_and_methods_in_any_case(game: Game, apps_folder: Path) -> None:
    more = """
[web.endpoints."Logout user"]
path = "/v2/logout_user"
method = "Get"
get_changes_state = true
[web.actions."Logout user"]
trigger = "Logout user"
events = [{ do = "logout" }]
"""
    (apps_folder / "test" / "app.toml").write_text(app_toml(more))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    page = await player(game)
    assert await status(page, "/v2/logout_user") == 200
    assert await status(page) == 401


GUESTS = """
[backendless.login]
[backendless.versions.release]
application_id = "GUEST-APP"
keys = { js = "js-key" }
"""


async def test_a_guest_is_not_logged_in(game: Game, apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(app_toml(GUESTS))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    page = browser(game)
    guest = (await page.post("/GUEST-APP/js-key/users/register/guest")).json()
    bearer = {"Authorization": f"Bearer {guest['user-token']}"}
    assert (await page.get("/v1/me", headers=bearer)).status_code == 401
    user = {"email": f"{game.unique('ada')}@example.com", "password": "qwerty", "objectId": guest["objectId"]}
    token = {"user-token": guest["user-token"]}
    registered = await page.post("/GUEST-APP/js-key/users/register", json=user, headers=token)
    assert registered.status_code == 200, registered.text
    assert (await page.get("/v1/me", headers=bearer)).status_code == 200, "the same session, registered now"


async def test_odd_characters_in_a_path(game: Game) -> None:
    page = await player(game)
    response = await page.put("/v1/players/%3Fa%23b/name", json={"who": {"name": "c"}})
    assert response.json()["data"]["playerName"] == "?a#b c"
    response = await page.put("/v1/players/%00/name", json={"who": {"name": "c"}})
    assert response.status_code == 400
    response = await page.put("/v1/players/%ff/name", json={"who": {"name": "c"}})
    assert response.status_code < 500


async def test_endpoints_follow_the_definition(game: Game, apps_folder: Path) -> None:
    page = await player(game)
    moved = app_toml(MORE).replace('"/v1/me"', '"/v2/me"')
    (apps_folder / "test" / "app.toml").write_text(moved)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    assert await status(page) == 404
    assert await status(page, "/v2/me") == 200


async def test_a_path_of_two_apps_is_nobodys(game: Game, tmp_path: Path) -> None:
    """As when one of them moves to a path that the other, whose file has a mistake, still holds."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "other").mkdir(parents=True)
    text = f'id = "other"\nsecret = "{SECRET}"\n[web.endpoints.mine]\npath = "/v1/me"\nmethod = "GET"\n'
    (elsewhere / "other" / "app.toml").write_text(text)
    page = await player(game)
    [other] = load_apps(elsewhere, game.server_app.registry.sections())
    game.apps.replace(Apps([game.app, other]))
    response = await page.get("/v1/me")
    assert response.status_code == 404


async def test_every_event_is_told_to_the_audit(game: Game) -> None:
    page: Any = await player(game)
    await page.post("/v1/login", json={"user": page.user, "secret": "wrong"})
    await page.get("/v1/logout_user")
    events = await audited(game, page.told["profileId"])
    assert events[:3] == [
        ("logout", "endpoints", "logged_out"),
        ("refusal", "endpoints", "40307"),
        ("login", "endpoints", "Universal"),
    ]


# OpenAPI


async def test_the_openapi_document(game: Game) -> None:
    response = await browser(game).get(f"/apps/{APP_ID}/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"] == "3.1.0"
    assert document["paths"]["/v1/logout_user"]["get"]["description"] == "Log out."
    assert document["components"]["securitySchemes"]["cookie"]["name"] == "test_session"
    rename = document["paths"]["/v1/players/{id}/name"]["put"]
    assert rename["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    assert rename["security"] == [{"cookie": []}, {"bearer": []}]
    schema = rename["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    assert check.is_valid({"who": {"name": "Ada"}})
    assert not check.is_valid({"who": {}})
    zone = document["paths"]["/v1/zone"]["post"]
    assert zone["parameters"] == [
        {"name": "hours", "in": "query", "required": True, "schema": {"type": "number"}}
    ]
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 16


async def test_no_document_of_an_app_without_endpoints(game: Game, apps_folder: Path) -> None:
    assert await status(browser(game), "/apps/nobody/openapi.json") == 404
    (apps_folder / "test" / "app.toml").write_text(APP_TOML)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    assert await status(browser(game), f"/apps/{APP_ID}/openapi.json") == 404


# What is refused when definitions are checked


def problems(folder: Path, text: str) -> list[str]:
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app" / "app.toml").write_text(APP_TOML + text)
    return [f"{p.line} {p.key}: {p.message}" for p in load_apps(folder, registry().sections()).problems]


def test_two_endpoints_claim_one_path(tmp_path: Path) -> None:
    text = """
[web.endpoints.one]
path = "/v1/clubs/{club}"
[web.endpoints.two]
path = "/v1/clubs/{other}"
[web.endpoints.three]
path = "/v1/clubs/{club}"
method = "GET"
"""
    first, second = problems(tmp_path, text)
    assert first.startswith("6 web.endpoints.one.path: another endpoint claims the same path")
    assert "web.endpoints.two.path" in first
    assert second.startswith("8 web.endpoints.two.path: another endpoint claims the same path")
    assert "web.endpoints.one.path" in second


def test_endpoints_of_two_apps_claim_one_path(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    endpoint = '[web.endpoints.{}]\npath = "/v1/clubs/{{{}}}"\n'
    text = f'id = "other"\nsecret = "{SECRET}"\n' + endpoint.format("theirs", "x")
    (tmp_path / "other" / "app.toml").write_text(text)
    first, second = problems(tmp_path, endpoint.format("mine", "y"))
    assert first.startswith("5 web.endpoints.mine.path: another app claims POST /v1/clubs/{}")
    assert f"{tmp_path / 'other' / 'app.toml'}:4 web.endpoints.theirs.path" in first
    assert f"{tmp_path / 'app' / 'app.toml'}:5 web.endpoints.mine.path" in second


def test_two_actions_have_one_trigger(tmp_path: Path) -> None:
    text = """
[web.endpoints.out]
path = "/v1/out"
[web.actions.one]
trigger = "out"
events = [{ do = "logout" }]
[web.actions.two]
trigger = "out"
events = []
"""
    first, second = problems(tmp_path, text)
    assert "web.actions.two.trigger" in first
    assert "web.actions.one.trigger" in second


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("v1/x", 'starts with "/"'),
        ("/", 'starts with "/"'),
        ("/v1/../x", "leads elsewhere"),
        ("/v1/./x", "leads elsewhere"),
        ("/..", "leads elsewhere"),
        ("/v1/%2e%2e/x", "neither letters"),
        ("/v1//x", "an empty segment"),
        ("/v1/x/", "an empty segment"),
        ("/v1/..\\\\x", "neither letters"),
        ("/v1/x?y", "neither letters"),
        ("/v1/{x}{y}", "neither letters"),
        ("/v1/a{x}", "neither letters"),
        ("/v1/{x}/{x}", "comes twice"),
        ("/{x}/y", "begins with a parameter"),
        ("/dispatcher", "belongs to the server"),
        ("/Metrics", "belongs to the server"),
        ("/oauth2/other", "belongs to the server"),
        ("/" + "x/" * 16 + "x", "more than 16 segments"),
    ],
)
def test_paths_that_will_not_do(tmp_path: Path, path: str, words: str) -> None:
    [problem] = problems(tmp_path, f'[web.endpoints.one]\npath = "{path}"\n')
    assert "web.endpoints.one.path" in problem
    assert words in problem


ENDPOINT = '[web.endpoints.one]\npath = "/v1/{id}"\n[web.actions.one]\ntrigger = "one"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[web.actions.one]\ntrigger = "one"\nevents = []\n', 'no endpoint "one"'),
        (ENDPOINT + 'events = [{ do = "login", profile = "x" }]\n', 'no profile "x"'),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "playerState.UPDATE_NAM" }]\n',
            'no operation "playerState.UPDATE_NAM"; did you mean "playerState.UPDATE_NAME"?',
        ),
        ('[web.profiles.one]\ntype = "External"\nexternal_name = "guild"\n', 'no external login "guild"'),
        (ENDPOINT + 'events = [{ do = "dance" }]\n', 'expected "login" or "logout" or "call"'),
        (ENDPOINT + 'events = [{ do = "call", operation = "x" }]\n', "service and operation"),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "time.READ", data = { a = "{path.x}" } }]\n',
            "no such parameter",
        ),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "time.READ", data = { a = ["{body}"] } }]\n',
            "{body} is no placeholder",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "call", operation = "time.READ", data = { a = "{body.x}" } }]\n',
            "a GET has no body",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "logout" }]\n',
            "get_changes_state",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "login", profile = "p" }]\n[web.profiles.p]\n',
            "a login is sent with POST",
        ),
        ('[web.endpoints.one]\npath = "/v1/x"\nget_changes_state = true\n', "is for GET"),
        ('[web.profiles.one]\ntype = "Paper"\n', 'unknown login type "Paper"'),
        ('[web.profiles.one]\ntype = "External"\n', "external login"),
        ('[web.profiles.one]\nlogin_field = "password"\n', "another name than login_field"),
        ('[web.endpoints.one]\npath = "/v1/x"\nmethod = "TRACE"\n', "GET, POST, PUT, PATCH or DELETE"),
        ('[cookie]\nname = "a b"\n', "letters, digits"),
        ('[cookie]\nname = "__Host-x"\n', 'secure = "always"'),
        ('[cookie]\norigins = ["https://x.example/path"]\n', "an origin such as"),
        ('[cookie]\norigins = ["*"]\n', "an origin such as"),
    ],
)
def test_declarations_that_will_not_do(tmp_path: Path, text: str, words: str) -> None:
    [problem] = problems(tmp_path, text)
    assert words in problem


def test_the_servers_own_paths_are_reserved(game: Game) -> None:
    mounted = [*game.server_app.site._mounted, *(r.path for r in game.server_app.site._pages.routes)]  # type: ignore[attr-defined]
    firsts = {path.split("/")[1] for path in mounted}
    # Another contract's paths may begin with "api"; an operator who wants them goes first.
    assert {first for first in firsts if "{" not in first} - RESERVED == {"api"}


def test_the_samples_are_right_when_they_are_uncommented(tmp_path: Path) -> None:
    samples = registry().samples()
    lines = [line for name in ("web", "oauth", "cookie") for line in samples[name].splitlines()]
    text = "\n".join(line[1:] for line in lines if line.startswith("#") and not line.startswith("# "))
    assert (
        problems(
            tmp_path,
            text.replace('name = "game', '[cookie]\nname = "game').replace("enabled", "[oauth]\nenabled"),
        )
        == []
    )


# The notation

SOURCES: values.Sources = {
    "path": {"id": "7"},
    "query": {"n": "12", "x": "1.5", "b": "true", "t": "text"},
    "body": {"score": 9, "deep": {"er": [1]}, "nothing": None, "flag": False, "9": "nine"},
}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("plain", "plain"),
        (5, 5),
        ("{path.id}", "7"),
        ("{path.id:number}", 7),
        ("{query.n:number}", 12),
        ("{query.x:number}", 1.5),
        ("{query.b:bool}", True),
        ("{body.flag:bool}", False),
        ("{body.score}", 9),
        ("{body.score:text}", "9"),
        ("{body.deep.er}", [1]),
        ("{body.nothing}", None),
        ("{body.9}", "nine"),
        ("{path.id}-{body.score}/{query.t}", "7-9/text"),
        ("{{{path.id}}}", "{7}"),
        ("{{path.id}}", "{path.id}"),
        ({"a": "{body.none?}", "b": ["{body.none?}", 1]}, {"b": [1]}),
        ("a{body.none?}b", "ab"),
        ("{body.flag}!", "false!"),
    ],
)
def test_values_are_filled_in(value: Any, filled: Any) -> None:
    assert values.fill(value, SOURCES) == filled


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{body.none}", "body.none: required"),
        ("{body.deep.none}", "body.deep.none: required"),
        ("{body.score.x}", "body.score.x: required"),
        ("{query.t:number}", "query.t: expected a number"),
        ("{body.flag:number}", "body.flag: expected a number"),
        ("{query.t:bool}", "query.t: expected true or false"),
        ("{body.deep:text}", "body.deep: expected text"),
        ("x{body.deep}", "body.deep: expected text or a number"),
    ],
)
def test_values_that_do_not_fit(value: str, words: str) -> None:
    with pytest.raises(GameError) as refusal:
        values.fill(value, SOURCES)
    assert str(refusal.value) == words


@pytest.mark.parametrize(
    "text", ["{", "}", "{x}", "{path}", "{path.}", "{path.x:int}", "{ path.x }", "{header.x}"]
)
def test_placeholders_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no placeholder"):
        values.parse(text)
