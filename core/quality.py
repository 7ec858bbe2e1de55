"""
How good each provider's transcripts are, without a reference: how far it is from what others heard.

Nobody knows what was really said, so the word error rate stands in by proxy: against the text that
an ensemble elected, or, for a share of the recordings, against what the next candidate of the plan
hears in them. Both happen behind the answer, in tasks of the server, and nobody is charged for them.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import Final, cast

import structlog
from attrs import define, evolve, field, frozen

from junctor.conf.settings import Quality as QualitySettings
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability, ModelCard
from junctor.core.dispatch import Deadline, Order
from junctor.core.errors import JunctorError, OverloadedError
from junctor.core.operations import Trace
from junctor.core.plans import Candidate, Plan
from junctor.core.providers import Transcriber
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.snapshots import Snapshot
from junctor.core.telemetry import Telemetry
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript
from junctor.core.wer import error_rate

LONGEST: Final = 5_000
"""Characters of the longest text that is compared: some seconds of a thread's time at worst."""
MOST: Final = 1.0
"""A disagreement counts for no more, or one invention over silence would hide all the rest."""

Heard = tuple[ModelCard, Transcript]
"""Who heard it, and what."""
Asked = Callable[[Candidate], TranscribeRequest]
"""Gives the request as a candidate gets it."""
Ending = Callable[[asyncio.Task[None]], None]
"""Called once a task is over."""

_log = structlog.get_logger()


@frozen(kw_only=True)
class _Sample:
    """A recording that is heard again."""

    snapshot: Snapshot
    request: TranscribeRequest
    other: Candidate
    answer: Heard


@define(eq=False, kw_only=True)
class Quality:
    """Compares transcripts behind the answers, a few at the same time at most. One per process."""

    telemetry: Telemetry
    enter: Callable[[], Snapshot]
    """Takes the current snapshot into use, so that its providers stay open."""
    leave: Callable[[Snapshot], None]
    """Gives it back."""
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)

    def served(self, provider: str, model: str, transcript: Transcript) -> None:
        """Count a transcript that goes to a client."""
        self.telemetry.transcript(provider=provider, model=model, is_empty=transcript.is_empty)

    def voted(self, ticket: Ticket, heard: Sequence[Heard], elected: Transcript) -> None:
        """Note how far each member of an ensemble is from the elected text; returns at once."""
        settings = ticket.snapshot.settings.quality
        if len(heard) > 1 and self._has_room(settings, ticket.audio_seconds):
            self._begin(self._elected(heard, elected))

    def answered(self, ticket: Ticket, plan: Plan, transcript: Transcript, asked: Asked) -> None:
        """Let the next candidate hear the recording too, if it is its turn; returns at once."""
        settings = ticket.snapshot.settings.quality
        if random.random() >= settings.sample_share:  # noqa: S311  # a choice of samples, no secret
            return
        sample = _sample(ticket, plan, transcript, asked)
        if sample is None or not self._has_room(settings, ticket.audio_seconds):
            return
        if self._entered(sample.snapshot):
            # Left by the callback: a task cancelled before its first step runs no `finally`.
            self._begin(self._sampled(sample), partial(self._left, sample.snapshot))

    async def close(self) -> None:
        """Cancel what is under way, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _has_room(self, settings: QualitySettings, seconds: float) -> bool:
        is_short = seconds <= settings.sample_seconds_max
        return is_short and len(self._tasks) < settings.sample_concurrency

    def _entered(self, snapshot: Snapshot) -> bool:
        """Take the request's snapshot into use; not where a reload has made it an old one."""
        try:
            current = self.enter()
        except OverloadedError:
            return False
        if current is not snapshot:
            self.leave(current)
        return current is snapshot

    def _left(self, snapshot: Snapshot, _: asyncio.Task[None]) -> None:
        self.leave(snapshot)

    def _begin(self, work: Coroutine[object, object, None], *ends: Ending) -> None:
        # A context of its own: that of the request would keep its visit alive, and its span open.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        for end in (self._tasks.discard, *ends):
            task.add_done_callback(end)

    async def _elected(self, heard: Sequence[Heard], elected: Transcript) -> None:
        for card, transcript in heard:
            await self._note(card, transcript, elected, source="ensemble")

    async def _sampled(self, sample: _Sample) -> None:
        card, (answering, answer) = sample.other.card, sample.answer
        try:
            heard = await _heard_again(sample)
        except JunctorError as error:
            _log.info("sample_failed", model=card.name, error=type(error).__name__)
            return
        seconds = sample.request.audio.seconds
        self.telemetry.sampled(provider=card.provider, model=card.id, seconds=seconds)
        await self._note(answering, answer, heard, source="sample")
        await self._note(card, heard, answer, source="sample")

    async def _note(
        self, card: ModelCard, heard: Transcript, reference: Transcript, *, source: str
    ) -> None:
        if max(len(heard.text), len(reference.text)) > LONGEST:
            return
        language = reference.language or heard.language
        rate = await asyncio.to_thread(error_rate, reference.text, heard.text, language)
        self.telemetry.disagreement(
            provider=card.provider, model=card.id, source=source, rate=min(rate, MOST)
        )


def _sample(ticket: Ticket, plan: Plan, transcript: Transcript, asked: Asked) -> _Sample | None:
    """Return what the next one with ears would be asked; None where nobody can be."""
    names = [one.card.name for one in plan.candidates]
    answered_by = f"{ticket.provider}:{ticket.model}"
    if answered_by not in names:
        return None
    place = names.index(answered_by)
    behind = plan.candidates[place + 1 :]
    others = (one for one in behind if Capability.TRANSCRIBE in one.card.capabilities)
    other = next(others, None)
    if other is None:
        return None
    request = asked(other)
    if other.needs_language and request.language is None:
        request = evolve(request, language=transcript.language)
    is_untold = other.needs_language and request.language is None
    if is_untold or request.task is Task.TRANSLATE:
        return None
    answer = (plan.candidates[place].card, transcript)
    return _Sample(snapshot=ticket.snapshot, request=request, other=other, answer=answer)


async def _heard_again(sample: _Sample) -> Transcript:
    """Let the other one transcribe the recording; raises as `Dispatcher.answer` does."""
    snapshot, request = sample.snapshot, sample.request
    order = Order(
        blank=Attempt(capability=Capability.TRANSCRIBE, audio_seconds=request.audio.seconds),
        deadline=Deadline.after(snapshot.settings.limits.request_timeout),
        trace=Trace(),
    )

    async def work(candidate: Candidate) -> Transcript:
        provider = cast("Transcriber", snapshot.provider(candidate.card))
        return await provider.transcribe(request)

    return await snapshot.dispatcher.answer(Plan(candidates=(sample.other,)), work, order)
