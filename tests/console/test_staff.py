"""The page on which staff let each other in."""

import re

from tests.conftest import APP_ID, Game
from tests.console.conftest import PASSWORD, Desk, hired


def link_of(desk: Desk) -> str:
    found = re.search(r'id="link">http://console\.test([^<]+)<', desk.page)
    assert found is not None, desk.text
    return found.group(1)


async def test_somebody_is_let_in_and_out(desk: Desk) -> None:
    bob = desk.game.unique("bob")
    await desk.of_app("/staff")
    await desk.act("/staff", name=bob, role="support")
    guest = Desk(desk.game, bob)
    await guest.go(link_of(desk))
    await guest.post(str(guest.http.base_url.join(link_of(desk))), password=PASSWORD, repeat=PASSWORD)
    await guest.of_app("/players")
    assert guest.status == 200
    await guest.of_app("/staff")
    assert (guest.status, "staff.manage" in guest.text) == (403, True)
    await desk.of_app("/staff")
    assert bob in desk.text
    await desk.act("/staff/remove", name=bob, everywhere="1", confirm="wrong", reason="left")
    assert "type the name" in desk.text.lower()
    await desk.of_app("/staff")
    await desk.act("/staff/remove", name=bob, everywhere="1", confirm=bob, reason="left")
    assert f"{bob} is out" in desk.text
    await guest.of_app("/players")
    assert "Log in" in guest.text


async def test_the_admin_of_one_app_rules_there_alone(game: Game, desk: Desk) -> None:
    boss = await hired(game, role="admin", app=APP_ID)
    other = await hired(game, role="viewer", app=APP_ID)
    await boss.of_app("/staff")
    assert other.name in boss.text
    await boss.act("/staff/reset", name=desk.name)
    assert boss.status == 403
    await boss.of_app("/staff")
    await boss.act("/staff", name=desk.name, role="viewer")  # who is there keeps what they have elsewhere
    assert boss.status == 200
    await boss.of_app("/staff")
    await boss.act("/staff", name=game.unique("eve"), role="viewer", contacts="1")
    assert "only an admin of every app" in boss.text.lower()
    await boss.of_app("/staff")
    await boss.act("/staff", name=game.unique("eve"), role="admin", everywhere="1")
    assert boss.status == 403
    await boss.of_app("/staff")
    await boss.act("/staff/remove", name=other.name, confirm=other.name, reason="left")
    await other.of_app("/players")
    assert "Log in" in other.text


async def test_a_key_is_made_and_ended(desk: Desk) -> None:
    label = desk.game.unique("report")
    await desk.of_app("/staff")
    await desk.act("/staff/keys", label=label, role="viewer")
    key = re.search(r'id="key">([^<]+)<', desk.page)
    assert key is not None
    headers = {"Authorization": f"Bearer {key.group(1)}"}
    path = f"/api/v1/apps/{APP_ID}/players"
    assert (await Desk(desk.game, "").http.get(path, headers=headers)).status_code == 200
    await desk.of_app("/staff")
    digest = re.search(rf"{label}.*?name=\"key\" value=\"([0-9a-f]+)\"", desk.page, re.DOTALL)
    assert digest is not None
    await desk.act("/staff/keys/remove", key=digest.group(1))
    assert (await Desk(desk.game, "").http.get(path, headers=headers)).status_code == 401
