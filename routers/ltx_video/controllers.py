"""The paths of image to video: submit, look, list, cancel, delete."""

import asyncio
from contextlib import suppress

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp, Receive
from msgspec.structs import replace

from junctor.contracts.ltx_video import GenerationList
from junctor.core.accounts import Principal
from junctor.core.credentials import credential_of
from junctor.core.errors import (
    ConcurrencyLimitedError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.core.jobs import Job, JobState
from junctor.core.presence import Attended
from junctor.core.runtime import Runtime
from junctor.core.tickets import Ticket
from junctor.core.video.images import look
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer, Http, ticket_headers
from junctor.routers.ltx_video import files
from junctor.routers.ltx_video.errors import LTX_FACE
from junctor.routers.ltx_video.forms import (
    Asked,
    digest_of,
    idempotency_key,
    read_generation,
    wish_of,
)
from junctor.routers.ltx_video.rendering import (
    generation,
    listed,
    payload_of,
    picture_of,
    video_of,
)
from junctor.routers.ltx_video.sources import picture
from junctor.routers.ltx_video.work import (
    CONTRACT,
    KIND,
    QUEUE,
    UPLOAD,
    UPLOAD_HOURS,
    Payload,
    expiry,
)
from junctor.routers.uploads import read_body

MAX_FIELDS = 256 * 1024
"""Bytes of a body beside its picture."""
COPIES = 3
"""Of a body that are held while the data URL in it is decoded, beside the body."""
PAGE = 50


@post("/videos/generations", status_code=200)
async def create_generation(
    request: Http, gateway: NamedDependency[Gateway], runtime: NamedDependency[Runtime]
) -> ASGIApp:
    """Take a job over."""
    ticket = await gateway.admit(
        contract=CONTRACT, operation="generate", credential=credential_of(request.headers)
    )
    async with ticket:
        bound = ticket.snapshot.settings.ltx_video.max_image_bytes
        limit = bound * 3 // 2 + MAX_FIELDS  # a third more in base64, some of it percent-encoded
        key = idempotency_key(request.headers)
        body = read_body(request.scope["headers"], request.receive, ticket, limit=limit)
        job = await _submitted(await body, key, ticket, runtime, receive=request.receive)
        shown = replace(generation(job, kept=await _kept([job], runtime)), progress=None)
        return Answer(body=msgspec.json.encode(shown), headers=ticket_headers(ticket))


async def _submitted(
    body: bytes, key: str | None, ticket: Ticket, runtime: Runtime, *, receive: Receive
) -> Job:
    """Check a request as far as that goes without doing it, and take it over as a job."""
    team = ticket.principal.team
    ticket.buffer(COPIES * len(body))
    async with Attended(receive):
        digest = None if key is None else await asyncio.to_thread(digest_of, body)
        if key and digest and (known := await runtime.jobs.known(team, key, digest)):
            return known
        wire, asked = read_generation(body)
        del body  # nobody else has it: what is left of it is the URL
        payload = await _checked(wire.image.url, asked, ticket, runtime)
        del wire
    try:
        job = await runtime.jobs.submit(
            KIND,
            team=team,
            payload=msgspec.to_builtins(payload),
            queue=QUEUE,
            priority=ticket.principal.limits.job_priority,
            idempotency_key=key,
            digest=digest,
            seconds=payload.asked.duration,
        )
    except (
        InvalidRequestError,
        ConcurrencyLimitedError,
    ):  # of other errors none says it is not there
        await _dropped(payload.upload, team, runtime)
        raise
    if payload_of(job).upload != payload.upload:  # the same request came twice at once
        await _dropped(payload.upload, team, runtime)
    return job


async def _checked(url: str, asked: Asked, ticket: Ticket, runtime: Runtime) -> Payload:
    """Return what a job is to know; its picture is stored."""
    team = ticket.principal.team
    _check_model(asked, ticket, runtime)
    if ticket.principal.limits.video_seconds_per_day is not None:
        await runtime.gateway.ledger.learn_video(team)
    ticket.hold_video(asked.duration, queued=await runtime.jobs.unfinished_seconds(team))
    upload = await _upload(url, ticket, runtime)
    return Payload(
        asked=asked,
        upload=upload,
        key_id=ticket.principal.key_id,
        request_id=ticket.request_id,
    )


async def _dropped(upload: str, team: str, runtime: Runtime) -> None:
    """Delete a picture that no job has; what is in the way of that deletes it with time."""
    with suppress(OverloadedError):
        await _forget([upload], team, runtime)


def _check_model(asked: Asked, ticket: Ticket, runtime: Runtime) -> None:
    """
    Refuse what nobody can do.

    Where others work on the queue, only they know what they serve: then any name that the settings
    have is good, and a job that nobody serves fails.
    """
    wish = wish_of(asked, ticket)
    settings = ticket.snapshot.settings
    if runtime.jobs.works_on(QUEUE) or asked.model not in settings.models:
        runtime.gateway.video_plan(ticket, wish)


async def _upload(url: str, ticket: Ticket, runtime: Runtime) -> str:
    """Take the picture in, look at it, and store it; return its id."""
    settings, team = ticket.snapshot.settings.ltx_video, ticket.principal.team
    slots = runtime.gateway.decode_slots(ticket)
    async with ticket.deadline.enforced():
        data = await picture(
            url,
            runtime=runtime,
            team=team,
            max_bytes=settings.max_image_bytes,
            within=min(settings.fetch_timeout, ticket.deadline.remaining),
            slots=slots,
        )
        await look(data, max_pixels=settings.max_image_pixels, slots=slots)
    return await runtime.artefacts.put(
        data, team=team, name=UPLOAD, expires_at=expiry(UPLOAD_HOURS)
    )


async def _caller(request: Http, gateway: Gateway, operation: str) -> Principal:
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, operation
    principal = await gateway.accounts.authenticate(credential_of(request.headers))
    visit.team = principal.team
    await gateway.rates.hit(principal)
    return principal


async def _kept(jobs: list[Job], runtime: Runtime) -> set[str]:
    """Return which of the artefacts that jobs name are still there."""
    if not jobs:
        return set()
    ids = {video for job in jobs if (video := video_of(job))}
    ids |= {one for job in jobs if (one := picture_of(job))}
    return await runtime.artefacts.kept(ids, team=jobs[0].team)


async def _forget(artefacts: list[str | None], team: str, runtime: Runtime) -> None:
    """Delete what is still there of these."""
    for artefact in filter(None, artefacts):
        with suppress(NotFoundError):
            await runtime.artefacts.delete(artefact, team=team)


async def _shown(job: Job, runtime: Runtime) -> Answer:
    ids = {video} if (video := video_of(job)) else set()
    kept = await runtime.artefacts.kept(ids, team=job.team) if ids else set()
    ahead = await runtime.jobs.ahead(job) if job.state is JobState.QUEUED else None
    return Answer(body=msgspec.json.encode(generation(job, kept=kept, ahead=ahead)))


@get("/videos/{request_id:str}")
async def show_generation(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    request_id: FromPath[str],
) -> ASGIApp:
    """Tell how far a job is, and where its video lies once it is done."""
    principal = await _caller(request, gateway, "generation")
    return await _shown(await runtime.jobs.get(request_id, team=principal.team, kind=KIND), runtime)


@get("/videos")
async def list_generations(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    before: FromQuery[str | None] = None,
) -> ASGIApp:
    """List the team's jobs, newest first."""
    principal = await _caller(request, gateway, "generations")
    found = await runtime.jobs.list(principal.team, kind=KIND, limit=PAGE + 1, before=before)
    page = found[:PAGE]
    kept = await _kept(page, runtime)
    shown = tuple(listed(job, kept=kept) for job in page)
    answer = GenerationList(data=shown, has_more=len(found) > PAGE)
    return Answer(body=msgspec.json.encode(answer))


@post("/videos/{request_id:str}/cancel", status_code=200)
async def cancel_generation(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    request_id: FromPath[str],
) -> ASGIApp:
    """Cancel a job; one that is over, or whose video is being put away, stays as it is."""
    principal = await _caller(request, gateway, "cancel")
    job = await runtime.jobs.get(request_id, team=principal.team, kind=KIND)
    job = await runtime.jobs.cancel(job.id, team=principal.team)
    if job.is_over:
        await _forget([payload_of(job).upload], job.team, runtime)
    return await _shown(job, runtime)


@delete("/videos/{request_id:str}", status_code=200)
async def delete_generation(
    request: Http,
    gateway: NamedDependency[Gateway],
    runtime: NamedDependency[Runtime],
    request_id: FromPath[str],
) -> ASGIApp:
    """Cancel a job that is not over, and delete its picture and its video."""
    principal = await _caller(request, gateway, "delete")
    job = await runtime.jobs.get(request_id, team=principal.team, kind=KIND)
    job = await runtime.jobs.cancel(job.id, team=principal.team)
    if job.is_over:
        await _forget([payload_of(job).upload, picture_of(job), video_of(job)], job.team, runtime)
    return await _shown(job, runtime)


def routers() -> list[Router]:
    """Return all paths of this contract, and the files that it names."""
    handlers = [
        create_generation,
        list_generations,
        show_generation,
        cancel_generation,
        delete_generation,
    ]
    face = {ERROR_FACE: LTX_FACE}
    return [Router("/api/ltx23/v1", route_handlers=handlers, opt=face), files.router()]
