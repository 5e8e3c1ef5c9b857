"""Backendless REST: passwords, and what is done by mail."""

from pathlib import Path

from tests.conftest import Game
from tests.faces.backendless.device import PASSWORD, Device, app_toml, link_in_mail, mails, reload

# Passwords and mail


async def test_servers_verify_passwords(device: Device, studio: Device) -> None:
    await device.user()
    right = {"password": PASSWORD}
    assert await device.refused("POST", "/users/verifypassowrd", right) == (3122, 403)
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3028, 401)
    studio.token = device.token
    assert await studio.refused("POST", "/users/verifypassowrd", {}) == (3038, 400)
    assert await studio.post("/users/verifypassowrd", right) == {"valid": True}
    for _ in range(5):
        assert await studio.post("/users/verifypassowrd", {"password": "wrong"}) == {"valid": False}
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3036, 423)
    studio.token = "nonsense"
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3064, 401)


async def test_a_restored_password(game: Game, device: Device) -> None:
    user = await device.user()
    assert await device.get(f"/users/restorepassword/{user['email']}") is None
    page = await link_in_mail(game, "/reset/")
    response = await game.http.post(page, content=b"password=another")
    assert response.status_code == 200
    assert await device.is_valid() is False
    await device.log_in(user["email"], "another")


async def test_a_link_does_not_follow_a_name_to_its_next_owner(
    game: Game, device: Device, definition: Path
) -> None:
    reload(game, definition, app_toml('identity = "nickname"'))
    cool, thief = game.unique("cool"), Device(game)
    address = f"{game.unique('thief')}@example.com"
    await thief.post("/users/register", {"nickname": cool, "password": PASSWORD, "email": address})
    await thief.log_in(cool)
    await thief.get(f"/users/restorepassword/{cool}")
    page = await link_in_mail(game, "/reset/")
    await thief.put(f"/users/{thief.id}", {"nickname": game.unique("other")})
    await device.post("/users/register", {"nickname": cool, "password": PASSWORD})
    assert (await game.http.post(page, content=b"password=stolen")).status_code == 410
    assert await device.fails(cool, "stolen") == (3003, 401)
    await device.log_in(cool)


async def test_whose_password_cannot_be_restored(game: Game, device: Device, definition: Path) -> None:
    path = "/users/restorepassword/nobody@example.com"
    assert await device.refused("GET", path) == (3020, 404)
    reload(game, definition, app_toml(others="\n[login]\nconceal_accounts = true\n"))
    assert await device.get(path) is None
    reload(game, definition, app_toml("restore_mail = false"))
    assert await device.refused("GET", path) == (3020, 404)
    reload(game, definition, app_toml('identity = "nickname"'))
    nickname = game.unique("Ada")
    await device.post("/users/register", {"nickname": nickname, "password": PASSWORD})
    assert await device.refused("GET", f"/users/restorepassword/{nickname}") == (3020, 404)
    assert await mails(game) == []


async def test_an_address_is_proven_before_the_first_login(
    game: Game, device: Device, definition: Path
) -> None:
    reload(game, definition, app_toml(others="\n[login]\nvalidated_email_only = true\n"))
    user = await device.register()
    assert user["userStatus"] == "EMAIL_CONFIRMATION_PENDING"
    assert await device.fails(user["email"]) == (3087, 403)
    page = await link_in_mail(game, "/validate/")
    assert (await game.http.post(page)).status_code == 200
    assert (await device.log_in(user["email"]))["userStatus"] == "ENABLED"


async def test_a_confirmation_is_mailed_again(game: Game, device: Device) -> None:
    assert await device.post("/users/resendconfirmation/nobody@example.com") == {}
    assert await mails(game) == []
    user = await device.register()
    assert await device.post(f"/users/resendconfirmation/{user['email']}") == {}
    assert await link_in_mail(game, "/validate/")


async def test_a_confirmation_link_for_servers(game: Game, device: Device, studio: Device) -> None:
    user = await device.register()
    path = f"/users/createEmailConfirmationURL/{user['email']}"
    assert await device.refused("POST", path) == (3054, 403)
    url = (await studio.post(path))["confirmationURL"]
    assert url.startswith(game.core.public_url)
    response = await game.http.post(url.removeprefix(game.core.public_url))
    assert response.status_code == 200
    missing = "/users/createEmailConfirmationURL/nobody@example.com"
    assert await studio.refused("POST", missing) == (3057, 404)


async def test_a_change_is_mailed_to_the_old_address(game: Game, device: Device) -> None:
    user = await device.user()
    await device.put(f"/users/{device.id}", {"email": f"{game.unique('new')}@example.com"})
    await device.put(f"/users/{device.id}", {"city": "Oslo"})
    [text] = await mails(game)
    assert f"To: {user['email']}" in text
    assert "mail address was changed" in text
