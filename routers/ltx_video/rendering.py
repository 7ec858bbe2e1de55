"""From a job to what the contract says of it."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

from junctor.contracts.ltx_video import Generation, ListedGeneration, Status, VideoFile
from junctor.core.jobs import Job, JobState
from junctor.routers.ltx_video.files import picture_path, video_path
from junctor.routers.ltx_video.work import Payload

_STATUS: Mapping[JobState, Status] = MappingProxyType(
    {
        JobState.QUEUED: "queued",
        JobState.RUNNING: "processing",
        JobState.DONE: "done",
        JobState.FAILED: "failed",
        JobState.CANCELED: "canceled",
    }
)


def video_of(job: Job) -> str | None:
    """Return the id of a job's video; None without one."""
    if job.state is not JobState.DONE or job.result is None:
        return None
    return str(job.result["video"])


def picture_of(job: Job) -> str | None:
    """Return the id of a job's fitted picture; None before it is there."""
    told = job.detail if job.result is None else job.result
    picture = told.get("picture") if told else None
    return None if picture is None else str(picture)


def payload_of(job: Job) -> Payload:
    """Return what a job knows."""
    return msgspec.convert(job.payload, Payload)


def generation(job: Job, *, kept: Collection[str], ahead: int | None = None) -> Generation:
    """
    Return what a caller is told of a job.

    Args:
        job: as it stands.
        kept: ids of the artefacts that are still there.
        ahead: how many jobs go before it; None where nobody counted.

    """
    return Generation(
        request_id=job.id,
        status=_STATUS[job.state],
        model=payload_of(job).asked.model,
        video=_file(job, kept),
        progress=_progress(job, ahead),
        error=job.error,
    )


def listed(job: Job, *, kept: Collection[str]) -> ListedGeneration:
    """Return a job of a list; likewise."""
    asked, picture = payload_of(job).asked, picture_of(job)
    has_picture = picture is not None and picture in kept
    return ListedGeneration(
        request_id=job.id,
        status=_STATUS[job.state],
        model=asked.model,
        video=_file(job, kept),
        progress=_progress(job, None),
        error=job.error,
        prompt=asked.prompt,
        duration=asked.duration,
        aspect_ratio=asked.aspect_ratio,
        resolution=asked.resolution,
        seed=asked.seed,
        image_url=picture_path(picture or "", job.created_at) if has_picture else None,
        created_at=_moment(job.created_at),
        finished_at=None if job.finished_at is None else _moment(job.finished_at),
    )


def _file(job: Job, kept: Collection[str]) -> VideoFile | None:
    video = video_of(job)
    if video is None or video not in kept:
        return None
    return VideoFile(url=video_path(video, job.created_at))


def _progress(job: Job, ahead: int | None) -> dict[str, object] | None:
    if job.is_over:
        return None
    if job.state is JobState.QUEUED:
        queued: dict[str, object] = {"stage": "queued", "percent": 0}
        return queued if ahead is None else {**queued, "ahead": ahead}
    told = job.detail or {"stage": "starting", "percent": 0}
    return {name: value for name, value in told.items() if name != "picture"}


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds")
