"""Work that is not the answer to a request: clean-up, rotation, payouts, whatever waits for its time."""

from gameserver.jobs.declaring import Job, JobRun, enqueue, hasten
from gameserver.jobs.expiring import forget, forget_of_apps
from gameserver.jobs.scheduler import JobBusy, Scheduler

__all__ = ["Job", "JobBusy", "JobRun", "Scheduler", "enqueue", "forget", "forget_of_apps", "hasten"]
