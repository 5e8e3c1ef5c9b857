"""What operators see of jobs. What is in SQL is shown as it is when somebody asks, by whichever process."""

from prometheus_client import Counter

RUNS = Counter("gameserver_job_runs", "Runs of jobs, by job and outcome.", ["job", "outcome"])
SECONDS = Counter("gameserver_job_seconds", "Seconds that jobs have run.", ["job"])
