import asyncio
import hmac
import json
import secrets
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import update

import gameserver
from gameserver.admin import actions
from gameserver.apps import load_apps
from gameserver.players import accounts, identities, links, pairs, passwords, profiles, resets
from gameserver.players.mail import Letter
from gameserver.players.passwords import Busy, Passwords
from tests.conftest import APP_ID, APP_TOML, Client, Game, Refusal

SERVICE = "authenticationV2"

Define = Callable[..., None]


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


@pytest.fixture
def define(game: Game, apps_folder: Path) -> Define:
    """Gives the test app further settings, as an edited definition would."""

    def define(settings: str = "", **files: str) -> None:
        for name, content in files.items():
            (apps_folder / "test" / name.replace("__", ".")).write_text(content)
        (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return define


class Postbox:
    """Takes the place of the mail server."""

    def __init__(self) -> None:
        self.letters: asyncio.Queue[Letter] = asyncio.Queue()

    async def send(self, _: Any, letter: Letter) -> None:
        await self.letters.put(letter)

    async def next(self) -> Letter:
        async with asyncio.timeout(10):
            return await self.letters.get()

    def link(self, letter: Letter) -> str:
        [found] = [word for word in letter.text.split() if word.startswith("http")]
        return found


@pytest.fixture
def postbox(game: Game, monkeypatch: pytest.MonkeyPatch) -> Postbox:
    box = Postbox()
    monkeypatch.setattr(game.core, "mailer", box)
    return box


async def refused_login(
    client: Client, type_: str, external_id: str, token: str = "", **data: Any
) -> Refusal:
    try:
        answer = await client.log_in(type_, external_id, token, **data)
    except Refusal as refusal:
        return refusal
    raise AssertionError(f"the login was not refused: {answer}")


def outcome(refusal: Refusal) -> tuple[int, int]:
    return refusal.status, refusal.reason_code


async def mails_are_out() -> None:
    """Waits for mail that is on its way."""
    while links._posting:
        await asyncio.gather(*links._posting)


# The answer


async def test_the_login_answer_holds_the_whole_state(game: Game) -> None:
    client = game.client()
    answer = await client.log_in(languageCode="fr", countryCode="CA", timeZoneOffset=-3.5)
    now = game.clock.ms()
    assert answer["sessionId"] == client.session_id
    assert answer["id"] == answer["profileId"] == client.profile_id
    expected = {
        "newUser": "true",
        "playerSessionExpiry": 1200,
        "maxBundleMsgs": 10,
        "maxKillCount": 11,
        "compressIfLarger": 51200,
        "server_time": now,
        "createdAt": now,
        "lastLogin": now,
        "previousLogin": None,
        "loginCount": 1,
        "playerName": "",
        "pictureUrl": None,
        "emailAddress": None,
        "languageCode": "fr",
        "countryCode": "CA",
        "timeZoneOffset": -3.5,
        "isTester": False,
        "parentProfileId": None,
        "summaryFriendData": None,
        "experiencePoints": 0,
        "experienceLevel": 0,
        "xpCapped": False,
        "amountSpent": 0,
        "refundCount": 0,
        "vcPurchased": 0,
        "vcClaimed": 0,
        "incoming_events": [],
        "sent_events": [],
        "rewards": {"rewards": {}, "rewardDetails": {}, "currency": {}},
    }
    assert {key: answer[key] for key in expected} == expected
    assert isinstance(answer["currency"], dict)
    assert isinstance(answer["statistics"], dict)
    assert isinstance(answer["abTestingId"], int)
    assert 1 <= answer["abTestingId"] <= 100
    assert "switchToAppId" not in answer
    assert "handoffJson" not in answer


async def test_a_second_login_finds_the_player(game: Game) -> None:
    id_ = game.unique("device")
    first = await game.client().log_in(
        "Anonymous", id_, languageCode="fr", countryCode="CA", timeZoneOffset=2
    )
    game.clock.advance(90)
    second = await game.client().log_in("Anonymous", id_, forceCreate=False, profileId=first["profileId"])
    assert second["profileId"] == first["profileId"]
    assert second["newUser"] == "false"
    assert second["loginCount"] == 2
    assert second["previousLogin"] == first["lastLogin"]
    assert second["lastLogin"] == first["lastLogin"] + 90_000
    assert second["createdAt"] == first["createdAt"]
    assert second["abTestingId"] == first["abTestingId"]
    # what the client does not say stays
    assert (second["languageCode"], second["countryCode"], second["timeZoneOffset"]) == ("fr", "CA", 2)


async def test_defaults_of_the_app_for_clients_that_name_no_language(game: Game, define: Define) -> None:
    define('default_language = "pt-BR"\ndefault_country = "BR"\n')
    answer = await game.client().log_in(languageCode=None, countryCode="")
    assert (answer["languageCode"], answer["countryCode"]) == ("pt-BR", "BR")


async def test_read_answers_with_the_same_state(game: Game) -> None:
    client = game.client()
    answer = await client.log_in()
    state = await client.call("playerState", "READ")
    login_only = {
        "sessionId",
        "newUser",
        "playerSessionExpiry",
        "maxBundleMsgs",
        "maxKillCount",
        "compressIfLarger",
        "rewards",
    }
    missing = answer.keys() - state.keys() - login_only
    assert not missing
    assert {key: answer[key] for key in state if key in answer} == {
        key: state[key] for key in state if key in answer
    }


async def test_the_session_remembers_the_client(game: Game) -> None:
    client = game.client()
    await client.log_in(
        releasePlatform="WEB",
        gameVersion="1.2.0",
        clientLib="js",
        clientLibVersion="5.7.0",
        compressResponses=True,
        extraJson={"party": 7},
    )
    session = await game.core.sessions.peek(client.session_id)
    facts = session.facts  # type: ignore[union-attr]
    assert facts["releasePlatform"] == "WEB"
    assert facts["gameVersion"] == "1.2.0"
    assert facts["clientLib"] == "js"
    assert facts["compressResponses"] is True
    assert facts["extraJson"] == {"party": 7}


async def test_large_extra_json_is_taken_but_not_kept_and_beyond_the_limit_refused(game: Game) -> None:
    client = game.client()
    await client.log_in(extraJson={"text": "x" * 2000})
    session = await game.core.sessions.peek(client.session_id)
    assert "extraJson" not in session.facts  # type: ignore[union-attr]
    refusal = await refused_login(client, "Anonymous", "any", extraJson={"text": "x" * 17_000})
    assert outcome(refusal) == (400, 40660)


async def test_tolerates_what_sdks_leave_out_or_send_as_null(game: Game) -> None:
    answer = await game.client().log_in(
        authenticationToken=None, profileId=None, anonymousId=None, extraJson=None, externalAuthName=None,
        timeZoneOffset=None, compressResponses=None, languageCode=None,
    )  # fmt: skip
    assert answer["newUser"] == "true"


# Outcomes


async def test_unknown_identities(game: Game) -> None:
    client, id_ = game.client(), game.unique("nobody")
    for type_ in ("Anonymous", "Universal"):
        refusal = await refused_login(client, type_, id_, "secret", forceCreate=False)
        assert outcome(refusal) == (202, 40208)
        for force in (True, False):
            refusal = await refused_login(
                client, type_, id_, "secret", forceCreate=force, profileId="some-profile"
            )
            assert outcome(refusal) == (202, 40206)


async def test_a_profile_of_somebody_else_leaves_the_previous_session_valid(game: Game) -> None:
    ada, id_ = await game.player(), game.unique("bob")
    bob = game.client()
    await bob.log_in("Universal", id_, "secret")
    session_id = bob.session_id
    refusal = await refused_login(bob, "Universal", id_, "secret", profileId=ada.profile_id)
    assert outcome(refusal) == (202, 40207)
    assert bob.session_id == session_id
    await bob.call("playerState", "READ")


# Devices that come back


async def come_back(game: Game, device: str, profile_id: str) -> Client:
    """What the SDKs' wrappers do when a player returns."""
    client = game.client()
    await client.log_in("Anonymous", device, profileId=profile_id, anonymousId=device, forceCreate=False)
    assert client.profile_id == profile_id
    return client


async def outcome_of_return(game: Game, device: str, profile_id: str) -> tuple[int, int]:
    try:
        await come_back(game, device, profile_id)
    except Refusal as refusal:
        return outcome(refusal)
    return 200, 0


@pytest.mark.parametrize("type_", ["Universal", "Email", "External", "Handoff"])
async def test_after_a_login_of_any_type_its_device_may_come_back(
    game: Game, define: Define, type_: str
) -> None:
    key = "0123456789abcdef0123456789abcdef"
    define(
        '[external.studio]\nkind = "token"\nissuer = "i"\naudience = "a"\n'
        f'algorithm = "HS256"\nkey = "{key}"\n'
    )
    device, player = game.unique("device"), await game.player()
    subject = game.unique("ada")
    vouched = {"iss": "i", "aud": "a", "sub": subject, "exp": game.clock.ms() // 1000 + 60}
    credentials = {
        "Universal": (game.unique("ada"), "secret"),
        "Email": (f"{game.unique('ada')}@example.com", "secret"),
        "External": (subject, jwt.encode(vouched, key)),
    }
    if type_ == "Handoff":
        made = await game.server.call("identity", "CREATE_HANDOFF_ID", player.profile_id)
        credentials["Handoff"] = (made["handoffId"], made["securityToken"])
    client = game.client()
    name: dict[str, Any] = {"externalAuthName": "studio"} if type_ == "External" else {}
    await client.log_in(type_, *credentials[type_], anonymousId=device, **name)
    await client.call("playerState", "LOGOUT")
    again = await come_back(game, device, client.profile_id)
    await again.call("playerState", "READ")


async def test_a_device_is_good_for_each_player_who_used_it(game: Game) -> None:
    device = game.unique("device")
    own = game.client()
    await own.log_in("Anonymous", device, anonymousId=device)
    profiles = [own.profile_id]
    for _ in range(2):
        client = game.client()
        await client.log_in("Universal", game.unique("ada"), "secret", anonymousId=device)
        profiles.append(client.profile_id)
    for profile_id in profiles * 2:
        await come_back(game, device, profile_id)
    stranger, other_device = await game.player(), game.unique("device")
    assert await outcome_of_return(game, device, stranger.profile_id) == (202, 40207)
    assert await outcome_of_return(game, other_device, profiles[1]) == (202, 40206)


async def test_a_refused_login_makes_no_pair(game: Game) -> None:
    device, id_ = game.unique("device"), game.unique("ada")
    ada = game.client()
    await ada.log_in("Universal", id_, "secret")
    await refused_login(game.client(), "Universal", id_, "wrong", anonymousId=device)
    assert await outcome_of_return(game, device, ada.profile_id) == (202, 40206)
    long = await refused_login(game.client(), "Universal", id_, "secret", anonymousId="x" * 257)
    assert outcome(long) == (400, 40660)


async def test_a_new_password_ends_what_devices_may(game: Game) -> None:
    thief, id_ = game.unique("device"), game.unique("ada")
    ada = game.client()
    await ada.log_in("Universal", id_, "stolen", anonymousId=thief)
    await come_back(game, thief, ada.profile_id)
    async with game.core.database.write() as tx:  # as every change of a password does
        await profiles.raise_epoch(tx, APP_ID, ada.profile_id)
    assert await outcome_of_return(game, thief, ada.profile_id) == (202, 40206)
    await game.client().log_in("Universal", id_, "stolen", anonymousId=thief)
    await come_back(game, thief, ada.profile_id)


async def test_the_devices_of_a_player_are_bounded(game: Game) -> None:
    id_, devices = game.unique("ada"), [game.unique("device") for _ in range(pairs.DEVICES_MAX + 2)]
    client = game.client()
    for device in devices:
        await client.log_in("Universal", id_, "secret", anonymousId=device)
        game.clock.advance(1)
    for device in devices[:2]:
        assert await outcome_of_return(game, device, client.profile_id) == (202, 40206)
    for device in devices[2:]:
        await come_back(game, device, client.profile_id)


async def test_a_known_pair_costs_a_login_nothing(game: Game) -> None:
    id_, device = game.unique("ada"), game.unique("device")
    await game.client().log_in("Universal", id_, "secret")

    async def statements(**data: Any) -> list[str]:
        seen = game.statements()
        await game.client().log_in("Universal", id_, "secret", **data)
        game.core.database.observe = None
        return [kind for kind in seen if kind != "run_many"]

    without = await statements()
    await statements(anonymousId=device)
    assert await statements(anonymousId=device) == without


async def test_the_id_of_a_device_opens_nothing_without_its_profile(game: Game, define: Define) -> None:
    device = game.unique("device")
    first = await game.client().log_in("Anonymous", device)
    for force in (True, False):
        refusal = await refused_login(game.client(), "Anonymous", device, forceCreate=force)
        assert outcome(refusal) == (202, 40209)
    await come_back(game, device, first["profileId"])
    define("[login]\nanonymous_id_alone = true\n")
    assert (await game.client().log_in("Anonymous", device))["profileId"] == first["profileId"]
    unknown = await refused_login(game.client(), "Anonymous", game.unique("device"), forceCreate=False)
    assert outcome(unknown) == (202, 40208)


@pytest.mark.parametrize("password", ["password1", "PASSWORD1", "12345678", "Qwertyuiop", "dragon123"])
async def test_common_passwords_are_refused_where_the_app_says_so(
    game: Game, define: Define, password: str
) -> None:
    await game.client().log_in("Universal", game.unique("ada"), password)
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, password)
    define("[login]\nrefuse_common_passwords = true\n")
    refusal = await refused_login(game.client(), "Universal", game.unique("ada"), password)
    assert outcome(refusal) == (400, 550022)
    await game.client().log_in("Universal", id_, password)  # one in use stays valid
    await game.client().log_in("Universal", game.unique("ada"), f"{password} and more of it")


def test_the_list_of_common_passwords_is_one_of_passwords() -> None:
    words = passwords._common()
    assert len(words) > 900
    assert all(word == word.casefold() and 4 <= len(word) <= 20 for word in words)


async def test_new_accounts_count_before_the_work_of_their_passwords(
    game: Game, define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    define("[quotas]\nnew_players_per_address = 2\n")
    transport: Any = game.http._transport
    monkeypatch.setattr(transport, "client", (f"2001:db8:{secrets.token_hex(2)}::1", 1))
    made, hash_ = [], game.core.passwords.hash

    async def counted(text: str, network: str = "") -> str:
        made.append(text)
        return await hash_(text, network)

    monkeypatch.setattr(game.core.passwords, "hash", counted)
    for number in range(2):
        await game.client().log_in("Universal", game.unique("ada"), f"secret {number}")
    refusal = await refused_login(game.client(), "Universal", game.unique("ada"), "secret 2")
    assert refusal.reason_code == 40823
    assert made == ["secret 0", "secret 1"]


async def test_wrong_password_and_empty_ids(game: Game) -> None:
    client, id_ = game.client(), game.unique("ada")
    await client.log_in("Universal", id_, "secret")
    assert outcome(await refused_login(game.client(), "Universal", id_, "Secret")) == (403, 40307)
    assert outcome(await refused_login(game.client(), "Universal", id_, "x" * 5000)) == (403, 40307)
    for type_ in ("Anonymous", "Universal", "Email", "External", "Handoff", "SettopHandoff"):
        refusal = await game.client().refused(
            SERVICE, "AUTHENTICATE", authenticationType=type_, externalId="", forceCreate=True
        )
        assert outcome(refusal) == (403, 40307), type_


async def test_ids_beyond_the_limit_are_nobodys(game: Game) -> None:
    client = game.client()
    await client.log_in("Anonymous", "x" * accounts.EXTERNAL_ID_MAX)
    refusal = await refused_login(client, "Anonymous", "x" * (accounts.EXTERNAL_ID_MAX + 1))
    assert outcome(refusal) == (403, 40307)


async def test_mail_addresses_are_the_same_in_every_case(game: Game) -> None:
    name = game.unique("Ada")
    first = await game.client().log_in("Email", f"{name}@Example.com", "secret")
    second = await game.client().log_in("Email", f" {name.upper()}@example.COM", "secret", forceCreate=False)
    assert second["profileId"] == first["profileId"]
    assert first["emailAddress"] == f"{name.lower()}@example.com"


async def test_letters_that_only_look_like_an_address_are_another_account(
    game: Game, postbox: Postbox
) -> None:
    name = game.unique("kate")
    kate = await game.client().log_in("Email", f"{name}@example.com", "secret")
    kelvin = await game.client().log_in("Email", f"\N{KELVIN SIGN}{name[1:]}@example.com", "other")
    assert kelvin["newUser"] == "true"
    assert kelvin["emailAddress"] is None  # it is no address that mail servers take
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=f"{name.upper()}@EXAMPLE.com")
    assert (await postbox.next()).to == kate["emailAddress"] == f"{name}@example.com"


async def test_an_email_identity_need_not_be_an_address(game: Game, define: Define, postbox: Postbox) -> None:
    id_ = game.unique("no address")
    first = await game.client().log_in("Email", id_, "secret")
    assert first["emailAddress"] is None
    assert (await game.client().log_in("Email", id_.upper(), "secret"))["newUser"] == "false"
    await game.server.call("playerState", "RESEND_VALIDATION_EMAIL", first["profileId"])
    await mails_are_out()
    assert postbox.letters.empty()
    define("[login]\nvalidated_email_only = true\n")
    refusal = await refused_login(game.client(), "Email", game.unique("no address"), "secret")
    assert outcome(refusal) == (400, 40221)


async def test_a_universal_id_is_one_however_its_letters_were_composed(game: Game) -> None:
    id_ = game.unique("Zo\u00eb")
    composed, apart = unicodedata.normalize("NFC", id_), unicodedata.normalize("NFD", id_)
    assert composed != apart
    first = await game.client().log_in("Universal", apart, "secret")
    again = await game.client().log_in("Universal", composed, "secret", forceCreate=False)
    assert again["profileId"] == first["profileId"]
    assert (await game.client().log_in("Universal", composed.upper(), "secret"))["newUser"] == "true"


@pytest.mark.parametrize("id_", [" ", "\t\n", "\u3000", "\N{NO-BREAK SPACE}"])
@pytest.mark.parametrize("type_", ["Anonymous", "Universal", "Email"])
async def test_ids_of_blanks_are_nobodys(game: Game, type_: str, id_: str) -> None:
    assert outcome(await refused_login(game.client(), type_, id_, "secret")) == (403, 40307)


async def test_one_id_in_two_types_is_two_players(game: Game) -> None:
    id_ = game.unique("id")
    anonymous = await game.client().log_in("Anonymous", id_)
    universal = await game.client().log_in("Universal", id_, "secret")
    assert anonymous["profileId"] != universal["profileId"]


async def test_types_that_nobody_here_can_vouch_for(game: Game, define: Define) -> None:
    client = game.client()
    for type_ in ("Facebook", "Apple", "Steam", "Blockchain"):
        assert outcome(await refused_login(client, type_, "id", "token")) == (403, 40302)
    assert outcome(await refused_login(client, "Parse", "id", "token")) == (403, 40307)
    assert outcome(await refused_login(client, "Telepathy", "id", "token")) == (400, 40315)
    define('[login]\ntypes = ["Universal"]\n')
    assert outcome(await refused_login(client, "Anonymous", "id")) == (400, 40315)
    await client.log_in("Universal", game.unique("id"), "secret")


async def test_disabled_accounts_and_disabled_logins(game: Game, define: Define) -> None:
    player = await game.player()
    id_ = game.unique("ada")
    ada = game.client()
    await ada.log_in("Universal", id_, "secret")
    async with game.core.database.write() as tx:
        await tx.run(
            update(profiles.players)
            .where(profiles.players.c.profile_id == ada.profile_id)
            .values(is_disabled=True)
        )
    assert outcome(await refused_login(game.client(), "Universal", id_, "secret")) == (403, 40790)
    # who does not know the password learns nothing of it
    assert outcome(await refused_login(game.client(), "Universal", id_, "wrong")) == (403, 40307)
    define('disabled_reason = { message = "back soon" }\n[login]\nenabled = false\n')
    refusal = await refused_login(game.client(), "Anonymous", "any")
    assert outcome(refusal) == (403, 40330)
    assert refusal.raw["disabledReason"] == {"message": "back soon"}
    await player.call("playerState", "READ")


async def test_redirect(game: Game, define: Define) -> None:
    define('[redirect]\nurl = "https://eu.example.com/dispatcherv2"\napp_id = "20002"\n')
    refusal = await refused_login(game.client(), "Anonymous", "any")
    assert outcome(refusal) == (202, 40308)
    assert refusal.raw["redirect_url"] == "https://eu.example.com/dispatcherv2"
    assert refusal.raw["redirect_appid"] == "20002"


async def test_version_floor_and_platforms(game: Game, define: Define) -> None:
    define(
        '[clients]\nminimum_version = "1.4.0"\nupgrade_url = "https://example.com/get"\n'
        'platforms = ["WEB", "IOS"]\n'
        '[clients.minimum_versions]\nIOS = "1.10"\n[clients.upgrade_urls]\nIOS = "https://example.com/ios"\n'
    )
    client = game.client()
    await client.log_in(releasePlatform="Web", gameVersion="1.4")
    await client.log_in(releasePlatform="ios", gameVersion="1.10.0")
    for platform, version, url in (
        ("WEB", "1.3.9", "https://example.com/get"),
        ("web", None, "https://example.com/get"),
        ("ios", "1.9", "https://example.com/ios"),
    ):
        refusal = await refused_login(
            client, "Anonymous", "any", releasePlatform=platform, gameVersion=version
        )
        assert outcome(refusal) == (400, 40322)
        assert refusal.raw["upgradeAppId"] == url
        assert "obsolete" in refusal.message
    assert outcome(await refused_login(client, "Anonymous", "any", releasePlatform="ANG")) == (400, 40320)
    assert outcome(await refused_login(client, "Anonymous", "any")) == (400, 40320)


async def test_a_refused_login_makes_no_player(game: Game, define: Define) -> None:
    define("[login]\npassword_min_length = 8\n")
    id_ = game.unique("ada")
    assert outcome(await refused_login(game.client(), "Universal", id_, "1234567")) == (400, 550022)
    assert outcome(await refused_login(game.client(), "Universal", id_, "x" * 1025)) == (403, 40307)
    assert outcome(await refused_login(game.client(), "Universal", id_, "é" * 600)) == (400, 550022)
    assert outcome(await refused_login(game.client(), "Universal", id_, "12345678", forceCreate=False)) == (
        202,
        40208,
    )
    assert (await game.client().log_in("Universal", id_, "12345678"))["newUser"] == "true"


async def test_two_first_logins_at_once_make_one_player(game: Game) -> None:
    id_ = game.unique("ada")
    answers = await asyncio.gather(*(game.client().log_in("Universal", id_, "secret") for _ in range(4)))
    assert len({answer["profileId"] for answer in answers}) == 1
    assert sorted(answer["newUser"] for answer in answers) == ["false"] * 3 + ["true"]


async def test_login_and_first_call_in_one_packet(game: Game) -> None:
    client = game.client()
    login = {"authenticationType": "Anonymous", "externalId": game.unique("id"), "forceCreate": True}
    entries = await client.packet((SERVICE, "AUTHENTICATE", login), ("playerState", "READ", {}))
    assert [entry["status"] for entry in entries] == [200, 200]
    assert entries[0]["data"]["profileId"] == entries[1]["data"]["profileId"]


# Guessing


async def test_an_account_locks_after_too_many_failures_and_opens_again(game: Game) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(5):
        assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
    locked = await refused_login(game.client(), "Universal", id_, "guess")
    assert outcome(locked) == (403, 40788)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).raw == locked.raw
    game.clock.advance(59)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    game.clock.advance(2)
    await game.client().log_in("Universal", id_, "secret")


async def test_an_account_that_does_not_exist_locks_alike(game: Game) -> None:
    id_ = game.unique("nobody")
    for _ in range(5):
        assert (
            await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        ).reason_code == 40208
    for force in (False, True):
        refusal = await refused_login(game.client(), "Universal", id_, "x", forceCreate=force)
        assert outcome(refusal) == (403, 40788)


async def test_success_forgets_the_failures_of_the_account(game: Game) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(3):
        for _ in range(4):
            assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
        await game.client().log_in("Universal", id_, "secret")


async def test_many_guesses_at_once_are_no_more_than_the_limit(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    looked_at = 0
    verify = Passwords.verify

    async def counted(self: Passwords, digest: str | None, text: str, network: str = "") -> bool:
        nonlocal looked_at
        looked_at += 1
        return await verify(self, digest, text, network)

    monkeypatch.setattr(Passwords, "verify", counted)
    refusals = await asyncio.gather(
        *(refused_login(game.client(), "Universal", id_, f"guess {n}") for n in range(18))
    )
    assert looked_at <= 2 * 5  # at worst a lock falls between two steps of a guess that is under way
    assert {refusal.reason_code for refusal in refusals} == {40307, 40788}


def call_from(game: Game, address: str) -> None:
    """Let the calls from here on come from an address."""
    transport: Any = game.http._transport
    transport.client = (address, 1)


def some_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


async def test_locks_grow_with_each_one(game: Game) -> None:
    call_from(game, some_address())
    id_ = game.unique("nobody")
    for seconds in (60, 120, 240):
        for _ in range(5):
            await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        game.clock.advance(seconds - 1)
        locked = await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        assert locked.reason_code == 40788, seconds
        game.clock.advance(1)


async def test_others_do_not_lock_a_player_out_where_they_have_logged_in(game: Game) -> None:
    home, elsewhere, stranger = some_address(), some_address(), some_address()
    id_ = game.unique("ada")
    call_from(game, home)
    await game.client().log_in("Universal", id_, "secret")
    call_from(game, stranger)
    for _ in range(5):
        await refused_login(game.client(), "Universal", id_, "guess")
    call_from(game, elsewhere)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    call_from(game, home)
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(5):  # and whoever guesses there locks that network alone
        assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    game.clock.advance(60)
    call_from(game, elsewhere)
    await game.client().log_in("Universal", id_, "secret")


async def test_an_address_locks_after_failures_on_many_accounts(game: Game) -> None:
    known = game.unique("ada")
    call_from(game, some_address())
    await game.client().log_in("Universal", known, "secret")
    call_from(game, some_address())
    for _ in range(20):
        await refused_login(game.client(), "Universal", game.unique("guess"), "123456", forceCreate=False)
    assert (await refused_login(game.client(), "Universal", known, "secret")).reason_code == 40788
    await game.client().log_in("Anonymous")  # needs no guessing
    game.clock.advance(61)
    await game.client().log_in("Universal", known, "secret")


async def test_concealed_accounts(game: Game, define: Define) -> None:
    define("[login]\nconceal_accounts = true\n")
    known, unknown = game.unique("ada"), game.unique("nobody")
    await game.client().log_in("Universal", known, "secret")
    wrong = await refused_login(game.client(), "Universal", known, "guess", forceCreate=False)
    for data in ({}, {"profileId": "some-profile"}):
        nobody = await refused_login(game.client(), "Universal", unknown, "guess", forceCreate=False, **data)
        assert nobody.raw == wrong.raw
    refusal = await refused_login(game.client(), "Anonymous", game.unique("id"), forceCreate=False)
    assert refusal.reason_code == 40208


async def test_an_unknown_account_costs_the_same_password_check(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    checked: list[bool] = []
    verify = Passwords.verify

    async def noted(self: Passwords, digest: str | None, text: str, network: str = "") -> bool:
        checked.append(digest is not None)
        return await verify(self, digest, text, network)

    monkeypatch.setattr(Passwords, "verify", noted)
    await refused_login(game.client(), "Universal", id_, "guess", forceCreate=False)
    await refused_login(game.client(), "Universal", game.unique("nobody"), "guess", forceCreate=False)
    assert checked == [True, False]


async def test_an_outdated_digest_is_renewed_at_login(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    dearer = Passwords(memory_kib=16, passes=1)
    try:
        monkeypatch.setattr(game.core.accounts, "_passwords", dearer)

        async def digest() -> str:
            async with game.core.database.read() as tx:
                row = await identities.find(tx, APP_ID, "Universal", id_)
            assert row is not None
            return str(row["digest"])

        before = await digest()
        assert dearer.outdated(before)
        await game.client().log_in("Universal", id_, "secret")
        assert not dearer.outdated(await digest())
        await game.client().log_in("Universal", id_, "secret")
    finally:
        dearer.close()


async def test_a_password_changed_during_the_login_is_the_one_that_counts(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = game.unique("ada")
    profile_id = (await game.client().log_in("Universal", id_, "old"))["profileId"]
    verify, changed = Passwords.verify, asyncio.Event()

    async def overtaken(self: Passwords, digest: str | None, text: str, network: str = "") -> bool:
        right = await verify(self, digest, text, network)
        if not changed.is_set():
            changed.set()
            new = await self.hash("new")
            async with game.core.database.write() as tx:
                assert await identities.set_digest(tx, APP_ID, profile_id, "Universal", id_, new)
        return right

    monkeypatch.setattr(Passwords, "verify", overtaken)
    assert (await refused_login(game.client(), "Universal", id_, "old")).reason_code == 40307
    assert changed.is_set()
    await game.client().log_in("Universal", id_, "new")


async def test_a_known_device_costs_one_statement_whatever_services_add_to_its_state(
    game: Game,
) -> None:
    id_ = game.unique("device")
    profile_id = (await game.client().log_in("Anonymous", id_))["profileId"]
    seen: list[int] = []
    for _ in range(5):  # what the server does besides now and then only adds
        statements: list[str] = []
        game.core.database.observe = lambda kind, _, found=statements: found.append(kind)
        try:
            await game.client().log_in("Anonymous", id_, profileId=profile_id, anonymousId=id_)
        finally:
            game.core.database.observe = None
        seen.append(len([kind for kind in statements if kind in ("one", "all", "only")]))
    assert min(seen) == 1, seen


async def test_a_login_of_a_player_who_is_there_is_one_round_trip(game: Game, define: Define) -> None:
    if game.core.database.dialect == "sqlite":
        pytest.skip("no round trips")
    define("[login]\nanonymous_id_alone = true\n")
    id_, device = game.unique("ada"), game.unique("device")
    ada = game.client()
    await ada.log_in("Anonymous", id_)
    name = {"authenticationType": "Universal", "externalId": id_, "authenticationToken": "secret"}
    await ada.call("identity", "ATTACH", **name)
    logins: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("Anonymous", id_), {}),
        (("Anonymous", id_), {"profileId": ada.profile_id, "anonymousId": id_}),
        (("Universal", id_, "secret"), {}),
        (("Universal", id_, "secret"), {"anonymousId": device}),
    ]
    for words, data in logins:
        await game.client().log_in(*words, **data)  # what it remembers is known then
        seen = game.statements()
        await game.client().log_in(*words, **data)
        game.core.database.observe = None
        wrote = [kind for kind in seen if kind in ("only", "run", "later", "commit")]
        assert wrote == ["only"], (words, data, seen)


async def test_a_refused_login_of_a_disabled_account_is_not_noted(game: Game) -> None:
    id_, device = game.unique("ada"), game.unique("device")
    ada = game.client()
    before = await ada.log_in("Universal", id_, "secret", languageCode="en")
    game.clock.advance(5)
    await actions.player_disable(game.server_app, APP_ID, ada.profile_id)
    tries: list[dict[str, Any]] = [{}, {"anonymousId": device}, {"languageCode": "fr", "timeZoneOffset": 3}]
    for data in tries:
        refusal = await refused_login(game.client(), "Universal", id_, "secret", **data)
        assert refusal.reason_code == 40790
    await actions.player_enable(game.server_app, APP_ID, ada.profile_id)
    assert await outcome_of_return(game, device, ada.profile_id) == (202, 40206)
    state = await game.client().log_in("Universal", id_, "secret")
    assert (state["loginCount"], state["previousLogin"]) == (2, before["lastLogin"])
    assert (state["languageCode"], state["timeZoneOffset"]) == ("en", before["timeZoneOffset"])


# External logins


@asynccontextmanager
async def vouching_service(answer: Callable[[dict[str, str], bytes], Awaitable[bytes]]) -> AsyncIterator[str]:
    """A small web service; `answer` makes the whole response from headers and body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        writer.write(await answer(headers, body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/vouch"


def response(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HOOK_SECRET = "a-secret-of-the-web-service"


async def test_external_login_by_a_web_service(game: Game, define: Define) -> None:
    questions: list[dict[str, Any]] = []

    async def answer(headers: dict[str, str], body: bytes) -> bytes:
        if not body:  # a redirect was followed
            return response("200 OK", b'{"valid":true}')
        signature = "sha256=" + hmac.digest(HOOK_SECRET.encode(), body, "sha256").hex()
        assert headers["x-signature"] == signature
        questions.append(json.loads(body))
        match questions[-1]["token"]:
            case "right":
                return response("200 OK", b'{"valid":true}')
            case "wrong":
                return response("200 OK", b'{"valid":false}')
            case "forbidden":
                return response("403 Forbidden", b"")
            case "elsewhere":
                return response("302 Found", b"", "Location: /else")
            case "large":
                return response("200 OK", b'{"valid":true,"x":"' + b"x" * 100_000 + b'"}')
            case "text":
                return response("200 OK", b"yes")
            case _:
                return response("500 Oops", b"")

    async with vouching_service(answer) as url:
        define(f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n')
        id_ = game.unique("ada")
        first = await game.client().log_in("External", id_, "right", externalAuthName="studio")
        again = await game.client().log_in(
            "External", id_, "right", externalAuthName="studio", forceCreate=False
        )
        assert again["profileId"] == first["profileId"]
        assert questions[0] == {
            "appId": APP_ID,
            "externalAuthName": "studio",
            "externalId": id_,
            "token": "right",
            "timestamp": game.clock.ms(),
        }
        for token, reason in (
            ("wrong", 40307),
            ("forbidden", 40307),
            ("elsewhere", 40302),
            ("large", 40302),
            ("text", 40302),
            ("broken", 40302),
        ):
            refusal = await refused_login(game.client(), "External", id_, token, externalAuthName="studio")
            assert outcome(refusal) == (403, reason), token
        new = game.unique("bob")
        refusal = await refused_login(
            game.client(), "External", new, "right", externalAuthName="studio", forceCreate=False
        )
        assert outcome(refusal) == (202, 40208)
    await game.core.accounts.close()
    refusal = await refused_login(game.client(), "External", id_, "right", externalAuthName="studio")
    assert outcome(refusal) == (403, 40302)


async def test_what_a_web_service_says_of_a_player_is_kept_for_servers(game: Game, define: Define) -> None:
    async def answer(_: dict[str, str], body: bytes) -> bytes:
        return response("200 OK", json.loads(body)["token"].encode())

    async def log_in(verdict: str) -> Any:
        return await game.client().log_in("External", id_, verdict, externalAuthName="studio")

    async def kept(profile_id: str) -> Any:
        found = await game.server.call(
            "identity", "GET_IDENTITY_DATA", profile_id, authenticationType="External"
        )
        return found["identityData"]

    async with vouching_service(answer) as url:
        define(f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n')
        id_ = game.unique("ada")
        player = (await log_in('{"valid":true,"identityData":{"clan":"red","n":12345678901234567890}}'))[
            "profileId"
        ]
        assert await kept(player) == {"clan": "red", "n": 12345678901234567890}
        for verdict, after in (
            ('{"valid":true}', {"clan": "red", "n": 12345678901234567890}),
            ('{"valid":true,"identityData":{"clan":"blue"}}', {"clan": "blue"}),
            ('{"valid":true,"identityData":{}}', None),
            ('{"valid":true,"identityData":{"a":[{}]}}', {"a": [{}]}),
            ('{"valid":true,"identityData":null}', None),
        ):
            await log_in(verdict)
            assert await kept(player) == after, verdict
        for verdict in ('{"valid":true,"identityData":"red"}', '{"valid":true,"identityData":[1]}'):
            refusal = await refused_login(game.client(), "External", id_, verdict, externalAuthName="studio")
            assert outcome(refusal) == (403, 40302)


async def test_external_login_of_a_slow_web_service(game: Game, define: Define) -> None:
    waiting = asyncio.Event()

    async def answer(_: dict[str, str], body: bytes) -> bytes:
        if b"bob" not in body:
            await waiting.wait()
        return response("200 OK", b'{"valid":true}')

    async with vouching_service(answer) as url:
        define(
            f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n'
            "timeout_seconds = 0.5\n"
        )
        # The first one makes the HTTP client, which on a busy machine may take as long as an answer may.
        await game.client().log_in("External", game.unique("bob"), "right", externalAuthName="studio")
        refusal = await refused_login(game.client(), "External", "ada", "right", externalAuthName="studio")
        assert outcome(refusal) == (403, 40302)
        waiting.set()
    await game.core.accounts.close()


async def test_external_names_that_the_app_does_not_declare(game: Game) -> None:
    for name in ("nobody", "", None):
        refusal = await refused_login(game.client(), "External", "id", "token", externalAuthName=name)
        assert outcome(refusal) == (400, 40684)


async def test_external_login_by_a_signed_token(game: Game, define: Define) -> None:
    key, now = "0123456789abcdef0123456789abcdef", game.clock.ms() // 1000
    define(
        '[external.sso]\nkind = "token"\nissuer = "https://id.example.com"\naudience = "game"\n'
        f'algorithm = "HS256"\nkey = "{key}"\nleeway_seconds = 30\n'
    )
    right = {"iss": "https://id.example.com", "aud": "game", "sub": "ada", "exp": now + 60}

    def signed(algorithm: str = "HS256", signing_key: str = key, **claims: Any) -> str:
        return jwt.encode(
            {name: value for name, value in (right | claims).items() if value is not None},
            signing_key,
            algorithm=algorithm,
        )

    async def log_in(token: str) -> Any:
        return await game.client().log_in("External", "ada", token, externalAuthName="sso")

    first = await log_in(signed())
    assert (await log_in(signed(nbf=now)))["profileId"] == first["profileId"]
    assert (await log_in(signed(exp=now - 20)))["newUser"] == "false"  # within the leeway
    wrong = [
        signed(sub="bob"),
        signed(iss="https://evil.example.com"),
        signed(aud="other"),
        signed(exp=now - 31),
        signed(exp=None),
        signed(nbf=now + 31),
        signed(signing_key="f" * 32),
        signed("HS512", signing_key=key * 2),
        jwt.encode(right, "", algorithm="none"),
        signed()[:-2],
        "no token",
        "",
    ]
    for token in wrong:
        game.clock.advance(0)
        transport: Any = game.http._transport
        await game.core.accounts.attempt(game.app, "External", "sso/ada", transport.client[0]).unlock()
        refusal = await refused_login(game.client(), "External", "ada", token, externalAuthName="sso")
        assert outcome(refusal) == (403, 40307), token


async def test_external_logins_lock_too(game: Game, define: Define) -> None:
    define(
        '[external.sso]\nkind = "token"\nissuer = "i"\naudience = "a"\nalgorithm = "HS256"\n'
        'key = "0123456789abcdef0123456789abcdef"\n'
    )
    id_ = game.unique("ada")
    reasons = [
        (await refused_login(game.client(), "External", id_, "x", externalAuthName="sso")).reason_code
        for _ in range(6)
    ]
    assert reasons == [40307] * 5 + [40788]


# Validated addresses


async def test_an_app_may_want_addresses_proven_first(game: Game, define: Define, postbox: Postbox) -> None:
    define("[login]\nvalidated_email_only = true\n")
    address = f"{game.unique('ada')}@example.com"
    refusal = await refused_login(game.client(), "Email", address, "secret")
    assert outcome(refusal) == (403, 40214)
    letter = await postbox.next()
    assert letter.to == address
    # not again for a wrong password, and no way around it
    assert (await refused_login(game.client(), "Email", address, "guess")).reason_code == 40307
    assert (await refused_login(game.client(), "Email", address, "secret")).reason_code == 40214
    link = postbox.link(letter)
    assert (await game.http.get(link)).status_code == 200
    assert (await refused_login(game.client(), "Email", address, "secret")).reason_code == 40214
    assert (await game.http.post(link)).status_code == 200
    answer = await game.client().log_in("Email", address, "secret", forceCreate=False)
    assert answer["emailAddress"] == address


async def test_two_first_logins_with_an_unproven_address(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define("[login]\nvalidated_email_only = true\n")
    address = f"{game.unique('ada')}@example.com"
    refusals = await asyncio.gather(
        *(refused_login(game.client(), "Email", address, "secret") for _ in range(3))
    )
    assert {outcome(refusal) for refusal in refusals} == {(403, 40214)}
    link = postbox.link(await postbox.next())
    assert (await game.http.post(link)).status_code == 200
    assert (await game.client().log_in("Email", address, "secret"))["newUser"] == "false"


# The server


async def test_server_version_without_a_session(game: Game) -> None:
    answer = await game.client().call(SERVICE, "GET_SERVER_VERSION", gameId=APP_ID)
    assert answer == {"serverVersion": gameserver.__version__}


async def test_server_version_of_an_app_that_is_none(game: Game) -> None:
    refusal = await game.client(app_id="nowhere").refused(SERVICE, "GET_SERVER_VERSION")
    assert outcome(refusal) == (403, 40316)


# Getting back in

EMAIL_RESETS = (
    "RESET_EMAIL_PASSWORD",
    "RESET_EMAIL_PASSWORD_ADVANCED",
    "RESET_EMAIL_PASSWORD_WITH_EXPIRY",
    "RESET_EMAIL_PASSWORD_ADVANCED_WITH_EXPIRY",
)
UNIVERSAL_RESETS = (
    "RESET_UNIVERSAL_ID_PASSWORD",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED",
    "RESET_UNIVERSAL_ID_PASSWORD_WITH_EXPIRY",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED_WITH_EXPIRY",
)


async def with_contact(game: Game, id_: str, address: str) -> Client:
    client = game.client()
    await client.log_in("Universal", id_, "old password")
    await client.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=address)
    return client


@pytest.mark.parametrize("operation", EMAIL_RESETS)
async def test_email_resets_mail_a_link_and_change_nothing(
    game: Game, postbox: Postbox, operation: str
) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "old password")
    stranger = game.client()
    field = "emailAddress" if "ADVANCED" in operation else "externalId"
    data: dict[str, Any] = {field: address.upper(), "gameId": APP_ID}
    if "EXPIRY" in operation:
        data["tokenTtlInMinutes"] = 5
    if "ADVANCED" in operation:
        data["serviceParams"] = {"dynamicData": {"a": "b"}, "categories": ["c"], "attachments": None}
    assert await stranger.call(SERVICE, operation, **data) is None
    letter = await postbox.next()
    assert letter.to == address
    assert postbox.link(letter).startswith("http://127.0.0.1:8080/reset/")
    assert f"{5 if 'EXPIRY' in operation else 60} minutes" in letter.text
    assert (await game.client().log_in("Email", address, "old password"))["newUser"] == "false"
    # nobody else's mailbox, and the same answer
    unknown = {**data, field: f"{game.unique('nobody')}@example.com"}
    assert await stranger.call(SERVICE, operation, **unknown) is None
    await mails_are_out()
    assert postbox.letters.empty()


@pytest.mark.parametrize("operation", UNIVERSAL_RESETS)
async def test_universal_resets_go_to_the_contact_address(
    game: Game, postbox: Postbox, operation: str
) -> None:
    id_, address = game.unique("ada"), f"{game.unique('ada')}@example.com"
    client = await with_contact(game, id_, address)
    data: dict[str, Any] = {"universalId": id_, "gameId": APP_ID, "tokenTtlInMinutes": 7}
    if "ADVANCED" in operation:
        data["serviceParams"] = {}
    for caller in (client, game.client()):
        assert await caller.call(SERVICE, operation, **data) is None
        letter = await postbox.next()
        assert letter.to == address
        assert "7 minutes" in letter.text
    without = game.unique("bob")
    await game.client().log_in("Universal", without, "secret")
    for other in (without, game.unique("nobody")):
        assert await client.call(SERVICE, operation, **{**data, "universalId": other}) is None
    await mails_are_out()
    assert postbox.letters.empty()


@pytest.mark.parametrize("operation", EMAIL_RESETS + UNIVERSAL_RESETS)
async def test_resets_refuse_what_makes_no_sense(game: Game, operation: str) -> None:
    client = game.client()
    who = {"emailAddress": "a@example.com"} if "EMAIL" in operation else {"universalId": "a"}
    for params, reason in (
        ({"fromAddress": "fromAddress", "templateId": "d-none"}, 40485),
        ({"fromAddress": "a@example.com", "fromName": "a\nb"}, 40486),
        ({"fromName": "Ada"}, 40489),
        ({"replyToAddress": "nobody"}, 40487),
        ({"replyToName": "\x07"}, 40488),
        ({"templateId": "d-none"}, 40375),
        ({"subject": "a\r\nBcc: b@example.com"}, 40660),
        ({"dynamicData": {"list": [1]}}, 40359),
        ({"dynamicData": {str(n): n for n in range(51)}}, 40660),
        ({"dynamicData": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, 40660),
        ({"dynamicData": "text"}, 40359),
    ):
        refusal = await client.refused(SERVICE, operation, **who, serviceParams=params)
        assert outcome(refusal) == (400, reason), params
    for minutes in (0, resets.LIFE_MINUTES_MAX + 1):
        refusal = await client.refused(SERVICE, operation, **who, tokenTtlInMinutes=minutes)
        assert outcome(refusal) == (400, 40660)
    assert outcome(await client.refused(SERVICE, operation)) == (400, 40358)
    if "EMAIL" in operation:
        assert outcome(await client.refused(SERVICE, operation, externalId="no address")) == (400, 40221)


async def test_strangers_cannot_make_a_link_last(game: Game, postbox: Postbox) -> None:
    id_, address = game.unique("ada"), f"{game.unique('ada')}@example.com"
    client = await with_contact(game, id_, address)
    data: dict[str, Any] = {"universalId": id_, "tokenTtlInMinutes": resets.LIFE_MINUTES_MAX}
    usual, longest = game.app.mail.reset.minutes, resets.LIFE_MINUTES_MAX
    letters = []
    for caller, minutes in ((game.client(), usual), (client, longest), (game.server, longest)):
        await caller.call(SERVICE, "RESET_UNIVERSAL_ID_PASSWORD_WITH_EXPIRY", **data)
        letters.append(await postbox.next())
        assert f"{minutes} minutes" in letters[-1].text
    game.clock.advance(60 * usual)
    pages = [await game.http.get(postbox.link(letter)) for letter in letters]
    assert [page.status_code for page in pages] == [410, 200, 200]


async def test_a_mailbox_is_not_flooded(game: Game, postbox: Postbox) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    for _ in range(links.MAILS_PER_ACCOUNT + 2):
        assert await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address) is None
    await mails_are_out()
    assert postbox.letters.qsize() == links.MAILS_PER_ACCOUNT
    game.clock.advance(links.MAILS_WINDOW_SECONDS + 1)
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    await mails_are_out()
    assert postbox.letters.qsize() == links.MAILS_PER_ACCOUNT + 1


async def test_templates_of_the_app_and_values_of_the_caller(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define(
        '[mail]\nfrom_address = "us@example.com"\n[mail.templates]\nwarm = "warm.txt"\n',
        warm__txt="Subject: Hi {user_name}\n\n"
        "Hello {user_name}, {link} for {minutes} minutes. {other}. Your {app}\n",
    )
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    params = {
        "templateId": "warm",
        "dynamicData": {
            "user": {"name": "Ada\r\nLovelace"},
            "link": "http://evil.example.com",
            "other": 1.5,
            "app": "evil",
        },
        "fromAddress": "evil@example.org",
        "subject": "Win a prize",
    }
    await game.client().call(
        SERVICE, "RESET_EMAIL_PASSWORD_ADVANCED", emailAddress=address, serviceParams=params
    )
    letter = await postbox.next()
    assert letter.subject == "Hi Ada Lovelace"
    assert letter.from_address == "us@example.com"
    assert "evil" not in letter.text
    assert "for 60 minutes. 1.5. Your Test" in letter.text
    # a server of the studio may choose sender and subject
    await game.server.call(
        SERVICE, "RESET_EMAIL_PASSWORD_ADVANCED", emailAddress=address, serviceParams=params
    )
    letter = await postbox.next()
    assert (letter.subject, letter.from_address) == ("Win a prize", "evil@example.org")


async def test_the_link_may_lead_to_a_page_of_the_operator(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define('[mail.reset]\nurl = "https://example.com/reset?lang=en"\nminutes = 15\n')
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    letter = await postbox.next()
    assert postbox.link(letter).startswith("https://example.com/reset?lang=en&token=")
    assert "15 minutes" in letter.text


async def test_the_mail_does_not_delay_the_answer(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = asyncio.Event()

    class Slow:
        async def send(self, *_: Any) -> None:
            await sent.wait()

    monkeypatch.setattr(game.core, "mailer", Slow())
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    started = time.monotonic()
    async with asyncio.timeout(10):
        await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    assert links._posting, f"the mail is still on its way after {time.monotonic() - started} s"
    sent.set()
    await mails_are_out()


async def test_a_server_busy_with_passwords_says_try_again(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: str) -> str:
        raise Busy

    monkeypatch.setattr(game.core.passwords, "hash", busy)
    refusal = await game.client().refused(
        "authenticationV2",
        "AUTHENTICATE",
        authenticationType="Universal",
        externalId=game.unique("busy"),
        authenticationToken="secret",
        forceCreate=True,
    )
    assert refusal.reason_code == 40823


# Telling of changes


async def test_a_reset_tells_the_mailbox_of_it(game: Game, postbox: Postbox) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "old password", languageCode="fr")
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    page = postbox.link(await postbox.next())
    assert (await game.http.post(page, data={"password": "new password"})).status_code == 200
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (address, "Test: your password was changed")
    assert "http" not in letter.text  # mail that says such things and has a link is what thieves send


async def test_a_new_contact_address_is_told_to_the_old_one(game: Game, postbox: Postbox) -> None:
    old, new = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = await with_contact(game, game.unique("ada"), old)
    await mails_are_out()
    assert postbox.letters.empty()  # there was none before
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=old)
    await mails_are_out()
    assert postbox.letters.empty()
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=new)
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (old, "Test: your mail address was changed")
    assert new not in letter.text
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail="")
    assert (await postbox.next()).to == new


async def test_a_contact_address_may_follow_the_login_of_its_packet(game: Game) -> None:
    login = {"authenticationType": "Anonymous", "externalId": game.unique("ada"), "forceCreate": True}
    update = {"contactEmail": f"{game.unique('ada')}@example.com"}
    entries = await game.client().packet(
        (SERVICE, "AUTHENTICATE", login), ("playerState", "UPDATE_CONTACT_EMAIL", update)
    )
    assert [entry["status"] for entry in entries] == [200, 200]


async def test_changes_back_and_forth_fill_nobodys_mailbox(game: Game, postbox: Postbox) -> None:
    victim, own = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = await with_contact(game, game.unique("ada"), victim)
    for _ in range(links.MAILS_PER_ACCOUNT + 2):
        for address in (own, victim):
            await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=address)
    await mails_are_out()
    told = [postbox.letters.get_nowait().to for _ in range(postbox.letters.qsize())]
    assert told.count(victim) == links.MAILS_PER_ACCOUNT


async def test_identities_tell_their_old_address(game: Game, postbox: Postbox) -> None:
    old, new = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = game.client()
    await ada.log_in("Email", old, "old password")
    await ada.call(
        "identity",
        "CHANGE_EMAIL_IDENTITY",
        oldEmailAddress=old,
        authenticationToken="old password",
        newEmailAddress=new,
        updateContactEmail=True,
    )
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (old, "Test: your mail address was changed")
    await game.server.call(
        "identity",
        "UPDATE_EMAIL_IDENTITY_PASSWORD",
        ada.profile_id,
        oldPassword="old password",
        newPassword="new password",
    )
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (new, "Test: your password was changed")
