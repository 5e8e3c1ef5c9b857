"""friend: linked both ways, found by indexes, never told by a mail address."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as sql_text

from gameserver.domain.social import friends as domain
from gameserver.players import identities
from gameserver.services.friend import storage
from gameserver.storage import QueryTooSlow
from gameserver.storage.beginnings import beginning_by_lower
from gameserver.storage.dialects import POSTGRESQL
from tests.conftest import APP_TOML, Client, Game
from tests.plans import Plans
from tests.services.listening import ear

PASSWORD = "correct horse battery"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    text = """
[external.studio]
kind = "token"
issuer = "https://id.example.com"
audience = "game"
algorithm = "HS256"
key = "a-key-for-tokens-of-the-studio-0123456789"
[quotas]
friends = 3
blocks = 2
"""
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)
    return apps_folder


async def named(game: Game, name: str, **summary: Any) -> Client:
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName=name)
    if summary:
        await player.call("playerState", "UPDATE_SUMMARY", summaryFriendData=summary)
    return player


async def befriend(player: Client, *others: Client) -> None:
    await player.call("friend", "ADD_FRIENDS", profileIds=[other.profile_id for other in others])


async def friends_of(player: Client, platform: str = "All") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        await player.call("friend", "LIST_FRIENDS", friendPlatform=platform, includeSummaryData=True)
    )["friends"]
    return found


async def ids(player: Client, platform: str = "All") -> set[str]:
    return {friend["playerId"] for friend in await friends_of(player, platform)}


async def known_by(game: Game, type_: str, external_id: str) -> Client:
    """A player with an identity of a type, as if the platform had vouched for it."""
    player = await game.player()
    async with game.core.database.write() as tx:
        row = identities.new_row(
            player.app_id, player.profile_id, type_, external_id, external_id, game.clock.ms()
        )
        await tx.run(identities.ADD, **row)
    return player


# Linking


async def test_friends_are_linked_both_ways_at_once(game: Game) -> None:
    ada, bob = await named(game, "Ada", level=7), await named(game, "Bob")
    assert await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id]) is None
    [friend] = await friends_of(bob)
    assert friend == {
        "playerId": ada.profile_id,
        "name": "Ada",
        "pictureUrl": None,
        "externalData": {"brainCloud": {}},
        "friendPlatforms": ["brainCloud"],
        "isOnline": True,
        "summaryFriendData": {"level": 7},
    }
    assert await ids(ada) == {bob.profile_id}
    short = (await bob.call("friend", "LIST_FRIENDS"))["friends"]
    assert "summaryFriendData" not in short[0]
    await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id])  # twice does no harm
    assert len(await friends_of(ada)) == 1
    await ada.call("playerState", "LOGOUT")
    assert not (await friends_of(bob))[0]["isOnline"]


async def test_parting_ends_it_for_both(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    await befriend(ada, bob, cyd)
    await bob.call("friend", "REMOVE_FRIENDS", profileIds=[ada.profile_id, "nobody", "nobody"])
    assert (await ids(ada), await ids(bob), await ids(cyd)) == ({cyd.profile_id}, set(), {ada.profile_id})


async def test_who_cannot_be_a_friend_is_refused_and_nobody_becomes_one(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for names, code in (
        ([bob.profile_id, ada.profile_id], 40448),
        ([bob.profile_id, "nobody"], 40374),
        ([game.unique("p") for _ in range(101)], 40471),
    ):
        assert (await ada.refused("friend", "ADD_FRIENDS", profileIds=names)).reason_code == code
    assert await ids(ada) == await ids(bob) == set()
    many = [game.unique("p") for _ in range(101)]
    assert (await ada.refused("friend", "REMOVE_FRIENDS", profileIds=many)).reason_code == 40471
    assert (await game.client().refused("friend", "LIST_FRIENDS")).reason_code == 40304


async def test_a_player_has_so_many_friends_however_they_came(game: Game) -> None:
    ada, others = await game.player(), [await game.player() for _ in range(4)]
    await befriend(ada, *others[:3])
    assert (
        await ada.refused("friend", "ADD_FRIENDS", profileIds=[others[3].profile_id])
    ).reason_code == 40371
    # Not by the other side, either.
    assert (
        await others[3].refused("friend", "ADD_FRIENDS", profileIds=[ada.profile_id])
    ).reason_code == 40371
    await befriend(ada, *others[:3])
    await ada.call("friend", "REMOVE_FRIENDS", profileIds=[others[0].profile_id])
    await befriend(others[3], ada)
    await game.server.call("friend", "ADD_FRIENDS", ada.profile_id, profileIds=[others[0].profile_id])
    assert len(await ids(ada)) == 4


async def test_two_who_add_each_other_at_once_are_friends_once(game: Game) -> None:
    for _ in range(10):
        ada, bob = await game.player(), await game.player()
        await asyncio.gather(befriend(ada, bob), befriend(bob, ada))
        assert (await ids(ada), await ids(bob)) == ({bob.profile_id}, {ada.profile_id})


# Platforms


async def test_a_list_of_a_platform_makes_friends_and_parts_from_those_it_lacks(game: Game) -> None:
    one, two, three = (game.unique("fb") for _ in range(3))
    ada = await known_by(game, "Facebook", game.unique("fb"))
    bob, cyd = await known_by(game, "Facebook", one), await known_by(game, "Facebook", two)
    unknown = game.unique("fb")
    added = await ada.call(
        "friend",
        "ADD_FRIENDS_FROM_PLATFORM",
        friendPlatform="Facebook",
        mode="ADD",
        externalIds=[one, two, unknown],
    )
    assert added == {
        "server_time": game.clock.ms(),
        "rejected": [unknown],
        "numRejected": 1,
        "numNewAdded": 2,
        "numDeleted": 0,
        "numExisting": 0,
    }
    [friend] = await friends_of(bob, "Facebook")
    assert friend["friendPlatforms"] == ["Facebook"]
    assert set(friend["externalData"]) == {"Facebook"}
    theirs = {friend["playerId"]: friend["externalData"] for friend in await friends_of(ada)}
    assert theirs[bob.profile_id] == {"Facebook": {"externalId": one, "name": None, "pictureUrl": None}}
    await befriend(ada, cyd)
    assert (await friends_of(cyd))[0]["friendPlatforms"] == ["brainCloud", "Facebook"]
    assert await ids(ada, "brainCloud") == {cyd.profile_id}
    # Cyd stays, as a friend of the game.
    dan = await known_by(game, "Facebook", three)
    synced = await ada.call(
        "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform="facebook", mode="SYNC", externalIds=[three]
    )
    assert (synced["numNewAdded"], synced["numDeleted"], synced["numExisting"]) == (1, 2, 0)
    assert await ids(ada) == {cyd.profile_id, dan.profile_id}
    assert await ids(ada, "Facebook") == {dan.profile_id}
    assert await ids(bob) == set()
    again = await ada.call(
        "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform="Facebook", mode="ADD", externalIds=[three]
    )
    assert (again["numNewAdded"], again["numExisting"]) == (0, 1)


async def test_an_empty_list_of_a_platform_is_no_mistake(game: Game) -> None:
    ada = await game.player()
    for platform in ("Facebook", "Steam", "PlaystationNetwork"):
        added = await ada.call(
            "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform=platform, mode="ADD", externalIds=[]
        )
        assert added["numNewAdded"] == 0
    for platform in ("brainCloud", "All", "nothing"):
        refusal = await ada.refused(
            "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform=platform, mode="ADD", externalIds=[]
        )
        assert refusal.reason_code == 500020
    refusal = await ada.refused(
        "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform="Steam", mode="DROP", externalIds=[]
    )
    assert refusal.reason_code == 40660
    assert (await ada.refused("friend", "LIST_FRIENDS", friendPlatform="nothing")).reason_code == 500020
    assert (await ada.refused("friend", "GET_MY_SOCIAL_INFO", friendPlatform="x")).reason_code == 500020


async def test_an_import_passes_no_limit_and_no_block(game: Game) -> None:
    names = [game.unique("st") for _ in range(5)]
    ada = await known_by(game, "Steam", names[0])
    others = [await known_by(game, "Steam", name) for name in names[1:]]
    await others[0].call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
    added = await ada.call(
        "friend", "ADD_FRIENDS_FROM_PLATFORM", friendPlatform="Steam", mode="ADD", externalIds=names
    )
    assert (added["numNewAdded"], added["rejected"]) == (3, sorted(names[:2]))


async def test_a_player_reads_their_own_social_information(game: Game) -> None:
    name = game.unique("fb")
    ada = await known_by(game, "Facebook", name)
    await ada.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"level": 1})
    mine = await ada.call("friend", "GET_MY_SOCIAL_INFO", friendPlatform="Facebook", includeSummaryData=True)
    assert mine == {
        "playerId": ada.profile_id,
        "name": "",
        "pictureUrl": None,
        "summaryFriendData": {"level": 1},
        "externalData": {"Facebook": {"externalId": name, "name": None, "pictureUrl": None}},
        "server_time": game.clock.ms(),
    }
    mine = await ada.call("friend", "GET_MY_SOCIAL_INFO", friendPlatform="All")
    assert set(mine["externalData"]) == {"brainCloud", "Facebook"}


# Pages


async def test_friends_are_read_page_by_page(game: Game) -> None:
    ada = await game.player()
    for name in ("Bob", "Cyd", "Dan"):
        await befriend(ada, await named(game, name))
        game.clock.advance(1)
    pages = {"pagination": {"rowsPerPage": 2}, "sortCriteria": {"name": -1}}
    first = await ada.call("friend", "GET_FRIENDS_PAGE", context=pages, includeSummaryData=True)
    assert [friend["name"] for friend in first["results"]["items"]] == ["Dan", "Cyd"]
    assert first["results"]["count"] == 3
    second = await ada.call("friend", "GET_FRIENDS_PAGE", context=first["context"], pageOffset=1)
    assert [friend["name"] for friend in second["results"]["items"]] == ["Bob"]
    usual = await ada.call("friend", "GET_FRIENDS_PAGE")
    assert [friend["name"] for friend in usual["results"]["items"]] == ["Bob", "Cyd", "Dan"]
    found = await ada.call("friend", "GET_FRIENDS_PAGE", context={"searchCriteria": {"name": "Cyd"}})
    assert len(found["results"]["items"]) == 1
    bob = await game.player()
    theirs = await bob.call("friend", "GET_FRIENDS_PAGE", context=first["context"], pageOffset=1)
    assert theirs["results"]["items"] == []
    for context, code in (("no context", 40383), ({"pagination": 5}, 40384)):
        assert (await ada.refused("friend", "GET_FRIENDS_PAGE", context=context)).reason_code == code
    for criteria, code in (({"name": {"$x": 1}}, 40349), ({"$x": 1}, 40349), ({"a$b": 1}, 40347)):
        refusal = await ada.refused("friend", "GET_FRIENDS_PAGE", context={"searchCriteria": criteria})
        assert refusal.reason_code == code, criteria


# Blocks


async def test_nothing_of_the_blocked_reaches_the_blocker(game: Game) -> None:
    ada, bob = await named(game, "Ada"), await named(game, "Bob")
    await befriend(ada, bob)
    listening = await ear(ada)
    await ada.call("friend", "BLOCK_USERS", profileIds=[bob.profile_id])
    assert await ids(ada) == await ids(bob) == set()
    assert (await ada.call("friend", "LIST_BLOCKED_USERS"))["blocked"] == [
        {"profileId": bob.profile_id, "profileName": "Bob", "pictureUrl": None}
    ]
    assert (await bob.refused("friend", "ADD_FRIENDS", profileIds=[ada.profile_id])).reason_code == 40790
    assert (await ada.refused("friend", "ADD_FRIENDS", profileIds=[bob.profile_id])).reason_code == 40790
    refusal = await bob.refused("event", "SEND", toId=ada.profile_id, eventType="a")
    assert refusal.reason_code == 40790
    refusal = await game.server.refused(
        "event", "SYS_SEND_RTT_ONLY", bob.profile_id, toId=ada.profile_id, eventType="a"
    )
    assert refusal.reason_code == 40790
    sent = await bob.call("event", "SEND_EVENT_TO_PROFILES", toIds=[ada.profile_id], eventType="a")
    assert sent["errorProfiles"] == [ada.profile_id]
    assert (await ada.call("event", "GET_EVENTS"))["incoming_events"] == []
    assert listening.heard.empty()
    await ada.call("event", "SEND", toId=bob.profile_id, eventType="a")  # the other way is open
    await ada.call("friend", "UNBLOCK_USERS", profileIds=[bob.profile_id, "nobody"])
    await befriend(bob, ada)
    await bob.call("event", "SEND", toId=ada.profile_id, eventType="a")
    assert (await ada.call("friend", "LIST_BLOCKED_USERS"))["blocked"] == []


async def test_blocks_have_limits(game: Game) -> None:
    ada, others = await game.player(), [(await game.player()).profile_id for _ in range(3)]
    for names, code in (
        ([ada.profile_id], 40448),
        (["nobody"], 40374),
        ([game.unique("p") for _ in range(101)], 40471),
        (others, 40371),
    ):
        assert (await ada.refused("friend", "BLOCK_USERS", profileIds=names)).reason_code == code
    many = [game.unique("p") for _ in range(101)]
    assert (await ada.refused("friend", "UNBLOCK_USERS", profileIds=many)).reason_code == 40471
    assert (await game.client().refused("friend", "LIST_BLOCKED_USERS")).reason_code == 40304


# Finding


async def found(player: Client, operation: str, text: str, **more: Any) -> Any:
    return await player.call("friend", operation, searchText=text, **more)


def names_of(answer: Any) -> set[str]:
    return {match["profileName"] for match in answer["matches"]}


async def test_players_are_found_by_their_name_its_beginning_and_its_parts(game: Game) -> None:
    word = game.unique("Zoë")
    ada, bob = await named(game, word, level=7), await named(game, f"{word} Bob")
    await named(game, f"Mr {word}")
    exact = await found(ada, "FIND_USERS_BY_EXACT_NAME", word, maxResults=10)
    assert exact == {
        "matches": [
            {
                "profileId": ada.profile_id,
                "profileName": word,
                "pictureUrl": None,
                "playerSummaryData": {"level": 7},
            }
        ],
        "matchedCount": 1,
    }
    start = await found(ada, "FIND_USERS_BY_NAME_STARTING_WITH", word, maxResults=10)
    assert names_of(start) == {word, f"{word} Bob"}
    assert {"level": 7} in [match["summaryFriendData"] for match in start["matches"]]
    part = await found(bob, "FIND_USERS_BY_SUBSTR_NAME", word.upper().replace("Ë", "ë"), maxResults=10)
    assert names_of(part) == {word, f"{word} Bob", f"Mr {word}"}
    part = await found(bob, "FIND_USERS_BY_SUBSTR_NAME", f"{word} Bob", maxResults=10)
    assert [match["profileId"] for match in part["matches"]] == [bob.profile_id]
    part = await found(bob, "FIND_USERS_BY_SUBSTR_NAME", word, maxResults=2)
    assert part["matches"][0]["profileId"] == ada.profile_id  # who is called so comes first
    assert (part["matchedCount"], part["message"]) == (2, "Result count exceeds maximum.")
    for operation in (
        "FIND_USERS_BY_EXACT_NAME",
        "FIND_USERS_BY_NAME_STARTING_WITH",
        "FIND_USERS_BY_SUBSTR_NAME",
    ):
        assert await found(ada, operation, game.unique("no")) == {"matches": [], "matchedCount": 0}
        assert (await ada.refused("friend", operation, searchText="")).reason_code == 40660
        assert (await ada.refused("friend", operation, searchText="abc", maxResults=0)).reason_code == 40660
    assert (await ada.refused("friend", "FIND_USERS_BY_SUBSTR_NAME", searchText="ab")).reason_code == 40376


@pytest.mark.parametrize("letter", ["%", "_", "\\", "'", "*", "[", "\U0010ffff", "\ud7ff", "ß", "日"])
async def test_a_text_means_itself(game: Game, letter: str) -> None:
    word = game.unique("x") + letter
    ada, _ = await named(game, word), await named(game, word[:-1] + "z")
    for operation in (
        "FIND_USERS_BY_EXACT_NAME",
        "FIND_USERS_BY_NAME_STARTING_WITH",
        "FIND_USERS_BY_SUBSTR_NAME",
    ):
        assert names_of(await found(ada, operation, word)) == {word}


@pytest.mark.parametrize("letters", ["sS", "äÄ", "ςΣ", "σΣ"])
async def test_the_case_of_a_name_matters_but_for_a_part_of_it(game: Game, letters: str) -> None:
    small, large = (game.unique("x") + letter for letter in letters)
    large = small[:-1] + large[-1]
    ada, bob = await named(game, small + "a"), await named(game, large + "a")
    for text, player in ((small, ada), (large, bob)):
        for operation, asked in (
            ("FIND_USERS_BY_EXACT_NAME", f"{text}a"),
            ("FIND_USERS_BY_NAME_STARTING_WITH", text),
            ("FIND_USERS_BY_NAME_STARTING_WITH", f"{text}a"),
        ):
            assert names_of(await found(player, operation, asked)) == {f"{text}a"}


async def test_an_index_finds_names(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    index = "players_by_start_of_lower_name"
    if game.core.database.dialect == "sqlite":
        ada = await named(game, game.unique("Ada"))
        plans = Plans(game, monkeypatch)
        for operation in ("FIND_USERS_BY_EXACT_NAME", "FIND_USERS_BY_NAME_STARTING_WITH"):
            await found(ada, operation, "Ada")
        ways = [step for step in plans.steps() if " players " in step]
        assert sum(f"{index} (app_id=? AND <expr>=?)" in way for way in ways) == 1
        assert sum(f"{index} (app_id=? AND <expr>>? AND <expr><?)" in way for way in ways) == 1
        return
    for statement in (storage.BY_NAME, storage.BY_START_OF_NAME):
        said = statement.params(app="x", text="Ada", most=10, **beginning_by_lower("Ada"))
        sql = said.compile(dialect=POSTGRESQL, compile_kwargs={"literal_binds": True})
        async with game.core.database.write() as tx:
            for other in ("seqscan", "bitmapscan"):
                await tx.run(sql_text(f"SET LOCAL enable_{other} = off"))
            rows = await tx.all(sql_text(f"EXPLAIN {sql}".replace(":", "\\:")))
        plan = " ".join(str(row[0]) for row in rows)
        assert re.search(rf"{index} .*Index Cond: .*lower\(name\) (=|~>=~) 'ada'", plan), plan


async def test_a_search_that_takes_too_long_finds_those_who_are_called_so(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = game.unique("Slow")
    ada = await named(game, word)
    await named(game, f"{word} Bob")
    monkeypatch.setattr("gameserver.services.friend.finding.search_apart", _too_slow)
    assert names_of(await found(ada, "FIND_USERS_BY_SUBSTR_NAME", word)) == {word}
    assert names_of(await found(ada, "FIND_PLAYER_BY_UNIVERSAL_ID", word)) == set()


async def _too_slow(*_: Any, **__: Any) -> Any:
    raise QueryTooSlow("too long")


async def test_players_are_found_by_universal_ids(game: Game) -> None:
    word, ada, bob = game.unique("uni"), game.client(), game.client()
    await ada.log_in("Universal", word, PASSWORD)
    await bob.log_in("Anonymous", game.unique("device"))
    await bob.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=f"{word}-2")
    for operation in ("FIND_PLAYER_BY_EXACT_UNIVERSAL_ID", "FIND_USER_BY_EXACT_UNIVERSAL_ID"):
        exact = await found(bob, operation, word)
        assert [match["profileId"] for match in exact["matches"]] == [ada.profile_id]
        assert (await found(bob, operation, game.unique("no")))["matchedCount"] == 0
        assert (await bob.refused("friend", operation)).reason_code == 40358
    for operation, text in (
        ("FIND_USERS_BY_UNIVERSAL_ID_STARTING_WITH", word),
        ("FIND_PLAYER_BY_UNIVERSAL_ID", word[3:]),
    ):
        both = await found(ada, operation, text, maxResults=5)
        assert {match["profileId"] for match in both["matches"]} == {ada.profile_id, bob.profile_id}
        assert word not in str(both)  # the ids themselves are not told
        assert (await ada.refused("friend", operation, searchText="ab")).reason_code == 40376


async def test_servers_find_players_by_what_they_show(game: Game) -> None:
    town = game.unique("town")
    ada = await named(game, "Ada", town=town, level=7)
    await named(game, "Bob", town=town, level=3)
    where = {"summaryFriendData.town": town, "summaryFriendData.level": {"$gte": 5}}
    answer = await game.server.call("friend", "FIND_USERS_BY_USER_SUMMARY", where=where, maxResults=20)
    assert [match["profileId"] for match in answer["matches"]] == [ada.profile_id]
    assert answer["matches"][0]["playerSummaryData"] == {"town": town, "level": 7}
    where = {"summaryFriendData.town": town}
    answer = await game.server.call("friend", "FIND_USERS_BY_USER_SUMMARY", where=where, maxResults=1)
    assert (answer["matchedCount"], answer["message"]) == (1, "Result count exceeds maximum.")
    assert (await ada.refused("friend", "FIND_USERS_BY_USER_SUMMARY", where={})).reason_code == 40346
    for criteria, code in (({"profileName": {"$x": 1}}, 40349), ({"$x": 1}, 40349), ({"a$b": 1}, 40347)):
        refusal = await game.server.refused("friend", "FIND_USERS_BY_USER_SUMMARY", where=criteria)
        assert refusal.reason_code == code, criteria


async def test_an_index_finds_players_by_names_and_universal_ids(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    ada = await named(game, "Ada")
    plans = Plans(game, monkeypatch)
    for operation in (
        "FIND_USERS_BY_EXACT_NAME",
        "FIND_USERS_BY_NAME_STARTING_WITH",
        "FIND_USER_BY_EXACT_UNIVERSAL_ID",
        "FIND_USERS_BY_UNIVERSAL_ID_STARTING_WITH",
    ):
        await found(ada, operation, "Ada")
    bob = await game.player()
    await befriend(ada, bob)
    await friends_of(ada)
    await ada.call("friend", "GET_FRIENDS_PAGE")
    await ada.call("friend", "GET_USERS_ONLINE_STATUS", profileIds=[bob.profile_id])
    await ada.call("friend", "GET_SUMMARY_DATA_FOR_PROFILE_ID", profileId=bob.profile_id)
    await ada.call("friend", "READ_FRIENDS_ENTITIES", entityType="card")
    await ada.call("friend", "READ_FRIEND_PLAYER_STATE", friendId=bob.profile_id)
    asked = {"externalId": "x", "authenticationType": "Universal"}
    await ada.call("friend", "GET_PROFILE_INFO_FOR_CREDENTIAL_IF_EXISTS", **asked)
    of_platform = {"friendPlatform": "Steam", "mode": "SYNC", "externalIds": ["x"]}
    await ada.call("friend", "ADD_FRIENDS_FROM_PLATFORM", **of_platform)
    await ada.call("friend", "REMOVE_FRIENDS", profileIds=[bob.profile_id])
    await ada.call("friend", "BLOCK_USERS", profileIds=[bob.profile_id])
    await ada.call("friend", "LIST_BLOCKED_USERS")
    await ada.call("friend", "UNBLOCK_USERS", profileIds=[bob.profile_id])
    assert plans.statements
    slow = plans.slow()
    assert not slow, "\n".join(slow)


# What is told


async def test_profiles_are_found_by_credentials_but_not_by_mail_or_device(game: Game) -> None:
    name, email, device = game.unique("uni"), f"{game.unique('m')}@example.com", game.unique("device")
    ada = game.client()
    await ada.log_in("Universal", name, PASSWORD)
    await ada.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"level": 7})
    bob, cyd = game.client(), game.client()
    await bob.log_in("Email", email, PASSWORD)
    await cyd.log_in("Anonymous", device)
    expected = {
        "profileId": ada.profile_id,
        "playerName": "",
        "email": None,
        "summaryFriendData": {"level": 7},
    }
    for operation in ("GET_PROFILE_INFO_FOR_CREDENTIAL", "GET_PROFILE_INFO_FOR_CREDENTIAL_IF_EXISTS"):
        asked = {"externalId": name, "authenticationType": "Universal"}
        assert await bob.call("friend", operation, **asked) == expected
        refusal = await bob.refused("friend", operation, externalId=name, authenticationType="nothing")
        assert refusal.reason_code == 40315
    exact, if_exists = "GET_PROFILE_INFO_FOR_CREDENTIAL", "GET_PROFILE_INFO_FOR_CREDENTIAL_IF_EXISTS"
    for type_, external_id in (("Universal", game.unique("no")), ("Email", email), ("Anonymous", device)):
        asked = {"externalId": external_id, "authenticationType": type_}
        assert (await ada.refused("friend", exact, **asked)).reason_code == 40374
        assert await ada.call("friend", if_exists, **asked) == {}
    told = await game.server.call("friend", exact, externalId=email, authenticationType="Email")
    assert (told["profileId"], told["email"]) == (bob.profile_id, None)
    refusal = await game.server.refused("friend", exact, externalId=device, authenticationType="Anonymous")
    assert refusal.reason_code == 40374


async def test_profiles_are_found_by_ids_of_external_logins(game: Game) -> None:
    external_id = game.unique("ext")
    ada = await game.player()
    bob = await known_by(game, "External", f"studio/{external_id}")
    exact, if_exists = (
        "GET_PROFILE_INFO_FOR_EXTERNAL_AUTH_ID",
        "GET_PROFILE_INFO_FOR_EXTERNAL_AUTH_ID_IF_EXISTS",
    )
    for operation in (exact, if_exists):
        told = await ada.call("friend", operation, externalId=external_id, externalAuthType="studio")
        assert told == {
            "playerId": bob.profile_id,
            "playerName": "",
            "email": None,
            "playerSummaryData": None,
        }
    unknown = {"externalId": game.unique("no"), "externalAuthType": "studio"}
    assert (await ada.refused("friend", exact, **unknown)).reason_code == 40374
    assert await ada.call("friend", if_exists, **unknown) == {}
    undeclared = {"externalId": external_id, "externalAuthType": "nobody"}
    assert (await ada.refused("friend", exact, **undeclared)).reason_code == 40684
    assert await ada.call("friend", if_exists, **undeclared) == {}
    assert (await ada.refused("friend", if_exists, externalId="x")).reason_code == 40358


async def test_ids_are_told_but_no_mail_address_and_no_device(game: Game) -> None:
    name, email = game.unique("uni"), f"{game.unique('m')}@example.com"
    ada, bob = game.client(), game.client()
    await ada.log_in("Universal", name, PASSWORD)
    await bob.log_in("Email", email, PASSWORD)
    operation = "GET_EXTERNAL_ID_FOR_PROFILE_ID"

    def asked(player: Client, type_: str) -> dict[str, Any]:
        return {"profileId": player.profile_id, "authenticationType": type_}

    assert await bob.call("friend", operation, **asked(ada, "Universal")) == {"externalId": name}
    assert await bob.call("friend", operation, **asked(bob, "Email")) == {"externalId": email}
    cyd = await game.player()
    for player, type_ in ((bob, "Email"), (cyd, "Anonymous"), (bob, "Facebook")):
        assert (await ada.refused("friend", operation, **asked(player, type_))).reason_code == 40345
    assert (await cyd.refused("friend", operation, **asked(cyd, "Anonymous"))).reason_code == 40345
    told = await game.server.call("friend", operation, profileId=bob.profile_id, authenticationType="Email")
    assert told == {"externalId": email}
    refusal = await ada.refused("friend", operation, profileId="nobody", authenticationType="Universal")
    assert refusal.reason_code == 40374
    assert (await ada.refused("friend", operation, **asked(bob, "x"))).reason_code == 40315


async def test_summary_data_is_told_to_everybody(game: Game) -> None:
    ada, bob = await named(game, "Ada", level=7), await game.player()
    told = await bob.call("friend", "GET_SUMMARY_DATA_FOR_PROFILE_ID", profileId=ada.profile_id)
    assert told == {
        "profileId": ada.profile_id,
        "profileName": "Ada",
        "pictureUrl": None,
        "email": None,
        "playerSummaryData": {"level": 7},
    }
    refusal = await bob.refused("friend", "GET_SUMMARY_DATA_FOR_PROFILE_ID", profileId="nobody")
    assert refusal.reason_code == 40374


async def test_who_is_online_has_an_open_session(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    asked = [ada.profile_id, bob.profile_id, "nobody"]
    answer = await ada.call("friend", "GET_USERS_ONLINE_STATUS", profileIds=asked)
    assert answer["onlineStatus"] == [
        {"profileId": ada.profile_id, "isOnline": True, "userValid": True},
        {"profileId": bob.profile_id, "isOnline": True, "userValid": True},
        {"profileId": "nobody", "isOnline": False, "userValid": False},
    ]
    await bob.call("playerState", "LOGOUT")
    answer = await ada.call("friend", "GET_USERS_ONLINE_STATUS", profileIds=[bob.profile_id])
    assert not answer["onlineStatus"][0]["isOnline"]
    many = [game.unique("p") for _ in range(101)]
    assert (await ada.refused("friend", "GET_USERS_ONLINE_STATUS", profileIds=many)).reason_code == 40471


async def test_entities_that_friends_share_are_read(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    await befriend(ada, bob)
    made = {}
    for owner in (bob, cyd):
        for kind, other in (("card", 1), ("card", 0), ("coin", 2)):
            made[owner.profile_id, kind, other] = (
                await owner.call("entity", "CREATE", entityType=kind, data={"n": 1}, acl={"other": other})
            )["entityId"]
    answer = await ada.call("friend", "READ_FRIENDS_ENTITIES", entityType="card")
    assert answer["results"] == [
        {
            "userId": bob.profile_id,
            "entities": [
                {
                    "entityId": made[bob.profile_id, "card", 1],
                    "entityType": "card",
                    "version": 1,
                    "acl": {"other": 1},
                    "createdAt": game.clock.ms(),
                    "updatedAt": game.clock.ms(),
                    "data": {"n": 1},
                }
            ],
        }
    ]
    [all_types] = (await ada.call("friend", "READ_FRIENDS_ENTITIES"))["results"]
    assert len(all_types["entities"]) == 2
    one = {"friendId": bob.profile_id, "entityId": made[bob.profile_id, "coin", 2]}
    assert (await ada.call("friend", "READ_FRIEND_ENTITY", **one))["acl"] == {"other": 2}
    for hidden in (made[bob.profile_id, "card", 0], "unknown"):
        refusal = await ada.refused("friend", "READ_FRIEND_ENTITY", friendId=bob.profile_id, entityId=hidden)
        assert refusal.reason_code == 40345
    assert (await cyd.call("friend", "READ_FRIENDS_ENTITIES"))["results"] == []
    assert (await ada.refused("friend", "READ_FRIENDS_ENTITIES", entityType=5)).reason_code == 40359


async def test_friends_read_each_others_state_without_what_is_private(game: Game) -> None:
    email = f"{game.unique('m')}@example.com"
    ada, bob = game.client(), await game.player()
    await ada.log_in("Email", email, PASSWORD)
    await ada.call("entity", "CREATE", entityType="card", data={"n": 1}, acl={"other": 1})
    await ada.call("entity", "CREATE", entityType="diary", data={"n": 2}, acl={"other": 0})
    refusal = await bob.refused("friend", "READ_FRIEND_PLAYER_STATE", friendId=ada.profile_id)
    assert (refusal.status, refusal.reason_code) == (400, 40310)
    assert (await bob.refused("friend", "READ_FRIEND_PLAYER_STATE", friendId="x")).reason_code == 40310
    await befriend(bob, ada)
    await bob.call("event", "SEND", toId=ada.profile_id, eventType="secret")
    state = await bob.call("friend", "READ_FRIEND_PLAYER_STATE", friendId=ada.profile_id)
    assert (state["id"], state["profileId"], state["loginCount"]) == (ada.profile_id, ada.profile_id, 1)
    assert [entity["entityType"] for entity in state["entities"]] == ["card"]
    assert email not in str(state)
    assert "secret" not in str(state)


# Friends elsewhere


async def test_friends_make_a_social_leaderboard(game: Game) -> None:
    ada, bob, cyd = await named(game, "Ada"), await named(game, "Bob"), await named(game, "Cyd")
    board = game.unique("board")
    for player, score in ((ada, 1), (bob, 2), (cyd, 3)):
        await player.call(
            "leaderboard", "POST_SCORE_DYNAMIC", leaderboardId=board, score=score, data=None,
            leaderboardType="HIGH_VALUE", rotationType="NEVER", retainedCount=1,
        )  # fmt: skip
    await befriend(ada, bob)
    asked = {"leaderboardId": board, "replaceName": False}
    shown = await ada.call("leaderboard", "GET_SOCIAL_LEADERBOARD", **asked)
    assert [entry["playerId"] for entry in shown["social_leaderboard"]] == [bob.profile_id, ada.profile_id]
    await bob.call("friend", "REMOVE_FRIENDS", profileIds=[ada.profile_id])
    shown = await ada.call("leaderboard", "GET_SOCIAL_LEADERBOARD", **asked)
    assert [entry["playerId"] for entry in shown["social_leaderboard"]] == [ada.profile_id]


def test_every_way_has_a_name() -> None:
    assert sum(domain.PLATFORMS.values()) == domain.ALL_WAYS
    assert domain.shown_ways(domain.ALL_WAYS) == list(domain.PLATFORMS)


async def test_an_export_tells_all_friends(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    await befriend(ada, bob, cyd)
    async with game.core.database.read() as tx:
        told = await game.core.player_hooks.export_player(tx, ada.app_id, ada.profile_id)
    pairs = {(row["ownerId"], row["friendId"]) for row in told["friend"]["friendships"]}
    assert len(pairs) == 4
    assert (ada.profile_id, bob.profile_id) in pairs
    assert (cyd.profile_id, ada.profile_id) in pairs
