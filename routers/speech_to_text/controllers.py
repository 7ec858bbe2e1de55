"""`POST /speech-to-text/transcribe`: decode, call the gateway, encode."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from junctor.contracts.speech_to_text import EXPECTED, TranscribeForm
from junctor.core.audit import audio_digest
from junctor.core.credentials import credential_of
from junctor.core.errors import JunctorError
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.core.idempotency import Call, request_digest
from junctor.core.presence import Attended
from junctor.core.runtime import Runtime
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript
from junctor.core.visits import Visit, current_visit
from junctor.routers.answers import Answer, EventStream, Http, ticket_headers
from junctor.routers.errors import noted
from junctor.routers.forms import decode_fields
from junctor.routers.speech_to_text.errors import STT_FACE
from junctor.routers.speech_to_text.forms import asked_of, digest_parts, labelled
from junctor.routers.speech_to_text.jobs import (
    LEAST_HOURS,
    delete_job,
    list_deliveries,
    list_jobs,
    retention_hours,
    show_job,
    submitted,
)
from junctor.routers.speech_to_text.renderings import encoded
from junctor.routers.speech_to_text.stream import stream
from junctor.routers.speech_to_text.work import CONTRACT, Work, unserved_named
from junctor.routers.uploads import read_form
from junctor.routers.visits import shutting_down

AUDIO = "audio"
HOLD_MARGIN = 30.0
"""Seconds for which a key is held beyond the deadline of the request that works on it."""
FIELDS = frozenset(TranscribeForm.__struct_fields__)


@post("/transcribe", status_code=200)
async def transcribe(
    request: Http, gateway: NamedDependency[Gateway], runtime: NamedDependency[Runtime]
) -> ASGIApp:
    """Write a recording down."""
    ticket = await gateway.admit(
        contract=CONTRACT, operation="transcribe", credential=credential_of(request.headers)
    )
    work: Work | None = None
    try:
        form, work = await _read(request, runtime, ticket)
        answer = await _answered(request, form, work)
    except BaseException as error:
        if work is None or not work.is_shared:
            await ticket.close(error)
        raise
    if isinstance(answer, Answer) and not work.is_shared:
        await ticket.close()  # a stream's events, and shared work, do it themselves
    return answer


async def _read(request: Http, runtime: Runtime, ticket: Ticket) -> tuple[TranscribeForm, Work]:
    limit = ticket.snapshot.settings.limits.max_upload_bytes
    upload = await read_form(request, ticket, fields=FIELDS, limit=limit, upload=AUDIO)
    form = decode_fields(TranscribeForm, upload.texts, expected=EXPECTED)
    asked = labelled(asked_of(form, ticket))
    return form, Work(runtime=runtime, ticket=ticket, upload=upload, asked=asked)


async def _answered(request: Http, form: TranscribeForm, work: Work) -> Answer | EventStream:
    ticket = work.ticket
    streams = "text/event-stream" in request.headers.get("accept", "")
    async with Attended(request.receive):
        if form.idempotency_key:
            return await _once(form, work, streams=streams)
        if form.callback_url:
            return _taken(await submitted(form, work), ticket_headers(ticket))
        if not streams:
            return Answer(body=encoded(await work.answer()), headers=ticket_headers(ticket))
        visit = current_visit()
        events = _events(work, visit)
        with unserved_named():
            first = await anext(events)
    return EventStream(
        first=first,
        rest=events,
        until=ticket.deadline.at,
        farewell=_error_event(shutting_down(), visit),
        headers=ticket_headers(ticket),
    )


def _taken(body: bytes, headers: Sequence[tuple[str, str]]) -> Answer:
    """Say that the work was taken over as a durable job, whose end is told to the callback."""
    return Answer(body=body, status=202, headers=headers)


async def _once(form: TranscribeForm, work: Work, *, streams: bool) -> Answer:
    """Answer the same request once, however often it is sent."""

    async def make() -> bytes:
        if form.callback_url:
            return await submitted(form, work)
        return encoded(await work.answer())

    hours = retention_hours(form, work)
    call = Call(
        team=work.ticket.principal.team,
        key=form.idempotency_key,
        digest=request_digest(digest_parts(form, await audio_digest(work.upload.data))),
        expires_at=time.time() + 3600 * (max(hours, LEAST_HOURS) if form.callback_url else hours),
        hold_seconds=work.ticket.snapshot.settings.limits.request_timeout + HOLD_MARGIN,
    )
    answering = work.runtime.idempotency.answer(call, lambda: work.shared(make))
    body, was_there = await answering
    headers = ticket_headers(work.ticket)
    headers += [("idempotent-replayed", "true")] if was_there else []
    if form.callback_url:
        return _taken(body, headers)
    if streams:
        event = b"event: transcript.done\ndata: " + body + b"\n\n"
        return Answer(body=event, media_type="text/event-stream", headers=headers)
    return Answer(body=body, headers=headers)


async def _events(work: Work, visit: Visit) -> AsyncGenerator[bytes, None]:
    """Yield a stream's events; an error after the first is one too, never a silent cut."""
    has_begun = False
    async with work.ticket, aclosing(_pieces(work)) as pieces:
        try:
            async for data in pieces:
                has_begun = True
                yield data
        except Exception as exc:
            if not has_begun:
                raise
            await work.ticket.close(exc)
            yield _error_event(noted(exc, visit), visit)


async def _pieces(work: Work) -> AsyncGenerator[bytes, None]:
    asked, ticket = work.asked, work.ticket
    if asked.redaction:
        # What is personal may lie across two pieces, so that nothing is sent, or paid, before all.
        answer = await work.answer()
        ticket.settle()
        yield _event("transcript.done", answer)
        return
    wanted = asked.request(await work.clip())
    source = work.runtime.gateway.stream_transcribe(ticket, wanted, asked.choice)
    async with aclosing(source):
        async for event in source:
            if isinstance(event, Transcript):
                yield _event("transcript.done", await work.rendered(event))
            else:
                yield _event("transcript.delta", {"text": event.text})


def _event(kind: str, data: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _error_event(error: JunctorError, visit: Visit) -> bytes:
    refusal = STT_FACE.refuse(error, request_id=visit.request_id)
    return b"event: error\ndata: " + STT_FACE.envelope(refusal) + b"\n\n"


def router() -> Router:
    """Return all paths of this contract."""
    handlers = [transcribe, stream, list_jobs, show_job, delete_job, list_deliveries]
    return Router("/speech-to-text", route_handlers=handlers, opt={ERROR_FACE: STT_FACE})
