"""The table of scheduled scripts: what is to run, what runs, and what has become of it."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Json, StoredBy, insert_row, metadata, upsert
from gameserver.storage.expiry import Expiry

SCRIPT, BATCH = "CloudCode", "UserScriptBatch"
SCHEDULED, QUEUED, RUNNING = "Scheduled", "Queued", "Running"
COMPLETED, FAILED, CANCELLED = "Completed", "Failed", "Cancelled"

script_jobs = Table(
    "script_jobs",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("job_id", String(36), primary_key=True),
    Column("job_type", String(32), nullable=False),
    Column("script_name", Text, nullable=False),
    Column("parameters", Json, nullable=False),
    Column("run_state", String(16), nullable=False),
    Column("owner_id", String(36)),  # the player who has scheduled it; null for servers and scripts
    Column("peer_app_id", String(64)),  # where it runs, when that is a peer of the app
    Column("targets", Json),  # of a batch: see `targets`; null for all players
    Column("completion_script", Text),
    Column("last_profile_id", String(36), nullable=False),  # of a batch: whose turn was last
    Column("done", Integer, nullable=False),  # of a batch: how many players have had theirs
    Column("failed", Integer, nullable=False),
    Column("result", Json),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("run_start_ms", BigInteger, nullable=False),
    Column("run_end_ms", BigInteger, nullable=False),
    Index("script_jobs_by_start", "app_id", "run_state", "start_ms"),
    Index("script_jobs_by_owner", "owner_id", "run_state"),
    Index("script_jobs_by_end", "app_id", "run_end_ms"),
    info={"stored_by": StoredBy.APP},
)
_c = script_jobs.c
KEPT = PlayerTable(
    script_jobs,
    "owner_id",
    untold={
        "targets": "of batches, which no player has",
        "last_profile_id": "of batches, which no player has",
    },
)

_THIS = (_c.app_id == bindparam("app"), _c.job_id == bindparam("job"))
_owner = bindparam("owner", type_=String)
_VISIBLE = or_(_owner.is_(None), _c.owner_id == _owner)
JOBS_MOST = 500  # in one answer

ADD = insert_row(script_jobs).returning(*script_jobs.c)
FIND = select(script_jobs).where(*_THIS)
LIST_SCHEDULED = (
    select(script_jobs)
    .where(
        _c.app_id == bindparam("app"),
        _c.run_state == SCHEDULED,
        _c.start_ms <= bindparam("until"),
        _VISIBLE,
    )
    .order_by(_c.start_ms)
    .limit(JOBS_MOST)
)
LIST_RUNNING = (
    select(script_jobs)
    .where(
        _c.app_id == bindparam("app"),
        or_(
            _c.run_state.in_([QUEUED, RUNNING]),
            and_(_c.run_state == SCHEDULED, _c.start_ms <= bindparam("now_ms")),
        ),
        _VISIBLE,
    )
    .order_by(_c.start_ms)
    .limit(JOBS_MOST)
)
COUNT_OF_OWNER = select(func.count()).where(
    _c.owner_id == bindparam("owner"), _c.run_state.in_([SCHEDULED, QUEUED])
)
_OF = (_c.app_id == bindparam("of_app"), _c.job_id == bindparam("of_job"))
CANCEL = (
    update(script_jobs)
    .where(*_OF, _c.run_state.in_(bindparam("states", expanding=True)))
    .values(run_state=CANCELLED, updated_ms=bindparam("now_ms"), run_end_ms=bindparam("now_ms"))
    .returning(*script_jobs.c)
)
BEGIN = (
    update(script_jobs)
    .where(*_OF, _c.run_state.in_([SCHEDULED, QUEUED, RUNNING]))
    .values(run_state=RUNNING, updated_ms=bindparam("now_ms"), run_start_ms=bindparam("now_ms"))
    .returning(*script_jobs.c)
)
GO_ON = (
    update(script_jobs)
    .where(*_OF, _c.run_state == RUNNING)
    .values(
        last_profile_id=bindparam("new_last"),
        done=bindparam("new_done"),
        failed=bindparam("new_failed"),
        updated_ms=bindparam("now_ms"),
    )
)
END = (
    update(script_jobs)
    .where(*_OF, _c.run_state == RUNNING)
    .values(
        run_state=bindparam("new_state"),
        result=bindparam("new_result", type_=Json()),
        updated_ms=bindparam("now_ms"),
        run_end_ms=bindparam("now_ms"),
    )
)

OLD = Expiry(_c.run_end_ms, _c.app_id == bindparam("app"), _c.run_end_ms > 0)

script_schedules = Table(
    "script_schedules",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("last_ms", BigInteger, nullable=False),  # the turn that was put on the list last
    info={"stored_by": StoredBy.APP},
)
_s = script_schedules.c
SCHEDULES = select(_s.name, _s.last_ms).where(_s.app_id == bindparam("app"))
BEGIN_SCHEDULE = upsert(script_schedules, ["app_id", "name"], None)
TAKE_TURN = (
    update(script_schedules)
    .where(
        _s.app_id == bindparam("of_app"), _s.name == bindparam("of_name"), _s.last_ms == bindparam("seen_ms")
    )
    .values(last_ms=bindparam("turn_ms"))
)


def new_row(**values: Any) -> dict[str, Any]:
    """Return a whole row of a job that has not begun."""
    return {
        "owner_id": None,
        "peer_app_id": None,
        "targets": None,
        "completion_script": None,
        "last_profile_id": "",
        "done": 0,
        "failed": 0,
        "result": None,
        "run_start_ms": 0,
        "run_end_ms": 0,
        **values,
    }
