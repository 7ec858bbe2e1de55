"""`WS /speech-to-text/stream`: decode messages, run a live session, encode its events."""

import asyncio
import time
from binascii import a2b_base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial

import msgspec
from attrs import define, field
from litestar import websocket
from litestar.di import NamedDependency

from junctor.conf.settings import Live
from junctor.contracts.speech_to_text import EXPECTED, TranscribeForm
from junctor.contracts.speech_to_text_stream import (
    BEARER,
    MAX_MESSAGE_BYTES,
    OPENING_EXPECTED,
    Done,
    Error,
    Final,
    Opening,
    Partial,
    Ready,
    Said,
    Started,
)
from junctor.core.audio.pcm import PcmIntake
from junctor.core.audit import Transcription as Audited
from junctor.core.credentials import credential_of
from junctor.core.errors import (
    ClientGoneError,
    InvalidRequestError,
    JunctorError,
    OverloadedError,
)
from junctor.core.gateway import Gateway
from junctor.core.live import LiveRunEvent, LiveStarted
from junctor.core.pii import redacted
from junctor.core.presence import gone
from junctor.core.runtime import Runtime
from junctor.core.sessions import LiveSession
from junctor.core.tickets import Ticket
from junctor.core.transcripts import LiveFinal, LivePartial
from junctor.core.utterances import joined
from junctor.core.visits import current_visit
from junctor.routers.errors import noted
from junctor.routers.forms import decode_fields
from junctor.routers.sockets import Socket, Sockets, Wire, close_code, sockets_of
from junctor.routers.speech_to_text.errors import STT_FACE, detail
from junctor.routers.speech_to_text.forms import Asked, asked_of, labelled
from junctor.routers.speech_to_text.renderings import language_of, transcription, words_of
from junctor.routers.speech_to_text.work import CONTRACT, unserved_named
from junctor.routers.visits import shutting_down

_FIELDS = frozenset(TranscribeForm.__struct_fields__)
_OPENING_FIELDS = frozenset(Opening.__struct_fields__)
_REFUSED = ("callback_url", "idempotency_key", "retention_hours")
_DIGITS = 3

_said = msgspec.json.Decoder(Said)
_object = msgspec.json.Decoder(dict[str, object])


@websocket("/stream")
async def stream(
    socket: Socket, gateway: NamedDependency[Gateway], runtime: NamedDependency[Runtime]
) -> None:
    """Write speech down while it is spoken."""
    settings = runtime.settings
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, "stream"
    wire = Wire(socket, send_timeout=settings.live.send_timeout)
    offered = _subprotocols(socket)
    await wire.accept(_accepted(offered))
    sockets = sockets_of(socket.app)
    talk = _Talk(
        wire=wire,
        gateway=gateway,
        runtime=runtime,
        bounds=settings.live,
        credential=credential_of(socket.headers) or _bearer(offered),
    )
    try:
        with sockets.joined(talk.stop, limit=settings.limits.max_concurrent_requests):
            await talk.run()
    except Exception as exc:  # noqa: BLE001  # the boundary of a session: `noted` logs defects
        await _refuse(wire, noted(exc, visit), sockets)
    else:
        await wire.close(1000)


async def _refuse(wire: Wire, error: JunctorError, sockets: Sockets) -> None:
    visit = current_visit()
    refusal = STT_FACE.refuse(error, request_id=visit.request_id)
    visit.status = refusal.status
    is_stopping = sockets.is_stopping and isinstance(error, OverloadedError)
    is_idle = isinstance(error, ClientGoneError)
    message = Error(status=refusal.status, message=refusal.message, detail=detail(refusal))
    try:
        await wire.send(message)
    except ClientGoneError:
        return
    code = close_code(408 if is_idle else refusal.status, is_stopping=is_stopping)
    await wire.close(code, refusal.message)


@define(eq=False, kw_only=True)
class _Talk:
    """One client: its first message, then what it sends and what it gets, until either ends."""

    wire: Wire
    gateway: Gateway
    runtime: Runtime
    bounds: Live
    credential: str | None
    _task: asyncio.Task[object] | None = field(default=None, init=False)
    _farewell: asyncio.Task[None] | None = field(default=None, init=False)
    _waits_since: float = field(default=0.0, init=False)
    _limit: asyncio.Timeout | None = field(default=None, init=False)
    _is_stopping: bool = field(default=False, init=False)
    _is_gone: bool = field(default=False, init=False)
    _is_done: bool = field(default=False, init=False)
    _is_redacted: bool = field(default=False, init=False)
    _told: list[Final] = field(factory=list, init=False)

    def stop(self) -> None:
        """Take no more audio: the server is shutting down."""
        self._is_stopping = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """
        Serve the client.

        Raises:
            JunctorError: why the session ends early; all that was heard has been sent.

        """
        opening, form = await self._opening()
        ticket = await self.gateway.admit(
            contract=CONTRACT, operation="stream", credential=self.credential or opening.token
        )
        session: LiveSession | None = None
        try:
            async with ticket:
                asked = labelled(asked_of(form, ticket))
                session = await self._planned(opening, asked, ticket)
                await self.wire.send(
                    Ready(
                        request_id=ticket.request_id,
                        sample_rate=opening.sample_rate,
                        encoding=opening.encoding,
                        channels=opening.channels,
                        max_seconds=ticket.snapshot.settings.limits.max_audio_seconds,
                    )
                )
                await self._attended(session, asked)
        finally:
            if session is not None:
                self._note(session)

    async def _planned(self, opening: Opening, asked: Asked, ticket: Ticket) -> LiveSession:
        intake = await asyncio.to_thread(
            partial(PcmIntake, opening.encoding, opening.sample_rate, channels=opening.channels)
        )
        with unserved_named():
            return await LiveSession.planned(
                self.gateway,
                ticket,
                request=asked.live_request(),
                choice=asked.choice,
                intake=intake,
            )

    def _note(self, session: LiveSession) -> None:
        """Note in the audit what was served, however the session ended."""
        ticket = session.ticket
        if not ticket.snapshot.settings.audit.enabled or not self._told:
            return
        self.runtime.audit.add(
            Audited(
                request_id=ticket.request_id,
                team=ticket.principal.team,
                key_id=ticket.principal.key_id,
                audio_sha256=session.audio_sha256,
                text=" ".join(final.text for final in self._told),
                frames=ticket.frames,
                rate=ticket.sample_rate,
                provider=ticket.provider or "",
                model=ticket.model or "",
                language=self._told[-1].language or "",
                outcome=ticket.outcome,
                is_redacted=self._is_redacted,
            )
        )

    async def _opening(self) -> tuple[Opening, TranscribeForm]:
        seconds = self.bounds.start_timeout
        try:
            async with asyncio.timeout(seconds) as self._limit:
                message = await self.wire.receive()
        except TimeoutError as exc:
            raise (shutting_down() if self._is_stopping else _idle(seconds)) from exc
        finally:
            self._limit = None
        if isinstance(message, bytes):
            raise InvalidRequestError("There was audio before the message 'start'.", param="type")
        return opening_of(message)

    async def _attended(self, session: LiveSession, asked: Asked) -> None:
        """Run the session, and stop it when the client leaves."""
        self._task = task = asyncio.current_task()
        watch = asyncio.create_task(self._watch())
        try:
            try:
                await self._run(session, asked)
            finally:
                watch.cancel()
                if self._farewell is not None:
                    self._farewell.cancel()
                self._task = None
        except asyncio.CancelledError:
            if not self._is_gone or task is None or task.uncancel():
                raise
            raise gone() from None

    async def _run(self, session: LiveSession, asked: Asked) -> None:
        began = time.monotonic()
        ticket, self._is_redacted = session.ticket, asked.redaction
        async with aclosing(session.events(self._chunks())) as events:
            async for event in events:
                message = await _message(event, asked, session.ticket)
                if message is not None:
                    await self.wire.send(message)
                if isinstance(message, Final):
                    self._told.append(message)
        transcript = session.transcript()
        ticket.settle()
        shown = await redacted(transcript) if asked.redaction else transcript
        whole = transcription(shown, asked, ticket, seconds=time.monotonic() - began)
        await self.wire.send(Done(**msgspec.structs.asdict(whole)))
        self._is_done = True

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the client's audio as it comes; raise what ends it before its end."""
        is_first = True
        try:
            while (chunk := chunk_of(await self._next())) is not None:
                if is_first and chunk.startswith(b"RIFF"):
                    raise InvalidRequestError(
                        "The audio begins like a WAV file. Send its samples alone, and their "
                        "sample_rate, encoding and channels in the message 'start'.",
                        param="audio",
                    )
                is_first = False
                yield chunk
        finally:
            if not self._is_gone:
                self._farewell = asyncio.create_task(self._left())

    async def _next(self) -> str | bytes:
        if self._is_stopping:
            raise shutting_down()
        self._waits_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None) as self._limit:
                return await self.wire.receive()
        except TimeoutError as exc:
            idle = _idle(self.bounds.idle_timeout)
            raise (shutting_down() if self._is_stopping else idle) from exc
        except ClientGoneError:
            self._leave()
            raise
        finally:
            self._limit = None

    async def _watch(self) -> None:
        """End a wait for the client that takes too long; cheaper than a timer for each message."""
        now, idle = asyncio.get_running_loop().time, self.bounds.idle_timeout
        while True:
            await asyncio.sleep(idle / 4)
            if self._limit is not None and now() - self._waits_since > idle:
                self._limit.reschedule(now())

    async def _left(self) -> None:
        """Wait for the client to leave, once its audio has ended; what it still says is nothing."""
        try:
            while True:
                await self.wire.receive()
        except ClientGoneError:
            self._leave()

    def _leave(self) -> None:
        if self._task is not None and not self._is_done:
            self._is_gone = True
            self._task.cancel()


async def _message(event: LiveRunEvent, asked: Asked, ticket: Ticket) -> msgspec.Struct | None:
    if isinstance(event, LiveStarted):
        return Started(provider=event.provider, model=event.model)
    if isinstance(event, LivePartial):
        # What is personal may lie across two partials.
        return None if asked.redaction else Partial(text=event.text)
    return await _final(event, asked, provider=ticket.provider or "", model=ticket.model or "")


async def _final(event: LiveFinal, asked: Asked, *, provider: str, model: str) -> Final:
    heard = joined([event])
    if asked.redaction:
        heard = await redacted(heard)
    return Final(
        text=heard.text,
        start=round(event.start, _DIGITS),
        end=round(event.end, _DIGITS),
        words=words_of(heard, asked),
        language=language_of(heard, asked),
        confidence=event.confidence,
        provider=provider,
        model=model,
    )


def opening_of(text: str) -> tuple[Opening, TranscribeForm]:
    """
    Decode the first message.

    Raises:
        InvalidRequestError: it is not a `start`, or a field is wrong; `param` names it.

    """
    _check_size(text)
    try:
        fields = _object.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as exc:
        raise _not_json() from exc
    if fields.get("type") != "start":
        raise InvalidRequestError(
            "The first message is not of the type 'start'. Begin with that, then send audio.",
            param="type",
        )
    for name in _REFUSED:
        if fields.get(name):
            raise InvalidRequestError(
                f"{name} is for POST /speech-to-text/transcribe; a live session has none.",
                param=name,
            )
    opening = decode_fields(Opening, _texts(fields, _OPENING_FIELDS), expected=OPENING_EXPECTED)
    return opening, decode_fields(TranscribeForm, _texts(fields, _FIELDS), expected=EXPECTED)


def _texts(fields: Mapping[str, object], names: frozenset[str]) -> dict[str, Sequence[str]]:
    """Return fields of a JSON object as a form would have them."""
    return {
        name: [value if isinstance(value, str) else msgspec.json.encode(value).decode()]
        for name, value in fields.items()
        if name in names and value is not None
    }


def chunk_of(message: str | bytes) -> bytes | None:
    """
    Return the audio of a message, None where it says `end`.

    Raises:
        InvalidRequestError: it is too large, or not a message of a running session.

    """
    _check_size(message)
    if isinstance(message, bytes):
        return message
    try:
        said = _said.decode(message)
        if said.type == "audio":
            return _from_base64(said.audio)
    except (msgspec.DecodeError, UnicodeEncodeError) as exc:
        raise _not_json() from exc
    if said.type == "end":
        return None
    raise InvalidRequestError(
        "The session has started already."
        if said.type == "start"
        else f"There is no message {said.type[:64]!r}. Expected 'audio' or 'end'.",
        param="type",
    )


def _from_base64(text: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as exc:
        raise InvalidRequestError("The field 'audio' is not base64.", param="audio") from exc


def _check_size(message: str | bytes) -> None:
    if len(message) > MAX_MESSAGE_BYTES:
        raise InvalidRequestError(
            f"A message has more than {MAX_MESSAGE_BYTES} bytes. Send audio in smaller pieces."
        )


def _not_json() -> InvalidRequestError:
    return InvalidRequestError("A text message is not a JSON object with the field 'type'.")


def _idle(seconds: float) -> ClientGoneError:
    return ClientGoneError(f"Nothing was received for {seconds:g} seconds.")


def _subprotocols(socket: Socket) -> list[str]:
    """Return the sub-protocols that the client offers."""
    offered = socket.headers.get("sec-websocket-protocol", "")
    return [one for part in offered.split(",") if (one := part.strip())]


def _bearer(offered: Sequence[str]) -> str | None:
    tokens = (one.removeprefix(BEARER) for one in offered if one.startswith(BEARER))
    return next(tokens, None)


def _accepted(offered: Sequence[str]) -> str | None:
    """Return the sub-protocol to agree on; one that is not the token, where there is one."""
    others = [one for one in offered if not one.startswith(BEARER)]
    return next(iter((*others, *offered)), None)
