"""What each page of the console takes, with a million players in an app and all that they have.

`python -m tests.benchmarks.console_players` runs the server in this process, on SQLite, fills an app, and opens every
page as somebody of the studio: a number is the time of the server for one page, in ms. `--players` says how many,
`--services` has PostgreSQL and Redis started, `--database` names another database that is empty. A million players take
some minutes to make. It ends with an error when a page takes longer than 300 ms, or is larger than 150 KB.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from gameserver.admin import actions, retention
from gameserver.app import GameServer, open_server
from gameserver.console import PAGES
from gameserver.domain.economy.wallet import entries, wallets
from gameserver.domain.segments import SegmentSettings
from gameserver.domain.segments.storage import memberships
from gameserver.players.identities import identities
from gameserver.players.profiles import DAY_MS, players
from gameserver.settings import Settings
from gameserver.storage import insert_row
from gameserver.storage.schema import migrate
from tests import servers
from tests.benchmarks.console_things import BOARD, CHANNEL_KIND, Things, uid_of

APP_ID, PASSWORD = "10001", "a long enough password"
SCRIPT = "function main() { return {}; }\nmain();\n"
ENDPOINT = """
[web.endpoints.hello]
path = "/v1/hello"
method = "GET"
[web.actions.hello]
trigger = "hello"
events = [{ do = "call", operation = "time.READ" }]
[group.types.clan]
"""
APP = f'id = "{APP_ID}"\nsecret = "a-secret-for-benchmarks-0123456789"\n[virtualCurrency.currencies.coins]\n'
SEGMENT = "[segment.segments.some]\nid = 1\n"
CHUNK, VISITS, TARGET_MS, TARGET_BYTES = 10_000, 21, 300, 150_000
SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sha", "ti", "vo", "wen", "xa", "yo", "zu", "Ba", "De", "Fi", "Ga")
ENTRIES = 2000  # in the ledger of the player that is looked at
ADD_PLAYER, ADD_IDENTITY, ADD_MEMBER = insert_row(players), insert_row(identities), insert_row(memberships)


def name_of(number: int) -> str:
    parts = [SYLLABLES[number >> shift & 15] for shift in (0, 4, 8, 12, 16)]
    return "".join(parts).capitalize()


def profile_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def rows(first: int, last: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number in range(first, last):
        profile, at_ms = profile_of(number), 1_700_000_000_000 + number * 500
        player: dict[str, Any] = dict.fromkeys(players.c.keys())
        player |= {"profile_id": profile, "app_id": APP_ID, "name": name_of(number), "time_zone_offset": 0.0}
        player |= {"created_ms": at_ms, "last_login_ms": at_ms, "login_count": 1, "ab_testing_id": 1}
        player |= {"contact_email": f"p{number}@example.com" if number % 3 == 0 else None}
        player |= {"active_day": at_ms // DAY_MS, "active_days": 1}
        player |= {"is_tester": False, "is_disabled": False, "session_epoch": 0}
        identity: dict[str, Any] = dict.fromkeys(identities.c.keys())
        identity |= {"app_id": APP_ID, "type": "Universal", "external_key": f"login-{number}"}
        identity |= {"external_id": f"login-{number}", "profile_id": profile, "created_ms": at_ms}
        yield player, identity | {"is_validated": False}


async def fill(server: GameServer, count: int) -> None:
    database = server.core.database
    for first in range(0, count, CHUNK):
        pairs = list(rows(first, min(first + CHUNK, count)))
        async with database.write() as tx:
            await tx.run_many(ADD_PLAYER, [player for player, _ in pairs])
            await tx.run_many(ADD_IDENTITY, [identity for _, identity in pairs])
    whose = {"profile_id": profile_of(count // 2), "currency": "coins"}
    kept = dict.fromkeys(("purchased", "consumed", "revoked"), 0)
    ledger = [whose | {"key": f"e{n}", "kind": "awarded", "amount": 1, "at_ms": n} for n in range(ENTRIES)]
    async with database.write() as tx:
        await tx.run_many(insert_row(entries), ledger)
        await tx.run(insert_row(wallets), **whose, **kept, balance=ENTRIES, awarded=ENTRIES)
    everybody = [profile_of(number) for number in range(count)]
    await Things(server, APP_ID, everybody, profile_of(count // 2)).fill()
    await fill_segment(server, count)
    async with database.write() as tx:
        if database.dialect == "postgresql":
            await tx.run(text("SET LOCAL statement_timeout = 0"))
            await tx.run(text("ANALYZE"))


async def fill_segment(server: GameServer, count: int) -> None:
    app = server.apps.find(APP_ID)
    assert app is not None, "it was just written"
    own = {"app_id": APP_ID, "segment_id": 1, "since_ms": 0}
    own |= {"definition": app.section(SegmentSettings).definitions[1]}
    for first in range(0, count, CHUNK):
        members = [own | {"profile_id": profile_of(n)} for n in range(first, min(first + CHUNK, count), 3)]
        async with server.core.database.write() as tx:
            await tx.run_many(ADD_MEMBER, members)


async def logged_in(server: GameServer) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(server.admin)
    http = httpx.AsyncClient(transport=transport, base_url="http://console.test", follow_redirects=True)
    added = await actions.run(server, "staff_add", {"name": f"ada-{uuid.uuid4().hex[:6]}", "role": "admin"})
    path = f"/console/welcome/{added['invitation']}"
    page = (await http.get(path)).text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"password": PASSWORD, "repeat": PASSWORD} | ({"csrf": token} if token else {})
    (await http.post(path, data=form)).raise_for_status()
    return http


def pages(count: int) -> dict[str, str]:
    """Each page with nothing asked, and lists with what people ask of them."""
    base, middle = f"/console/apps/{APP_ID}", count // 2
    player = f"{base}/players/{profile_of(middle)}"
    name = name_of(middle)
    parts = {
        "app": APP_ID,
        "profile": profile_of(middle),
        "operation": "entity.CREATE",
        "endpoint": "hello",
        "board": BOARD,
        "segment": "1",
    }
    parts |= {"channel": f"{APP_ID}:{CHANNEL_KIND}:room0", "group": uid_of("group", 0), "line": "none"}
    of_player, of_app = {"entity": uid_of("entity", 0)}, {"entity": uid_of("global", 0)}
    found = {}
    for page in PAGES:
        if page.method != "GET" or page.path in NOT_ALONE or not page.path.startswith("/apps/{app}"):
            continue
        of_this = of_player if "/players/" in page.path else of_app
        path = page.path.format_map(defaultdict(lambda: "none", {**parts, **of_this}))
        found[page.path.removeprefix("/apps/{app}") or "/"] = f"/console{path}"
    asked = {
        "players, a later page": f"/players?after={profile_of(middle)}",
        "search: half a name": f"/search?q={name[:5].upper()}",
        "search: two letters": f"/search?q={name[:2].lower()}",
        "search: nobody": "/search?q=nobodyatall",
        "search: mail": f"/search?q=p{middle // 3 * 3}@example.com",
        "search: login": f"/search?q=login-{middle}",
        "search: profile id": f"/search?q={profile_of(middle)[:10]}",
        "home, 14 days": "?span=weeks",
        "charts, 14 days": "/metrics?span=weeks",
        "log: level": "/activity?level=error",
        "log: text": "/activity?text=nowhere+to+be+found",
        "log: source": "/activity?source=shop/Buy7",
        "log: no such source": "/activity?source=nowhere",
        "refusals: code": "/activity/refusals?reason_code=40304",
        "refusals: operation": "/activity/refusals?operation=nowhere",
        "refusals: request": "/activity/refusals?request_id=nowhere",
        "audit: kind": "/activity/audit?kind=revocation",
        "audit: address": "/activity/audit?address=10.9.9.9",
        "audit: player": f"/activity/audit?profile_id={profile_of(middle)}",
        "journal: who": "/activity/journal?staff=ada-3",
        "journal: who, nobody": "/activity/journal?staff=nobody",
        "journal: action": "/activity/journal?action=nothing",
        "journal: object": "/activity/journal?target=nothing",
        "reports: kind": "/activity/reports?kind=CRASH",
        "reports: name": "/activity/reports?name=nowhere",
        "mail: state": "/activity/mail?state=failed",
        "mail: no such state": "/activity/mail?state=none",
        "mail: receiver": f"/activity/mail?receiver_id={profile_of(middle)}",
        "pushes: state": "/activity/pushes?state=failed",
        "pushes: no such state": "/activity/pushes?state=none",
        "pushes: player": f"/activity/pushes?profile_id={profile_of(middle)}",
        "data: type": "/data?type=save3",
        "data: no such type": "/data?type=nothing",
        "data: clause": '/data?type=save3&where={"data.level":7}',
        "boards, a later page": f"/boards?after=level-{count // 1000:05}",
        "board, in the middle": f"/boards/{BOARD}?first={count // 10}",
        "board, around a player": f"/boards/{BOARD}?around={profile_of(1)}",
        "groups: name": "/social/groups?name=Moon+Miners+7",
        "groups, a later page": f"/social/groups?after={uid_of('group', count // 100)}",
        "card, messages alone": f"{player.removeprefix(base)}/friends?table=messageBoxes&skip=2000",
        "merge, tried out": f"{player.removeprefix(base)}/merge?other={profile_of(middle + 1)}",
    }
    return found | {label: base + path for label, path in asked.items()}


NOT_ALONE = {
    "/apps/{app}/metrics",
    "/apps/{app}/search",
    "/apps/{app}/activity/log/{line}",
    "/apps/{app}/activity/journal/{line}",
    "/apps/{app}/webhooks/delivery",
    "/apps/{app}/scripts/source",
    "/apps/{app}/bulk/new",
    "/apps/{app}/bulk/{bulk}",
    "/apps/{app}/players/{profile}/data/{entity}/edit",  # holds the whole text, here of 1 MB
    "/apps/{app}/data/{entity}/edit",
    "/apps/{app}/social/groups/{group}/data/{entity}",
    "/apps/{app}/social/groups/{group}/data/{entity}/edit",
}
"""Pages of a thing that there is not, or that are asked below."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def measure(count: int, url: str, folder: Path, redis: str = "") -> int:
    apps = folder / "apps" / "bench"
    apps.mkdir(parents=True)
    (apps / "app.toml").write_text(APP + SEGMENT + ENDPOINT)
    (apps / "scripts").mkdir()
    (apps / "scripts" / "Hello.js").write_text(SCRIPT)
    await asyncio.to_thread(migrate, url)
    late = 0
    settings = Settings(database=url, apps=folder / "apps", data=folder / "data", redis=redis)
    async with open_server(settings, with_jobs=False) as server:
        began = time.perf_counter()
        await fill(server, count)
        say(f"{count} players made in {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        await retention.count_day(server.core.database, APP_ID, server.core.clock.ms() // DAY_MS - 1)
        say(f"the players of a day counted in {time.perf_counter() - began:.1f} s")
        http = await logged_in(server)
        for label, path in pages(count).items():
            taken = []
            await http.get(path)  # the first one makes its template
            for _ in range(VISITS):
                began = time.perf_counter()
                answer = await http.get(path)
                taken.append(1000 * (time.perf_counter() - began))
                if answer.status_code >= 400:
                    break
            taken.sort()
            p95 = taken[len(taken) * 95 // 100]
            size = len(answer.content)
            is_late = p95 > TARGET_MS or size > TARGET_BYTES or answer.status_code >= 400
            late += is_late
            say(
                f"{label:36} median {taken[len(taken) // 2]:7.1f} ms   p95 {p95:7.1f} ms  {size:8} bytes"
                f"{'  <-- ' + str(answer.status_code) if is_late else ''}"
            )
        await http.aclose()
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=1_000_000)
    parser.add_argument("--database", default="")
    parser.add_argument("--services", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, redis = Path(name), ""
        url = chosen.database or f"sqlite:///{folder / 'console.db'}"
        if chosen.services:
            url = stack.enter_context(servers.postgresql({"shared_buffers": "256MB"}))
            redis = stack.enter_context(servers.redis())
        late = asyncio.run(measure(chosen.players, url, folder, redis))
    sys.exit(
        f"{late} pages take longer than {TARGET_MS} ms, or have more than {TARGET_BYTES} bytes" if late else 0
    )


if __name__ == "__main__":
    main()
