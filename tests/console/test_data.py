"""Entities in the console: shown as they are stored, edited letter by letter, nothing written by accident."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gameserver.admin.operators import staff_actions, timeline
from gameserver.apps import load_apps
from gameserver.services.entity.storage import entities
from tests.conftest import APP_ID, Client, Game
from tests.console.conftest import Desk, hired

ODD = '{"big":1e16,"more":9223372036854775808,"minus":-0.0,"text":"a\\u00e4\\n</textarea>","list":[1.10,2]}'


async def made(player: Client, **data: Any) -> str:
    done = await player.call("entity", "CREATE", entityType="save", data=data)
    return str(done["entityId"])


async def stored(game: Game, entity: str) -> dict[str, Any]:
    async with game.core.database.read() as tx:
        row = await tx.one(select(entities).where(entities.c.entity_id == entity))
    return {} if row is None else {str(column.name): row[column.name] for column in entities.c}


async def journal(game: Game, profile: str) -> list[tuple[str, Any, Any]]:
    async with game.core.database.read() as tx:
        rows = await tx.all(
            select(staff_actions).where(staff_actions.c.profile_id == profile).order_by(staff_actions.c.id)
        )
    return [
        (row["action"], *(text and json.loads(text) for text in (row["before"], row["after"])))
        for row in rows
    ]


def form_of(page: str) -> dict[str, str]:
    """What the browser would send of a page's editor, with the line ends that browsers send."""
    text = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", page, re.DOTALL)
    version = re.search(r'name="version" value="(\d+)"', page)
    assert text is not None
    assert version is not None
    return {"data": html.unescape(text.group(1)).replace("\n", "\r\n"), "version": version.group(1)}


def undo_of(desk: Desk) -> tuple[str, dict[str, str]]:
    found = re.search(
        r'class="said".*?action="([^"]+)".*?name="change" value="([^"]+)"', desk.page, re.DOTALL
    )
    assert found is not None, desk.text
    return found.group(1), {"change": found.group(2)}


async def test_what_is_opened_and_saved_unchanged_writes_nothing(game: Game, desk: Desk) -> None:
    ada = await game.player()
    entity = await made(ada, level=1)
    here = f"/players/{ada.profile_id}/data/{entity}"
    await desk.of_app(f"{here}/edit")
    await desk.act(here, data=ODD, version="1")
    assert "Saved as version 2" in desk.text, desk.text
    before = await stored(game, entity)
    assert before["data"] == ODD  # letter by letter
    page = await desk.of_app(f"{here}/edit")
    assert '</textarea>"' not in page
    await desk.act(here, **form_of(page))
    assert "nothing was written" in desk.text
    assert await stored(game, entity) == before
    assert [name for name, _, _ in await journal(game, ada.profile_id)] == ["entity_save"]
    raw = await desk.http.get(f"/console/apps/{APP_ID}{here}", params={"as": "json"})
    assert raw.content == ODD.encode()
    assert (await ada.call("entity", "READ", entityId=entity))["data"]["minus"] == 0


async def test_a_change_is_shown_noted_and_undone(game: Game, desk: Desk) -> None:
    ada = await game.player()
    entity = await made(ada, level=1, bag=["rope"])
    await desk.of_app(f"/players/{ada.profile_id}/data")
    assert f"/data/{entity}/edit" in desk.page
    here = f"/players/{ada.profile_id}/data/{entity}"
    form = form_of(await desk.of_app(f"{here}/edit"))
    form["data"] = form["data"].replace('"level": 1', '"level": 42')
    await desk.act(here, **form, reason="lost at sea")
    assert ('- "level": 1,' in desk.text, '+ "level": 42,' in desk.text) == (True, True), desk.text
    [(name, before, after)] = await journal(game, ada.profile_id)
    assert (name, before["data"], after["data"]) == (
        "entity_save", '{"level":1,"bag":["rope"]}', '{"level":42,"bag":["rope"]}',
    )  # fmt: skip
    path, undo = undo_of(desk)
    history = re.search(r'href="([^"]+)">History<', desk.page)
    assert history is not None
    await desk.go(html.unescape(history[1]))
    assert ("entity_save" in desk.text, "lost at sea" in desk.text) == (True, True)
    await desk.post(path, **undo)
    assert (await stored(game, entity))["data"] == before["data"]
    assert (await stored(game, entity))["version"] == 3
    await desk.post(path, **undo)
    assert "so nothing was undone" in desk.text


async def test_the_second_of_two_editors_gets_both_texts(game: Game, desk: Desk) -> None:
    ada, other = await game.player(), await hired(game, role="designer", app=APP_ID)
    entity = await made(ada, gold=1)
    here = f"/players/{ada.profile_id}/data/{entity}"
    for each in (desk, other):
        await each.of_app(f"{here}/edit")
    await desk.act(here, data='{"gold": 2}', version="1")
    await other.act(here, data='{"gold": 3}', version="1")
    assert other.status == 409
    assert ('"gold": 2' in other.text, '"gold": 3' in other.text) == (True, True)
    assert (await stored(game, entity))["data"] == '{"gold":2}'
    await other.act(here, **form_of(other.page))
    assert (await stored(game, entity))["data"] == '{"gold":3}'


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("{", "no JSON"),
        ("[1]", "an object"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a.b": 1}', "contains $ or a dot"),
        ('{"a": 1e999}', "too large"),
        ('{"a": NaN}', "no JSON"),
        ('{"a": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "deeper"),
        ('{"a": "' + "x" * (101 << 10) + '"}', "may have 102400 bytes"),
    ],
)
async def test_what_is_no_document_is_refused_and_stays_typed(
    game: Game, desk: Desk, typed: str, why: str
) -> None:
    ada = await game.player()
    entity = await made(ada, gold=1)
    here = f"/players/{ada.profile_id}/data/{entity}"
    await desk.of_app(f"{here}/edit")
    await desk.act(here, data=typed, version="1")
    assert (desk.status, why in desk.text) == (422, True), desk.text[:600]
    assert form_of(desk.page)["data"] == typed
    assert (await stored(game, entity))["version"] == 1


async def test_a_document_of_a_megabyte_is_never_shortened(game: Game, desk: Desk, apps_folder: Path) -> None:
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "[entity]\ndata_bytes_max = 2000000\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    ada = await game.player()
    entity = await made(ada, gold=1)
    here = f"/players/{ada.profile_id}/data"
    text = json.dumps({"items": [{"name": f"item {n}", "weight": n / 7} for n in range(25_000)]})
    before = text.replace(": ", ":").replace(", ", ",")
    assert len(before) > 1_000_000
    await desk.of_app(f"{here}/{entity}/edit")
    await desk.act(f"{here}/{entity}", data=text, version="1")
    assert (await stored(game, entity))["data"] == before
    page = await desk.of_app(here)
    assert len(page) < 20_000
    await desk.of_app(f"{here}/{entity}")
    assert ("This is the beginning" in desk.text, len(desk.page) < 200_000) == (True, True)
    form = form_of(await desk.of_app(f"{here}/{entity}/edit"))
    await desk.act(f"{here}/{entity}", **form)
    assert "nothing was written" in desk.text
    form["data"] = form["data"].replace("item 24999", "the last")
    await desk.act(f"{here}/{entity}", **form)
    assert "Saved as version 3" in desk.text
    assert (await stored(game, entity))["data"] == before.replace("item 24999", "the last")
    path, undo = undo_of(desk)
    await desk.post(path, **undo)
    assert (await stored(game, entity))["data"] == before
    async with game.core.database.read() as tx:
        rows = await timeline.find(tx, APP_ID, 50, profile_id=ada.profile_id)
    # Lists of the journal stay small: of the three, two are about a megabyte.
    assert sorted(list(json.loads(row["before"])) == ["bytes"] for row in rows) == [False, True, True]


async def test_a_deleted_entity_comes_back_as_it_was(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await ada.call("entity", "UPDATE_SINGLETON", entityType="home", data={"rooms": 2}, version=-1)
    [mine] = (await ada.call("entity", "READ_BY_TYPE", entityType="home"))["entities"]
    before = await stored(game, mine["entityId"])
    here = f"/players/{ada.profile_id}/data/{mine['entityId']}"
    await desk.of_app(here)
    await desk.act(f"{here}/delete")
    assert await stored(game, mine["entityId"]) == {}
    path, undo = undo_of(desk)
    await desk.post(path, **undo)
    assert await stored(game, mine["entityId"]) == before
    await desk.act(f"{here}/delete")
    path, undo = undo_of(desk)
    await ada.call("entity", "UPDATE_SINGLETON", entityType="home", data={"rooms": 9}, version=-1)
    await desk.post(path, **undo)
    assert "in its place by now" in desk.text


async def test_support_without_the_right_sees_and_changes_nothing(game: Game) -> None:
    ada, bob = await game.player(), await hired(game, role="support", app=APP_ID)
    entity = await made(ada, gold=1)
    here = f"/players/{ada.profile_id}/data/{entity}"
    await bob.of_app(here)
    assert ("gold" in bob.text, "Edit" in bob.text) == (True, False)
    await bob.go("/console/account")
    for path, form in (
        (here, {"data": "{}", "version": "1"}),
        (f"{here}/delete", {}),
        (f"{here}/undo", {"change": "x"}),
    ):
        await bob.act(path, **form)
        assert bob.status == 403
    assert (await stored(game, entity))["version"] == 1


async def test_global_entities_are_found_edited_and_exported(game: Game, desk: Desk) -> None:
    ada, kind = await game.player(), game.unique("shop")
    made_ones = [
        await ada.call(
            "globalEntity", "CREATE", entityType=kind, data={"price": n, "exact": 1e16}, acl={"other": 1}
        )
        for n in range(60)
    ]
    await desk.of_app("/data", type=kind)
    assert "Next page" in desk.text
    await desk.of_app("/data", type=kind, after=sorted(each["entityId"] for each in made_ones)[49])
    assert sum(each["entityId"] in desk.page for each in made_ones) == 10
    assert "Next page" not in desk.text
    await desk.of_app("/data", type=kind, field0="data.price", operator0="$gte", value0="58")
    assert ("58" in desk.text, " ms. " in desk.text) == (True, True)
    rows = json.loads(
        await desk.of_app(
            "/data", type=kind, field0="data.price", operator0="$gte", value0="58", **{"as": "json"}
        )
    )
    assert (len(rows["rows"]), rows["count"]) == (2, 2)
    await desk.of_app("/data", where='{"data.price": {"$near": 1}}')
    assert (desk.status, "no such operator" in desk.text) == (422, True)
    lines = (await desk.of_app("/data", type=kind, **{"as": "jsonl"})).splitlines()
    assert (len(lines), json.loads(lines[-1])) == (61, {"count": 60})
    assert '"exact":1e16' in lines[0].replace("1e+16", "1e16")
    entity = made_ones[0]["entityId"]
    await desk.of_app(f"/data/{entity}/edit")
    await desk.act(f"/data/{entity}", data='{"price": 7}', version="1")
    assert "Saved as version 2" in desk.text
    assert (await ada.call("globalEntity", "READ", entityId=entity))["data"] == {"price": 7}
    await desk.of_app(f"/data/{entity}")
    await desk.act(f"/data/{entity}/delete")
    path, undo = undo_of(desk)
    await desk.post(path, **undo)
    assert (await ada.call("globalEntity", "READ", entityId=entity))["version"] == 2


async def test_searches_of_staff_have_a_budget(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.admin.common.SEARCH_SECONDS", 0.0)
    await desk.of_app("/data", where='{"data.price": 1}')
    assert (desk.status, "as long as they may in a minute" in desk.text) == (422, True), desk.text


async def test_global_statistics_are_shown(game: Game, desk: Desk) -> None:
    await desk.of_app("/data/statistics")
    assert "Global statistics" in desk.text
