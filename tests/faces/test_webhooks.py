"""Incoming webhooks: who may call, what the script is told, and what the caller gets."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from gameserver.admin import actions
from gameserver.app import registry
from gameserver.apps import load_apps
from tests.conftest import APP_ID, APP_TOML, Game
from tests.services.test_script import write_script

FORM = "application/x-www-form-urlencoded"
SCRIPTS = {
    "echo": "({jsonResponse: data});",
    "say": "({stringResponse: 'hello \\u00e4', statusOverride: 202, message: 'left out'});",
    "all": "JSON.parse(data.stringBody === null ? JSON.stringify(data.jsonBody) : data.stringBody);",
    "nothing": "null;",
    "throws": "throw new Error('my secret words');",
    "who": "({jsonResponse: {server: bridge.isServerBridge(), me: bridge.getProfileId()}});",
    "made": "bridge.logInfo('webhook ' + data.parameters.mark); ({});",
}
HOOKS = """
[webhooks.incoming.inUrl]
script = "echo"
secret = "sesame-open"
secret_in = "url"
[webhooks.incoming.inHeader]
script = "made"
secret = "sesame-open"
[webhooks.incoming.near]
script = "nothing"
addresses = ["203.0.113.0/24"]
[webhooks.incoming.few]
script = "nothing"
calls_per_minute = 2
[webhooks.incoming.gone]
script = "nowhere"
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """Scripts that no client and no server may call, each behind a webhook of its name."""
    text = "".join(f'[webhooks.incoming.{name}]\nscript = "{name}"\n' for name in SCRIPTS)
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + HOOKS + text)
    for path, source in SCRIPTS.items():
        flags = {"clientCallable": False, "s2sCallable": False, "peerCallable": False}
        write_script(apps_folder / "test", path, source, **flags)
    return apps_folder


async def call(game: Game, path: str, method: str = "GET", **how: Any) -> httpx.Response:
    return await game.http.request(method, f"/webhook/{APP_ID}/{path}", **how)


# What a script is told


async def test_a_script_is_told_all_of_a_request(game: Game) -> None:
    answer = await call(
        game,
        "echo/a/b%20c?hub.mode=x&twice=1&twice=2&empty=",
        "POST",
        json={"channel": {"name": "ä"}},
        headers={"X-Signature": "s", "x-bc-secret": "mine"},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    headers = told.pop("headers")
    assert (headers["x-signature"], headers["content-type"]) == ("s", "application/json")
    assert "x-bc-secret" not in headers
    assert told == {
        "parameters": {"hub.mode": "x", "twice": "2", "empty": ""},
        "queryString": "hub.mode=x&twice=1&twice=2&empty=",
        "jsonBody": {"channel": {"name": "ä"}},
        "stringBody": None,
        "pathBalance": "a/b c",
        "requestUrl": f"http://game.test/webhook/{APP_ID}/echo/a/b%20c?hub.mode=x&twice=1&twice=2&empty=",
    }


@pytest.mark.parametrize(
    ("body", "content", "parsed", "text", "parameters"),
    [
        (b"", "", None, None, {}),
        (b"plain", "text/plain", None, "plain", {}),
        (b"[1, null]", "text/plain", [1, None], None, {}),
        (b"a=1&b=x+y", f"{FORM}; charset=utf-8", None, "a=1&b=x+y", {"a": "1", "b": "x y"}),
        (b"\xff\x00", "application/octet-stream", None, "\N{REPLACEMENT CHARACTER}" * 2, {}),
        (b"[" * 50 + b"]" * 50, "application/json", None, "[" * 50 + "]" * 50, {}),
        (b'"\\u0000"', "application/json", None, '"\\u0000"', {}),
    ],
)
async def test_bodies(
    game: Game, body: bytes, content: str, parsed: Any, text: str | None, parameters: dict[str, str]
) -> None:
    told = (await call(game, "echo", "PUT", content=body, headers={"Content-Type": content})).json()
    assert (told["jsonBody"], told["stringBody"], told["parameters"]) == (parsed, text, parameters)


async def test_a_script_runs_for_nobody(game: Game) -> None:
    assert (await call(game, "who")).json() == {"server": True, "me": None}


# What the caller gets


async def test_text_and_a_status(game: Game) -> None:
    answer = await call(game, "say", "DELETE")
    assert (answer.status_code, answer.text) == (202, "hello ä")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_nothing_is_an_empty_answer(game: Game) -> None:
    answer = await call(game, "nothing")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_what_a_script_says_of_the_answer(game: Game) -> None:
    said = {
        "jsonResponse": {"a": 1},
        "stringResponse": "loses",
        "contentType": "application/scim+json",
        "responseHeaders": {
            "X-Mine": "1",
            "X-Number": 5,
            "Set-Cookie": "session=stolen",
            "Transfer-Encoding": "chunked",
            "Content-Length": "9999",
            "X-Split": "a\r\nX-More: b",
            "X Bad": "c",
            "Location": "https://example.com/",
        },
        "statusOverride": 302,
    }
    answer = await call(game, "all", "POST", json=said, follow_redirects=False)
    assert (answer.status_code, answer.json()) == (302, {"a": 1})
    assert answer.headers["content-type"] == "application/scim+json"
    assert (answer.headers["x-mine"], answer.headers["x-number"]) == ("1", "5")
    assert answer.headers["location"] == "https://example.com/"
    assert not {"set-cookie", "transfer-encoding", "x-split", "x-more"} & set(answer.headers)
    assert answer.headers["content-length"] == "7"


@pytest.mark.parametrize("status", [99, 600, "200", True, 200.5, None, {}])
async def test_a_status_that_is_none(game: Game, status: Any) -> None:
    assert (await call(game, "all", "POST", json={"statusOverride": status})).status_code == 200


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_an_answer_that_has_no_body(game: Game, status: int) -> None:
    said = {"statusOverride": status, "jsonResponse": {"a": 1}, "contentType": "text/csv"}
    answer = await call(game, "all", "POST", json=said)
    assert (answer.status_code, answer.content) == (status, b"")
    assert "content-type" not in answer.headers


async def test_the_headers_of_an_answer_are_limited(game: Game) -> None:
    many = {f"X-Number-{n}": n for n in range(65)}
    answer = await call(game, "all", "POST", json={"responseHeaders": many})
    assert [name for name in answer.headers if name.startswith("x-number-")] == [
        f"x-number-{n}" for n in range(64)
    ]
    long = {"X-Long": "a" * 4097, "x" * 129: "b", "X-Fits": "a" * 4096}
    answer = await call(game, "all", "POST", json={"responseHeaders": long})
    assert {name for name in answer.headers if name.startswith("x")} == {"x-content-type-options", "x-fits"}


@pytest.mark.parametrize("name", ["throws", "gone"])
async def test_a_script_that_fails_tells_the_caller_nothing(game: Game, name: str) -> None:
    answer = await call(game, name)
    assert answer.status_code == 500
    assert answer.json()["status"] == 500
    assert "secret" not in answer.text
    assert "nowhere" not in answer.text


async def test_pages_of_others_may_call(game: Game) -> None:
    asked = {"Origin": "https://example.com", "Access-Control-Request-Headers": "x-bc-secret"}
    answer = await call(game, "inHeader", "OPTIONS", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-bc-secret" in answer.headers["access-control-allow-headers"]
    assert (await call(game, "nothing")).headers["access-control-allow-origin"] == "*"


# Who may call


async def test_a_secret_in_the_address(game: Game) -> None:
    for wrong in ("inUrl", "inUrl/", "inUrl/sesame", "inUrl/sesame-openx/y"):
        assert (await call(game, wrong, headers={"x-bc-secret": "sesame-open"})).status_code == 403
    assert (await call(game, "inUrl/sesame-open")).json()["pathBalance"] == ""
    assert (await call(game, "inUrl/sesame-open/a/b")).json()["pathBalance"] == "a/b"


async def test_a_secret_in_a_header(game: Game) -> None:
    mark = game.unique("m")
    for headers in ({}, {"x-bc-secret": "wrong"}, {"x-bc-secret": ""}):
        assert (await call(game, f"inHeader/sesame-open?mark={mark}", headers=headers)).status_code == 403
    assert await actions.log_list(game.server_app, APP_ID, 10, text=mark) == []
    answer = await call(game, f"inHeader?mark={mark}", headers={"X-BC-Secret": "sesame-open"})
    assert answer.status_code == 200
    assert len(await actions.log_list(game.server_app, APP_ID, 10, text=mark)) == 1


async def test_whoever_guesses_secrets_is_heard_no_more_for_a_while(game: Game) -> None:
    """Counted like failed logins, by address; a caller elsewhere is not kept waiting."""
    elsewhere = httpx.ASGITransport(game._transport.app, client=("203.0.113.77", 1))
    right = {"x-bc-secret": "sesame-open"}
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://game.test") as guesser:
        address = f"/webhook/{APP_ID}/inHeader"
        guesses = [await guesser.get(address, headers={"x-bc-secret": f"no-{n}"}) for n in range(21)]
        assert [each.status_code for each in guesses] == [403] * 20 + [429]
        assert (await guesser.get(address, headers=right)).status_code == 429
        assert (await call(game, "inHeader", headers=right)).status_code == 200
        game.clock.advance(3600)
        assert (await guesser.get(address, headers=right)).status_code == 200


async def test_addresses_and_names_that_are_not_allowed(game: Game) -> None:
    assert (await call(game, "near")).status_code == 403
    assert (await call(game, "nobody")).status_code == 404
    assert (await game.http.get("/webhook/99999/echo")).status_code == 404
    assert (await game.http.get(f"/webhook/{APP_ID}")).status_code == 404


async def test_calls_in_a_minute_are_limited(game: Game) -> None:
    await game.core.sessions.forget_hits(f"webhook/{APP_ID}/few")
    assert [(await call(game, "few")).status_code for _ in range(4)] == [200, 200, 429, 429]


async def test_bodies_are_limited(game: Game) -> None:
    assert (await call(game, "echo", "POST", content=b"x" * ((1 << 20) + 1))).status_code == 413
    many = "&".join(f"p{n}=1" for n in range(1001))
    assert (await call(game, f"echo?{many[:6000]}")).status_code == 200
    form = {"Content-Type": FORM}
    assert (await call(game, "echo", "POST", content=many.encode(), headers=form)).status_code == 413


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('script = "x"\nsecret = "short"', "at least 8"),
        ('script = "x"\nsecret_in = "body"', "expected"),
        ('script = "x"\naddresses = ["10.0.0.1/8"]', "a network"),
        ('secret = "sesame-open"', "missing"),
    ],
)
def test_mistakes_in_the_settings(apps_folder: Path, lines: str, complaint: str) -> None:
    (apps_folder / "test" / "app.toml").write_text(f"{APP_TOML}[webhooks.incoming.w]\n{lines}\n")
    [problem] = load_apps(apps_folder, registry().sections()).problems
    assert complaint in problem.message
