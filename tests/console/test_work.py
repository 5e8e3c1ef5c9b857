"""Jobs, webhooks and scripts in the console; what the server counted, and what needs attention."""

import asyncio
import inspect
import itertools
import json
import random
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import select

from gameserver.admin import actions, history, system
from gameserver.admin.common import Refused
from gameserver.admin.history import History
from gameserver.admin.operators import staff_actions
from gameserver.console import PAGES, live
from gameserver.players.refusals import Refusals
from gameserver.ranks import Ranks
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Payer, QueryTooSlow, Transaction
from tests.conftest import APP_ID, APP_TOML, Game
from tests.console.conftest import Desk, hired

SCRIPT = """
/* eslint-disable */
function main() { bridge.logErrorJson("it ran", {n: data.n}); return {twice: data.n * 2}; }
main();
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    more = '[script.schedules.nightly]\nscript = "gifts/Send"\ncron = "30 3 * * *"\n'
    more += '[webhooks.outgoing.crm]\nurl = "http://127.0.0.1:9/"\nallow_http = true\n'
    more += 'secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"\n'
    more += 'events = ["player.created"]\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + more)
    (apps_folder / "test" / "scripts" / "gifts").mkdir(parents=True)
    (apps_folder / "test" / "scripts" / "gifts" / "Send.js").write_text(SCRIPT)
    return apps_folder


async def test_jobs_are_listed_run_and_tried_again(desk: Desk) -> None:
    await desk.of_app("/jobs")
    assert "refusals.forget" in desk.text
    await desk.act("/jobs/run", job="refusals.forget")
    assert "refusals.forget has run." in desk.text
    await desk.act("/jobs/run", job="nothing")
    assert "nothing did not run to its end" in desk.text
    await desk.act("/jobs/retry", job="bans.end")
    assert "0 pieces of bans.end are tried again" in desk.text
    rows = json.loads(await desk.of_app("/jobs", **{"as": "json"}))["rows"]
    assert {"name", "late_ms", "failures"} <= rows[0].keys()


async def test_who_has_a_role_in_one_app_learns_why_there_are_no_jobs(game: Game) -> None:
    somebody = await hired(game, "viewer", APP_ID)
    await somebody.of_app("/jobs")
    assert (somebody.status, "this needs a role in every app" in somebody.text) == (200, True)
    await somebody.of_app("/live")
    assert (somebody.status, "need a role in every app" in somebody.text) == (200, True)
    await somebody.act("/jobs/run", job="refusals.forget")
    assert somebody.status in (400, 403)


async def test_webhooks_are_tested_and_their_deliveries_shown_and_sent_again(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await desk.of_app("/webhooks", profile_id=str(ada.profile_id))
    assert "crm" in desk.text
    assert "player.created" in desk.text
    link = unquote(desk.page.partition("/webhooks/delivery?delivery=")[2].partition('"')[0])
    assert link
    await desk.of_app("/webhooks/delivery", delivery=link)
    assert str(ada.profile_id) in desk.text
    await desk.act("/webhooks/replay", delivery=link)
    assert "1 deliveries are sent again" in desk.text
    await desk.act("/webhooks/test", target="crm")
    assert "crm did not take it" in desk.text
    await desk.act("/webhooks/enable", target="crm")
    assert "crm is told again" in desk.text
    await desk.act("/webhooks/replay", target="crm")
    assert "deliveries are sent again" in desk.text


async def test_a_script_is_read_and_run_as_a_player_and_the_journal_knows(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await desk.of_app("/scripts")
    assert "gifts/Send" in desk.text
    assert "30 3 * * *" in desk.text
    await desk.of_app("/scripts/source", script="gifts/Send")
    assert "data.n * 2" in desk.text
    await desk.act("/scripts/run", script="gifts/Send", data='{"n": 21}', profile=str(ada.profile_id))
    assert "It came to its end" in desk.text
    assert "42" in desk.text
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.profile_id == ada.profile_id))
    assert [(row["action"], row["target"]) for row in rows] == [("script_run", "gifts/Send")]
    for form in ({"data": "[1]"}, {"data": "{"}, {"script": "nothing"}, {"profile": "nobody"}):
        await desk.of_app("/scripts/source", script="gifts/Send")
        await desk.act("/scripts/run", **{"script": "gifts/Send", "data": "{}", **form})
        assert desk.status == 422, form


async def test_who_may_not_call_operations_runs_no_script(game: Game) -> None:
    somebody = await hired(game, "support", APP_ID)
    await somebody.of_app("/activity")
    await somebody.act("/scripts/run", script="gifts/Send", data="{}")
    assert somebody.status == 403


async def test_what_is_counted_is_kept_each_minute_and_told_per_minute(game: Game, desk: Desk) -> None:
    kept = game.core.get(History)
    await kept.write()
    for _ in range(3):
        await game.player()
    ada = await game.player()
    await ada.refused("time", "NEVER")
    game.clock.advance(120)
    await kept.write()
    rows = await actions.run(game.server_app, "metrics_show", {"app": APP_ID})
    last = rows[-1]
    assert last["packets"] >= 5
    assert last["messages_refused"] >= 1
    assert (last["logins"], last["refusals"]) == (4, 1)
    assert last["online"] >= 4
    assert 0 < last["p50_ms"] <= last["p95_ms"]
    hour = await actions.run(game.server_app, "metrics_show", {"app": APP_ID, "step_ms": 3_600_000})
    assert sum(row["logins"] for row in hour) > 0
    await desk.of_app()
    assert "packets a minute: " in desk.text  # the same in words
    answer = await desk.http.get(f"/console/apps/{APP_ID}/metrics", params={"span": "day"})
    assert answer.json()["rows"]
    await desk.of_app("/live")
    assert "ready" in desk.text
    assert kept._process in desk.text
    game.clock.advance(15 * 86_400)
    await game.run_jobs("history.rollUp", "history.forget", "history.forgetOfApps")
    async with game.core.database.read() as tx:
        assert await history.read(tx, APP_ID, 0, game.clock.ms(), 60_000) == []
        assert await history.read(tx, APP_ID, 0, game.clock.ms(), 3_600_000) == []


async def test_hours_that_are_over_are_added_up_and_tell_what_minutes_told(game: Game) -> None:
    game.clock.advance(400 * 86_400 + random.randrange(100 * 86_400))  # where no other test has counted
    now = game.clock.ms()
    hour = now // 3_600_000 * 3_600_000
    # Hour by hour: two processes that both count, one alone, nobody, and the hour that is not over.
    for hours_ago, processes in ((5, ("one", "two")), (4, ("two",)), (2, ("one",)), (0, ("one", "two"))):
        minutes = range(0, 60, 20) if hours_ago else range(0, max(1, (now - hour) // 60_000), 20)
        for process, minute in itertools.product(processes, minutes):
            at_ms = hour - hours_ago * 3_600_000 + minute * 60_000
            row: dict[str, Any] = dict.fromkeys(history.COUNTED, 0)
            row |= {"packets": 60 + minute, "bucket_2": 60}
            row |= {"minute_ms": at_ms, "process": process, "version": "1", "started_ms": 1, "sockets": 7}
            own = {"app_id": APP_ID, "minute_ms": at_ms, "process": process, "logins": 3, "refusals": 1}
            async with game.core.database.write() as tx:
                await tx.run(history.ADD, **row, job_late_ms=minute * 1000)
                await tx.run(history.ADD_OF_APP, **own, online=100 + minute)

    async def told(step_ms: int, since_ms: int = hour - 6 * 3_600_000) -> list[dict[str, Any]]:
        async with game.core.database.read() as tx:
            return await history.read(tx, APP_ID, since_ms, now, step_ms)

    by_hour, by_two, by_minute = await told(3_600_000), await told(7_200_000), await told(60_000)
    assert [row["packets"] for row in by_hour[:3]] == [160, 80, 80]
    assert [(row["logins"], row["online"], row["job_late_s"]) for row in by_hour[:2]] == [
        (6, 140, 40),
        (3, 140, 40),
    ]
    await game.run_jobs("history.rollUp")
    await game.run_jobs("history.rollUp")
    async with game.core.database.read() as tx:
        added = await tx.all(
            select(history.server_hours).where(history.server_hours.c.hour_ms > hour - 6 * 3_600_000)
        )
    assert sorted((hour - row["hour_ms"]) // 3_600_000 for row in added) == [2, 4, 5]
    assert (await told(3_600_000), await told(7_200_000), await told(60_000)) == (by_hour, by_two, by_minute)
    game.clock.advance(3 * 86_400)
    await game.run_jobs("history.rollUp", "history.forget", "history.forgetOfApps")
    assert (await told(60_000), await told(3_600_000)) == ([], by_hour)
    asked = {"app": APP_ID, "since_ms": hour - 3_600_000, "step_ms": 600_000}
    with pytest.raises(Refused, match="minutes are kept for two days"):
        await actions.run(game.server_app, "metrics_show", asked)
    game.clock.advance(12 * 86_400)
    await game.run_jobs("history.forget", "history.forgetOfApps")
    assert await told(3_600_000) == []


def test_quantiles_are_those_of_the_buckets() -> None:
    buckets = [0] * len(history.BUCKETS)
    assert history.quantile_ms(buckets, 0.5) is None
    buckets[0], buckets[1] = 50, 50  # below 1 ms, and below 2.5 ms
    assert history.quantile_ms(buckets, 0.5) == 1.0
    assert history.quantile_ms(buckets, 0.75) == 1.75
    buckets[-1] = 1000
    assert history.quantile_ms(buckets, 0.95) == 60_000.0


FIRST = "/apps/{app}"
WITHOUT = {"/apps/{app}/boards/{board}", "/apps/{app}/players/{profile}/boards"}
"""Pages that show nothing but what Redis holds."""
OF_A_THING = ("}", "/delivery", "/source", "/edit", "/new")


async def test_every_page_opens_and_says_so_while_redis_is_away(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await game.player()
    board, group = game.unique("board"), game.unique("group")
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    await ada.call("leaderboard", "POST_SCORE_DYNAMIC", leaderboardId=board, score=7, **config)
    entity = await ada.call("entity", "CREATE", entityType="save", data={})
    parts = defaultdict(lambda: group, app=APP_ID, profile=ada.profile_id, board=board)
    parts |= {"operation": "time.READ", "entity": entity["entityId"], "channel": f"{APP_ID}:gl:none"}

    async def away(*_: object, **__: object) -> Any:
        raise SessionsUnavailable("no answer")

    async def silent(*_: object, **__: object) -> Any:
        await asyncio.sleep(60)

    def put(instead: Any) -> None:
        for store in (game.core.sessions, game.core.get(Ranks)):
            for name, found in vars(store.__class__).items():
                if inspect.iscoroutinefunction(found) and name not in ("close", "watch"):
                    monkeypatch.setattr(store.__class__, name, instead)

    put(away)
    for page in PAGES:
        if page.method != "GET" or not page.path.startswith(FIRST) or "metrics" in page.path:
            continue
        await desk.go("/console" + page.path.format_map(parts))
        if page.path in WITHOUT:
            assert (desk.status, "Redis is away" in desk.text) == (503, True), (page.path, desk.text)
        elif "{profile}" not in page.path and (page.path.endswith(OF_A_THING) or "{group}" in page.path):
            assert desk.status in (200, 422), (page.path, desk.text)  # of a thing that there is not
        else:
            assert desk.status == 200, (page.path, desk.text)
            if "{profile}" in page.path or page.path in (FIRST, f"{FIRST}/live"):
                assert "Redis is away" in desk.text, page.path
    put(silent)
    for name in ("", "/live", f"/players/{ada.profile_id}", f"/players/{ada.profile_id}/boards"):
        began = asyncio.get_running_loop().time()
        await desk.of_app(name)
        assert "Redis" in desk.text, desk.text
        assert asyncio.get_running_loop().time() - began < 2.5
    monkeypatch.undo()


async def test_what_the_step_of_the_tables_means_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.of_app("/live")
    assert "the tables are those of this server" in desk.text
    for version, said in (("0001", "are older"), ("999912312359", "an upgrade is under way")):
        monkeypatch.setattr(system, "schema_version", lambda _, version=version: version)
        await desk.of_app("/live")
        assert f"{version}: the tables" in desk.text
        assert said in desk.text


async def test_top_reason_codes_of_the_last_hour_are_on_the_first_page(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await ada.refused("time", "NEVER")
    await desk.of_app()
    assert "40333" in desk.text
    assert "reason_code=40333" in desk.page


async def test_what_staff_look_at_takes_turns_and_ends_when_it_takes_too_long(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = game.core.database
    real, payers = database.read, []

    def read(payer: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        payers.append(payer)
        return real(payer)

    monkeypatch.setattr(database, "read", read)
    await game.core.get(Refusals).flush()
    payers.clear()
    await desk.of_app("/activity/refusals")
    looked = [payer.player for payer in payers if payer is not None]
    assert {name[:6] for name in looked} == {"staff "}

    def slow(_: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        if _ is not None:
            raise QueryTooSlow("too long")
        return real(_)

    monkeypatch.setattr(database, "read", slow)
    await desk.of_app("/activity/refusals")
    assert (desk.status, "narrow it down" in desk.text) == (422, True)
    await desk.of_app()
    assert (desk.status, "did not answer in time" in desk.text) == (200, True)


def test_a_chart_is_told_as_a_sentence() -> None:
    rows = [{"p50_ms": 2.0, "p95_ms": None}, {"p50_ms": 1.0, "p95_ms": None}]
    assert live.told(live.CHARTS[1], rows) == "half of the packets below: 1 ms now, 2 ms at most"
    assert live.told(live.CHARTS[1], []) == "nothing was counted"
