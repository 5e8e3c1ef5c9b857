"""Refusals of one rule, of each operation that it refuses: what the export lists can happen to a client."""

import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest

from gameserver.documents.documents import InvalidFieldName
from gameserver.domain.leaderboards.boards import InvalidLeaderboardId, LeaderboardSettings
from gameserver.domain.leaderboards.store import TooManyLeaderboards
from gameserver.domain.leaderboards.tournaments import (
    InvalidTournamentSettings,
    NotEnrolled,
    PlayEnded,
    PlayNotStarted,
)
from gameserver.players import quotas
from gameserver.players.accounts import EmailNotValidated, InvalidEmail, WeakPassword, WrongCredentials
from gameserver.players.lockout import LockedOut
from gameserver.players.passwords import Busy
from gameserver.players.providers import ProviderUnavailable, UnknownAuthenticationError
from gameserver.wire.errors import DisabledApp, RateLimited
from tests.conftest import APP_TOML, Client, Game
from tests.services.conftest import Define
from tests.services.groups import put_group
from tests.stand_ins import rsa_key, stand_in

KEY = "0123456789abcdef0123456789abcdef"
APP = f"""
[external.studio]
kind = "token"
issuer = "i"
audience = "a"
algorithm = "HS256"
key = "{KEY}"
[session]
life_seconds = 2592000
[tournament.templates.cup]
[tournament.templates.teams]
entries = "GROUP"
"""
PASSWORD = "correct horse"
DAY, HOUR = 86_400, 3600


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP)
    return apps_folder


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


async def refused(caller: Client, service: str, operation: str, data: dict[str, Any]) -> int:
    return (await caller.refused(service, operation, **data)).reason_code


# What players keep

LARGE = {"text": "x" * 200}


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("CREATE", {"entityType": "t", "data": LARGE}),
        ("UPDATE", {"data": LARGE, "version": -1}),
        ("INCREMENT_USER_ENTITY_DATA", {"data": {"a" * 200: 1}}),
        ("UPDATE_SINGLETON", {"entityType": "s", "data": LARGE, "version": -1}),
        ("UPDATE_SHARED", {"data": LARGE, "version": -1}),
        ("INCREMENT_SHARED_USER_ENTITY_DATA", {"data": {"a" * 200: 1}}),
    ],
)
async def test_every_change_of_entities_counts_towards_the_quota(
    game: Game, define: Define, operation: str, data: dict[str, Any]
) -> None:
    define("[quotas]\nentity_bytes = 100\n")
    owner, other = await game.player(), await game.player()
    made = await owner.call("entity", "CREATE", entityType="t", data={}, acl={"other": 2})
    if operation not in ("CREATE", "UPDATE_SINGLETON"):
        data = {**data, "entityId": made["entityId"]}
    caller, target = (other, {"targetPlayerId": owner.profile_id}) if "SHARED" in operation else (owner, {})
    assert await refused(caller, "entity", operation, {**data, **target}) == quotas.QuotaReached.reason_code
    assert (await owner.call("entity", "READ", entityId=made["entityId"]))["data"] == {}


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("CREATE", {"entityType": "t", "data": LARGE}),
        ("CREATE_WITH_INDEXED_ID", {"entityType": "t", "indexedId": "i", "data": LARGE}),
        ("UPDATE", {"data": LARGE, "version": -1}),
        ("INCREMENT_GLOBAL_ENTITY_DATA", {"data": {"a" * 200: 1}}),
    ],
)
async def test_every_change_of_global_entities_counts_towards_the_quota(
    game: Game, define: Define, operation: str, data: dict[str, Any]
) -> None:
    define("[quotas]\nglobal_entity_bytes = 100\n")
    owner = await game.player()
    made = await owner.call("globalEntity", "CREATE", entityType="t", data={})
    if "CREATE" not in operation:
        data = {**data, "entityId": made["entityId"]}
    assert await refused(owner, "globalEntity", operation, data) == quotas.QuotaReached.reason_code
    assert (await owner.call("globalEntity", "READ", entityId=made["entityId"]))["data"] == {}


# Identities


def address(game: Game) -> str:
    return f"{game.unique('ada')}@example.com"


def credentials(type_: str, external_id: str, token: str = PASSWORD) -> dict[str, Any]:
    return {"authenticationType": type_, "externalId": external_id, "authenticationToken": token}


def studio(game: Game, name: str) -> dict[str, Any]:
    """What the studio's own system vouches for."""
    claims = {"sub": name, "iss": "i", "aud": "a", "exp": game.clock.ms() // 1000 + 600}
    return {**credentials("External", name, jwt.encode(claims, KEY)), "externalAuthName": "studio"}


@pytest.mark.parametrize("operation", ["ATTACH", "MERGE", "REFRESH_IDENTITY"])
async def test_credentials_are_refused_where_logins_are(game: Game, define: Define, operation: str) -> None:
    """Logging in is switched off, or too many have logged in from the address."""
    player, name = await game.player(), game.unique("ada")
    await player.call("identity", "ATTACH", **studio(game, name))
    define("[login]\nenabled = false\n")
    assert await refused(player, "identity", operation, studio(game, name)) == DisabledApp.reason_code
    define("[quotas]\nlogins_per_address = 1\n")
    assert await refused(player, "identity", operation, studio(game, name)) == RateLimited.reason_code


@pytest.mark.parametrize("operation", ["ATTACH", "MERGE", "REFRESH_IDENTITY"])
async def test_credentials_wait_for_who_vouches(game: Game, define: Define, operation: str) -> None:
    player, name = await game.player(), game.unique("ada")
    await player.call("identity", "ATTACH", **studio(game, name))
    token = jwt.encode({"sub": name}, rsa_key("right"), algorithm="RS256", headers={"kid": "k"})
    data = {**studio(game, name), "authenticationToken": token, "externalAuthName": "issuer"}
    issuer = '[external.issuer]\nkind = "openid"\nissuer = "https://{}.example"\naudiences = ["a"]\n'
    async with stand_in() as platform:
        for weather, expected in (("broken", ProviderUnavailable), ("garbage", UnknownAuthenticationError)):
            platform.weather = weather
            define(f'[providers]\nstand_in = "{platform.url}"\n' + issuer.format(weather))
            assert await refused(player, "identity", operation, data) == expected.reason_code


@pytest.mark.parametrize("operation", ["ATTACH", "MERGE", "REFRESH_IDENTITY"])
async def test_wrong_credentials_lock_whatever_they_are_for(game: Game, operation: str) -> None:
    player, name = await game.player(), game.unique("ada")
    await player.call("identity", "ATTACH", **studio(game, name))
    wrong = {**studio(game, name), "authenticationToken": "guess"}
    codes = [await refused(player, "identity", operation, wrong) for _ in range(6)]
    assert codes == [WrongCredentials.reason_code] * 5 + [LockedOut.reason_code]


@pytest.mark.parametrize("operation", ["ATTACH", "MERGE"])
async def test_addresses_must_be_proven_whatever_they_are_for(
    game: Game, define: Define, operation: str
) -> None:
    player, mail = await game.player(), address(game)
    await game.client().log_in("Email", mail, PASSWORD)
    define("[login]\nvalidated_email_only = true\n")
    code = await refused(player, "identity", operation, credentials("Email", mail))
    assert code == EmailNotValidated.reason_code
    code = await refused(player, "identity", operation, credentials("Email", "no address"))
    assert code == InvalidEmail.reason_code


async def test_a_new_identity_has_a_password_that_is_one(game: Game, define: Define) -> None:
    define("[login]\npassword_min_length = 8\n")
    data = credentials("Universal", game.unique("ada"), "short")
    assert await refused(await game.player(), "identity", "ATTACH", data) == WeakPassword.reason_code


@pytest.mark.parametrize("operation", ["CHANGE_EMAIL_IDENTITY", "SYS_CHANGE_EMAIL_IDENTITY"])
async def test_a_new_address_is_one(game: Game, operation: str) -> None:
    player, mail = game.client(), address(game)
    await player.log_in("Email", mail, PASSWORD)
    change = {"oldEmailAddress": mail, "newEmailAddress": "no address"}
    if operation.startswith("SYS"):
        change["profileId"] = player.profile_id
        refusal = await game.server.refused("identity", operation, **change)
    else:
        refusal = await player.refused("identity", operation, authenticationToken=PASSWORD, **change)
    assert refusal.reason_code == InvalidEmail.reason_code


@pytest.mark.parametrize(
    "operation", ["CHANGE_EMAIL_IDENTITY", "UPDATE_EMAIL_IDENTITY_PASSWORD", "UPDATE_UNIVERSAL_PASSWORD"]
)
async def test_old_passwords_are_checked_as_at_a_login(
    game: Game, define: Define, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """They are guessed no oftener, new ones are no weaker, and where too many wait one comes later."""
    player, mail = game.client(), address(game)
    await player.log_in("Universal" if "UNIVERSAL" in operation else "Email", mail, PASSWORD)

    async def change(old: str, new: str = "battery staple") -> int:
        if operation == "CHANGE_EMAIL_IDENTITY":
            data = {"oldEmailAddress": mail, "newEmailAddress": address(game), "authenticationToken": old}
            return await refused(player, "identity", operation, data)
        data = {"oldPassword": old, "newPassword": new}
        return (await game.server.refused("identity", operation, player.profile_id, **data)).reason_code

    async def busy(*_: Any) -> bool:
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr(game.core.passwords, "verify", busy)
        assert await change(PASSWORD) == RateLimited.reason_code
    if operation != "CHANGE_EMAIL_IDENTITY":
        define("[login]\npassword_min_length = 8\n")
        assert await change(PASSWORD, "short") == WeakPassword.reason_code
    codes = [await change("guess") for _ in range(6)]
    assert codes[0] == WrongCredentials.reason_code
    assert codes[-1] == LockedOut.reason_code


@pytest.mark.parametrize(
    "operation",
    ["SYS_CREATE_USER_EMAIL_PASSWORD", "SYS_CREATE_USER_UNIVERSAL_ID", "SYS_SET_PASSWORD_UNIVERSAL_ID"],
)
async def test_passwords_that_servers_set_wait_for_their_turn(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    player = game.client()
    await player.log_in("Universal", game.unique("ada"), PASSWORD)

    async def busy(*_: Any) -> str:
        raise Busy

    monkeypatch.setattr(game.core.passwords, "hash", busy)
    data = {"externalId": address(game), "profileId": player.profile_id, "password": PASSWORD}
    if operation.startswith("SYS_CREATE"):
        del data["profileId"]
    refusal = await game.server.refused("user", operation, None, **data)
    assert refusal.reason_code == RateLimited.reason_code


# Leaderboards

BOARD = "leaderboard"
NEVER = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
DAILY = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAILY", "tEnabled": True}
ADHOC = {"leaderboardType": "HIGH_VALUE", "rotationType": "ADHOC"}
OWN_PHASES = {"tPhases": {"enrolMins": 60, "bufferMins": 60}}


POSTS = [
    ("POST_SCORE", None),
    ("POST_SCORE_DYNAMIC", "fields"),
    ("POST_SCORE_DYNAMIC_USING_CONFIG", "configJson"),
    ("POST_GROUP_SCORE", None),
    ("POST_GROUP_SCORE_DYNAMIC", "fields"),
    ("POST_GROUP_SCORE_DYNAMIC_USING_CONFIG", "configJson"),
]


def posting(board: str, makes: str | None, config: dict[str, Any], group: str) -> dict[str, Any]:
    """The request of a post, whatever the operation; `makes` says where it tells how the board is made."""
    more: dict[str, Any] = {} if makes is None else config if makes == "fields" else {makes: config}
    return {"leaderboardId": board, "score": 1, **more, **({"groupId": group} if group else {})}


@pytest.mark.parametrize(("operation", "makes"), POSTS)
async def test_scores_count_for_who_takes_part_while_there_is_play(
    game: Game, operation: str, makes: str | None
) -> None:
    player, board = await game.player(), game.unique("board")
    group = await put_group(game, game.core.new_id(), [player.profile_id]) if "GROUP" in operation else ""
    code = "teams" if group else "cup"
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY)
    of_tournament = {**DAILY, "entryType": "GROUP" if group else "PLAYER"}
    await game.server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=of_tournament
    )
    settings = {"tTournament": {"tConfigs": {code: {"tConfigCode": code}}}, **OWN_PHASES}
    await game.server.call(
        BOARD,
        "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD",
        leaderboardId=board,
        dbVersion=-1,
        tSettingsJson=settings,
    )
    data = posting(board, makes, NEVER, group)
    assert await refused(player, BOARD, operation, data) == NotEnrolled.reason_code
    join = {"leaderboardId": board, "tournamentCode": code, "initialScore": 0}
    if group:
        await player.call("tournament", "JOIN_GROUP_TOURNAMENT", **join, groupId=group)
    else:
        await player.call("tournament", "JOIN_TOURNAMENT", **join)
    assert await refused(player, BOARD, operation, data) == PlayNotStarted.reason_code
    game.clock.advance(HOUR)
    await player.call(BOARD, operation, **data)
    game.clock.advance(DAY - 2 * HOUR)
    assert await refused(player, BOARD, operation, data) == PlayEnded.reason_code


async def test_data_beside_scores_and_boards_has_no_dots_in_its_names(game: Game) -> None:
    player, board = await game.player(), game.unique("board")
    group = await put_group(game, game.core.new_id(), [player.profile_id])
    await game.server.call(BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=NEVER)
    dotted = {"data": {"lap.1": 7}}
    for operation, makes in POSTS:
        data = posting(board, makes, NEVER, group if "GROUP" in operation else "")
        data |= {"scoreData": dotted["data"]} if makes == "configJson" else dotted
        assert await refused(player, BOARD, operation, data) == InvalidFieldName.reason_code
    post: dict[str, Any] = {"leaderboardId": board, "score": 1, **dotted}
    for operation in ("POST_TOURNAMENT_SCORE", "POST_TOURNAMENT_SCORE_WITH_RESULTS"):
        assert await refused(player, "tournament", operation, post) == InvalidFieldName.reason_code
    for operation in ("POST_GROUP_TOURNAMENT_SCORE", "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS"):
        of_group = {**post, "groupId": group}
        assert await refused(player, "tournament", operation, of_group) == InvalidFieldName.reason_code
    of_player = {**post, "profileId": player.profile_id}
    config = {"leaderboardId": board, "configJson": {**NEVER, **dotted}}
    by_servers: list[tuple[str, str, dict[str, Any]]] = [
        (BOARD, "POST_SCORE_TO_LEADERBOARD_ON_BEHALF_OF", of_player),
        ("tournament", "POST_TOURNAMENT_SCORE_ON_BEHALF_OF", of_player),
        (BOARD, "SYS_EDIT_LEADERBOARD", {"leaderboardId": board, **NEVER, **dotted}),
        (BOARD, "SYS_EDIT_LEADERBOARD_CONFIG", config),
        (BOARD, "SYS_CREATE_LEADERBOARD", {**NEVER, **dotted, "leaderboardId": game.unique("board")}),
        (BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", {**config, "leaderboardId": game.unique("board")}),
    ]
    for service, operation, data in by_servers:
        refusal = await game.server.refused(service, operation, **data)
        assert (operation, refusal.reason_code) == (operation, InvalidFieldName.reason_code)


@pytest.mark.parametrize(("operation", "makes"), [post for post in POSTS if post[1]])
async def test_a_score_makes_no_board_that_a_server_could_not_make(
    game: Game,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    makes: str,
) -> None:
    player, board = await game.player(), game.unique("board")
    group = await put_group(game, game.core.new_id(), [player.profile_id]) if "GROUP" in operation else ""
    nameless = posting("a\nb", makes, NEVER, group)
    assert await refused(player, BOARD, operation, nameless) == InvalidLeaderboardId.reason_code
    of_tournament = posting(board, makes, ADHOC, group)
    assert await refused(player, BOARD, operation, of_tournament) == InvalidTournamentSettings.reason_code
    monkeypatch.setattr(game.app.section(LeaderboardSettings), "boards_max", 0)
    one_more = posting(board, makes, NEVER, group)
    assert await refused(player, BOARD, operation, one_more) == TooManyLeaderboards.reason_code
    assert (
        await game.server.call(
            BOARD,
            "GET_GLOBAL_LEADERBOARD_PAGE_IF_EXISTS",
            leaderboardId=board,
            sort="HIGH_TO_LOW",
            startIndex=0,
            endIndex=1,
        )
        is None
    )


@pytest.mark.parametrize(
    ("operation", "makes"),
    [
        ("SYS_CREATE_LEADERBOARD", "fields"),
        ("CREATE_LEADERBOARD", "fields"),
        ("SYS_CREATE_LEADERBOARD_CONFIG", "configJson"),
    ],
)
async def test_what_no_board_is(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, makes: str
) -> None:
    async def code(board: str, config: dict[str, Any]) -> int:
        data = {"leaderboardId": board, **(config if makes == "fields" else {makes: config})}
        return (await game.server.refused(BOARD, operation, **data)).reason_code

    assert await code("a\nb", NEVER) == InvalidLeaderboardId.reason_code
    if makes == "configJson":
        assert await code("b", {**NEVER, "tEnabled": True}) == InvalidTournamentSettings.reason_code
    monkeypatch.setattr(game.app.section(LeaderboardSettings), "boards_max", 0)
    assert await code(game.unique("board"), NEVER) == TooManyLeaderboards.reason_code


AUTOMATIC_WITHOUT_ONE = {"tTournament": {"tAutoJoin": True, "tConfigs": {}}}
PAST = {"tPeriod": {"startingAt": 1000, "durationHours": 1}, "tTournament": {"tConfigs": {}}}


@pytest.mark.parametrize(
    ("operation", "kind", "data"),
    [
        ("SYS_EDIT_LEADERBOARD_CONFIG", DAILY, {"configJson": {"rotationType": "NEVER"}}),
        (
            "SYS_EDIT_TOURNAMENT_SETTINGS_FOR_FUTURE_PERIODS_ONLY",
            DAILY,
            {"tSettingsJson": AUTOMATIC_WITHOUT_ONE},
        ),
        (
            "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD",
            DAILY,
            {"tSettingsJson": AUTOMATIC_WITHOUT_ONE},
        ),
        ("SYS_CREATE_ADHOC_TOURNAMENT_PERIOD", {**ADHOC, "tEnabled": True}, {"tSettingsJson": PAST}),
        (
            "SYS_EDIT_ADHOC_TOURNAMENT_PERIOD",
            {**ADHOC, "tEnabled": True},
            {"tSettingsJson": {}, "periodStartingAtUtcMillis": 1},
        ),
        (
            "SYS_DELETE_ADHOC_TOURNAMENT_PERIOD",
            {**ADHOC, "tEnabled": True},
            {"periodStartingAtUtcMillis": 1},
        ),
    ],
)
async def test_settings_of_no_tournament(
    game: Game, operation: str, kind: dict[str, Any], data: dict[str, Any]
) -> None:
    board = game.unique("board")
    before = await game.server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=kind
    )
    refusal = await game.server.refused(BOARD, operation, leaderboardId=board, dbVersion=-1, **data)
    assert refusal.reason_code == InvalidTournamentSettings.reason_code
    assert await game.server.call(BOARD, "SYS_GET_LEADERBOARD_CONFIG", leaderboardId=board) == before
