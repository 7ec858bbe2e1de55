"""What a job is, to those who submit and show it."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from attrs import field, frozen

from junctor.core.storage.jobs import JobRow


class JobState(StrEnum):
    """How far a job has come; the last three are for good."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELED})


@frozen(kw_only=True)
class Job:
    """One durable job as it stands. Times are microseconds since 1970, UTC."""

    id: str
    team: str
    kind: str
    queue: str
    priority: int
    payload: Mapping[str, object] = field(repr=False)
    state: JobState
    progress: float
    """Share that is done, 0 to 1."""
    detail: Mapping[str, object] | None = field(default=None, repr=False)
    """What its work told last of how far it is, in words of its own."""
    is_sealed: bool = False
    """Whether it can be cancelled no more."""
    seconds: float = 0.0
    """Of media that it will be charged for."""
    result: Mapping[str, object] | None = field(repr=False)
    error: str | None
    """A sentence fit for the caller, where it failed."""
    attempts: int
    """How often it was begun."""
    created_at: int
    started_at: int | None
    finished_at: int | None
    callback_state: str
    """Empty without a `callback_url`; `waiting`, `pending`, `delivered` or `failed`."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


def job_of(row: JobRow) -> Job:
    """Return the job that a row holds."""
    return Job(
        id=row.id,
        team=row.team,
        kind=row.kind,
        queue=row.queue,
        priority=row.priority,
        payload=msgspec.json.decode(row.payload, type=dict[str, object]),
        state=JobState(row.state),
        progress=row.progress,
        detail=_object(row.detail),
        is_sealed=bool(row.sealed),
        seconds=row.seconds,
        result=_object(row.result),
        error=row.error,
        attempts=row.attempts,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        callback_state=row.callback_state,
    )


def _object(document: str | None) -> dict[str, object] | None:
    return None if document is None else msgspec.json.decode(document, type=dict[str, object])


def idempotency_id(team: str, key: str) -> str:
    """Return what is stored of an idempotency key: keys of two teams never meet."""
    return hashlib.sha256(f"{len(team)}:{team}{key}".encode()).hexdigest()
