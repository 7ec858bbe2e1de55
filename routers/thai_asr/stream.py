"""`WS /stream`: one client, its utterances, and what is heard of them."""

import asyncio
from contextlib import aclosing, suppress
from math import inf

from attrs import define, field
from litestar import websocket
from litestar.di import NamedDependency

from junctor.conf.settings import Settings
from junctor.contracts.thai_asr import (
    Error,
    Ready,
    ResetOk,
    SessionConfig,
    SpeechStart,
    Started,
)
from junctor.core.captioned import Caption, CaptionEvent, SpeechStarted
from junctor.core.captions import Captions
from junctor.core.credentials import credential_of
from junctor.core.errors import (
    ClientGoneError,
    InvalidRequestError,
    JunctorError,
    OverloadedError,
)
from junctor.core.gateway import Gateway
from junctor.core.presence import gone
from junctor.core.runtime import Runtime
from junctor.core.tickets import Ticket
from junctor.core.visits import current_visit
from junctor.routers.errors import noted
from junctor.routers.sockets import Socket, Sockets, Wire, sockets_of
from junctor.routers.thai_asr.errors import SHUTDOWN, THAI_ASR_FACE, ending_of
from junctor.routers.thai_asr.messages import (
    KNOWN_TYPES,
    Complaint,
    audio_in,
    checked,
    config_of_start,
    said_in,
    unknown_type,
)
from junctor.routers.thai_asr.renderings import (
    final_of,
    limits_of,
    millis,
    partial_of,
    stable_of,
    tenant_of,
)
from junctor.routers.thai_asr.serving import (
    CONTRACT,
    choice_of,
    engine_of,
    request_of,
    unserved,
)
from junctor.routers.thai_asr.sessions import WaitingSessions, sessions_of
from junctor.routers.visits import shutting_down

_NOT_STARTED = Complaint(
    code="not_started",
    error="The session has not started; nothing of this message was taken. Send 'start' first.",
)
_STARTED = Complaint(
    code="already_started",
    error="The session has started already, and goes on as it was. Ask for another session to use "
    "another config.",
)


@websocket("/stream")
async def stream(
    socket: Socket, gateway: NamedDependency[Gateway], runtime: NamedDependency[Runtime]
) -> None:
    """Caption Thai speech while it is spoken."""
    settings = runtime.settings
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, "stream"
    wire = Wire(socket, send_timeout=settings.live.send_timeout)
    await wire.accept()
    sockets, query = sockets_of(socket.app), socket.query_params
    talk = _Talk(
        wire=wire,
        gateway=gateway,
        sessions=sessions_of(socket.app),
        session_id=query.get("session_id", ""),
        credential=query.get("api_key") or credential_of(socket.headers),
        settings=settings,
    )
    try:
        with sockets.joined(talk.stop, limit=settings.limits.max_concurrent_requests):
            await talk.run()
    except Exception as exc:  # noqa: BLE001  # the boundary of a session: `noted` logs defects
        await _refuse(wire, noted(exc, visit), sockets, talk.session_id)
    else:
        await wire.close(1000)


async def _refuse(wire: Wire, error: JunctorError, sockets: Sockets, session_id: str) -> None:
    visit = current_visit()
    refusal = THAI_ASR_FACE.refuse(error, request_id=visit.request_id)
    visit.status = refusal.status
    is_stopping = sockets.is_stopping and isinstance(error, OverloadedError)
    ending = SHUTDOWN if is_stopping else ending_of(error)
    message = Error(session_id=session_id, code=ending.code, error=refusal.message)
    try:
        await wire.send(message)
    except ClientGoneError:
        return
    await wire.close(ending.close, refusal.message)


@define(eq=False, kw_only=True)
class _Talk:
    """One client: what it says and what it gets, until either ends."""

    wire: Wire
    gateway: Gateway
    sessions: WaitingSessions
    session_id: str
    credential: str | None
    settings: Settings
    _task: asyncio.Task[object] | None = field(default=None, init=False)
    _limit: asyncio.Timeout | None = field(default=None, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)
    _reason: Exception | None = field(default=None, init=False)
    """Why the client is not heard any more."""
    _is_cut: bool = field(default=False, init=False)
    """Whether nobody waits for what is still to be said."""
    _waits_since: float = field(default=inf, init=False)
    _is_first: bool = field(default=True, init=False)
    """Whether the next audio begins an utterance."""
    _errors: int = field(default=0, init=False)
    _stable: str = field(default="", init=False)
    """What was sent last of what is stable in the utterance."""

    def stop(self) -> None:
        """Take no more audio: the server is shutting down."""
        self._finish(shutting_down())

    async def run(self) -> None:
        """
        Serve the client.

        Raises:
            JunctorError: why the session ends early; all that was heard has been sent.

        """
        credential, self.credential = self.credential, None
        ticket = await self.gateway.admit(
            contract=CONTRACT, operation="stream", credential=credential
        )
        async with ticket:
            waiting = self.sessions.take(ticket.principal.team, self.session_id)
            engine = engine_of(self.gateway, ticket)
            await self.wire.send(
                Ready(
                    session_id=self.session_id,
                    engine=engine,
                    sample_rate=waiting.sample_rate,
                    limits=limits_of(self.gateway, ticket.principal),
                    tenant=tenant_of(ticket.principal),
                )
            )
            config = await self._begun(waiting)
            captions = await self._planned(config, ticket)
            await self.wire.send(Started(session_id=self.session_id, engine=engine, config=config))
            await self._attended(captions)

    async def _planned(self, config: SessionConfig, ticket: Ticket) -> Captions:
        with unserved():
            return await Captions.planned(
                self.gateway,
                ticket,
                request=request_of(config),
                choice=choice_of(ticket),
                sample_rate=config.sample_rate,
                has_voice=config.vad,
            )

    async def _begun(self, waiting: SessionConfig) -> SessionConfig:
        """Return the config of a good `start`; whatever else comes is told to be wrong."""
        seconds = self.settings.live.start_timeout
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(seconds) as self._limit:
                    while True:
                        found = self._start_in(await self._next(), waiting)
                        if isinstance(found, SessionConfig):
                            return found
                        await self._complain(found)
            finally:
                self._limit = None
        reason, self._reason = self._reason or _idle(seconds), None
        try:
            raise reason
        finally:
            del reason  # its traceback holds this frame

    async def _next(self) -> str | bytes:
        if self._reason is not None:
            raise TimeoutError
        self._waits_since = 0.0
        try:
            return await self.wire.receive()
        finally:
            self._waits_since = inf

    def _start_in(self, message: str | bytes, waiting: SessionConfig) -> SessionConfig | Complaint:
        if isinstance(message, bytes):
            return _NOT_STARTED
        said = said_in(message)
        if isinstance(said, Complaint):
            return said
        if said.type != "start":
            return _NOT_STARTED if said.type in KNOWN_TYPES else unknown_type(said)
        try:
            return config_of_start(message, waiting)
        except InvalidRequestError as exc:
            return Complaint(code="invalid_config", error=str(exc), param=exc.param)

    async def _complain(self, complaint: Complaint) -> None:
        """
        Tell the client what was wrong with a message.

        Raises:
            InvalidRequestError: there were too many of them.

        """
        self._errors += 1
        message = Error(
            session_id=self.session_id,
            code=complaint.code,
            error=complaint.error,
            param=complaint.param,
        )
        await self.wire.send(message)
        if self._errors >= self.settings.thai_asr.max_errors:
            raise InvalidRequestError(
                f"{self._errors} messages made no sense. Read the errors that were sent."
            )

    async def _attended(self, captions: Captions) -> None:
        """Send what is heard, beside the task that hears."""
        self._task = task = asyncio.current_task()
        listening = asyncio.create_task(self._listen(captions))
        self._look()
        try:
            try:
                async with aclosing(captions.events()) as events:
                    async for event in events:
                        await self._tell(event)
            finally:
                self._task = None
                if self._timer is not None:
                    self._timer.cancel()
                listening.cancel()
                await asyncio.wait([listening])
        except asyncio.CancelledError:
            if not self._is_cut or task is None or task.uncancel():
                raise
        reason, self._reason = self._reason, None
        if reason is not None:
            try:
                raise reason
            finally:
                del reason  # likewise

    async def _listen(self, captions: Captions) -> None:
        """Hear the client until it leaves, or until there is a reason to hear it no longer."""
        try:
            try:
                await self._hear(captions)
            except ClientGoneError:
                raise
            except JunctorError as exc:
                self._reason = self._reason or exc.with_traceback(None)
            await captions.finish()
            while True:  # what it still says is nothing
                await self.wire.receive()
        except ClientGoneError:
            if captions.is_idle and self._reason is None:
                await captions.finish()
            else:
                self._cut(self._reason or gone())
        except Exception as exc:  # noqa: BLE001  # raised in the main task, whose boundary logs it
            self._cut(exc)

    async def _hear(self, captions: Captions) -> None:
        """Take what the client says: the hot path, 50 messages a second."""
        now, receive = asyncio.get_running_loop().time, self.wire.receive
        try:
            async with asyncio.timeout(None) as self._limit:
                while self._reason is None:
                    self._waits_since = now()
                    message = await receive()
                    self._waits_since = inf
                    if type(message) is bytes:
                        await self._take(message, captions)
                    else:
                        await self._obey(str(message), captions)
        except TimeoutError:
            return  # `_finish` has the reason
        finally:
            self._limit = None

    async def _take(self, pcm: bytes | Complaint, captions: Captions) -> None:
        pcm = checked(pcm, is_first=self._is_first)
        if isinstance(pcm, Complaint):
            await self._complain(pcm)
        elif pcm:
            self._is_first = False
            await captions.hear(pcm)

    async def _obey(self, text: str, captions: Captions) -> None:
        said = said_in(text)
        if isinstance(said, Complaint):
            await self._complain(said)
            return
        match said.type:
            case "audio":
                await self._take(audio_in(said), captions)
            case "flush":
                captions.flush()
            case "end" | "end_utterance":
                self._is_first = True
                await captions.end()
            case "reset":
                self._is_first = True
                await captions.reset()
            case "start":
                await self._complain(_STARTED)
            case _:
                await self._complain(unknown_type(said))

    async def _tell(self, event: CaptionEvent) -> None:
        if isinstance(event, SpeechStarted):
            message = SpeechStart(
                session_id=self.session_id,
                offset_ms=millis(event.offset),
                latency_ms=millis(event.latency),
            )
            await self.wire.send(message)
        elif not isinstance(event, Caption):
            self._stable = ""
            await self.wire.send(ResetOk(session_id=self.session_id))
        elif event.is_final:
            self._stable = ""
            await self.wire.send(final_of(event, self.session_id))
        else:
            await self._show(event)

    async def _show(self, caption: Caption) -> None:
        partial = partial_of(caption, self.session_id)
        await self.wire.send(partial)
        if caption.stable not in {"", self._stable}:
            self._stable = caption.stable
            await self.wire.send(stable_of(caption, partial))

    def _look(self) -> None:
        """End a wait for the client that takes too long; cheaper than a timer for each message."""
        loop, idle = asyncio.get_running_loop(), self.settings.live.idle_timeout
        if loop.time() - self._waits_since > idle:
            self._finish(_idle(idle))
        else:
            self._timer = loop.call_later(idle / 4, self._look)

    def _finish(self, reason: JunctorError) -> None:
        """Hear the client no longer, as soon as what it said last is taken."""
        self._reason = self._reason or reason
        if self._limit is not None and self._waits_since != inf:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _cut(self, reason: Exception) -> None:
        """Stop at once: nobody waits for what is still to be said."""
        if self._task is not None:
            self._reason, self._is_cut = reason, True
            self._task.cancel()


def _idle(seconds: float) -> ClientGoneError:
    return ClientGoneError(f"Nothing was received for {seconds:g} seconds.")
