"""
One recording on its way through policy and dispatch: detected, sent, voted, revised, translated.

`junctor.core.gateway` makes a `Transcription` for each request. What it adds to a plain run of the
plan: the language is identified first where the first choice has to be told it; a model without
ears reasons over what the next one heard; an ensemble is asked at once and its words are voted; a
late first choice is hedged with the second.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar, cast

import structlog
from attrs import define, evolve, field
from msgspec.structs import replace

from junctor.core.attempts import Attempt
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.chat.dialect import text_of
from junctor.core.chat.flow import Tally, checked
from junctor.core.dispatch import Order, failure
from junctor.core.errors import (
    JunctorError,
    ProviderAnswerError,
    ProviderRejectedError,
)
from junctor.core.fitness import is_deaf
from junctor.core.locales import match, understands
from junctor.core.operations import Trace
from junctor.core.plans import Candidate, Plan, Wish
from junctor.core.policy import identification, refusal
from junctor.core.providers import (
    ChatModel,
    LanguageIdentifier,
    LiveTranscriber,
    StreamTranscriber,
    Transcriber,
    TranscriptReviser,
)
from junctor.core.quality import Quality
from junctor.core.races import gathered, hedged
from junctor.core.requests import (
    ChatReply,
    ChatRequest,
    Identification,
    IdentifyRequest,
    ReviseRequest,
    Task,
    TranscribeRequest,
)
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript, TranscriptEvent, in_one_piece
from junctor.core.translations import in_english

A = TypeVar("A")

LONGEST_PLAYED = 60.0
"""Seconds of a recording that is played to a live listener where the model takes whole ones too."""

_log = structlog.get_logger()


class Hooks(Protocol):
    """What plugins may change on the way; `junctor.core.plugins.Plugins` does it."""

    def plan(self, plan: Plan, wish: Wish) -> Plan:
        """Reorder or veto candidates."""

    def transcript(self, transcript: Transcript, wish: Wish) -> Transcript:
        """Post-process a transcript."""


@define(kw_only=True, eq=False)
class Transcription:
    """One request to write a recording down, or to say it in English."""

    ticket: Ticket
    hooks: Hooks
    quality: Quality
    """Told of what was heard, to compare it behind the answer."""
    request: TranscribeRequest
    wish: Wish
    _language: str | None = field(default=None, init=False)
    _has_listened: bool = field(default=False, init=False)
    _listening: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def run(self) -> Transcript:
        """
        Return the whole transcript.

        Raises:
            JunctorError: what `junctor.core.dispatch.Dispatcher.answer` raises, and for an empty
                plan what `junctor.core.policy.refusal` says.

        """
        plan = self.plan(self.wish)
        if not plan.candidates and self.request.task is Task.TRANSLATE:
            return await self._translated(refusal(plan))
        return await self._written(self.wish, plan)

    async def stream(self) -> AsyncGenerator[TranscriptEvent, None]:
        """Yield text as it is found, the whole transcript last; raises as `run` does."""
        plan, wish = await self._told(self.wish, self.plan(self.wish))
        if plan.candidates and is_deaf(plan.candidates[0].card):
            wish = replace(wish, capability=Capability.TRANSCRIBE)
            for piece in in_one_piece(await self._written(wish, self.plan(wish))):
                yield piece
            return

        def open_(candidate: Candidate) -> AsyncIterator[TranscriptEvent]:
            return self._opened(candidate, wish)

        dispatcher, is_whole = self.ticket.snapshot.dispatcher, False
        async with aclosing(dispatcher.stream(plan, open_, self.order(plan, wish))) as events:
            async for event in events:
                is_whole = isinstance(event, Transcript)
                if isinstance(event, Transcript):
                    self.ticket.spend_media()
                    self._compare(plan, event, wish)
                yield event
        if not is_whole:
            raise ProviderAnswerError(
                "Its stream ended without the whole transcript.",
                provider=self.ticket.provider or "",
                model=self.ticket.model or "",
            )

    def plan(self, wish: Wish) -> Plan:
        """Return the plan of a wish, as the plugins leave it; that of the request is shown."""
        plan = self.hooks.plan(self.ticket.snapshot.planner.plan(wish), wish)
        if wish.capability is self.wish.capability:
            self.ticket.planned = tuple(one.card.name for one in plan.candidates)
        return plan

    def order(self, plan: Plan, wish: Wish, trace: Trace | None = None) -> Order:
        """
        Return what a plan is run for; the ticket's trace is written unless another is given.

        Raises:
            JunctorError: the plan is empty.

        """
        if not plan.candidates:
            raise refusal(plan)
        return Order(
            blank=Attempt(capability=wish.capability, audio_seconds=wish.seconds),
            deadline=self.ticket.deadline,
            trace=self.ticket.trace if trace is None else trace,
        )

    async def _answer(
        self,
        plan: Plan,
        work: Callable[[Candidate], Awaitable[A]],
        wish: Wish,
        trace: Trace | None = None,
        *,
        is_optional: bool = False,
    ) -> A:
        order = replace(self.order(plan, wish, trace), is_optional=is_optional)
        return await self.ticket.snapshot.dispatcher.answer(plan, work, order)

    async def _told(self, wish: Wish, plan: Plan) -> tuple[Plan, Wish]:
        """Identify the language and plan again, where the first with ears has to be told it."""
        first = next((one for one in plan.candidates if not is_deaf(one.card)), None)
        if first is None or not first.needs_language or wish.language is not None:
            return plan, wish
        language = await self._heard_language()
        if language is None:
            return plan, wish
        wish = replace(wish, language=language, allowed_languages=())
        return self.plan(wish), wish

    async def _written(self, wish: Wish, plan: Plan) -> Transcript:
        plan, wish = await self._told(wish, plan)
        if plan.candidates and is_deaf(plan.candidates[0].card):
            return await self._revised(wish, plan)

        def work(candidate: Candidate) -> Awaitable[Transcript]:
            return self._transcribed(candidate, wish)

        if plan.ensemble:
            return await self._voted(plan, work, wish)
        if plan.is_hedged and len(plan.candidates) > 1:
            transcript = await self._raced(plan, work, wish)
        else:
            transcript = await self._answer(plan, work, wish)
        self.ticket.spend_media()
        self._compare(plan, transcript, wish)
        return transcript

    def _compare(self, plan: Plan, transcript: Transcript, wish: Wish) -> None:
        """Offer an answer to be compared with what the next candidate hears."""
        self.quality.answered(self.ticket, plan, transcript, lambda one: self._asked(one, wish))

    def _asked(self, candidate: Candidate, wish: Wish) -> TranscribeRequest:
        """Return the request as one candidate gets it: without wishes that it cannot fulfil."""
        card, request = candidate.card, self.request
        soft = wish.wanted - card.features
        return evolve(
            request,
            model=card.id,
            language=wish.language,
            word_timestamps=request.word_timestamps and Feature.WORD_TIMESTAMPS not in soft,
            diarization=request.diarization and Feature.DIARIZATION not in soft,
        )

    async def _transcribed(self, candidate: Candidate, wish: Wish) -> Transcript:
        asked = await self._told_to(candidate, wish)
        provider = cast("Transcriber", self.ticket.snapshot.provider(candidate.card))
        transcript = await provider.transcribe(asked)
        _check_language(transcript, candidate, wish)
        return transcript

    async def _told_to(self, candidate: Candidate, wish: Wish) -> TranscribeRequest:
        """Return the request as one candidate gets it, with the language where it needs that."""
        asked = self._asked(candidate, wish)
        if not candidate.needs_language or asked.language is not None:
            return asked
        return evolve(asked, language=await self._language_for(candidate, wish))

    def _opened(self, candidate: Candidate, wish: Wish) -> AsyncIterator[TranscriptEvent]:
        able = candidate.card.capabilities
        is_native = Capability.STREAM_TRANSCRIBE in able
        if not is_native and Capability.TRANSCRIBE in able and not self._is_played(able, wish):
            return self._opened_whole(candidate, wish)
        if candidate.needs_language and wish.language is None:
            return self._opened_told(candidate, wish)
        return self._stream_of(candidate, self._asked(candidate, wish))

    def _is_played(self, able: frozenset[Capability], wish: Wish) -> bool:
        """Say whether a recording is played to a live listener, for its first words come soon."""
        is_brief = wish.seconds <= LONGEST_PLAYED and not self.request.diarization
        return Capability.LIVE_TRANSCRIBE in able and wish.tier is Tier.LOW and is_brief

    async def _opened_whole(
        self, candidate: Candidate, wish: Wish
    ) -> AsyncGenerator[TranscriptEvent, None]:
        for piece in in_one_piece(await self._transcribed(candidate, wish)):
            yield piece

    async def _opened_told(
        self, candidate: Candidate, wish: Wish
    ) -> AsyncGenerator[TranscriptEvent, None]:
        events = self._stream_of(candidate, await self._told_to(candidate, wish))
        try:
            async for event in events:
                yield event
        finally:
            stop = getattr(events, "aclose", None)
            if stop is not None:
                await stop()

    def _stream_of(
        self, candidate: Candidate, asked: TranscribeRequest
    ) -> AsyncIterator[TranscriptEvent]:
        provider = self.ticket.snapshot.provider(candidate.card)
        if Capability.STREAM_TRANSCRIBE in candidate.card.capabilities:
            return cast("StreamTranscriber", provider).stream_transcribe(asked)
        from junctor.core.utterances import clip_over_live

        return clip_over_live(cast("LiveTranscriber", provider), asked)

    async def _language_for(self, candidate: Candidate, wish: Wish) -> str | None:
        """Return the language that a candidate is told; None to take it at its word."""
        language = await self._heard_language()
        if language is None and not wish.allowed_languages:
            return None
        if language is None or not understands(candidate.card.locales, language):
            heard = "could not be identified" if language is None else f"is {language}"
            raise _rejected(candidate, f"does not fit: the language {heard}")
        return language

    async def _heard_language(self) -> str | None:
        """Identify the language, once for the request; None where nobody can."""
        async with self._listening:
            if not self._has_listened:
                self._language = await self._identified()
                self._has_listened = True
        return self._language

    async def _identified(self) -> str | None:
        request = IdentifyRequest(
            audio=self.request.audio, allowed=frozenset(self.wish.allowed_languages)
        )
        wish = identification(self.wish)

        def work(candidate: Candidate) -> Awaitable[Identification]:
            provider = self.ticket.snapshot.provider(candidate.card)
            asked = evolve(request, model=candidate.card.id)
            return cast("LanguageIdentifier", provider).identify_language(asked)

        try:
            found = await self._answer(self.plan(wish), work, wish, Trace(), is_optional=True)
        except JunctorError as error:
            _log.warning("language_not_identified", error=type(error).__name__)
            return None
        allowed = self.wish.allowed_languages
        return (match(allowed, found.language) if allowed else found.language) or None

    async def _revised(self, wish: Wish, plan: Plan) -> Transcript:
        """Let the first choice reason over what the others hear; what they heard is the fallback."""
        reviser = plan.candidates[0]
        heard = await self._written(wish, evolve(plan, candidates=plan.candidates[1:]))
        if heard.is_empty:
            return heard
        trace = Trace()

        def work(candidate: Candidate) -> Awaitable[Transcript]:
            provider = cast("TranscriptReviser", self.ticket.snapshot.provider(candidate.card))
            language = heard.language or wish.language
            asked = ReviseRequest(transcript=heard, model=candidate.card.id, language=language)
            return provider.revise(asked)

        revising = replace(wish, capability=Capability.REVISE_TRANSCRIPT)
        try:
            alone = Plan(candidates=(reviser,))
            revised = await self._answer(alone, work, revising, trace, is_optional=True)
        except JunctorError as error:
            _log.warning("transcript_not_revised", error=type(error).__name__)
            self.ticket.trace.add(trace)
            return heard
        self.ticket.trace.add(trace, has_answered=True)
        return revised

    async def _raced(
        self, plan: Plan, work: Callable[[Candidate], Awaitable[Transcript]], wish: Wish
    ) -> Transcript:
        """Ask the second choice too once the first is later than it nearly always is."""
        first, rest = plan.candidates[:1], plan.candidates[1:]
        traces = (Trace(), Trace())
        runs = (
            lambda: self._answer(Plan(candidates=first), work, wish, traces[0], is_optional=True),
            lambda: self._answer(Plan(candidates=rest), work, wish, traces[1]),
        )
        usual = self.ticket.snapshot.dispatcher.health.slow(first[0].card, wish.capability)
        results: list[Transcript | Exception] = []
        try:
            results = await hedged(*runs, delay=usual)
            answer = next((one for one in results if isinstance(one, Transcript)), None)
            if answer is None:
                raise failure([one for one in results if isinstance(one, Exception)])
            return answer
        finally:
            self._trace(traces, results)
            del results  # what is raised would hold this frame, and the frame hold it

    def _trace(self, traces: Sequence[Trace], results: Sequence[object]) -> None:
        """Take over what runs at the same time did; the first one with a result has answered."""
        heard = [isinstance(one, Transcript) for one in results]
        answered = heard.index(True) if any(heard) else None
        for number, trace in enumerate(traces):
            self.ticket.trace.add(trace, has_answered=number == answered)

    async def _voted(
        self, plan: Plan, work: Callable[[Candidate], Awaitable[Transcript]], wish: Wish
    ) -> Transcript:
        """Ask all members at once and let them vote on each word; who answers later is not heard."""
        traces = [Trace() for _ in plan.ensemble]
        runs = [
            self._answer(Plan(candidates=(member,)), work, wish, trace, is_optional=True)
            for member, trace in zip(plan.ensemble, traces, strict=True)
        ]
        results: list[Transcript | Exception] = []
        try:
            results = await gathered(runs)
        finally:
            self._trace(traces, results)
        pairs = zip(plan.ensemble, results, strict=True)
        heard = [(one.card, text) for one, text in pairs if isinstance(text, Transcript)]
        if heard:
            return await self._elected(heard)
        names = {member.card.name for member in plan.ensemble}
        rest = tuple(one for one in plan.candidates if one.card.name not in names)
        try:
            if not rest:
                raise failure([one for one in results if isinstance(one, Exception)])
        finally:
            del results, pairs  # what is raised would hold this frame, and the frame hold it
        transcript = await self._answer(Plan(candidates=rest), work, wish)
        self.ticket.spend_media()
        return transcript

    async def _elected(self, heard: Sequence[tuple[ModelCard, Transcript]]) -> Transcript:
        """Return what the members of an ensemble elect; each of them is paid."""
        from junctor.core.rover import vote

        for card, _ in heard:
            self.ticket.spend(card)
        self.ticket.ensemble = tuple(card.name for card, _ in heard)
        weights = [card.quality for card, _ in heard]
        elected = await asyncio.to_thread(vote, [text for _, text in heard], weights)
        self.quality.voted(self.ticket, heard, elected)
        return elected

    async def _translated(self, native: JunctorError) -> Transcript:
        """Write it down in its own language, then let a chat model say it in English."""
        chat_wish = Wish(
            capability=Capability.CHAT,
            features=frozenset({Feature.TRANSLATION}),
            team=self.wish.team,
            allowed_models=self.wish.allowed_models,
        )
        chat_plan = self.plan(chat_wish)
        if not chat_plan.candidates:
            raise native
        self.request = evolve(self.request, task=Task.TRANSCRIBE)
        spoken_wish = replace(self.wish, features=self.wish.features - {Feature.TRANSLATION})
        spoken = await self._written(spoken_wish, self.plan(spoken_wish))

        async def say(request: ChatRequest) -> str:
            tally = Tally(0)

            async def work(candidate: Candidate) -> ChatReply:
                card = candidate.card
                model = cast("ChatModel", self.ticket.snapshot.provider(card))
                reply = await model.chat(evolve(request, model=card.id))
                checked(reply.body, card, tally)
                return reply

            reply = await self._answer(chat_plan, work, chat_wish)
            self.ticket.spend_tokens(tally.prompt, tally.completion)
            return text_of(reply.body)

        return await in_english(spoken, seconds=self.request.audio.seconds, say=say)


def _rejected(candidate: Candidate, sentence: str) -> ProviderRejectedError:
    card = candidate.card
    return ProviderRejectedError(
        f"{card.provider} {sentence}.", provider=card.provider, model=card.id
    )


def _check_language(transcript: Transcript, candidate: Candidate, wish: Wish) -> None:
    """Let pass a transcript in a language that is allowed."""
    heard, allowed = transcript.language, wish.allowed_languages
    if wish.language is None and heard and allowed and match(allowed, heard) is None:
        raise _rejected(candidate, f"heard {heard}, which is not among the allowed languages")
