"""Calls to web services that the app declares: what is sent, what comes back, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gameserver.admin import actions
from gameserver.apps import load_apps
from gameserver.services import http_client
from gameserver.services.http_client.base import HttpClientSettings
from gameserver.services.http_client.calling import text_of
from gameserver.wire.outgoing import Answer
from tests.conftest import APP_ID, APP_TOML, Game
from tests.websites import Page, Seen, Website, website

HTTP = "httpClient"
JSON_OPERATIONS = {
    "GET_RESPONSE_JSON": "GET",
    "POST_JSON_RESPONSE_JSON": "POST",
    "POST_FORM_RESPONSE_JSON": "POST",
    "POST_MULTIPART_RESPONSE_JSON": "POST",
    "POST_TEXT_RESPONSE_JSON": "POST",
    "PUT_JSON_RESPONSE_JSON": "PUT",
    "PATCH_JSON_RESPONSE_JSON": "PATCH",
    "DELETE_JSON_RESPONSE_JSON": "DELETE",
}
TEXT_OPERATIONS = {
    "GET_RESPONSE_TEXT": "GET",
    "POST_JSON_RESPONSE_TEXT": "POST",
    "POSRESPONSE_TEXT": "POST",
    "POSTEXT": "POST",
    "POST_FORM_RESPONSE_TEXT": "POST",
    "POST_TEXT_RESPONSE_TEXT": "POST",
    "PUT_TEXT_RESPONSE_TEXT": "PUT",
    "PATCH_TEXT_RESPONSE_TEXT": "PATCH",
    "DELETE": "DELETE",
}
CALLS = (*JSON_OPERATIONS, *TEXT_OPERATIONS, "HEAD")
KEY = "a-secret-of-a-server-0123456789"


def page(_: Seen) -> Page:
    return Page(body=b'{"said": 1}', headers={"Content-Type": "application/json"})


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    """The web service that the app calls partner."""
    async with website(page) as made:
        yield made


@pytest.fixture
def apps_folder(apps_folder: Path, site: Website, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTNER_KEY", "Bearer s3cret")
    (apps_folder / "test" / "app.toml").write_text(f"""{APP_TOML}
[servers.room]
secret = "{KEY}"
[httpClient.services.partner]
url = "http://127.0.0.1:{site.port}/v1/"
networks = ["127.0.0.1"]
answer_bytes = 1000
headers = {{ X-Game = "mine" }}
secret_headers = {{ Authorization = {{ value_env = "PARTNER_KEY" }} }}
[httpClient.services.bare]
url = "http://127.0.0.1:{site.port}"
networks = ["127.0.0.1"]
default_accept = false
[httpClient.services.hasty]
url = "http://127.0.0.1:{site.port}"
networks = ["127.0.0.1"]
timeout_seconds = 0.5
secret_headers = {{ Authorization = {{ value_env = "PARTNER_KEY" }} }}
[httpClient.services.inside]
url = "http://127.0.0.1:{site.port}"
""")
    return apps_folder


async def call(game: Game, operation: str, code: str = "partner", **data: Any) -> Any:
    return await game.server.call(HTTP, operation, serviceCode=code, **{"path": "a", **data})


# What comes back


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
async def test_an_answer_of_json(game: Game, site: Website, operation: str) -> None:
    assert await call(game, operation) == {"statusCode": 200, "json": {"said": 1}}
    assert site.seen[0].method == JSON_OPERATIONS[operation]
    assert site.seen[0].headers["accept"].startswith("application/json")


@pytest.mark.parametrize("operation", TEXT_OPERATIONS)
async def test_an_answer_of_text(game: Game, site: Website, operation: str) -> None:
    shown = {"json": {"said": 1}} if operation == "POST_FORM_RESPONSE_TEXT" else {}
    assert await call(game, operation) == {"statusCode": 200, "text": '{"said": 1}', **shown}
    assert site.seen[0].method == TEXT_OPERATIONS[operation]


async def test_an_answer_without_a_body(game: Game, site: Website) -> None:
    assert await call(game, "HEAD") == {"statusCode": 200}
    assert site.seen[0].method == "HEAD"
    site.serve = lambda _: Page(204)
    assert await call(game, "GET_RESPONSE_JSON") == {"statusCode": 204, "json": None}
    assert await call(game, "GET_RESPONSE_TEXT") == {"statusCode": 204, "text": ""}


@pytest.mark.parametrize("status", [201, 400, 404, 500, 503])
async def test_whatever_the_service_says_is_an_answer(game: Game, site: Website, status: int) -> None:
    site.serve = lambda _: Page(status, b'["x"]')
    assert await call(game, "POST_JSON_RESPONSE_JSON") == {"statusCode": status, "json": ["x"]}
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>", b'{"a":', b"\xff\xfe", b'"\\ud800"', b'"\\u0000"', b"[" * 40 + b"]" * 40, b"1e999", b"NaN"],
)
async def test_what_is_no_json_that_clients_could_read_is_null(
    game: Game, site: Website, body: bytes
) -> None:
    site.serve = lambda _: Page(body=body)
    assert await call(game, "GET_RESPONSE_JSON") == {"statusCode": 200, "json": None}
    assert (await call(game, "GET_RESPONSE_TEXT"))["statusCode"] == 200


async def test_json_arrives_as_it_was_said(game: Game, site: Website) -> None:
    said = {"$a.b": [1, 2.5, None, True, 9007199254740993], "ä": "\U0001f600\\"}
    site.serve = lambda _: Page(body=b"\xef\xbb\xbf " + json.dumps(said, indent=2).encode())
    assert (await call(game, "GET_RESPONSE_JSON"))["json"] == said


def test_what_names_of_hosts_are_written_in_is_no_charset() -> None:
    """To read a long text so takes minutes, in which the server does nothing else."""
    answer = Answer(200, [(b"content-type", b"text/plain; charset=PunyCode")], b"a-b")
    assert text_of(answer) == "a-b"


async def test_text_is_read_in_its_charset(game: Game, site: Website) -> None:
    for charset, text in (("iso-8859-1", "ä"), ("utf-16", "ä"), ("nonsense", "\N{REPLACEMENT CHARACTER}")):
        encoding = charset if charset != "nonsense" else "latin-1"
        content = {"Content-Type": f'text/plain; charset="{charset}"'}
        site.serve = lambda _, e=encoding, c=content: Page(body="ä".encode(e), headers=c)  # type: ignore[misc]
        assert (await call(game, "GET_RESPONSE_TEXT"))["text"] == text


async def test_servers_find_the_answer_under_its_older_name_too(game: Game) -> None:
    simple = {"appId": APP_ID, "serverName": "room", "serverSecret": KEY, "service": HTTP}
    data = {"serviceCode": "partner", "path": "x"}
    for operation, name in (("GET_RESPONSE_JSON", "json"), ("POST_TEXT_RESPONSE_TEXT", "text")):
        asked = {**simple, "operation": operation, "data": data}
        told = (await game.http.post("/s2sdispatcher", json=asked)).json()["data"]
        assert told["response"] == told[name]


# What is sent


async def test_addresses_are_joined_with_one_slash(game: Game, site: Website) -> None:
    for code, path, target in (
        ("partner", "x/y", "/v1/x/y"),
        ("partner", "/x", "/v1/x"),
        ("partner", "", "/v1"),
        ("partner", None, "/v1"),
        ("partner", "?a=b", "/v1?a=b"),
        ("bare", "x", "/x"),
        ("bare", "", "/"),
        ("bare", "//x", "/x"),
        ("bare", "x?a=%20b", "/x?a=%20b"),
        ("bare", "x#part", "/x"),
        ("bare", "ä b", "/%C3%A4%20b"),
        ("bare", "@elsewhere.example/", "/@elsewhere.example/"),
    ):
        await call(game, "GET_RESPONSE_TEXT", code, path=path)
        assert site.seen[-1].target == target


async def test_values_of_a_query_are_encoded(game: Game, site: Website) -> None:
    query = {"text": "a b&c=d/ä", "number": 5, "yes": True, "none": None, "deep": {"a": 1}}
    await call(game, "GET_RESPONSE_TEXT", "bare", path="x?first=1", query=query)
    target, _, text = site.seen[-1].target.partition("?")
    assert (target, dict(parse_qsl(text))) == (
        "/x",
        {"first": "1", "text": "a b&c=d/ä", "number": "5", "yes": "true", "deep": '{"a":1}'},
    )
    nothings: tuple[Any, ...] = (None, "", {})
    for nothing in nothings:
        await call(game, "GET_RESPONSE_TEXT", "bare", path="x", query=nothing, headers=nothing)
        assert site.seen[-1].target == "/x"


async def test_headers_of_the_call_go_before_declared_ones(game: Game, site: Website) -> None:
    await call(game, "POST_TEXT_RESPONSE_TEXT", text="t")
    sent = site.seen[-1].headers
    assert (sent["x-game"], sent["authorization"]) == ("mine", "Bearer s3cret")
    assert sent["content-type"] == "text/plain; charset=utf-8"
    own = {
        "x-game": 7,
        "AUTHORIZATION": "Basic own",
        "content-TYPE": "text/csv",
        "Host": "other.example",
        "Accept": "x/y",
        "Content-Length": "9999",
        "Transfer-Encoding": "chunked",
        "X-None": None,
    }
    await call(game, "POST_TEXT_RESPONSE_TEXT", text="t", headers=own)
    sent = site.seen[-1].headers
    assert sent == {
        "host": "other.example",
        "x-game": "7",
        "authorization": "Basic own",
        "content-type": "text/csv",
        "accept": "x/y",
        "accept-encoding": "identity",
        "user-agent": "gameserver",
        "content-length": "1",
    }
    await call(game, "GET_RESPONSE_JSON", "bare")
    assert "accept" not in site.seen[-1].headers


@pytest.mark.parametrize(
    ("operation", "data", "body", "content"),
    [
        ("POST_JSON_RESPONSE_JSON", {"json": {"a": ["ä", 1]}}, '{"a":["ä",1]}', "application/json"),
        ("PUT_JSON_RESPONSE_JSON", {"json": "text"}, '"text"', "application/json"),
        ("DELETE_JSON_RESPONSE_JSON", {"json": None}, "", None),
        ("PATCH_TEXT_RESPONSE_TEXT", {"text": "a\nb"}, "a\nb", "text/plain; charset=utf-8"),
        (
            "POST_FORM_RESPONSE_JSON",
            {"form": {"a": "x y&z", "n": 5, "l": ["1", 2], "none": None}},
            "a=x+y%26z&n=5&l=1&l=2",
            "application/x-www-form-urlencoded",
        ),
        ("POST_FORM_RESPONSE_TEXT", {"formData": {"a": "1"}}, "a=1", "application/x-www-form-urlencoded"),
    ],
)
async def test_bodies(
    game: Game, site: Website, operation: str, data: dict[str, Any], body: str, content: str | None
) -> None:
    await call(game, operation, **data)
    seen = site.seen[-1]
    assert (seen.body.decode(), seen.headers.get("content-type")) == (body, content)


async def test_a_multipart_form(game: Game, site: Website) -> None:
    parts = [{"key": 'a"\r\nb', "value": "x", "valueType": "string"}, {"key": "n", "value": 5}]
    await call(game, "POST_MULTIPART_RESPONSE_JSON", formData=parts)
    seen = site.seen[-1]
    kind, _, boundary = seen.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert seen.body.decode() == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="a%22%0D%0Ab"\r\n\r\nx\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="n"\r\n\r\n5\r\n--{boundary}--\r\n'
    )
    await call(game, "POST_MULTIPART_RESPONSE_JSON", form={"only": "one"})
    assert b'name="only"\r\n\r\none\r\n' in site.seen[-1].body
    file = [{"key": "f", "valueType": "userFile", "cloudPath": "", "cloudFilename": "x"}]
    refusal = await game.server.refused(
        HTTP, "POST_MULTIPART_RESPONSE_JSON", serviceCode="partner", formData=file
    )
    assert (refusal.status, refusal.reason_code) == (400, 40660)


# Redirects


async def test_a_redirect_is_followed_on_the_declared_host_alone(game: Game, site: Website) -> None:
    async with website(page) as other:
        places = {
            "/v1/here": "/else?x=1",
            "/v1/away": f"http://127.0.0.1:{other.port}/v1/a",
            "/v1/meta": "http://169.254.169.254/latest",
            "/v1/tls": f"https://127.0.0.1:{site.port}/",
            "/v1/round": "/v1/round",
            "/v1/none": "",
        }

        def serve(seen: Seen) -> Page:
            place = places.get(seen.target)
            return page(seen) if place is None else Page(302, b'"moved"', {"Location": place})

        site.serve = serve
        assert (await call(game, "GET_RESPONSE_JSON", path="here"))["json"] == {"said": 1}
        assert site.seen[-1].target == "/else?x=1"
        for path in ("away", "meta", "tls", "round", "none"):
            answer = await call(game, "GET_RESPONSE_JSON", path=path)
            assert answer == {"statusCode": 302, "json": "moved"}
        assert (await call(game, "POST_JSON_RESPONSE_JSON", path="here"))["statusCode"] == 302
        assert other.seen == []


# Refusals


@pytest.mark.parametrize("operation", [*CALLS, "POST_JSON_OFFBOARD"])
async def test_services_that_are_not_declared_are_not_called(game: Game, operation: str) -> None:
    refusal = await game.server.refused(HTTP, operation, serviceCode="nobody", path="x")
    assert (refusal.status, refusal.reason_code) == (400, 40443)


@pytest.mark.parametrize("operation", CALLS)
async def test_addresses_that_are_not_public_are_refused_unless_listed(
    game: Game, site: Website, operation: str
) -> None:
    refusal = await game.server.refused(HTTP, operation, serviceCode="inside", path="x")
    assert (refusal.status, refusal.reason_code) == (500, 40370)
    assert site.connections == 0


async def test_parse_is_gone(game: Game) -> None:
    refusal = await game.server.refused(HTTP, "PARSE_REQUEST", path="x", query={}, sessionToken="y")
    assert (refusal.status, refusal.reason_code) == (400, 40443)


@pytest.mark.parametrize("operation", [*CALLS, "POST_JSON_OFFBOARD", "PARSE_REQUEST"])
async def test_clients_do_not_call(game: Game, site: Website, operation: str) -> None:
    player = await game.player()
    refusal = await player.refused(HTTP, operation, serviceCode="partner", path="x")
    assert (refusal.status, refusal.reason_code) == (403, 40346)
    assert site.seen == []


@pytest.mark.parametrize(
    "data",
    [
        {"path": "../admin"},
        {"path": "x/%2e%2E/y"},
        {"path": "x/%252e%252e/y"},
        {"path": "x\\..\\y"},
        {"path": "a\r\nX: y"},
        {"path": "x" * 8001},
        {"query": "a=b"},
        {"headers": "X: y"},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X\n": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"X Y": "a"}},
        {"headers": {f"X{n}": "a" for n in range(65)}},
    ],
)
async def test_what_would_break_out_of_its_place(game: Game, site: Website, data: dict[str, Any]) -> None:
    for operation in ("GET_RESPONSE_TEXT", "POST_JSON_OFFBOARD"):
        sent = {"serviceCode": "partner", "path": "x", **data}
        refusal = await game.server.refused(HTTP, operation, **sent)
        assert (refusal.status, refusal.reason_code) == (400, 40660)
    assert site.seen == []


async def test_an_answer_that_is_too_large_or_too_late(game: Game, site: Website) -> None:
    site.serve = lambda _: Page(body=b"x" * 1001)
    refusal = await game.server.refused(HTTP, "GET_RESPONSE_TEXT", serviceCode="partner", path="x")
    assert (refusal.status, refusal.reason_code) == (500, 40370)
    site.serve = lambda _: None
    refusal = await game.server.refused(HTTP, "GET_RESPONSE_TEXT", serviceCode="hasty", path="x")
    assert refusal.reason_code == 40370
    assert "s3cret" not in refusal.message


# How it fits into packets


async def test_no_transaction_waits_for_a_service(game: Game, site: Website) -> None:
    """While a packet that also writes waits for a silent service, others write."""
    player = await game.player()
    site.serve = lambda _: None
    line = ("log", "LOG_INFO", {"errorMessage": game.unique("m")})
    ask = (HTTP, "GET_RESPONSE_JSON", {"serviceCode": "partner", "path": "x"})
    waiting = asyncio.create_task(server_packet(game, line, ask))
    await site.reached.wait()
    await player.call("entity", "CREATE", entityType="t", data={}, acl={"other": 0})
    assert not waiting.done()
    site.closing.set()  # it hangs up
    first, second = await waiting
    assert (first["status"], second["reason_code"]) == (200, 40370)


async def server_packet(game: Game, *messages: tuple[str, str, Any]) -> list[dict[str, Any]]:
    login = {"appId": APP_ID, "serverName": "room", "serverSecret": KEY}
    first = {"service": "authenticationV2", "operation": "AUTHENTICATE", "data": login}
    opened = await game.http.post("/s2sdispatcher", json={"packetId": 0, "messages": [first]})
    packet = {
        "packetId": 1,
        "sessionId": opened.json()["messageResponses"][0]["data"]["sessionId"],
        "messages": [{"service": s, "operation": o, "data": d} for s, o, d in messages],
    }
    answer = await game.http.post("/s2sdispatcher", json=packet)
    assert (await game.http.post("/s2sdispatcher", json=packet)).content == answer.content
    entries: list[dict[str, Any]] = answer.json()["messageResponses"]
    return entries


async def test_a_packet_that_is_sent_again_calls_no_service_again(game: Game, site: Website) -> None:
    asked = (HTTP, "POST_JSON_RESPONSE_JSON", {"serviceCode": "partner", "path": "x", "json": {}})
    entries = await server_packet(game, asked, asked)
    assert [entry["data"]["statusCode"] for entry in entries] == [200, 200]
    assert len(site.seen) == 2


# In the background


async def run_offboard(game: Game) -> None:
    game.clock.advance(1)
    await game.server_app.jobs.tick()
    await game.server_app.jobs.settled()


async def test_a_post_that_nobody_waits_for(game: Game, site: Website) -> None:
    data: dict[str, Any] = {"path": "x", "headers": {"X-One": "1"}, "json": {"a": 1}}
    assert await game.server.call(HTTP, "POST_JSON_OFFBOARD", serviceCode="partner", **data) is None
    assert site.seen == []
    await run_offboard(game)
    [seen] = site.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/x", b'{"a":1}')
    assert (seen.headers["x-one"], seen.headers["authorization"]) == ("1", "Bearer s3cret")
    await run_offboard(game)
    assert len(site.seen) == 1


async def test_a_service_that_is_silent_keeps_no_other_waiting(game: Game, site: Website) -> None:
    site.serve = lambda seen: None if seen.target.startswith("/v1") else page(seen)
    for number in range(20):
        await game.server.call(HTTP, "POST_JSON_OFFBOARD", serviceCode="partner", path=f"p{number}", json=1)
    game.clock.advance(1)
    await game.server.call(HTTP, "POST_JSON_OFFBOARD", serviceCode="bare", path="x", json=1)
    async with asyncio.timeout(10):
        while "/x" not in [seen.target for seen in site.seen]:
            await game.server_app.jobs.tick()
            await asyncio.sleep(0)
    assert len([seen for seen in site.seen if seen.target != "/x"]) <= 4
    site.closing.set()  # it hangs up on whoever waits, and on whoever comes
    while await waiting(game):
        await run_offboard(game)


async def waiting(game: Game) -> int:
    [row] = [row for row in await game.server_app.jobs.list() if row["name"] == "httpClient.offboard"]
    return int(row["waiting"])


async def test_a_post_that_goes_wrong_is_told_in_the_log(game: Game, site: Website) -> None:
    path = game.unique("path")
    site.serve = lambda _: Page(500)
    await game.server.call(HTTP, "POST_JSON_OFFBOARD", serviceCode="partner", path=path, json=1)
    await game.server.call(HTTP, "POST_JSON_OFFBOARD", serviceCode="inside", path=path, json=1)
    await run_offboard(game)
    found = await actions.log_list(game.server_app, APP_ID, 100, text="POST_JSON_OFFBOARD")
    mine = sorted(line["message"] for line in found if line["context"] == {"path": path})
    assert len(mine) == 2
    assert "'inside': the web service" in mine[0]
    assert mine[1] == "POST_JSON_OFFBOARD to 'partner': it answered 500"
    assert len(site.seen) == 1


def test_operations_are_those_that_are_documented() -> None:
    named = set(http_client.service.operations)
    assert named == {*CALLS, "POST_JSON_OFFBOARD", "PARSE_REQUEST"}


# Settings


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('url = "http://x.example/?a=b"', "without ?, # and credentials"),
        ('url = "http://user:pass@x.example/"', "without ?, # and credentials"),
        ('url = "ftp://x.example"', "a web address"),
        ('url = "http://x.example"\nnetworks = ["10.0.0.1/8"]', "expected an address or a network"),
        ('url = "http://x.example"\nheaders = { "X Y" = "z" }', "the name of a header"),
        ('url = "http://x.example"\nheaders = { X = "a\\nb" }', "the value of a header"),
        ('url = "http://x.example"\nsecret_headers = { X = {} }', "missing; give it, or value_env"),
        ('url = "http://x.example"\nauthorities_file = "app.toml"', "no certificates"),
    ],
)
def test_mistakes_in_the_settings(tmp_path: Path, lines: str, complaint: str) -> None:
    home = tmp_path / "apps" / "a"
    home.mkdir(parents=True)
    (home / "app.toml").write_text(f"{APP_TOML}[httpClient.services.p]\n{lines}\n")
    [problem] = load_apps(tmp_path / "apps", {HTTP: HttpClientSettings}).problems
    assert complaint in problem.message
