"""Notifications to the players of segments, at once and when it is a time of the day where they are."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from gameserver.domain.push import sending
from gameserver.domain.push.content import MissingBody
from gameserver.domain.push.storage import pushes
from gameserver.domain.segments import storage
from gameserver.domain.segments.membership import UnknownSegment
from gameserver.services.push_notification.base import PushNotConfigured, UnknownTemplate
from gameserver.services.push_notification.segments import local_due_ms
from gameserver.wire.errors import PacketTooLarge
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.push_providers import Providers, providers
from tests.services.test_push_refusals import LARGE, SMALL
from tests.services.test_push_sending import device, states, work
from tests.services.test_script import write_script

PUSH = "pushNotification"
HOUR_MS = 3_600_000
APP = """
[playerStatistics.statistics.wins]
[segment.segments.everybody]
id = 1
[segment.segments.winners]
id = 2
description = "They win"
criteria = { statistics.wins = { minimum = 10 } }
[segment.segments.french]
id = 3
testers_only = false
criteria = { languages = ["fr"] }
[segment.segments.nobody]
id = 4
testers_only = true
[pushNotification.templates.1]
texts = { en = "{0} sent you a gift", fr = "{0} t'a envoyé un cadeau" }
[pushNotification.templates.2]
texts = { en = "{0} " }
"""
SCRIPT = """
    var proxy = bridge.getPushNotificationServiceProxy(), raw = {aps: {alert: "x"}};
    var toAll = proxy.scheduleRawPushNotifications(null, raw, null, "8:30", false, null);
    var toSome = proxy.scheduleRawPushNotifications(null, raw, null, [2], "8:30", false, null);
    var wrong = proxy.sendNormalizedToSegments({body: "x"}, null, [9]);
    [toAll.data.notificationJobs, toSome.data.notificationJobs, wrong.reason_code];
"""
AT_ONCE = {
    "SEND_NORMALIZED_TO_SEGMENTS": "ALERT",
    "SEND_RAW_TO_SEGMENTS": "READY",
    "SEND_RICH_TO_SEGMENTS": "TEMPLATE",
}
LATER = {
    "SCHEDULE_NORMALIZED_NOTIFICATIONS": "ALERT",
    "SCHEDULE_RAW_NOTIFICATIONS": "READY",
    "SCHEDULE_RICH_NOTIFICATIONS": "TEMPLATE",
}


@pytest.fixture
def app_id() -> str:
    """Players of its own: others would be told as well."""
    return "push-segments"


@pytest.fixture
async def push() -> AsyncIterator[Providers]:
    async with providers() as made:
        yield made


@pytest.fixture
def apps_folder(apps_folder: Path, app_id: str, push: Providers, request: pytest.FixtureRequest) -> Path:
    (apps_folder / "test" / "push.pem").write_text(push.authority)
    told = getattr(request, "param", None) or push.settings()
    (apps_folder / "test" / "app.toml").write_text(APP_TOML.replace(APP_ID, app_id) + APP + told)
    write_script(apps_folder / "test", "later", SCRIPT)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game whose segments are known, and without what other tests have left."""
    async with game.core.database.write() as tx:
        for table in (pushes, storage.refreshes):
            await tx.run(delete(table).where(table.c.app_id == game.app_id))
    await refresh(game)
    return game


async def refresh(game: Game) -> None:
    await game.run_jobs("segment.watch")
    await work(game)


async def people(game: Game, push: Providers) -> tuple[list[Client], list[str]]:
    """A winner, a French winner, and somebody else, each with a telephone."""
    found = [await game.player(**said) for said in ({}, {"languageCode": "fr-CA"}, {})]
    phones = [await device(game, each) for each in found]
    for each in found[:2]:
        await each.call("playerStatistics", "UPDATE", statistics={"wins": 10})
        await game.server.call("segment", "REFRESH_MY_SEGMENTS", each.profile_id)
    return found, phones


def got(push: Providers, phones: list[str]) -> list[int]:
    return [len(push.apns.of(phone)) for phone in phones]


async def test_players_of_segments_get_it_once(
    game: Game, push: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PART_MAX", 1)  # each player is a step
    found, phones = await people(game, push)
    listed = (await game.server.call(PUSH, "GET_ALL_SEGMENTS"))["segments"]
    assert listed[1] == {
        "segmentId": 2, "name": "winners", "testersOnly": False, "description": "They win"
    }  # fmt: skip
    assert [each["segmentId"] for each in listed] == [1, 2, 3, 4]
    answer = await game.server.call(
        PUSH, "SEND_NORMALIZED_TO_SEGMENTS", segmentIdList=[3, 2, 2], **SMALL["ALERT"]
    )
    assert answer["estimatedTargets"] >= 2
    await work(game)
    assert got(push, phones) == [1, 1, 0]
    assert await states(game, found[0]) == [("IOS", "sent", "")]
    await game.server.call(PUSH, "SEND_RICH_TO_SEGMENTS", segmentIdList=[3], **SMALL["TEMPLATE"])
    await game.server.call(PUSH, "SEND_RAW_TO_SEGMENTS", segmentIdList=[2], **SMALL["READY"])
    simple = await game.server.call(PUSH, "SEND_SIMPLE", segmentIdList=[4], message="x")
    assert simple == {"estimatedTargets": 0}
    await work(game)
    assert got(push, phones) == [2, 3, 0]
    told = [each.content["aps"]["alert"] for each in push.apns.of(phones[1])]
    assert {"body": "Ada t'a envoyé un cadeau"} in told
    for operation, kind in AT_ONCE.items():  # without segments: all
        assert (await game.server.call(PUSH, operation, **SMALL[kind]))["estimatedTargets"] >= 3
    await work(game)
    assert got(push, phones) == [5, 6, 3]


async def test_who_belongs_is_known_before_anybody_gets_it(game: Game, push: Providers) -> None:
    """While all are looked at because a segment has changed, a notification waits for the last of them."""
    _, phones = await people(game, push)
    async with game.core.database.write() as tx:
        await tx.run(delete(storage.refreshes).where(storage.refreshes.c.app_id == game.app_id))
    await game.server.call(PUSH, "SEND_RAW_TO_SEGMENTS", segmentIdList=[2], **SMALL["READY"])
    await work(game)
    assert got(push, phones) == [0, 0, 0]
    await refresh(game)
    game.clock.advance(6)
    await work(game)
    assert got(push, phones) == [1, 1, 0]


async def test_it_comes_at_a_time_of_the_day_where_players_are(game: Game, push: Providers) -> None:
    midnight = 86400 - game.clock.ms() // 1000 % 86400
    game.clock.advance(midnight + 86400 * 2)  # 0:00 UTC
    here = await game.player(timeZoneOffset=0)
    east = await game.player(timeZoneOffset=5.45)  # as nobody is: next to 5.5
    west = await game.player(timeZoneOffset=-10)
    phones = [await device(game, each) for each in (here, east, west)]
    to: dict[str, Any] = {"localTime": "8:30", "minimizeJobs": True, **SMALL["READY"]}
    answer = await game.server.call(PUSH, "SCHEDULE_RAW_NOTIFICATIONS", segmentIdList=[1], **to)
    assert answer["notificationJobs"] >= 3
    async with game.core.database.read() as tx:
        rows = await tx.all(select(pushes.c.due_ms).where(pushes.c.app_id == game.app_id))
    assert answer["notificationJobs"] == len(rows)
    everywhere = await game.server.call(
        PUSH, "SCHEDULE_RICH_NOTIFICATIONS", localTime="23:59", **SMALL["TEMPLATE"]
    )
    assert everywhere == {"notificationJobs": len(sending.ZONES)}
    for hours, seen in ((3.1, [0, 1, 0]), (8.6, [1, 1, 0]), (18.6, [1, 1, 1])):
        game.clock.advance(hours * 3600 - game.clock.ms() / 1000 % 86400)
        await work(game)
        plain = [sum("gift" not in str(each.content) for each in push.apns.of(phone)) for phone in phones]
        assert plain == seen, hours
    answer = await game.server.call(
        PUSH, "SCHEDULE_NORMALIZED_NOTIFICATIONS", startDateUTC=game.clock.ms() + 1000, **SMALL["ALERT"]
    )
    assert answer == {"notificationJobs": 1}
    before = got(push, phones)
    game.clock.advance(2)
    await work(game)
    assert got(push, phones) == [count + 1 for count in before]
    all_of_them = await game.server.call(PUSH, "SCHEDULE_RAW_NOTIFICATIONS", **to)
    assert all_of_them["notificationJobs"] >= 3


async def test_scripts_say_it_in_order(game: Game) -> None:
    player = await game.player(timeZoneOffset=0)
    answer = await player.call("script", "RUN", scriptName="later", scriptData={})
    assert answer["response"] == [len(sending.ZONES), len(sending.ZONES), 40793]
    async with game.core.database.read() as tx:
        rows = await tx.all(select(pushes.c.state).where(pushes.c.app_id == game.app_id))
    assert sorted({row[0] for row in rows}) == ["all", "segments"]


@pytest.mark.parametrize(
    ("base", "minutes", "zone", "due"),
    [
        ("2030-01-31 12:00", 900, 0, "2030-01-31 15:00"),
        ("2030-01-31 15:00", 900, 0, "2030-01-31 15:00"),
        ("2030-01-31 15:01", 900, 0, "2030-02-01 15:00"),
        ("2030-01-31 12:00", 900, -8, "2030-01-31 23:00"),
        ("2030-01-31 12:00", 900, 9, "2030-02-01 06:00"),
        ("2030-01-31 23:00", 60, 5.75, "2030-02-01 19:15"),
    ],
)
def test_local_times(base: str, minutes: int, zone: float, due: str) -> None:
    def ms(text: str) -> int:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    assert local_due_ms(ms(base), minutes, zone) == ms(due)


def test_every_player_is_in_one_zone() -> None:
    zones = {sending.zone_of(quarter / 4) for quarter in range(-96, 97)}
    assert zones <= set(sending.ZONES)
    assert [sending.zone_of(zone) for zone in sending.ZONES] == list(sending.ZONES)
    assert sending.zone_of(None) == 0.0


async def check(game: Game, code: int, contents: Any, operations: dict[str, str], **to: Any) -> None:
    for operation, kind in operations.items():
        if kind in contents:
            refusal = await game.server.refused(PUSH, operation, **to, **contents[kind])
            assert refusal.reason_code == code, operation


@pytest.mark.parametrize("apps_folder", ["[pushNotification]\nrefuse_unconfigured = true\n"], indirect=True)
async def test_what_needs_a_provider(game: Game, push: Providers) -> None:
    await check(game, PushNotConfigured.reason_code, SMALL, AT_ONCE)
    await check(game, PushNotConfigured.reason_code, SMALL, LATER, localTime="1:00")


async def test_what_is_refused(game: Game) -> None:
    player = await game.player()
    for operations, to in ((AT_ONCE, {}), (LATER, {"localTime": "23:59"})):
        for wrong in ([], [2, 99]):
            await check(game, UnknownSegment.reason_code, SMALL, operations, segmentIdList=wrong, **to)
        await check(game, PacketTooLarge.reason_code, LARGE, operations, **to)
        blank = {
            "ALERT": {"alertContent": {"body": " "}},
            "TEMPLATE": {"notificationTemplateId": 2, "substitutions": {"0": ""}},
        }
        await check(game, MissingBody.reason_code, blank, operations, **to)
        await check(
            game, UnknownTemplate.reason_code, {"TEMPLATE": {"notificationTemplateId": 7}}, operations, **to
        )
        for operation, kind in operations.items():
            assert (await player.refused(PUSH, operation, **SMALL[kind], **to)).status == 403
    wrong_time: list[tuple[int, dict[str, Any]]] = [
        (40358, {}),
        (40660, {"localTime": "24:00"}),
        (40660, {"localTime": "8:5"}),
        (40660, {"localTime": "8:30\n"}),
        (40660, {"localTime": "8:30", "startDateUTC": game.clock.ms() + 400 * 24 * HOUR_MS}),
    ]
    for code, to in wrong_time:
        refusal = await game.server.refused(PUSH, "SCHEDULE_RAW_NOTIFICATIONS", **SMALL["READY"], **to)
        assert refusal.reason_code == code, to
    assert (await player.refused(PUSH, "GET_ALL_SEGMENTS")).status == 403
    async with game.core.database.read() as tx:
        assert not await tx.all(select(pushes).where(pushes.c.app_id == game.app_id))
