"""The jobs of leaderboards."""

import msgspec

from gameserver.domain.leaderboards.facade import Leaderboards
from gameserver.jobs import Job, JobRun
from gameserver.ranks import RanksAway
from gameserver.wire import json


async def _rotate(run: JobRun) -> None:
    upkeep = run.get(Leaderboards).upkeep
    while await upkeep.rotate_due() and not run.is_over:
        pass


async def _is_any_due(run: JobRun) -> bool:
    return await run.get(Leaderboards).upkeep.is_any_due()


async def _adopt(run: JobRun) -> None:
    await run.get(Leaderboards).upkeep.adopt_declarations(run.apps)


async def _has_new_declarations(run: JobRun) -> bool:
    return run.get(Leaderboards).upkeep.has_new_declarations(run.apps)


class _Reached(msgspec.Struct):
    """Posts up to a number are in the index of an identity."""

    seq: int
    identity: str


async def _repair_index(run: JobRun) -> None:
    upkeep = run.get(Leaderboards).upkeep
    reached = _reached(run) or _Reached(upkeep.first_seq, "")
    seq, identity = await upkeep.repair_index(reached.seq, reached.identity)
    run.memo = json.encode(_Reached(seq, identity)).decode()


async def _is_another_index(run: JobRun) -> bool:
    """Its lists are built anew before anybody reads there what the old one has left behind."""
    reached = _reached(run)
    return reached is None or await run.get(Leaderboards).upkeep.is_another_index(reached.identity)


def _reached(run: JobRun) -> _Reached | None:
    return msgspec.json.decode(run.memo, type=_Reached) if run.memo else None


async def _sweep(run: JobRun) -> None:
    upkeep = run.get(Leaderboards).upkeep
    while await upkeep.sweep():
        if run.is_over:
            run.is_unfinished = True
            return


async def _count_forgotten(run: JobRun) -> int:
    return await run.get(Leaderboards).upkeep.count_forgotten()


_AWAY = (RanksAway,)
JOBS = (
    Job("leaderboard.adopt", _adopt, every_seconds=60, wanted=_has_new_declarations),
    Job("leaderboard.rotate", _rotate, every_seconds=60, wanted=_is_any_due, expected=_AWAY),
    Job("leaderboard.index", _repair_index, every_seconds=60, wanted=_is_another_index, expected=_AWAY),
    Job("leaderboard.sweep", _sweep, every_seconds=60, overdue=_count_forgotten, expected=_AWAY),
)
