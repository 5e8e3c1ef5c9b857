"""Tokens that servers have checked, with the keys of issuers that the app declares."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.players.providers import keys
from tests.conftest import APP_TOML, Game, Refusal
from tests.services.test_providers import WEATHERS
from tests.stand_ins import StandIn, claims, jwk, signed, stand_in

ISSUER, KEYS = "https://o.example.com/oauth2/default", "https://o.example.com/oauth2/default/v1/keys"
DISCOVERED = "https://d.example.com"
APP = f"""
[identity.issuers.okta]
issuer = "{ISSUER}"
jwks_url = "{KEYS}"
[identity.issuers.other]
issuer = "{DISCOVERED}"
"""
WRONG, NOT_DECLARED = (400, 40682), (403, 40302)
Verify = Callable[..., Any]


@pytest.fixture
async def platform() -> AsyncIterator[StandIn]:
    async with stand_in() as found:
        found.publish(KEYS.removeprefix("https://"), "k1")
        yield found


@pytest.fixture
def apps_folder(apps_folder: Path, platform: StandIn) -> Path:
    providers = f'[providers]\nstand_in = "{platform.url}"\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + providers + APP)
    return apps_folder


@pytest.fixture(params=["VERIFY_SIGNED_JWT", "VERIFY_OKTA_JWT"])
def verify(game: Game, request: pytest.FixtureRequest) -> Verify:
    """Has a token checked by either operation."""
    is_okta = request.param == "VERIFY_OKTA_JWT"

    async def verify(token: str, *, issuer: str = ISSUER, audience: str = "game", jks_uri: str = KEYS) -> Any:
        data = {"domain": issuer} if is_okta else {"issuer": issuer, "jksUri": jks_uri}
        return await game.server.call("identity", request.param, **data, audience=audience, jwtString=token)

    return verify


def token(game: Game, **how: Any) -> str:
    """A token that is right, but for what `how` says."""
    sign = {key: how.pop(key) for key in ("kid", "name", "alg") if key in how}
    issuer = how.pop("issuer", ISSUER)
    return signed(claims(issuer, "game", "ada", game.clock.ms(), **how), **sign)


async def refusal(call: Any) -> tuple[int, int]:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value.status, caught.value.reason_code


async def test_a_right_token_tells_what_it_says(game: Game, platform: StandIn, verify: Verify) -> None:
    now = game.clock.ms() // 1000
    told = {"groups": ["Everyone"], "email": "ada@example.com", "deep": {"n": [1, None, 0.5]}}
    answer = await verify(token(game, **told))
    standard = {"iss": ISSUER, "aud": "game", "sub": "ada", "iat": now - 10, "exp": now + 600}
    assert answer == {
        "claims": {**standard, **told},
        "issuedAt": (now - 10) * 1000,
        "expiresAt": (now + 600) * 1000,
    }
    assert (await verify(token(game, iat=...)))["issuedAt"] is None
    assert (await verify(token(game, iat=-1e300, exp=1e300)))["issuedAt"] == 0
    assert (await verify(token(game, aud=["lite", "game"])))["claims"]["aud"] == ["lite", "game"]
    assert len(platform.asked) == 1, "the keys are fetched once"


async def test_keys_are_found_by_the_discovery_document(
    game: Game, platform: StandIn, verify: Verify
) -> None:
    discovery = f"{DISCOVERED}/.well-known/openid-configuration"
    platform.routes[discovery.removeprefix("https://")] = lambda _: (
        200,
        {"jwks_uri": "https://d.example.com/k"},
    )
    platform.publish("d.example.com/k", "k1")
    answer = await verify(token(game, issuer=DISCOVERED), issuer=DISCOVERED, jks_uri=discovery)
    assert answer["claims"]["iss"] == DISCOVERED


async def test_wrong_tokens_are_refused(game: Game, platform: StandIn, verify: Verify) -> None:
    platform.routes[KEYS.removeprefix("https://")] = lambda _: (
        200,
        {"keys": [jwk("right", "k1"), jwk("second", "k2")]},
    )
    seconds = game.clock.ms() // 1000
    right = token(game)
    await verify(right)
    head, body, signature = right.split(".")
    for what, text in {
        "no token": "right",
        "dots": "..",
        "a token that is cut": f"{head}.{body}",
        "another body": f"{head}.{body[:-4]}AAAA.{signature}",
        "no ASCII": f"{head}.{body}.\u00e4",
        "another audience": token(game, aud="lite"),
        "no audience": token(game, aud=...),
        "another issuer": token(game, iss=DISCOVERED),
        "expired": token(game, exp=seconds - 3600),
        "no expiry": token(game, exp=...),
        "of the future": token(game, iat=seconds + 3600),
        "a time that is none": token(game, iat="now"),
        "not yet": token(game, nbf=seconds + 3600),
        "alg none": token(game, alg="none"),
        "alg HS256": token(game, alg="HS256"),
        "another alg": token(game, alg="RS512"),
        "a swapped key id": token(game, kid="k2"),
        "an unknown key id": token(game, kid="k9"),
        "no key id": token(game, kid=None),
        "a key of nobody": token(game, name="evil"),
        # Signed by the issuer, and yet nothing that clients could read.
        "NUL": token(game, note="\0"),
        "half a surrogate pair": token(game, note="\ud800"),
        "no number": token(game, note=float("nan")),
        "too deep": token(game, note=json_of_depth(40)),
    }.items():
        assert await refusal(verify(text)) == WRONG, what
    assert await refusal(verify(right, audience="lite")) == WRONG
    assert len(platform.asked) == 1


def json_of_depth(depth: int) -> Any:
    return [json_of_depth(depth - 1)] if depth else 1


async def test_nobody_is_asked_whom_the_app_does_not_declare(
    game: Game, platform: StandIn, verify: Verify
) -> None:
    for issuer in ("https://evil.example.com", ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "o.example.com"):
        assert await refusal(verify(token(game, issuer=issuer), issuer=issuer)) == NOT_DECLARED, issuer
    assert platform.asked == []


@pytest.mark.parametrize(
    "address", ["https://evil.example.com/keys", KEYS + "?", "http" + KEYS[5:], "file:///etc/passwd"]
)
async def test_keys_come_from_nowhere_but_where_the_app_says(
    game: Game, platform: StandIn, address: str
) -> None:
    data = {"issuer": ISSUER, "jksUri": address, "audience": "game", "jwtString": token(game)}
    refused = await game.server.refused("identity", "VERIFY_SIGNED_JWT", **data)
    assert (refused.status, refused.reason_code) == NOT_DECLARED
    assert platform.asked == []


@pytest.mark.parametrize(("weather", "expected"), WEATHERS)
async def test_an_issuer_that_gives_no_keys(
    game: Game, platform: StandIn, verify: Verify, weather: str, expected: tuple[int, int]
) -> None:
    platform.weather = weather
    assert await refusal(verify(token(game))) == expected
    platform.weather = "fair"
    game.clock.advance(keys.RETRY_MS / 1000)
    assert (await verify(token(game)))["claims"]["sub"] == "ada"


@pytest.mark.parametrize("operation", ["VERIFY_SIGNED_JWT", "VERIFY_OKTA_JWT"])
async def test_clients_have_nothing_checked(game: Game, platform: StandIn, operation: str) -> None:
    player = await game.player()
    data = {"domain": ISSUER, "issuer": ISSUER, "jksUri": KEYS, "audience": "game", "jwtString": token(game)}
    server_only = await player.refused("identity", "CREATE_HANDOFF_ID")
    refused = await player.refused("identity", operation, **data)
    assert (refused.status, refused.reason_code) == (server_only.status, server_only.reason_code)
    assert platform.asked == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('[identity.issuers.a]\nissuer = "http://a.example.com"\n', "issuer"),
        ('[identity.issuers.a]\nissuer = "https://a.io"\njwks_url = "http://a.io/k"\n', "jwks_url"),
        ('[identity.issuers.a]\nissuer = "https://a.io"\nalgorithm = "HS256"\n', "algorithm"),
        (
            '[identity.issuers.a]\nissuer = "https://a.io"\n[identity.issuers.b]\nissuer = "https://a.io"\n',
            "another table",
        ),
    ],
)
async def test_mistakes_in_the_settings(game: Game, apps_folder: Path, settings: str, complaint: str) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
    problems = load_apps(apps_folder, game.server_app.registry.sections()).problems
    assert any(complaint in str(problem) for problem in problems), problems
