"""playerState, spoken to as clients and servers would."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import App, load_apps
from gameserver.players.mail import Letter
from gameserver.rpc import Caller, Origin
from gameserver.sessions import digest_of
from gameserver.sessions.interface import LEASE_SECONDS
from gameserver.wire.packet import read_packet
from tests.conftest import BACKENDS, Client, Game

MINUTE = 60
SERVICE = "playerState"
STATUS = {"activeStart", "statusName", "details", "activeUntil"}


async def state_of(player: Client) -> dict[str, Any]:
    state: dict[str, Any] = await player.call(SERVICE, "READ")
    return state


def add_settings(game: Game, apps_folder: Path, text: str) -> None:
    """Change the definition of the test app."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(f"{file.read_text()}\n{text}")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))


async def new_login(game: Game, name: str, **data: Any) -> Client:
    """Another client of the same player."""
    client = game.client()
    await client.log_in("Universal", name, "secret", **data)
    return client


class _Waiter:
    def close(self) -> None:
        raise AssertionError("nobody else waits")

    is_gone = False

    def watch(self) -> None:
        pass

    def time_out(self) -> None:
        raise AssertionError("nothing takes long")


async def for_session(game: Game, player: Client, operation: str) -> dict[str, Any]:
    """Call an operation with a server's authority, on behalf of a player's session."""
    body = player.body((SERVICE, operation, None))
    packet = read_packet(body)
    answer, _ = await game.server_app.packets.answer(
        packet, "hash", game.app, Origin("dispatcher", "127.0.0.1"), _Waiter(), caller=Caller.SERVER
    )
    [entry] = json.loads(answer)["responses"]
    found: dict[str, Any] = entry
    return found


# Reading and every operation without a session


async def test_read_tells_the_whole_profile(game: Game) -> None:
    player = await game.player(languageCode="fr", countryCode="CA", timeZoneOffset=-5)
    await player.call(SERVICE, "UPDATE_NAME", playerName="Ada")
    await player.call(SERVICE, "UPDATE_CONTACT_EMAIL", contactEmail="ada@example.com")
    state = await state_of(player)
    assert state["profileId"] == state["id"] == player.profile_id
    assert (state["playerName"], state["emailAddress"], state["pictureUrl"]) == (
        "Ada",
        "ada@example.com",
        None,
    )
    assert (state["languageCode"], state["countryCode"], state["timeZoneOffset"]) == ("fr", "CA", -5)
    assert state["server_time"] == game.clock.ms()
    assert state["statuses"] == {}
    assert state["isTester"] is False


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("READ", {}),
        ("LOGOUT", {}),
        ("FULL_PLAYER_RESET", {}),
        ("GAME_DATA_RESET", {}),
        ("GET_ATTRIBUTES", {}),
        ("GET_USER_STATUS", {"statusName": ""}),
        ("UPDATE_NAME", {"playerName": "x"}),
    ],
)
async def test_players_operations_need_a_session(game: Game, operation: str, data: dict[str, Any]) -> None:
    refusal = await game.client().refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40304)


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("UPDATE_COUNTRY_CODE", {"countryCode": "CA"}),
        ("UPDATE_IS_TESTER", {"isTester": True}),
        ("RESEND_VALIDATION_EMAIL", {}),
        ("SYS_INVALIDATE_CURRENT_SESSION", {}),
        ("SYS_INVALIDATE_ALL_SESSIONS", {}),
        ("SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", {}),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {"profileId": "p"}),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", {"profileId": "p", "sessionId": "s"}),
        ("SYS_INVALIDATE_SESSION_FOR_USER", {"profileId": "p", "sessionId": "s"}),
    ],
)
async def test_servers_operations_are_refused_to_clients(
    game: Game, operation: str, data: dict[str, Any]
) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40346)
    assert (await state_of(player))["profileId"] == player.profile_id


# The profile


@pytest.mark.parametrize("key", ["playerName", "userName"])
@pytest.mark.parametrize(
    "name", ["someName", "\U0001f469\u200d\U0001f680 Zoë", "مريم", "back\\slash\\", "x" * 64, ""]
)
async def test_names_may_hold_anything_that_fits_on_a_line(game: Game, key: str, name: str) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "UPDATE_NAME", **{key: name}) == {"playerName": name}
    assert (await state_of(player))["playerName"] == name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, 40358),
        ({"playerName": None}, 40358),
        ({"playerName": 7}, 40359),
        ({"playerName": "x" * 65}, 40660),
        ({"playerName": "two\nlines"}, 40660),
        ({"playerName": "turned \u202e around"}, 40660),
    ],
)
async def test_bad_names_are_refused_and_change_nothing(
    game: Game, data: dict[str, Any], reason: int
) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE_NAME", playerName="before")
    refusal = await player.refused(SERVICE, "UPDATE_NAME", **data)
    assert (refusal.status, refusal.reason_code) == (400, reason)
    assert "data.playerName" in refusal.message
    assert (await state_of(player))["playerName"] == "before"


@pytest.mark.parametrize("key", ["playerPictureUrl", "userPictureUrl"])
async def test_picture_url_is_set_and_removed(game: Game, key: str) -> None:
    player = await game.player()
    url = "https://host.example/mypicture.jpg"
    assert await player.call(SERVICE, "UPDATE_PICTURE_URL", **{key: url}) == {"playerPictureUrl": url}
    assert (await state_of(player))["pictureUrl"] == url
    assert await player.call(SERVICE, "UPDATE_PICTURE_URL", **{key: None}) == {"playerPictureUrl": ""}
    assert (await state_of(player))["pictureUrl"] is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, 40358),
        ({"playerPictureUrl": "https://host.example/" + "x" * 2048}, 40660),
        ({"userPictureUrl": "https://host.example/a\tb"}, 40660),
        *(
            ({"playerPictureUrl": address}, 40660)
            for address in (
                "javascript:alert(1)",
                "JavaScript://host.example/%0aalert(1)",
                "data:text/html,<script>alert(1)</script>",
                "file:///etc/passwd",
                "ftp://host.example/a.jpg",
                "//host.example/a.jpg",
                "picture.jpg",
                "https://",
                "https:/host.example",
                "https://[host/a.jpg",
                " https://host.example/a.jpg",
                "https://host.example/a b",
                "https:\\\\host.example",
            )
        ),
    ],
)
async def test_bad_picture_urls_are_refused(game: Game, data: dict[str, Any], reason: int) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "UPDATE_PICTURE_URL", **data)).reason_code == reason


async def test_contact_email_is_set_and_removed(game: Game) -> None:
    player = await game.player()
    answer = await player.call(SERVICE, "UPDATE_CONTACT_EMAIL", contactEmail="someName@example.com")
    assert answer == {"contactEmail": "someName@example.com"}
    assert (await state_of(player))["emailAddress"] == "someName@example.com"
    await player.call(SERVICE, "UPDATE_CONTACT_EMAIL", contactEmail="")
    assert (await state_of(player))["emailAddress"] is None


@pytest.mark.parametrize(("email", "reason"), [("nobody", 40221), ("a@b@c.example", 40221), (5, 40359)])
async def test_bad_contact_email_is_refused(game: Game, email: Any, reason: int) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "UPDATE_CONTACT_EMAIL", contactEmail=email)
    assert (refusal.status, refusal.reason_code) == (400, reason)


@pytest.mark.parametrize("code", ["fr", "zh-Hant", "en_GB", "es-419"])
async def test_language_is_set(game: Game, code: str) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "UPDATE_LANGUAGE_CODE", languageCode=code) == {"languageCode": code}
    assert (await state_of(player))["languageCode"] == code


@pytest.mark.parametrize("code", ["", "f", "french!", "fr\n", "f" * 40])
async def test_bad_language_is_refused(game: Game, code: str) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "UPDATE_LANGUAGE_CODE", languageCode=code)).reason_code == 40660


@pytest.mark.parametrize("hours", [-2, 5.5, -14, 14, 0, 5.75])
async def test_time_zone_is_set(game: Game, hours: float) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "UPDATE_TIMEZONE_OFFSET", timeZoneOffset=hours) == {
        "timeZoneOffset": hours
    }
    assert repr((await state_of(player))["timeZoneOffset"]) == repr(hours)


@pytest.mark.parametrize(("text", "hours"), [("-2", -2), ("5.5", 5.5), ("5,75", 5.75), ("+14", 14), ("0", 0)])
async def test_time_zone_may_come_as_text(game: Game, text: str, hours: float) -> None:
    player = await game.player()
    answer = await player.call(SERVICE, "UPDATE_TIMEZONE_OFFSET", timeZoneOffset=text)
    assert repr(answer["timeZoneOffset"]) == repr(hours)


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        (14.5, 40660),
        (-15, 40660),
        ("14.5", 40660),
        ("99", 40660),
        ("", 40660),
        ("nan", 40660),
        ("1e1", 40660),
        ("5" * 5000, 40660),
        (True, 40359),
        (None, 40358),
    ],
)
async def test_bad_time_zone_is_refused(game: Game, hours: Any, reason: int) -> None:
    player = await game.player()
    assert (
        await player.refused(SERVICE, "UPDATE_TIMEZONE_OFFSET", timeZoneOffset=hours)
    ).reason_code == reason


async def test_servers_set_country_and_tester(game: Game) -> None:
    player = await game.player()
    call = game.server.call
    assert await call(SERVICE, "UPDATE_COUNTRY_CODE", player.profile_id, countryCode="CA") == {
        "countryCode": "CA"
    }
    assert await call(SERVICE, "UPDATE_IS_TESTER", player.profile_id, isTester=True) == {"isTester": True}
    state = await state_of(player)
    assert (state["countryCode"], state["isTester"]) == ("CA", True)


async def test_servers_need_a_player_who_exists(game: Game) -> None:
    bad = await game.server.refused(
        SERVICE, "UPDATE_COUNTRY_CODE", game.unique("nobody"), countryCode="Canada"
    )
    assert bad.reason_code == 40660
    for profile_id in (None, game.unique("nobody")):
        gone = await game.server.refused(SERVICE, "UPDATE_COUNTRY_CODE", profile_id, countryCode="CA")
        assert gone.reason_code == 40304
        assert (
            await game.server.refused(SERVICE, "UPDATE_IS_TESTER", profile_id, isTester=True)
        ).reason_code == 40304


class Outbox:
    """Takes the mails that leave behind the answers."""

    def __init__(self) -> None:
        self.letters: asyncio.Queue[Letter] = asyncio.Queue()

    async def send(self, app: App, letter: Letter) -> None:
        self.letters.put_nowait(letter)

    async def send_template(self, app: App, template: str, to: str, values: Any, **options: str) -> None:
        raise AssertionError("nobody waits for a mail")

    async def next(self) -> Letter:
        async with asyncio.timeout(10):
            return await self.letters.get()


@pytest.fixture
def outbox(game: Game) -> Outbox:
    game.core.mailer = outbox = Outbox()
    return outbox


async def test_the_validation_mail_is_sent_again(game: Game, outbox: Outbox) -> None:
    address = f"{game.unique('ada')}@example.com"
    player = await game.player(type_="Email", external_id=address, token="secret")
    assert await game.server.call(SERVICE, "RESEND_VALIDATION_EMAIL", player.profile_id) is None
    letter = await outbox.next()
    assert letter.to == address
    [path] = re.findall(r"/validate/[A-Za-z0-9_-]+", letter.text)
    assert "confirmed" in (await game.http.post(path)).text


async def test_the_validation_mail_floods_no_mailbox(game: Game, outbox: Outbox) -> None:
    ada, bob = [
        await game.player(type_="Email", external_id=f"{game.unique(name)}@example.com", token="secret")
        for name in ("ada", "bob")
    ]
    for _ in range(10):
        assert await game.server.call(SERVICE, "RESEND_VALIDATION_EMAIL", ada.profile_id) is None
    to_ada = 0
    await game.server.call(SERVICE, "RESEND_VALIDATION_EMAIL", bob.profile_id)
    while (await outbox.next()).to.startswith("ada"):
        to_ada += 1
    assert to_ada < 10


async def test_no_validation_mail_without_an_address(game: Game) -> None:
    player = await game.player()
    refusal = await game.server.refused(SERVICE, "RESEND_VALIDATION_EMAIL", player.profile_id)
    assert (refusal.status, refusal.reason_code) == (400, 550015)
    assert (await game.server.refused(SERVICE, "RESEND_VALIDATION_EMAIL")).reason_code == 40304


async def test_summary_is_shown_to_friends_and_removed(game: Game) -> None:
    player = await game.player()
    summary = {"xp": 12, "name": "\u00e9", "deep": {"list": [1, 2.5, None]}}
    assert await player.call(SERVICE, "UPDATE_SUMMARY", summaryFriendData=summary) is None
    assert (await state_of(player))["summaryFriendData"] == summary
    await player.call(SERVICE, "UPDATE_SUMMARY", summaryFriendData=None)
    assert (await state_of(player))["summaryFriendData"] is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"summaryFriendData": "text"}, 40359),
        ({}, 40358),
        ({"summaryFriendData": {"x": "y" * 10240}}, 40600),
    ],
)
async def test_bad_summary_is_refused(game: Game, data: dict[str, Any], reason: int) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "UPDATE_SUMMARY", **data)).reason_code == reason


# Attributes


async def attributes_of(player: Client) -> Any:
    return (await player.call(SERVICE, "GET_ATTRIBUTES"))["attributes"]


async def test_attributes_are_kept_as_text(game: Game) -> None:
    player = await game.player()
    assert await attributes_of(player) == {}
    values = {"a": "text", "b": 2, "c": 2.5, "d": True, "e": "\U0001f600"}
    assert await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes=values, wipeExisting=False) is None
    assert await attributes_of(player) == {"a": "text", "b": "2", "c": "2.5", "d": "true", "e": "\U0001f600"}


async def test_attributes_are_merged_wiped_and_removed(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1", "b": "2"})
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"b": "3", "c": "4"}, wipeExisting=False)
    assert await attributes_of(player) == {"a": "1", "b": "3", "c": "4"}
    assert await player.call(SERVICE, "REMOVE_ATTRIBUTES", attributes=["a", "unknown"]) is None
    assert await attributes_of(player) == {"b": "3", "c": "4"}
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"z": "5"}, wipeExisting=True)
    assert await attributes_of(player) == {"z": "5"}
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={}, wipeExisting=True)
    assert await attributes_of(player) == {}


async def test_players_do_not_share_attributes(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await ada.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1"})
    assert await attributes_of(bob) == {}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"a": {"inner": 1}}, 40351),
        ({"a": [1]}, 40351),
        ({"a": None}, 40351),
        ({"": "x"}, 40351),
        ({"x" * 65: "x"}, 40351),
        ({"a": "x" * 1025}, 40351),
        ({f"a{number}": "x" for number in range(100)}, 40351),
        (["a"], 40359),
        (None, 40358),
    ],
)
async def test_bad_attributes_are_refused_as_a_whole(game: Game, attributes: Any, reason: int) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"first": "1"})
    refusal = await player.refused(SERVICE, "UPDATE_ATTRIBUTES", attributes=attributes)
    assert (refusal.status, refusal.reason_code) == (400, reason)
    assert await attributes_of(player) == {"first": "1"}


async def test_a_hundred_attributes_are_allowed(game: Game) -> None:
    player = await game.player()
    many = {f"{number:064}": "x" * 1024 for number in range(100)}
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes=many)
    assert await attributes_of(player) == many


@pytest.mark.parametrize(
    ("operation", "data", "answer"),
    [
        ("UPDATE_NAME", {"playerName": "Zoë"}, {"playerName": "Zoë"}),
        ("UPDATE_LANGUAGE_CODE", {"languageCode": "fr"}, {"languageCode": "fr"}),
        ("UPDATE_SUMMARY", {"summaryFriendData": {"level": 3}}, None),
    ],
)
async def test_what_is_set_alone_is_answered_once_and_for_all(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, data: Any, answer: Any
) -> None:
    player = await game.player()
    body = player.body(("playerState", operation, data))
    seen = game.statements()
    with monkeypatch.context() as dying:  # before the session store learns of the answer
        dying.setattr(game.core.sessions, "finish", lambda *_: asyncio.sleep(0, True))
        first = await player.send(body)
    assert first.json()["responses"] == [{"status": 200, "data": answer}]
    assert seen == (["only"] if BACKENDS == "services" else ["one", "later", "commit"])
    game.clock.advance(LEASE_SECONDS + 1)
    assert (await player.send(body)).content == first.content
    other = await player.packet(
        ("playerState", operation, data), ("playerState", operation, data), ("playerState", "READ", {})
    )
    assert [entry.get("data") for entry in other[:2]] == [answer] * 2


async def test_removing_attributes_needs_a_list_of_names(game: Game) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "REMOVE_ATTRIBUTES", attributes="a")).reason_code == 40359


# Timed statuses


async def test_a_status_lasts_as_long_as_it_was_given(game: Game) -> None:
    player = await game.player()
    now = game.clock.ms()
    answer = await player.call(
        SERVICE, "SET_USER_STATUS", statusName="rapidFire", durationSecs=MINUTE, details={"power": 2}
    )
    status = {
        "activeStart": now,
        "statusName": "rapidFire",
        "details": {"power": 2},
        "activeUntil": now + MINUTE * 1000,
    }
    assert answer == {"rapidFire": status}
    game.clock.advance(MINUTE - 0.001)
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="rapidFire") == {"rapidFire": status}
    assert (await state_of(player))["statuses"] == {"rapidFire": status}
    game.clock.advance(0.001)
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="rapidFire") == {}
    assert (await state_of(player))["statuses"] == {}


async def test_login_answers_with_the_active_statuses(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "SET_USER_STATUS", statusName="short", durationSecs=10, details={})
    await player.call(SERVICE, "SET_USER_STATUS", statusName="long", durationSecs=100)
    game.clock.advance(50)
    answer = await game.client().log_in("Universal", name, "secret")
    assert set(answer["statuses"]) == {"long"}
    assert set(answer["statuses"]["long"]) == STATUS


async def test_an_empty_name_gets_all_statuses(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="") == {}
    for name in ("a", "b"):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=name, durationSecs=MINUTE, details={})
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"a", "b"}
    assert set(await player.call(SERVICE, "GET_USER_STATUS")) == {"a", "b"}
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="b")) == {"b"}
    assert (await player.refused(SERVICE, "GET_USER_STATUS", statusName=5)).reason_code == 40359


async def test_a_duration_of_nothing_ends_a_status(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=MINUTE, details={})
    answer = await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=0, details=None)
    assert answer["a"]["activeUntil"] == answer["a"]["activeStart"] == game.clock.ms()
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {}


async def test_statuses_are_cleared_one_by_one(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "CLEAR_USER_STATUS", statusName="unknown") is None
    for name in ("a", "b"):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=name, durationSecs=MINUTE)
    assert await player.call(SERVICE, "CLEAR_USER_STATUS", statusName="a") is None
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"b"}
    assert (await player.refused(SERVICE, "CLEAR_USER_STATUS", statusName="")).reason_code == 40660


async def test_extending_adds_to_what_is_left(game: Game) -> None:
    player = await game.player()
    start = game.clock.ms()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=60, details={"x": 1, "y": 1})
    game.clock.advance(30)
    answer = await player.call(
        SERVICE, "EXTEND_USER_STATUS", statusName="a", additionalSecs=1000, details={"y": 2, "z": 3}
    )
    assert answer == {
        "activeStart": start,
        "statusName": "a",
        "details": {"x": 1, "y": 2, "z": 3},
        "activeUntil": start + 1_060_000,
    }
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {"a": answer}


@pytest.mark.parametrize("operation", ["EXTEND_USER_STATUS", "EXTEND_USER_STATUS_WITH_MAX"])
async def test_extending_an_expired_status_starts_it(game: Game, operation: str) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=10, details={"old": 1})
    game.clock.advance(10)
    await player.call(SERVICE, operation, statusName="a", additionalSecs=5, details={"new": 1})
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {
        "a": {
            "activeStart": game.clock.ms(),
            "statusName": "a",
            "details": {"new": 1},
            "activeUntil": game.clock.ms() + 5000,
        }
    }


async def test_the_maximum_counts_from_now_and_cuts_nothing(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=100, details={})
    game.clock.advance(20)
    now = game.clock.ms()

    async def extend(seconds: int, most: int | None) -> int:
        answer = await player.call(
            SERVICE, "EXTEND_USER_STATUS_WITH_MAX", statusName="a", additionalSecs=seconds, maxActiveSecs=most
        )
        until: int = answer["a"]["activeUntil"]
        return until - now

    assert await extend(60, 120) == 120_000
    assert await extend(60, 50) == 120_000
    assert await extend(60, None) == 180_000


@pytest.mark.parametrize(
    ("operation", "seconds"),
    [
        ("SET_USER_STATUS", "durationSecs"),
        ("EXTEND_USER_STATUS", "additionalSecs"),
        ("EXTEND_USER_STATUS_WITH_MAX", "additionalSecs"),
    ],
)
async def test_bad_statuses_are_refused(game: Game, operation: str, seconds: str) -> None:
    player = await game.player()
    right = {"statusName": "a", seconds: 60, "details": {}}
    for wrong, reason in (
        ({"statusName": ""}, 40660),
        ({"statusName": "x" * 65}, 40660),
        ({"statusName": None}, 40358),
        ({seconds: -1}, 40660),
        ({seconds: 1.5}, 40359),
        ({seconds: 10**12}, 40660),
        ({"details": "text"}, 40359),
        ({"details": {"x": "y" * 2048}}, 40600),
    ):
        refusal = await player.refused(SERVICE, operation, **right | wrong)
        assert (refusal.status, refusal.reason_code) == (400, reason), wrong
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="") == {}


async def test_a_status_cannot_be_extended_for_ever(game: Game) -> None:
    player = await game.player()
    years = 316_224_000
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=years, details={})
    refusal = await player.refused(
        SERVICE, "EXTEND_USER_STATUS", statusName="a", additionalSecs=1, details={}
    )
    assert refusal.reason_code == 40660


async def test_statuses_are_counted_while_they_are_active(game: Game) -> None:
    player = await game.player()
    for number in range(50):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=f"s{number}", durationSecs=60.0, details={})
    refusal = await player.refused(SERVICE, "SET_USER_STATUS", statusName="more", durationSecs=60, details={})
    assert refusal.reason_code == 40371
    await player.call(SERVICE, "EXTEND_USER_STATUS", statusName="s7", additionalSecs=60, details={})
    game.clock.advance(60)
    await player.call(SERVICE, "SET_USER_STATUS", statusName="more", durationSecs=60, details={})
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"s7", "more"}


# Leaving


async def test_a_session_is_dead_after_logout(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "LOGOUT") is None
    refusal = await player.refused(SERVICE, "READ")
    assert (refusal.status, refusal.reason_code) == (403, 40304)


async def test_a_repeated_logout_gets_its_answer(game: Game) -> None:
    player = await game.player()
    body = player.body((SERVICE, "LOGOUT", None))
    first = await player.send(body)
    assert first.json()["responses"] == [{"status": 200, "data": None}]
    assert (await player.send(body)).content == first.content


async def test_messages_behind_a_logout_are_refused(game: Game) -> None:
    player = await game.player()
    entries = await player.packet((SERVICE, "READ", {}), (SERVICE, "LOGOUT", {}), (SERVICE, "READ", {}))
    assert [entry["status"] for entry in entries] == [200, 200, 403]
    assert entries[2]["reason_code"] == 40304


async def test_login_and_logout_in_one_packet_leave_no_session(game: Game) -> None:
    client = game.client()
    entries = await client.packet(login(game.unique("u")), (SERVICE, "LOGOUT", {}))
    assert [entry["status"] for entry in entries] == [200, 200]
    client.session_id = entries[0]["data"]["sessionId"]
    assert (await client.refused(SERVICE, "READ")).reason_code == 40304


def login(name: str) -> tuple[str, str, Any]:
    data = {"authenticationType": "Universal", "externalId": name, "authenticationToken": "secret"}
    return "authenticationV2", "AUTHENTICATE", data | {"forceCreate": True}


@pytest.mark.parametrize("operation", ["LOGOUT", "FULL_PLAYER_RESET"])
async def test_login_and_leaving_in_one_packet_free_the_place(
    game: Game, apps_folder: Path, operation: str
) -> None:
    add_settings(game, apps_folder, '[session]\nwhen_full = "refuse_newest"\n')
    name = game.unique("u")
    entries = await game.client().packet(login(name), (SERVICE, operation, {}))
    assert [entry["status"] for entry in entries] == [200, 200]
    await state_of(await new_login(game, name))


async def test_login_and_deletion_in_one_packet_end_all_sessions(game: Game, apps_folder: Path) -> None:
    add_settings(game, apps_folder, "[session]\nmost = 5\n")
    name = game.unique("u")
    other = await new_login(game, name)
    entries = await game.client().packet(
        login(name), (SERVICE, "FULL_PLAYER_RESET", {}), (SERVICE, "READ", {})
    )
    assert [entry["status"] for entry in entries] == [200, 200, 403]
    assert (await other.refused(SERVICE, "READ")).reason_code == 40304


async def test_deleting_a_player_leaves_nothing(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1"})
    body = player.body((SERVICE, "FULL_PLAYER_RESET", None))
    first = await player.send(body)
    assert first.json()["responses"] == [{"status": 200, "data": None}]
    assert (await player.send(body)).content == first.content
    assert (await player.refused(SERVICE, "READ")).reason_code == 40304
    gone = await game.client().refused(
        "authenticationV2",
        "AUTHENTICATE",
        authenticationType="Universal",
        externalId=name,
        authenticationToken="secret",
        forceCreate=False,
    )
    assert gone.reason_code == 40208
    again = await new_login(game, name)
    assert again.profile_id != player.profile_id
    assert await attributes_of(again) == {}


async def test_deleting_a_player_leaves_others_alone(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await bob.call(SERVICE, "UPDATE_NAME", playerName="Bob")
    await ada.call(SERVICE, "FULL_PLAYER_RESET")
    assert (await state_of(bob))["playerName"] == "Bob"


async def test_resetting_a_player_keeps_who_they_are(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "UPDATE_NAME", playerName="Ada")
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1"})
    await player.call(SERVICE, "UPDATE_SUMMARY", summaryFriendData={"xp": 1})
    await player.call(SERVICE, "SET_USER_STATUS", statusName="s", durationSecs=60, details={})
    assert await player.call(SERVICE, "GAME_DATA_RESET") is None
    state = await state_of(player)
    assert (state["playerName"], state["statuses"], state["summaryFriendData"]) == ("Ada", {}, None)
    assert await attributes_of(player) == {}
    assert (await new_login(game, name)).profile_id == player.profile_id


# Servers end sessions


@pytest.fixture
def many_sessions(game: Game, apps_folder: Path) -> None:
    """Let a player of the test app have several sessions."""
    add_settings(game, apps_folder, "[session]\nmost = 5\n")


def invalidated(*clients: Client) -> dict[str, Any]:
    return {
        "invalidatedCount": len(clients),
        "invalidated": [digest_of(client.session_id) for client in clients],
        "verification": True,
    }


async def replaced(client: Client) -> bool:
    """Whether a session was ended by a server."""
    return (await client.refused(SERVICE, "READ")).reason_code == 40356


@pytest.mark.usefixtures("many_sessions")
async def test_servers_end_all_sessions_of_a_player(game: Game) -> None:
    name = game.unique("u")
    first, second = await new_login(game, name), await new_login(game, name)
    other = await game.player()
    answer = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", profileId=first.profile_id
    )
    assert {**answer, "invalidated": sorted(answer["invalidated"])} == {
        **invalidated(first, second),
        "invalidated": sorted(invalidated(first, second)["invalidated"]),
    }
    assert await replaced(first)
    assert await replaced(second)
    await state_of(other)
    again = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", profileId=first.profile_id
    )
    assert again == invalidated()


@pytest.mark.usefixtures("many_sessions")
@pytest.mark.parametrize("name_by", ["id", "digest"])
async def test_servers_end_or_keep_one_session(game: Game, name_by: str) -> None:
    name = game.unique("u")
    first, second, third = [await new_login(game, name) for _ in range(3)]

    def named(client: Client) -> Any:
        return client.session_id if name_by == "id" else digest_of(client.session_id)

    profile = {"profileId": first.profile_id}
    one = await game.server.call(
        SERVICE, "SYS_INVALIDATE_SESSION_FOR_USER", **profile, sessionId=named(first)
    )
    assert one == invalidated(first)
    assert await replaced(first)
    rest = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", **profile, sessionId=named(second)
    )
    assert rest == invalidated(third)
    assert await replaced(third)
    await state_of(second)


async def test_servers_cannot_end_a_session_under_another_players_name(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for text in (ada.session_id, "no session", "s"):
        answer = await game.server.call(
            SERVICE, "SYS_INVALIDATE_SESSION_FOR_USER", profileId=bob.profile_id, sessionId=text
        )
        assert answer == invalidated()
    await state_of(ada)
    await state_of(bob)


@pytest.mark.usefixtures("many_sessions")
async def test_servers_act_for_a_session(game: Game) -> None:
    name = game.unique("u")
    first, second, third = [await new_login(game, name) for _ in range(3)]
    entry = await for_session(game, first, "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION")
    assert entry["data"]["invalidatedCount"] == 2
    assert await replaced(second)
    assert await replaced(third)
    await state_of(first)
    assert (await for_session(game, first, "SYS_INVALIDATE_CURRENT_SESSION"))["data"] == invalidated(first)
    assert await replaced(first)


@pytest.mark.usefixtures("many_sessions")
async def test_servers_act_for_a_player(game: Game) -> None:
    name = game.unique("u")
    first, second = await new_login(game, name), await new_login(game, name)
    answer = await game.server.call(SERVICE, "SYS_INVALIDATE_ALL_SESSIONS", first.profile_id)
    assert answer["invalidatedCount"] == 2
    assert await replaced(first)
    assert await replaced(second)


async def test_a_server_without_a_session_has_no_current_one(game: Game) -> None:
    player = await game.player()
    for operation in ("SYS_INVALIDATE_CURRENT_SESSION", "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION"):
        for profile_id in (None, player.profile_id):
            refusal = await game.server.refused(SERVICE, operation, profile_id)
            assert (refusal.status, refusal.reason_code) == (403, 40304)
    assert (await game.server.refused(SERVICE, "SYS_INVALIDATE_ALL_SESSIONS")).reason_code == 40304
    await state_of(player)


@pytest.mark.parametrize(
    ("operation", "data", "reason"),
    [
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {}, 40358),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {"profileId": ""}, 40660),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", {"profileId": "p"}, 40358),
        ("SYS_INVALIDATE_SESSION_FOR_USER", {"profileId": "p", "sessionId": 5}, 40359),
    ],
)
async def test_servers_name_player_and_session(
    game: Game, operation: str, data: dict[str, Any], reason: int
) -> None:
    assert (await game.server.refused(SERVICE, operation, **data)).reason_code == reason


async def test_statuses_are_limited_however_they_are_set(game: Game) -> None:
    player = await game.player()
    for number in range(50):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=f"s{number}", durationSecs=60, details={})
    for operation in ("EXTEND_USER_STATUS", "EXTEND_USER_STATUS_WITH_MAX"):
        refusal = await player.refused(
            SERVICE, operation, statusName="one more", additionalSecs=60, maxActiveSecs=600, details={}
        )
        assert refusal.reason_code == 40371
    await player.call(SERVICE, "EXTEND_USER_STATUS", statusName="s0", additionalSecs=60, details={})
