"""The API explorer."""

import re
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.admin.operators import Operator, staff_actions
from gameserver.apps import load_apps
from gameserver.console.explorer import code_of
from gameserver.services import ALL
from tests.conftest import APP_ID, APP_TOML, Game
from tests.console.conftest import Desk, hired


async def test_every_operation_has_a_page(desk: Desk) -> None:
    await desk.of_app("/explorer")
    for service in ALL:
        for name in service.operations:
            assert f"{service.name}.{name}" in desk.page
    for service in ALL:
        await desk.of_app(f"/explorer/{service.name}.{next(iter(service.operations))}")
        assert desk.status == 200, desk.text


async def test_an_operation_is_found_by_what_it_does(desk: Desk) -> None:
    await desk.of_app("/explorer", q="post a score")
    await desk.of_app("/explorer", q="POST_SCORE")
    assert "leaderboard.POST_SCORE_TO_LEADERBOARD" in desk.text
    await desk.of_app("/explorer", q="nothing has this")
    assert "No operation" in desk.text


async def test_one_is_run_for_a_player_as_a_server(desk: Desk) -> None:
    ada = await desk.game.player()
    path = "/explorer/playerState.UPDATE_NAME"
    await desk.of_app(path)
    await desk.act(path, **{"f.playerName": "Ada", "who": "server", "profile": ada.profile_id})
    assert "Answer 200" in desk.text
    assert (await ada.call("playerState", "READ"))["playerName"] == "Ada"


async def test_staff_try_things_as_a_player_for_half_an_hour(desk: Desk) -> None:
    game = desk.game
    ada, bob = await game.player(), await game.player()
    path, card = "/explorer/playerState.UPDATE_NAME", f"/players/{ada.profile_id}"
    form = {"f.playerName": "Ada tried", "who": "player"}
    await desk.of_app(path)
    await desk.act(path, **form, profile=ada.profile_id)
    assert "Begin with Try as player" in desk.text
    await desk.of_app(card)
    await desk.act(f"{card}/try")
    assert (desk.status, "needs a reason" in desk.text) == (422, True)
    await desk.act(f"{card}/try", reason="ticket 12")
    banner = f"{desk.name} tries things as the player {ada.profile_id}"
    assert (banner in desk.text, "ticket 12" in desk.text) == (True, True)
    await desk.of_app(path)
    assert banner in desk.text
    await desk.act(path, **form, profile=bob.profile_id)  # whatever a form says
    assert "Answer 200" in desk.text
    assert (await ada.call("playerState", "READ"))["playerName"] == "Ada tried"
    for operation in (
        "identity.ATTACH", "identity.UPDATE_UNIVERSAL_PASSWORD", "authenticationV2.AUTHENTICATE",
        "playerState.FULL_PLAYER_RESET", "playerState.UPDATE_CONTACT_EMAIL",
        "rttRegistration.REQUEST_CLIENT_CONNECTION",
    ):  # fmt: skip
        await desk.of_app(f"/explorer/{operation}")
        await desk.act(f"/explorer/{operation}", who="player")
        assert "it is the player's own" in desk.text, desk.text
    await desk.of_app("/explorer/user.SYS_GET_PAGE")
    await desk.act("/explorer/user.SYS_GET_PAGE", who="player", **{"f.context": "{}"})
    assert "Answer 403" in desk.text
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.profile_id == ada.profile_id))
    noted = {(row["action"], row["staff"]) for row in rows}
    assert {("player_try_begin", desk.name), ("call_as_player", desk.name)} <= noted
    game.clock.advance(30 * 60 + 1)
    await desk.of_app(path)
    assert banner not in desk.text
    await desk.act(path, **form, profile=ada.profile_id)
    assert "Begin with Try as player" in desk.text
    await desk.of_app(card)
    await desk.act(f"{card}/try", reason="again")
    other = {"app": APP_ID, "profile": bob.profile_id}
    with pytest.raises(Refused, match="nothing as this player"):
        await actions.run(game.server_app, "player_try_end", other, Operator(desk.name))
    await desk.act(f"{card}/try/end")
    assert ("act for yourself" in desk.text, banner in desk.text) == (True, False)


async def test_who_has_not_the_right_tries_nothing_as_anybody(game: Game) -> None:
    ada, helper = await game.player(), await hired(game, "support", APP_ID)
    await helper.of_app(f"/players/{ada.profile_id}")
    assert "Try as player" not in helper.text
    await helper.act(f"/players/{ada.profile_id}/try", reason="x")
    assert helper.status == 403


async def test_what_is_no_json_and_what_is_refused_is_said(desk: Desk) -> None:
    path = "/explorer/entity.CREATE"
    await desk.of_app(path)
    await desk.act(path, **{"f.entityType": "a", "f.data": "{", "who": "server"})
    assert "data is no JSON" in desk.text.replace("Data", "data")
    await desk.act(path, **{"f.entityType": "a", "f.data": "{}", "who": "server", "profile": "nobody"})
    assert "has no player nobody" in desk.text
    await desk.act(path, **{"f.entityType": "a", "f.data": "{}", "who": "player"})
    assert "Say as which player" in desk.text


async def test_who_may_only_look_does_not_run_anything(game: Game) -> None:
    viewer = await hired(game, role="viewer", app=APP_ID)
    await viewer.of_app("/explorer/time.READ")
    assert "not run them" in viewer.text
    await viewer.act("/explorer/time.READ", who="server")
    assert viewer.status == 403


async def test_the_form_is_filled_in_with_the_example(desk: Desk) -> None:
    page = unescape(await desk.of_app("/explorer/entity.CREATE"))
    assert re.search(r'name="f\.entityType"[^>]*value="\w+"', page)
    assert "client.call" in page


def test_code_is_written_as_each_language_does() -> None:
    code = code_of("10001", "entity.CREATE", {"entityType": 'it"s', "data": {"a": [1, None, True]}})
    assert code["Python"] == (
        """answer = client.call("entity", "CREATE", {'entityType': 'it"s', 'data': {'a': [1, None, True]}})"""
    )
    assert code["C#"] == (
        'var answer = await client.CallAsync("entity", "CREATE", new Dictionary<string, object> '
        '{ { "entityType", "it\\"s" }, { "data", new Dictionary<string, object> '
        '{ { "a", new object[] { 1, null, true } } } } });'
    )


async def test_a_first_visit_explains_itself_in_three_steps(desk: Desk, apps_folder: Path) -> None:
    """On an app without players: make one, post a score for them, see the board."""
    app_id = desk.game.unique("fresh")
    (apps_folder / "fresh").mkdir()
    (apps_folder / "fresh" / "app.toml").write_text(APP_TOML.replace(APP_ID, app_id))
    desk.game.apps.replace(load_apps(apps_folder, desk.game.server_app.registry.sections()))
    app = f"/console/apps/{app_id}"
    await desk.go(app)
    assert "Nobody has logged in yet" in desk.text
    await desk.post(f"{app}/sample")
    assert "There is a player: Sample player" in desk.text
    link = re.search(r'href="(/console/apps/[^"]+POST_SCORE_DYNAMIC[^"]+)"', desk.page)
    assert link is not None
    page = await desk.go(unescape(link.group(1)))
    found = re.findall(r'name="(f\.\w+|profile)" value="([^"]*)"', page)
    fields = {name: unescape(value) for name, value in found}
    await desk.post(f"{app}/explorer/leaderboard.POST_SCORE_DYNAMIC", who="server", **fields)
    assert "Answer 200" in desk.text, desk.text
    await desk.go(f"{app}/boards")
    assert "first" in desk.text
