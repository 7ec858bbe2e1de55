"""Durable jobs behind a narrow port: they survive kill -9 and go on where they were."""

from junctor.core.jobs.job import Job, JobState
from junctor.core.jobs.port import Jobs
from junctor.core.jobs.progress import Progress
from junctor.core.jobs.runs import Work

__all__ = ("Job", "JobState", "Jobs", "Progress", "Work")
