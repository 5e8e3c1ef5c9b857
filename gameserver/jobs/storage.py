"""The table of jobs: one row for each job with a schedule, and one for each piece of work that is enqueued.

`due_ms` is when the work was to be done; `ready_ms` is when somebody may take it: later than that while a
process holds its lease, and after a failure. Whoever takes a row changes `ready_ms`, on the condition that it
is what it was: so of any number of processes one has it.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    case,
    func,
    select,
    text,
    update,
)
from sqlalchemy import delete as _delete

from gameserver.storage import Json, metadata, upsert
from gameserver.storage.tables import StoredBy

NAME_MAX = 64
KEY_MAX = 128
LANE_MAX = 160
SCHEDULED = ""  # the key of a job's own row
ERROR_MAX = 500  # characters of an error that are kept
NEVER_MS = 1 << 62  # ready: not before an operator says so

jobs = Table(
    "jobs",
    metadata,
    Column("name", String(NAME_MAX), primary_key=True),
    Column("key", String(KEY_MAX), primary_key=True),
    Column("payload", Json),
    Column("due_ms", BigInteger, nullable=False),
    Column("ready_ms", BigInteger, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("error", Text, nullable=False),  # of the last run
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("overdue", BigInteger, nullable=False),  # rows that the job should have seen to, when last counted
    Column("memo", Text, nullable=False),  # what a run leaves to the next one
    Column(
        "lane", String(LANE_MAX), nullable=False, server_default=text("''")
    ),  # what it may have to wait for
    Index("jobs_by_ready", "name", "ready_ms", "lane"),
    info={"stored_by": StoredBy.SERVER},
)
_c = jobs.c
_NEW = {
    "name": bindparam("name"),
    "key": bindparam("key"),
    "payload": bindparam("payload"),
    "due_ms": bindparam("due_ms"),
    "ready_ms": bindparam("due_ms"),
    "holder": "",
    "failures": 0,
    "error": "",
    "started_ms": 0,
    "ended_ms": 0,
    "overdue": 0,
    "memo": "",
    "lane": bindparam("lane"),
}
ADD = upsert(jobs, ["name", "key"], None, values=_NEW)
OF_SCHEDULE = select(jobs).where(_c.key == SCHEDULED, _c.name.in_(bindparam("names", expanding=True)))
READY = (
    select(jobs)
    .where(
        _c.name == bindparam("name"),
        _c.ready_ms <= bindparam("now_ms"),
        _c.lane.not_in(bindparam("full", expanding=True)),
    )
    .order_by(_c.ready_ms)
    .limit(bindparam("most"))
)
NEXT = select(_c.name).where(_c.ready_ms <= bindparam("now_ms")).limit(1)
FIND = select(jobs).where(_c.name == bindparam("name"), _c.key == bindparam("key"))
_THIS = (_c.name == bindparam("of_name"), _c.key == bindparam("of_key"))
_HELD = (*_THIS, _c.holder == bindparam("held_by"))
TAKE = (
    update(jobs)
    .where(*_THIS, _c.ready_ms == bindparam("seen_ms"), _c.holder == bindparam("seen_holder"))
    .values(holder=bindparam("now_held_by"), ready_ms=bindparam("until"), started_ms=bindparam("now_ms"))
)
RENEW = update(jobs).where(*_HELD).values(ready_ms=bindparam("until"))
RELEASE = update(jobs).where(*_HELD).values(holder="", ready_ms=bindparam("now_ms"))
RELEASE_ALL = (
    update(jobs).where(_c.holder != "").values(holder="", ready_ms=bindparam("now_ms", type_=BigInteger))
)
DONE = (
    update(jobs)
    .where(*_HELD)
    .values(
        holder="",
        failures=0,
        error="",
        due_ms=bindparam("next_ms"),
        ready_ms=bindparam("next_ms"),
        ended_ms=bindparam("now_ms"),
        overdue=bindparam("now_overdue"),
        memo=bindparam("now_memo"),
    )
)
DELETE = _delete(jobs).where(*_HELD)
FAILED = (
    update(jobs)
    .where(*_HELD)
    .values(
        holder="",
        failures=_c.failures + 1,
        error=bindparam("now_error"),
        ready_ms=bindparam("again_ms"),
        ended_ms=bindparam("now_ms"),
        overdue=bindparam("now_overdue"),
    )
)
RETRY = (
    update(jobs)
    .where(_c.name == bindparam("of_name"), _c.ready_ms == NEVER_MS)
    .values(ready_ms=bindparam("now_ms"), failures=0)
)
HASTEN = update(jobs).where(*_THIS, _c.holder == "").values(ready_ms=bindparam("now_ms"), failures=0)
SUMMARY = (
    select(
        _c.name,
        func.sum(case((_c.key != SCHEDULED, 1), else_=0)).label("waiting"),
        func.sum(case((_c.ready_ms == NEVER_MS, 1), else_=0)).label("given_up"),
        func.sum(case((_c.holder != "", 1), else_=0)).label("running"),
        func.max(_c.failures).label("failures"),
        func.max(_c.error).label("error"),
        func.max(_c.started_ms).label("started_ms"),
        func.max(_c.ended_ms).label("ended_ms"),
        func.min(case((_c.ready_ms != NEVER_MS, _c.due_ms))).label("due_ms"),
        func.max(_c.overdue).label("overdue"),
    )
    .group_by(_c.name)
    .order_by(_c.name)
)
