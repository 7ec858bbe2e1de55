"""The paths of the OpenAI contract. Each handler decodes, calls the gateway, and encodes."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from junctor.contracts.openai import ModelCard, ModelList, TranscriptionForm, TranslationForm
from junctor.core.cards import Capability
from junctor.core.credentials import credential_of
from junctor.core.errors import JunctorError, UnknownModelError
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.core.plans import Choice
from junctor.core.presence import Attended
from junctor.core.requests import TranscribeRequest
from junctor.core.snapshots import PublicModel
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript, TranscriptEvent
from junctor.core.visits import Visit, current_visit
from junctor.routers.answers import Answer, EventStream, Http, ticket_headers
from junctor.routers.errors import noted
from junctor.routers.multipart import Form
from junctor.routers.openai.errors import OPENAI_FACE, SHARED_FACE
from junctor.routers.openai.forms import decode_form, transcription_of, translation_of
from junctor.routers.openai.renderings import delta_event, done_event, render, server_sent
from junctor.routers.uploads import read_form
from junctor.routers.visits import shutting_down

CONTRACT = "openai"
TRANSCRIPTION_FIELDS = frozenset(TranscriptionForm.__struct_fields__)
TRANSLATION_FIELDS = frozenset(TranslationForm.__struct_fields__)


@post("/transcriptions", status_code=200)
async def create_transcription(request: Http, gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Write a recording down."""
    ticket = await _admitted(request, gateway, "transcribe")
    try:
        answer = await _transcribed(request, gateway, ticket)
    except BaseException as error:
        await ticket.close(error)
        raise
    if isinstance(answer, Answer):
        await ticket.close()  # a stream's events do it themselves
    return answer


async def _transcribed(request: Http, gateway: Gateway, ticket: Ticket) -> Answer | EventStream:
    upload = await _upload(request, ticket, TRANSCRIPTION_FIELDS)
    form = decode_form(TranscriptionForm, upload.texts)
    async with Attended(request.receive):
        clip = await gateway.open_clip(ticket, upload.data, filename=upload.filename)
        asked = transcription_of(form, clip)
        model = _model(form, ticket)
        if not form.stream:
            transcript = await gateway.transcribe(ticket, asked, Choice(model=model))
            return _answered(ticket, transcript, asked, form)
        visit = current_visit()
        events = _events(
            gateway.stream_transcribe(ticket, asked, Choice(model=model)), ticket, visit
        )
        first = await anext(events)
    return EventStream(
        first=first,
        rest=events,
        until=ticket.deadline.at,
        farewell=_error_event(shutting_down(), visit),
        headers=ticket_headers(ticket),
    )


@post("/translations", status_code=200)
async def create_translation(request: Http, gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Say a recording in English."""
    async with await _admitted(request, gateway, "translate") as ticket:
        upload = await _upload(request, ticket, TRANSLATION_FIELDS)
        form = decode_form(TranslationForm, upload.texts)
        async with Attended(request.receive):
            clip = await gateway.open_clip(ticket, upload.data, filename=upload.filename)
            asked = translation_of(form, clip)
            transcript = await gateway.transcribe(ticket, asked, Choice(model=_model(form, ticket)))
            return _answered(ticket, transcript, asked, form)


def model_handlers(*wanted: Capability) -> list[HTTPRouteHandler]:
    """
    Return the handlers that list models and show one.

    Args:
        wanted: capabilities of which a model has one at least; none for all models.

    """

    @get("/")
    async def list_models(request: Http, gateway: NamedDependency[Gateway]) -> ASGIApp:
        """List what the caller's team may use."""
        models = await _models(request, gateway, wanted)
        return Answer(body=msgspec.json.encode(ModelList(data=tuple(map(_card, models)))))

    @get("/{model:path}")
    async def show_model(
        request: Http, gateway: NamedDependency[Gateway], model: FromPath[str]
    ) -> ASGIApp:
        """Show one model."""
        name = model.removeprefix("/")
        models = await _models(request, gateway, wanted)
        found = next((one for one in models if name in {one.name, one.cards[0].name}), None)
        if found is None:
            raise UnknownModelError(name, [one.name for one in models])
        return Answer(body=msgspec.json.encode(_card(found)))

    return [list_models, show_model]


async def _admitted(request: Http, gateway: Gateway, operation: str) -> Ticket:
    return await gateway.admit(
        contract=CONTRACT, operation=operation, credential=credential_of(request.headers)
    )


async def _upload(request: Http, ticket: Ticket, fields: frozenset[str]) -> Form:
    limit = ticket.snapshot.settings.limits.max_upload_bytes
    return await read_form(request, ticket, fields=fields, limit=limit)


def _model(form: TranslationForm, ticket: Ticket) -> str:
    return form.model or ticket.snapshot.settings.default_model


def _answered(
    ticket: Ticket, transcript: Transcript, asked: TranscribeRequest, form: TranslationForm
) -> Answer:
    granularities = form.timestamp_granularities if isinstance(form, TranscriptionForm) else ()
    rendering = render(
        transcript,
        asked,
        response_format=form.response_format,
        granularities=granularities,
    )
    return Answer(
        body=rendering.body,
        media_type=rendering.media_type,
        headers=ticket_headers(ticket),
    )


async def _events(
    source: AsyncGenerator[TranscriptEvent, None], ticket: Ticket, visit: Visit
) -> AsyncGenerator[bytes, None]:
    """Encode a stream's events; an error after the first is one too, never a silent cut."""
    has_begun = False
    async with ticket, aclosing(source):
        try:
            async for event in source:
                data = _encoded(event, is_first=not has_begun)
                has_begun = True
                yield data
        except Exception as exc:
            if not has_begun:
                raise
            await ticket.close(exc)
            yield _error_event(noted(exc, visit), visit)


def _encoded(event: TranscriptEvent, *, is_first: bool) -> bytes:
    if not isinstance(event, Transcript):
        return delta_event(event.text)
    # Clients that only add up the deltas shall have the text too.
    whole = delta_event(event.text) if is_first and event.text else b""
    return whole + done_event(event)


def _error_event(error: JunctorError, visit: Visit) -> bytes:
    refusal = OPENAI_FACE.refuse(error, request_id=visit.request_id)
    return server_sent(OPENAI_FACE.envelope(refusal))


async def _models(
    request: Http, gateway: Gateway, wanted: Collection[Capability]
) -> Sequence[PublicModel]:
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, "models"
    principal = await gateway.accounts.authenticate(credential_of(request.headers))
    visit.team = principal.team
    await gateway.rates.hit(principal)
    snapshot = gateway.enter()
    try:
        models = snapshot.models_for(principal.limits)
    finally:
        gateway.leave(snapshot)
    return [one for one in models if not wanted or not one.capabilities.isdisjoint(wanted)]


def _card(model: PublicModel) -> ModelCard:
    return ModelCard(
        id=model.name,
        owned_by=model.owned_by,
        display_name=model.name,
        description=model.description,
        default=model.is_default,
        capabilities=tuple(sorted(one.value for one in model.capabilities)),
    )


def router() -> Router:
    """Return all paths of this contract's half that is built."""
    audio = Router(
        "/v1/audio",
        route_handlers=[create_transcription, create_translation],
        opt={ERROR_FACE: OPENAI_FACE},
    )
    models = Router("/v1/models", route_handlers=model_handlers(), opt={ERROR_FACE: SHARED_FACE})
    return Router("/", route_handlers=[audio, models])
