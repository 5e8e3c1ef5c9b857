"""playerState, spoken to as clients and servers would: reading, the profile, attributes."""

import asyncio
import re
from typing import Any

import pytest

from gameserver.apps import App
from gameserver.players.mail import Letter
from gameserver.sessions.interface import LEASE_SECONDS
from tests.conftest import BACKENDS, Game
from tests.services.player_states import SERVICE, attributes_of, state_of

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
