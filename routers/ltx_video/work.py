"""
Videos as durable jobs.

The picture and the video are artefacts; the job itself knows only their ids. A job that is
interrupted begins anew with the same picture and seed. It is sealed and charged when its video is
stored: what was charged can be cancelled no more, and what was cancelled is never charged.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

import msgspec
import structlog
from attrs import field, frozen

from junctor.core.errors import (
    AllCandidatesFailedError,
    JunctorError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    ProviderError,
)
from junctor.core.generations import Generated, VideoAsked
from junctor.core.jobs import Job, JobState, Progress
from junctor.core.plans import Candidate
from junctor.core.requests import VideoProgress
from junctor.core.runtime import SCRATCH, Runtime
from junctor.core.tickets import Ticket
from junctor.core.video.images import fitted
from junctor.core.video.sizes import RATE, size_of
from junctor.routers.ltx_video.forms import Asked, wish_of

CONTRACT = "ltx_video"
KIND = "video"
QUEUE = "video"
UPLOAD, PICTURE, VIDEO = "upload", "picture", "video"
"""What the artefacts are called; whoever knows the id of one of the last two may read it."""
UPLOAD_HOURS = 7 * 24
"""For which a picture waits for its job's turn, at most."""
PATIENCE = 120.0
"""Seconds for which a database that restarts, or a disk without room, is waited for."""

T = TypeVar("T")

_log = structlog.get_logger()


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a job knows: choices and names, no picture."""

    asked: Asked
    upload: str
    """Id of the picture as it came; it goes when the picture is fitted."""
    key_id: str
    """Of the API key that submitted it."""
    request_id: str
    """Of the request that submitted it."""


def expiry(hours: float) -> float:
    """Return the time so many hours from now, seconds since 1970."""
    return time.time() + hours * 3600


class Teller:
    """
    Passes on what a provider reports, on the loop and without holding the provider up.

    Args:
        progress: of the job.
        picture: id of the fitted picture, which the job's row tells from here on.

    """

    def __init__(self, progress: Progress, picture: str) -> None:
        self._progress = progress
        self._picture = picture
        self._news = asyncio.Event()
        self._share = 0.0
        self._detail = _starting(picture)

    def told(self, candidate: Candidate, progress: VideoProgress) -> None:
        """Take note; the last word counts."""
        card = candidate.card
        self._share = min(1.0, max(0.0, progress.share))
        self._detail = {
            "engine": card.provider,
            "model": card.id,
            "stage": progress.stage.value,
            "percent": round(100 * self._share),
            "picture": self._picture,
        }
        if progress.steps:
            self._detail |= {"step": progress.step, "steps": progress.steps}
        self._news.set()

    async def storing(self) -> None:
        """Say that the video is made, and is being stored."""
        self._share = 1.0
        self._detail = {**self._detail, "stage": "storing", "percent": 100}
        with suppress(OverloadedError):
            await self._progress.report(0.999, self._detail)

    async def run(self, work: "asyncio.Task[object] | None") -> None:
        """Write down the news as they come; stop `work` when the job was cancelled elsewhere."""
        own = asyncio.current_task()
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._progress.report(min(self._share, 0.999), self._detail)
            except OverloadedError:
                continue  # the next news may be written again
            except asyncio.CancelledError:
                is_stopped = own is None or own.cancelling()
                if work is not None and not is_stopped and not work.cancelling():
                    work.cancel()
                raise
            except Exception:  # noqa: BLE001 - the boundary of a background task: it must go on
                _log.exception("video_progress_not_told")


class VideoMaker:
    """The work of these jobs; one for each runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, job: Job, progress: Progress) -> Mapping[str, object]:
        """Do one run of a job; its result names the artefact that is the video."""
        making = Making(
            runtime=self._runtime,
            job=job,
            payload=msgspec.convert(job.payload, Payload),
            progress=progress,
        )
        try:
            picture = await making.picture()
            video = await progress.step("generate", lambda: making.video(picture))
        except asyncio.CancelledError:
            await making.forget()
            raise
        return {"picture": picture, "video": video}


@frozen(kw_only=True)
class Making:
    """One run of one job."""

    runtime: Runtime
    job: Job
    payload: Payload
    progress: Progress
    made: list[str] = field(factory=list)
    """Ids of what this run has stored."""

    async def forget(self) -> None:
        """Delete what a cancelled job has stored and does not tell: nobody else could."""
        with suppress(NotFoundError, OverloadedError):
            job = await self.runtime.jobs.get(self.job.id, team=self.job.team)
            if job.state is JobState.CANCELED:
                told = (job.detail or {}).get("picture")
                for one in self.made:
                    if one != told:
                        await self._delete(one)

    async def picture(self) -> str:
        """Fit the picture, and delete it as it came; return the id of what is stored."""
        try:
            picture = await self.progress.step("picture", self._fitted)
        except JunctorError:
            await self._forget_upload()
            raise
        self.made[:] = [picture]
        await self._forget_upload()
        await self.progress.report(0.0, _starting(picture))  # or nobody could delete it
        return picture

    async def _forget_upload(self) -> None:
        await self._delete(self.payload.upload)

    async def _delete(self, artefact: str) -> None:
        with suppress(NotFoundError, OverloadedError):  # it goes in time, whatever happens
            await self.runtime.artefacts.delete(artefact, team=self.job.team)

    async def _fitted(self) -> str:
        artefacts, asked = self.runtime.artefacts, self.payload.asked
        settings = self.runtime.settings.ltx_video
        data = await _patiently(lambda: artefacts.get(self.payload.upload, team=self.job.team))
        size = size_of(asked.aspect_ratio, asked.resolution)
        png = await asyncio.to_thread(fitted, data, size, max_pixels=settings.max_image_pixels)
        expires_at = expiry(settings.retention_hours)
        picture = await _patiently(
            lambda: artefacts.put(png, team=self.job.team, name=PICTURE, expires_at=expires_at)
        )
        self.made.append(picture)
        return picture

    async def video(self, picture_id: str) -> str:
        """Make the video, store it, and charge it; return the id of what is stored."""
        gateway, job = self.runtime.gateway, self.job
        artefacts = self.runtime.artefacts
        picture = await _patiently(lambda: artefacts.get(picture_id, team=job.team))
        teller = Teller(self.progress, picture_id)
        folder = await _patiently(lambda: asyncio.to_thread(_scratch, self.runtime.folder))
        try:
            ticket = await _patiently(lambda: self._ticket(len(picture)))
            async with ticket:
                video = await self._stored(ticket, picture, folder, teller)
                await self.progress.seal()
            if not ticket.is_paid:
                self.runtime.telemetry.video(
                    provider=ticket.provider or "",
                    model=ticket.model or "",
                    seconds=ticket.video_seconds,
                )
            with suppress(OverloadedError):  # the journal has it, whatever the database says
                await gateway.ledger.fold()
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return video

    async def _ticket(self, size: int) -> Ticket:
        gateway, job = self.runtime.gateway, self.job
        ticket = await gateway.resume(
            gateway.accounts.principal(job.team, self.payload.key_id),
            contract=CONTRACT,
            operation="generate-job",
            request_id=job.id,
            since=job.created_at,
        )
        try:
            ticket.buffer(size)
        except OverloadedError as exc:
            await ticket.close(exc)
            raise
        return ticket

    async def _stored(self, ticket: Ticket, picture: bytes, folder: Path, teller: Teller) -> str:
        telling = asyncio.create_task(teller.run(asyncio.current_task()))
        try:
            made = await self._generated(ticket, picture, folder, teller)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        await teller.storing()
        hours = ticket.snapshot.settings.ltx_video.retention_hours
        put_file, team = self.runtime.artefacts.put_file, self.job.team
        video = await _patiently(
            lambda: put_file(made.path, team=team, name=VIDEO, expires_at=expiry(hours))
        )
        self.made.append(video)
        return video

    async def _generated(
        self, ticket: Ticket, picture: bytes, folder: Path, teller: Teller
    ) -> Generated:
        """Try the candidates, and again after a pause where that may help."""
        video, wish = self._video(picture), wish_of(self.payload.asked, ticket)
        settings = ticket.snapshot.settings.ltx_video
        number = 1
        while True:
            try:
                return await self.runtime.gateway.generate_video(
                    ticket, video, wish, folder=folder, told=teller.told
                )
            except JunctorError as error:
                if number >= settings.rounds or not _may_pass(error):
                    raise
                _log.warning("video_round_failed", job=self.job.id, round=number, error=str(error))
            await asyncio.sleep(settings.pause * 2.0 ** (number - 1))
            number += 1

    def _video(self, picture: bytes) -> VideoAsked:
        asked = self.payload.asked
        size = size_of(asked.aspect_ratio, asked.resolution)
        return VideoAsked(
            image=picture,
            prompt=asked.prompt,
            seconds=asked.duration,
            width=size.width,
            height=size.height,
            rate=RATE,
            seed=asked.seed,
            key=self.job.id,
        )


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Do what a database, a disk or a full server refuses again for a while: work hangs on it."""
    end, pause = time.monotonic() + PATIENCE, 0.5
    while True:
        try:
            return await call()
        except OverloadedError:
            if time.monotonic() + pause > end:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, 10.0)


def _starting(picture: str) -> dict[str, object]:
    """Return what the row of a job tells before an engine does."""
    return {"stage": "starting", "percent": 0, "picture": picture}


def _may_pass(error: JunctorError) -> bool:
    """Say whether the same job may succeed a little later."""
    if isinstance(error, NoCandidateError):
        return error.temporary
    if isinstance(error, AllCandidatesFailedError):
        return any(isinstance(one, ProviderError) and one.retryable for one in error.causes)
    return False


def _scratch(data: Path) -> Path:
    try:
        folder = data / SCRATCH
        folder.mkdir(mode=0o700, exist_ok=True)
        return Path(mkdtemp(dir=folder))
    except OSError as exc:
        raise OverloadedError("The server has no room for a video at the moment.") from exc


def register_jobs(runtime: Runtime) -> None:
    """Name the work of these jobs; before the runtime is opened."""
    runtime.jobs.register(KIND, VideoMaker(runtime))
