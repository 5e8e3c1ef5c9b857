"""What pages about players take, with a million players in an app.

`python -m tests.benchmarks.console_players` runs the server in this process, on SQLite, fills an app with players, and opens
pages as somebody of the studio: a number is the time of the server for one page, in ms. `--players` says how many,
`--database` another database, such as one on PostgreSQL, that is empty. A million take a few minutes to make.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from gameserver.admin import actions
from gameserver.app import GameServer, open_server
from gameserver.domain.economy.wallet import entries, wallets
from gameserver.players.identities import identities
from gameserver.players.profiles import players
from gameserver.settings import Settings
from gameserver.storage import insert_row
from gameserver.storage.schema import migrate

APP_ID, PASSWORD = "10001", "a long enough password"
APP = f'id = "{APP_ID}"\nsecret = "a-secret-for-benchmarks-0123456789"\n[virtualCurrency.currencies.coins]\n'
CHUNK, VISITS, TARGET_MS = 10_000, 21, 300
SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sha", "ti", "vo", "wen", "xa", "yo", "zu", "Ba", "De", "Fi", "Ga")
ENTRIES = 2000  # in the ledger of the player that is looked at
ADD_PLAYER, ADD_IDENTITY = insert_row(players), insert_row(identities)


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
        if database.dialect == "postgresql":
            await tx.run(text("ANALYZE"))


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
    base, middle = f"/console/apps/{APP_ID}", count // 2
    player = f"{base}/players/{profile_of(middle)}"
    name = name_of(middle)
    return {
        "home": base,
        "players": f"{base}/players",
        "players, a later page": f"{base}/players?after={profile_of(middle)}",
        "search: half a name": f"{base}/search?q={name[:5].upper()}",
        "search: two letters": f"{base}/search?q={name[:2].lower()}",
        "search: nobody": f"{base}/search?q=nobodyatall",
        "search: mail": f"{base}/search?q=p{middle // 3 * 3}@example.com",
        "search: login": f"{base}/search?q=login-{middle}",
        "search: profile id": f"{base}/search?q={profile_of(middle)[:10]}",
        "card": player,
        **{f"card, {tab}": f"{player}/{tab}" for tab in ("timeline", "currencies", "progress", "devices")},
        **{f"card, {tab}": f"{player}/{tab}" for tab in ("mail", "friends", "notes", "erase")},
        "merge, tried out": f"{player}/merge?other={profile_of(middle + 1)}",
    }


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def measure(count: int, url: str, folder: Path) -> int:
    apps = folder / "apps" / "bench"
    apps.mkdir(parents=True)
    (apps / "app.toml").write_text(APP)
    await asyncio.to_thread(migrate, url)
    late = 0
    async with open_server(Settings(database=url, apps=folder / "apps", data=folder / "data")) as server:
        began = time.perf_counter()
        await fill(server, count)
        say(f"{count} players made in {time.perf_counter() - began:.0f} s")
        http = await logged_in(server)
        for label, path in pages(count).items():
            taken = []
            for _ in range(VISITS):
                began = time.perf_counter()
                answer = await http.get(path)
                taken.append(1000 * (time.perf_counter() - began))
                answer.raise_for_status()
            taken.sort()
            p95 = taken[VISITS * 95 // 100]
            late += p95 > TARGET_MS
            say(
                f"{label:24} median {taken[VISITS // 2]:7.1f} ms   p95 {p95:7.1f} ms   {len(answer.content)} bytes"
            )
        await http.aclose()
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=1_000_000)
    parser.add_argument("--database", default="")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = chosen.database or f"sqlite:///{folder / 'console.db'}"
        late = asyncio.run(measure(chosen.players, url, folder))
    sys.exit(f"{late} pages take longer than {TARGET_MS} ms" if late else 0)


if __name__ == "__main__":
    main()
