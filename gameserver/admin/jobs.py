"""What staff do with work that is not the answer to a packet."""

from typing import Any

from gameserver.admin.common import Refused, Server
from gameserver.admin.declaring import action, at_once
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.jobs import JobBusy


@action(Right.SYSTEM_READ, "GET /jobs", pages=at_once)
async def job_list(server: Server) -> list[dict[str, Any]]:
    """Return what there is to know of each job, by name."""
    return await server.jobs.list()


@action(Right.JOBS_RUN, "POST /jobs/{job}/run")
async def job_run(server: Server, job: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Run a job that has a schedule, out of turn, and wait for it."""
    async with server.core.database.write() as tx:
        await note(server, tx, by, "job_run", target=job)
    try:
        await server.jobs.run_now(job)
    except (LookupError, JobBusy) as error:
        raise Refused(error.args[0]) from None
    return {"job": job, "done": True}


@action(Right.JOBS_RUN, "POST /jobs/{job}/retry")
async def job_retry(server: Server, job: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Have work tried again that was given up after many tries."""
    again = await server.jobs.retry(job)
    async with server.core.database.write() as tx:
        await note(server, tx, by, "job_retry", target=job, after={"tried_again": again})
    return {"job": job, "tried_again": again}
