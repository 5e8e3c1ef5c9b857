"""Logins through the networks of consoles, against stand-ins that speak as they do."""

from typing import Any

import pytest

from gameserver.apps import load_apps
from tests.conftest import APP_TOML, Game
from tests.services.test_providers import (
    NOT_CONFIGURED,
    UNCLEAR,
    WEATHERS,
    WRONG,
    Define,
    attached,
    define,
    outcome,
    platform,
)
from tests.stand_ins import (
    PLAYSTATION_TOKEN,
    XBOX_CERTIFICATE,
    XBOX_KEYS,
    StandIn,
    certificate,
    jwk,
    pem,
    private_key,
    serve_playstation,
    thumbprint,
    xbox_claims,
    xbox_encrypted,
    xbox_signed,
)

__all__ = ["define", "platform"]  # fixtures

PLAYSTATION = """
[providers.{}]
client_id = "game server"
client_secret = "s3:cret"
"""
TYPES = {"playstation": "PlaystationNetwork", "playstation5": "PlaystationNetwork5"}
XBOX = """
[providers.xbox]
relying_party = "rp://game.example.com/"
key_file = "xbox.pem"
"""


# PlayStation Network


@pytest.mark.parametrize("table", TYPES)
async def test_a_code_of_playstation_logs_in_attaches_and_works_once(
    game: Game, define: Define, platform: StandIn, table: str
) -> None:
    define(PLAYSTATION.format(table))
    type_, other = TYPES[table], next(name for key, name in TYPES.items() if key != table)
    ids = [game.unique("39"), game.unique("40")]
    serve_playstation(platform, ids[0])
    assert await outcome(game, type_, ids[0], "v3.aaa") == (200, 0)
    assert await outcome(game, type_, ids[0], "v3.aaa") == WRONG, "a second time"
    assert await outcome(game, type_, ids[0], "v3.bbb", forceCreate=False) == (200, 0)
    assert await outcome(game, type_, game.unique("41"), "v3.ccc") == WRONG, "another player's"
    assert await outcome(game, other, ids[0], "v3.ddd") == NOT_CONFIGURED
    before = len(platform.asked)
    for token in ("", "ä", "x" * 513):
        assert await outcome(game, type_, ids[1], token) == WRONG
    assert len(platform.asked) == before, "nobody was asked about what can be no code"
    assert await outcome(game, type_, ids[1], "of-nobody") == WRONG
    serve_playstation(platform, ids[1])
    owner = await attached(game, type_, ids[1], "v3.eee")
    assert (await game.client().log_in(type_, ids[1], "v3.fff"))["profileId"] == owner


async def test_a_playstation_network_that_gives_no_clear_answer(
    game: Game, define: Define, platform: StandIn
) -> None:
    define(PLAYSTATION.format("playstation"))
    id_ = game.unique("39")
    serve_playstation(platform, id_)
    for weather, expected in WEATHERS:
        platform.weather = weather
        assert await outcome(game, "PlaystationNetwork", id_, f"v3.{weather}") == expected, weather
    platform.weather = "fair"
    told: dict[str, Any] = {"user_id": id_, "client_id": "another server"}
    platform.routes[f"{PLAYSTATION_TOKEN}/a%2Ft"] = lambda _: (200, told)
    assert await outcome(game, "PlaystationNetwork", id_, "v3.other") == UNCLEAR, "a token of somebody else"
    platform.routes[f"{PLAYSTATION_TOKEN}/a%2Ft"] = lambda _: (400, {"error": "invalid_token"})
    assert await outcome(game, "PlaystationNetwork", id_, "v3.none") == UNCLEAR
    define(PLAYSTATION.format("playstation").replace("s3:cret", "other"))
    assert await outcome(game, "PlaystationNetwork", id_, "v3.secret") == UNCLEAR, "not the player's fault"


async def test_a_playstation_environment_of_its_own(game: Game, define: Define, platform: StandIn) -> None:
    address = "auth.api.np.example.com/2.0/oauth/token"
    define(PLAYSTATION.format("playstation5") + f'token_url = "https://{address}"\n')
    id_ = game.unique("39")
    serve_playstation(platform, id_, address=address)
    assert await outcome(game, "PlaystationNetwork5", id_, "v3.aaa") == (200, 0)


# Xbox


def log_in_of(game: Game, id_: str) -> Any:
    async def log_in(token: str, **data: Any) -> tuple[int, int]:
        await game.core.accounts.attempt(game.app, "Xbox", id_, "").unlock()
        return await outcome(game, "Xbox", id_, token, **data)

    return log_in


async def test_a_token_of_xbox_logs_in_and_attaches(game: Game, define: Define, platform: StandIn) -> None:
    define(XBOX, xbox__pem=private_key("party") + private_key("before"))
    now, id_, other = game.clock.ms(), game.unique("28"), game.unique("29")
    signer = certificate("xsts", "xsts", now)
    by = {"x5t": thumbprint(signer), "x5u": XBOX_CERTIFICATE}
    platform.routes["xsts.auth.xboxlive.com/keys/current"] = lambda _: (
        200,
        {thumbprint(signer): pem(signer)},
    )
    platform.routes["xsts-keys.auth.xboxlive.com/keys"] = lambda _: (200, {"keys": [jwk("xsts", "k1")]})
    log_in = log_in_of(game, id_)
    token = xbox_encrypted(xbox_signed(xbox_claims(id_, now), **by))
    assert await log_in(token) == (200, 0)
    assert await log_in(f"XBL3.0 x=77;{token}", forceCreate=False) == (200, 0)
    assert await log_in(f"XBL3.0 x=*;{token}") == (200, 0)
    assert len(platform.asked) == 1, "a certificate is fetched once"
    by_key = {"kid": "k1", "jku": XBOX_KEYS}
    for made in (
        xbox_encrypted(xbox_signed(xbox_claims(id_, now), **by_key)),
        xbox_encrypted(xbox_signed(xbox_claims(id_, now), **by), to="before"),
        xbox_encrypted(xbox_signed(xbox_claims(id_, now), **by), packed=False),
        xbox_encrypted(xbox_signed(xbox_claims(id_, now, sbx=...), **by)),
    ):
        assert await log_in(made) == (200, 0)
    assert len(platform.asked) == 2
    two = [{"uhs": "77", "ptx": id_}, {"uhs": "78", "ptx": other}]
    both = xbox_encrypted(xbox_signed(xbox_claims(id_, now, xui=two), **by))
    assert await log_in(f"XBL3.0 x=77;{both}") == (200, 0)
    assert await log_in(f"XBL3.0 x=78;{both}") == WRONG
    assert await log_in(both) == WRONG, "whose of the two it is, nobody says"
    owner = await attached(game, "Xbox", other, f"XBL3.0 x=78;{both}")
    found = await game.client().log_in("Xbox", other, f"XBL3.0 x=78;{both}")
    assert found["profileId"] == owner


async def test_wrong_tokens_of_xbox_are_refused(game: Game, define: Define, platform: StandIn) -> None:
    define(XBOX, xbox__pem=private_key("party"))
    now, id_ = game.clock.ms(), game.unique("28")
    seconds = now // 1000
    signer, old = certificate("xsts", "xsts", now), certificate("xsts", "xsts", now - 5 * 86_400_000)
    by = {"x5t": thumbprint(signer), "x5u": XBOX_CERTIFICATE}
    served = {thumbprint(signer): pem(signer), thumbprint(old): pem(old), "AAAA": pem(signer), "BBBB": 7}
    platform.routes["xsts.auth.xboxlive.com/keys/current"] = lambda _: (200, served)
    log_in = log_in_of(game, id_)

    def right(**told: Any) -> str:
        return xbox_signed(xbox_claims(id_, now, **told), **by)

    def signed(**how: Any) -> str:
        return xbox_signed(xbox_claims(id_, now), **{**by, **how})

    assert await log_in(xbox_encrypted(right())) == (200, 0)
    head, key, iv, content, tag = xbox_encrypted(right()).split(".")
    url = XBOX_CERTIFICATE
    for what, token in {
        "nothing": "",
        "no token": "right",
        "the token within alone": right(),
        "four parts": f"{head}.{key}.{iv}.{content}",
        "another header": f"{head.replace('e', 'f', 1)}.{key}.{iv}.{content}.{tag}",
        "another key": f"{head}.{key[:-4]}AAAA.{iv}.{content}.{tag}",
        "another vector": f"{head}.{key}.AAAAAAAAAAAAAAAAAAAAAA.{content}.{tag}",
        "a short vector": f"{head}.{key}.AAAA.{content}.{tag}",
        "another content": f"{head}.{key}.{iv}.AAAA{content[4:]}.{tag}",
        "another tag": f"{head}.{key}.{iv}.{content}.AAAAAAAAAAAAAAAAAAAAAA",
        "no tag": f"{head}.{key}.{iv}.{content}.A",
        "for another party": xbox_encrypted(right(), to="evil"),
        "another wrapping": xbox_encrypted(right(), alg="dir"),
        "another cipher": xbox_encrypted(right(), enc="A256GCM"),
        "another packing": xbox_encrypted(right(), packed=False, zip="GZIP"),
        "packed, and not": xbox_encrypted(right(), packed=False, zip="DEF"),
        "a bomb": xbox_encrypted("a" * (8 << 20)),
        "no text": xbox_encrypted("\u00e4"),
        "no token within": xbox_encrypted("a.b.c"),
        "alg none": xbox_encrypted(f"eyJhbGciOiJub25lIn0.{right().split('.')[1]}."),
        "another alg": xbox_encrypted(signed(alg="RS512")),
        "a key of nobody": xbox_encrypted(signed(name="evil")),
        "another certificate": xbox_encrypted(signed(x5t="AAAA")),
        "no certificate": xbox_encrypted(signed(x5t="BBBB")),
        "an unknown certificate": xbox_encrypted(signed(x5t="CCCC")),
        "an old certificate": xbox_encrypted(signed(x5t=thumbprint(old))),
        "no signer": xbox_encrypted(xbox_signed(xbox_claims(id_, now))),
        "a signer that is none": xbox_encrypted(signed(x5t=7, x5u=[])),
        "http": xbox_encrypted(signed(x5u=url.replace("https", "http"))),
        "another host": xbox_encrypted(signed(x5u="https://evil.io/keys/current")),
        "a host that begins alike": xbox_encrypted(signed(x5u=url.replace(".com", ".com.evil.io"))),
        "a user": xbox_encrypted(signed(x5u=url.replace(".com", ".com@evil.io"))),
        "a port": xbox_encrypted(signed(x5u=url.replace(".com", ".com:444"))),
        "keys of another host": xbox_encrypted(
            xbox_signed(xbox_claims(id_, now), kid="k1", jku="https://evil.io/keys")
        ),
        "keys of the other host": xbox_encrypted(
            xbox_signed(xbox_claims(id_, now), kid="k1", jku=XBOX_CERTIFICATE)
        ),
        "no key id": xbox_encrypted(xbox_signed(xbox_claims(id_, now), kid="", jku=XBOX_KEYS)),
        "for another audience": xbox_encrypted(right(aud="rp://evil.example.com/")),
        "no audience": xbox_encrypted(right(aud=...)),
        "another issuer": xbox_encrypted(right(iss="evil.example.com")),
        "expired": xbox_encrypted(right(exp=seconds - 3600)),
        "no expiry": xbox_encrypted(right(exp=...)),
        "not yet": xbox_encrypted(right(nbf=seconds + 3600)),
        "another sandbox": xbox_encrypted(right(sbx="XDKS.1")),
        "another player": xbox_encrypted(right(xui=[{"uhs": "77", "ptx": "1"}])),
        "no player": xbox_encrypted(right(xui=[])),
        "players that are none": xbox_encrypted(right(xui={"ptx": id_})),
        "a player that is none": xbox_encrypted(right(xui=[id_])),
        "an unknown user": f"XBL3.0 x=78;{xbox_encrypted(right())}",
        "another scheme": f"Bearer {xbox_encrypted(right())}",
        "a line feed": xbox_encrypted(right()) + "\n",
    }.items():
        assert await log_in(token) == WRONG, what
    assert {asked.path for asked in platform.asked} == {"xsts.auth.xboxlive.com/keys/current"}


async def test_an_xbox_service_that_gives_no_clear_answer(
    game: Game, define: Define, platform: StandIn
) -> None:
    define(XBOX, xbox__pem=private_key("party"))
    now, id_ = game.clock.ms(), game.unique("28")
    signer = certificate("xsts", "xsts", now)
    log_in = log_in_of(game, id_)
    token = xbox_encrypted(xbox_signed(xbox_claims(id_, now), x5t=thumbprint(signer), x5u=XBOX_CERTIFICATE))
    served: Any = {thumbprint(signer): "no certificate"}
    platform.routes["xsts.auth.xboxlive.com/keys/current"] = lambda _: (200, served)
    assert await log_in(token) == UNCLEAR
    for weather, expected in WEATHERS:
        platform.weather = weather
        assert await log_in(token) == expected, weather
    platform.weather = "fair"
    platform.routes["xsts.auth.xboxlive.com/keys/current"] = lambda _: (404, {})
    assert await log_in(token) == WRONG


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("[providers.xbox]\nrelying_party = 'rp://a/'\n", "key_file"),
        ("[providers.xbox]\nrelying_party = 'rp://a/'\nkey_file = 'app.toml'\n", "no private keys"),
        ("[providers.playstation]\nclient_id = 'a'\n", "client_secret"),
        (PLAYSTATION.format("playstation5") + "token_url = 'http://a.example.com'\n", "https"),
    ],
)
async def test_mistakes_in_the_settings_of_consoles(
    game: Game, apps_folder: Any, settings: str, complaint: str
) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
    problems = load_apps(apps_folder, game.server_app.registry.sections()).problems
    assert any(complaint in str(problem) for problem in problems), [str(each) for each in problems]
