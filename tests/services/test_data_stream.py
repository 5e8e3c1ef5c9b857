"""What clients report of events and crashes, and how operators read it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.app import open_server
from gameserver.services import data_stream
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.cli.running import command, json_of
from tests.conftest import APP_ID, APP_TOML, Client, Game

STREAM = "dataStream"
EVENTS = {"page": "CUSTOM_PAGE_EVENT", "screen": "CUSTOM_SCREEN_EVENT", "track": "CUSTOM_TRACK_EVENT"}
CRASH = {
    "crashType": "arithmetic",
    "errorMsg": "Divide by zero error",
    "crashJson": {"dialog": 5},
    "crashLog": "funcX(a,b,c)\ncalled by funcY(a,b,c)",
    "userName": "Ada",
    "userEmail": "ada@example.com",
    "userNotes": "It went dark.",
    "userSubmitted": True,
}
HOUR, DAY = 3600, 86_400
LIMITS = "[dataStream]\nevents_per_day = 3\ncrashes_per_day = 2\nevent_bytes = 100\ncrash_bytes = 2000\n"
LONG = "[session]\nlife_seconds = 2592000\n"
ALL = (*EVENTS.values(), "SEND_CRASH_REPORT")


@pytest.fixture
def limited(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + LONG + LIMITS)


async def reports(game: Game, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
    """The newest reports of the app."""
    listed: list[dict[str, Any]] = await actions.datastream_list(game.server_app, APP_ID, limit, **filters)
    return listed


async def of_player(game: Game, player: Client, **filters: Any) -> list[dict[str, Any]]:
    """A player's reports, the oldest first."""
    return (await reports(game, equal={"profile_id": player.profile_id}, **filters))[::-1]


async def send(player: Client, operation: str, name: str = "some") -> Any:
    data = {"crashType": name} if operation == "SEND_CRASH_REPORT" else {"eventName": name}
    return await player.call(STREAM, operation, **data)


async def refusal_of(player: Client, operation: str, **data: Any) -> tuple[int, str]:
    refusal = await player.refused(STREAM, operation, **data)
    return refusal.reason_code, refusal.message


# Reporting


@pytest.mark.parametrize("kind", EVENTS)
async def test_an_event_is_kept_with_what_the_game_has_told_of_itself(game: Game, kind: str) -> None:
    player = await game.player(releasePlatform="IOS", gameVersion="1.2.3")
    properties = {"$price": 9.5, "a.b": ["ä", None, {"x": True}]}
    assert await player.call(STREAM, EVENTS[kind], eventName="Shop", eventProperties=properties) is None
    [report] = await of_player(game, player)
    assert report == {
        "id": report["id"],
        "app_id": APP_ID,
        "profile_id": player.profile_id,
        "at_ms": game.clock.ms(),
        "kind": kind,
        "name": "Shop",
        "platform": "IOS",
        "game_version": "1.2.3",
        "data": properties,
    }


async def test_a_crash_is_kept_whole(game: Game) -> None:
    player = await game.player(releasePlatform="ANG", gameVersion="2.0")
    assert await player.call(STREAM, "SEND_CRASH_REPORT", **CRASH) is None
    [report] = await of_player(game, player)
    assert (report["kind"], report["name"], report["platform"]) == ("crash", "arithmetic", "ANG")
    assert {"crashType": report["name"], **report["data"]} == CRASH


async def test_what_is_left_out_is_empty(game: Game) -> None:
    player = await game.player()
    await player.call(STREAM, "CUSTOM_PAGE_EVENT", eventName="bare", eventProperties=None)
    game.clock.advance(1)
    await player.call(STREAM, "SEND_CRASH_REPORT", crashType="bare", crashLog=None)
    event, crash = await of_player(game, player)
    assert (event["data"], event["platform"], event["game_version"]) == ({}, "", "")
    assert crash["data"] == {
        **dict.fromkeys(("errorMsg", "crashLog", "userName", "userEmail", "userNotes"), ""),
        "crashJson": {},
        "userSubmitted": False,
    }


async def test_events_of_a_packet_stay_in_order(game: Game) -> None:
    player = await game.player()
    operations = list(EVENTS.values())
    names = [str(number) for number in range(20)]
    await player.packet(*((STREAM, operations[int(name) % 3], {"eventName": name}) for name in names))
    assert [report["name"] for report in await of_player(game, player)] == names


async def test_a_server_reports_for_a_player(game: Game) -> None:
    player = await game.player(releasePlatform="IOS")
    await game.server.call(STREAM, "CUSTOM_TRACK_EVENT", player.profile_id, eventName="paid")
    [report] = await of_player(game, player)
    assert (report["name"], report["platform"]) == ("paid", "")


async def test_a_repeated_packet_reports_once(game: Game) -> None:
    player = await game.player()
    await player.call(STREAM, "CUSTOM_TRACK_EVENT", eventName="once")
    await player.send(player.last_body)
    assert len(await of_player(game, player)) == 1


# Refusing


@pytest.mark.parametrize("operation", EVENTS.values())
@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ({}, 40358, "data.eventName: required"),
        ({"eventName": None}, 40358, "data.eventName: expected text, got null"),
        ({"eventName": 5}, 40359, "data.eventName: expected text, got whole number"),
        ({"eventName": ""}, 40660, "data.eventName: expected text of length >= 1"),
        ({"eventName": "x" * 257}, 40660, "data.eventName: expected text of length <= 256"),
        ({"eventName": "x", "eventProperties": [1]}, 40359, "data.eventProperties: expected object or null"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused(
    game: Game, operation: str, data: dict[str, Any], code: int, message: str
) -> None:
    player = await game.player()
    found = await refusal_of(player, operation, **data)
    assert found[0] == code
    assert found[1].startswith(message)
    assert await of_player(game, player) == []


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"crashType": None}, 40358, "data.crashType"),
        ({"crashType": "x" * 257}, 40660, "data.crashType"),
        ({"errorMsg": "x" * 2001}, 40660, "data.errorMsg"),
        ({"crashJson": "{}"}, 40359, "data.crashJson"),
        ({"crashLog": "x" * 200_001}, 40660, "data.crashLog"),
        ({"userName": "x" * 257}, 40660, "data.userName"),
        ({"userEmail": "x" * 257}, 40660, "data.userEmail"),
        ({"userNotes": "x" * 4001}, 40660, "data.userNotes"),
        ({"userSubmitted": "yes"}, 40359, "data.userSubmitted"),
    ],
)
async def test_a_crash_report_that_makes_no_sense_is_refused(
    game: Game, change: dict[str, Any], code: int, where: str
) -> None:
    player = await game.player()
    found = await refusal_of(player, "SEND_CRASH_REPORT", **{**CRASH, **change})
    assert (found[0], found[1].partition(": ")[0]) == (code, where)
    assert await of_player(game, player) == []


@pytest.mark.usefixtures("limited")
async def test_a_report_has_the_bytes_that_the_app_allows(game: Game) -> None:
    player = await game.player()
    for operation in EVENTS.values():
        await player.call(STREAM, operation, eventName="most", eventProperties={"x": "y" * 92})
        told = await refusal_of(player, operation, eventName="more", eventProperties={"x": "y" * 93})
        assert told == (40600, "data.eventProperties: at most 100 bytes of JSON, got 101")
    code, message = await refusal_of(player, "SEND_CRASH_REPORT", **{**CRASH, "crashLog": "x" * 2000})
    assert code == 40600
    assert message.startswith("data: at most 2000 bytes of JSON, got 2")
    await player.call(STREAM, "SEND_CRASH_REPORT", **CRASH)
    kept = sorted(report["name"] for report in await of_player(game, player))
    assert kept == ["arithmetic", "most", "most", "most"]


@pytest.mark.usefixtures("limited")
async def test_a_player_reports_no_more_in_a_day_than_the_app_allows(game: Game) -> None:
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY + HOUR)
    player, other = await game.player(), await game.player()
    for operation in EVENTS.values():
        await send(player, operation)
    for operation in EVENTS.values():
        told = await refusal_of(player, operation, eventName="more")
        assert told == (49101, "at most 3 events a day (UTC); the next one tomorrow")
    for _ in range(2):  # crashes are counted by themselves
        await send(player, "SEND_CRASH_REPORT")
    told = await refusal_of(player, "SEND_CRASH_REPORT", crashType="more")
    assert told == (49101, "at most 2 crash reports a day (UTC); the next one tomorrow")
    await send(other, "CUSTOM_PAGE_EVENT")
    await player.call("playerState", "GAME_DATA_RESET")
    game.clock.advance(23 * HOUR - 0.001)
    assert (await refusal_of(player, "CUSTOM_PAGE_EVENT", eventName="more"))[0] == 49101
    game.clock.advance(0.001)
    for operation in ALL:
        await send(player, operation)
    assert len(await of_player(game, player)) == 9


@pytest.mark.usefixtures("limited")
async def test_packets_at_once_do_not_get_past_the_limit(game: Game) -> None:
    player = await game.player()
    calls = [
        game.server.call(STREAM, "CUSTOM_TRACK_EVENT", player.profile_id, eventName=str(number))
        for number in range(20)
    ]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(end is None for end in ends) == 3
    assert len(await of_player(game, player)) == 3


@pytest.mark.usefixtures("limited")
async def test_a_clock_that_is_behind_begins_no_day_again(game: Game) -> None:
    player = await game.player()
    game.clock.advance(DAY)
    for _ in range(3):
        await send(player, "CUSTOM_PAGE_EVENT")
    async with open_server(game.server_app.settings, clock=FixedClock(), with_jobs=False) as server:
        behind = Game(server, FixedClock())
        told = await behind.server.refused(STREAM, EVENTS["page"], player.profile_id, eventName="more")
        assert told.reason_code == 49101
        await behind.http.aclose()


async def test_nobody_reports_without_a_session(game: Game) -> None:
    for operation in ALL:
        assert (await refusal_of(game.client(), operation, eventName="x", crashType="x"))[0] == 40304


# Keeping


async def test_reports_are_forgotten_in_time_and_in_steps(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.jobs.expiring.AT_ONCE", 2)
    name = game.unique("id")
    player = await game.player(external_id=name)
    for operation in (*ALL, ALL[0]):
        await send(player, operation)
    game.clock.advance(30 * DAY)
    await send(await again(game, name, player), ALL[0], "new")
    await game.run_jobs("dataStream.forget")
    assert len(await of_player(game, player)) == 6
    game.clock.advance(0.001)
    await game.run_jobs("dataStream.forget")
    assert [report["name"] for report in await of_player(game, player)] == ["new"]


async def test_forgetting_lets_others_have_their_turn(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    game.clock.advance(365 * DAY)
    await game.run_jobs("dataStream.forget")  # other tests of the run share the database
    player = await game.player()
    for operation in ALL:
        await send(player, operation)
    game.clock.advance(31 * DAY)
    monkeypatch.setattr("gameserver.jobs.expiring.AT_ONCE", 3)
    monkeypatch.setattr("gameserver.jobs.declaring.STEPS_SHARE", 0)  # one step is all its time
    await game.run_jobs("dataStream.forget")
    assert len(await of_player(game, player)) == 1


async def again(game: Game, name: str, player: Client) -> Client:
    """The same player, after their session has lapsed."""
    client = game.client()
    await client.log_in(external_id=name, profileId=player.profile_id)
    return client


async def test_an_app_may_keep_nothing(game: Game, apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(
        f"{APP_TOML}[dataStream]\nkeep_days = 0\ncrashes_per_day = 1\n"
    )
    async with open_server(game.server_app.settings, clock=game.clock, with_jobs=False) as server:
        quiet = Game(server, game.clock)
        player = await quiet.player()
        for operation in (*ALL, *ALL):
            await send(player, operation)
        assert await of_player(quiet, player) == []
        async with quiet.core.database.read() as tx:
            counts = select(func.count()).where(
                data_stream.data_stream_counts.c.profile_id == player.profile_id
            )
            assert [row[0] for row in await tx.all(counts)] == [0]
        await quiet.http.aclose()


async def test_reports_follow_their_player(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await source.call(STREAM, "SEND_CRASH_REPORT", **CRASH)
    game.clock.advance(1)
    await send(target, "CUSTOM_PAGE_EVENT")
    await target.call("playerState", "GAME_DATA_RESET")  # they are no game data
    await actions.player_merge(game.server_app, APP_ID, source.profile_id, target.profile_id)
    assert [report["kind"] for report in await of_player(game, target)] == ["crash", "page"]
    told = (await actions.player_export(game.server_app, APP_ID, target.profile_id))["services"][STREAM]
    assert [one["kind"] for one in told["dataStreamReports"]] == ["crash", "page"]
    assert told["dataStreamReports"][0]["data"]["userEmail"] == "ada@example.com"
    assert [(one["sort"], one["reports"]) for one in told["dataStreamCounts"]] == [("event", 1)]
    await actions.player_delete(game.server_app, APP_ID, target.profile_id)
    assert await of_player(game, target) == []


# Reading


async def test_reports_come_in_pages_and_by_filter(game: Game) -> None:
    game.clock.advance(12 * DAY)  # other tests of the run share the database
    begin = game.clock.ms()
    span = {"since_ms": begin, "until_ms": begin + 100_000}
    old = await game.player(releasePlatform="IOS", gameVersion="1.0")
    new = await game.player(releasePlatform="WEB", gameVersion="2.0")
    await send(old, "CUSTOM_PAGE_EVENT", "Shop")
    await send(old, "CUSTOM_TRACK_EVENT", "Sold")
    game.clock.advance(60)
    await send(new, "CUSTOM_PAGE_EVENT", "Shop")
    await send(new, "SEND_CRASH_REPORT", "Shop")
    every = await reports(game, **span)
    assert {report["kind"] for report in every[:2]} == {"page", "crash"}
    assert [report["kind"] for report in every[2:]] == ["track", "page"]
    first = await reports(game, 3, **span)
    assert first + await reports(game, 3, **span, after=first[-1]["id"]) == every
    assert await reports(game, **{**span, "since_ms": begin + 60_000}) == every[:2]
    assert await reports(game, **{**span, "until_ms": begin + 60_000}) == every[2:]
    for equal, many in (
        ({"kind": "page"}, 2),
        ({"name": "Shop"}, 3),
        ({"name": "Shop", "kind": "crash"}, 1),
        ({"platform": "WEB"}, 2),
        ({"game_version": "1.0", "kind": "crash"}, 0),
        ({"profile_id": old.profile_id}, 2),
    ):
        found = await reports(game, **span, equal=equal)
        assert found == [one for one in every if equal.items() <= one.items()]
        assert len(found) == many


@pytest.mark.parametrize(
    ("app", "limit", "equal"),
    [("nope", 1, {}), (APP_ID, 0, {}), (APP_ID, 501, {}), (APP_ID, 1, {"data": "x"})],
)
async def test_questions_without_sense_are_refused(
    game: Game, app: str, limit: int, equal: dict[str, str]
) -> None:
    with pytest.raises(Refused):
        await actions.datastream_list(game.server_app, app, limit, equal=equal)


def test_the_command_lists_reports(tmp_path: Path) -> None:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML)

    async def play() -> str:
        settings = Settings(apps=tmp_path / "apps", data=tmp_path / "data")
        async with open_server(settings, clock=FixedClock(), with_jobs=False) as server:
            game = Game(server, FixedClock())
            player = await game.player(releasePlatform="IOS", gameVersion="1.0")
            await player.call(STREAM, "CUSTOM_PAGE_EVENT", eventName="Shop", eventProperties={"x": "y" * 200})
            await player.call(
                STREAM, "SEND_CRASH_REPORT", **{**CRASH, "errorMsg": "red\x1b[31m\nalert", "crashType": "cpu"}
            )
            await game.http.aclose()
            return player.profile_id

    profile = asyncio.run(play())
    listed = json_of(command(tmp_path, "datastream", "list", APP_ID, "--json"))
    assert {one["kind"]: one["name"] for one in listed} == {"crash": "cpu", "page": "Shop"}
    crash = next(one for one in listed if one["kind"] == "crash")
    assert crash["data"]["crashLog"] == CRASH["crashLog"]
    wanted = ("--kind", "crash", "--name", "cpu", "--profile", profile)
    game_ = ("--platform", "IOS", "--game-version", "1.0", "--since", "2023-11-14", "--until", "2023-11-15")
    assert json_of(command(tmp_path, "datastream", "list", APP_ID, *wanted, *game_, "--json")) == [crash]
    lines = command(tmp_path, "datastream", "list", APP_ID, *wanted).stdout.splitlines()
    assert len(lines) == 2
    assert "red\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}alert" in lines[1]
    shown = command(tmp_path, "datastream", "list", APP_ID, "--kind", "page").stdout
    assert '{"x":"' + "y" * 93 + "…" in shown
    page = command(tmp_path, "datastream", "list", APP_ID, "--limit", "1")
    assert f"--after {listed[0]['id']}" in page.stderr
    rest = command(tmp_path, "datastream", "list", APP_ID, "--after", listed[0]["id"], "--json")
    assert json_of(rest) == listed[1:]
    none = command(tmp_path, "datastream", "list", APP_ID, "--name", "other")
    assert (none.stdout, none.stderr) == ("", "no reports\n")
    assert command(tmp_path, "datastream", "list", APP_ID, "--kind", "party").returncode == 2
    assert command(tmp_path, "datastream", "list", "nope").returncode == 1
