"""
Captions of one client, whatever its wire: utterance after utterance, each with its texts and its end.

A contract hands in what its client sends (`hear`, `flush`, `end`, `reset`, `finish`) and encodes
what comes out of `events`. Each utterance is a `LiveRun` of its own over one plan, so that a model
that fails in the middle of speech is followed by the next one, which hears that speech again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Final, Self, TypeGuard

from attrs import define, evolve, field

from junctor.core.agreement import Agreement
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES, PcmIntake
from junctor.core.audio.voice import VoiceTrack
from junctor.core.captioned import Caption, CaptionEvent, SpeechStarted, Utterance, WasReset
from junctor.core.errors import JunctorError
from junctor.core.gateway import Gateway
from junctor.core.live import LiveRun, LiveStarted, voice_of, wake
from junctor.core.plans import Choice, Plan
from junctor.core.requests import LiveRequest
from junctor.core.tape import Tape
from junctor.core.tickets import Ticket
from junctor.core.transcripts import LiveFinal, LivePartial
from junctor.core.utterances import joined

MAX_UTTERANCES: Final = 8
"""Utterances that have ended and wait for their final; then no more audio is taken."""
MAX_EVENTS: Final = 64
"""Events that wait for the client; then nothing more is decoded for it."""


@define(eq=False, kw_only=True)
class Captions:
    """
    Made by `planned`; run it by `events`, and close its ticket whatever becomes of it.

    Audio is charged once a text of it, a caption or a final, has reached the client.
    """

    gateway: Gateway
    ticket: Ticket
    request: LiveRequest
    choice: Choice
    plan: Plan
    sample_rate: int
    """Of the client's audio, Hz."""
    has_voice: bool
    """Whether beginnings of speech are told."""
    _utterance: Utterance | None = field(default=None, init=False)
    _queue: deque[Utterance | WasReset] = field(factory=deque, init=False)
    _events: deque[tuple[CaptionEvent, float]] = field(factory=deque, init=False)
    """What waits for the client, and up to which second of the session it has a text then."""
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _is_finished: bool = field(default=False, init=False)
    _has_started: bool = field(default=False, init=False)
    """Whether anybody has listened: then it goes on trying when nobody can be opened."""
    _frames: int = field(default=0, init=False)

    @classmethod
    async def planned(
        cls,
        gateway: Gateway,
        ticket: Ticket,
        *,
        request: LiveRequest,
        choice: Choice,
        sample_rate: int,
        has_voice: bool = True,
    ) -> Self:
        """
        Return the session of an admitted client; nothing is opened yet.

        Args:
            gateway: the way of every request.
            ticket: of the session; it stays the caller's.
            request: what is asked.
            choice: by whom.
            sample_rate: of the client's audio, signed 16-bit little-endian mono PCM; Hz.
            has_voice: whether speech is found by Silero VAD, and its beginnings are told; else
                pauses are found by loudness.

        Raises:
            JunctorError: nobody can serve it.

        """
        plan = gateway.live_plan(ticket, request, choice)
        wake(ticket.snapshot, plan)
        # The first ones of a process import and load what they need.
        await asyncio.to_thread(_pcm_intake, sample_rate)
        await asyncio.to_thread(_voice_track, has_voice=has_voice)
        ticket.is_live = True
        ticket.sample_rate = sample_rate
        return cls(
            gateway=gateway,
            ticket=ticket,
            request=request,
            choice=choice,
            plan=plan,
            sample_rate=sample_rate,
            has_voice=has_voice,
        )

    @property
    def is_idle(self) -> bool:
        """Whether all that was said is final, and has reached the client."""
        return self._utterance is None and not self._queue and not self._events

    async def hear(self, chunk: bytes) -> None:
        """
        Take more of the client's audio; waits while too much of it is not final.

        Raises:
            InvalidRequestError: it ends inside a sample; nothing of it is taken.
            InsufficientBalanceError: the team's seconds of today are used up.
            TooLongError: the session is longer than the server takes.

        """
        intake = self._utterance.intake if self._utterance else _pcm_intake(self.sample_rate)
        frames = intake.frames_in(chunk)
        self.ticket.hear(frames)  # an utterance of which nothing may be heard does not begin
        utterance = self._utterance or await self._begun(intake)
        self._frames += frames
        utterance.frames += frames
        tape = utterance.tape
        pcm = utterance.intake.feed(chunk)
        utterance.arrivals.append((tape.end + len(pcm) // SAMPLE_BYTES, monotonic()))
        await tape.take(pcm)
        if self.has_voice and not utterance.has_onset:
            self._look_for_speech(utterance)

    def flush(self) -> None:
        """Ask for a caption of all that was heard."""
        utterance = self._utterance
        if utterance is None:
            self._tell(evolve(self._nothing(), is_flush=True))
        elif utterance.run is None or utterance.run.hears_flushes:
            utterance.tape.flush()
        else:  # the model makes captions as it likes: here is its last
            shown = utterance.shown or utterance.caption()
            self._tell(evolve(shown, is_flush=True))

    async def end(self) -> None:
        """End the utterance: its final comes out of `events`, also where nothing was said."""
        utterance = self._utterance or await self._begun(_pcm_intake(self.sample_rate))
        self._utterance = None
        utterance.ended_at = monotonic()
        try:
            await utterance.tape.take(utterance.intake.flush())
        finally:  # else its final would be waited for without end
            utterance.tape.finish()

    async def reset(self) -> None:
        """
        Forget the utterance under way; `WasReset` comes behind the finals of those before it.

        Waits while too many answers wait for the client.
        """
        utterance, self._utterance = self._utterance, None
        if utterance is not None:
            utterance.is_reset = True
            if utterance.task is not None:
                utterance.task.cancel()
        while len(self._queue) >= MAX_EVENTS:
            await self._changed.wait()
        self._queue.append(WasReset())
        self._notify()

    async def finish(self) -> None:
        """Say that nothing more will come: `events` ends behind the last final."""
        if self._utterance is not None:
            await self.end()
        self._is_finished = True
        self._notify()

    async def events(self) -> AsyncGenerator[CaptionEvent, None]:
        """
        Yield what is heard until `finish`; raises behind the last final.

        Raises:
            JunctorError: no candidate is left.

        """
        worker = asyncio.create_task(self._work())
        worker.add_done_callback(lambda _: self._notify())
        try:
            while True:
                while self._events:
                    event, served = self._events[0]
                    yield event
                    self.ticket.serve_until(served)
                    self._events.popleft()
                    self._notify()
                if worker.done():
                    await worker
                    return
                await self._changed.wait()
        finally:
            worker.cancel()
            await asyncio.wait([worker])
            # It may hold the error that is on its way out, whose traceback holds this frame.
            del worker

    async def _begun(self, intake: PcmIntake) -> Utterance:
        while sum(isinstance(one, Utterance) for one in self._queue) >= MAX_UTTERANCES:
            await self._changed.wait()
        card = self.plan.candidates[0].card
        self._utterance = utterance = Utterance(
            tape=Tape(
                self.ticket.snapshot.settings.live.max_replay,
                _voice_track(has_voice=self.has_voice),
            ),
            intake=intake,
            begins=self._frames,
            provider=card.provider,
            model=card.id,
        )
        self._queue.append(utterance)
        self._notify()
        return utterance

    def _look_for_speech(self, utterance: Utterance) -> None:
        onset = utterance.tape.voice.onset if utterance.tape.voice else None
        if onset is None:
            return
        utterance.has_onset = True
        came = next((at for end, at in utterance.arrivals if end > onset), monotonic())
        self._tell(SpeechStarted(offset=onset / SAMPLE_RATE, latency=monotonic() - came))

    def _nothing(self) -> Caption:
        card = self.plan.candidates[0].card
        return Caption(text="", audio=0.0, provider=card.provider, model=card.id)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                if self._is_finished:
                    return
                await self._changed.wait()
            while len(self._events) >= MAX_EVENTS:
                await self._changed.wait()
            first = self._queue[0]
            if isinstance(first, WasReset):
                self._tell(first)
            elif not first.is_reset:
                await self._attended(first)
            self._queue.popleft()
            self._notify()

    async def _attended(self, utterance: Utterance) -> None:
        """Caption an utterance, unless it is reset."""
        utterance.task = task = asyncio.create_task(self._captioned(utterance))
        try:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            # It may hold the error that is on its way out, whose traceback holds this frame.
            utterance.task = None
            del task

    async def _captioned(self, utterance: Utterance) -> None:
        try:
            if utterance.frames or utterance.ended_at is None:
                await self._heard(utterance)
        except JunctorError as error:
            if utterance.finals:
                self._tell(self._final(utterance), utterance)
            # A task keeps its error, and timeouts among its causes keep the task.
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None) from None
        self._tell(self._final(utterance), utterance)

    def _final(self, utterance: Utterance) -> Caption:
        heard = joined(utterance.finals)
        return utterance.final(
            self.gateway.utterance_transcript(self.ticket, heard, self.request, self.choice)
        )

    async def _heard(self, utterance: Utterance) -> None:
        snapshot = self.ticket.snapshot
        utterance.run = run = LiveRun(
            dispatcher=snapshot.dispatcher,
            bounds=snapshot.settings.live,
            plan=self.plan,
            tape=utterance.tape,
            voice=voice_of(snapshot, self.request),
            trace=self.ticket.trace,
            is_resumed=self._has_started,
        )
        flushed = 0
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    if isinstance(event, LiveStarted):
                        self._has_started = True
                        utterance.provider, utterance.model = event.provider, event.model
                        continue
                    if isinstance(event, LiveFinal):
                        utterance.finals.append(event)
                        utterance.agreement = Agreement()
                    caption = utterance.caption(event if isinstance(event, LivePartial) else None)
                    is_flush = run.flushed > flushed
                    flushed = run.flushed
                    self._tell(evolve(caption, is_flush=is_flush), utterance)
                    while len(self._events) >= MAX_EVENTS:
                        await self._changed.wait()
        finally:
            self.ticket.cost += run.cost
            utterance.run = None

    def _tell(self, event: CaptionEvent, of: Utterance | None = None) -> None:
        """
        Queue an event; a newer caption takes the place of one that the client has not got.

        One that was asked for takes the place of any; nothing else takes its place.
        """
        served = 0.0
        if of is not None and isinstance(event, Caption) and (event.text or event.is_final):
            served = of.begins / self.sample_rate + event.audio
        if len(self._events) > 1 and _is_passing(event):
            last = self._events[-1][0]
            if _is_passing(last) and (event.is_flush or not last.is_flush):
                self._events.pop()
        self._events.append((event, served))
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _is_passing(event: CaptionEvent) -> TypeGuard[Caption]:
    """Say whether it is a caption that a newer one can make superfluous."""
    return isinstance(event, Caption) and not event.is_final


def _pcm_intake(rate: int) -> PcmIntake:
    return PcmIntake("pcm_s16le", rate)


def _voice_track(*, has_voice: bool) -> VoiceTrack:
    return VoiceTrack.best() if has_voice else VoiceTrack()
