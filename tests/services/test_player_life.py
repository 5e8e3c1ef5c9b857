"""A player's life: everything that is kept of one is exported, reset, deleted, or becomes another's."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, Text, bindparam, cast, insert, or_, select

from gameserver.admin import actions, balances, bans, notes
from gameserver.admin.bulk.storage import ADD_PLAYER
from gameserver.admin.common import Refused
from gameserver.documents.list_counts import tallies
from gameserver.domain.economy import wallet
from gameserver.domain.leaderboards import Leaderboards
from gameserver.players import profile_links
from gameserver.players.refusals import Refusals
from gameserver.services.entity import storage as entities
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Aborted, Transaction, metadata
from gameserver.wire import json
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.services.test_script import write_script

PASSWORD = "correct horse"
DAY = 24 * 3600
DAILY = "life_daily"
BOARDS = ("HIGH_VALUE", "LOW_VALUE", "LAST_VALUE", "CUMULATIVE", "ARCADE_HIGH", "ARCADE_LOW")
OTHER_APP, OTHER_SECRET = "20002", "another-secret-for-tests-012345"

APP = f"""
[session]
most = 9
life_seconds = 2592000
[oauth]
enabled = true
[virtualCurrency.currencies.coins]
[virtualCurrency.currencies.gems]
[playerStatistics]
create_unknown = true
[playerStatistics.statistics.lives]
initial = 3
maximum = 9
[playerStatistics.statistics.best]
when_merged = "keep"
[[playerStatistics.levels]]
experience = 100
rewards = {{ currency = {{ gems = 10 }} }}
[[playerStatistics.levels]]
experience = 200
rewards = {{ currency = {{ gems = 20 }} }}
[group.types.team]
[webhooks.events."custom.life"]
[webhooks.outgoing.nowhere]
url = "https://127.0.0.1:9/"
secret = "whsec_{"k" * 32}"
events = ["player.created", "custom.life"]
[segment.segments.everybody]
id = 1
[segment.segments.phones]
id = 2
criteria = {{ platforms = ["IOS"] }}
[segment.segments.winners]
id = 3
criteria = {{ statistics.wins = {{ minimum = 5 }} }}
[segment.segments.champions]
id = 4
criteria = {{ statistics.wins = {{ minimum = 10 }} }}
[tournament.templates.cup]
payouts = [{{ rest = true, rewards = {{ currency = {{ coins = 100 }} }} }}]
[leaderboard.boards.life_daily]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
retained = 3
tournament = {{ codes = ["cup"] }}
{"".join(f'[leaderboard.boards.{kind}]{chr(10)}type = "{kind}"{chr(10)}' for kind in BOARDS)}
[web.profiles.staying]
type = "Email"
refresh_tokens = true
[web.endpoints.stay]
path = "/v1/stay"
[web.actions.stay]
trigger = "stay"
events = [{{ do = "login", profile = "staying" }}]
[backendless]
roles = ["Moderator", "Guard"]
[backendless.login]
[backendless.versions.release]
application_id = "LIFE-APP"
keys = {{ js = "js-key" }}
"""

LEFT = (
    "still names a player who is gone: the column of a player table that follows them, or else a hook of a"
    ' player\'s life; see "Adding a service" in gameserver/README.md'
)
# What may still hold the id of a deleted player.
STAYS = {
    "audit_events.profile_id": "who got in, and what was done, is kept as long as the app says",
    "webhook_deliveries.profile_id": "what others wait to be told is told",
    "webhook_deliveries.data": "the same: the id, and no more",
    "staff_actions.profile_id": "what staff did is kept as long as the app says; what it was about is erased",
    "staff_actions.target": "the same",
    "staff_receipts.profile_id": "a receipt counts once, also when the player it was for is gone",
    "staff_bulk_players.profile_id": "nobody gets anything twice; forgotten after 90 days",
    "leaderboard_removals.entry_id": "until the index of ranks is known to have lost the score",
    "jobs.key": "a job that has them leave the chat of their groups everywhere, soon",
    "jobs.payload": "the same",
    "packet_answers.answer": "a repeated packet gets its answer for a day",
}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app in which every service has something to keep, and another one."""
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP)
    write_script(apps_folder / "test", "later", "data;")
    (apps_folder / "other").mkdir()
    (apps_folder / "other" / "app.toml").write_text(f'id = "{OTHER_APP}"\nsecret = "{OTHER_SECRET}"\n')
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game at the start of a day, its daily board as new: tests of a run may share a database."""
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY)
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=[DAILY])
    await game.server.call("leaderboard", "SYS_EDIT_LEADERBOARD", leaderboardId=DAILY)
    return game


ADD_TALLY = insert(tallies).values(
    list=bindparam("list"), owner_id=bindparam("owner_id"), entity_type="", is_ready=True, mended=0
)


async def full_players(game: Game, count: int) -> list[Client]:
    """Players of whom every table holds something."""
    players = [await _player(game) for _ in range(count)]
    await to_next_day(game)
    for player in players:
        await join(player)
        await player.refused("time", "NEVER")
        await game.server.call("segment", "REFRESH_MY_SEGMENTS", player.profile_id)
    await game.core.audit.flush()
    await game.core.get(Refusals).flush()
    return players


async def full_player(game: Game) -> Client:
    [player] = await full_players(game, 1)
    return player


async def _known_to_staff(game: Game, tx: Transaction, profile: str) -> None:
    of_staff = {"app_id": APP_ID, "profile_id": profile, "staff": "bob", "at_ms": game.clock.ms()}
    await tx.run(notes.ADD, **of_staff, note_id="1", text="is kind", is_pinned=False)
    receipt = {"receipt": game.unique("receipt"), "currency": "coins", "amount": 1}
    await tx.run(balances.ADD, **of_staff, **receipt)
    outcome = {"bulk_id": game.unique("bulk")[:32], "outcome": "done", "why": "", "before": None}
    await tx.run(ADD_PLAYER, app_id=APP_ID, profile_id=profile, at_ms=game.clock.ms(), **outcome)


async def _player(game: Game) -> Client:
    email = f"{game.unique('life')}@example.com"
    user = {"email": email, "password": PASSWORD, "city": "Oslo"}
    registered = await game.http.post("/LIFE-APP/js-key/users/register", json=user)
    assert registered.status_code == 200, registered.text
    player = game.client()
    await player.log_in("Email", email, PASSWORD, anonymousId=game.unique("device"), releasePlatform="IOS")
    profile = player.profile_id
    assert registered.json()["objectId"] == profile
    await game.server.call("webhook", "SEND_EVENT", profile, name="custom.life", values={"hair": "red"})
    stayed = await game.http.post("/v1/stay", json={"login": email, "password": PASSWORD})
    assert stayed.status_code == 200, stayed.text
    game.http.cookies.clear()  # the next player comes from another browser
    await actions.player_role_add(game.server_app, APP_ID, profile, "Moderator")
    async with game.core.database.write() as tx:  # as a ban does that is over as soon as it is told
        await bans.begin(tx, APP_ID, profile, bans.Ban("shouted", "bob", game.clock.ms(), None))
        await _known_to_staff(game, tx, profile)
    for fill in (_own, _with_others, _in_groups):
        await fill(game, player)
    return player


# Each service has its rows made by one of these.


async def _own(game: Game, player: Client) -> None:
    """What is the player's alone."""
    profile = player.profile_id
    await game.server.call("identity", "CREATE_HANDOFF_ID", profile)
    await player.call("playerState", "UPDATE_NAME", playerName="Ada")
    await player.call("playerState", "UPDATE_ATTRIBUTES", attributes={"hair": "red"})
    await player.call("pushNotification", "REGISTER", deviceType="IOS", deviceToken=game.unique("token"))
    await player.call("pushNotification", "SEND_SIMPLE", toProfileId=profile, message="x")
    await player.call("entity", "CREATE", entityType="card", data={"suit": "hearts"}, acl={"other": 1})
    await player.call("globalEntity", "CREATE", entityType="wall", data={"x": 1}, timeToLive=-1, acl={})
    async with game.core.database.write() as tx:  # as a list of ten thousand entities gets one
        await tx.run(ADD_TALLY, list=f"entities:{profile}", owner_id=profile)
    await player.call("playerStatistics", "UPDATE", statistics={"wins": 5}, xp_points=30)
    await game.server.call("virtualCurrency", "AWARD_VC", profile, vcId="coins", vcAmount=50)
    await player.call("dataStream", "CUSTOM_TRACK_EVENT", eventName="filled")
    await game.server.call("log", "LOG_INFO", profile, errorMessage="filled")
    async with game.core.database.write() as tx:  # as who has a child and a peer in other apps
        await profile_links.add(tx, game.core.new_id(), profile_links.PARENT, profile, game.clock.ms())
        await profile_links.add(tx, profile, "peer", game.core.new_id(), game.clock.ms())
    await player.call("script", "SCHEDULE_CLOUD_SCRIPT", scriptName="later", minutesFromNow=60)


async def _with_others(game: Game, player: Client) -> None:
    """What is between the player and another one, both ways."""
    other = await game.player()
    await player.call("friend", "ADD_FRIENDS", profileIds=[other.profile_id])
    unwanted = await game.player()
    for blocker, blocked in ((player, unwanted), (unwanted, player)):
        await blocker.call("friend", "BLOCK_USERS", profileIds=[blocked.profile_id])
    for sender, receiver in ((player, other), (other, player)):
        await sender.call("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[receiver.profile_id], text="x")
        await sender.call("event", "SEND", toId=receiver.profile_id, eventType="note", eventData={"n": 1})
        later = {"profileId": receiver.profile_id, "minutesFromNow": 9, "alertContent": {"body": "x"}}
        await sender.call("pushNotification", "SCHEDULE_NORMALIZED_NOTIFICATION", **later)
        letter = {"profileId": receiver.profile_id, "subject": "s", "body": "b"}
        await sender.call("mail", "SEND_BASIC_EMAIL", **letter)


async def _in_groups(game: Game, player: Client) -> None:
    """What is kept where many players are."""
    channel = f"{APP_ID}:dy:{game.unique('room')}"
    await player.call("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="x")
    reds = await player.call("group", "CREATE_GROUP", name="Reds", groupType="team")
    castle = {"groupId": reds["groupId"], "isOwnedByGroupMember": True}
    await player.call("group", "CREATE_GROUP_ENTITY", **castle)
    await join(player)
    await player.call("tournament", "POST_TOURNAMENT_SCORE", leaderboardId=DAILY, score=7)


async def join(player: Client) -> None:
    await player.call(
        "tournament", "JOIN_TOURNAMENT", leaderboardId=DAILY, tournamentCode="cup", initialScore=1
    )


async def to_next_day(game: Game) -> None:
    """Let the periods of the daily board end."""
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY)
    await game.core.get(Leaderboards).upkeep.rotate_due()


async def post(player: Client, score: int, *, data: Any = None, board: str = "") -> None:
    for name in [board] if board else BOARDS:
        await player.call("leaderboard", "POST_SCORE", leaderboardId=name, score=score, data=data)


async def scores(player: Client, board: str) -> list[int]:
    """The player's scores, as the index of ranks has them."""
    data = {"leaderboardId": board, "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 499}
    found = await player.call("leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", **data)
    return [entry["score"] for entry in found["leaderboard"] if entry["playerId"] == player.profile_id]


async def holding(game: Game, text: str) -> set[str]:
    """Every column of every table in which a text occurs, alone or within something else."""
    found = set[str]()
    async with game.core.database.read() as tx:
        for table in metadata.sorted_tables:
            texts = [column for column in table.c if not isinstance(column.type, LargeBinary)]
            fits = or_(*(cast(column, Text).contains(bindparam("text")) for column in texts))
            rows = await tx.all(select(table).where(fits), text=text)
            if len(texts) < len(table.c):
                rows = [*rows, *await tx.all(select(table))]
            for row in rows:
                for column, value in zip(table.c, row, strict=True):
                    shown = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                    if text in shown:
                        found.add(f"{table.name}.{column.name}")
    return found


async def left(game: Game, profile: str, *, allowed: Collection[str] = ()) -> str:
    """Where the id of a player who is gone still stands and should not: nothing, or a line that says so."""
    found = sorted(await holding(game, profile) - STAYS.keys() - set(allowed))
    return "" if not found else f"{', '.join(found)}: {LEFT}"


def kept_columns(game: Game) -> set[str]:
    """The columns that hold profile ids."""
    tables = game.core.player_hooks.tables()
    return {f"{one.table.name}.{column.name}" for one in tables for column in one.players}


async def export(game: Game, player: Client) -> Any:
    """What an export tells of services."""
    return (await actions.player_export(game.server_app, APP_ID, player.profile_id))["services"]


async def merge(game: Game, source: Client, target: Client) -> Any:
    return await actions.player_merge(game.server_app, APP_ID, source.profile_id, target.profile_id)


async def events(game: Game, profile_id: str) -> list[tuple[str, str]]:
    found = await actions.audit_list(game.server_app, APP_ID, 100, equal={"profile_id": profile_id})
    return [(event["kind"], event["reason"]) for event in found]


# Deleting


async def by_client(game: Game, player: Client) -> None:
    await player.call("playerState", "FULL_PLAYER_RESET")


async def by_operator(game: Game, player: Client) -> None:
    await actions.player_delete(game.server_app, APP_ID, player.profile_id)


@pytest.mark.parametrize("delete", [by_client, by_operator])
async def test_of_a_deleted_player_nothing_is_kept(game: Game, delete: Any) -> None:
    """When this fails for a new table, see "Adding a service" in gameserver/README.md."""
    player, bystander = await full_players(game, 2)
    profile = player.profile_id
    unfilled = kept_columns(game) - await holding(game, profile)
    assert not unfilled, f"full_players makes no row that names the player in {sorted(unfilled)}"
    of_bystander = await export(game, bystander)
    await delete(game, player)
    assert not await left(game, profile)
    assert (await export(game, bystander))["entity"] == of_bystander["entity"]
    assert await holding(game, bystander.profile_id) >= kept_columns(game)
    refusal = await player.refused("playerState", "READ")
    assert refusal.reason_code == {by_client: 40304, by_operator: 40356}[delete]
    assert ("player", "deleted") in await events(game, profile)


@pytest.mark.parametrize("delete", [by_client, by_operator])
async def test_the_identities_of_a_deleted_player_are_free(game: Game, delete: Any) -> None:
    player, name = game.client(), game.unique("id")
    await player.log_in("Universal", name, PASSWORD)
    profile = player.profile_id
    await delete(game, player)
    again = game.client()
    answer = await again.log_in("Universal", name, "another password")
    assert answer["newUser"] == "true"
    assert again.profile_id != profile


async def test_what_a_late_packet_left_behind_goes_with_a_second_deletion(game: Game) -> None:
    player = await full_player(game)
    await by_operator(game, player)
    async with game.core.database.write() as tx:
        await wallet.add(tx, player.profile_id, "coins", 5, "late", game.clock.ms())
    await by_operator(game, player)
    assert not await left(game, player.profile_id)
    with pytest.raises(Refused, match="no player"):
        await by_operator(game, player)


@asynccontextmanager
async def late_packet(game: Game, player: Client) -> AsyncIterator[None]:
    """Create an entity in a packet that commits after what is done meanwhile; SQLite lets it begin then."""
    database = game.core.database
    entity: dict[str, Any] = {
        "owner_id": player.profile_id,
        "entity_id": game.core.new_id(),
        "app_id": APP_ID,
    }
    entity |= {"entity_type": "late", "acl_other": 0, "data": "{}", "now_ms": game.clock.ms()}
    if database.dialect == "sqlite":
        yield
    async with database.write() as tx:
        await tx.run(entities.CREATE, **entity)
        if database.dialect == "postgresql":
            yield


async def pass_minutes(game: Game) -> None:
    await game.core.audit.flush()
    game.clock.advance(11 * 60)
    await game.run_jobs()


@pytest.mark.parametrize("delete", [by_client, by_operator])
async def test_what_a_late_packet_left_behind_goes_by_itself(game: Game, delete: Any) -> None:
    player, bystander = await full_players(game, 2)
    of_bystander = await export(game, bystander)
    async with late_packet(game, player):
        await delete(game, player)
    await game.core.audit.flush()
    await game.run_jobs()  # another packet may still run
    assert "entities.owner_id" in await holding(game, player.profile_id)
    await pass_minutes(game)
    assert not await left(game, player.profile_id)
    assert (await export(game, bystander))["entity"] == of_bystander["entity"]


async def test_what_a_late_packet_of_a_merged_player_left_behind_comes_along(game: Game) -> None:
    player, target = await game.player(), await game.player()
    async with late_packet(game, player):
        await merge(game, player, target)
    await pass_minutes(game)
    assert not await left(game, player.profile_id, allowed=["audit_events.reason"])
    kept = (await export(game, target))["entity"]["entities"]
    assert [entity["entityType"] for entity in kept] == ["late"]


async def test_what_came_late_goes_when_the_target_is_gone_too(game: Game) -> None:
    player, target = await game.player(), await game.player()
    async with late_packet(game, player):
        await merge(game, player, target)
    await by_operator(game, target)
    await pass_minutes(game)
    assert not await left(game, player.profile_id, allowed=["audit_events.reason"])


async def test_a_player_of_another_app_is_none_of_this_one(game: Game) -> None:
    player, other = await game.player(), game.client(OTHER_APP, OTHER_SECRET)
    await other.log_in()
    await other.call("entity", "CREATE", entityType="card", data={}, acl={})
    async with game.core.database.write() as tx:
        await wallet.add(tx, other.profile_id, "coins", 5, "k", game.clock.ms())
    await game.core.audit.flush()
    before = await holding(game, other.profile_id)
    for refused in (
        by_operator(game, other),
        merge(game, other, player),
        merge(game, player, other),
        actions.player_reset(game.server_app, APP_ID, other.profile_id),
        actions.player_export(game.server_app, APP_ID, other.profile_id),
    ):
        with pytest.raises(Refused, match="no player"):
            await refused
    assert await holding(game, other.profile_id) == before
    await other.call("playerState", "READ")
    await player.call("playerState", "READ")


# Resetting


@pytest.mark.parametrize("by", ["client", "operator"])
async def test_a_reset_takes_the_game_data_alone(game: Game, by: str) -> None:
    player = await full_player(game)
    before = await export(game, player)
    if by == "client":
        await player.call("playerState", "GAME_DATA_RESET")
    else:
        await actions.player_reset(game.server_app, APP_ID, player.profile_id)
    after = await export(game, player)
    assert after["entity"]["entities"] == []
    assert after["leaderboard"]["leaderboardEntries"] == []
    assert after["tournament"] == {"tournamentEnrolments": [], "tournamentResults": []}
    assert after["playerStatistics"]["playerProgress"] == {
        "statistics": {},
        "experiencePoints": 0,
        "experienceLevel": 0,
    }
    gone = {"statuses", "attributes", "summaryFriendData"}
    profiles = [told["playerState"]["players"] for told in (before, after)]
    assert profiles[0]["attributes"] == {"hair": "red"}
    assert all(profiles[1][name] is None for name in gone)
    rest = [{name: value for name, value in profile.items() if name not in gone} for profile in profiles]
    assert rest[0] == rest[1]
    for kept in ("virtualCurrency", "globalEntity", "pushNotification", "backendless", "authenticationV2"):
        assert after[kept] == before[kept]
    assert (await player.call("playerState", "READ"))["playerName"] == "Ada"
    assert ("player", "reset") in await events(game, player.profile_id)


# Exporting


async def test_an_export_tells_everything_in_the_words_of_clients(game: Game) -> None:
    player = await full_player(game)
    await post(player, 42, data={"how": "well"}, board="HIGH_VALUE")
    told = await actions.player_export(game.server_app, APP_ID, player.profile_id)
    services = told["services"]
    assert told["profileId"] == player.profile_id
    assert sorted(session["face"] for session in told["sessions"]) == ["dispatcher", "endpoints"]
    empty = [f"{s}.{t}" for s, tables in services.items() for t, rows in tables.items() if not rows]
    assert empty == []
    assert {one.name for one in game.core.player_hooks.tables() if one.shown} == {
        table for tables in services.values() for table in tables
    }
    [card] = services["entity"]["entities"]
    [read] = (await player.call("entity", "READ_BY_TYPE", entityType="card"))["entities"]
    assert {name: read[name] for name in card} == card
    assert card["acl"] == {"other": 1}
    [wall] = services["globalEntity"]["globalEntities"]
    assert (wall["data"], wall["timeToLive"], wall["ownerId"]) == ({"x": 1}, -1, player.profile_id)
    state = await player.call("playerState", "READ")
    assert services["virtualCurrency"]["wallets"] == [{"currency": "coins", **state["currency"]["coins"]}]
    assert services["playerStatistics"]["playerProgress"]["statistics"] == {"wins": 5}
    assert services["playerState"]["players"]["playerName"] == "Ada"
    assert services["backendless"]["userProperties"]["properties"] == {"city": "Oslo"}
    assert services["backendless"]["playerRoles"][0]["role"] == "Moderator"
    scores = {one["leaderboardId"]: one for one in services["leaderboard"]["leaderboardEntries"]}
    assert (scores["HIGH_VALUE"]["score"], scores["HIGH_VALUE"]["data"]) == (42, {"how": "well"})
    assert ("player", "exported") in await events(game, player.profile_id)


async def test_an_export_holds_nothing_that_opens_a_door(game: Game) -> None:
    player = await full_player(game)
    secrets = set[str]()
    async with game.core.database.read() as tx:
        for table in metadata.sorted_tables:
            for column in table.c:
                if "digest" in column.name or "session" in column.name or column.name == "device":
                    secrets |= {
                        str(row[0]) for row in await tx.all(select(column).where(column.is_not(None)))
                    }
    secrets = {secret for secret in secrets if len(secret) > 10} | {player.session_id}
    assert len(secrets) > 5
    text = json.encode(await actions.player_export(game.server_app, APP_ID, player.profile_id)).decode()
    assert not [secret for secret in secrets if secret in text]


async def test_a_large_export_is_whole(game: Game) -> None:
    player = await game.player()
    data = {"text": "x" * 90_000}
    for _ in range(3):
        await player.packet(*[("entity", "CREATE", {"entityType": "big", "data": data, "acl": {}})] * 10)
    told = await export(game, player)
    assert len(told["entity"]["entities"]) == 30
    assert all(one["data"] == data for one in told["entity"]["entities"])


# Merging


async def test_what_was_one_players_is_the_others(game: Game) -> None:
    source, target = await full_players(game, 2)
    before = [await export(game, player) for player in (source, target)]
    assert await merge(game, source, target) == {
        "profile_id": target.profile_id,
        "merged": source.profile_id,
    }
    after = await export(game, target)

    def both(service: str, table: str) -> list[Any]:
        return [row for told in before for row in told[service][table]]

    for service, table in (("entity", "entities"), ("pushNotification", "devices")):
        assert sorted(map(str, after[service][table])) == sorted(map(str, both(service, table)))
    assert len(after["globalEntity"]["globalEntities"]) == 2
    assert len(after["authenticationV2"]["identities"]) == 2
    assert len(after["backendless"]["playerRoles"]) == 1  # both were moderators
    assert after["playerState"] == before[1]["playerState"]
    assert len(after["oauth"]["refreshFamilies"]) == 1
    assert after["authenticationV2"]["oneTimeTokens"] == before[1]["authenticationV2"]["oneTimeTokens"]
    # Both had entered both periods: the target's entries stay.
    assert after["tournament"] == before[1]["tournament"]
    told = ("audit_events.reason", "wallet_entries.key")  # these tell what came from whom
    assert not await left(game, source.profile_id, allowed=told)
    assert (await source.refused("playerState", "READ")).reason_code == 40356
    assert (await target.call("playerState", "READ"))["playerName"] == "Ada"
    assert ("player", f"merged_into:{target.profile_id}") in await events(game, source.profile_id)
    assert ("player", f"merged_from:{source.profile_id}") in await events(game, target.profile_id)


async def test_every_identity_leads_to_the_player_who_stays(game: Game) -> None:
    source, target, name = game.client(), await game.player(), game.unique("id")
    await source.log_in("Universal", name, PASSWORD)
    await merge(game, source, target)
    again = game.client()
    answer = await again.log_in("Universal", name, PASSWORD)
    assert (again.profile_id, answer["newUser"]) == (target.profile_id, "false")


async def test_a_second_merge_finds_nothing_and_grants_nothing(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await award(game, source, 50)
    await merge(game, source, target)
    before = await export(game, target)
    with pytest.raises(Refused, match="no player"):
        await merge(game, source, target)
    after = await export(game, target)
    assert (after["virtualCurrency"], after["entity"]) == (before["virtualCurrency"], before["entity"])
    with pytest.raises(Refused, match="themself"):
        await merge(game, target, target)
    with pytest.raises(Refused, match="no player"):
        await merge(game, target, source)


async def award(game: Game, player: Client, amount: int, currency: str = "coins") -> None:
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId=currency, vcAmount=amount)


async def test_balances_add_up_once(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await award(game, source, 50)
    await game.server.call("virtualCurrency", "CONSUME_VC", source.profile_id, vcId="coins", vcAmount=20)
    await award(game, source, 3, "gems")
    await award(game, target, 5)
    await merge(game, source, target)
    told = await export(game, target)
    balances = {one["currency"]: one for one in told["virtualCurrency"]["wallets"]}
    assert balances["coins"] == {
        "currency": "coins",
        "purchased": 0,
        "balance": 35,
        "consumed": 20,
        "awarded": 55,
        "revoked": 0,
    }
    assert balances["gems"]["balance"] == 3
    ledger = told["virtualCurrency"]["walletEntries"]
    assert sum(one["amount"] for one in ledger if one["currency"] == "coins") == 35
    assert sorted(one["amount"] for one in ledger if one["kind"] == "merged") == [3, 30]
    # What a late packet left behind comes along with another merge; the balance that was merged does not.
    async with game.core.database.write() as tx:
        await wallet.add(tx, source.profile_id, "coins", 1000, "late", game.clock.ms())
    await merge(game, source, target)
    assert (await target.call("playerState", "READ"))["currency"]["coins"]["balance"] == 35


async def test_debts_are_merged_too(game: Game) -> None:
    source, target = await game.player(), await game.player()
    async with game.core.database.write() as tx:
        await wallet.revoke(tx, source.profile_id, "coins", 30, "r", game.clock.ms())
        await wallet.revoke(tx, target.profile_id, "gems", 30, "r", game.clock.ms())
    await award(game, target, 10)
    await award(game, source, 10, "gems")
    await merge(game, source, target)
    currencies = (await target.call("playerState", "READ"))["currency"]
    assert [currencies[name]["balance"] for name in ("coins", "gems")] == [-20, -20]


async def test_what_does_not_go_together_stays_apart(game: Game) -> None:
    source, target = await full_players(game, 2)
    for player in (source, target):
        async with game.core.database.write() as tx:
            await wallet.add(tx, player.profile_id, "coins", 2**53 - 100, "rich", game.clock.ms())
    before = [await export(game, player) for player in (source, target)]
    with pytest.raises(Refused, match=r"cannot be merged: coins: a balance ends at 2\^53"):
        await merge(game, source, target)
    after = [await export(game, player) for player in (source, target)]
    for told in (*before, *after):
        del told["audit"], told["staff"]["staffActions"]  # which tell of exports, too
    assert after == before
    await source.call("playerState", "READ")


async def test_progress_adds_up_as_statistics_say_and_pays_nobody(game: Game) -> None:
    source, target = await game.player(), await game.player()
    own = ({"lives": 4, "best": 90, "wins": 5, "only": 1}, {"lives": 3, "best": 70, "wins": 2})
    for player, values, points in zip((source, target), own, (150, 60), strict=True):
        await player.call("playerStatistics", "UPDATE", statistics=values, xp_points=points)
    await merge(game, source, target)
    state = await target.call("playerState", "READ")
    # lives begin at 3, which counts once, and end at 9; nobody but the source has changed `only`.
    assert state["statistics"] == {"lives": 9, "best": 70, "wins": 7, "only": 1}
    assert (state["experiencePoints"], state["experienceLevel"]) == (210, 2)
    assert state["currency"]["gems"]["balance"] == 10  # what the source was paid for its level
    await target.call("playerStatistics", "UPDATE", statistics={}, xp_points=100)
    assert (await target.call("playerState", "READ"))["currency"]["gems"]["balance"] == 10


async def test_progress_comes_to_a_player_who_had_none(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await source.call("playerStatistics", "UPDATE", statistics={"wins": 5}, xp_points=150)
    await merge(game, source, target)
    state = await target.call("playerState", "READ")
    assert (state["statistics"]["wins"], state["experiencePoints"]) == (5, 150)


@pytest.mark.parametrize(
    ("of_source", "of_target", "after"),
    [
        ([10], [20], [20, 10, 20, 30, [20, 10], [20, 10]]),
        ([20], [10], [20, 10, 10, 30, [20, 10], [20, 10]]),
        ([10, 30], [], [30, 10, 30, 40, [30, 10], [30, 10]]),
        ([], [5], [5, 5, 5, 5, [5], [5]]),
    ],
)
async def test_scores_merge_by_the_type_of_the_board(
    game: Game, of_source: list[int], of_target: list[int], after: list[Any]
) -> None:
    source, target = await game.player(), await game.player()
    for player, posted in ((source, of_source), (target, of_target)):
        for score in posted:
            game.clock.advance(1)  # the last one is the later one
            await post(player, score)
    for board in BOARDS:  # from here on the ranks are in the index
        await scores(target, board)
    await merge(game, source, target)
    found = [await scores(target, board) for board in BOARDS]
    assert found == [expected if isinstance(expected, list) else [expected] for expected in after]
    told = (await export(game, target))["leaderboard"]["leaderboardEntries"]
    assert sorted(one["score"] for one in told) == sorted(itertools.chain.from_iterable(found))
    before = found[3][0]
    await post(target, 1)
    assert await scores(target, "CUMULATIVE") == [before + 1]


async def test_data_of_the_score_that_counts_comes_along(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await post(source, 30, data={"of": "source"}, board="HIGH_VALUE")
    await post(target, 20, data={"of": "target"}, board="HIGH_VALUE")
    await merge(game, source, target)
    [entry] = (await export(game, target))["leaderboard"]["leaderboardEntries"]
    assert (entry["score"], entry["data"]) == (30, {"of": "source"})


async def test_of_two_singletons_the_targets_stays(game: Game) -> None:
    source, target = await game.player(), await game.player()
    for player, types in ((source, ("one", "only")), (target, ("one",))):
        for type_ in types:
            await player.call(
                "entity",
                "UPDATE_SINGLETON",
                entityType=type_,
                data={"of": player.profile_id},
                version=-1,
                acl={},
            )
    await source.call("entity", "CREATE", entityType="one", data={}, acl={})
    await merge(game, source, target)
    one = await target.call("entity", "READ_SINGLETON", entityType="one")
    only = await target.call("entity", "READ_SINGLETON", entityType="only")
    assert (one["data"], only["data"]) == ({"of": target.profile_id}, {"of": source.profile_id})
    assert len((await export(game, target))["entity"]["entities"]) == 3


async def test_rewards_nobody_has_claimed_come_along_and_are_paid_once(game: Game) -> None:
    source, target = await game.player(), await game.player()
    await join(source)
    await source.call("tournament", "POST_TOURNAMENT_SCORE", leaderboardId=DAILY, score=7)
    await to_next_day(game)
    await merge(game, source, target)
    claim = ("tournament", "CLAIM_TOURNAMENT_REWARD")
    results = (await export(game, target))["tournament"]["tournamentResults"]
    assert [one["score"] for one in results] == [7]
    await target.call(*claim, leaderboardId=DAILY, versionId=-1)
    await target.refused(*claim, leaderboardId=DAILY, versionId=-1)
    assert (await target.call("playerState", "READ"))["currency"]["coins"]["balance"] == 100


async def test_a_merge_that_the_database_aborts_happens_once(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await game.player(), await game.player()
    await award(game, source, 50)
    real, left = game.core.database.write, itertools.chain([True, True], itertools.repeat(False))

    @asynccontextmanager
    async def write(*payer: Any) -> AsyncIterator[Any]:
        async with real(*payer) as tx:
            yield tx
            if next(left):
                raise Aborted("for the test")

    monkeypatch.setattr(game.core.database, "write", write)
    await merge(game, source, target)
    assert (await target.call("playerState", "READ"))["currency"]["coins"]["balance"] == 50


@pytest.mark.parametrize("command", ["delete", "merge"])
async def test_a_command_that_was_cut_short_is_finished_by_the_next(
    game: Game, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Here it is cut short after its commit and before sessions end."""
    player, target = await game.player(), await game.player()
    real = game.core.sessions.end
    works = itertools.chain([True] if command == "delete" else [], itertools.repeat(False))

    async def end(*arguments: Any, **options: Any) -> Any:
        if not next(works):
            raise SessionsUnavailable
        return await real(*arguments, **options)

    monkeypatch.setattr(game.core.sessions, "end", end)

    async def run() -> None:
        if command == "delete":
            await by_operator(game, player)
        else:
            await merge(game, player, target)

    with pytest.raises(SessionsUnavailable):
        await run()
    monkeypatch.undo()
    with pytest.raises(Refused, match="no player"):
        await run()
    assert (await player.refused("playerState", "READ")).reason_code == 40356
    await target.call("playerState", "READ")


async def test_packets_that_run_meanwhile_do_no_harm(game: Game) -> None:
    player = await full_player(game)
    sent = [
        player.body(("entity", "CREATE", {"entityType": "late", "data": {}, "acl": {}})) for _ in range(20)
    ]
    answers, _ = await asyncio.gather(
        asyncio.gather(*(player.send(body) for body in sent)), by_operator(game, player)
    )
    for answer in answers:
        told = answer.json()
        codes = {entry.get("reason_code") for entry in told.get("responses", [told])}
        assert codes <= {None, 40304, 40356, 40402, 40403, 40566, 40823} or answer.status_code == 503, told
    with contextlib.suppress(Refused):
        await by_operator(game, player)
    assert not await left(game, player.profile_id)


async def test_of_two_merges_in_opposite_directions_one_happens(game: Game) -> None:
    one, two = await game.player(), await game.player()
    for player in (one, two):
        await award(game, player, 5)
        await player.call("entity", "CREATE", entityType="card", data={}, acl={})
    ends = await asyncio.gather(merge(game, one, two), merge(game, two, one), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Refused", "dict"]
    stayed = one if isinstance(ends[0], Refused) else two
    assert (await stayed.call("playerState", "READ"))["currency"]["coins"]["balance"] == 10
    assert len((await export(game, stayed))["entity"]["entities"]) == 2
