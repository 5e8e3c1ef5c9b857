"""The API for operators' programs: keys, arguments, refusals, and who may do what."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.operators import staff_actions
from gameserver.admin.rights import ROLES, Right
from tests.conftest import APP_ID, Game
from tests.console.conftest import hired

API = "/api/v1"
EXAMPLES: dict[str, Any] = {
    "app": APP_ID,
    "profile": "nobody",
    "target": "nobody",
    "text": "nobody",
    "operation": "time.READ",
    "delivery": "none",
    "board": "none",
    "change": "none",
    "channel": "none",
    "line": "1",
    "group": "none",
    "segment": "9",
    "entity": "none",
    "job": "none",
    "role": "none",
    "name": "nobody",
    "key": "none",
    "identity": "none",
    "currency": "none",
    "note_id": "none",
    "table": "devices",
    "view": "none",
    "bulk": "none",
}
"""Arguments with which an action does no harm."""
NEEDED: dict[str, dict[str, Any]] = {
    "call": {"data": {}},
    "export_page": {"part": "leaderboard", "limit": 1},
    "import_lines": {"texts": []},
    "player_find": {"text": "nobody"},
    "player_search": {"text": "nobody"},
    "board_search": {"text": "nothing"},
    "player_merge": {"target": "another"},
    "player_merge_preview": {"target": "another"},
    "player_rename": {"name": "x"},
    "player_note_add": {"text": "x"},
    "player_balance_adjust": {"amount": 1, "receipt": "x"},
    "staff_add": {"name": "x", "role": "nothing"},
    "key_add": {"label": "x", "role": "nothing"},
    "refusal_codes": {"since_ms": 0},
    "webhook_show": {"delivery": "none"},
    "script_show": {"script": "none"},
    "script_run": {"script": "none", "data": {}},
    "session_end": {"session": "none"},
    "endpoint_save": {"path": "/v1/none"},
    "score_remove": {"member": "nobody"},
    "entity_save": {"data": "{}", "version": 1},
    "bulk_start": {"kind": "none", "expected": 1},
    "bulk_delete": {"expected": 0},
    "group_rename": {"name": "x"},
    "group_entity_save": {"data": "{}", "version": 1},
    "global_entity_save": {"data": "{}", "version": 1},
    "view_save": {"page": "none", "name": "x", "query": ""},
}
"""What belongs into the query or the body."""


class Program:
    """A program with a key."""

    def __init__(self, game: Game, key: str) -> None:
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(game.server_app.admin),
            base_url="http://console.test",
            headers={"Authorization": f"Bearer {key}"},
        )

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = await self.http.request(method, API + path, **more)
        return answer.status_code, answer.json()

    async def do(self, name: str) -> tuple[int, Any]:
        """Do an action, with arguments that do no harm."""
        action = actions.ACTIONS[name]
        path = action.path.format(**EXAMPLES)
        given = {**NEEDED.get(name, {}), "reason": "a test"} if action.changes else NEEDED.get(name, {})
        if action.method in ("GET", "DELETE"):
            return await self.ask(action.method, path, params=given)
        return await self.ask(action.method, path, json=given)


async def program(game: Game, role: str, app: str = APP_ID, owner: str = "") -> Program:
    if not owner:
        owner = (await hired(game)).name
    made = await actions.run(
        game.server_app, "key_add", {"label": "a test", "role": role, "app": app, "owner": owner}
    )
    return Program(game, made["token"])


async def denied(game: Game) -> list[Any]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.outcome == "denied"))
    return [(row["staff"], row["action"]) for row in rows]


async def test_who_has_no_key_does_nothing(game: Game) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(game.server_app.admin), base_url="http://console.test"
        ) as http:
            answer = await http.get(f"{API}/apps/{APP_ID}/players", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_does_what_it_may_and_nothing_else(game: Game, role: str) -> None:
    somebody = await program(game, role)
    refused = []
    for action in actions.ACTIONS.values():
        status, answer = await somebody.do(action.name)
        allowed = action.right in ROLES[role] and "{app}" in action.path
        if action.name in ("staff_add", "key_add") and role == "admin":
            allowed = False  # without an app they are of every app
        assert (status == 403) is not allowed, (action.name, status, answer)
        assert status in (200, 403, 422), (action.name, status, answer)
        if status == 403 and action.changes:
            refused.append(action.name)
    names = [name for _, name in await denied(game)]
    assert set(refused) <= set(names)


async def test_a_key_may_no_more_than_its_owner(game: Game) -> None:
    owner = await hired(game, role="admin")
    boss = await program(game, "admin", "*", owner.name)
    assert (await boss.ask("GET", "/staff"))[0] == 200
    await actions.run(game.server_app, "staff_add", {"name": owner.name, "role": "viewer", "app": "*"})
    assert (await boss.ask("GET", "/staff"))[0] == 403
    await actions.run(game.server_app, "staff_remove", {"name": owner.name})
    assert (await boss.ask("GET", "/staff"))[0] == 401


async def test_a_key_that_is_ended_or_too_old_opens_nothing(game: Game) -> None:
    owner = (await hired(game)).name
    one, two = [await program(game, "viewer", owner=owner) for _ in range(2)]
    made = [each for each in await actions.run(game.server_app, "key_list", {}) if each["owner"] == owner]
    await actions.run(game.server_app, "key_remove", {"key": made[0]["key"]})
    path = f"/apps/{APP_ID}/players"
    assert sorted([(await each.ask("GET", path))[0] for each in (one, two)]) == [200, 401]
    game.clock.advance(366 * 86_400)
    assert [(await each.ask("GET", path))[0] for each in (one, two)] == [401, 401]


async def test_arguments_that_are_none_are_refused_with_the_reason(game: Game) -> None:
    boss = await program(game, "admin", "*")
    path = f"/apps/{APP_ID}/players"
    cases: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("GET", path, {"params": {"limit": "many"}}, 400, "limit"),
        ("GET", path, {"params": {"limit": "0"}}, 422, "limit"),
        ("GET", path, {"params": {"colour": "red"}}, 400, "colour"),
        ("POST", f"{path}/nobody/disable", {"json": {"until_ms": "x", "reason": "x"}}, 400, "until_ms"),
        ("POST", f"{path}/nobody/disable", {"json": {}}, 422, "say why"),
        ("POST", f"{path}/nobody/disable", {"content": b"[1]"}, 400, "JSON object"),
        ("POST", f"{path}/nobody/disable", {"content": b"{" * 100_000}, 400, "JSON object"),
        ("POST", f"{path}/nobody/disable", {"content": b" " * (2 << 20)}, 400, "at most"),
        ("GET", "/apps/nothing/players", {}, 422, "no app"),
        ("GET", f"/apps/{APP_ID}/logs", {"params": {"secret": "x"}}, 422, "cannot be picked by secret"),
    ]
    for method, where, more, status, text in cases:
        answer = await boss.ask(method, where, **more)
        assert (answer[0], text in answer[1]["error"]["message"]) == (status, True), (where, more, answer)


async def test_what_is_done_is_in_the_journal_with_the_reason(game: Game) -> None:
    ada, boss = await game.player(), await program(game, "admin", "*")
    until = game.clock.ms() + 60_000
    path = f"/apps/{APP_ID}/players/{ada.profile_id}"
    assert (await boss.ask("POST", f"{path}/disable", json={"until_ms": until, "reason": "spam"}))[0] == 200
    status, shown = await boss.ask("GET", path)
    assert (status, shown["ban"]["reason"], shown["ban"]["until_ms"]) == (200, "spam", until)
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.profile_id == ada.profile_id))
    [row] = rows
    assert (row["action"], row["reason"], row["via"], row["outcome"]) == (
        "player_disable",
        "spam",
        "api",
        "done",
    )
    assert json.loads(row["after"]) == {"is_disabled": True, "until_ms": until}


async def test_a_ban_ends_by_itself(game: Game) -> None:
    ada, boss = await game.player(), await program(game, "support")
    path = f"/apps/{APP_ID}/players/{ada.profile_id}"
    now = game.clock.ms()
    await boss.ask("POST", f"{path}/disable", json={"until_ms": now + 60_000, "reason": "x"})
    await boss.ask("POST", f"{path}/disable", json={"until_ms": now + 120_000, "reason": "longer"})
    for seconds, is_disabled in ((61, True), (60, False)):
        game.clock.advance(seconds)
        await game.server_app.jobs.tick()
        await game.server_app.jobs.settled()
        assert (await boss.ask("GET", path))[1]["is_disabled"] is is_disabled
    assert (await boss.ask("GET", path))[1]["ban"] is None


async def test_who_may_not_read_contacts_does_not_get_them(game: Game) -> None:
    ada = game.client()
    mail = f"{game.unique('ada')}@example.com"
    await ada.log_in(authenticationType="Email", externalId=mail, authenticationToken="a password")
    path = f"/apps/{APP_ID}/players/{ada.profile_id}"
    status, shown = await (await program(game, "support")).ask("GET", path)
    assert status == 200
    assert mail not in json.dumps(shown)
    assert mail in json.dumps((await (await program(game, "admin")).ask("GET", path))[1])


async def test_the_description_is_openapi_and_names_every_action(game: Game) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(game.server_app.admin), base_url="http://console.test"
    ) as http:
        described = (await http.get(f"{API}/openapi.json")).json()
    named = {each["operationId"] for path in described["paths"].values() for each in path.values()}
    assert named == set(actions.ACTIONS)
    for path, methods in described["paths"].items():
        for operation in methods.values():
            inside = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert inside == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
            for each in operation["parameters"]:
                jsonschema.Draft202012Validator.check_schema(each["schema"])


def test_each_right_opens_something() -> None:
    used = {action.right for action in actions.ACTIONS.values()}
    # These open pages of the console, or what an action shows.
    assert set(Right) - used <= {
        Right.CONTACTS_READ,
        Right.APP_READ,
        Right.APP_CHANGE,
        Right.DATA_CHANGE,
        Right.SOCIAL_MODERATE,
    }
