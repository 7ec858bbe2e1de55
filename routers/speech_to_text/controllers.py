"""`POST /speech-to-text/transcribe`: decode, call the gateway, encode."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from attrs import define, field
from litestar import Router, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from junctor.contracts.speech_to_text import EXPECTED, TranscribeForm
from junctor.core.audio.clip import Clip
from junctor.core.credentials import credential_of
from junctor.core.errors import JunctorError
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.core.idempotency import Call, request_digest
from junctor.core.pii import redacted
from junctor.core.presence import Attended
from junctor.core.runtime import Runtime
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript
from junctor.core.visits import Visit, current_visit
from junctor.routers.answers import Answer, EventStream, Http, ticket_headers
from junctor.routers.errors import noted
from junctor.routers.forms import decode_fields
from junctor.routers.multipart import Form
from junctor.routers.speech_to_text.errors import STT_FACE
from junctor.routers.speech_to_text.forms import Asked, asked_of, digest_parts
from junctor.routers.speech_to_text.renderings import encoded, transcription
from junctor.routers.uploads import read_form
from junctor.routers.visits import shutting_down

CONTRACT = "speech-to-text"
AUDIO = "audio"
FIELDS = frozenset(TranscribeForm.__struct_fields__)
DEFAULT_RETENTION_HOURS = 24.0


@post("/transcribe", status_code=200)
async def transcribe(
    request: Http, gateway: NamedDependency[Gateway], runtime: NamedDependency[Runtime]
) -> ASGIApp:
    """Write a recording down."""
    ticket = await gateway.admit(
        contract=CONTRACT, operation="transcribe", credential=credential_of(request.headers)
    )
    work = _Work(gateway=gateway, runtime=runtime, ticket=ticket)
    try:
        answer = await _answered(request, work)
    except BaseException as error:
        await work.left(error)
        raise
    if isinstance(answer, Answer):
        await work.left(None)  # a stream's events do it themselves
    return answer


@define(kw_only=True, eq=False)
class _Work:
    """The transcription of one request; with an idempotency key it may outlive its own client."""

    gateway: Gateway
    runtime: Runtime
    ticket: Ticket
    upload: Form | None = None
    asked: Asked | None = None
    is_shared: bool = False
    """Whether it has begun for all who wait for its answer: then it settles its ticket itself."""
    _began: float = field(factory=time.monotonic)

    async def left(self, error: BaseException | None) -> None:
        """Settle, when the request is over; shared work does so when it is over itself."""
        if not self.is_shared:
            await self.ticket.close(error)

    async def shared(self) -> bytes:
        """Return the encoded answer, for everybody who waits; settles its own ticket."""
        self.is_shared = True
        async with self.ticket:
            return encoded(await self.answer())

    async def clip(self) -> Clip:
        """Return the recording, measured."""
        assert self.upload is not None  # noqa: S101  # set before any work
        return await self.gateway.open_clip(
            self.ticket, self.upload.data, filename=self.upload.filename
        )

    async def answer(self) -> msgspec.Struct:
        """Return the answer."""
        assert self.asked is not None  # noqa: S101  # set before any work
        wanted = self.asked.request(await self.clip())
        heard = await self.gateway.transcribe(self.ticket, wanted, self.asked.choice)
        return await self.rendered(heard)

    async def rendered(self, heard: Transcript) -> msgspec.Struct:
        """Return a transcript as this contract answers it."""
        assert self.asked is not None  # noqa: S101  # set before any work
        shown = await redacted(heard) if self.asked.redaction else heard
        seconds = time.monotonic() - self._began
        return transcription(shown, self.asked, self.ticket, seconds=seconds)


async def _answered(request: Http, work: _Work) -> Answer | EventStream:
    ticket = work.ticket
    limit = ticket.snapshot.settings.limits.max_upload_bytes
    upload = await read_form(request, ticket, fields=FIELDS, limit=limit, upload=AUDIO)
    form = decode_fields(TranscribeForm, upload.texts, expected=EXPECTED)
    work.upload, work.asked = upload, asked_of(form, ticket)
    streams = "text/event-stream" in request.headers.get("accept", "")
    async with Attended(request.receive):
        if form.idempotency_key:
            return await _once(form, upload.data, work)
        if not streams:
            return Answer(body=encoded(await work.answer()), headers=ticket_headers(ticket))
        visit = current_visit()
        events = _events(work, await work.clip(), visit)
        first = await anext(events)
    return EventStream(
        first=first,
        rest=events,
        farewell=_error_event(shutting_down(), visit),
        headers=ticket_headers(ticket),
    )


async def _once(form: TranscribeForm, audio: bytes, work: _Work) -> Answer:
    """Answer the same request once, however often it is sent."""
    hours = form.retention_hours
    kept = DEFAULT_RETENTION_HOURS if hours is None else hours
    call = Call(
        team=work.ticket.principal.team,
        key=form.idempotency_key,
        digest=request_digest(digest_parts(form, audio)),
        expires_at=time.time() + kept * 3600,
    )
    body, was_there = await work.runtime.idempotency.answer(call, work.shared)
    replayed = (("idempotent-replayed", "true"),) if was_there else ()
    return Answer(body=body, headers=[*ticket_headers(work.ticket), *replayed])


async def _events(work: _Work, clip: Clip, visit: Visit) -> AsyncGenerator[bytes, None]:
    """Encode a stream's events; an error after the first is one too, never a silent cut."""
    assert work.asked is not None  # noqa: S101  # set before any work
    asked, ticket = work.asked, work.ticket
    source = work.gateway.stream_transcribe(ticket, asked.request(clip), asked.choice)
    has_begun = False
    async with ticket, aclosing(source):
        try:
            async for event in source:
                if isinstance(event, Transcript):
                    data = _event("transcript.done", await work.rendered(event))
                elif asked.redaction:
                    continue  # what is personal may lie across two pieces
                else:
                    data = _event("transcript.delta", {"text": event.text})
                has_begun = True
                yield data
        except Exception as exc:
            if not has_begun:
                raise
            await ticket.close(exc)
            yield _error_event(noted(exc, visit), visit)


def _event(kind: str, data: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _error_event(error: JunctorError, visit: Visit) -> bytes:
    refusal = STT_FACE.refuse(error, request_id=visit.request_id)
    return b"event: error\ndata: " + STT_FACE.envelope(refusal) + b"\n\n"


def router() -> Router:
    """Return all paths of this contract."""
    return Router("/speech-to-text", route_handlers=[transcribe], opt={ERROR_FACE: STT_FACE})
