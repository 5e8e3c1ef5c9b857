"""An app with Backendless users, and a client of it with one API key."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import bindparam, select

from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.players import links, users
from tests.conftest import APP_TOML, Game

APPLICATION = "B5D2-APP"
JS, REST, SERVER = "js-key", "rest-key", "server-key-0123456789"
BASE = f"/{APPLICATION}/{JS}"
PASSWORD = "qwerty"
USER_TOKEN = "user-token"

KEPT = select(users.user_properties).where(users.user_properties.c.profile_id == bindparam("profile"))

VERSIONS = f"""
[backendless.versions.release]
application_id = "{APPLICATION}"
keys = {{ js = "{JS}", rest = "{REST}" }}
server_key = "{SERVER}"
domains = ["api.game.test"]

[backendless.versions.old]
application_id = "OLD-APP"
keys = {{ js = "old-key" }}
enabled = false

[backendless.versions.closed]
application_id = "CLOSED-APP"
keys = {{ js = "closed-key" }}
logins = false

[backendless.properties.city]
max_length = 10
public = true

[backendless.properties.level]
type = "integer"
"""
LOGIN = "\n[backendless.login]\n"


def app_toml(
    backendless: str = 'roles = ["Moderator", "Guard"]', login: str = LOGIN, others: str = ""
) -> str:
    return f"{APP_TOML}{others}\n[backendless]\n{backendless}\n{login}{VERSIONS}"


class Device:
    """A client with one API key, and the user-token it was given."""

    def __init__(self, game: Game, base: str = BASE) -> None:
        self.game = game
        self.base = base
        self.token = ""
        self.id = ""

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        if self.token:
            headers.setdefault(USER_TOKEN, self.token)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.game.http.request(method, self.base + path, content=content, headers=headers)

    async def get(self, path: str) -> Any:
        return self.good(await self.send("GET", path))

    async def post(self, path: str, body: Any = None) -> Any:
        return self.good(await self.send("POST", path, body))

    async def put(self, path: str, body: Any = None) -> Any:
        return self.good(await self.send("PUT", path, body))

    def good(self, response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json() if response.content else None

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, int]:
        """The code and the HTTP status of a refusal, whose form is the one clients read."""
        response = await self.send(method, path, body)
        refusal = response.json()
        assert set(refusal) == {"code", "message", "errorData"}, refusal
        assert refusal["errorData"] == {}
        assert refusal["message"]
        assert response.status_code not in (200, 502)
        assert response.headers["access-control-allow-origin"] == "*"
        return refusal["code"], response.status_code

    async def register(self, **properties: Any) -> Any:
        user = {"email": f"{self.game.unique('u')}@example.com", "password": PASSWORD, **properties}
        return await self.post("/users/register", user)

    async def log_in(self, login: str, password: str = PASSWORD) -> Any:
        user = await self.post("/users/login", {"login": login, "password": password})
        self.token, self.id = user[USER_TOKEN], user["objectId"]
        return user

    async def user(self, **properties: Any) -> Any:
        """Register and log in."""
        return await self.log_in((await self.register(**properties))["email"])

    async def fails(self, login: Any, password: Any = PASSWORD) -> tuple[int, int]:
        return await self.refused("POST", "/users/login", {"login": login, "password": password})

    async def is_valid(self, token: str = "") -> Any:
        return await self.get(f"/users/isvalidusertoken/{token or self.token}")


def reload(game: Game, definition: Path, text: str) -> None:
    definition.write_text(text)
    result = game.apps.replace(load_apps(definition.parents[1], registry().sections()))
    assert not result.problems, result.problems


async def mails(game: Game) -> list[str]:
    """The mail sent so far; it leaves after the answer that says so."""
    while links._posting:
        await asyncio.gather(*links._posting)
    outbox = game.server_app.settings.data / "outbox"
    return [path.read_text() for path in outbox.glob("*.eml")] if outbox.exists() else []


async def link_in_mail(game: Game, path: str) -> str:
    """The path of the link in the one mail that was sent."""
    [text] = await mails(game)
    found = re.search(rf"{path}[\w-]+", text.replace("=\n", ""))
    assert found is not None, text
    return found[0]
