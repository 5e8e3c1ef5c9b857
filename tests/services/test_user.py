import asyncio
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gameserver.admin import actions
from gameserver.faces import pages as faces
from gameserver.players import links
from gameserver.players.identities import identities
from gameserver.players.links import NoEmailIdentity
from gameserver.players.tokens import one_time_tokens
from gameserver.storage import sqlite
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.plans import Plans
from tests.services.logins import Postbox, mails_are_out, outcome, postbox, refused_login

__all__ = ["postbox"]  # a fixture

EMAIL_RESETS = [
    "SYS_SEND_PASSWORD_RESET_EMAIL",
    "SYS_SEND_PASSWORD_RESET_EMAIL_ADVANCED",
    "SYS_SEND_PASSWORD_RESET_EMAIL_WITH_EXPIRY",
    "SYS_SEND_PASSWORD_RESET_EMAIL_ADVANCED_WITH_EXPIRY",
]
UNIVERSAL_RESETS = [name.replace("EMAIL", "UNIVERSAL_ID") for name in EMAIL_RESETS]
RESETS = [*EMAIL_RESETS, *UNIVERSAL_RESETS]
APP = """
[mail.templates]
welcome = "mail/welcome.txt"

[user]
deletion_minutes = 5

[external.corpdir]
kind = "token"
issuer = "https://corp.example"
audience = "game"
algorithm = "HS256"
key = "a secret that is long enough for signing"
"""
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    folder = apps_folder / "test"
    (folder / "app.toml").write_text(APP_TOML + APP)
    (folder / "mail").mkdir()
    (folder / "mail" / "welcome.txt").write_text(
        "Subject: Welcome {userName}\n\nYour login is {externalId}. {link}\n"
    )
    return apps_folder


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


def address(game: Game) -> str:
    return f"{game.unique('bruce')}@example.com"


async def user(game: Game, operation: str, **data: Any) -> Any:
    return await game.server.call("user", operation, **data)


async def refused(game: Game, operation: str, **data: Any) -> tuple[int, int]:
    return outcome(await game.server.refused("user", operation, **data))


async def made(game: Game, **data: Any) -> tuple[str, str]:
    """A player with a universal id and the password "secret"; returns profile and name."""
    name = game.unique("bruce")
    answer = await user(
        game, "SYS_CREATE_USER_UNIVERSAL_ID", externalId=name, password="secret", userName="Bats", **data
    )
    return answer["profileId"], name


# Who may


@pytest.mark.parametrize(
    "operation",
    [
        "SYS_CREATE_USER_EMAIL_PASSWORD",
        "SYS_CREATE_USER_UNIVERSAL_ID",
        "SYS_CREATE_USER_EXTERNAL_AUTH",
        "SYS_CREATE_SELF_SERVICE_DELETION_URL_FOR_USER",
        "SYS_DELETE_USER",
        "SYS_GET_PAGE",
        "SYS_GET_PAGE_OFFSET",
        "SYS_GET_USER_EXPORT",
        "SYS_GET_USER_INFO",
        "SYS_SET_PASSWORD_UNIVERSAL_ID",
        *RESETS,
    ],
)
async def test_clients_are_refused(game: Game, operation: str) -> None:
    player = await game.player()
    data = {
        "profileId": player.profile_id,
        "externalId": "x",
        "externalAuthType": "corpdir",
        "password": "x",
        "optionsJson": {"includeEntities": True},
    }
    refusal = await player.refused("user", operation, **data)
    assert outcome(refusal) == (403, 40346)
    assert (await player.call("playerState", "READ"))["profileId"] == player.profile_id


# Making players


async def test_a_player_made_with_an_address_logs_in(game: Game, postbox: Postbox) -> None:
    email = address(game)
    answer = await user(
        game,
        "SYS_CREATE_USER_EMAIL_PASSWORD",
        externalId=email.upper(),
        password="R@b1n3gg",
        userName="Bats",
        notificationTemplateId="welcome",
    )
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (email, "Welcome Bats")
    assert email in letter.text
    client = game.client()
    login = await client.log_in("Email", email, "R@b1n3gg", forceCreate=False)
    assert login["profileId"] == answer["profileId"]
    assert (login["newUser"], login["playerName"], login["loginCount"]) == ("false", "Bats", 1)
    assert login["emailAddress"] == email
    assert outcome(await refused_login(game.client(), "Email", email, "wrong")) == (403, 40307)


async def test_a_player_made_with_a_universal_id_logs_in(game: Game, postbox: Postbox) -> None:
    contact = address(game)
    profile, name = await made(game, contactEmail=contact, notificationTemplateId="welcome")
    assert (await postbox.next()).to == contact
    login = await game.client().log_in("Universal", name, "secret", forceCreate=False)
    assert (login["profileId"], login["emailAddress"]) == (profile, contact)


async def test_a_player_made_for_another_system_is_theirs(game: Game, postbox: Postbox) -> None:
    name, contact = game.unique("bruce"), address(game)
    data = {"externalId": name, "externalAuthType": "corpdir", "userName": "Bats", "contactEmail": contact}
    answer = await user(game, "SYS_CREATE_USER_EXTERNAL_AUTH", **data, notificationTemplateId="welcome")
    assert (await postbox.next()).to == contact
    shown = await game.server.call("identity", "GET_IDENTITIES", answer["profileId"])
    assert shown["identities"] == {"External": name}
    assert await refused(game, "SYS_CREATE_USER_EXTERNAL_AUTH", **data) == (400, 40683)
    data["externalId"] = game.unique("other")
    data["externalAuthType"] = "elsewhere"
    assert await refused(game, "SYS_CREATE_USER_EXTERNAL_AUTH", **data) == (400, 40684)
    data["externalAuthType"] = "corpdir"
    assert await refused(game, "SYS_CREATE_USER_EXTERNAL_AUTH", **data, notificationTemplateId="x") == (
        400,
        40375,
    )
    data["contactEmail"] = "nobody"
    assert await refused(game, "SYS_CREATE_USER_EXTERNAL_AUTH", **data) == (400, 40221)


async def test_without_a_password_nobody_knows_it(game: Game, postbox: Postbox) -> None:
    email = address(game)
    answer = await user(game, "SYS_CREATE_USER_EMAIL_PASSWORD", externalId=email, password=None)
    assert outcome(await refused_login(game.client(), "Email", email, "")) == (403, 40307)
    await user(game, "SYS_SEND_PASSWORD_RESET_EMAIL", profileId=answer["profileId"])
    link = postbox.link(await postbox.next())
    set_ = await game.http.post(link, data={"password": "mine now"})
    assert set_.status_code == 200
    login = await game.client().log_in("Email", email, "mine now", forceCreate=False)
    assert login["profileId"] == answer["profileId"]
    of_player = identities.c.profile_id == answer["profileId"]
    async with game.core.database.write() as tx:  # as databases of old hold them
        await tx.run(update(identities).where(of_player).values(external_id="me"))
    reset = {"operation": "SYS_SEND_PASSWORD_RESET_EMAIL", "profileId": answer["profileId"]}
    assert await refused(game, **reset) == (400, NoEmailIdentity.reason_code)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"externalId": "nobody"}, 40221),
        ({"externalId": "a@b.example\r\nBcc: eve@example.com"}, 40221),
        ({"externalId": ""}, 40221),
        ({"password": ""}, 550022),
        ({"password": "x" * 2000}, 550022),
        ({"notificationTemplateId": "nothing"}, 40375),
        ({"userName": "x" * 65}, 40660),
        ({"userName": "a\nb"}, 40660),
    ],
)
async def test_refused_players_with_an_address(game: Game, data: dict[str, Any], reason: int) -> None:
    email = address(game)
    status, code = await refused(
        game, "SYS_CREATE_USER_EMAIL_PASSWORD", **{"externalId": email, "password": "secret", **data}
    )
    assert status == 400
    assert code == reason
    assert outcome(await refused_login(game.client(), "Email", email, "secret", forceCreate=False)) == (
        202,
        40208,
    )


async def test_refused_players_with_a_universal_id(game: Game) -> None:
    _, name = await made(game)
    create = "SYS_CREATE_USER_UNIVERSAL_ID"
    assert await refused(game, create, externalId=name, password="other") == (400, 40683)
    await game.client().log_in("Universal", name, "secret", forceCreate=False)
    other = game.unique("other")
    assert await refused(game, create, externalId=other, password="") == (400, 550022)
    assert await refused(game, create, externalId=other, password="x", contactEmail="x") == (400, 40221)
    assert await refused(game, create, externalId=other, password="x", notificationTemplateId="x") == (
        400,
        40375,
    )
    assert (await refused(game, create, externalId=" ", password="x"))[0] == 400
    assert (await refused(game, create, externalId="x" * 300, password="x"))[0] == 400
    email = address(game)
    await user(game, "SYS_CREATE_USER_EMAIL_PASSWORD", externalId=email, password="secret")
    again = {"externalId": f" {email.upper()}", "password": "secret"}
    assert await refused(game, "SYS_CREATE_USER_EMAIL_PASSWORD", **again) == (400, 40683)


async def test_of_two_who_make_the_same_player_one_does(game: Game) -> None:
    name = game.unique("bruce")
    both = await asyncio.gather(
        *(user(game, "SYS_CREATE_USER_UNIVERSAL_ID", externalId=name, password="secret") for _ in range(2)),
        return_exceptions=True,
    )
    [winner] = [answer for answer in both if isinstance(answer, dict)]
    login = await game.client().log_in("Universal", name, "secret", forceCreate=False)
    assert login["profileId"] == winner["profileId"]


# Finding players


async def test_pages_of_all_players(game: Game) -> None:
    names = [game.unique("paged") for _ in range(5)]
    profiles = []
    for name in names:
        game.clock.advance(1)
        answer = await user(
            game, "SYS_CREATE_USER_UNIVERSAL_ID", externalId=name, password="secret", userName=names[0][-40:]
        )
        profiles.append(answer["profileId"])
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1, "doCount": True},
        "searchCriteria": {"playerName": names[0][-40:]},
        "sortCriteria": {"createdAt": 1},
    }
    page = await user(game, "SYS_GET_PAGE", context=context)
    assert page["results"]["count"] == 5
    assert (page["results"]["page"], page["results"]["moreAfter"], page["results"]["moreBefore"]) == (
        1,
        True,
        False,
    )
    assert page["results"]["items"][0] == {
        "profileId": profiles[0],
        "playerName": names[0][-40:],
        "countryCode": None,
        "timeZoneOffset": 0,
        "summaryFriendData": None,
        "emailAddress": None,
    }
    seen = [item["profileId"] for item in page["results"]["items"]]
    while page["results"]["moreAfter"]:
        page = await user(game, "SYS_GET_PAGE_OFFSET", context=page["context"], pageOffset=1)
        seen += [item["profileId"] for item in page["results"]["items"]]
    assert seen == profiles
    page = await user(game, "SYS_GET_PAGE_OFFSET", context=page["context"], pageOffset=-1)
    assert [item["profileId"] for item in page["results"]["items"]] == profiles[2:4]


async def test_one_player(game: Game) -> None:
    player = await game.player(countryCode="CA", timeZoneOffset=-5)
    await player.call("playerState", "UPDATE_NAME", playerName="Bats")
    await player.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"favColor": "black"})
    await player.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail="bruce@example.com")
    info = await user(game, "SYS_GET_USER_INFO", profileId=player.profile_id)
    assert info == {
        "profileId": player.profile_id,
        "playerName": "Bats",
        "countryCode": "CA",
        "timeZoneOffset": -5,
        "summaryFriendData": {"favColor": "black"},
        "emailAddress": "bruce@example.com",
    }
    by_address = {"searchCriteria": {"emailAddress": "bruce@example.com", "profileId": player.profile_id}}
    page = await user(game, "SYS_GET_PAGE", context=by_address)
    assert page["results"]["items"] == [info]
    assert await refused(game, "SYS_GET_USER_INFO", profileId=NOBODY) == (400, 40374)


@pytest.mark.parametrize("operation", ["SYS_GET_PAGE", "SYS_GET_PAGE_OFFSET"])
async def test_contexts_that_are_refused(game: Game, operation: str) -> None:
    assert await refused(game, operation, context="no context") == (400, 40383)
    assert await refused(game, operation, context={"pagination": 1}) == (400, 40384)
    assert await refused(game, operation, context={"searchCriteria": {"playerName": {"$no": 1}}}) == (
        400,
        40349,
    )
    assert await refused(game, operation, context={"searchCriteria": {"a$b": 1}}) == (400, 40347)


async def test_a_page_too_large_for_an_answer_is_refused(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    player = await game.player()
    await player.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"a": "x" * 1000})
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 500)
    context = {"searchCriteria": {"profileId": player.profile_id}}
    for operation in ("SYS_GET_PAGE", "SYS_GET_PAGE_OFFSET"):
        assert (await refused(game, operation, context=context))[0] == 400
    data = {"profileId": player.profile_id, "optionsJson": {"includeEntities": True}}
    assert (await refused(game, "SYS_GET_USER_EXPORT", **data))[0] == 400


@pytest.mark.parametrize(
    ("search", "index"),
    [
        ({}, "players_by_app (app_id=?)"),
        ({"createdAt": {"$gt": 1}}, "players_by_app (app_id=? AND created_ms>?)"),
        ({"profileId": NOBODY}, "(profile_id=?)"),
        ({"playerName": "Bats"}, "players_by_start_of_lower_name (app_id=? AND <expr>=?)"),
        ({"emailAddress": "b@example.com"}, "players_by_contact (app_id=? AND contact_email=?)"),
    ],
)
async def test_an_index_finds_players_among_millions(
    game: Game, monkeypatch: pytest.MonkeyPatch, search: dict[str, Any], index: str
) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    await game.player()
    plans = Plans(game, monkeypatch)
    # A search runs in a thread, where nobody notes its statement.
    monkeypatch.setattr(sqlite._SqliteTransaction, "search", sqlite._SqliteTransaction.all)
    context = {"pagination": {"rowsPerPage": 1}, "searchCriteria": search}
    page = await user(game, "SYS_GET_PAGE", context=context)
    await user(game, "SYS_GET_PAGE_OFFSET", context=page["context"], pageOffset=1)
    steps = [step for step in plans.steps() if " players " in step]
    assert steps
    # The page after one begins at its last row, and players found by an index are looked at by their key.
    beyond = "players_by_app (app_id=? AND created_ms>?"
    assert any(index in step for step in steps), steps
    wrong = [
        step
        for step in steps
        if index not in step and "(profile_id=?)" not in step and (search or beyond not in step)
    ]
    assert not wrong


async def test_an_index_finds_players_by_name_for_operators_too(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    plans = Plans(game, monkeypatch)
    await actions.player_find(game.server_app, APP_ID, "Bats", 10)
    slow = plans.slow()
    assert not slow, "\n".join(slow)


# Exports


async def test_an_export_tells_everything_under_the_references_names(game: Game) -> None:
    email = address(game)
    player = game.client()
    await player.log_in("Email", email, "secret", releasePlatform="IOS")
    await player.call("playerState", "UPDATE_NAME", playerName="Bats")
    await player.call("playerState", "UPDATE_ATTRIBUTES", attributes={"hair": "black"})
    friend = await game.player()
    await player.call("friend", "ADD_FRIENDS", profileIds=[friend.profile_id])
    entity = await player.call(
        "entity", "CREATE", entityType="address", data={"street": "1309 Carling"}, acl={}
    )
    [exported] = (
        await user(
            game,
            "SYS_GET_USER_EXPORT",
            profileId=player.profile_id,
            optionsJson={"includeEntities": True, "customEntities": {"exclude": ["playerBackups"]}},
        )
    )[player.profile_id]
    assert exported["appEmailAccounts"] == [{"emailAddress": email}]
    assert exported["credentials"] == [
        {"externalId": email, "authenticationType": "Email", "authSubType": ""}
    ]
    [told] = exported["childEntities"]
    assert (told["entityId"], told["data"]) == (entity["entityId"], {"street": "1309 Carling"})
    [profile] = exported["playerProfile"]
    assert profile["friendProfileIds"] == [friend.profile_id]
    assert (profile["playerName"], profile["emailAddress"], profile["loginCount"]) == ("Bats", email, 1)
    assert profile["platforms"] == ["IOS"]
    assert profile["attributes"] == {"hair": "black"}
    assert 0 <= profile["randomAttribute"] < 1
    assert len(profile["activeSessions"]) == 1
    assert player.session_id not in str(exported), "an export opens no session"
    assert "argon2" not in str(exported)
    assert exported["services"]["authenticationV2"]["identities"][0]["externalId"] == email
    assert exported["playerCurrency"]["createdAt"] == profile["createdAt"]


async def test_an_export_without_entities(game: Game) -> None:
    player = await game.player()
    await player.call("entity", "CREATE", entityType="address", data={"street": "Carling"}, acl={})
    data = {"profileId": player.profile_id, "optionsJson": {"includeEntities": False}}
    [exported] = (await user(game, "SYS_GET_USER_EXPORT", **data))[player.profile_id]
    assert exported["childEntities"] == []
    assert "Carling" not in str(exported)
    data["profileId"] = NOBODY
    assert await refused(game, "SYS_GET_USER_EXPORT", **data) == (400, 40374)


# Passwords


@pytest.mark.parametrize("operation", RESETS)
async def test_a_reset_is_mailed(game: Game, postbox: Postbox, operation: str) -> None:
    email = address(game)
    if "EMAIL" in operation:
        name, type_ = email, "Email"
        answer = await user(game, "SYS_CREATE_USER_EMAIL_PASSWORD", externalId=email, password="secret")
        profile = answer["profileId"]
    else:
        type_ = "Universal"
        profile, name = await made(game, contactEmail=email)
    data: dict[str, Any] = {"profileId": profile}
    if "ADVANCED" in operation:
        data["serviceParams"] = {
            "templateId": "welcome",
            "dynamicData": {"userName": "Bats"},
            "subject": "Come back",
            "categories": ["category1"],
        }
    if "EXPIRY" in operation:
        data["tokenTtlInMinutes"] = 1440
    assert await user(game, operation, **data) is None
    letter = await postbox.next()
    assert letter.to == email
    if "ADVANCED" in operation:
        assert letter.subject == "Come back"
    await game.client().log_in(type_, name, "secret", forceCreate=False)
    link = postbox.link(letter)
    game.clock.advance(1439 * 60 if "EXPIRY" in operation else 1)
    assert (await game.http.post(link, data={"password": "chosen"})).status_code == 200
    await game.client().log_in(type_, name, "chosen", forceCreate=False)


@pytest.mark.parametrize("operation", RESETS)
async def test_resets_that_are_refused(game: Game, postbox: Postbox, operation: str) -> None:
    assert await refused(game, operation, profileId=NOBODY) == (400, 40374)
    nobody = await game.player()
    missing = (400, 550015) if "EMAIL" in operation else (202, 40206)
    assert await refused(game, operation, profileId=nobody.profile_id) == missing
    client = game.client()
    if "UNIVERSAL" in operation:
        await client.log_in("Universal", game.unique("no address"), "secret")
        assert await refused(game, operation, profileId=client.profile_id) == (400, 40361)
        profile, _ = await made(game, contactEmail=address(game))
    else:
        await client.log_in("Email", address(game), "secret")
        profile = client.profile_id or ""
    for params, reason in (
        ({"fromAddress": "nobody"}, 40485),
        ({"fromAddress": "a@b.example", "fromName": "a\nb"}, 40486),
        ({"replyToAddress": "nobody"}, 40487),
        ({"replyToName": "a\nb"}, 40488),
        ({"fromName": "Eve"}, 40489),
        ({"templateId": "nothing"}, 40375),
    ):
        assert await refused(game, operation, profileId=profile, serviceParams=params) == (400, reason)
    assert (await refused(game, operation, profileId=profile, tokenTtlInMinutes=0))[0] == 400
    await mails_are_out()
    assert postbox.letters.empty()


async def test_a_mailbox_is_not_filled(game: Game, postbox: Postbox) -> None:
    profile, _ = await made(game, contactEmail=address(game))
    for _ in range(links.MAILS_PER_ACCOUNT + 3):
        await user(game, "SYS_SEND_PASSWORD_RESET_UNIVERSAL_ID", profileId=profile)
    await mails_are_out()
    assert postbox.letters.qsize() == links.MAILS_PER_ACCOUNT


async def test_a_server_sets_a_password(game: Game, postbox: Postbox) -> None:
    contact = address(game)
    profile, name = await made(game, contactEmail=contact)
    client = game.client()
    await client.log_in("Universal", name, "secret")
    assert await user(game, "SYS_SET_PASSWORD_UNIVERSAL_ID", profileId=profile, password="new") is None
    assert (await postbox.next()).to == contact
    assert (await client.refused("playerState", "READ")).reason_code == 40356
    assert outcome(await refused_login(game.client(), "Universal", name, "secret")) == (403, 40307)
    await game.client().log_in("Universal", name, "new", forceCreate=False)
    set_ = "SYS_SET_PASSWORD_UNIVERSAL_ID"
    assert await refused(game, set_, profileId=profile, password="") == (400, 550022)
    assert await refused(game, set_, profileId=NOBODY, password="x") == (400, 40374)
    other = await game.player()
    assert await refused(game, set_, profileId=other.profile_id, password="x") == (202, 40206)
    await other.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=game.unique("nick"))
    assert await refused(game, set_, profileId=other.profile_id, password="x") == (202, 40206)


# Deleting


async def test_a_server_deletes_a_player(game: Game) -> None:
    player, name = game.client(), game.unique("id")
    await player.log_in("Universal", name, "secret")
    data = {"profileId": player.profile_id, "optionsJson": {"deleteChildren": True}}
    assert await user(game, "SYS_DELETE_USER", **data) == {}
    assert (await player.refused("playerState", "READ")).reason_code == 40356
    assert await refused(game, "SYS_DELETE_USER", **data) == (400, 40374)
    assert await refused(game, "SYS_GET_USER_INFO", profileId=player.profile_id) == (400, 40374)
    assert (await game.client().log_in("Universal", name, "other"))["newUser"] == "true"


async def deletion_url(game: Game, player: Client) -> str:
    answer = await user(game, "SYS_CREATE_SELF_SERVICE_DELETION_URL_FOR_USER", profileId=player.profile_id)
    url: str = answer["url"]
    assert f"appId={APP_ID}" in url
    assert f"profileId={player.profile_id}" in url
    return url[url.index("/self-service") :]


CONFIRM = {"confirm": "delete"}


async def test_players_delete_themselves_once_they_confirm(game: Game) -> None:
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName="<b>Bats")
    url = await deletion_url(game, player)
    shown = await game.http.get(url)
    assert shown.status_code == 200
    assert "&lt;b&gt;Bats" in shown.text
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert (await game.http.post(url)).status_code == 400
    assert (await player.call("playerState", "READ"))["playerName"] == "<b>Bats"
    assert (await game.http.post(url, data=CONFIRM)).status_code == 200
    assert (await player.refused("playerState", "READ")).reason_code == 40356
    assert await refused(game, "SYS_GET_USER_INFO", profileId=player.profile_id) == (400, 40374)
    assert (await game.http.post(url, data=CONFIRM)).status_code == 410
    assert (await game.http.get(url)).status_code == 410


async def test_only_the_newest_deletion_link_works_and_not_for_long(game: Game) -> None:
    player = await game.player()
    first, second = await deletion_url(game, player), await deletion_url(game, player)
    assert (await game.http.get(first)).status_code == 410
    assert (await game.http.post(first, data=CONFIRM)).status_code == 410
    assert (await game.http.get(second)).status_code == 200
    game.clock.advance(5 * 60)
    assert (await game.http.post(second, data=CONFIRM)).status_code == 410
    await player.call("playerState", "READ")
    create = "SYS_CREATE_SELF_SERVICE_DELETION_URL_FOR_USER"
    assert await refused(game, create, profileId=NOBODY) == (400, 40374)


async def test_a_deletion_link_is_kept_as_a_digest(game: Game) -> None:
    player = await game.player()
    url = await deletion_url(game, player)
    [token] = re.findall(r"deletionToken=([^&]+)", url)
    async with game.core.database.read() as tx:
        rows = await tx.all(select(one_time_tokens))
    assert rows
    assert all(token not in str(tuple(row)) for row in rows)


async def test_a_new_password_ends_a_deletion_link(game: Game) -> None:
    profile, name = await made(game)
    player = game.client()
    await player.log_in("Universal", name, "secret")
    url = await deletion_url(game, player)
    await user(game, "SYS_SET_PASSWORD_UNIVERSAL_ID", profileId=profile, password="new")
    assert (await game.http.post(url, data=CONFIRM)).status_code == 410
    await user(game, "SYS_GET_USER_INFO", profileId=profile)


@pytest.mark.parametrize(
    "query", ["", "?deletionToken=", "?deletionToken=%00", f"?deletionToken={'x' * 4000}"]
)
async def test_deletion_pages_of_nobody(game: Game, query: str) -> None:
    for answer in (
        await game.http.get(f"/self-service/delete-account{query}"),
        await game.http.post(f"/self-service/delete-account{query}", data=CONFIRM),
    ):
        assert answer.status_code == 410


async def test_deletion_pages_are_limited(game: Game) -> None:
    for _ in range(faces.LOOKS_MAX):
        assert (await game.http.get("/self-service/delete-account?deletionToken=guess")).status_code == 410
    player = await game.player()
    url = await deletion_url(game, player)
    assert (await game.http.get(url)).status_code == 429
    assert (await game.http.post(url, data=CONFIRM)).status_code == 429
    await player.call("playerState", "READ")
