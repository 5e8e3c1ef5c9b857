"""Attaching, detaching, merging, renaming and reading identities."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.players import identities
from gameserver.players.identities import identities as table
from gameserver.storage.answers import packet_answers
from tests.conftest import APP_ID, APP_TOML, Client, Game

PASSWORD = "correct horse"
KEY = "a-key-for-tokens-of-the-studio-0123456789"
APP = f"""
[session]
most = 9
[virtualCurrency.currencies.coins]
[playerStatistics]
create_unknown = true
[playerStatistics.statistics.wins]
[playerStatistics.statistics.best]
when_merged = "keep"
[identity]
blockchains = ["main", "side"]
[external.studio]
kind = "token"
issuer = "i"
audience = "a"
algorithm = "HS256"
key = "{KEY}"
"""
TAKEN_APART = ("Anonymous", "Handoff", "SettopHandoff")


@pytest.fixture
def extra() -> str:
    """More of the app's definition."""
    return ""


@pytest.fixture
def apps_folder(apps_folder: Path, extra: str) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP + extra)
    return apps_folder


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


def address(game: Game) -> str:
    return f"{game.unique('ada')}@example.com"


def credentials(type_: str, external_id: str, token: str = PASSWORD, **data: Any) -> dict[str, Any]:
    return {"authenticationType": type_, "externalId": external_id, "authenticationToken": token, **data}


def studio(game: Game, name: str, *, seconds: int = 600, **data: Any) -> dict[str, Any]:
    """What the studio's own system vouches for."""
    claims = {"sub": name, "iss": "i", "aud": "a", "exp": game.clock.ms() // 1000 + seconds}
    return credentials("External", name, jwt.encode(claims, KEY), externalAuthName="studio", **data)


async def attach(player: Client, type_: str, external_id: str, token: str = PASSWORD, **data: Any) -> None:
    await player.call("identity", "ATTACH", **credentials(type_, external_id, token, **data))


async def merge(player: Client, type_: str, external_id: str, token: str = PASSWORD) -> str:
    """Merge as the clients do, which take the profile and the session from the answer."""
    answer = await player.call("identity", "MERGE", **credentials(type_, external_id, token))
    player.profile_id = answer["profileId"]
    player.session_id = answer.get("sessionId", player.session_id)
    return player.profile_id


async def refused(player: Client, operation: str, **data: Any) -> tuple[int, int]:
    refusal = await player.refused("identity", operation, **data)
    return refusal.status, refusal.reason_code


async def known_as(player: Client) -> dict[str, str]:
    answer: dict[str, str] = (await player.call("identity", "GET_IDENTITIES"))["identities"]
    return answer


async def leads_to(game: Game, type_: str, external_id: str, token: str = PASSWORD, **data: Any) -> str:
    """Where a login with an identity leads."""
    login = credentials(type_, external_id, token, forceCreate=False, **data)
    answer = await game.client().call("authenticationV2", "AUTHENTICATE", **login)
    return str(answer["profileId"])


async def leads_nowhere(game: Game, type_: str, external_id: str, token: str = PASSWORD) -> int:
    """The reason code of a login with an identity that leads nowhere."""
    login = credentials(type_, external_id, token, forceCreate=False)
    return (await game.client().refused("authenticationV2", "AUTHENTICATE", **login)).reason_code


async def everything(game: Game, *players: Client) -> list[Any]:
    """All that services keep of players, but what the audit and the journal of staff note of reading it."""
    exports = [await actions.player_export(game.server_app, APP_ID, each.profile_id) for each in players]
    return [{**export["services"], "audit": None, "staff": None} for export in exports]


# Attaching


@pytest.mark.parametrize("by", ["client", "server"])
async def test_an_anonymous_player_gains_an_address_and_a_name(game: Game, by: str) -> None:
    player, email, name = await game.player(), address(game), game.unique("ada")
    assert await known_as(player) == {}
    for type_, id_ in (("Email", email), ("Universal", name)):
        if by == "client":
            await attach(player, type_, id_, extraJson={"from": "menu"})
        else:
            await game.server.call("identity", "ATTACH", player.profile_id, **credentials(type_, id_))
    assert await known_as(player) == {"Email": email, "Universal": name}
    assert await leads_to(game, "Email", email.upper()) == player.profile_id
    assert await leads_to(game, "Universal", name) == player.profile_id
    assert await leads_nowhere(game, "Universal", name, "guess") == 40307


async def test_an_identity_for_which_the_studio_vouches(game: Game) -> None:
    player, name = await game.player(), game.unique("bob")
    wrong = {**studio(game, name), "externalId": game.unique("eve")}
    assert await refused(player, "ATTACH", **wrong) == (403, 40307)
    await player.call("identity", "ATTACH", **studio(game, name))
    assert await known_as(player) == {"External": name}
    again = game.client()
    login = studio(game, name, forceCreate=False)
    assert (await again.call("authenticationV2", "AUTHENTICATE", **login))["profileId"] == player.profile_id


async def test_one_identity_of_each_type(game: Game) -> None:
    player, first, second = await game.player(), game.unique("ada"), game.unique("ada")
    await attach(player, "Universal", first)
    assert await refused(player, "ATTACH", **credentials("Universal", second)) == (202, 40211)
    assert await refused(player, "ATTACH", **credentials("Universal", first)) == (202, 40211)
    assert await known_as(player) == {"Universal": first}
    assert await leads_nowhere(game, "Universal", second) == 40208


async def test_an_identity_of_another_player(game: Game) -> None:
    """Only who has the right credentials learns that somebody has it, and not who."""
    owner, player, name = game.client(), await game.player(), game.unique("ada")
    await owner.log_in("Universal", name, PASSWORD)
    refusal = await player.refused("identity", "ATTACH", **credentials("Universal", name))
    assert (refusal.status, refusal.reason_code) == (202, 40212)
    assert owner.profile_id not in str(refusal.raw)
    assert await refused(player, "ATTACH", **credentials("Universal", name, "guess")) == (403, 40307)
    assert await known_as(player) == {}
    assert await leads_to(game, "Universal", name) == owner.profile_id


async def test_guessing_by_attaching_and_merging_locks_the_account(game: Game) -> None:
    owner, player, name = game.client(), await game.player(), game.unique("ada")
    await owner.log_in("Universal", name, PASSWORD)
    guess = credentials("Universal", name, "guess")
    for operation in ("ATTACH", "MERGE", "ATTACH", "MERGE", "ATTACH"):
        assert await refused(player, operation, **guess) == (403, 40307)
    for operation in ("ATTACH", "MERGE"):
        assert await refused(player, operation, **credentials("Universal", name)) == (403, 40788)


@pytest.mark.parametrize(
    ("type_", "external_id", "token", "outcome"),
    [
        ("Email", "no address", PASSWORD, (400, 40221)),
        ("Universal", "weak", "", (400, 550022)),
        ("Universal", "", PASSWORD, (403, 40307)),
        ("Universal", "a" * 257, PASSWORD, (403, 40307)),
        ("Facebook", "1", "token", (403, 40302)),
        ("Steam", "1", "ticket", (403, 40302)),
        ("Parse", "1", "token", (403, 40307)),
        ("External", "1", "token", (400, 40684)),
        ("Nonsense", "1", "token", (400, 40315)),
        ("Anonymous", "1", "", (400, 40464)),
        ("Handoff", "1", "", (400, 40464)),
        ("settophandoff", "1", "", (400, 40464)),
    ],
)
async def test_credentials_that_cannot_be_attached(
    game: Game, type_: str, external_id: str, token: str, outcome: tuple[int, int]
) -> None:
    player = await game.player()
    assert await refused(player, "ATTACH", **credentials(type_, external_id, token)) == outcome
    merged = await refused(player, "MERGE", **credentials(type_, external_id, token))
    if outcome[1] in (550022, 40221):  # nothing new is made
        assert merged == (202, 40206)
    else:
        assert merged == outcome
    assert await known_as(player) == {}


async def test_who_is_not_logged_in_changes_nothing(game: Game) -> None:
    for operation in ("ATTACH", "MERGE", "DETACH", "REFRESH_IDENTITY"):
        assert await refused(game.client(), operation, **credentials("Universal", "ada")) == (403, 40304)
    for operation in ("GET_IDENTITIES", "GET_EXPIRED_IDENTITIES"):
        assert await refused(game.client(), operation) == (403, 40304)


async def test_of_two_who_attach_an_identity_at_once_one_gets_it(game: Game) -> None:
    players, name = [await game.player() for _ in range(4)], game.unique("ada")
    packet = ("identity", "ATTACH", credentials("Universal", name))
    answers = await asyncio.gather(*(player.packet(packet) for player in players))
    codes = [answer.get("reason_code") for [answer] in answers]
    assert sorted(codes, key=str) == [40212, 40212, 40212, None]
    winner = players[codes.index(None)]
    assert await leads_to(game, "Universal", name) == winner.profile_id


async def test_an_attachment_that_is_repeated_happens_once(game: Game) -> None:
    player, name = await game.player(), game.unique("ada")
    await attach(player, "Universal", name)
    again = await player.send(player.last_body)
    assert again.json()["responses"][0]["status"] == 200


class TestUnprovenAddresses:
    @pytest.fixture
    def extra(self) -> str:
        return "[login]\nvalidated_email_only = true\n"

    async def test_an_attached_address_has_to_be_proven_like_any_other(self, game: Game) -> None:
        player, email = await game.player(), address(game)
        await attach(player, "Email", email)
        refusal = await game.client().refused(
            "authenticationV2", "AUTHENTICATE", **credentials("Email", email, forceCreate=False)
        )
        assert refusal.reason_code == 40214
        assert await refused(await game.player(), "MERGE", **credentials("Email", email)) == (403, 40214)
        assert await refused(await game.player(), "ATTACH", **credentials("Email", email)) == (403, 40214)


# Detaching


@pytest.mark.parametrize("spelling", ["confirmAnonymous", "continueAnon"])
async def test_the_last_identity_goes_only_when_that_is_wanted(game: Game, spelling: str) -> None:
    player, name = await game.player(), game.unique("ada")
    await attach(player, "Universal", name)
    one = {"authenticationType": "Universal", "externalId": name}
    assert await refused(player, "DETACH", **one) == (202, 40210)
    assert await refused(player, "DETACH", **one, **{spelling: False}) == (202, 40210)
    assert await leads_to(game, "Universal", name) == player.profile_id
    await player.call("identity", "DETACH", **one, **{spelling: True})
    assert await known_as(player) == {}
    assert await leads_nowhere(game, "Universal", name) == 40208


async def test_of_two_identities_one_may_go_and_a_name_alone_does_not_count(game: Game) -> None:
    player, email, name = await game.player(), address(game), game.unique("bob")
    await attach(player, "Email", email)
    await player.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=game.unique("name"))
    await player.call(
        "identity", "ATTACH_BLOCKCHAIN_IDENTITY", blockchainConfig="main", publicKey=game.unique("key")
    )
    one = {"authenticationType": "Email", "externalId": email}
    assert await refused(player, "DETACH", **one) == (202, 40210)
    await player.call("identity", "ATTACH", **studio(game, name))
    await player.call("identity", "DETACH", **one)
    # As SDKs send it, without the name of the system that vouches.
    external = {"authenticationType": "External", "externalId": name, "confirmAnonymous": True}
    wrong = {**external, "externalAuthName": "other"}
    assert await refused(player, "DETACH", **wrong) == (202, 40206)
    await player.call("identity", "DETACH", **external)
    assert (await known_as(player)).keys() == {"Universal", "Blockchain"}


async def test_what_is_detached_is_free_for_another_player(game: Game) -> None:
    """A player moves an identity from one of their profiles to the other."""
    old, new, name = await game.player(), await game.player(), game.unique("ada")
    await attach(old, "Universal", name)
    await old.call("identity", "DETACH", authenticationType="Universal", externalId=name, continueAnon=True)
    await attach(new, "Universal", name, "another password")
    assert await leads_to(game, "Universal", name, "another password") == new.profile_id
    await old.call("playerState", "READ")


async def test_identities_that_the_caller_does_not_have(game: Game) -> None:
    player, owner, name = await game.player(), game.client(), game.unique("ada")
    await owner.log_in("Universal", name, PASSWORD)
    theirs = {"authenticationType": "Universal", "externalId": name, "confirmAnonymous": True}
    assert await refused(player, "DETACH", **theirs) == (202, 40209)
    assert await refused(player, "DETACH", **{**theirs, "externalId": "nobody"}) == (202, 40206)
    assert await refused(player, "DETACH", **{**theirs, "authenticationType": "Facebook"}) == (202, 40206)
    assert await refused(player, "DETACH", **{**theirs, "authenticationType": "Nonsense"}) == (400, 40315)
    for type_ in TAKEN_APART:
        assert await refused(player, "DETACH", **{**theirs, "authenticationType": type_}) == (400, 40464)
    assert await leads_to(game, "Universal", name) == owner.profile_id


class TestConcealedAccounts:
    @pytest.fixture
    def extra(self) -> str:
        return "[login]\nconceal_accounts = true\n"

    async def test_nobody_learns_which_accounts_exist(self, game: Game) -> None:
        player, owner, name = await game.player(), game.client(), game.unique("ada")
        await owner.log_in("Universal", name, PASSWORD)
        for id_ in (name, game.unique("nobody")):
            theirs = {"authenticationType": "Universal", "externalId": id_, "confirmAnonymous": True}
            assert await refused(player, "DETACH", **theirs) == (202, 40206)
            assert await refused(player, "MERGE", **credentials("Universal", id_, "guess")) == (403, 40307)


async def test_mailed_links_and_handoffs_end_with_an_identity(game: Game) -> None:
    player, email = await game.player(), address(game)
    await attach(player, "Email", email)
    handoff = await game.server.call("identity", "CREATE_HANDOFF_ID", player.profile_id)
    await player.call("identity", "DETACH", authenticationType="Email", externalId=email, continueAnon=True)
    assert await leads_nowhere(game, "Handoff", handoff["handoffId"], handoff["securityToken"]) == 40208


# Merging


async def two_players(game: Game, mine: int, theirs: int) -> tuple[Client, Client, str]:
    """The caller with a name of a device, and another player with an address; their experience points."""
    player, other, email = await game.player(), game.client(), address(game)
    await other.log_in("Email", email, PASSWORD)
    for each, points in ((player, mine), (other, theirs)):
        await each.call(
            "playerStatistics", "UPDATE", statistics={"wins": 2, "best": points}, xp_points=points
        )
        await game.server.call("virtualCurrency", "AWARD_VC", each.profile_id, vcId="coins", vcAmount=50)
    return player, other, email


@pytest.mark.parametrize(("mine", "theirs"), [(30, 20), (20, 20)])
async def test_the_caller_stays_with_as_many_points_or_more(game: Game, mine: int, theirs: int) -> None:
    player, other, email = await two_players(game, mine, theirs)
    stays = player.profile_id
    answer = await player.call("identity", "MERGE", **credentials("Email", email))
    assert answer == {"profileId": stays}
    state = await player.call("playerState", "READ")
    assert (state["profileId"], state["currency"]["coins"]["balance"]) == (stays, 100)
    assert state["statistics"] == {"wins": 4, "best": mine}
    assert await leads_to(game, "Email", email) == stays
    assert (await other.refused("playerState", "READ")).reason_code == 40356
    await one_is_left(game, player, other.profile_id)


async def test_the_other_stays_with_more_points_and_the_client_goes_on_as_them(game: Game) -> None:
    player, other, email = await two_players(game, 20, 30)
    goes, old = player.profile_id, player.session_id
    body = player.body(("identity", "MERGE", credentials("Email", email)), ("playerState", "READ", {}))
    merged, read = (await player.send(body)).json()["responses"]
    assert merged["data"]["profileId"] == read["data"]["profileId"] == other.profile_id
    assert read["data"]["statistics"] == {"wins": 4, "best": 30}
    again = (await player.send(body)).json()["responses"]
    assert again == [merged, read], "a repeated packet gets the answer it got"
    async with game.core.database.read() as tx:
        stored = await tx.all(select(packet_answers.c.answer))
    assert not [row for row in stored if merged["data"]["sessionId"].encode() in bytes(row["answer"])]
    player.profile_id, player.session_id = merged["data"]["profileId"], merged["data"]["sessionId"]
    state = await player.call("playerState", "READ")
    assert (state["profileId"], state["currency"]["coins"]["balance"]) == (other.profile_id, 100)
    await other.call("playerState", "READ")
    gone = game.client()
    gone.session_id = old
    assert (await gone.refused("playerState", "READ")).reason_code == 40356
    await one_is_left(game, player, goes)
    await player.call("playerState", "LOGOUT")
    assert (await player.refused("playerState", "READ")).reason_code == 40304


async def one_is_left(game: Game, player: Client, gone: str) -> None:
    async with game.core.database.read() as tx:
        rows = await tx.all(
            select(table.c.profile_id).where(table.c.profile_id.in_([gone, player.profile_id]))
        )
    assert {row[0] for row in rows} == {player.profile_id}


async def test_a_server_merges_on_behalf_of_a_player(game: Game) -> None:
    player, other, email = await two_players(game, 20, 30)
    answer = await game.server.call("identity", "MERGE", player.profile_id, **credentials("Email", email))
    assert answer == {"profileId": other.profile_id}
    assert (await player.refused("playerState", "READ")).reason_code == 40356


async def test_devices_of_both_players_lead_to_the_one_who_stays(game: Game) -> None:
    device, player, other = game.unique("device"), game.client(), game.client()
    name = game.unique("ada")
    await player.log_in("Anonymous", device)
    await other.log_in("Universal", name, PASSWORD)
    await other.call("playerStatistics", "UPDATE", statistics={}, xp_points=9)
    stays = await merge(player, "Universal", name)
    assert stays == other.profile_id
    assert await leads_to(game, "Anonymous", device, "", profileId=stays) == stays


async def test_merges_that_are_refused_change_nothing(game: Game) -> None:
    player, other, email = await two_players(game, 20, 30)
    name = game.unique("ada")
    await attach(player, "Universal", name)
    before = await everything(game, player, other)
    nobody = credentials("Universal", game.unique("nobody"))
    assert await refused(player, "MERGE", **nobody) == (202, 40206)
    assert await refused(player, "MERGE", **credentials("Universal", name)) == (202, 40211), "oneself"
    assert await refused(player, "MERGE", **credentials("Email", email, "guess")) == (403, 40307)
    assert await everything(game, player, other) == before
    await attach(other, "Universal", game.unique("bob"))
    before = await everything(game, player, other)
    assert await refused(player, "MERGE", **credentials("Email", email)) == (202, 40211), "two names"
    assert await everything(game, player, other) == before
    await player.call("playerState", "READ")
    await other.call("playerState", "READ")


@pytest.mark.parametrize(("mine", "theirs"), [(30, 20), (20, 30)])
async def test_a_merge_that_cannot_be_finished_changes_nothing(game: Game, mine: int, theirs: int) -> None:
    player, other, email = await two_players(game, mine, theirs)
    for each in (player, other):  # together more than a balance can hold
        await game.server.call(
            "virtualCurrency", "AWARD_VC", each.profile_id, vcId="coins", vcAmount=2**53 - 99
        )
    before = await everything(game, player, other)
    body = player.body(("playerState", "READ", {}), ("identity", "MERGE", credentials("Email", email)))
    read, merged = (await player.send(body)).json()["responses"]
    assert (read["status"], merged["status"], merged["reason_code"]) == (200, 400, 40660)
    assert await everything(game, player, other) == before
    await player.call("playerState", "READ")
    await other.call("playerState", "READ")
    assert await leads_to(game, "Email", email) == other.profile_id


async def test_a_player_who_is_disabled_is_not_merged(game: Game) -> None:
    player, other, email = await two_players(game, 20, 30)
    await actions.player_disable(game.server_app, APP_ID, other.profile_id)
    before = await everything(game, player, other)
    assert await refused(player, "MERGE", **credentials("Email", email)) == (403, 40790)
    assert await refused(player, "MERGE", **credentials("Email", email, "guess")) == (403, 40307)
    assert await everything(game, player, other) == before


class TestFull:
    @pytest.fixture
    def apps_folder(self, apps_folder: Path) -> Path:
        path = apps_folder / "test" / "app.toml"
        path.write_text(path.read_text().replace("most = 9", 'most = 1\nwhen_full = "refuse_newest"'))
        return apps_folder

    async def test_a_merge_into_a_player_who_has_no_session_left_changes_nothing(self, game: Game) -> None:
        player, other, email = await two_players(game, 20, 30)
        before = await everything(game, player, other)
        assert await refused(player, "MERGE", **credentials("Email", email)) == (403, 49102)
        assert await everything(game, player, other) == before
        await player.call("playerState", "READ")
        await other.call("playerState", "LOGOUT")
        assert await merge(player, "Email", email) == other.profile_id
        await player.call("playerState", "READ")


async def test_two_players_who_merge_with_each_other_at_once_become_one(game: Game) -> None:
    players, ids = [], [game.unique("ada"), address(game)]
    for type_, id_ in zip(("Universal", "Email"), ids, strict=True):
        player = game.client()
        await player.log_in(type_, id_, PASSWORD)
        players.append(player)
    wanted = [credentials("Email", ids[1]), credentials("Universal", ids[0])]
    packets = [
        player.packet(("identity", "MERGE", data)) for player, data in zip(players, wanted, strict=True)
    ]
    codes = [entry.get("reason_code") for [entry] in await asyncio.gather(*packets)]
    assert codes.count(None) == 1
    stays = {await leads_to(game, "Universal", ids[0]), await leads_to(game, "Email", ids[1])}
    assert len(stays) == 1
    assert stays != {""}


# Names


async def test_a_name_that_nobody_logs_in_with(game: Game) -> None:
    player, other, name = await game.player(), await game.player(), game.unique("ada")
    await player.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=name)
    assert await known_as(player) == {"Universal": name}
    assert await refused(player, "ATTACH_NONLOGIN_UNIVERSAL", externalId=game.unique("x")) == (202, 40211)
    assert await refused(other, "ATTACH_NONLOGIN_UNIVERSAL", externalId=name) == (400, 40583)
    assert await refused(other, "ATTACH_NONLOGIN_UNIVERSAL", externalId="") == (400, 40660)
    for password in ("", PASSWORD):
        for force in (True, False):
            refusal = await game.client().refused(
                "authenticationV2",
                "AUTHENTICATE",
                **credentials("Universal", name, password, forceCreate=force),
            )
            assert refusal.reason_code == 40307
    new = game.unique("bob")
    await player.call("identity", "UPDATE_UNIVERSAL_LOGIN", externalId=new)
    assert await known_as(player) == {"Universal": new}
    await other.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=name)


async def test_a_universal_id_gets_another_name(game: Game) -> None:
    player, other, name = game.client(), game.client(), game.unique("ada")
    await player.log_in("Universal", name, PASSWORD)
    taken, new = game.unique("taken"), game.unique("new")
    await other.log_in("Universal", taken, PASSWORD)
    assert await refused(player, "UPDATE_UNIVERSAL_LOGIN", externalId=taken) == (400, 40583)
    assert await refused(await game.player(), "UPDATE_UNIVERSAL_LOGIN", externalId=new) == (202, 40206)
    await player.call("identity", "UPDATE_UNIVERSAL_LOGIN", externalId=name)
    await player.call("identity", "UPDATE_UNIVERSAL_LOGIN", externalId=new)
    assert await leads_to(game, "Universal", new) == player.profile_id
    assert await leads_nowhere(game, "Universal", name) == 40208
    assert await leads_to(game, "Universal", taken) == other.profile_id


# Addresses


async def email_player(game: Game) -> tuple[Client, str]:
    player, email = game.client(), address(game)
    await player.log_in("Email", email, PASSWORD)
    return player, email


def change(old: str, new: str, password: str = PASSWORD, **data: Any) -> dict[str, Any]:
    return {"oldEmailAddress": old, "authenticationToken": password, "newEmailAddress": new, **data}


@pytest.mark.parametrize("contact", [True, False])
async def test_an_address_changes(game: Game, contact: bool) -> None:
    player, old = await email_player(game)
    new = address(game)
    answer = await player.call(
        "identity", "CHANGE_EMAIL_IDENTITY", **change(old, new, updateContactEmail=contact)
    )
    assert answer == {}
    assert await known_as(player) == {"Email": new}
    assert (await player.call("playerState", "READ"))["emailAddress"] == (new if contact else old)
    assert await leads_to(game, "Email", new) == player.profile_id
    assert await leads_nowhere(game, "Email", old) == 40208


async def test_addresses_that_do_not_change(game: Game) -> None:
    player, old = await email_player(game)
    _, theirs = await email_player(game)
    new = address(game)
    change_it = "CHANGE_EMAIL_IDENTITY"
    for password in (PASSWORD, "guess"):  # of another's nothing is told, not even whether it is there
        assert await refused(player, change_it, **change(theirs, new, password)) == (400, 40584)
        assert await refused(player, change_it, **change(address(game), new, password)) == (400, 40584)
    assert await refused(player, change_it, **change(old, theirs)) == (400, 40583)
    assert await refused(player, change_it, **change(old, "no address")) == (400, 40221)
    for _ in range(5):
        assert await refused(player, change_it, **change(old, new, "guess")) == (403, 40307)
    assert await refused(player, change_it, **change(old, new)) == (403, 40788)
    assert await known_as(player) == {"Email": old}


async def test_a_server_changes_an_address(game: Game) -> None:
    player, old = await email_player(game)
    other, theirs = await email_player(game)
    data = {"profileId": player.profile_id, "oldEmailAddress": old, "newEmailAddress": address(game)}
    assert await refused(player, "SYS_CHANGE_EMAIL_IDENTITY", **data) == (403, 40346)

    async def server_refused(**changed: str) -> int:
        refusal = await game.server.refused("identity", "SYS_CHANGE_EMAIL_IDENTITY", **{**data, **changed})
        return refusal.reason_code

    assert await server_refused(newEmailAddress=theirs) == 40583
    assert await server_refused(newEmailAddress="no address") == 40221
    assert await server_refused(oldEmailAddress=theirs) == 40584
    assert await server_refused(profileId=other.profile_id) == 40584
    assert await server_refused(profileId="nobody") == 40584
    answer = await game.server.call("identity", "SYS_CHANGE_EMAIL_IDENTITY", **data, updateContactEmail=True)
    assert answer == {}
    assert await known_as(player) == {"Email": data["newEmailAddress"]}
    assert (await player.call("playerState", "READ"))["emailAddress"] == data["newEmailAddress"]


# Passwords


@pytest.mark.parametrize(
    ("operation", "type_"),
    [("UPDATE_EMAIL_IDENTITY_PASSWORD", "Email"), ("UPDATE_UNIVERSAL_PASSWORD", "Universal")],
)
async def test_a_server_sets_a_new_password(game: Game, operation: str, type_: str) -> None:
    player, id_ = game.client(), address(game)
    await player.log_in(type_, id_, PASSWORD)
    data = {"oldPassword": PASSWORD, "newPassword": "battery staple"}
    assert await refused(player, operation, **data) == (403, 40346)

    async def server_refused(profile_id: str, **changed: str) -> int:
        refusal = await game.server.refused("identity", operation, profile_id, **{**data, **changed})
        return refusal.reason_code

    assert await server_refused(player.profile_id, oldPassword="guess") == 40307
    assert await server_refused(player.profile_id, newPassword="") == 550022
    assert await server_refused((await game.player()).profile_id) == 40206
    assert await leads_to(game, type_, id_) == player.profile_id
    assert await game.server.call("identity", operation, player.profile_id, **data) == {}
    assert (await player.refused("playerState", "READ")).reason_code == 40356
    assert await leads_nowhere(game, type_, id_) == 40307
    assert await leads_to(game, type_, id_, "battery staple") == player.profile_id


@pytest.mark.parametrize(
    ("operation", "type_"),
    [("UPDATE_EMAIL_IDENTITY_PASSWORD", "Email"), ("UPDATE_UNIVERSAL_PASSWORD", "Universal")],
)
async def test_guessing_old_passwords_locks(game: Game, operation: str, type_: str) -> None:
    player, id_ = game.client(), address(game)
    await player.log_in(type_, id_, PASSWORD)
    data = {"oldPassword": "guess", "newPassword": "battery staple"}
    for code in [40307] * 5 + [40788]:
        refusal = await game.server.refused("identity", operation, player.profile_id, **data)
        assert refusal.reason_code == code


# Tokens


async def test_a_token_expires_and_is_refreshed(game: Game) -> None:
    player, name = game.client(), game.unique("bob")
    login = studio(game, name, seconds=60, forceCreate=True)
    player.session_id = (await player.call("authenticationV2", "AUTHENTICATE", **login))["sessionId"]
    ask = {"authenticationType": "External", "externalAuthName": "studio"}
    status = {"tokenExpired": False, "externalId": name, "loginAuthType": None}
    assert await player.call("identity", "GET_IDENTITY_STATUS", **ask) == {"identities": {"External": status}}
    assert await player.call("identity", "GET_EXPIRED_IDENTITIES") == {"identities": {}}
    game.clock.advance(200)
    expired = {"identities": {"External": {**status, "tokenExpired": True}}}
    assert await player.call("identity", "GET_IDENTITY_STATUS", **ask) == expired
    assert await player.call("identity", "GET_EXPIRED_IDENTITIES") == {"identities": {"external": name}}
    old = {name: login[name] for name in ("authenticationType", "externalId", "authenticationToken")}
    assert await refused(player, "REFRESH_IDENTITY", **old) == (403, 40307)
    fresh = studio(game, name)
    del fresh["externalAuthName"]  # SDKs do not send it
    answer = await player.call("identity", "REFRESH_IDENTITY", **fresh)
    assert answer == {"externalId": name, "authenticationType": "External"}
    assert await player.call("identity", "GET_EXPIRED_IDENTITIES") == {"identities": {}}
    game.clock.advance(600)
    await player.call("authenticationV2", "AUTHENTICATE", **studio(game, name, forceCreate=False))
    assert await player.call("identity", "GET_EXPIRED_IDENTITIES") == {"identities": {}}


async def test_what_is_not_refreshed(game: Game) -> None:
    player, owner, name = await game.player(), await game.player(), game.unique("bob")
    await owner.call("identity", "ATTACH", **studio(game, name))
    refresh = "REFRESH_IDENTITY"
    for type_ in ("Universal", "Email", *TAKEN_APART):
        assert await refused(player, refresh, **credentials(type_, name)) == (400, 40464)
    assert await refused(player, refresh, **credentials("Facebook", "1", "token")) == (403, 40302)
    assert await refused(player, refresh, **credentials("Nonsense", "1")) == (400, 40315)
    theirs = studio(game, name)
    assert await refused(player, refresh, **theirs) == (202, 40207)
    assert await refused(player, refresh, **{**theirs, "externalAuthName": None}) == (202, 40206)
    assert await refused(player, refresh, **studio(game, game.unique("nobody"))) == (202, 40206)
    assert await refused(player, refresh, **credentials("External", "1", externalAuthName="x")) == (
        400,
        40684,
    )


async def test_what_the_studio_says_of_a_player_is_for_servers(game: Game) -> None:
    """A web service may say more than yes; that is shown in the tests of logins."""
    player, name = await game.player(), game.unique("bob")
    ask = {"authenticationType": "External"}
    assert await player.call("identity", "GET_IDENTITY_STATUS", **ask) == {"identities": {}}
    none = await game.server.call("identity", "GET_IDENTITY_DATA", player.profile_id, **ask)
    assert none == {"identityData": None}
    await player.call("identity", "ATTACH", **studio(game, name))
    async with game.core.database.write() as tx:
        which = {"app": APP_ID, "profile": player.profile_id, "type_": "External", "key": f"studio/{name}"}
        await tx.run(identities.SET_DATA, **which, new_data='{"clan":"red"}')
    found = await game.server.call("identity", "GET_IDENTITY_DATA", player.profile_id, **ask)
    assert found == {"identityData": {"clan": "red"}}
    both = await game.server.call("identity", "GET_IDENTITY_STATUS_AND_DATA", player.profile_id, **ask)
    status = {"tokenExpired": False, "externalId": name, "loginAuthType": None}
    assert both == {"identities": {"External": {**status, "identityData": {"clan": "red"}}}}
    for operation in ("GET_IDENTITY_DATA", "GET_IDENTITY_STATUS_AND_DATA"):
        assert await refused(player, operation, **ask) == (403, 40346)
        unknown = await game.server.refused("identity", operation, player.profile_id, authenticationType="X")
        assert unknown.reason_code == 40315
    assert await refused(player, "GET_IDENTITY_STATUS", authenticationType="X") == (400, 40315)


# Keys of blockchains


async def test_a_public_key_is_kept(game: Game) -> None:
    player, other, key = await game.player(), await game.player(), game.unique("key")
    main = {"blockchainConfig": "main"}
    attach_it, detach_it = "ATTACH_BLOCKCHAIN_IDENTITY", "DETACH_BLOCKCHAIN_IDENTITY"
    assert await player.call("identity", attach_it, **main, publicKey=key) is None
    assert await known_as(player) == {"Blockchain": key}
    assert await refused(player, attach_it, blockchainConfig="side", publicKey="x") == (202, 40211)
    assert await refused(other, attach_it, **main, publicKey=key) == (400, 40583)
    assert await refused(other, attach_it, blockchainConfig="nowhere", publicKey=key) == (400, 40678)
    assert await refused(other, detach_it, blockchainConfig="nowhere") == (400, 40678)
    assert await refused(other, detach_it, **main) == (202, 40206)
    assert await refused(player, detach_it, blockchainConfig="side") == (202, 40206)
    login = credentials("Blockchain", key, "", forceCreate=False)
    refusal = await game.client().refused("authenticationV2", "AUTHENTICATE", **login)
    assert refusal.reason_code == 40302, "nobody logs in with it"
    assert await player.call("identity", detach_it, **main) is None
    assert await known_as(player) == {}


async def test_an_identity_is_attached_in_the_packet_of_the_login(game: Game) -> None:
    """Clients send all calls of one tick as one packet. The password is hashed when its turn comes."""
    client, name = game.client(), game.unique("ada")
    login = {
        "authenticationType": "Anonymous",
        "externalId": game.unique("id"),
        "authenticationToken": "",
        "forceCreate": True,
    }
    universal = {
        "externalId": name,
        "authenticationType": "Universal",
        "authenticationToken": "correct horse",
    }
    entries = await client.packet(
        ("authenticationV2", "AUTHENTICATE", login),
        ("identity", "ATTACH", {**universal, "externalId": ""}),
        ("identity", "ATTACH", universal),
    )
    assert [entry["status"] == 200 for entry in entries] == [True, False, True], entries
    again = await game.client().log_in("Universal", name, "correct horse", forceCreate=False)
    assert again["profileId"] == entries[0]["data"]["profileId"]
