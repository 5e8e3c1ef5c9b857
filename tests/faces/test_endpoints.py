"""Endpoints that an operator declares: calls, and the document that tells of them."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gameserver.apps import Apps, load_apps
from tests.conftest import APP_ID, APP_TOML, SECRET, Game
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
from tests.faces.web_endpoints import MORE, apps_folder

__all__ = ["apps_folder"]  # fixtures


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
