"""Logins that others vouch for: web services and signed tokens."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt

from tests.conftest import APP_ID, Game
from tests.services.logins import Define, define, outcome, own_address, refused_login

__all__ = ["define", "own_address"]  # fixtures


# External logins


@asynccontextmanager
async def vouching_service(answer: Callable[[dict[str, str], bytes], Awaitable[bytes]]) -> AsyncIterator[str]:
    """A small web service; `answer` makes the whole response from headers and body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        writer.write(await answer(headers, body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/vouch"


def response(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HOOK_SECRET = "a-secret-of-the-web-service"
WRONG, AWAY, UNCLEAR = (403, 40307), (503, 49110), (503, 40217)


async def test_external_login_by_a_web_service(game: Game, define: Define) -> None:
    questions: list[dict[str, Any]] = []

    async def answer(headers: dict[str, str], body: bytes) -> bytes:
        if not body:  # a redirect was followed
            return response("200 OK", b'{"valid":true}')
        signature = "sha256=" + hmac.digest(HOOK_SECRET.encode(), body, "sha256").hex()
        assert headers["x-signature"] == signature
        questions.append(json.loads(body))
        match questions[-1]["token"]:
            case "right":
                return response("200 OK", b'{"valid":true}')
            case "wrong":
                return response("200 OK", b'{"valid":false}')
            case "forbidden":
                return response("403 Forbidden", b"")
            case "elsewhere":
                return response("302 Found", b"", "Location: /else")
            case "large":
                return response("200 OK", b'{"valid":true,"x":"' + b"x" * 100_000 + b'"}')
            case "text":
                return response("200 OK", b"yes")
            case _:
                return response("500 Oops", b"")

    async with vouching_service(answer) as url:
        define(f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n')
        id_ = game.unique("ada")
        first = await game.client().log_in("External", id_, "right", externalAuthName="studio")
        again = await game.client().log_in(
            "External", id_, "right", externalAuthName="studio", forceCreate=False
        )
        assert again["profileId"] == first["profileId"]
        assert questions[0] == {
            "appId": APP_ID,
            "externalAuthName": "studio",
            "externalId": id_,
            "token": "right",
            "timestamp": game.clock.ms(),
        }
        for token, expected in (
            ("wrong", WRONG),
            ("forbidden", WRONG),
            ("elsewhere", UNCLEAR),
            ("large", UNCLEAR),
            ("text", UNCLEAR),
            ("broken", AWAY),
        ):
            refusal = await refused_login(game.client(), "External", id_, token, externalAuthName="studio")
            assert outcome(refusal) == expected, token
        new = game.unique("bob")
        refusal = await refused_login(
            game.client(), "External", new, "right", externalAuthName="studio", forceCreate=False
        )
        assert outcome(refusal) == (202, 40208)
    await game.core.accounts.close()
    refusal = await refused_login(game.client(), "External", id_, "right", externalAuthName="studio")
    assert outcome(refusal) == AWAY


async def test_what_a_web_service_says_of_a_player_is_kept_for_servers(game: Game, define: Define) -> None:
    async def answer(_: dict[str, str], body: bytes) -> bytes:
        return response("200 OK", json.loads(body)["token"].encode())

    async def log_in(verdict: str) -> Any:
        return await game.client().log_in("External", id_, verdict, externalAuthName="studio")

    async def kept(profile_id: str) -> Any:
        found = await game.server.call(
            "identity", "GET_IDENTITY_DATA", profile_id, authenticationType="External"
        )
        return found["identityData"]

    async with vouching_service(answer) as url:
        define(f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n')
        id_ = game.unique("ada")
        player = (await log_in('{"valid":true,"identityData":{"clan":"red","n":12345678901234567890}}'))[
            "profileId"
        ]
        assert await kept(player) == {"clan": "red", "n": 12345678901234567890}
        for verdict, after in (
            ('{"valid":true}', {"clan": "red", "n": 12345678901234567890}),
            ('{"valid":true,"identityData":{"clan":"blue"}}', {"clan": "blue"}),
            ('{"valid":true,"identityData":{}}', None),
            ('{"valid":true,"identityData":{"a":[{}]}}', {"a": [{}]}),
            ('{"valid":true,"identityData":null}', None),
        ):
            await log_in(verdict)
            assert await kept(player) == after, verdict
        for verdict in ('{"valid":true,"identityData":"red"}', '{"valid":true,"identityData":[1]}'):
            refusal = await refused_login(game.client(), "External", id_, verdict, externalAuthName="studio")
            assert outcome(refusal) == UNCLEAR


async def test_external_login_of_a_slow_web_service(game: Game, define: Define) -> None:
    waiting = asyncio.Event()

    async def answer(_: dict[str, str], body: bytes) -> bytes:
        if b"bob" not in body:
            await waiting.wait()
        return response("200 OK", b'{"valid":true}')

    async with vouching_service(answer) as url:
        define(
            f'[external.studio]\nkind = "webhook"\nurl = "{url}"\nsecret = "{HOOK_SECRET}"\n'
            "timeout_seconds = 0.5\n"
        )
        # The first one makes the HTTP client, which on a busy machine may take as long as an answer may.
        await game.client().log_in("External", game.unique("bob"), "right", externalAuthName="studio")
        refusal = await refused_login(game.client(), "External", "ada", "right", externalAuthName="studio")
        assert outcome(refusal) == AWAY
        waiting.set()
    await game.core.accounts.close()


async def test_external_names_that_the_app_does_not_declare(game: Game) -> None:
    for name in ("nobody", "", None):
        refusal = await refused_login(game.client(), "External", "id", "token", externalAuthName=name)
        assert outcome(refusal) == (400, 40684)


async def test_external_login_by_a_signed_token(game: Game, define: Define) -> None:
    key, now = "0123456789abcdef0123456789abcdef", game.clock.ms() // 1000
    define(
        '[external.sso]\nkind = "token"\nissuer = "https://id.example.com"\naudience = "game"\n'
        f'algorithm = "HS256"\nkey = "{key}"\nleeway_seconds = 30\n'
    )
    right = {"iss": "https://id.example.com", "aud": "game", "sub": "ada", "exp": now + 60}

    def signed(algorithm: str = "HS256", signing_key: str = key, **claims: Any) -> str:
        return jwt.encode(
            {name: value for name, value in (right | claims).items() if value is not None},
            signing_key,
            algorithm=algorithm,
        )

    async def log_in(token: str) -> Any:
        return await game.client().log_in("External", "ada", token, externalAuthName="sso")

    first = await log_in(signed())
    assert (await log_in(signed(nbf=now)))["profileId"] == first["profileId"]
    assert (await log_in(signed(exp=now - 20)))["newUser"] == "false"  # within the leeway
    wrong = [
        signed(sub="bob"),
        signed(iss="https://evil.example.com"),
        signed(aud="other"),
        signed(exp=now - 31),
        signed(exp=None),
        signed(nbf=now + 31),
        signed(signing_key="f" * 32),
        signed("HS512", signing_key=key * 2),
        jwt.encode(right, "", algorithm="none"),
        signed()[:-2],
        "no token",
        "",
    ]
    for token in wrong:
        game.clock.advance(0)
        transport: Any = game.http._transport
        await game.core.accounts.attempt(game.app, "External", "sso/ada", transport.client[0]).unlock()
        refusal = await refused_login(game.client(), "External", "ada", token, externalAuthName="sso")
        assert outcome(refusal) == (403, 40307), token


async def test_external_logins_lock_too(game: Game, define: Define) -> None:
    define(
        '[external.sso]\nkind = "token"\nissuer = "i"\naudience = "a"\nalgorithm = "HS256"\n'
        'key = "0123456789abcdef0123456789abcdef"\n'
    )
    id_ = game.unique("ada")
    reasons = [
        (await refused_login(game.client(), "External", id_, "x", externalAuthName="sso")).reason_code
        for _ in range(6)
    ]
    assert reasons == [40307] * 5 + [40788]
