"""Saved views: a list's filter under a name, for oneself or for all staff of the app."""

import re
import uuid

import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.operators import Operator, staff_actions
from gameserver.console import views
from tests.conftest import Game
from tests.console.conftest import Desk, hired


@pytest.fixture
def app_id() -> str:
    return uuid.uuid4().hex


def base(desk: Desk) -> str:
    return f"/console/apps/{desk.game.app_id}"


async def saved(desk: Desk, page: str, name: str, shared: str = "") -> str:
    """Open a list, and save what it is asked for; returns the view's id where it can be removed."""
    await desk.go(base(desk) + page)
    query = re.search(r'name="query" value="([^"]*)"', desk.page)
    assert query is not None, desk.text
    form = {"page": page.partition("?")[0], "name": name, "query": query.group(1).replace("&amp;", "&")}
    await desk.post(f"{base(desk)}/views", **form, **({"shared": shared} if shared else {}))
    found = re.search(r"/views/([0-9a-f]+)/remove", desk.page)
    assert desk.status == 200, desk.text
    return found.group(1) if found else ""


async def test_a_view_is_kept_counted_and_removed_with_undo(game: Game, desk: Desk) -> None:
    for name in ("Ada", "Adam", "Grace"):
        player = await game.player()
        await player.call("playerState", "UPDATE_NAME", playerName=name)
    await desk.go(f"{base(desk)}/players")
    assert "Save this view" not in desk.text, "nothing is asked for"
    view = await saved(desk, "/players?q=ad&after=&as=", "Those with Ad")
    assert "Saved as Those with Ad." in desk.text
    assert re.search(r'q=ad" aria-current="true"><bdi>Those with Ad</bdi></a> <small>2</small>', desk.page), (
        desk.page
    )
    await desk.go(f"{base(desk)}/social/groups")
    assert "Those with Ad" not in desk.text, "it is of another list"
    await saved(desk, "/players?q=gra", "Those with Ad")  # the same name: another filter
    assert (desk.page.count("<bdi>Those with Ad</bdi></a>"), "q=gra" in desk.page) == (1, True)
    await desk.post(f"{base(desk)}/views/{view}/remove")
    assert "The view Those with Ad is removed." in desk.text
    assert "<bdi>Those with Ad</bdi></a>" not in desk.page
    await desk.post(f"{base(desk)}/views", page="/players", name="Those with Ad", query="q=gra")
    assert "Those with Ad</bdi></a> <small>1</small>" in desk.page


async def test_private_ones_are_seen_by_nobody_else_and_shared_ones_by_all(game: Game) -> None:
    ada, bob = await hired(game, "support", game.app_id), await hired(game, "viewer", game.app_id)
    boss = await hired(game, "admin", game.app_id)
    own = await saved(ada, "/activity/refusals?reason_code=40304", "Mine")
    shared = await saved(ada, "/activity?level=error", "Errors", shared="1")
    await bob.go(f"{base(bob)}/activity/refusals")
    assert "Mine" not in bob.text
    await bob.go(f"{base(bob)}/activity")
    assert f"Errors 0 by {ada.name}" in bob.text
    assert "/remove" not in bob.page
    for view, said in ((own, "there is no such view"), (shared, "only they remove it")):
        await bob.post(f"{base(bob)}/views/{view}/remove")
        assert (bob.status, said in bob.text.lower()) == (422, True), bob.text
        await bob.go(f"{base(bob)}/activity?level=error")
    await bob.post(f"{base(bob)}/views", page="/activity", name="x", query="level=error", shared="1")
    assert bob.status == 403
    await boss.go(f"{base(boss)}/activity")
    await boss.post(f"{base(boss)}/views/{shared}/remove")
    assert "The view Errors is removed." in boss.text
    async with game.core.database.read() as tx:
        rows = await tx.all(
            select(staff_actions.c.action, staff_actions.c.staff, staff_actions.c.outcome)
            .where(staff_actions.c.app_id == game.app_id, staff_actions.c.action.startswith("view_"))
            .order_by(staff_actions.c.id)
        )
    assert {tuple(row) for row in rows} == {
        ("view_share", ada.name, "done"),
        ("view_share", bob.name, "denied"),
        ("view_remove", boss.name, "done"),
    }


async def test_who_leaves_takes_private_views_along(game: Game) -> None:
    ada, bob = await hired(game, "support", game.app_id), await hired(game, "viewer", game.app_id)
    await saved(ada, "/data?type=shop", "Shops", shared="1")
    await saved(ada, "/data?type=save", "Saves")
    await actions.run(game.server_app, "staff_remove", {"name": ada.name})
    await bob.go(f"{base(bob)}/data")
    assert "Shops" in bob.text
    await actions.run(game.server_app, "staff_add", {"name": ada.name, "role": "viewer", "app": game.app_id})
    by = Operator(ada.name)
    kept = await actions.run(game.server_app, "view_list", {"app": game.app_id}, by)
    assert [each["name"] for each in kept] == ["Shops"]


@pytest.mark.parametrize(
    "form",
    [
        {"page": "/nowhere", "name": "x", "query": "q=1"},
        {"page": "//evil.test", "name": "x", "query": "q=1"},
        {"page": "/players", "name": " ", "query": "q=1"},
        {"page": "/players", "name": "x" * 65, "query": "q=1"},
        {"page": "/players", "name": "x", "query": "q=" + "1" * 2000},
        {"page": "/players", "name": "x", "query": "q=a\r\nSet-Cookie: x"},
    ],
)
async def test_what_is_no_view_is_refused(desk: Desk, form: dict[str, str]) -> None:
    await desk.go(f"{base(desk)}/players?q=x")
    await desk.post(f"{base(desk)}/views", **form)
    assert desk.status == 422


async def test_what_cannot_be_counted_has_no_count(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(desk, '/data?where={"data.level": 7}', "By level")
    assert "By level" in desk.text
    assert "By level 0" not in desk.text, "a search costs, so it is not made for a count"
    await desk.go(f"{base(desk)}/players?q=x")
    await desk.post(f"{base(desk)}/views", page="/activity/refusals", name="Nonsense", query="reason_code=x")
    await desk.go(f"{base(desk)}/activity/refusals")
    assert (desk.status, "Nonsense Remove" in desk.text) == (200, True), desk.text
    monkeypatch.setattr(views, "COUNTED_MAX", 1)
    for _ in range(3):
        player = await game.player()
        await player.call("playerState", "UPDATE_NAME", playerName="Twin")
    await saved(desk, "/players?q=twin", "Twins")
    assert "Twins 1+" in desk.text
