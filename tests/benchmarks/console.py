"""What ten people who click through the console cost players.

`python -m tests.benchmarks.console` runs the server in this process, without HTTP: players send packets one after the
other, as many as go, while ten people of the studio open a page every few seconds. Prints packets for each second of CPU without
and with them, in turns, what they lose, and the CPU that each page takes. `--services` starts PostgreSQL and Redis.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from gameserver.admin import actions
from gameserver.app import GameServer, open_server
from gameserver.settings import Settings
from gameserver.storage.schema import migrate
from tests import servers
from tests.benchmarks.packets import QUOTAS

SECRET = "a-secret-for-benchmarks"
PLAYERS, AT_ONCE, PEOPLE = 800, 16, 10
CLICKS = 15
PASSWORD = "a long enough password"
PAGES = ("", "/players", "/activity", "/activity/refusals", "/activity/audit", "/jobs", "/live", "/webhooks")


async def ask(
    app: Any, method: str, path: str, body: bytes = b"", query: str = "", **headers: str
) -> tuple[int, list[str], bytes]:
    """Send a request, as the web server would hand it on; returns status, cookies and body."""
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "headers": [(name.replace("_", "-").encode(), text.encode()) for name, text in {"host": "console.test", **headers}.items()],
    }  # fmt: skip
    said: list[Any] = []
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    cookies = [text.decode().partition(";")[0] for name, text in said[0]["headers"] if name == b"set-cookie"]
    return said[0]["status"], cookies, b"".join(each.get("body", b"") for each in said[1:])


class Player:
    """Somebody who plays without a pause."""

    def __init__(self, server: GameServer, app_id: str) -> None:
        self.server, self.app_id, self.session, self.number, self.sent = server, app_id, "", 0, 0

    async def packet(self, service: str, operation: str, data: dict[str, Any]) -> Any:
        packet = {
            "packetId": self.number,
            "gameId": self.app_id,
            "sessionId": self.session,
            "messages": [{"service": service, "operation": operation, "data": data}],
        }
        self.number += 1
        _, _, answer = await ask(
            self.server, "POST", "/dispatcher", msgspec.json.encode(packet), content_type="application/json"
        )
        entry = msgspec.json.decode(answer)["responses"][0]
        assert entry["status"] == 200, entry
        return entry["data"]

    async def log_in(self) -> None:
        login = {"authenticationType": "Anonymous", "externalId": str(uuid.uuid4()), "forceCreate": True}
        self.session = (await self.packet("authenticationV2", "AUTHENTICATE", login))["sessionId"]

    async def play(self) -> None:
        await self.packet("playerState", "UPDATE_NAME", {"playerName": f"name {self.number}"})
        self.sent += 1


async def play(players: list[Player], until: float) -> None:
    """Have players send packets in turns: none of them more than a player may."""
    while time.perf_counter() < until:
        for player in players:
            await player.play()
            await asyncio.sleep(0)


async def hire(server: GameServer) -> str:
    """Somebody who may see everything; returns their cookie."""
    added = await actions.run(
        server, "staff_add", {"name": f"ada-{uuid.uuid4().hex[:6]}", "role": "admin", "app": "*"}
    )
    form = f"password={PASSWORD.replace(' ', '+')}&repeat={PASSWORD.replace(' ', '+')}".encode()
    kind = "application/x-www-form-urlencoded"
    _, cookies, _ = await ask(
        server.admin, "POST", f"/console/welcome/{added['invitation']}", form, content_type=kind
    )
    return next(each for each in cookies if each.startswith("console_session="))


async def click(server: GameServer, app_id: str, cookie: str, path: str) -> None:
    status, _, _ = await ask(server.admin, "GET", f"/console/apps/{app_id}{path}", cookie=cookie)
    assert status == 200, (path, status)


async def look(server: GameServer, app_id: str, cookie: str, place: int, pause: float) -> None:
    """Open one page after the other, with time to read it."""
    await asyncio.sleep(pause * place / PEOPLE)
    while True:
        await click(server, app_id, cookie, PAGES[place % len(PAGES)])
        place += 1
        await asyncio.sleep(pause)


async def run(settings: Settings, app_id: str, seconds: float, rounds: int, pause: float) -> None:
    async with open_server(settings, with_jobs=False) as server:
        players = [Player(server, app_id) for _ in range(PLAYERS)]
        for player in players:
            await player.log_in()
        cookie = await hire(server)
        costs: list[float] = []
        for path in PAGES:
            await click(server, app_id, cookie, path)
            began = time.process_time()
            for _ in range(CLICKS):
                await click(server, app_id, cookie, path)
            costs.append((time.process_time() - began) / CLICKS)
            print(f"{path or '/':24} {1000 * costs[-1]:7.1f} ms of CPU")
        share = statistics.mean(costs) * PEOPLE / pause
        print(
            f"{PEOPLE} people             {100 * share:7.2f} % of a processor, at a page every {pause:g} s each"
        )
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(2 * rounds):
            with_people = turn % 4 in (1, 2)  # a drift of the machine counts for both alike
            for player in players:
                player.sent = 0
            until, began = time.perf_counter() + seconds, time.process_time()
            people = [
                asyncio.create_task(look(server, app_id, cookie, place, pause))
                for place in range(PEOPLE if with_people else 0)
            ]
            await asyncio.gather(*(play(players[number::AT_ONCE], until) for number in range(AT_ONCE)))
            rates[with_people].append(sum(player.sent for player in players) / (time.process_time() - began))
            for each in people:
                each.cancel()
            await asyncio.wait(people) if people else None
    alone, beside = statistics.median(rates[False]), statistics.median(rates[True])
    print(
        f"packets a CPU second     {alone:7.0f} alone, {beside:.0f} beside {PEOPLE} people who click every {pause:g} s: {100 * (1 - beside / alone):+.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", action="store_true")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pause", type=float, default=5)
    given = parser.parse_args()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        app_id = uuid.uuid4().hex
        (Path(folder) / "apps" / "game").mkdir(parents=True)
        definition = f'id = "{app_id}"\nsecret = "{SECRET}"\ntitle = "Game"\nsignature = "optional"\n{QUOTAS}'
        (Path(folder) / "apps" / "game" / "app.toml").write_text(definition)
        places: dict[str, Any] = {}
        if given.services:
            places = {
                "database": stack.enter_context(servers.postgresql()),
                "redis": stack.enter_context(servers.redis()),
            }
        settings = Settings(apps=Path(folder) / "apps", data=Path(folder) / "data", **places)
        if settings.database:
            migrate(settings.database)
        asyncio.run(run(settings, app_id, given.seconds, given.rounds, given.pause))


if __name__ == "__main__":
    main()
