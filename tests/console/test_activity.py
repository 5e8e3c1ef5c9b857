"""Activity: refusals above all, and how lists of what has happened are filtered, followed and taken along."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gameserver.admin import actions, records
from gameserver.domain.push import storage as pushes
from gameserver.players import refusals
from gameserver.players.refusals import Refusals
from gameserver.services.mail import storage as letters
from gameserver.storage import insert_row
from gameserver.wire.errors import NoSession
from tests.benchmarks.console_things import blank
from tests.conftest import APP_ID, APP_TOML, Game
from tests.console.conftest import Desk, hired


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(f"{APP_TOML}[refusals]\nrows_most = 100\n")
    return apps_folder


async def kept(game: Game, **equal: object) -> list[dict[str, object]]:
    wanted = {"app": APP_ID, "limit": 500, "equal": {name: str(value) for name, value in equal.items()}}
    found: list[dict[str, object]] = await actions.run(game.server_app, "refusal_list", wanted)
    return found


async def test_a_refused_message_is_kept_with_player_operation_and_code(game: Game) -> None:
    ada = await game.player()
    await ada.refused("playerState", "UPDATE_NAME", playerName=17)
    await ada.refused("nothing", "NOWHERE\0")
    unknown, mistyped = await kept(game, profile_id=ada.profile_id)
    assert (mistyped["operation"], mistyped["reason_code"], mistyped["status"]) == (
        "playerState.UPDATE_NAME",
        40359,
        400,
    )
    assert (unknown["operation"], unknown["reason_code"]) == ("nothing.NOWHERE?", 40408)
    assert mistyped["profile_id"] == unknown["profile_id"] == ada.profile_id
    assert str(mistyped["meaning"]).startswith("A field of")


async def test_a_code_of_several_meanings_is_told_as_the_operation_means_it(game: Game) -> None:
    ada = await game.player()
    await ada.refused("playerState", "UPDATE_NAME", playerName="x" * 10_000)
    await ada.refused("group", "READ_GROUP", groupId="nothing")
    rows = {row["operation"]: row for row in await kept(game, profile_id=ada.profile_id)}
    named, read = rows["playerState.UPDATE_NAME"], rows["group.READ_GROUP"]
    assert (named["reason_code"], read["reason_code"]) == (40660, 40345)
    assert str(named["meaning"]).startswith("A field of")
    assert read["meaning"] == "There is no such group."
    meaning = records.meaning_of(40345)  # of which nobody knows the operation
    assert "There is no such group." in meaning
    assert " Or: " in meaning


async def test_what_a_session_that_has_ended_asks_for_is_told_with_its_player(game: Game) -> None:
    ada = await game.player()
    await ada.call("playerState", "LOGOUT")
    assert (await ada.refused("time", "READ")).reason_code == 40304
    assert ada.profile_id in [row["profile_id"] for row in await kept(game, reason_code=40304)]


async def test_a_login_that_is_refused_is_told_with_whom_it_asked_for(game: Game) -> None:
    ada = game.client()
    mail = f"{game.unique('ada')}@example.com"
    login = {"authenticationType": "Email", "externalId": mail}
    await ada.log_in(**login, authenticationToken="a password")
    disable = {"app": APP_ID, "profile": ada.profile_id}
    await actions.run(game.server_app, "player_disable", disable)
    again = ("authenticationV2", "AUTHENTICATE")
    refused = await game.client().refused(
        *again, **login, authenticationToken="a password", forceCreate=False
    )
    [row] = await kept(game, profile_id=ada.profile_id)
    assert row["reason_code"] == refused.reason_code


async def test_a_packet_that_is_refused_whole_is_told_once(game: Game) -> None:
    ada = await game.player()
    answer = await game.packet(ada.body(("time", "READ", {})), **{"X-SIG": "0" * 32})
    assert answer.json()["responses"][0]["reason_code"] == 40301
    [row] = game.core.get(Refusals)._waiting
    assert (row["reason_code"], row["times"]) == (40301, 1)


async def test_a_message_that_succeeds_notes_nothing_and_a_retry_notes_once(game: Game) -> None:
    ada = await game.player()
    await kept(game)
    await ada.call("time", "READ")
    assert not game.core.get(Refusals)._waiting
    # Refused after it wrote, beside others: everything is run again, with savepoints.
    await ada.packet(
        ("playerState", "UPDATE_NAME", {"playerName": "Ada"}),
        ("playerState", "UPDATE_NAME", {"playerName": 1}),
    )
    assert [row["times"] for row in game.core.get(Refusals)._waiting] == [1]


async def test_a_flood_is_one_row_that_counts_and_different_ones_have_a_limit(game: Game) -> None:
    notes, app = game.core.get(Refusals), game.app
    await notes.flush()
    for _ in range(5000):
        notes.note(app, NoSession("x"), face="dispatcher", operation="a.B")
    assert [row["times"] for row in notes._waiting] == [5000]
    for number in range(5000):
        notes.note(app, NoSession("x"), face="dispatcher", operation=f"a.{number}")
    assert len(notes._waiting) == refusals.ALIKE_MAX + 1
    await notes.flush()
    async with game.core.database.read() as tx:
        row = await tx.one(select(func.sum(refusals.refusals_table.c.times)))
    assert row is not None
    assert int(row[0]) >= 10_000


async def test_refusals_are_forgotten_after_days_and_beyond_a_number(game: Game) -> None:
    notes = game.core.get(Refusals)
    for number in range(150):
        notes.note(game.app, NoSession("x"), face="dispatcher", operation=f"a.{number}")
    await notes.flush()
    await game.run_jobs("refusals.trim")
    assert len(await kept(game)) == 100
    game.clock.advance(4 * 86_400)
    await game.run_jobs("refusals.forget")
    assert await kept(game) == []


async def test_error_40304_at_14_05_is_found_from_the_search_box(game: Game, desk: Desk) -> None:
    ada, adam = await game.player(), await game.player()
    for player in (ada, adam):
        await player.call("playerState", "LOGOUT")
    await ada.refused("time", "READ")
    now_ms = game.clock.ms()
    game.clock.advance(3600)
    await adam.refused("time", "READ")
    at = f"{now_ms // 3_600_000 % 24:02}:{now_ms // 60_000 % 60:02}"
    await desk.of_app("/search", q=f"error 40304 at {at}")
    assert str(ada.profile_id) in desk.page
    assert str(adam.profile_id) not in desk.page
    assert "There is no such session" in desk.text
    since = re.search(r'name="since" value="([^"]+)"', desk.page)
    assert since is not None
    assert since.group(1).endswith("Z")  # links hold absolute times


async def test_lists_are_filtered_by_the_page_and_a_link_to_it_stays_the_same(game: Game, desk: Desk) -> None:
    ada, mark = await game.player(), game.unique("mark")  # others log in the same app
    await game.server.call("log", "LOG_ERROR", errorMessage=f"a bad one {mark}", context=None)
    await game.server.call("log", "LOG_INFO", errorMessage=f"a good one {mark}", context=None)
    await desk.of_app("/activity", text=mark)
    assert "a bad one" in desk.text
    assert "a good one" in desk.text
    await desk.of_app("/activity", text=mark, level="error")
    assert "a bad one" in desk.text
    assert "a good one" not in desk.text
    link = re.search(r'href="(/console/apps/[^"]+/activity/log/[^"]+)"', desk.page)
    assert link is not None
    await desk.go(link.group(1))
    assert "a bad one" in desk.text
    await desk.go(link.group(1)[:-1] + "x")
    assert (desk.status, "not there any more" in desk.text) == (422, True)
    await desk.of_app("/activity/audit", profile_id=str(ada.profile_id), since="00:00")
    assert "since=20" in str(desk.http.base_url) or 'value="20' in desk.page
    await desk.of_app("/activity", since="soon")
    assert (desk.status, "Write a time as 14:05" in desk.text) == (422, True)
    await desk.of_app("/activity", text="nothing of this kind")
    assert "Nothing fits these filters" in desk.text


async def test_every_list_opens_and_is_taken_along(game: Game, desk: Desk) -> None:
    for path in ("", "/refusals", "/audit", "/journal", "/reports", "/mail", "/pushes"):
        await desk.of_app(f"/activity{path}")
        assert desk.status == 200, path
    ada = await game.player()
    await ada.call("playerState", "LOGOUT")
    await ada.refused("time", "READ")
    rows = json.loads(await desk.of_app("/activity/refusals", **{"as": "json"}))["rows"]
    assert rows[0]["reason_code"] == 40304
    rows = list(csv.DictReader(io.StringIO(await desk.of_app("/activity/refusals", **{"as": "csv"}))))
    assert rows[0]["reason_code"] == "40304"


async def test_lists_are_read_from_the_oldest_too(game: Game, desk: Desk) -> None:
    ada = await game.player()
    for _ in range(3):
        await ada.refused("time", "NEVER")
        await game.core.get(Refusals).flush()  # or they would be one row that counts
        game.clock.advance(2)
    asked: dict[str, Any] = {"app": APP_ID, "equal": {"profile_id": ada.profile_id}}
    newest = await actions.run(game.server_app, "refusal_list", asked)
    oldest: list[Any] = []
    for _ in range(3):
        more = {"limit": 1, "oldest": True, "after": oldest[-1]["id"] if oldest else ""}
        oldest += await actions.run(game.server_app, "refusal_list", asked | more)
    assert (len(oldest), oldest) == (3, newest[::-1])
    page = await desk.of_app("/activity/refusals", profile_id=str(ada.profile_id), sort="oldest")
    assert 'name="sort" value="oldest"' in page  # a further filter keeps it
    answer = await desk.http.get(
        f"/console/apps/{APP_ID}/activity/refusals",
        params={"profile_id": ada.profile_id, "sort": "oldest", "as": "jsonl"},
    )
    assert [json.loads(line)["id"] for line in answer.text.splitlines()[:3]] == [row["id"] for row in oldest]


async def test_letters_and_pushes_of_one_moment_are_read_in_both_directions(game: Game) -> None:
    app = game.unique("app")
    async with game.core.database.write() as tx:
        for number in range(4):
            at = {"app_id": app, "created_ms": number // 2}
            await tx.run(
                insert_row(letters.letters), **blank(letters.letters) | at | {"letter_id": f"l{number}"}
            )
            push = {"push_id": f"p{number}", "device": "d"}
            await tx.run(insert_row(pushes.deliveries), **blank(pushes.deliveries) | at | push)
    for listed, key in ((letters.listed, "letter_id"), (pushes.listed, "push_id")):
        for oldest, wanted in ((False, "2301"), (True, "0123")):
            found: list[Any] = []
            async with game.core.database.read() as tx:
                for _ in range(4):
                    after = (found[-1].get("delivery") or found[-1]["letter_id"]) if found else ""
                    found += await listed(tx, app, 1, after=after, oldest=oldest)
            assert "".join(row[key][1:] for row in found) == wanted


async def test_following_asks_for_what_is_new_alone_and_never_shows_the_login(game: Game, desk: Desk) -> None:
    mark = game.unique("mark")
    await game.server.call("log", "LOG_INFO", errorMessage=f"{mark} the first", context=None)
    page = await desk.of_app("/activity", follow="1", text=mark)
    asks = re.search(r'hx-get="([^"]+)"', page)
    assert asks is not None
    path, part = asks.group(1).replace("&amp;", "&"), {"HX-Request": "true"}
    assert (await desk.http.get(path, headers=part)).status_code == 204
    await game.server.call("log", "LOG_INFO", errorMessage=f"{mark} the second", context=None)
    answer = await desk.http.get(path, headers=part)
    assert "the second" in answer.text
    assert "<html" not in answer.text
    desk.http.cookies.clear()
    answer = await desk.http.get(path, headers=part)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/console/login")


async def test_the_journal_tells_what_changed(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await desk.of_app(f"/players/{ada.profile_id}")
    await desk.act(f"/players/{ada.profile_id}/disable", days="7", reason="cheated")
    await desk.of_app("/activity/journal", profile_id=str(ada.profile_id))
    assert "cheated" in desk.text
    link = re.search(r'href="([^"]+/activity/journal/[^"]+)"', desk.page)
    assert link is not None
    await desk.go(link.group(1))
    assert "is_disabled" in desk.text
    assert "true</ins>" in desk.page


async def test_who_may_not_read_records_finds_no_activity(game: Game) -> None:
    somebody = await hired(game, "viewer", APP_ID)
    await somebody.of_app("/activity")
    assert somebody.status == 200
    await somebody.go("/console/apps/10002/activity")
    assert somebody.status in (403, 422)


async def test_a_level_that_there_is_not_is_refused(desk: Desk) -> None:
    await desk.of_app("/activity?level=loud")
    assert (desk.status, "a level is one of" in desk.text.lower()) == (422, True)
