"""How many players come, and come back: a row for each app and day, written when the day is over.

A login notes its day in the player's row, in the statement that it sends anyway (`profiles.LOG_IN`). A job
goes through an app's players once for each day, some thousands at a time, and writes what it has counted.
Days are those of UTC. A day that was noted only in part, the first one, counts as not known.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
)

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action, at_once
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.jobs import Job, JobRun
from gameserver.players.profiles import ACTIVE_DAYS, DAY_MS, active_on, active_within, players
from gameserver.storage import Database, metadata, upsert
from gameserver.storage.tables import StoredBy

AGES = (1, 7, 30)
"""How many days after they came players are looked for."""
MONTH_DAYS = 30
KEPT_DAYS = 800
DAYS_MAX = 366
GRACE_MS = 5 * 60_000
"""For logins that began before midnight, and for processes whose clocks are a little behind."""
CAUGHT_UP_DAYS = ACTIVE_DAYS // 2
AT_ONCE = 5000  # players
EVERY_SECONDS = 600.0
SECONDS_MAX = 600.0


@action(Right.PLAYERS_READ, "GET /apps/{app}/retention", pages=at_once)
async def retention_show(server: Server, app: str, days: int = 30) -> list[dict[str, Any]]:
    """Return for each day of the last ones, the newest first, who came and who was there.

    `new_players` came on the day; `of_7` of those were still known seven days later, and `back_7` of them
    logged in again on that very day; so for 1 and 30. `active` players logged in on the day, `active_month`
    on it or one of the 29 before. Days are those of UTC. What is not known is None: what is not over yet,
    and what was before days were noted.
    """
    app_of(server, app)
    if not 1 <= days <= DAYS_MAX:
        raise Refused(f"days is a number from 1 to {DAYS_MAX}")
    today = server.core.clock.ms() // DAY_MS
    async with server.core.database.read() as tx:
        rows = await tx.all(READ, app=app, since=(today - days) * DAY_MS)
    measured = {int(row["day_ms"]) // DAY_MS: row for row in rows if row["active"] is not None}
    told = []
    for day in range(today, today - days, -1):
        own = measured.get(day)
        one: dict[str, Any] = {
            "day": datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat(),
            "new_players": None if own is None else own["new_players"],
            "active": None if own is None else own["active"],
            "active_month": None if own is None else own["active_month"],
        }
        for age in AGES:
            # Whoever came on a day that was noted only in part is known only in part, too.
            later = measured.get(day + age) if own is not None else None
            one[f"of_{age}"] = None if later is None else later[f"of_{age}"]
            one[f"back_{age}"] = None if later is None else later[f"back_{age}"]
        told.append(one)
    return told


ACTIONS = (retention_show,)


# The job


async def _count(run: JobRun) -> None:
    async def of_app(app: App) -> None:
        last = (run.now_ms - GRACE_MS) // DAY_MS - 1
        async with run.database.read() as tx:
            newest = await tx.one(NEWEST, app=app.id)
            first = await tx.one(FIRST, app=app.id) if newest is None else None
        if newest is None:
            # Nobody was there before today: then all of today is noted. Or else tomorrow is the first day.
            today = run.now_ms // DAY_MS
            is_new = first is None or int(first["created_ms"]) // DAY_MS >= today
            async with run.database.write() as tx:
                await tx.run(ADD, app_id=app.id, day_ms=(today - is_new) * DAY_MS, **NOTHING)
            return
        for day in range(max(int(newest["day_ms"]) // DAY_MS + 1, last - CAUGHT_UP_DAYS), last + 1):
            if run.is_over:
                run.is_unfinished = True
                return
            counted = await count_day(run.database, app.id, day)
            async with run.database.write() as tx:
                await tx.run(ADD, app_id=app.id, day_ms=day * DAY_MS, **counted)
                await tx.run(FORGET, app=app.id, before=(day - KEPT_DAYS) * DAY_MS)

    await run.for_each_app(of_app)


async def count_day(database: Database, app_id: str, day: int) -> dict[str, int]:
    """Count the players of an app for a day that is over, as the columns of its row."""
    counted: dict[str, int] = dict.fromkeys(NOTHING, 0)
    first, end = 0, (day + 1) * DAY_MS
    while first < end:
        async with database.read() as tx:
            last = await tx.one(LAST_OF_SOME, app=app_id, first=first, end=end, skip=AT_ONCE)
            below = end if last is None else max(int(last["created_ms"]), first + 1)
            row = await tx.one(COUNT, app=app_id, first=first, below=below, day=day)
        assert row is not None, "a count has a row"
        for name in counted:
            counted[name] += int(row[name] or 0)
        first = below
        await asyncio.sleep(0)
    return counted


JOB = Job("players.countDay", _count, every_seconds=EVERY_SECONDS, seconds_max=SECONDS_MAX)

# Storage

app_days = Table(
    "app_days",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True),  # when the day began, in UTC
    # Null: the day was noted in part.
    Column("new_players", Integer),
    Column("active", Integer),
    Column("active_month", Integer),
    *(Column(f"{name}_{age}", Integer) for age in AGES for name in ("of", "back")),
    info={"stored_by": StoredBy.APP},
)
_d, _p = app_days.c, players.c
NOTHING: dict[str, Any] = dict.fromkeys(column.name for column in _d if not column.primary_key)
ADD = upsert(app_days, ["app_id", "day_ms"], None)
READ = select(app_days).where(
    _d.app_id == bindparam("app", type_=String), _d.day_ms >= bindparam("since", type_=BigInteger)
)
NEWEST = (
    select(_d.day_ms).where(_d.app_id == bindparam("app", type_=String)).order_by(_d.day_ms.desc()).limit(1)
)
FORGET = delete(app_days).where(
    _d.app_id == bindparam("app", type_=String), _d.day_ms < bindparam("before", type_=BigInteger)
)

_APP = _p.app_id == bindparam("app", type_=String)
_FIRST = bindparam("first", type_=BigInteger)
_DAY: ColumnElement[int] = bindparam("day", type_=Integer)
FIRST = select(_p.created_ms).where(_APP).order_by(_p.created_ms).limit(1)
LAST_OF_SOME = (
    select(_p.created_ms)
    .where(_APP, _p.created_ms >= _FIRST, _p.created_ms < bindparam("end", type_=BigInteger))
    .order_by(_p.created_ms)
    .limit(1)
    .offset(bindparam("skip", type_=Integer))
)


def _came_on(age: int) -> ColumnElement[bool]:
    """Who came so many days before the day, and has logged in since days are noted."""
    came = _p.created_ms // DAY_MS
    return and_(came == _DAY - age, _p.active_day.is_not(None))


def _number(condition: ColumnElement[bool], name: str) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0)).label(name)


COUNT = select(
    _number(_came_on(0), "new_players"),
    _number(active_on(_DAY), "active"),
    _number(active_within(_DAY, MONTH_DAYS), "active_month"),
    *(_number(_came_on(age), f"of_{age}") for age in AGES),
    *(_number(and_(_came_on(age), active_on(_DAY)), f"back_{age}") for age in AGES),
).where(_APP, _p.created_ms >= _FIRST, _p.created_ms < bindparam("below", type_=BigInteger))
