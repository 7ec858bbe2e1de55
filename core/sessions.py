"""
One client's live session, whatever its wire: what it sends is metered, what it hears is charged.

A contract decodes its messages into chunks of audio and encodes the events that come out.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from attrs import define, field

from junctor.core.audio.pcm import PcmIntake
from junctor.core.audio.voice import VoiceTrack
from junctor.core.errors import JunctorError
from junctor.core.gateway import Gateway
from junctor.core.live import LiveRun, LiveRunEvent, voice_of, wake
from junctor.core.plans import Choice
from junctor.core.requests import LiveRequest
from junctor.core.tape import Tape
from junctor.core.tickets import Ticket
from junctor.core.transcripts import LiveFinal, Transcript
from junctor.core.utterances import joined

if TYPE_CHECKING:
    from hashlib import _Hash as Digest


@define(eq=False, kw_only=True)
class LiveSession:
    """
    Made by `planned`; run it by `events`, and close its ticket whatever becomes of it.

    When the session ends well all audio that was sent is charged; when an error or the client's
    leaving ends it, all audio up to the last final that had reached the client.
    """

    gateway: Gateway
    ticket: Ticket
    request: LiveRequest
    choice: Choice
    intake: PcmIntake
    run: LiveRun
    finals: list[LiveFinal] = field(factory=list, init=False)
    """What has reached the client."""
    _digest: "Digest" = field(factory=sha256, init=False)

    @classmethod
    async def planned(
        cls,
        gateway: Gateway,
        ticket: Ticket,
        *,
        request: LiveRequest,
        choice: Choice,
        intake: PcmIntake,
    ) -> Self:
        """
        Return the session of an admitted client; nothing is opened yet.

        Raises:
            JunctorError: nobody can serve it.

        """
        snapshot, plan = ticket.snapshot, gateway.live_plan(ticket, request, choice)
        bounds = snapshot.settings.live
        wake(snapshot, plan)
        needs_voice = LiveRun.needs_voice(plan)
        track = await asyncio.to_thread(VoiceTrack.best) if needs_voice else None
        run = LiveRun(
            dispatcher=snapshot.dispatcher,
            bounds=bounds,
            plan=plan,
            tape=Tape(bounds.max_replay, track),
            voice=voice_of(snapshot, request),
            trace=ticket.trace,
        )
        ticket.is_live = True
        ticket.sample_rate = intake.rate
        return cls(
            gateway=gateway, ticket=ticket, request=request, choice=choice, intake=intake, run=run
        )

    async def events(
        self, chunks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[LiveRunEvent, None]:
        """
        Yield what is heard; raises behind the last final.

        Args:
            chunks: audio as the client sends it; their end is the end of the session. An error
                that they raise ends the audio, and comes out of here. Closed as soon as no more
                is taken.

        Raises:
            InvalidRequestError: a chunk ends inside a sample.
            InsufficientBalanceError: the team's seconds of today are used up.
            TooLongError: the session is longer than the server takes.
            JunctorError: what `LiveRun.events` raises.

        """
        try:
            async with (
                aclosing(self._heard(chunks)) as audio,
                self.run.tape.recording(audio),
                aclosing(self.run.events()) as it,
            ):
                async for event in it:
                    yield event
                    if isinstance(event, LiveFinal):
                        self.ticket.serve_until(event.end)
                        self.finals.append(event)
        finally:
            self.ticket.cost += self.run.cost

    def transcript(self) -> Transcript:
        """Return the whole, once the session has ended well; all audio is charged then."""
        heard = joined(self.finals)
        return self.gateway.live_transcript(self.ticket, heard, self.request, self.choice)

    @property
    def audio_sha256(self) -> str:
        """Of the audio as the client sent it so far, hexadecimal."""
        return self._digest.hexdigest()

    async def _heard(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    self.ticket.hear(self.intake.frames_in(chunk))
                    self._digest.update(chunk)
                    yield self.intake.feed(chunk)
        except JunctorError:
            yield self.intake.flush()  # what was heard until then is finished
            raise
        yield self.intake.flush()
