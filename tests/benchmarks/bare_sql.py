"""The floor of what writes on PostgreSQL: asyncpg and nothing else, one upsert to a transaction.

Arguments: the URL of the database and the seconds to go on. Prints a line of JSON.
"""

import asyncio
import json
import sys
import time

import asyncpg
import uvloop

CONNECTIONS = 10
ROWS = 500
TABLE = "CREATE TABLE bare_floor (id text PRIMARY KEY, data jsonb NOT NULL)"
UPSERT = "INSERT INTO bare_floor VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET data = excluded.data"
DATA = '{"street":"1309 Carling Avenue","city":"Ottawa","position":{"x":12.5,"y":-3},"tags":["home","work"]}'


async def measure(url: str, seconds: float) -> dict[str, float]:
    connections = [await asyncpg.connect(url) for _ in range(CONNECTIONS)]
    await connections[0].execute(TABLE)
    took: list[float] = []

    async def write(number: int) -> None:
        connection = connections[number]
        turn = number
        while (now := time.perf_counter()) < until:
            async with connection.transaction():
                await connection.execute(UPSERT, f"row-{turn % ROWS}", DATA)
            took.append(time.perf_counter() - now)
            turn += CONNECTIONS

    until = time.perf_counter() + seconds
    before = time.process_time()
    await asyncio.gather(*(write(number) for number in range(CONNECTIONS)))
    cpu_seconds = time.process_time() - before
    for connection in connections[1:]:
        await connection.close()
    await connections[0].execute("DROP TABLE bare_floor")
    await connections[0].close()
    took.sort()
    count = len(took)
    return {
        "count": count,
        "cpu_seconds": cpu_seconds,
        "p50": 1000 * took[count // 2],
        "p99": 1000 * took[count * 99 // 100],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(sys.argv[1], float(sys.argv[2])))))
