"""Push notifications that are really sent: to stand-ins of Firebase, Apple and browsers."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, select

from gameserver.admin import actions
from gameserver.domain.push import audiences
from gameserver.domain.push.content import filled
from gameserver.domain.push.providers import Providers as Sender
from gameserver.domain.push.providers.signing import es256
from gameserver.domain.push.sending import BEGIN
from gameserver.domain.push.settings import FcmSettings, elliptic_key
from gameserver.domain.push.storage import deliveries
from gameserver.domain.social.notices import TournamentOver, tell_over
from gameserver.jobs.storage import jobs
from gameserver.players.devices import devices
from gameserver.wire.outgoing import Caller, Outgoing, Unanswered
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.push_providers import KEY_ID, TEAM, TOPIC, Providers, b64, elliptic, fcm_error, pem, providers
from tests.services.conftest import Define
from tests.stand_ins import rsa_key

PUSH = "pushNotification"
TEMPLATES = """
[group.types.club]
[pushNotification.templates.1]
name = "gift"
texts = { en = "{0} sent you {1}", fr = "{0} t'a envoyé {1}" }
titles = { en = "A gift!" }
[pushNotification.templates.7]
name = "plain"
texts = { en = "Come back" }
[pushNotification.templates.9]
texts = { en = "LONG" }
"""
ALERT = {"title": "Hello", "body": "Grüße \U0001f600"}


@pytest.fixture
async def push() -> AsyncIterator[Providers]:
    """Those who deliver."""
    async with providers() as made:
        yield made


@pytest.fixture
def apps_folder(apps_folder: Path, push: Providers, request: pytest.FixtureRequest) -> Path:
    """An app with all of them, unless the test says what it says instead."""
    home = apps_folder / "test"
    (home / "push.pem").write_text(push.authority)
    mark = request.node.get_closest_marker("parametrize")
    told = push.settings() if mark is None or mark.args[0] != "alone" else request.getfixturevalue("alone")
    told = told.replace("PROVIDERS", push.settings())
    (home / "app.toml").write_text(APP_TOML + told + TEMPLATES.replace("LONG", "語" * 2000))
    return apps_folder


@pytest.fixture(autouse=True)
async def nothing_waits(game: Game) -> None:
    """Other tests on the same database may have left work behind."""
    async with game.core.database.write() as tx:
        await tx.run(delete(jobs).where(jobs.c.name.like("pushNotification.%")))


async def device(game: Game, player: Client, kind: str = "IOS", token: str = "") -> str:
    """Register a device; returns its token."""
    token = token or (secrets.token_hex(32) if kind in ("IOS", "MAC") else game.unique(kind.lower()))
    assert await player.call(PUSH, "REGISTER", deviceType=kind, deviceToken=token) is None
    return token


async def work(game: Game) -> None:
    """Do the work that is due, and what it makes."""
    for _ in range(3):
        await game.server_app.jobs.tick()
        await game.server_app.jobs.settled()


async def states(game: Game, player: Client) -> list[tuple[str, str, str]]:
    """What became of a player's notifications: the platform, the state and the reason."""
    statement = (
        select(deliveries.c.kind, deliveries.c.state, deliveries.c.reason)
        .where(deliveries.c.profile_id == player.profile_id)
        .order_by(deliveries.c.created_ms, deliveries.c.kind)
    )
    async with game.core.database.read() as tx:
        return [(row[0], row[1], row[2]) for row in await tx.all(statement)]


async def tokens(game: Game, player: Client) -> set[str]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(devices.c.token).where(devices.c.profile_id == player.profile_id))
        return {row[0] for row in rows}


# What is sent


async def test_a_notification_reaches_every_device_of_the_player(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    phone, robot, page = await device(game, bob), await device(game, bob, "ANG"), game.unique("page")
    await device(game, bob, "WEB", push.web.subscribe(page))
    mac = await device(game, bob, "MAC")
    await device(game, bob, "FB")
    custom = {"level": 7, "from": "Ada"}
    assert (
        await ada.call(
            PUSH, "SEND_NORMALIZED", toProfileId=bob.profile_id, alertContent=ALERT, customData=custom
        )
        is None
    )
    await work(game)
    [apple] = push.apns.of(phone)
    assert apple.content == {"level": 7, "from": "Ada", "aps": {"alert": ALERT, "sound": "default"}}
    assert apple.headers["apns-topic"] == TOPIC
    assert (apple.headers["apns-push-type"], apple.headers["apns-priority"]) == ("alert", "10")
    assert apple.headers["apns-id"] == apple.headers["apns-collapse-id"]
    assert push.apns.of(mac)[0].headers["apns-topic"] == "com.example.mac"
    [firebase] = push.fcm.of(robot)
    tag = firebase.content.pop("android")["notification"]["tag"]
    assert tag
    assert firebase.content == {"notification": ALERT, "data": {"level": "7", "from": "Ada"}}
    [web] = push.web.of(page)
    assert web.content == {"notification": ALERT, "data": custom}
    assert len(web.headers["topic"]) <= 32
    assert await states(game, bob) == [
        ("ANG", "sent", ""),
        ("FB", "not_sent", "NotConfigured"),
        ("IOS", "sent", ""),
        ("MAC", "sent", ""),
        ("WEB", "sent", ""),
    ]
    assert push.apns.connections == 1
    await work(game)
    assert (len(push.apns.got), len(push.fcm.of(robot)), len(push.web.got)) == (2, 1, 1)


async def test_players_read_their_own_language(game: Game, push: Providers) -> None:
    sender = await game.player()
    phones = {}
    for language in ("fr", "fr-CA", "de"):
        player = await game.player(languageCode=language)
        phones[language] = await device(game, player)
        values = {"0": "Ada", "1": "100 $"}
        for template in (1, 7):
            assert (
                await sender.call(
                    PUSH,
                    "SEND_RICH",
                    toPlayerId=player.profile_id,
                    notificationTemplateId=template,
                    substitutions=values,
                )
                is None
            )
    await work(game)

    def read(language: str) -> list[Any]:
        return sorted(str(got.content["aps"]["alert"]) for got in push.apns.of(phones[language]))

    assert read("fr") == read("fr-CA")
    assert read("fr")[1] == str({"title": "A gift!", "body": "Ada t'a envoyé 100 $"})
    assert read("de")[1] == str({"title": "A gift!", "body": "Ada sent you 100 $"})
    assert read("de")[0] == str({"body": "Come back"})


def test_templates_are_filled_as_message_formats() -> None:
    values = {"0": "{1}", "1": 2, "name": "x"}
    assert filled("a {0} {1} {name} {2}", values) == "a {1} 2 x {2}"
    assert filled("it''s '{0}' isn't {1}", values) == "it's {0} isn't 2"


async def test_raw_content_is_sent_as_it_is(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    phone, robot, page = await device(game, bob), await device(game, bob, "ANG"), game.unique("page")
    await device(game, bob, "WEB", push.web.subscribe(page))
    fcm = {
        "to": "/topics/all",
        "token": "another's",
        "topic": "all",
        "condition": "x",
        "notification": {"body": "b", "title": "t", "sound": "ping"},
        "data": {"n": 1},
        "priority": "high",
        "time_to_live": 60,
    }
    ios = {"aps": {"content-available": 1}, "x": [1]}
    assert (
        await ada.call(
            PUSH,
            "SEND_RAW",
            toProfileId=bob.profile_id,
            fcmContent=fcm,
            iosContent=ios,
            facebookContent={"template": "x"},
        )
        is None
    )
    await work(game)
    assert push.apns.of(phone)[0].content == ios
    assert push.apns.of(phone)[0].headers["apns-push-type"] == "background"
    [firebase] = push.fcm.of(robot)
    assert firebase.content == {
        "notification": {"body": "b", "title": "t"},
        "data": {"n": "1"},
        "android": {"notification": {"sound": "ping"}, "priority": "HIGH", "ttl": "60s"},
    }
    assert push.web.of(page)[0].content["data"] == {"n": 1}
    await ada.call(PUSH, "SEND_RAW", toProfileId=bob.profile_id, iosContent=ios)
    await work(game)
    assert ("ANG", "not_sent", "NoContent") in await states(game, bob)


async def test_several_players_and_groups(game: Game, push: Providers) -> None:
    players = [await game.player() for _ in range(3)]
    ada, bob, eve = players
    phones = [await device(game, player) for player in players]
    ids = [player.profile_id for player in players]
    made = await ada.call("group", "CREATE_GROUP", name="Club", groupType="club", isOpenGroup=True)
    club = made["groupId"]
    await bob.call("group", "JOIN_GROUP", groupId=club)
    raw: dict[str, Any] = {"iosContent": {"aps": {"alert": "raw"}}}
    to_club: dict[str, Any] = {"groupId": club}
    assert await ada.call(PUSH, "SEND_NORMALIZED_TO_GROUP", **to_club, alertContent=ALERT) is None
    assert await ada.call(PUSH, "SEND_RAW_TO_GROUP", **to_club, **raw) is None
    assert await ada.call(PUSH, "SEND_TEMPLATED_TO_GROUP", **to_club, notificationTemplateId=7) is None
    await work(game)
    assert [len(push.apns.of(phone)) for phone in phones] == [0, 3, 0]  # the sender gets nothing
    refusal = await eve.refused(PUSH, "SEND_NORMALIZED_TO_GROUP", **to_club, alertContent=ALERT)
    assert refusal.reason_code == 40453
    for operation in ("SEND_NORMALIZED_TO_GROUP", "SEND_RAW_TO_GROUP"):
        refusal = await ada.refused(PUSH, operation, groupId="none", alertContent=ALERT, **raw)
        assert refusal.reason_code == 40345
    refusal = await ada.refused(PUSH, "SEND_TEMPLATED_TO_GROUP", groupId="none", notificationTemplateId=7)
    assert refusal.reason_code == 40345
    await game.server.call(
        PUSH, "SEND_NORMALIZED_TO_GROUP", **to_club, senderId=bob.profile_id, alertContent=ALERT
    )
    batch = [*ids, "nobody"]
    assert await game.server.call(PUSH, "SEND_RAW_BATCH", profileIds=batch, **raw) is None
    assert await ada.call(PUSH, "SEND_NORMALIZED_BATCH", profileIds=ids[1:], alertContent=ALERT) is None
    await work(game)
    assert [len(push.apns.of(phone)) for phone in phones] == [2, 5, 2]
    for operation, more in (("SEND_RAW_BATCH", raw), ("SEND_NORMALIZED_BATCH", {"alertContent": ALERT})):
        assert (await ada.refused(PUSH, operation, profileIds=[], **more)).reason_code == 40660


async def test_all_players_and_those_whom_others_find(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    phones = [await device(game, ada), await device(game, bob)]
    answer = await game.server.call(PUSH, "SEND_SIMPLE", message="to all")
    assert answer["estimatedTargets"] >= 2
    await work(game)
    assert [len(push.apns.of(phone)) for phone in phones] == [1, 1]
    refusal = await game.server.refused(PUSH, "SEND_SIMPLE", message="x", segmentIdList=[1])
    assert refusal.reason_code == 40793
    raw = {"iosContent": {"aps": {"alert": "q"}}}
    query: dict[str, Any] = {
        "customEntityType": "athletes",
        "customQueryJson": {"data.goals": {"$gte": 10}},
        "profileIdField": "ownerId",
    }
    refusal = await game.server.refused(PUSH, "SEND_RAW_PUSH_TO_CUSTOM_QUERY", **query, contentJson=raw)
    assert refusal.reason_code == 40570

    async def athletes(tx: Any, app_id: str, kind: str, where: Any, name: str) -> list[Any] | None:
        assert (app_id, where, name) == (APP_ID, query["customQueryJson"], "ownerId")
        return [bob.profile_id, bob.profile_id] if kind == "athletes" else None

    game.core.hooks.subscribe(audiences.CUSTOM_QUERY, athletes)
    assert await game.server.call(PUSH, "SEND_RAW_PUSH_TO_CUSTOM_QUERY", **query, contentJson=raw) == {}
    await work(game)
    assert [len(push.apns.of(phone)) for phone in phones] == [1, 2]
    assert (await ada.refused(PUSH, "SEND_SIMPLE", message="x")).reason_code == 40358
    assert (await ada.refused(PUSH, "SEND_RAW_PUSH_TO_CUSTOM_QUERY", **query, contentJson=raw)).status == 403


# What is refused


async def test_what_cannot_be_sent_is_refused(game: Game, push: Providers) -> None:
    ada = await game.player()
    me = ada.profile_id
    phone = await device(game, ada)
    later: dict[str, Any] = {"profileId": me, "minutesFromNow": 1}
    odd: dict[str, Any] = {"android": {"notification": 5}}
    for refused in (
        ("SEND_SIMPLE", {"toProfileId": me, "message": " "}, 40442),
        ("SEND_SIMPLE", {"toProfileId": "nobody", "message": "x"}, 40374),
        ("SEND_SIMPLE", {"toProfileId": me, "message": "語" * 1400}, 40600),
        ("SEND_NORMALIZED", {"toProfileId": me, "alertContent": {"title": "t"}}, 40442),
        ("SEND_NORMALIZED", {"toProfileId": me, "alertContent": {"body": 1}}, 40660),
        ("SEND_NORMALIZED", {"toProfileId": "nobody", "alertContent": ALERT}, 40374),
        ("SEND_RAW", {"toProfileId": me}, 40358),
        ("SEND_RAW", {"toProfileId": me, "fcmContent": {"data": "x"}}, 40660),
        ("SEND_RAW", {"toProfileId": me, "fcmContent": {"notification": {"icon": "i"}, **odd}}, 40660),
        ("SEND_RAW", {"toProfileId": me, "iosContent": {"x": "y" * 4096}}, 40600),
        ("SEND_RICH", {"toProfileId": me, "notificationTemplateId": 2}, 40375),
        ("SEND_RICH", {"toProfileId": me, "notificationTemplateId": 1, "substitutions": {"0": []}}, 40660),
        ("SEND_RICH", {"notificationTemplateId": 1}, 40358),
        ("SCHEDULE_NORMALIZED_NOTIFICATION", {**later, "alertContent": {}}, 40442),
        ("SCHEDULE_NORMALIZED_NOTIFICATION", {"profileId": me, "alertContent": ALERT}, 40358),
        ("SCHEDULE_RAW_NOTIFICATION", {**later, "minutesFromNow": -1, "iosContent": {}}, 40660),
        ("SCHEDULE_RAW_NOTIFICATION", {**later, "startDateUTC": "soon", "iosContent": {}}, 40660),
        ("SCHEDULE_RICH_NOTIFICATION", {**later, "notificationTemplateId": 3}, 40375),
        ("SCHEDULE_RICH_NOTIFICATION", {**later, "profileId": "x", "notificationTemplateId": 1}, 40374),
    ):
        operation, data, code = refused
        assert (await ada.refused(PUSH, operation, **data)).reason_code == code, refused
    assert await ada.call(PUSH, "SEND_SIMPLE", toProfileId=me, message="語" * 1200) is None
    await work(game)
    assert len(push.apns.of(phone)) == 1


async def test_who_is_blocked_reaches_nobody(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    phone = await device(game, bob)
    await bob.call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
    to_bob: dict[str, Any] = {"alertContent": ALERT}
    await ada.call(PUSH, "SEND_NORMALIZED", toProfileId=bob.profile_id, **to_bob)
    await ada.call(PUSH, "SEND_NORMALIZED_BATCH", profileIds=[bob.profile_id], **to_bob)
    await ada.call(
        PUSH, "SCHEDULE_NORMALIZED_NOTIFICATION", profileId=bob.profile_id, minutesFromNow=0, **to_bob
    )
    await work(game)
    assert push.apns.of(phone) == []


@pytest.mark.parametrize("alone", ["[pushNotification]\n"])
async def test_an_app_without_providers_keeps_that_nothing_was_sent(game: Game, alone: str) -> None:
    ada = await game.player()
    await device(game, ada)
    await ada.call(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    assert await states(game, ada) == [("IOS", "not_sent", "NotConfigured")]


@pytest.mark.parametrize("alone", ["[pushNotification]\nrefuse_unconfigured = true\n"])
async def test_an_app_without_providers_may_refuse(game: Game, alone: str) -> None:
    ada = await game.player()
    refusal = await ada.refused(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    assert refusal.reason_code == 40438


async def test_a_player_sends_no_more_than_the_quota(game: Game) -> None:
    ada = await game.player()
    ids = [ada.profile_id, *(f"nobody-{i}" for i in range(119))]
    await ada.call(PUSH, "SEND_NORMALIZED_BATCH", profileIds=ids, alertContent=ALERT)
    refusal = await ada.refused(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    assert refusal.reason_code == 40823
    game.clock.advance(61)
    later = {"profileId": ada.profile_id, "minutesFromNow": 600, "alertContent": ALERT}
    for _ in range(100):
        await ada.call(PUSH, "SCHEDULE_NORMALIZED_NOTIFICATION", **later)
    refusal = await ada.refused(PUSH, "SCHEDULE_NORMALIZED_NOTIFICATION", **later)
    assert refusal.reason_code == 40371


async def test_a_group_counts_as_its_members_and_as_a_minutes_at_most(game: Game, define: Define) -> None:
    define("[quotas]\npushes_per_minute = 3\n")
    ada, *others = [await game.player() for _ in range(6)]
    sizes = {}
    for size in (2, 5):
        made = await ada.call("group", "CREATE_GROUP", name="Club", groupType="club", isOpenGroup=True)
        sizes[size] = {"groupId": made["groupId"], "alertContent": ALERT}
        for other in others[:size]:
            await other.call("group", "JOIN_GROUP", groupId=made["groupId"])
    await ada.call(PUSH, "SEND_NORMALIZED_TO_GROUP", **sizes[2])
    refusal = await ada.refused(PUSH, "SEND_NORMALIZED_TO_GROUP", **sizes[2])
    assert refusal.reason_code == 40823
    game.clock.advance(61)
    await ada.call(PUSH, "SEND_NORMALIZED_TO_GROUP", **sizes[5])
    assert (
        await ada.refused(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    ).reason_code == 40823


# Later


async def test_what_is_scheduled_comes_at_its_time(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    me: dict[str, Any] = {"profileId": ada.profile_id}
    moved, now = await device(game, ada), game.clock.ms()
    await ada.call(
        PUSH, "SCHEDULE_RAW_NOTIFICATION", **me, minutesFromNow=2, iosContent={"aps": {"badge": 3}}
    )
    await ada.call(
        PUSH, "SCHEDULE_NORMALIZED_NOTIFICATION", **me, startDateUTC=now + 60_000, alertContent=ALERT
    )
    await ada.call(PUSH, "SCHEDULE_RICH_NOTIFICATION", **me, startDateUTC=now - 5, notificationTemplateId=7)
    await work(game)
    assert [got.content["aps"]["alert"] for got in push.apns.of(moved)] == [{"body": "Come back"}]
    game.clock.advance(59.9)
    await work(game)
    assert len(push.apns.of(moved)) == 1
    game.clock.advance(0.1)
    await work(game)
    assert push.apns.of(moved)[1].content["aps"]["alert"] == ALERT
    await device(game, bob, token=moved)  # whose it is now
    newer = await device(game, ada)
    game.clock.advance(60)
    await work(game)
    assert (len(push.apns.of(moved)), len(push.apns.of(newer))) == (2, 1)


async def test_a_device_that_is_taken_away_in_between_gets_nothing(game: Game, push: Providers) -> None:
    ada = await game.player()
    phone = await device(game, ada)
    await ada.call(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    await ada.call(PUSH, "DEREGISTER_ALL")
    await work(game)
    assert push.apns.of(phone) == []
    assert await states(game, ada) == [("IOS", "not_sent", "NoDevice")]


@pytest.mark.parametrize("alone", ['[pushNotification]\nforget_at_logout = ["dispatcher"]\nPROVIDERS'])
async def test_a_device_that_has_logged_out_gets_nothing(game: Game, push: Providers, alone: str) -> None:
    ada, bob = await game.player(), await game.player()
    phone = await device(game, ada)
    await bob.call(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    await ada.call("playerState", "LOGOUT")
    await game.core.endings.settled()
    await bob.call(PUSH, "SEND_SIMPLE", toProfileId=ada.profile_id, message="x")
    await work(game)
    assert push.apns.of(phone) == []
    assert await states(game, ada) == [("IOS", "not_sent", "NoDevice")]


async def test_a_tournament_that_is_over_is_told(game: Game, push: Providers) -> None:
    ada, bob = await game.player(), await game.player()
    phone = await device(game, ada)
    over = TournamentOver(
        app_id=APP_ID, board_id="race", version=3, code="t", of_groups=False,
        member_ids=[str(ada.profile_id), str(bob.profile_id)], push_id=1, mail={}, now_ms=game.clock.ms(),
    )  # fmt: skip
    club = (await ada.call("group", "CREATE_GROUP", name="Club", groupType="club"))["groupId"]
    of_clubs = over._replace(of_groups=True, member_ids=[club, "gone"], push_id=7)
    too_long = over._replace(version=4, push_id=9)  # for any provider: it is not tried again
    async with game.core.database.write() as tx:
        assert str(ada.profile_id) in await tell_over(game.core.hooks, tx, over)
        await tell_over(game.core.hooks, tx, too_long)
        assert await tell_over(game.core.hooks, tx, of_clubs) == {club}
    await work(game)
    bodies = [got.content["aps"]["alert"]["body"] for got in push.apns.of(phone)]
    assert sorted(bodies) == ["Come back", "race sent you {1}"]
    async with game.core.database.read() as tx:
        assert await tx.all(select(jobs.c.key).where(jobs.c.name == BEGIN.name)) == []


# What providers answer


async def send(game: Game, player: Client, message: str = "x") -> None:
    await player.call(PUSH, "SEND_SIMPLE", toProfileId=player.profile_id, message=message)


async def test_tokens_go_when_a_provider_says_so_and_only_then(game: Game, push: Providers) -> None:
    ada = await game.player()
    phones = [await device(game, ada) for _ in range(6)]
    robots = [await device(game, ada, "ANG") for _ in range(6)]
    pages = [game.unique("page") for _ in range(3)]
    subscriptions = [await device(game, ada, "WEB", push.web.subscribe(page)) for page in pages]
    game.clock.advance(1)
    now = game.clock.ms()
    push.apns.plan(phones[0], 410, {"reason": "Unregistered", "timestamp": now - 1})
    push.apns.plan(phones[1], 410, {"reason": "Unregistered", "timestamp": now - 5000})  # registered since
    push.apns.plan(phones[2], 400, {"reason": "DeviceTokenNotForTopic"})
    push.apns.plan(phones[3], 413, {"reason": "PayloadTooLarge"})
    push.fcm.plan(robots[0], 404, fcm_error("NOT_FOUND", "UNREGISTERED"))
    push.fcm.plan(robots[1], 400, fcm_error("INVALID_ARGUMENT", "INVALID_ARGUMENT"))
    push.fcm.plan(robots[2], 403, fcm_error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"))
    push.fcm.plan(robots[3], 401, fcm_error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"))
    push.web.plan(pages[0], 410)
    push.web.plan(pages[1], 403)
    await send(game, ada)
    await work(game)
    gone = {phones[0], robots[0], subscriptions[0]}
    assert await tokens(game, ada) == {*phones, *robots, *subscriptions} - gone
    failed = {reason for _, state, reason in await states(game, ada) if state == "failed"}
    assert failed == {
        "Unregistered", "DeviceTokenNotForTopic", "PayloadTooLarge", "UNREGISTERED", "INVALID_ARGUMENT",
        "SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR", "Status410", "Status403",
    }  # fmt: skip


async def test_bad_tokens_go_only_while_most_are_good(game: Game, push: Providers) -> None:
    ada = await game.player()
    phones = [await device(game, ada) for _ in range(3)]
    push.apns.always = 400, {"reason": "BadDeviceToken"}, {}  # as with the wrong environment
    await send(game, ada)
    await work(game)
    assert len(await tokens(game, ada)) == 3
    told = await actions.log_list(game.server_app, APP_ID, 5, level="error", text="BadDeviceToken")
    assert "BadDeviceToken" in told[0]["message"]
    push.apns.always = None
    for _ in range(2):
        await send(game, ada)
    await work(game)
    push.apns.plan(phones[0], 400, {"reason": "BadDeviceToken"})
    await send(game, ada)
    await work(game)
    assert await tokens(game, ada) == set(phones[1:])
    computer = await device(game, ada, "MAC")  # of another bundle id, none of whose tokens was good yet
    push.apns.plan(computer, 400, {"reason": "BadDeviceToken"})
    await send(game, ada)
    await work(game)
    assert await tokens(game, ada) == {*phones[1:], computer}


async def test_a_provider_is_asked_less_and_less_often_whatever_it_says(game: Game, push: Providers) -> None:
    ada = await game.player()
    robot = await device(game, ada, "ANG")
    push.fcm.always = 503, fcm_error("UNAVAILABLE"), {"retry-after": "1"}
    await send(game, ada)
    for _ in range(60):
        await work(game)
        game.clock.advance(1.1)
    assert len(push.fcm.of(robot)) <= 6
    push.fcm.always = None
    game.clock.advance(3600)
    await work(game)
    assert [state for _, state, _ in await states(game, ada)] == ["sent"]


async def test_a_provider_that_wants_to_be_left_alone_is(game: Game, push: Providers) -> None:
    ada = await game.player()
    robots = [await device(game, ada, "ANG") for _ in range(3)]
    phone = await device(game, ada)
    push.fcm.plan(robots[0], 429, fcm_error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), retry_after="7")
    await send(game, ada)
    await work(game)
    assert [len(push.fcm.of(robot)) for robot in robots] == [1, 1, 1]
    await send(game, ada)
    game.clock.advance(6.9)
    await work(game)
    assert [len(push.fcm.of(robot)) for robot in robots] == [1, 1, 1]
    assert len(push.apns.of(phone)) == 2  # the other provider goes on
    game.clock.advance(0.2)
    await work(game)
    assert [len(push.fcm.of(robot)) for robot in robots] == [3, 2, 2]
    assert push.fcm.tokens_given == 1
    assert {state for _, state, _ in await states(game, ada)} == {"sent"}


async def test_one_device_is_tried_again_by_itself(game: Game, push: Providers) -> None:
    ada = await game.player()
    page, phone, other = game.unique("page"), await device(game, ada), await device(game, ada)
    await device(game, ada, "WEB", push.web.subscribe(page))
    push.apns.plan(phone, 429, {"reason": "TooManyRequests"})
    push.apns.plan(phone, 500, {"reason": "InternalServerError"})
    push.web.plan(page, 503, retry_after="Thu, 01 Jan 1970 00:00:00 GMT")
    await send(game, ada)
    await work(game)
    for seconds in (2, 4):
        game.clock.advance(seconds)
        await work(game)
    assert (len(push.apns.of(phone)), len(push.apns.of(other)), len(push.web.of(page))) == (3, 1, 2)
    assert len({got.headers["apns-id"] for got in push.apns.of(phone)}) == 1
    assert {state for _, state, _ in await states(game, ada)} == {"sent"}


async def test_a_fault_of_ours_harms_one_notification_alone(
    game: Game, push: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await game.player()
    phone, other = await device(game, ada), await device(game, ada)
    right = Sender.send

    async def wrong(self: Any, provider: Any, note: Any) -> Any:
        if note.token == phone:
            raise KeyError("a fault")
        return await right(self, provider, note)

    with monkeypatch.context() as patch:
        patch.setattr(Sender, "send", wrong)
        await send(game, ada)
        await work(game)
        assert (len(push.apns.of(phone)), len(push.apns.of(other))) == (0, 1)
        assert sorted(await states(game, ada)) == [("IOS", "sent", ""), ("IOS", "waiting", "InternalError")]
    game.clock.advance(3)
    await work(game)
    assert (len(push.apns.of(phone)), len(push.apns.of(other))) == (1, 1)


async def test_credentials_that_are_not_accepted_are_told_to_the_operator(
    game: Game, push: Providers
) -> None:
    ada = await game.player()
    robot = await device(game, ada, "ANG")
    push.fcm.always = 403, fcm_error("PERMISSION_DENIED"), {}
    await send(game, ada)
    await work(game)
    assert len(push.fcm.of(robot)) == 1
    assert await tokens(game, ada) == {robot}
    push.fcm.always = None
    push.fcm.access = "access-2"  # the one that is known is taken back
    game.clock.advance(301)
    await work(game)
    assert len(push.fcm.of(robot)) == 2
    assert await states(game, ada) == [("ANG", "sent", "")]


async def test_the_token_of_the_team_changes_twice_an_hour(game: Game, push: Providers) -> None:
    ada = await game.player()
    await device(game, ada)
    game.clock.advance(1800 - game.clock.ms() // 1000 % 1800)
    for seconds in (0, 1000, 790, 20):
        game.clock.advance(seconds)
        await send(game, ada)
        await work(game)
    assert len(push.apns.bearers) == 2
    assert len(push.apns.got) == 4


async def test_what_a_closing_connection_has_not_looked_at_is_sent_again(game: Game, push: Providers) -> None:
    ada = await game.player()
    phones = [await device(game, ada) for _ in range(10)]
    push.apns.goaway_after = 4
    await send(game, ada)
    await work(game)
    game.clock.advance(2)
    await work(game)
    assert push.apns.connections == 2
    assert sorted(len(push.apns.of(phone)) for phone in phones) == [1] * 10


async def test_after_a_kill_only_what_was_not_noted_is_sent_again(game: Game, push: Providers) -> None:
    ada = await game.player()
    phone, other = await device(game, ada), await device(game, ada)
    await send(game, ada)
    push.apns.silent = True
    jobs = game.server_app.jobs
    await jobs.tick()
    async with asyncio.timeout(5):
        await push.apns.reached.wait()
    await jobs.close()  # and its lease is given back
    push.apns.silent = False
    await work(game)
    for token in (phone, other):
        assert {got.headers["apns-id"] for got in push.apns.of(token)} == {
            push.apns.of(token)[-1].headers["apns-id"]
        }
    assert await states(game, ada) == [("IOS", "sent", "")] * 2
    count = len(push.apns.got)
    await work(game)
    assert len(push.apns.got) == count


async def test_a_connection_that_kept_a_call_waiting_gets_no_further_ones(push: Providers) -> None:
    """It may be open at this end alone."""
    outgoing = Outgoing()
    caller = Caller("test", authorities=push.authority, http2=True)
    bearer = es256(elliptic("apple"), {"kid": KEY_ID}, {"iss": TEAM})
    headers = [("authorization", f"bearer {bearer}"), ("apns-id", "x")]

    async def call(seconds: float) -> int:
        url = f"https://127.0.0.1:{push.apns.port}/3/device/ab"
        how: dict[str, Any] = {"headers": headers, "content": b"{}", "seconds": seconds, "bytes_max": 99}
        return (await outgoing.exchange(caller, "POST", url, **how)).status

    push.apns.silent = True
    with pytest.raises(Unanswered):
        await call(0.3)
    push.apns.silent = False
    assert [*await asyncio.gather(call(5), call(5))] == [200, 200]
    assert push.apns.connections == 2
    await outgoing.close()


@pytest.mark.parametrize(
    "token",
    [
        "{",
        '{"endpoint": "http://127.0.0.1/x", "keys": {"p256dh": "AA", "auth": "AA"}}',
        '{"endpoint": "https://10.0.0.1/x", "keys": %s}',
        '{"endpoint": "https://[::1", "keys": %s}',
        '{"endpoint": "https://a@10.0.0.1/", "keys": %s}',
        "../../other",
    ],
)
async def test_tokens_lead_nowhere_else(game: Game, push: Providers, token: str) -> None:
    ada = await game.player()
    keys = push.web.subscribe(game.unique("page")).partition('"keys": ')[2][:-1]
    await device(game, ada, "IOS", token.replace("%s", keys))
    await send(game, ada)
    await work(game)
    [(_, state, reason)] = await states(game, ada)
    assert (state, reason in ("NoSubscription", "ForbiddenAddress", "NoToken")) == ("failed", True)


# Templates


async def test_templates_are_listed(game: Game) -> None:
    answer = await game.server.call(PUSH, "SYS_GET_NOTIFICATION_TEMPLATES", defaultLanguageCode="fr")
    first, second, _ = answer["pushTemplates"]
    assert first["updatedAt"] > 0
    assert {name: value for name, value in first.items() if name != "updatedAt"} == {
        "notificationTemplateId": 1,
        "name": "gift",
        "defaultMessage": "{0} t'a envoyé {1}",
        "message": "{0} t'a envoyé {1}",
    }
    assert second["defaultMessage"] == "Come back"
    player = await game.player()
    assert (await player.refused(PUSH, "SYS_GET_NOTIFICATION_TEMPLATES")).status == 403


# Keys


def test_keys_are_those_with_which_providers_want_tokens_signed() -> None:
    key = elliptic("apple")
    number = key.private_numbers().private_value
    for text in (pem(key), b64(number.to_bytes(32, "big")), f" {b64(number.to_bytes(32, 'big'))}=\n"):
        assert elliptic_key(text).private_numbers() == key.private_numbers()
    no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    longer = pem(ec.generate_private_key(ec.SECP384R1()))
    for text in ("", "?", "ä", "AAAA", b64(bytes(32)), b64(b"\xff" * 32), no_key, longer, pem(rsa_key("x"))):
        with pytest.raises(ValueError, match=r"^expected a private key"):
            elliptic_key(text)


@pytest.mark.parametrize(
    ("key", "mistakes"),
    [
        (pem(rsa_key("firebase")), []),
        ("AAAA", ["expected a private key (PEM) without a password"]),
        (pem(elliptic("apple")), ["its private_key is none with which Google's tokens are signed (RSA)"]),
    ],
)
def test_a_service_account_has_a_key_of_googles_kind(key: str, mistakes: list[str], tmp_path: Path) -> None:
    account = {"project_id": "x", "client_email": "x@example.com", "private_key": key}
    found = FcmSettings(service_account=json.dumps(account)).mistakes(tmp_path)
    assert [message for _, message in found] == mistakes
