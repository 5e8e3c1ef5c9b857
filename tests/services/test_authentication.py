"""Logins: the answer, the outcomes, and what they cost."""

import asyncio
import itertools
import secrets
import unicodedata
from typing import Any

import pytest
from sqlalchemy import update

import gameserver
from gameserver.admin import actions
from gameserver.players import accounts, identities, logins, passwords, profiles
from gameserver.players.passwords import Passwords
from gameserver.rpc import metrics
from tests.conftest import APP_ID, Game
from tests.services.logins import (
    SERVICE,
    Define,
    Postbox,
    define,
    outcome,
    outcome_of_return,
    own_address,
    postbox,
    refused_login,
)

__all__ = ["define", "own_address", "postbox"]  # fixtures


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
    for missing in ({}, {"externalId": None}):
        refusal = await game.client().refused(
            SERVICE, "AUTHENTICATE", authenticationType="Anonymous", **missing
        )
        assert outcome(refusal) == (400, 40358)


@pytest.mark.parametrize("type_", ["Anonymous", "Universal", "Email", "Handoff"])
async def test_a_fault_of_the_servers_is_nobodys_wrong_password(
    game: Game, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    async def break_down(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(game.core.accounts, "_verify", break_down)
    refusal = await refused_login(game.client(), type_, f"{game.unique('ada')}@example.com", "secret")
    assert outcome(refusal) == (503, 40217)
    monkeypatch.undo()
    monkeypatch.setattr(logins, "log_in", break_down)
    monkeypatch.setattr(metrics.MESSAGES, "observe", lambda *_: None)  # what fails by itself is counted there
    refusal = await refused_login(game.client(), "Anonymous", game.unique("ada"), "")
    assert outcome(refusal) == (503, 40217)


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


async def test_letters_that_only_look_like_an_address_are_none(game: Game, postbox: Postbox) -> None:
    name = game.unique("kate")
    kate = await game.client().log_in("Email", f"{name}@example.com", "secret")
    kelvin = f"\N{KELVIN SIGN}{name[1:]}@example.com"  # no address that mail servers take
    assert outcome(await refused_login(game.client(), "Email", kelvin, "secret")) == (400, 40221)
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=f"{name.upper()}@EXAMPLE.com")
    assert (await postbox.next()).to == kate["emailAddress"] == f"{name}@example.com"


@pytest.mark.parametrize("settings", ["", "[login]\nvalidated_email_only = true\n"])
async def test_a_new_email_identity_is_an_address(game: Game, define: Define, settings: str) -> None:
    define(settings)
    for id_ in (game.unique("no address"), f"{game.unique('two')}@lines.example\r\nBcc: eve@example.com"):
        refusal = await refused_login(game.client(), "Email", id_, "secret")
        assert outcome(refusal) == (400, 40221)
        if not settings:  # nothing was made
            unknown = await refused_login(game.client(), "Email", id_, "secret", forceCreate=False)
            assert outcome(unknown) == (202, 40208)


async def test_fields_of_another_provider_beside_a_password_prove_nothing(game: Game) -> None:
    name, more = (
        game.unique("ada"),
        {"externalAuthName": "studio", "extraJson": {"nonce": "n", "idToken": "x"}},
    )
    ada = await game.client().log_in("Universal", name, "secret")
    again = await game.client().log_in("Universal", name, "secret", forceCreate=False, **more)
    assert again["profileId"] == ada["profileId"]
    assert outcome(await refused_login(game.client(), "Universal", name, "wrong", **more)) == (403, 40307)


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


async def test_a_first_login_is_two_round_trips(game: Game, define: Define) -> None:
    if game.core.database.dialect == "sqlite":
        pytest.skip("no round trips")
    for alone in (False, True):
        define(f"[login]\nanonymous_id_alone = {str(alone).lower()}\n")
        seen = game.statements()
        await game.client().log_in("Anonymous", game.unique("new"))
        game.core.database.observe = None
        # Whether the player is there, and then all that makes them.
        assert [kind for kind in seen if kind != "run_many"] == ["only", "only"]


async def test_a_first_login_tells_what_is_stored(game: Game, define: Define) -> None:
    define('default_language = "en"\n')
    ada, bob = game.client(), game.client()
    for client, said in (
        (ada, {}),
        (bob, {"countryCode": "CA", "timeZoneOffset": -5.5, "languageCode": "fr"}),
    ):
        told = await client.log_in("Email", f"{game.unique('new')}@example.com", "secret-secret", **said)
        stored = await client.call("playerState", "READ")
        assert told["newUser"] == "true"
        assert {name: told[name] for name in stored} == stored


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


# The server


async def test_server_version_without_a_session(game: Game) -> None:
    answer = await game.client().call(SERVICE, "GET_SERVER_VERSION", gameId=APP_ID)
    assert answer == {"serverVersion": gameserver.__version__}


async def test_server_version_of_an_app_that_is_none(game: Game) -> None:
    refusal = await game.client(app_id="nowhere").refused(SERVICE, "GET_SERVER_VERSION")
    assert outcome(refusal) == (403, 40316)


async def test_a_wrong_app_id_or_secret_is_told_by_the_name_of_its_field(game: Game) -> None:
    told = [
        await client.refused(SERVICE, "GET_SERVER_VERSION")
        for client in (game.client(app_id="nowhere"), game.client(secret="another one"))
    ]
    body = game.client().body((SERVICE, "GET_SERVER_VERSION", {}))
    [unsigned] = (await game.packet(body)).json()["responses"]
    assert [str(refusal.reason_code) + " " + refusal.message for refusal in told] + [
        f"{unsigned['reason_code']} {unsigned['status_message']}"
    ] == [
        "40316 gameId: there is no app 'nowhere'",
        f"40301 X-SIG: the signature does not fit the packet and the secret of app {APP_ID}",
        f"40301 X-SIG: app {APP_ID} takes no packets without a signature",
    ]


async def test_a_client_may_begin_to_count_at_minus_one(game: Game) -> None:
    client = game.client()
    client.packet_ids = itertools.count(-1)
    await client.log_in()
    assert (await client.call("time", "READ"))["server_time"] > 0
    [entry] = await client.packet(("time", "READ", {}), packet_id=-1)
    assert (entry["status"], entry["reason_code"]) == (400, 40001)
    assert (await client.call("time", "READ"))["server_time"] > 0
