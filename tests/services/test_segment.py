"""segment: who belongs to which segments, when that is worked out, and what counts."""

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from gameserver.apps import load_apps
from gameserver.domain.segments import SegmentSettings, membership, refreshing, storage
from gameserver.domain.segments.criteria import Criteria, Facts, Range, VersionRange, fits
from gameserver.jobs.declaring import JobRun
from tests.conftest import APP_ID, APP_TOML, Client, Game

APP = """
[playerStatistics.statistics.wins]
initial = 3
[[playerStatistics.levels]]
experience = 100
[virtualCurrency.currencies.coins]
[segment.segments.everybody]
id = 1
[segment.segments.winners]
id = 7
description = "Ten wins and more"
criteria = { statistics.wins = { minimum = 10 } }
[segment.segments."trial testers"]
id = 3
testers_only = true
criteria = { attributes.trial = ["a", "b"] }
[segment.segments.away]
id = 4
criteria = { away_days = { minimum = 14 } }
[segment.segments.phones]
id = 5
[segment.segments.phones.criteria]
platforms = ["ios"]
client_version = { minimum = "1.10" }
[segment.segments.rich]
id = 6
criteria = { currencies.coins = { minimum = 5 }, level = { minimum = 1 } }
"""


@pytest.fixture
def app_id() -> str:
    """Players of its own: other tests on the same database have theirs."""
    return "segments"


@pytest.fixture
def apps_folder(apps_folder: Path, app_id: str) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML.replace(APP_ID, app_id) + APP)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game without what other tests, which had other definitions, have left."""
    async with game.core.database.write() as tx:
        await tx.run(delete(storage.refreshes))
    return game


async def mine(game: Game, player: Client) -> set[int]:
    found = await game.server.call("segment", "GET_MY_SEGMENTS_LEGACY", player.profile_id)
    return {each["segmentId"] for each in found["segments"]}


async def refresh(game: Game, player: Client) -> None:
    assert await game.server.call("segment", "REFRESH_MY_SEGMENTS", player.profile_id) == {}


async def work(game: Game) -> None:
    """Refresh all, where that is due."""
    await game.run_jobs("segment.watch")
    await game.server_app.jobs.catch_up()


async def test_a_login_and_a_refresh_work_it_out(game: Game) -> None:
    me = {"external_id": game.unique("id")}
    player = await game.player(**me)
    me["profileId"] = player.profile_id
    assert await mine(game, player) == {1}
    await player.call("playerStatistics", "UPDATE", statistics={"wins": 7}, xp_points=100)
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=5)
    assert await mine(game, player) == {1}  # between two refreshes nothing moves
    await refresh(game, player)
    shown = await game.server.call("segment", "GET_MY_SEGMENTS_LEGACY", player.profile_id)
    assert shown == {
        "segments": [
            {"segmentId": 1, "name": "everybody"},
            {"segmentId": 6, "name": "rich"},
            {"segmentId": 7, "name": "winners"},
        ]
    }
    await player.call("playerState", "UPDATE_ATTRIBUTES", attributes={"trial": "b"})
    await game.server.call("playerState", "UPDATE_IS_TESTER", player.profile_id, isTester=True)
    await player.call("playerStatistics", "UPDATE", statistics={"wins": "SET#0"})
    await player.log_in(releasePlatform="IOS", gameVersion="1.10.2", **me)
    assert await mine(game, player) == {1, 3, 5, 6}
    await refresh(game, player)  # a refresh knows what the login has told
    assert await mine(game, player) == {1, 3, 5, 6}
    await player.log_in(releasePlatform="IOS", gameVersion="1.9", **me)
    assert await mine(game, player) == {1, 3, 6}
    await player.call("playerState", "GAME_DATA_RESET")
    assert await mine(game, player) == {1}


async def test_who_may_ask(game: Game) -> None:
    player = await game.player()
    for operation in ("GET_MY_SEGMENTS_LEGACY", "REFRESH_MY_SEGMENTS", "SYS_GET_SEGMENT_LIST"):
        assert (await player.refused("segment", operation)).status == 403
    for operation in ("GET_MY_SEGMENTS_LEGACY", "REFRESH_MY_SEGMENTS"):
        assert (await game.server.refused("segment", operation)).reason_code == 40304


async def test_the_list_tells_of_changes(game: Game) -> None:
    first = (await game.server.call("segment", "SYS_GET_SEGMENT_LIST"))["segments"]
    assert [each["segmentId"] for each in first] == [1, 3, 4, 5, 6, 7]
    now = game.clock.ms()
    winners = first[-1]
    assert winners["name"], winners["description"] == ("winners", "Ten wins and more")
    assert (winners["testersOnly"], first[1]["testersOnly"]) == (False, True)
    game.clock.advance(60)
    change(game, "minimum = 10", "minimum = 11")
    again = (await game.server.call("segment", "SYS_GET_SEGMENT_LIST"))["segments"]
    assert again[:-1] == first[:-1]
    assert again[-1] == {**winners, "updatedAt": game.clock.ms(), "version": winners["version"] + 1}
    assert winners["createdAt"] <= now
    change(game, "minimum = 11", "minimum = 10")


def change(game: Game, old: str, new: str) -> None:
    """Change the app's definition, as a file does that is written."""
    folder = game.app.path.parent
    file = game.app.path / "app.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    game.apps.replace(load_apps(folder, game.server_app.registry.sections()))
    assert not game.apps.problems, game.apps.problems


async def test_a_changed_definition_counts_nobody_of_before(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await ada.call("playerStatistics", "UPDATE", statistics={"wins": 20})
    await bob.call("playerStatistics", "UPDATE", statistics={"wins": 7})
    await work(game)
    assert 7 in await mine(game, ada)
    async with game.core.database.read() as tx:
        since = (await membership.of_player(tx, game.app, ada.profile_id))[7]
    change(game, "minimum = 10", "minimum = 11")
    assert await mine(game, ada) == {1}  # not known yet
    async with game.core.database.read() as tx:
        assert not await refreshing.is_whole(tx, game.app)
    game.clock.advance(60)
    await work(game)  # who does not log in gets there, too
    async with game.core.database.read() as tx:
        assert await refreshing.is_whole(tx, game.app)
        assert (await membership.of_player(tx, game.app, ada.profile_id))[7] == since
        assert 7 not in await membership.of_player(tx, game.app, bob.profile_id)
    change(game, "minimum = 11", "minimum = 10")


async def test_time_moves_players_who_do_not_come_back(game: Game) -> None:
    player = await game.player()
    await work(game)
    assert await mine(game, player) == {1}
    game.clock.advance(14 * 86400)
    await work(game)
    assert await mine(game, player) == {1, 4}


async def test_a_refresh_that_is_cut_off_goes_on(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "STEP", 2)
    players = [await game.player() for _ in range(5)]
    async with game.core.database.write() as tx:
        await tx.run(delete(storage.memberships))
    whole = membership.refresh
    steps: list[Any] = []

    async def dies(database: Any, app: Any, ids: Any, now_ms: int) -> int:
        steps.append(ids)
        if len(steps) == 2:
            raise asyncio.CancelledError
        return await whole(database, app, ids, now_ms)

    async def done(run: JobRun, tx: Any) -> None:
        run.is_finished = True

    monkeypatch.setattr(membership, "refresh", dies)
    monkeypatch.setattr(JobRun, "done", done)
    async with game.core.database.write() as tx:
        assert await refreshing.begin(tx, game.app, game.clock.ms())
        assert not await refreshing.begin(tx, game.app, game.clock.ms())
    with pytest.raises(asyncio.CancelledError):
        await refreshing.REFRESH.work(run_of(game))
    assert len(steps) == 2
    await refreshing.REFRESH.work(run_of(game))
    assert steps[1] == steps[2]  # and not from the beginning
    for player in players:
        assert 1 in await mine(game, player)
    async with game.core.database.read() as tx:
        row = await tx.one(storage.REFRESH, app=game.app_id)
    assert row is not None
    assert row["ended_ms"]
    assert row["players"] == row["changed"] >= 5


def run_of(game: Game) -> Any:
    """A run of the job that nobody else has."""
    row: Any = {"key": game.app_id, "payload": f'{{"app":"{game.app_id}"}}', "memo": ""}
    return game.server_app.jobs._run_of(refreshing.REFRESH, row, "")


async def test_a_login_of_an_app_without_segments_pays_nothing(game: Game) -> None:
    me = {"external_id": game.unique("id"), "anonymousId": ""}
    player = await game.player(**me)
    me["profileId"] = player.profile_id
    await player.log_in(**me)
    seen = game.statements()
    await player.log_in(**me)
    with_segments = len(seen)
    game.app.section(SegmentSettings).segments.clear()
    seen.clear()
    await player.log_in(**me)
    assert len(seen) < with_segments
    assert with_segments - len(seen) == 1  # one statement that reads, where nothing has changed


# Criteria


WINS, COINS = {"wins": Range(minimum=10, maximum=20)}, {"coins": Range(maximum=5)}


@pytest.mark.parametrize(
    ("criteria", "facts", "fit"),
    [
        (Criteria(), Facts(), True),
        (Criteria(statistics=WINS), Facts(statistics={"wins": 10}), True),
        (Criteria(statistics=WINS), Facts(statistics={"wins": 20.5}), False),
        (Criteria(statistics=WINS), Facts(), False),
        (Criteria(currencies=COINS), Facts(), True),
        (Criteria(currencies=COINS), Facts(balances={"coins": 6}), False),
        (Criteria(attributes={"clan": []}), Facts(attributes={"clan": ""}), True),
        (Criteria(attributes={"clan": []}), Facts(), False),
        (Criteria(attributes={"clan": ["a"]}), Facts(attributes={"clan": "A"}), False),
        (Criteria(level=Range(minimum=2)), Facts(level=2), True),
        (Criteria(experience=Range(maximum=9)), Facts(experience=10), False),
        (Criteria(account_days=Range(maximum=10)), Facts(account_days=10.1), False),
        (Criteria(away_days=Range(minimum=1)), Facts(away_days=0.9), False),
        (Criteria(logins=Range(minimum=5)), Facts(logins=5), True),
        (Criteria(ab_test=Range(minimum=31, maximum=60)), Facts(ab_test=30), False),
        (Criteria(countries=["ca"]), Facts(country="CA"), True),
        (Criteria(countries=["US"]), Facts(country="CA"), False),
        (Criteria(languages=["fr"]), Facts(language="fr_CA"), True),
        (Criteria(languages=["fr"]), Facts(language="fro"), False),
        (Criteria(platforms=["WEB", "IOS"]), Facts(platform="IOS"), True),
        (Criteria(platforms=["WEB"]), Facts(), False),
        (Criteria(client_version=VersionRange(minimum="1.4")), Facts(version="1.10"), True),
        (Criteria(client_version=VersionRange(below="2")), Facts(version="2.0"), False),
        (Criteria(client_version=VersionRange(below="2")), Facts(version=""), False),
        (Criteria(tester=False), Facts(is_tester=True), False),
        (Criteria(not_=Criteria(tester=True)), Facts(), True),
        (Criteria(any=[Criteria(tester=True), Criteria(countries=["CA"])]), Facts(country="CA"), True),
        (Criteria(any=[Criteria(tester=True), Criteria(countries=["CA"])]), Facts(), False),
        (Criteria(all=[Criteria(tester=False), Criteria(countries=["CA"])]), Facts(), False),
    ],
)
def test_what_fits(criteria: Criteria, facts: Facts, fit: bool) -> None:
    assert fits(criteria, facts) is fit


DEEP = "{ not = " * 7 + "{}" + " }" * 7


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[a]\nid = 1\ncriteria = { statistics.winz = { minimum = 1 } }", 3, 'no statistic "winz"'),
        ("[a]\nid = 1\n[a.criteria]\nany = [{ currencies.coin = { minimum = 1 } }]", 4, "did you mean"),
        ("[a]\nid = 1\n[b]\nid = 1", 4, 'number of "a" already'),
        ("[a]\ndescription = 'x'", 1, "missing"),
        ("[a]\nid = 0", 2, "from 1"),
        ("[a]\nid = 1\ncriteria = { level = {} }", 3, "a minimum, a maximum, or both"),
        ("[a]\nid = 1\ncriteria = { level = { minimum = 3, maximum = 2 } }", 3, "above the maximum"),
        ("[a]\nid = 1\ncriteria = { client_version = { minimum = '2', below = '2.0' } }", 3, "not below"),
        ("[a]\nid = 1\ncriteria = { levle = { minimum = 3 } }", 3, "level"),
        (f"[a]\nid = 1\ncriteria = {DEEP}", 3, "deep"),
    ],
)
def test_mistakes_are_found_at_loading(
    apps_folder: Path, game: Game, text: str, line: int, says: str
) -> None:
    app = APP_TOML + APP[: APP.index("[segment.segments.everybody]")]
    written = (
        textwrap.dedent(text).replace("[", "[segment.segments.", 1).replace("\n[", "\n[segment.segments.")
    )
    (apps_folder / "test" / "app.toml").write_text(app + written)
    loaded = load_apps(apps_folder, game.server_app.registry.sections())
    found = [(problem.line, problem.message) for problem in loaded.problems]
    assert [where for where, what in found if says in what] == [app.count("\n") + line], found


async def test_a_deleted_player_belongs_nowhere(game: Game) -> None:
    player = await game.player()
    profile = player.profile_id
    await player.call("playerState", "FULL_PLAYER_RESET")
    assert await membership.refresh(game.core.database, game.app, [profile], game.clock.ms()) == 0
    async with game.core.database.read() as tx:
        rows = await tx.all(select(storage.memberships).where(storage.memberships.c.profile_id == profile))
    assert not rows
