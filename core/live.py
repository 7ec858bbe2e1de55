"""
A live session over a plan: fallback in the middle of speech, without a lost or repeated word.

Nothing here knows a wire. The audio since the last final stays on a `Tape`; when the candidate that
listens to it fails, the next one hears that audio again, faster than it was spoken, and goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, Protocol, cast

from attrs import define, evolve, field, frozen

from junctor.conf.settings import Live
from junctor.core.attempts import Attempt
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import is_loud
from junctor.core.cards import Capability, Feature
from junctor.core.dispatch import Deadline, Dispatcher, Order
from junctor.core.ears import Ear, IsSpeech, has_speech
from junctor.core.errors import (
    AllCandidatesFailedError,
    DeadlineExceededError,
    JunctorError,
    NoCandidateError,
    ProviderBusyError,
    ProviderError,
    ProviderUnavailableError,
)
from junctor.core.operations import Trace
from junctor.core.plans import Candidate, Plan
from junctor.core.providers import LiveTranscriber, Transcriber
from junctor.core.requests import LiveRequest
from junctor.core.rolling import RollingListener
from junctor.core.snapshots import Snapshot
from junctor.core.tape import Tape
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady
from junctor.core.utterances import LONGEST_CLIP, ClipDesk, stop

_NOBODY = (AllCandidatesFailedError, DeadlineExceededError, NoCandidateError)
"""Errors of a plan whose candidates could not be opened."""
_PAUSE: Final = 1.0
"""Before the second time around, seconds; doubled with each further one."""
_LONGEST_PAUSE: Final = 8.0


@frozen(kw_only=True)
class LiveStarted:
    """From here on this candidate answers."""

    provider: str
    model: str


LiveRunEvent = LiveStarted | LivePartial | LiveFinal
"""What a run yields; times are seconds from the start of the client's audio."""


class Voice(Protocol):
    """Opens a candidate on the audio that it is given."""

    def __call__(
        self, candidate: Candidate, ear: Ear, /, *, is_replay: bool
    ) -> AsyncIterator[LiveEvent]:
        """Open it; `is_replay` says whether somebody failed over that audio."""


def voice_of(snapshot: Snapshot, request: LiveRequest) -> Voice:
    """Return how candidates of a snapshot are asked; what cannot listen live gets a stand-in."""
    within = snapshot.settings.live.utterance_timeout

    def voice(candidate: Candidate, ear: Ear, *, is_replay: bool) -> AsyncIterator[LiveEvent]:
        card, provider = candidate.card, snapshot.provider(candidate.card)
        asked = _asked(candidate, request)
        if is_native(candidate):
            return cast("LiveTranscriber", provider).live_transcribe(asked, ear)
        has_windows = Capability.TRANSCRIBE_WINDOWS in card.capabilities
        desk = (
            snapshot.desk(card) if has_windows else ClipDesk(cast("Transcriber", provider), asked)
        )
        return RollingListener(
            desk=desk,
            request=asked,
            ear=ear,
            longest=card.window_seconds if has_windows else LONGEST_CLIP,
            within=within,
            has_partials=has_windows,
            is_replay=is_replay,
        ).events()

    return voice


def wake(snapshot: Snapshot, plan: Plan) -> None:
    """Have the first candidate get ready, where it hears windows: the client speaks in a moment."""
    card = plan.candidates[0].card
    if Capability.TRANSCRIBE_WINDOWS in card.capabilities and not is_native(plan.candidates[0]):
        snapshot.desk(card).wake()


def is_native(candidate: Candidate) -> bool:
    """Say whether a candidate listens live by itself."""
    return Capability.LIVE_TRANSCRIBE in candidate.card.capabilities


def _asked(candidate: Candidate, request: LiveRequest) -> LiveRequest:
    """Return the request as one candidate gets it: without wishes that it cannot fulfil."""
    card, language = candidate.card, request.language
    if language is None and candidate.needs_language and request.allowed_languages:
        language = request.allowed_languages[0]
    return evolve(
        request,
        model=card.id,
        language=language,
        word_timestamps=request.word_timestamps and Feature.WORD_TIMESTAMPS in card.features,
        diarization=request.diarization and Feature.DIARIZATION in card.features,
    )


@define(eq=False, kw_only=True)
class LiveRun:
    """
    One live session, over the candidates of a plan.

    Who failed is not asked again while there are others; then the plan begins anew, `live.rounds`
    times over the same audio at most. Each final starts the count again.
    """

    dispatcher: Dispatcher
    bounds: Live
    plan: Plan
    """Has at least one candidate."""
    tape: Tape
    """Filled by somebody else; has a voice track where the plan `needs_voice`."""
    voice: Voice
    trace: Trace = field(factory=Trace)
    is_speech: IsSpeech = has_speech
    """Judges the audio that a candidate does not answer."""
    is_resumed: bool = False
    """Whether its session was served before: then it goes on trying also where nobody can be opened."""
    cost: float = field(default=0.0, init=False)
    """What the candidates charge for the audio they were given, replays too; US dollars."""
    _rest: tuple[Candidate, ...] = field(default=(), init=False)
    _ear: Ear | None = field(default=None, init=False)
    _index: int = field(default=0, init=False)
    _told: LiveStarted | None = field(default=None, init=False)
    _partial: LivePartial | None = field(default=None, init=False)
    _rounds: int = field(default=0, init=False)
    _has_failed: bool = field(default=False, init=False)
    _suspicion: int = field(default=0, init=False)

    @classmethod
    def needs_voice(cls, plan: Plan) -> bool:
        """Say whether a candidate needs the tape's voice track."""
        return not all(map(is_native, plan.candidates))

    async def events(self) -> AsyncGenerator[LiveRunEvent, None]:
        """
        Yield what is heard, and who hears it, until the tape is over and its last word is final.

        Raises:
            JunctorError: no candidate is left; comes behind everything that was heard, the last
                partial as a final. What `Dispatcher.stream` raises, or the last one's error.

        """
        self._rest = self.plan.candidates
        while self._rest:
            async with aclosing(self._turn()) as turn:
                async for event in turn:
                    yield event

    async def _turn(self) -> AsyncGenerator[LiveRunEvent, None]:
        """Let a candidate listen until it ends or fails, and find out who comes then."""
        try:
            async with aclosing(self._heard(self._rest)) as heard:
                async for event in heard:
                    yield event
        except JunctorError as error:
            is_all_said = self._is_all_said
            self._rest = () if is_all_said else self._left(error)
            if self._rest or is_all_said:
                await self._wait()
                return
            for final in self._last_words():
                yield final
            raise
        for final in self._last_words():
            yield final
        self._rest = self._behind()

    async def _heard(self, rest: tuple[Candidate, ...]) -> AsyncGenerator[LiveRunEvent, None]:
        is_fallback = rest[0] is not self.plan.candidates[0]
        order = Order(
            blank=Attempt(capability=Capability.LIVE_TRANSCRIBE, is_fallback=is_fallback),
            deadline=Deadline.after(self.bounds.open_timeout),
            trace=self.trace,
            is_live=True,
        )
        stream = self.dispatcher.stream(Plan(candidates=rest), self._listening, order)
        async with aclosing(stream) as events:
            async for event in events:
                card = self.plan.candidates[self._index].card
                started = LiveStarted(provider=card.provider, model=card.id)
                if started != self._told:
                    self._told = started
                    yield started
                placed = self._placed(event)
                if placed is not None:
                    yield placed

    async def _listening(self, candidate: Candidate) -> AsyncGenerator[LiveEvent, None]:
        """Open one candidate on what is on the tape."""
        self._index = self.plan.candidates.index(candidate)
        self._ear = ear = Ear(
            tape=self.tape,
            card=candidate.card,
            bounds=self.bounds,
            is_speech=self.is_speech,
            is_native=is_native(candidate),
            suspicion=self._suspicion,
            flushed=self.flushed,
        )
        # A stand-in bounds its own work, and is silent for as long as an utterance is.
        watch = asyncio.create_task(ear.watch()) if ear.is_native else None
        source = self.voice(candidate, ear, is_replay=self._has_failed)
        try:
            while (event := await ear.answer(source)) is not None:
                yield event
            if not ear.is_done:
                raise ProviderUnavailableError(
                    "It ended the session before the audio had ended.",
                    provider=candidate.card.provider,
                    model=candidate.card.id,
                )
        finally:
            ear.close()
            if watch is not None:
                watch.cancel()
            self.cost += candidate.card.price * ear.seconds / 60
            await stop(source)

    def _placed(self, event: LiveEvent) -> LivePartial | LiveFinal | None:
        """Return an event as the client gets it; what is final leaves the tape."""
        ear = self._current
        if isinstance(event, LivePartial):
            shown, self._partial = self._partial, event if event.text.strip() else None
            ear.has_partial = self._partial is not None
            is_worth = ear.has_partial or shown is not None or not ear.is_native
            return event if is_worth else None
        if isinstance(event, LiveReady):
            return None
        shown, self._partial, ear.has_partial = self._partial, None, False
        self._rounds, self._has_failed, self._suspicion = 0, False, 0
        self.tape.forget(min(ear.position, ear.start + round(event.end * SAMPLE_RATE)))
        if event.text.strip():
            return _shifted(event, ear.start / SAMPLE_RATE)
        return LivePartial(text="") if shown is not None else None

    @property
    def flushed(self) -> int:
        """How many of the tape's flushes were answered."""
        return self._ear.flushed if self._ear else 0

    @property
    def hears_flushes(self) -> bool:
        """Whether the candidate that listens answers `Tape.flush` with a partial."""
        ear = self._ear
        if ear is None:
            return True
        return not ear.is_native and Capability.TRANSCRIBE_WINDOWS in ear.card.capabilities

    @property
    def _is_all_said(self) -> bool:
        """Whether the client has ended, and nothing but silence waits for a final."""
        tape = self.tape
        is_quiet = tape.is_over and not is_loud(tape.read(tape.origin, tape.end))
        return is_quiet and self._told is not None and self._partial is None

    @property
    def _current(self) -> Ear:
        assert self._ear is not None  # noqa: S101  # whoever answers was opened
        return self._ear

    def _behind(self) -> tuple[Candidate, ...]:
        """Return who hears what follows, now that a candidate has said its last word."""
        position = self._current.position
        self.tape.forget(position)
        if self.tape.is_over and position >= self.tape.end:
            return ()
        return self.plan.candidates[self._index :]

    def _left(self, error: JunctorError) -> tuple[Candidate, ...]:
        """Return who is left after an error."""
        if isinstance(error, ProviderError):
            rest = self.plan.candidates[self._index + 1 :]
        elif isinstance(error, _NOBODY) and (self.is_resumed or self._told is not None):
            rest = ()  # whoever was left could not be opened
        else:
            return ()
        self._has_failed = True
        self._suspicion += _is_suspicious(error)
        if not rest and self._rounds < self.bounds.rounds:
            self._rounds += 1
            return self.plan.candidates
        return rest

    async def _wait(self) -> None:
        """Give who failed time to come back, before the plan is gone through a second time."""
        if self._rest is self.plan.candidates and self._rounds > 1:
            await asyncio.sleep(min(_PAUSE * 2 ** (self._rounds - 2), _LONGEST_PAUSE))

    def _last_words(self) -> tuple[LiveFinal, ...]:
        """Return the last partial as a final, since nobody is left who would make it one."""
        partial, self._partial = self._partial, None
        if partial is None:
            return ()
        start, end = self.tape.origin, self._current.position
        self.tape.forget(end)
        return (
            LiveFinal(
                text=partial.text,
                start=start / SAMPLE_RATE,
                end=max(start, end) / SAMPLE_RATE,
                language=partial.language,
            ),
        )


def _is_suspicious(error: JunctorError) -> bool:
    """Say whether the audio may have broken who heard it, or nobody was there to hear it."""
    if isinstance(error, AllCandidatesFailedError):
        return any(_is_suspicious(cause) for cause in error.causes)
    is_absent = isinstance(error, ProviderBusyError) or not isinstance(error, ProviderError)
    return not is_absent and getattr(error, "retry_after", None) is None


def _shifted(final: LiveFinal, seconds: float) -> LiveFinal:
    if not seconds:
        return final
    words = tuple(
        evolve(word, start=word.start + seconds, end=word.end + seconds) for word in final.words
    )
    return evolve(final, start=final.start + seconds, end=final.end + seconds, words=words)
