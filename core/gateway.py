"""
The way of a request: admit, plan, dispatch, settle. Every contract walks it, none around it.

A router decodes, calls the gateway, and encodes; the gateway knows nothing of HTTP.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypedDict, cast

from attrs import field, frozen
from msgspec.structs import replace

from junctor.conf.settings import TierPolicy
from junctor.core.accounts import Accounts, Principal
from junctor.core.audio import open_clip
from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature, Tier
from junctor.core.chat.serving import Asked, Conversing
from junctor.core.dispatch import Deadline
from junctor.core.errors import OverloadedError
from junctor.core.generations import Generated, Generating, Told, VideoAsked, planned
from junctor.core.ledger import Ledger
from junctor.core.limits import ConcurrencyLimiter, RateLimiter, RateState
from junctor.core.load import Held, Load
from junctor.core.plans import Choice, Plan, Wish
from junctor.core.policy import refusal
from junctor.core.quality import Quality
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.snapshots import Snapshot
from junctor.core.tickets import Ticket
from junctor.core.transcriptions import Hooks, Transcription
from junctor.core.transcripts import Transcript, TranscriptEvent
from junctor.core.visits import current_visit


@frozen(kw_only=True, eq=False)
class Gateway:
    """What a contract's router works with. One per process; `junctor.core.runtime` makes it."""

    accounts: Accounts
    rates: RateLimiter
    concurrency: ConcurrencyLimiter
    ledger: Ledger
    hooks: Hooks
    enter: Callable[[], Snapshot]
    """Takes the current snapshot into use."""
    leave: Callable[[Snapshot], None]
    """Gives it back."""
    quality: Quality
    """Told of each transcript."""
    load: Load = field(factory=Load)
    _decodes: dict[int, asyncio.Semaphore] = field(factory=dict, init=False)

    async def admit(
        self,
        *,
        contract: str,
        operation: str,
        credential: str | None,
        request_id: str | None = None,
    ) -> Ticket:
        """
        Let a request in, or say why not; close the ticket whatever becomes of it.

        Args:
            contract: our name of the contract, for log and ledger.
            operation: what is asked, for log and ledger.
            credential: the API key as it was sent; None when there was none.
            request_id: names the request in log, ledger and answer; None takes the one that the
                server gave it.

        Raises:
            AuthenticationError: no key, an unknown or a revoked one.
            RateLimitedError: the team's requests of this minute are used up.
            ConcurrencyLimitedError: the team has enough requests under way.
            OverloadedError: the server is full, or cannot write its journal.

        """
        visit = current_visit()
        visit.contract, visit.operation = contract, operation
        principal = await self.accounts.authenticate(credential)
        visit.team = principal.team
        held, snapshot = self._entered()
        try:
            rate = await self.rates.hit(principal)
            held.slot = await self.concurrency.acquire(principal)
            reservation = self.ledger.reserve(
                request_id=request_id or visit.request_id,
                principal=principal,
                contract=contract,
                operation=operation,
            )
        except BaseException:
            await held.release()
            raise
        visit.ticket = ticket = Ticket(
            request_id=request_id or visit.request_id,
            contract=contract,
            operation=operation,
            principal=principal,
            rate=rate,
            deadline=Deadline.after(snapshot.settings.limits.request_timeout),
            snapshot=snapshot,
            reservation=reservation,
            held=held,
        )
        return ticket

    async def resume(
        self, principal: Principal, *, contract: str, operation: str, request_id: str, since: int
    ) -> Ticket:
        """
        Let a run of a durable job in, whose submission was admitted before.

        No rate or concurrency of the team is used up, for its queue bounds it. What an earlier run
        of the job had settled before it was interrupted is not charged again, in whatever process
        that was: all runs settle under one id, of which the database keeps the first.

        Args:
            principal: whose job it is.
            contract: our name of the contract, for log and ledger.
            operation: what is asked, for log and ledger.
            request_id: the same in every run of the job, and in no other request.
            since: when the job was submitted, microseconds since 1970, UTC.

        Raises:
            OverloadedError: the server is full, or cannot use its journal or its database.

        """
        is_paid = await self.ledger.is_charged(principal.team, request_id, since=since)
        held, snapshot = self._entered()
        try:
            reservation = self.ledger.reserve(
                request_id=request_id,
                principal=principal,
                contract=contract,
                operation=operation,
                charge_id=f"job:{request_id}",
            )
        except BaseException:
            await held.release()
            raise
        return Ticket(
            request_id=request_id,
            contract=contract,
            operation=operation,
            principal=principal,
            rate=RateState(limit=0, remaining=0, reset=0.0),
            deadline=Deadline.after(snapshot.settings.limits.job_timeout),
            snapshot=snapshot,
            reservation=reservation,
            held=held,
            is_paid=is_paid,
        )

    def _entered(self) -> tuple[Held, Snapshot]:
        """Take the snapshot into use and count the request in."""
        snapshot = self.enter()
        try:
            self.load.admit(snapshot.settings.limits)
        except OverloadedError:
            self.leave(snapshot)
            raise
        return Held(self.load, lambda: self.leave(snapshot)), snapshot

    async def open_clip(self, ticket: Ticket, data: bytes, *, filename: str | None) -> Clip:
        """
        Measure an upload and hold its seconds against the team's day.

        Raises:
            MediaError: it is not usable audio.
            TooLongError: it is longer than the server takes.
            InsufficientBalanceError: the team's seconds of today are used up.
            DeadlineExceededError: measuring took all the time there was.

        """
        bounds = ticket.snapshot.settings.limits
        clip = await open_clip(
            data,
            filename=filename,
            max_seconds=bounds.max_audio_seconds,
            slots=self.decode_slots(ticket),
            bound=ticket.deadline.enforced,
        )
        ticket.frames, ticket.sample_rate = clip.frames, clip.rate
        ticket.reservation.hold(clip.seconds)
        return clip

    def decode_slots(self, ticket: Ticket) -> asyncio.Semaphore:
        """Return what bounds how many uploads are decoded at the same time."""
        # A reload may change the number; the old semaphore goes with those who wait at it.
        number = ticket.snapshot.settings.limits.max_concurrent_decodes
        if number not in self._decodes:
            self._decodes.clear()
            self._decodes[number] = asyncio.Semaphore(number)
        return self._decodes[number]

    async def transcribe(
        self, ticket: Ticket, request: TranscribeRequest, choice: Choice
    ) -> Transcript:
        """
        Write a recording down, or translate it to English.

        Raises:
            JunctorError: what `junctor.core.dispatch.Dispatcher.answer` raises, and for an empty
                plan what `junctor.core.policy.refusal` says.

        """
        wish = wish_of(ticket, request, choice)
        run = self._transcription(ticket, request, wish)
        return self._served(ticket, await run.run(), wish)

    async def stream_transcribe(
        self, ticket: Ticket, request: TranscribeRequest, choice: Choice
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """
        Yield text as it is found, the whole transcript last; raises as `transcribe` does.

        After the first item an error is one the caller has to be told of in the stream.
        """
        wish = replace(wish_of(ticket, request, choice), capability=Capability.STREAM_TRANSCRIBE)
        run = self._transcription(ticket, request, wish)
        async with aclosing(run.stream()) as events:
            async for event in events:
                if isinstance(event, Transcript):
                    transcript = self._served(ticket, event, wish)
                    ticket.settle()
                    yield transcript
                else:
                    ticket.serve_part(event)
                    yield event

    async def chat(self, ticket: Ticket, asked: Asked, wish: Wish) -> bytes:
        """Continue a conversation; errors as in `transcribe`."""
        return await self._conversing(ticket, asked, wish).answer()

    def stream_chat(self, ticket: Ticket, asked: Asked, wish: Wish) -> AsyncGenerator[bytes, None]:
        """Continue a conversation, event by event; errors as in `stream_transcribe`."""
        return self._conversing(ticket, asked, wish).stream()

    def _conversing(self, ticket: Ticket, asked: Asked, wish: Wish) -> Conversing:
        return Conversing(ticket=ticket, hooks=self.hooks, asked=asked, wish=wish)

    def video_plan(self, ticket: Ticket, wish: Wish) -> Plan:
        """
        Return the plan of a video.

        Raises:
            JunctorError: nobody can serve it; what `junctor.core.policy.refusal` says.

        """
        return planned(ticket, self.hooks, wish)

    async def generate_video(
        self, ticket: Ticket, asked: VideoAsked, wish: Wish, *, folder: Path, told: Told
    ) -> Generated:
        """Make a video in the folder `folder`, which is the caller's; errors as in `transcribe`."""
        generating = Generating(
            ticket=ticket, hooks=self.hooks, asked=asked, wish=wish, folder=folder, told=told
        )
        return await generating.run()

    def live_plan(self, ticket: Ticket, request: LiveRequest, choice: Choice) -> Plan:
        """
        Return the plan of a live session.

        Raises:
            JunctorError: nobody can serve it; what `junctor.core.policy.refusal` says.

        """
        wish = _live_wish(ticket, request, choice)
        plan = self.hooks.plan(ticket.snapshot.planner.plan(wish), wish)
        if not plan.candidates:
            raise refusal(plan)
        return plan

    def live_transcript(
        self, ticket: Ticket, heard: Transcript, request: LiveRequest, choice: Choice
    ) -> Transcript:
        """Return the transcript of a whole live session as the plugins leave it; all is served."""
        return self._served(ticket, heard, _live_wish(ticket, request, choice))

    def utterance_transcript(
        self, ticket: Ticket, heard: Transcript, request: LiveRequest, choice: Choice
    ) -> Transcript:
        """Return the transcript of one utterance of a live session as the plugins leave it."""
        return self._finished(ticket, heard, _live_wish(ticket, request, choice))

    def _transcription(
        self, ticket: Ticket, request: TranscribeRequest, wish: Wish
    ) -> Transcription:
        return Transcription(
            ticket=ticket, hooks=self.hooks, quality=self.quality, request=request, wish=wish
        )

    def _served(self, ticket: Ticket, transcript: Transcript, wish: Wish) -> Transcript:
        transcript = self._finished(ticket, transcript, wish)
        ticket.serve_all()
        return transcript

    def _finished(self, ticket: Ticket, transcript: Transcript, wish: Wish) -> Transcript:
        transcript = self.hooks.transcript(transcript, wish)
        self.quality.served(ticket.provider or "", ticket.model or "", transcript)
        return transcript


_TIERS = {one.value: one for one in Tier}
"""Ten times as quick as the call of an enumeration."""


class Chosen(TypedDict):
    """What every wish has of a choice, and of the team that makes it."""

    model: str | None
    provider: str | None
    tier: Tier | None
    wanted: frozenset[Feature]
    team: str
    allowed_models: tuple[str, ...]
    overlays: tuple[TierPolicy, ...]


def chosen(ticket: Ticket, choice: Choice) -> Chosen:
    """Return what every wish has of a choice and of the team that makes it."""
    limits = ticket.principal.limits
    tier = choice.tier or _TIERS[ticket.snapshot.settings.policy.default_tier]
    of_team = cast("dict[str, TierPolicy]", limits.tiers).get(tier)
    return Chosen(
        model=choice.model,
        provider=choice.provider,
        tier=tier,
        wanted=choice.wanted,
        team=ticket.principal.team,
        allowed_models=limits.allowed_models,
        overlays=(*((of_team,) if of_team else ()), choice.rules),
    )


def _live_wish(ticket: Ticket, request: LiveRequest, choice: Choice) -> Wish:
    return Wish(
        capability=Capability.LIVE_TRANSCRIBE,
        language=request.language,
        allowed_languages=request.allowed_languages,
        **chosen(ticket, choice),
    )


def wish_of(ticket: Ticket, request: TranscribeRequest, choice: Choice) -> Wish:
    """Return what a request needs of a model."""
    features = {
        Feature.WORD_TIMESTAMPS: request.word_timestamps,
        Feature.SEGMENT_TIMESTAMPS: request.segment_timestamps,
        Feature.DIARIZATION: request.diarization,
        Feature.TRANSLATION: request.task is Task.TRANSLATE,
    }
    needed = frozenset(feature for feature, is_needed in features.items() if is_needed)
    return Wish(
        capability=Capability.TRANSCRIBE,
        language=request.language,
        allowed_languages=() if request.language else request.allowed_languages,
        features=needed - choice.wanted,
        bytes=len(request.audio.data),
        seconds=request.audio.seconds,
        **chosen(ticket, choice),
    )
