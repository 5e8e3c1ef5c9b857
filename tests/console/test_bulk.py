"""Bulk actions: for whom they are, exactly once for each, stopped, undone, and told in the journal."""

import json
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from gameserver.admin import actions, bulk
from gameserver.admin.bulk import kinds, running
from gameserver.admin.common import Refused
from gameserver.admin.operators import Operator, staff_actions
from gameserver.domain.segments.storage import refreshes
from gameserver.rpc import Context, Runner
from gameserver.storage import StorageError
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.console.conftest import Desk, hired
from tests.console.test_api import program

APP = """
[virtualCurrency.currencies.coins]
[messaging]
enabled = true
[segment.segments.explorers]
id = 7
criteria = { attributes = { map = ["%s"] } }
"""
MAP = str(uuid.uuid4())  # that no player of other tests has


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP % MAP)
    return apps_folder


BY = Operator("ada", reason="a present")


async def many(game: Game, count: int) -> tuple[str, list[Client]]:
    name = game.unique("bulk")
    them = [await game.player() for _ in range(count)]
    for number, each in enumerate(them):
        await each.call("playerState", "UPDATE_NAME", playerName=f"{name} {number}")
    return name, them


async def start(game: Game, kind: str, **more: Any) -> dict[str, Any]:
    return dict(await actions.run(game.server_app, "bulk_start", {"app": APP_ID, "kind": kind, **more}, BY))


async def show(game: Game, done: dict[str, Any]) -> dict[str, Any]:
    return dict(await actions.run(game.server_app, "bulk_show", {"app": APP_ID, "bulk": done["id"]}))


async def balances(them: list[Client]) -> list[int]:
    told = [await each.call("virtualCurrency", "GET_PLAYER_VC", vcId="coins") for each in them]
    return [each["currencyMap"]["coins"]["balance"] for each in told]


async def journal(game: Game, target: str) -> list[Any]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.target == target))
    return [(row["action"], row["profile_id"], row["reason"], row["staff"]) for row in rows]


async def test_coins_for_whom_a_text_finds_and_back_again(game: Game) -> None:
    name, them = await many(game, 3)
    given = {"currency": "coins", "amount": 7}
    with pytest.raises(bulk.OtherCount, match="2 players were expected and there are 3"):
        await start(game, "balance", text=name, expected=2, given=given)
    done = await start(game, "balance", text=name, expected=3, given=given)
    assert (done["state"], done["total"]) == ("running", 3)
    with pytest.raises(Refused, match="runs still"):
        await actions.run(game.server_app, "bulk_undo", {"app": APP_ID, "bulk": done["id"]}, BY)
    late = await game.player()
    await late.call("playerState", "UPDATE_NAME", playerName=f"{name} late")
    await game.server_app.jobs.catch_up()
    told = await show(game, done)
    assert (told["state"], told["changed"], told["can_undo"]) == ("done", 3, True)
    assert await balances([*them, late]) == [7, 7, 7, 0]
    assert sorted(await journal(game, done["id"])) == sorted(
        [("bulk_start", "", "a present", "ada")]
        + [("player_balance_adjust", each.profile_id, "a present", "ada") for each in them]
    )
    await actions.run(game.server_app, "bulk_undo", {"app": APP_ID, "bulk": done["id"]}, BY)
    with pytest.raises(Refused, match="undone already"):
        await actions.run(game.server_app, "bulk_undo", {"app": APP_ID, "bulk": done["id"]}, BY)
    await game.server_app.jobs.catch_up()
    assert await balances(them) == [0, 0, 0]


async def test_nobody_gets_anything_twice_whenever_a_process_dies(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.admin.bulk.actions.PART_PLAYERS", 2)
    _, them = await many(game, 5)
    ids = [each.profile_id for each in them]
    done = await start(game, "balance", profiles=ids, expected=5, given={"currency": "coins", "amount": 3})
    runner, turns = game.core.get(Runner), 0
    usual = runner.do

    async def dies(work: Callable[[Context], Awaitable[Any]], *more: Any, **options: Any) -> Any:
        nonlocal turns
        turns += 1
        if turns == 2:
            raise StorageError("dies before the commit")
        result = await usual(work, *more, **options)
        if turns in (3, 5):
            raise StorageError("dies after the commit")
        return result

    monkeypatch.setattr(runner, "do", dies)
    for _ in range(6):
        await game.server_app.jobs.catch_up()
        game.clock.advance(120)
    told = await show(game, done)
    assert (told["state"], told["changed"], told["skipped"], told["refused"]) == ("done", 5, 0, 0)
    assert turns > 5
    assert await balances(them) == [3] * 5


async def test_one_with_whom_the_server_fails_keeps_no_other_waiting(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, them = await many(game, 3)
    ids = sorted(each.profile_id for each in them)
    usual = kinds.KINDS["balance"]

    async def fails(one: Any) -> Any:
        if one.profile == ids[1]:
            raise ZeroDivisionError
        return await usual.do(one)

    monkeypatch.setitem(kinds.KINDS, "balance", usual._replace(do=fails))
    given = {"currency": "coins", "amount": 2}
    done = await start(game, "balance", profiles=ids, expected=3, given=given)
    await game.server_app.jobs.catch_up()
    told = await show(game, done)
    assert (told["state"], told["changed"], told["refused"]) == ("done", 2, 1)
    assert sum(await balances(them)) == 4


async def test_bans_end_sessions_and_an_undo_lets_in_only_those_it_shut_out(game: Game) -> None:
    _, them = await many(game, 3)
    ids = [each.profile_id for each in them]
    await actions.run(game.server_app, "player_disable", {"app": APP_ID, "profile": ids[0]})
    done = await start(game, "disable", profiles=[*ids, "nobody"], expected=4)
    await game.server_app.jobs.catch_up()
    told = await show(game, done)
    assert [told[name] for name in ("changed", "skipped", "refused")] == [2, 1, 1]
    for each in them:
        await each.refused("time", "READ")
    rows = await actions.run(
        game.server_app, "bulk_players", {"app": APP_ID, "bulk": done["id"], "outcome": "refused"}
    )
    assert [(row["profile_id"], "no player" in row["why"]) for row in rows] == [("nobody", True)]
    await actions.run(game.server_app, "player_enable", {"app": APP_ID, "profile": ids[1]})
    game.clock.advance(1)
    await actions.run(game.server_app, "player_disable", {"app": APP_ID, "profile": ids[1]})
    await actions.run(game.server_app, "bulk_undo", {"app": APP_ID, "bulk": done["id"]}, BY)
    await game.server_app.jobs.catch_up()
    shown = [
        await actions.run(game.server_app, "player_show", {"app": APP_ID, "profile": each}) for each in ids
    ]
    assert [bool(each["is_disabled"]) for each in shown] == [True, True, False]


async def test_what_is_sent_reaches_each(game: Game) -> None:
    _, them = await many(game, 2)
    ids = [each.profile_id for each in them]
    started = [
        await start(game, "message", profiles=ids, expected=2, given={"text": "Hello", "sender": "Studio"}),
        await start(game, "mail", profiles=ids, expected=2, given={"title": "Hello", "text": "there"}),
        await start(game, "push", profiles=ids, expected=2, given={"text": "Hello"}),
        await start(game, "enable", profiles=ids, expected=2),
    ]
    await game.server_app.jobs.catch_up()
    told = [await show(game, each) for each in started]
    assert {each["state"] for each in told} == {"done"}
    assert [each["changed"] for each in told[:2]] == [2, 2], told
    assert told[3]["skipped"] == 2
    boxes = await them[0].call("messaging", "GET_MESSAGE_COUNTS")
    assert boxes["inbox"]["total"] == 1
    with pytest.raises(Refused, match="cannot be undone"):
        await actions.run(game.server_app, "bulk_undo", {"app": APP_ID, "bulk": started[0]["id"]}, BY)


async def test_one_that_is_stopped_goes_no_further(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    _, them = await many(game, 4)
    ids = sorted(each.profile_id for each in them)
    done = await start(game, "balance", profiles=ids, expected=4, given={"currency": "coins", "amount": 1})
    usual, turns = running._turn, 0

    async def turn(*about: Any) -> bool:
        nonlocal turns
        turns += 1
        if turns == 3:
            await actions.run(game.server_app, "bulk_cancel", {"app": APP_ID, "bulk": done["id"]})
        return await usual(*about)

    monkeypatch.setattr(running, "_turn", turn)
    await game.server_app.jobs.catch_up()
    told = await show(game, done)
    assert (told["state"], told["changed"]) == ("cancelled", 2)
    assert sum(await balances(them)) == 2
    with pytest.raises(Refused, match="ended already"):
        await actions.run(game.server_app, "bulk_cancel", {"app": APP_ID, "bulk": done["id"]})


async def test_a_reason_a_right_and_the_number_are_needed(game: Game) -> None:
    _, [ada] = await many(game, 1)
    boss, helper = await program(game, "admin"), await program(game, "support")
    path = f"/apps/{APP_ID}/bulk"
    asked: dict[str, Any] = {"profiles": [ada.profile_id], "expected": 1, "kind": "enable"}
    for given, status, text in (
        (asked, 422, "say why"),
        ({**asked, "reason": "x", "expected": 2}, 409, "expected"),
        ({**asked, "reason": "x", "text": "a"}, 422, "in one way"),
        ({**asked, "reason": "x", "profiles": []}, 422, "1 to 5000"),
        ({**asked, "reason": "x", "kind": "crown"}, 422, "a kind is"),
        ({**asked, "reason": "x", "kind": "delete"}, 422, "bulk_delete"),
        ({**asked, "reason": "x", "kind": "mail"}, 422, "needs title"),
        (
            {**asked, "reason": "x", "kind": "balance", "given": {"currency": "no", "amount": 1}},
            422,
            "no currency",
        ),
        ({**asked, "reason": "x", "given": {"colour": 1}}, 422, "colour"),
    ):
        answer = await boss.ask("POST", path, json=given)
        assert (answer[0], text in answer[1]["error"]["message"]) == (status, True), answer
    deletes = {"profiles": [ada.profile_id], "expected": 1, "reason": "x"}
    assert (await helper.ask("POST", f"{path}/delete", json=deletes))[0] == 403
    assert (await boss.ask("POST", f"{path}/delete", json=deletes))[0] == 200
    await game.server_app.jobs.catch_up()
    assert (await boss.ask("GET", f"/apps/{APP_ID}/players/{ada.profile_id}"))[0] == 422


async def test_coins_for_a_segment_once_it_is_known_who_belongs_to_it(game: Game, desk: Desk) -> None:
    them = [await game.player() for _ in range(3)]
    for each in them[:2]:
        await each.call("playerState", "UPDATE_ATTRIBUTES", attributes={"map": MAP})
    segment = {"segment": 7, "expected": 2, "given": {"currency": "coins", "amount": 5}}
    async with game.core.database.write() as tx:
        await tx.run(delete(refreshes).where(refreshes.c.app_id == APP_ID))
    with pytest.raises(Refused, match="still being worked out"):
        await start(game, "balance", **segment)
    await actions.run(game.server_app, "segment_refresh", {"app": APP_ID}, BY)
    await game.server_app.jobs.catch_up()
    with pytest.raises(Refused, match="no segment 8"):
        await start(game, "balance", **(segment | {"segment": 8}))
    with pytest.raises(Refused, match="in one way"):
        await start(game, "balance", **segment, everybody=True)
    assert "/bulk/new?segment=7" in await desk.of_app("/data/segments/7")
    await desk.of_app("/bulk/new", segment="7")
    assert "All of segment 7 now" in desk.text
    form = {"segment": "7", "expected": "2", "reason": "a present", "currency": "coins", "amount": "5"}
    await desk.act("/bulk/new", kind="balance", **form)
    assert "of 2 players had their turn" in desk.text
    await game.server_app.jobs.catch_up()
    assert await balances(them) == [5, 5, 0]


async def test_the_pages_choose_begin_stop_and_undo(game: Game, desk: Desk) -> None:
    name, them = await many(game, 2)
    await desk.of_app("/players", q=name)
    assert "With all that are found" in desk.text
    await desk.of_app("/bulk/new", q=name)
    assert (desk.status, "Check the players first" in desk.text) == (422, True)
    await desk.of_app("/bulk/new", q=name, which="all")
    assert "For 2 players" in desk.text
    form = {"q": name, "expected": "2", "reason": "a present", "currency": "coins", "amount": "5"}
    late = await game.player()
    await late.call("playerState", "UPDATE_NAME", playerName=f"{name} late")
    await desk.act("/bulk/new", kind="balance", **form)
    assert (desk.status, "2 players were expected and there are 3" in desk.text) == (409, True)
    await desk.act("/bulk/new", kind="balance", **{**form, "expected": "3"})
    assert "0 of 3 players had their turn" in desk.text
    here = re.search(r"/bulk/([0-9a-z]+)/cancel", desk.page)
    assert here is not None
    await game.server_app.jobs.catch_up()
    await desk.of_app(f"/bulk/{here[1]}")
    assert ("3 changed" in desk.text, "Undo for 3" in desk.text) == (True, True)
    await desk.act(f"/bulk/{here[1]}/undo")
    await game.server_app.jobs.catch_up()
    assert await balances(them) == [0, 0]
    assert "Bulk actions" in await desk.of_app("/bulk")
    told = json.loads((await desk.of_app(f"/bulk/{here[1]}", **{"as": "jsonl"})).splitlines()[-1])
    assert told == {"count": 3}
    picked = {f"p.{each.profile_id}": "1" for each in them}
    await desk.of_app("/bulk/new", **picked)
    for confirm, text in (("delete 3 players", "nothing was done"), ("delete 2 players", "Begun for 2")):
        await desk.of_app("/bulk/new", **picked)
        await desk.act("/bulk/new", kind="delete", expected="2", reason="cheats", confirm=confirm, **picked)
        assert text in desk.text
    helper = await hired(game, "support", APP_ID)
    await helper.of_app("/bulk/new", **picked)
    assert "typed" not in helper.text.lower()
    await helper.act(
        "/bulk/new", kind="delete", expected="2", reason="x", confirm="delete 2 players", **picked
    )
    assert helper.status == 403
