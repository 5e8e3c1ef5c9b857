"""Backendless REST: changing users, and their roles."""

import asyncio
from pathlib import Path

import pytest

from gameserver.players import users
from tests.conftest import APP_ID, Game
from tests.faces.backendless.device import KEPT, LOGIN, PASSWORD, Device, app_toml, reload

# Changing users


async def test_users_change_themselves(game: Game, device: Device) -> None:
    user = await device.user(pet="Rex")
    game.clock.advance(5)
    changed = await device.put(f"/users/{user['objectId']}", {**user, "city": "Oslo", "pet": None})
    assert changed["city"] == "Oslo"
    assert "pet" not in changed
    assert changed["updated"] == game.clock.ms()
    assert (await device.get(f"/data/Users/{user['objectId']}")) == changed
    assert await device.is_valid() is True


async def test_changes_at_once_are_all_kept(device: Device) -> None:
    user = await device.user()
    path = f"/users/{user['objectId']}"
    await asyncio.gather(*(device.put(path, {f"p{n}": n}) for n in range(10)))
    after = await device.get(f"/data/Users/{user['objectId']}")
    assert [after[f"p{n}"] for n in range(10)] == list(range(10))


async def test_nobody_changes_others_but_servers_do(game: Game, device: Device, studio: Device) -> None:
    user, other = await device.user(), await Device(game).user()
    path = f"/users/{other['objectId']}"
    assert await device.refused("PUT", path, {"city": "Oslo"}) == (3029, 403)
    assert await Device(game).refused("PUT", path, {"city": "Oslo"}) == (3028, 401)
    assert (await studio.put(path, {"city": "Oslo"}))["city"] == "Oslo"
    assert await studio.refused("PUT", "/users/nobody", {"city": "Oslo"}) == (3030, 404)
    path = f"/users/{user['objectId']}"
    assert await device.refused("PUT", path, {"city": "x" * 11}) == (8000, 400)
    assert await device.refused("PUT", path, {"level": "x"}) == (3024, 400)
    assert await device.refused("PUT", path, None) == (3038, 400)


async def test_a_new_identity(game: Game, device: Device) -> None:
    user, other = await device.user(), await device.register()
    path, new = f"/users/{user['objectId']}", f"{game.unique('new')}@example.com"
    assert await device.refused("PUT", path, {"email": other["email"]}) == (3018, 409)
    assert await device.refused("PUT", path, {"email": "no address"}) == (3040, 400)
    assert (await device.put(path, {"email": new}))["email"] == new
    assert await device.fails(user["email"]) == (3003, 401)
    assert (await device.log_in(new))["objectId"] == user["objectId"]


async def test_a_new_password_logs_the_others_out(game: Game, device: Device, definition: Path) -> None:
    reload(game, definition, app_toml(login=LOGIN + 'multiple_logins = "up_to"\nmost = 5\n'))
    user, second = await device.user(), Device(game)
    await second.log_in(user["email"])
    await device.put(f"/users/{user['objectId']}", {"password": "another"})
    assert (await device.is_valid(), await second.is_valid()) == (True, False)
    assert await second.fails(user["email"], PASSWORD) == (3003, 401)
    await second.log_in(user["email"], "another")


async def test_a_server_that_sets_a_password_logs_everybody_out(device: Device, studio: Device) -> None:
    user = await device.user()
    await studio.put(f"/users/{user['objectId']}", {"password": "another"})
    assert await device.is_valid() is False
    await device.log_in(user["email"], "another")


async def test_others_see_what_is_public(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo", level=3)
    other = Device(game)
    path = f"/data/Users/{user['objectId']}"
    assert await other.refused("GET", path) == (3028, 401)
    await other.user()
    assert await other.get(path) == {"objectId": user["objectId"], "___class": "Users", "city": "Oslo"}
    assert (await studio.get(path))["email"] == user["email"]
    assert await device.refused("GET", "/data/Users/nobody") == (1000, 404)


async def test_the_class_of_users_is_described(device: Device) -> None:
    columns = {column["name"]: column for column in await device.get("/users/userclassprops")}
    assert columns["level"]["type"] == "INT"
    assert columns["email"]["identity"] is True
    assert columns["city"]["required"] is False
    assert columns["objectId"]["isPrimaryKey"] is True


async def test_the_class_of_users_has_what_users_have(device: Device, game: Game, definition: Path) -> None:
    names = [game.unique(kind).replace("-", "") for kind in ("text", "whole", "real", "flag", "thing")]
    user = await device.user(**dict(zip(names, ["x", 1, 0.5, True, {"a": 1}], strict=True)))
    columns = {column["name"]: column["type"] for column in await device.get("/users/userclassprops")}
    assert [columns[name] for name in names] == ["STRING", "INT", "DOUBLE", "BOOLEAN", "JSON"]
    late = game.unique("late").replace("-", "")
    await device.put(f"/users/{user['objectId']}", {late: "y", names[0]: 5})
    columns = {column["name"]: column["type"] for column in await device.get("/users/userclassprops")}
    assert (columns[late], columns[names[0]]) == ("STRING", "STRING"), "the first type stays"
    reload(game, definition, app_toml("dynamic_properties = false"))
    columns = {column["name"]: column["type"] for column in await device.get("/users/userclassprops")}
    assert not {late, *names} & columns.keys()


async def test_the_class_of_users_names_a_thousand_properties(
    device: Device, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [game.unique(f"name{n}").replace("-", "") for n in range(3)]
    async with game.core.database.read() as tx:
        noted = len(await users.undeclared_properties(tx, APP_ID))
    monkeypatch.setattr(users, "UNDECLARED_MAX", noted + 2)
    user = await device.user(**dict.fromkeys(names, "x"))
    after = {column["name"] for column in await device.get("/users/userclassprops")}
    assert len(after & set(names)) == 2
    assert user[names[2]] == "x", "the property itself is kept"


async def test_an_empty_password_is_refused(device: Device) -> None:
    user = await device.user()
    path = f"/users/{user['objectId']}"
    assert await device.refused("PUT", path, {"password": "", "city": "Oslo"}) == (3011, 400)
    assert (await device.get(f"/data/Users/{user['objectId']}"))["city"] is None, "nothing was changed"
    assert (await device.put(path, {"password": None, "city": "Oslo"}))["city"] == "Oslo"
    await device.log_in(user["email"])


# Roles


async def test_roles_come_and_go(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo", level=3)
    for name in (user["email"], user["objectId"]):
        assert await studio.post("/users/assignRole", {"user": name, "roleName": "Moderator"}) is None
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    assert await device.get("/users/userroles") == ["AuthenticatedUser", "Guard", "Moderator"]
    assert await studio.get(f"/users/userroles/{user['objectId']}") == [
        "AuthenticatedUser",
        "Guard",
        "Moderator",
    ]
    assert await Device(game).get("/users/userroles") == ["NotAuthenticatedUser"]
    await studio.post("/users/unassignRole", {"user": user["email"], "roleName": "Guard"})
    assert await device.get("/users/userroles") == ["AuthenticatedUser", "Moderator"]
    await device.get("/users/logout")
    device.token = ""
    assert await device.get("/users/userroles") == ["NotAuthenticatedUser"]


async def test_a_role_that_is_not_declared_any_more_is_nobodys(
    device: Device, studio: Device, definition: Path
) -> None:
    user = await device.user()
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    reload(device.game, definition, app_toml('roles = ["Moderator"]'))
    assert await device.get("/users/userroles") == ["AuthenticatedUser"]
    assert await device.refused("GET", "/users/role/Guard") == (2005, 404)


@pytest.mark.parametrize("what", ["assignRole", "unassignRole"])
async def test_role_changes_that_are_refused(device: Device, studio: Device, what: str) -> None:
    user = await device.user()
    path, email = f"/users/{what}", user["email"]
    system = 2007 if what == "assignRole" else 2008
    assert await device.refused("POST", path, {"user": email, "roleName": "Guard"}) == (2011, 403)
    for body, refusal in (
        ({"user": email, "roleName": "AuthenticatedUser"}, (system, 403)),
        ({"user": email, "roleName": "Unknown"}, (2005, 404)),
        ({"user": "nobody@example.com", "roleName": "Guard"}, (3057, 404)),
        ({"user": None, "roleName": "Guard"}, (3038, 400)),
        ({"user": email}, (3038, 400)),
        ({"user": email, "roleName": 5}, (400, 400)),
    ):
        assert await studio.refused("POST", path, body) == refusal


async def test_users_with_a_role_page_by_page(game: Game, device: Device, studio: Device) -> None:
    ids = []
    for _ in range(3):
        user = await device.user(city="Oslo", level=1)
        ids.append(user["objectId"])
        await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    await studio.post("/users/assignRole", {"user": ids[0], "roleName": "Moderator"})
    mine = [
        u for u in await studio.get("/users/role/Guard?pageSize=100&loadRoles=true") if u["objectId"] in ids
    ]
    assert sorted(u["objectId"] for u in mine) == sorted(ids)
    assert {u["objectId"]: u["roles"] for u in mine}[ids[0]] == ["Guard", "Moderator"]
    assert all("email" in u for u in mine)
    if game.core.database.dialect == "sqlite":  # where no other test's users are
        pages = [await studio.get(f"/users/role/Guard?pageSize=2&offset={offset}") for offset in (0, 2)]
        assert [[u["objectId"] for u in page] for page in pages] == [sorted(ids)[:2], sorted(ids)[2:]]
    seen = await device.get("/users/role/Guard?pageSize=100")
    others = [u for u in seen if u["objectId"] != device.id]
    assert all(set(u) == {"objectId", "___class", "city"} for u in others)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("Guard?pageSize=0", (400, 400)),
        ("Guard?pageSize=101", (400, 400)),
        ("Guard?pageSize=x", (400, 400)),
        ("Guard?offset=-1", (400, 400)),
        ("Guard?where=level%3D1", (400, 400)),
        ("Unknown", (2005, 404)),
        ("AuthenticatedUser", (2005, 404)),
    ],
)
async def test_queries_for_roles_that_are_refused(
    game: Game, studio: Device, query: str, refusal: tuple[int, int]
) -> None:
    assert await studio.refused("GET", f"/users/role/{query}") == refusal
    assert await Device(game).refused("GET", f"/users/role/{query}") == (3028, 401)


async def test_roles_of_nobody(game: Game, device: Device, studio: Device) -> None:
    assert await studio.refused("GET", "/users/userroles/nobody") == (3057, 404)
    assert await device.refused("GET", "/users/userroles/nobody") == (3028, 401)


async def test_a_deleted_player_leaves_nothing(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo")
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    client = game.client()
    client.session_id = device.token
    await client.call("playerState", "FULL_PLAYER_RESET")
    assert all(u["objectId"] != user["objectId"] for u in await studio.get("/users/role/Guard?pageSize=100"))
    async with game.core.database.read() as tx:
        assert await tx.one(KEPT, profile=user["objectId"]) is None
    assert await device.fails(user["email"]) == (3003, 401)
