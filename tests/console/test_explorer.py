"""The API explorer."""

import re
from html import unescape
from pathlib import Path

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


async def test_one_is_run_for_a_player_as_a_server_and_as_their_client(desk: Desk) -> None:
    ada = await desk.game.player()
    path = "/explorer/playerState.UPDATE_NAME"
    for who in ("server", "player"):
        await desk.of_app(path)
        await desk.act(path, **{"f.playerName": f"Ada by {who}", "who": who, "profile": ada.profile_id})
        assert "Answer 200" in desk.text
        assert (await ada.call("playerState", "READ"))["playerName"] == f"Ada by {who}"
    path = "/explorer/user.SYS_GET_PAGE"
    await desk.of_app(path)
    await desk.act(path, who="player", profile=ada.profile_id, **{"f.context": "{}"})
    assert "Answer 403" in desk.text


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
