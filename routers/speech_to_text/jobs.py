"""
Transcriptions as durable jobs: submitted with a callback, looked at, deleted.

The upload and the result are artefacts with the request's retention; the job itself knows only
their ids. A job that is interrupted begins anew, and is charged once.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from junctor.contracts.speech_to_text import (
    MAX_RETENTION_HOURS,
    Accepted,
    CallbackState,
    Delivered,
    DeliveryList,
    JobList,
    JobStatus,
    TranscribeForm,
)
from junctor.core.accounts import Principal
from junctor.core.credentials import credential_of
from junctor.core.errors import JunctorError, NotFoundError
from junctor.core.gateway import Gateway
from junctor.core.jobs import Job, JobState, Progress
from junctor.core.runtime import Runtime
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer, Http
from junctor.routers.multipart import Form
from junctor.routers.speech_to_text.forms import asked_of
from junctor.routers.speech_to_text.renderings import encoded
from junctor.routers.speech_to_text.work import CONTRACT, Work

KIND = "transcription"
_CALLBACK_STATES: Mapping[str, CallbackState] = MappingProxyType(
    {"waiting": "waiting", "pending": "pending", "delivered": "delivered", "failed": "failed"}
)
LEAST_HOURS = 1.0
"""For which an upload waits for its turn, and a result for its delivery, at least."""
PAGE = 100


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a job knows: names and choices, no audio and no text."""

    form: TranscribeForm
    audio: str
    """Id of the upload."""
    filename: str | None
    key_id: str
    request_id: str
    """Of the request that submitted it."""
    callback_url: str
    retention_hours: float


def retention_hours(form: TranscribeForm, work: Work) -> float:
    """Return for how long the request wants what is stored for it to be kept, hours."""
    default = work.ticket.snapshot.settings.artefacts.retention_hours
    hours = default if form.retention_hours is None else form.retention_hours
    return min(hours, MAX_RETENTION_HOURS)


async def submitted(form: TranscribeForm, work: Work) -> bytes:
    """
    Check a request as far as that goes without doing it, take it over as a job, and say so.

    Raises:
        InvalidRequestError: the callback's URL leads where none may.
        JunctorError: what measuring the recording raises.

    """
    runtime, ticket = work.runtime, work.ticket
    await runtime.guard.check(form.callback_url, param="callback_url")
    await work.clip()
    hours = retention_hours(form, work)
    team = ticket.principal.team
    audio = await runtime.artefacts.put(
        work.upload.data, team=team, name="upload", expires_at=_after(max(hours, LEAST_HOURS))
    )
    payload = Payload(
        form=form,
        audio=audio,
        filename=work.upload.filename,
        key_id=ticket.principal.key_id,
        request_id=ticket.request_id,
        callback_url=form.callback_url,
        retention_hours=hours,
    )
    job = await runtime.jobs.submit(
        KIND,
        team=team,
        payload=msgspec.to_builtins(payload),
        priority=ticket.principal.limits.job_priority,
    )
    return encoded(
        Accepted(
            status="accepted",
            job_id=job.id,
            request_id=ticket.request_id,
            status_url=f"/speech-to-text/jobs/{job.id}",
        )
    )


def _after(hours: float) -> float:
    return time.time() + hours * 3600


class Transcriber:
    """The work of these jobs; one for each runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, job: Job, progress: Progress) -> Mapping[str, object]:
        """Do one run of a job; its result names the artefact that has the answer."""
        payload = msgspec.convert(job.payload, Payload)
        try:
            result = await progress.step("transcribe", lambda: self._transcribed(job, payload))
        except JunctorError:
            await self._forget(job, payload)
            raise
        await self._forget(job, payload)
        return {"answer": result}

    async def _transcribed(self, job: Job, payload: Payload) -> str:
        runtime = self._runtime
        audio = await runtime.artefacts.get(payload.audio, team=job.team)
        principal = runtime.gateway.accounts.principal(job.team, payload.key_id)
        ticket = await runtime.gateway.resume(
            principal,
            contract=CONTRACT,
            operation="transcribe-job",
            request_id=job.id,
            since=job.created_at,
        )
        async with ticket:
            ticket.buffer(len(audio))
            upload = Form(data=audio, filename=payload.filename, texts={})
            asked = asked_of(payload.form, ticket)
            work = Work(runtime=runtime, ticket=ticket, upload=upload, asked=asked)
            body = encoded(await work.answer())
            return await runtime.artefacts.put(
                body,
                team=job.team,
                name="answer",
                expires_at=_after(max(payload.retention_hours, LEAST_HOURS)),
            )

    async def _forget(self, job: Job, payload: Payload) -> None:
        """Delete the upload as soon as nobody needs it any more."""
        try:
            await self._runtime.artefacts.delete(payload.audio, team=job.team)
        except NotFoundError:
            return

    async def told(self, job: Job) -> bytes:
        """Return what the callback gets."""
        return encoded(await status(job, self._runtime))


def register_jobs(runtime: Runtime) -> None:
    """Name the work of these jobs, and what their callbacks say; before the runtime is opened."""
    work = Transcriber(runtime)
    runtime.jobs.register(KIND, work)
    runtime.callbacks.register(KIND, work.told)


async def status(job: Job, runtime: Runtime, *, has_result: bool = True) -> JobStatus:
    """Return a job as callers see it; with its answer, while that is kept."""
    payload = msgspec.convert(job.payload, Payload)
    form = payload.form
    result: msgspec.Raw | None = None
    if has_result and job.state is JobState.DONE and job.result is not None:
        try:
            answer = str(job.result["answer"])
            result = msgspec.Raw(await runtime.artefacts.get(answer, team=job.team))
        except NotFoundError:
            result = None
    return JobStatus(
        job_id=job.id,
        request_id=payload.request_id,
        status=job.state.value,
        progress=job.progress,
        created_at=_moment(job.created_at),
        finished_at=None if job.finished_at is None else _moment(job.finished_at),
        result=result,
        error=job.error,
        callback_state=_CALLBACK_STATES.get(job.callback_state),
        metadata=msgspec.json.decode(form.metadata, type=dict[str, object])
        if form.metadata
        else None,
        unique_id=form.unique_id or None,
    )


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds")


async def _caller(request: Http, gateway: Gateway, operation: str) -> Principal:
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, operation
    principal = await gateway.accounts.authenticate(credential_of(request.headers))
    visit.team = principal.team
    await gateway.rates.hit(principal)
    return principal


@get("/jobs")
async def list_jobs(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    before: FromQuery[str | None] = None,
) -> ASGIApp:
    """List the team's jobs, newest first, without their answers."""
    principal = await _caller(request, gateway, "jobs")
    page = await runtime.jobs.list(principal.team, kind=KIND, limit=PAGE, before=before)
    shown = [await status(job, runtime, has_result=False) for job in page]
    return Answer(body=encoded(JobList(data=tuple(shown), has_more=len(page) == PAGE)))


@get("/jobs/{job_id:str}")
async def show_job(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    job_id: FromPath[str],
) -> ASGIApp:
    """Show a job, and its answer once it is done."""
    principal = await _caller(request, gateway, "job")
    job = await runtime.jobs.get(job_id, team=principal.team, kind=KIND)
    return Answer(body=encoded(await status(job, runtime)))


@delete("/jobs/{job_id:str}", status_code=200)
async def delete_job(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    job_id: FromPath[str],
) -> ASGIApp:
    """Cancel a job that is not over, and delete its upload and its answer at once."""
    principal = await _caller(request, gateway, "delete-job")
    await runtime.jobs.get(job_id, team=principal.team, kind=KIND)
    job = await runtime.jobs.cancel(job_id, team=principal.team)
    stored = [msgspec.convert(job.payload, Payload).audio]
    if job.result is not None:
        stored.append(str(job.result["answer"]))
    await _delete(stored, principal.team, runtime)
    return Answer(body=encoded(await status(job, runtime)))


async def _delete(artefacts: Sequence[str], team: str, runtime: Runtime) -> None:
    for artefact in artefacts:
        try:
            await runtime.artefacts.delete(artefact, team=team)
        except NotFoundError:
            continue


@get("/jobs/{job_id:str}/deliveries")
async def list_deliveries(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    job_id: FromPath[str],
) -> ASGIApp:
    """List the tries to deliver a job's callback, oldest first."""
    principal = await _caller(request, gateway, "deliveries")
    await runtime.jobs.get(job_id, team=principal.team, kind=KIND)
    found = await runtime.callbacks.deliveries(job_id, team=principal.team)
    shown = tuple(
        Delivered(
            number=one.number,
            at=_moment(one.at),
            status=one.status,
            error=one.error,
            seconds=one.seconds,
        )
        for one in found
    )
    return Answer(body=encoded(DeliveryList(data=shown)))
