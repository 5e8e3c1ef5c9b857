"""Logins through platforms, against stand-ins that speak as the platforms do."""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.players.providers import keys
from tests.conftest import APP_TOML, Client, Game, Refusal
from tests.stand_ins import (
    ASKED_PLATFORMS,
    GAME_CENTER_KEY,
    TOKEN_ISSUERS,
    Answer,
    Asked,
    AskedPlatform,
    StandIn,
    TokenIssuer,
    certificate,
    der,
    game_center_proof,
    jwk,
    pem,
    stand_in,
)

WRONG, NOT_CONFIGURED, AWAY, UNCLEAR = (403, 40307), (403, 40302), (503, 49110), (503, 40217)
WEATHERS = [("garbage", UNCLEAR), ("list", UNCLEAR), ("huge", UNCLEAR), ("broken", AWAY)]
"""How an answer may go wrong, and what the login is refused with then."""
Define = Callable[..., None]


@pytest.fixture
async def platform() -> AsyncIterator[StandIn]:
    """Stands in for every platform."""
    async with stand_in() as found:
        yield found


@pytest.fixture
def define(game: Game, apps_folder: Path, platform: StandIn) -> Define:
    """Gives the test app further settings; platforms are asked at the stand-in."""

    def define(settings: str = "", *, timeout: float = 20, head: str = "", **files: str) -> None:
        for name, content in files.items():
            (apps_folder / "test" / name.replace("__", ".")).write_text(content)
        providers = f'[providers]\nstand_in = "{platform.url}"\ntimeout_seconds = {timeout}\n{head}'
        (apps_folder / "test" / "app.toml").write_text(APP_TOML + providers + settings)
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return define


def own_address(game: Game) -> None:
    """Calls from another network from now on: failures are counted for each."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


async def outcome(game: Game, type_: str, id_: str, token: str, **data: Any) -> tuple[int, int]:
    own_address(game)
    client = game.client()
    try:
        await client.log_in(type_, id_, token, **data)
    except Refusal as refusal:
        return refusal.status, refusal.reason_code
    assert client.session_id
    return 200, 0


def _says(answer: Callable[[Asked, str, int], Answer], id_: str, now_ms: int, request: Asked) -> Answer:
    return answer(request, id_, now_ms)


def _serves(content: bytes, _: Asked) -> Answer:
    return 200, content


def named(platform: TokenIssuer | AskedPlatform) -> dict[str, str]:
    return {"externalAuthName": platform.external} if platform.external else {}


async def attached(game: Game, type_: str, id_: str, token: str, **data: Any) -> str:
    """Attaches an identity to a new anonymous player, with the right token alone; returns the player's id."""
    own_address(game)
    player = await game.player()
    refusal = await player.refused("identity", "ATTACH", **credentials(type_, id_, "wrong"), **data)
    assert (refusal.status, refusal.reason_code) == WRONG
    assert await player.call("identity", "GET_IDENTITIES") == {"identities": {}}
    key = f"{data['externalAuthName']}/{id_}" if data else id_
    await game.core.accounts.attempt(game.app, type_, key, "").unlock()
    await player.call("identity", "ATTACH", **credentials(type_, id_, token), **data)
    return player.profile_id


def credentials(type_: str, id_: str, token: str) -> dict[str, str]:
    return {"authenticationType": type_, "externalId": id_, "authenticationToken": token}


# Platforms that sign tokens

issuers = pytest.mark.parametrize("issuer", TOKEN_ISSUERS, ids=lambda issuer: issuer.type)


@issuers
async def test_a_signed_token_logs_in_attaches_and_merges(
    game: Game, define: Define, platform: StandIn, issuer: TokenIssuer
) -> None:
    define(issuer.settings)
    platform.publish(issuer.keys, "k0", "k1", "k2", name="else")
    platform.routes[issuer.keys] = lambda _: (
        200,
        {"keys": [jwk("a", "k0"), jwk("b", "k2"), jwk("right", "k1")]},
    )
    now, names = game.clock.ms(), named(issuer)
    id_, other = game.unique("ada"), game.unique("bob")
    first = await game.client().log_in(issuer.type, id_, issuer.token(id_, now), **names)
    again = await game.client().log_in(issuer.type, id_, issuer.token(id_, now), forceCreate=False, **names)
    assert (first["newUser"], again["newUser"]) == ("true", "false")
    assert again["profileId"] == first["profileId"]
    owner = await attached(game, issuer.type, other, issuer.token(other, now), **names)
    found = await game.client().log_in(issuer.type, other, issuer.token(other, now), **names)
    assert found["profileId"] == owner
    merging = await game.player()
    await merging.call(
        "identity", "MERGE", **credentials(issuer.type, other, issuer.token(other, now)), **names
    )
    assert len(platform.asked) == 1, "the keys are fetched once"


@issuers
async def test_wrong_signed_tokens_are_refused(
    game: Game, define: Define, platform: StandIn, issuer: TokenIssuer
) -> None:
    define(issuer.settings)
    platform.routes[issuer.keys] = lambda _: (
        200,
        {"keys": [jwk("right", "k1"), jwk("second", "k2"), {"kid": "oct", "kty": "oct", "k": "AAAA"}, 7, {}]},
    )
    now, id_ = game.clock.ms(), game.unique("ada")
    seconds = now // 1000
    right = issuer.token(id_, now)
    assert (await outcome(game, issuer.type, id_, right, **named(issuer))) == (200, 0)
    head, body, signature = right.split(".")
    for what, token in {
        "nothing": "",
        "no token": "right",
        "dots": "..",
        "a token that is cut": f"{head}.{body}",
        "another body": f"{head}.{body[:-4]}AAAA.{signature}",
        "another player": issuer.token(game.unique("eve"), now),
        "another app": issuer.token(id_, now, aud="com.example.other"),
        "no app": issuer.token(id_, now, aud=...),
        "another issuer": issuer.token(id_, now, iss="https://evil.example.com"),
        "a part of the issuer": issuer.token(id_, now, iss=issuer.issuer[:-1]),
        "no issuer": issuer.token(id_, now, iss=...),
        "expired": issuer.token(id_, now, exp=seconds - 3600),
        "no expiry": issuer.token(id_, now, exp=...),
        "an expiry that is none": issuer.token(id_, now, exp=True),
        "of the future": issuer.token(id_, now, iat=seconds + 3600),
        "not yet": issuer.token(id_, now, nbf=seconds + 3600),
        "no player": issuer.token(id_, now, **{issuer.claim: ...}),
        "alg none": issuer.token(id_, now, alg="none"),
        "alg HS256": issuer.token(id_, now, alg="HS256"),
        "alg HS256 with a shared key": issuer.token(id_, now, alg="HS256", kid="oct"),
        "another alg of the key": issuer.token(id_, now, alg="RS512"),
        "a swapped key id": issuer.token(id_, now, kid="k2"),
        "an unknown key id": issuer.token(id_, now, kid="k9"),
        "no key id": issuer.token(id_, now, kid=None),
        "a key of nobody": issuer.token(id_, now, name="evil"),
    }.items():
        assert await outcome(game, issuer.type, id_, token, **named(issuer)) == WRONG, what
        await game.core.accounts.attempt(game.app, issuer.type, key_of(issuer, id_), "").unlock()
    assert len(platform.asked) == 1


def key_of(issuer: TokenIssuer, id_: str) -> str:
    return f"{issuer.external}/{id_}" if issuer.external else id_


@issuers
@pytest.mark.parametrize(("weather", "expected"), WEATHERS)
async def test_an_issuer_that_gives_no_keys(
    game: Game,
    define: Define,
    platform: StandIn,
    issuer: TokenIssuer,
    weather: str,
    expected: tuple[int, int],
) -> None:
    define(issuer.settings)
    platform.publish(issuer.keys, "k1")
    platform.weather = weather
    id_ = game.unique("ada")
    token = issuer.token(id_, game.clock.ms())
    assert await outcome(game, issuer.type, id_, token, **named(issuer)) == expected
    platform.weather = "fair"
    game.clock.advance(keys.RETRY_MS / 1000)
    assert await outcome(game, issuer.type, id_, token, **named(issuer)) == (200, 0)


async def test_keys_are_fetched_anew_for_a_new_key_id_and_no_more_than_once_a_minute(
    game: Game, define: Define, platform: StandIn
) -> None:
    apple = TOKEN_ISSUERS[0]
    define(apple.settings)
    platform.publish(apple.keys, "k1")

    async def log_in(id_: str, **how: Any) -> tuple[int, int]:
        return await outcome(game, "Apple", id_, apple.token(id_, game.clock.ms(), **how))

    assert await log_in(game.unique("ada")) == (200, 0)
    floods = await asyncio.gather(
        *(log_in(game.unique(f"flood{i}"), kid=secrets.token_hex(4)) for i in range(50))
    )
    assert set(floods) == {WRONG}
    assert len(platform.asked) == 1, "the keys are fresh: no unknown id causes a fetch yet"
    game.clock.advance(keys.REFRESH_MS / 1000)
    floods = await asyncio.gather(
        *(log_in(game.unique(f"again{i}"), kid=secrets.token_hex(4)) for i in range(50))
    )
    assert set(floods) == {WRONG}
    assert len(platform.asked) == 2
    platform.publish(apple.keys, "k2")  # the old key is gone
    game.clock.advance(keys.REFRESH_MS / 1000)
    assert await log_in(game.unique("bob"), kid="k2") == (200, 0)
    assert await log_in(game.unique("eve"), kid="k1") == WRONG
    platform.weather = "broken"  # the issuer is away: what is cached serves
    game.clock.advance(keys.FRESH_MS / 1000)
    assert await log_in(game.unique("cyd"), kid="k2") == (200, 0)
    game.clock.advance(keys.STALE_MS / 1000)
    assert await log_in(game.unique("dan"), kid="k2") == AWAY


async def test_a_slow_issuer_holds_up_nobody_else(game: Game, define: Define, platform: StandIn) -> None:
    apple = TOKEN_ISSUERS[0]
    define(apple.settings, timeout=1)
    platform.publish(apple.keys, "k1")
    platform.weather = "slow"
    id_ = game.unique("ada")
    waiting = asyncio.create_task(outcome(game, "Apple", id_, apple.token(id_, game.clock.ms())))
    await platform.reached.wait()
    assert (await game.player()).session_id
    assert not waiting.done()
    assert await waiting == AWAY


@pytest.mark.parametrize("type_", ["Apple", "Google"])
async def test_tokens_for_any_audience_of_the_app_lead_to_one_player(
    game: Game, define: Define, platform: StandIn, type_: str
) -> None:
    issuer = next(issuer for issuer in TOKEN_ISSUERS if issuer.type == type_)
    define(issuer.settings)
    platform.publish(issuer.keys, "k1")
    id_, now = game.unique("ada"), game.clock.ms()
    web = {"Apple": "com.example.web", "Google": "web"}[type_]
    ada = await game.client().log_in(type_, id_, issuer.token(id_, now))
    for audience in (web, [web, "of another"]):
        again = await game.client().log_in(
            type_, id_, issuer.token(id_, now, aud=audience), forceCreate=False
        )
        assert again["profileId"] == ada["profileId"]
    assert await outcome(game, type_, id_, issuer.token(id_, now, aud=["of another"])) == WRONG


async def test_the_nonce_of_a_token(game: Game, define: Define, platform: StandIn) -> None:
    apple = TOKEN_ISSUERS[0]
    define(apple.settings + "nonce_required = true\n")
    platform.publish(apple.keys, "k1")
    id_, now = game.unique("ada"), game.clock.ms()
    token = apple.token(id_, now, nonce=hashlib.sha256(b"n0nce").hexdigest())
    plain = apple.token(id_, now, nonce="n0nce")
    for sent, given, expected in (
        (token, {"nonce": "n0nce"}, (200, 0)),
        (plain, {"nonce": "n0nce"}, (200, 0)),
        (token, {"nonce": "other"}, WRONG),
        (token, {"nonce": ["n0nce"]}, WRONG),
        (token, None, WRONG),
        (apple.token(id_, now), {"nonce": "n0nce"}, WRONG),
    ):
        assert await outcome(game, "Apple", id_, sent, extraJson=given) == expected


async def test_an_openid_provider_whose_discovery_document_names_the_keys(
    game: Game, define: Define, platform: StandIn
) -> None:
    define(
        '[external.okta]\nkind = "openid"\nissuer = "https://o.example.com"\naudiences = ["game"]\n'
        'algorithm = "RS256"\n'
    )
    okta = next(issuer for issuer in TOKEN_ISSUERS if issuer.external)
    platform.publish("o.example.com/keys", "k1")
    document = {"issuer": "https://o.example.com", "jwks_uri": "http://o.example.com/keys"}
    platform.routes["o.example.com/.well-known/openid-configuration"] = lambda _: (200, document)
    id_ = game.unique("ada")
    token = okta.token(id_, game.clock.ms())
    assert await outcome(game, "External", id_, token, externalAuthName="okta") == UNCLEAR, "not over https"
    document["jwks_uri"] = "https://o.example.com/keys"
    game.clock.advance(keys.RETRY_MS / 1000)
    assert await outcome(game, "External", id_, token, externalAuthName="okta") == (200, 0)


async def test_google_open_id_by_a_proven_address(game: Game, define: Define, platform: StandIn) -> None:
    google = next(issuer for issuer in TOKEN_ISSUERS if issuer.type == "GoogleOpenId")
    define(google.settings)
    platform.publish(google.keys, "k1")
    mail, now = f"{game.unique('ada')}@example.com", game.clock.ms()
    for told, expected in (
        ({"email": mail.upper(), "email_verified": True}, (200, 0)),
        ({"email": mail, "email_verified": False}, WRONG),
        ({"email": mail}, WRONG),
        ({"email": "eve@example.com", "email_verified": True}, WRONG),
    ):
        assert await outcome(game, "GoogleOpenId", mail, google.token("1", now, **told)) == expected


@pytest.mark.parametrize("play_games", [True, False])
async def test_google_auth_codes_work_once(
    game: Game, define: Define, platform: StandIn, play_games: bool
) -> None:
    google = next(issuer for issuer in TOKEN_ISSUERS if issuer.type == "Google")
    define(
        '[providers.google]\nclient_id = "game"\nclient_secret = "s3cret"\n'
        + ('play_games_app = "55"\n' if play_games else "")
    )
    id_, used = game.unique("ada"), set[str]()
    platform.publish(google.keys, "k1")

    def exchange(asked: Any) -> tuple[int, Any]:
        if asked.values["client_secret"] != "s3cret" or not asked.values["code"].startswith("4/0"):
            return 400, {"error": "invalid_grant"}
        if asked.values["code"] in used:
            return 400, {"error": "invalid_grant"}
        used.add(asked.values["code"])
        return 200, {"access_token": "ya29", "id_token": google.token(id_, game.clock.ms())}

    def verify(asked: Any) -> tuple[int, Any]:
        assert asked.headers["authorization"] == "Bearer ya29"
        return 200, {"kind": "games#applicationVerifyResponse", "player_id": id_}

    platform.routes["oauth2.googleapis.com/token"] = exchange
    platform.routes["games.googleapis.com/games/v1/applications/55/verify"] = verify
    assert await outcome(game, "Google", id_, "4/0A") == (200, 0)
    assert await outcome(game, "Google", id_, "4/0A") == WRONG, "a second time"
    assert await outcome(game, "Google", game.unique("eve"), "4/0B") == WRONG
    platform.weather = "garbage"
    assert await outcome(game, "Google", id_, "4/0C") == UNCLEAR


# Platforms that are asked

asked = pytest.mark.parametrize("asked", ASKED_PLATFORMS, ids=lambda asked: f"{asked.type}{asked.external}")


@asked
async def test_a_platform_that_is_asked(
    game: Game, define: Define, platform: StandIn, asked: AskedPlatform
) -> None:
    define(asked.settings)
    now, names = game.clock.ms(), named(asked)
    ids = [game.unique("ada"), game.unique("bob")]
    right = ids[0]
    platform.routes[asked.address] = lambda request: asked.answer(request, right, now)
    assert await outcome(game, asked.type, right, asked.right, **names) == (200, 0)
    assert await outcome(game, asked.type, right, asked.right, forceCreate=False, **names) == (200, 0)
    for token in asked.wrong:
        assert await outcome(game, asked.type, right, token, **names) == WRONG, token
        key = f"{asked.external}/{right}" if asked.external else right
        await game.core.accounts.attempt(game.app, asked.type, key, "").unlock()
    assert await outcome(game, asked.type, game.unique("eve"), asked.right, **names) == WRONG
    right = ids[1]
    owner = await attached(game, asked.type, right, asked.right, **names)
    found = await game.client().log_in(asked.type, right, asked.right, **names)
    assert found["profileId"] == owner
    for weather, expected in WEATHERS:
        platform.weather = weather
        assert await outcome(game, asked.type, right, asked.right, **names) == expected, weather
    define(asked.settings, timeout=0.1)
    platform.weather = "slow"
    assert await outcome(game, asked.type, right, asked.right, **names) == AWAY


async def test_a_secret_that_the_platform_does_not_take_is_nobodys_wrong_token(
    game: Game, define: Define, platform: StandIn
) -> None:
    for asked_platform in ASKED_PLATFORMS[:3]:
        settings = asked_platform.settings.replace("s3cret", "other").replace("k3y", "other")
        define(settings)
        answer, now = asked_platform.answer, game.clock.ms()
        platform.routes[asked_platform.address] = partial(_says, answer, "ada", now)
        assert await outcome(game, asked_platform.type, "ada", asked_platform.right) == UNCLEAR


async def test_facebook_and_limited_login_lead_to_one_player(
    game: Game, define: Define, platform: StandIn
) -> None:
    limited = next(issuer for issuer in TOKEN_ISSUERS if issuer.type == "FacebookLimited")
    classic, now, id_ = ASKED_PLATFORMS[0], game.clock.ms(), game.unique("77")
    define(limited.settings)
    platform.publish(limited.keys, "k1")
    platform.routes[classic.address] = lambda request: classic.answer(request, id_, now)
    first = await game.client().log_in("Facebook", id_, "right")
    token = limited.token(id_, now)
    again = await game.client().log_in("FacebookLimited", id_, token)
    assert (again["newUser"], again["profileId"]) == ("false", first["profileId"])
    other: Client = await game.player()
    refusal = await other.refused("identity", "ATTACH", **credentials("FacebookLimited", id_, token))
    assert (refusal.status, refusal.reason_code) == (202, 40212)


async def test_the_status_of_an_identity_tells_which_way_its_player_came_last(
    game: Game, define: Define, platform: StandIn
) -> None:
    limited = next(issuer for issuer in TOKEN_ISSUERS if issuer.type == "FacebookLimited")
    classic, now, id_ = ASKED_PLATFORMS[0], game.clock.ms(), game.unique("77")
    define(limited.settings)
    platform.publish(limited.keys, "k1")
    platform.routes[classic.address] = lambda request: classic.answer(request, id_, now)
    client = game.client()

    async def status(type_: str) -> Any:
        asked = {"authenticationType": type_, "externalAuthName": ""}
        found = await client.call("identity", "GET_IDENTITY_STATUS", **asked)
        and_data = await game.server.call(
            "identity", "GET_IDENTITY_STATUS_AND_DATA", client.profile_id, **asked
        )
        assert and_data["identities"]["Facebook"].pop("identityData", ...) is None
        assert and_data == found
        return found["identities"]["Facebook"]

    await client.log_in("Facebook", id_, "right")
    assert await status("Facebook") == {"tokenExpired": False, "externalId": id_, "loginAuthType": None}
    await client.log_in("FacebookLimited", id_, limited.token(id_, now))
    for type_ in ("Facebook", "FacebookLimited"):
        assert (await status(type_))["loginAuthType"] == "FacebookLimited"
    game.clock.advance(700)
    assert (await status("Facebook"))["tokenExpired"]
    expired = await client.call("identity", "GET_EXPIRED_IDENTITIES")
    assert expired == {"identities": {"facebook": id_}}
    platform.routes[classic.address] = lambda request: classic.answer(request, id_, game.clock.ms())
    await client.log_in("Facebook", id_, "right")
    assert await status("Facebook") == {"tokenExpired": False, "externalId": id_, "loginAuthType": None}


async def test_facebook_tells_what_friends_see_of_a_player(
    game: Game, define: Define, platform: StandIn
) -> None:
    """A login does not fail for want of it, and what was told before stays."""
    classic, now, id_ = ASKED_PLATFORMS[0], game.clock.ms(), game.unique("77")
    define(classic.settings)
    platform.routes[classic.address] = lambda request: classic.answer(request, id_, now)
    name, client = "Ada\0 \U0001f600", game.client()

    async def shown() -> Any:
        await client.log_in("Facebook", id_, "right")
        asked = {"friendPlatform": "Facebook", "includeSummaryData": False}
        return (await client.call("friend", "GET_MY_SOCIAL_INFO", **asked))["externalData"]["Facebook"]

    assert await shown() == {"externalId": id_, "name": None, "pictureUrl": None}
    platform.routes[f"graph.facebook.com/{id_}"] = lambda _: (200, {"name": name, "id": id_})
    told = {
        "externalId": id_,
        "name": "Ada \U0001f600",
        "pictureUrl": f"https://graph.facebook.com/{id_}/picture",
    }
    assert await shown() == told
    asked = platform.asked[-1].values
    proof = hmac.new(b"s3cret", b"right", "sha256").hexdigest()
    assert asked == {"fields": "name", "access_token": "right", "appsecret_proof": proof}
    silences: list[Answer] = [(500, {}), (200, {"name": 7}), (200, b"<html>")]
    platform.routes[f"graph.facebook.com/{id_}"] = lambda _: silences.pop()
    while silences:
        assert await shown() == told


# Apple, after an app has moved to another team


async def test_a_player_of_apple_is_the_same_in_another_team(
    game: Game, define: Define, platform: StandIn
) -> None:
    apple, now = TOKEN_ISSUERS[0], game.clock.ms()
    old, new, other, third = (game.unique(name) for name in ("old", "new", "other", "third"))
    platform.publish(apple.keys, "k1")
    define(apple.settings)
    first = await game.client().log_in("Apple", old, apple.token(old, now))
    define(
        apple.settings + 'transfers_file = "moved.csv"\n',
        moved__csv=f"# of the former team\nt-1,{old}\n\nt-2, {third}\n",
    )
    moved = apple.token(new, now, transfer_sub="t-1")
    assert await outcome(game, "Apple", new, apple.token(other, now, transfer_sub="t-1")) == WRONG
    client = game.client()
    again = await client.log_in("Apple", new, moved, forceCreate=False)
    assert (again["profileId"], again["newUser"]) == (first["profileId"], "false")
    assert (await client.call("identity", "GET_IDENTITIES"))["identities"] == {"Apple": new}
    for token in (moved, apple.token(new, now)):
        assert (await game.client().log_in("Apple", new, token))["profileId"] == first["profileId"]
    unknown = await game.client().refused(
        "authenticationV2",
        "AUTHENTICATE",
        **credentials("Apple", old, apple.token(old, now)),
        forceCreate=False,
    )
    assert (unknown.status, unknown.reason_code) == (202, 40208), "the former id is nobody's"
    for told in ("t-2", "t-3", 7):
        fresh = await game.client().log_in(
            "Apple", id_ := game.unique("fresh"), apple.token(id_, now, transfer_sub=told)
        )
        assert fresh["newUser"] == "true"


async def test_what_players_were_called_takes_part_in_attaching_and_refreshing(
    game: Game, define: Define, platform: StandIn
) -> None:
    apple, now = TOKEN_ISSUERS[0], game.clock.ms()
    old, new = game.unique("old"), game.unique("new")
    platform.publish(apple.keys, "k1")
    define(apple.settings + 'transfers_file = "moved.csv"\n', moved__csv=f"t-1,{old}\n")
    client, other = await game.player(), await game.player()
    await client.call("identity", "ATTACH", **credentials("Apple", old, apple.token(old, now)))
    moved = credentials("Apple", new, apple.token(new, now, transfer_sub="t-1"))
    taken = await other.refused("identity", "ATTACH", **moved)
    again = await client.refused("identity", "ATTACH", **moved)
    assert (taken.reason_code, again.reason_code) == (40212, 40211)
    await client.call("identity", "REFRESH_IDENTITY", **moved)
    assert (await client.call("identity", "GET_IDENTITIES"))["identities"] == {"Apple": new}


async def test_a_file_of_former_names_that_is_gone_makes_no_second_player(
    game: Game, define: Define, platform: StandIn, apps_folder: Path
) -> None:
    apple, now, id_ = TOKEN_ISSUERS[0], game.clock.ms(), game.unique("new")
    platform.publish(apple.keys, "k1")
    define(apple.settings + 'transfers_file = "moved.csv"\n', moved__csv="t-1,old\n")
    (apps_folder / "test" / "moved.csv").unlink()
    token = apple.token(id_, now, transfer_sub="t-1")
    assert await outcome(game, "Apple", id_, token) == NOT_CONFIGURED


# Game Center

GAME_CENTER = '[providers.game_center]\nbundle_ids = ["com.example.lite", "com.example.game"]\n'


async def test_game_center(game: Game, define: Define, platform: StandIn) -> None:
    now, id_ = game.clock.ms(), game.unique("T:_")
    root = certificate("root", "root", now, organization="Roots", ca=True)
    define(GAME_CENTER + 'authorities_file = "gc.pem"\n', gc__pem=pem(root))
    made = {
        "gc-prod-11": der(certificate("apple", "root", now)),
        "self": der(certificate("apple", "apple", now)),
        "other": der(certificate("apple", "root", now, organization="Evil Inc.")),
        "old": der(certificate("apple", "root", now - 5 * 86_400_000)),
        "text": b"no certificate",
    }
    for name, content in made.items():
        platform.routes[f"static.gc.apple.com/public-key/{name}.cer"] = partial(_serves, content)
    prefix = GAME_CENTER_KEY.removesuffix("gc-prod-11.cer")

    def proof(**told: Any) -> str:
        return game_center_proof(id_, now, **told)

    async def log_in(token: str) -> tuple[int, int]:
        await game.core.accounts.attempt(game.app, "GameCenter", id_, "").unlock()
        return await outcome(game, "GameCenter", id_, token)

    assert await log_in(proof()) == (200, 0)
    assert await log_in(proof(bundle="com.example.lite")) == (200, 0)
    assert len(platform.asked) == 1, "a certificate is fetched once"
    other = game.unique("T:_")
    owner = await attached(game, "GameCenter", other, game_center_proof(other, now))
    assert (await game.client().log_in("GameCenter", other, game_center_proof(other, now)))[
        "profileId"
    ] == owner
    before = len(platform.asked)
    for what, token in {
        "nothing": "",
        "no object": "[]",
        "nothing signed": "{}",
        "another bundle": proof(bundle="com.example.evil"),
        "another player": game_center_proof(other, now),
        "another key": proof(key="evil"),
        "another time": proof(timestamp=now - 1000),
        "an old signature": game_center_proof(id_, now - 301_000),
        "a signature of the future": game_center_proof(id_, now + 61_000),
        "a time beyond all": proof(timestamp=1 << 70),
        "another salt": proof(salt="AAAA"),
        "a salt that is none": proof(salt="?"),
        "a signature that is none": proof(signature="\u00e4"),
        "http": proof(publicKeyUrl=GAME_CENTER_KEY.replace("https", "http")),
        "another host": proof(publicKeyUrl="https://evil.io/public-key/gc-prod-11.cer"),
        "a host that begins alike": proof(
            publicKeyUrl="https://static.gc.apple.com.evil.io/public-key/a.cer"
        ),
        "a user": proof(publicKeyUrl="https://static.gc.apple.com@evil.io/public-key/a.cer"),
        "a port": proof(publicKeyUrl="https://static.gc.apple.com:444/public-key/a.cer"),
        "another path": proof(publicKeyUrl="https://static.gc.apple.com/redirect?to=evil.io"),
        "a way up": proof(publicKeyUrl="https://static.gc.apple.com/public-key/../a.cer"),
        "a line feed": proof(publicKeyUrl=GAME_CENTER_KEY + "\n"),
    }.items():
        assert await log_in(token) == WRONG, what
    assert len(platform.asked) == before, "nothing was fetched for them"
    for name in ("self", "other", "old", "nowhere"):
        assert await log_in(proof(publicKeyUrl=f"{prefix}{name}.cer")) == WRONG, name
    assert await log_in(proof(publicKeyUrl=f"{prefix}text.cer")) == UNCLEAR
    for weather, expected in WEATHERS:
        platform.weather = weather
        assert await log_in(proof(publicKeyUrl=f"{prefix}gc-prod-12.cer")) == expected, weather


async def test_game_center_trusts_the_roots_that_come_with_us(
    game: Game, define: Define, platform: StandIn
) -> None:
    """A chain that leads to a root of somebody's own is refused, whoever serves the middle of it."""
    define(GAME_CENTER)
    now, id_ = game.clock.ms(), game.unique("T:_")
    root = certificate("root", "root", now, organization="Roots", ca=True)
    leaf = certificate("apple", "root", now)
    platform.routes["static.gc.apple.com/public-key/gc-prod-11.cer"] = lambda _: (200, der(leaf))
    middle = "cacerts.digicert.com/DigiCertTrustedG4CodeSigningRSA4096SHA3842021CA1.crt.pem"
    platform.routes[middle] = lambda _: (200, pem(root).encode())
    assert await outcome(game, "GameCenter", id_, game_center_proof(id_, now)) == WRONG
    assert [request.path for request in platform.asked][-1] == middle


# Test accounts, and what is not configured


async def test_types_that_the_app_does_not_configure(game: Game, define: Define) -> None:
    define()
    for issuer in TOKEN_ISSUERS[:-1]:
        token = issuer.token("ada", game.clock.ms())
        assert await outcome(game, issuer.type, "ada", token) == NOT_CONFIGURED
    for type_ in ("Facebook", "Steam", "Oculus", "Twitter", "GameCenter", "PlaystationNetwork"):
        assert await outcome(game, type_, "ada", "token") == NOT_CONFIGURED
    assert await outcome(game, "PlaystationNetwork5", "ada", "token") == NOT_CONFIGURED
    assert await outcome(game, "Parse", "ada", "token") == WRONG


async def test_test_accounts_are_those_that_the_app_declares(game: Game, define: Define) -> None:
    id_ = game.unique("765")
    account = f'{{ "{id_}" = "test-token" }}'
    define(head=f"dev_tokens = {{ Steam = {account}, PlaystationNetwork = {account} }}\n")
    for type_ in ("Steam", "PlaystationNetwork"):
        assert await outcome(game, type_, id_, "test-token") == (200, 0)
        assert await outcome(game, type_, id_, "test-tokem") == WRONG
        assert await outcome(game, type_, game.unique("765"), "test-token") == WRONG
    define()
    assert await outcome(game, "Steam", id_, "test-token") == NOT_CONFIGURED


async def test_test_accounts_are_attached_and_detached(game: Game, define: Define, platform: StandIn) -> None:
    own_address(game)
    id_, other = game.unique("765"), game.unique("765")
    define(head=f'dev_tokens = {{ Steam = {{ "{id_}" = "test-token", "{other}" = "other-token" }} }}\n')
    player, second = await game.player(), await game.player()
    wrong = await player.refused("identity", "ATTACH", **credentials("Steam", id_, "other-token"))
    assert (wrong.status, wrong.reason_code) == WRONG
    assert (await player.call("identity", "GET_IDENTITIES"))["identities"] == {}
    await player.call("identity", "ATTACH", **credentials("Steam", id_, "test-token"))
    assert (await player.call("identity", "GET_IDENTITIES"))["identities"] == {"Steam": id_}
    again = await player.refused("identity", "ATTACH", **credentials("Steam", other, "other-token"))
    taken = await second.refused("identity", "ATTACH", **credentials("Steam", id_, "test-token"))
    assert (again.reason_code, taken.reason_code) == (40211, 40212)
    back = game.client()
    await back.log_in("Steam", id_, "test-token", forceCreate=False)
    assert back.profile_id == player.profile_id
    await back.call("identity", "DETACH", authenticationType="Steam", externalId=id_, confirmAnonymous=True)
    await second.call("identity", "ATTACH", **credentials("Steam", id_, "test-token"))
    found = await game.client().log_in("Steam", id_, "test-token", forceCreate=False)
    assert found["profileId"] == second.profile_id
    assert platform.asked == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('[providers]\ndev_tokens = { Universal = { ada = "test-token" } }\n', "dev_tokens"),
        ('[providers]\ndev_tokens = { Steam = { ada = "short" } }\n', "dev_tokens"),
        ('[providers.google]\nclient_id = "a"\n', "client_id"),
        ("[providers.google]\n", "audiences"),
        ("[providers.steam]\napp_id = 1\n", "publisher_key"),
        ('[providers.steam]\napp_id = 1\npublisher_key_env = "NO_SUCH_KEY"\n', "NO_SUCH_KEY"),
        ("[providers.apple]\naudiences = []\n", "audiences"),
        ('[providers.apple]\naudiences = ["a"]\ntransfers_file = "app.toml"\n', "transfers_file: line 1"),
        ('[providers.nintendo]\nissuer = "http://n.example.com"\naudiences = ["a"]\n', "issuer"),
        ('[providers.game_center]\nbundle_ids = ["a"]\nauthorities_file = "app.toml"\n', "authorities_file"),
    ],
)
async def test_mistakes_in_the_settings(game: Game, apps_folder: Path, settings: str, complaint: str) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
    problems = load_apps(apps_folder, game.server_app.registry.sections()).problems
    assert problems
    assert any(complaint in str(problem) for problem in problems), json.dumps([str(p) for p in problems])
