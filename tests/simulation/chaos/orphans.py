"""What must not be left behind when everybody has gone: rows, sessions, sockets."""

import asyncio
import os
import time
from pathlib import Path

from sqlalchemy import func, select

from gameserver.services import ALL
from gameserver.sessions import One, session_store
from gameserver.storage import metadata, open_database
from gameserver.wire.clock import FixedClock, SystemClock
from tests.simulation.chaos.fleet import APP_ID, Fleet, Server
from tests.simulation.chaos.ledger import Ledger

SETTLE_SECONDS = 5.0
LAPSED_MS = 100 * 24 * 3600 * 1000
OF_A_PLAYER = ("profile_id", "owner_id")  # columns that name one

assert ALL, "importing the services declares their tables"


async def check(fleet: Fleet, ledger: Ledger, *, players: int) -> None:
    """Look for leftovers once the run is over and its connections are closed."""
    for server in fleet.servers:
        if sockets := await _client_sockets(server):
            ledger.violation(f"{sockets} sockets of clients are still open at {server.url}")
    if fleet.redis is not None:
        await _check_sessions(fleet, ledger)
    for slot in fleet.slots:
        if slot.server is not None and (code := await slot.stop()):
            ledger.violation(f"a server that was asked to stop ended with {code}")
        for line in slot.complaints():
            ledger.violation(f"logged: {line}")
    await _check_rows(fleet, ledger, players)


async def _client_sockets(server: Server) -> int:
    """Count established TCP connections to the server's port, once those that are closing have closed."""
    until = time.monotonic() + SETTLE_SECONDS
    while count := _established(server):
        if time.monotonic() > until:
            return count
        await asyncio.sleep(0.1)
    return 0


def _established(server: Server) -> int:
    """Sockets of the process that are connections to its own port, in any state but closed."""
    port = int(server.url.rpartition(":")[2])
    inodes = {
        fields[9]
        for line in Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split()) and int(fields[1].rpartition(":")[2], 16) == port and fields[3] != "0A"
    }
    descriptors = Path(f"/proc/{server.pid}/fd")
    links = [_link(descriptors / name) for name in os.listdir(descriptors)]
    return sum(link.startswith("socket:[") and link[8:-1] in inodes for link in links)


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile
        return ""


async def _check_rows(fleet: Fleet, ledger: Ledger, players: int) -> None:
    """Every player exists once, and everything that belongs to a player belongs to one of them."""
    known = metadata.tables["players"].c.profile_id
    database = await open_database(fleet.database)
    try:
        async with database.read() as tx:
            for name in ("players", "identities"):
                row = await tx.one(select(func.count()).select_from(metadata.tables[name]))
                if row is None or row[0] != players:
                    ledger.violation(f"{row and row[0]} {name} for {players} players")
            for table in metadata.sorted_tables:
                for column in [table.c[name] for name in OF_A_PLAYER if name in table.c]:
                    orphans = select(func.count()).where(column != "", column.not_in(select(known)))
                    row = await tx.one(orphans)
                    if row is None or row[0]:
                        ledger.violation(f"{row and row[0]} rows of {table.name} belong to nobody")
            row = await tx.one(select(func.count()).select_from(metadata.tables["packet_answers"]))
            if row is None or row[0] > ledger.counts["logins"] + ledger.counts["hang_up"]:
                ledger.violation(f"{row and row[0]} stored answers are more than one for each session")
    finally:
        await database.close()


async def _check_sessions(fleet: Fleet, ledger: Ledger) -> None:
    """End what the players have left open; then the store must know of no session."""
    assert fleet.redis is not None
    sessions = await session_store(fleet.redis.url, SystemClock())
    try:
        for session_id in ledger.sessions:
            await sessions.end(One(session_id), "logged_out")
        # Those whose login was never answered are all that may be left.
        left = [session async for session in sessions.every(APP_ID)]
        ledger.counts["sessions nobody was told of"] = len(left)
        for session in left:
            await sessions.end(One(digest=session.digest), "logged_out")
    finally:
        await sessions.close()
    # What Redis was not there to forget at once is forgotten when the session would have lapsed.
    sessions = await session_store(fleet.redis.url, FixedClock(SystemClock().ms() + LAPSED_MS))
    try:
        if entries := await sessions.count(APP_ID):
            ledger.violation(f"{entries} sessions that have ended are counted for ever")
    finally:
        await sessions.close()
