"""One admitted request: what it holds, what became of it, and its one settlement."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import Struct, field

from junctor.core.accounts import Principal
from junctor.core.cards import ModelCard
from junctor.core.dispatch import Deadline
from junctor.core.errors import ClientGoneError, TooLongError
from junctor.core.limits import RateState
from junctor.core.load import Held
from junctor.core.operations import Trace
from junctor.core.records import Media
from junctor.core.reservations import Reservation
from junctor.core.transcripts import TranscriptDelta

if TYPE_CHECKING:
    from junctor.core.snapshots import Snapshot

MOST_TOKENS = 1_000_000_000
"""Tokens of one prompt, or of one answer, at most."""


class Ticket(Struct, kw_only=True, eq=False):
    """
    An admitted request, from admission to its settlement.

    Use it as an asynchronous context manager around the work of an answer; a stream closes it
    from its generator instead. Closing settles the ledger and gives back what was held, exactly
    once, whoever closes first.
    """

    request_id: str
    contract: str
    operation: str
    principal: Principal
    rate: RateState
    """The team's rate limit as it stood after this request, for the headers."""
    deadline: Deadline
    snapshot: "Snapshot"
    """Settings, cards and providers as they were at admission; a reload does not change them."""
    reservation: Reservation
    trace: Trace = field(default_factory=Trace)
    unit: Media = "audio_seconds"
    """What the frames are: those of sound, or the pictures of a video."""
    frames: int = 0
    """Length of the media in frames, once it was opened; the media itself is not kept."""
    sample_rate: int = 0
    """Frames of the media in one second, Hz."""
    served_frames: int = 0
    """Frames whose text has reached the client piece by piece, before a whole answer."""
    is_paid: bool = False
    """Whether an earlier run of the same job was charged for it."""
    is_live: bool = False
    """A live session: what was served before it broke is charged too."""
    planned: tuple[str, ...] = ()
    """The candidates of its plan in order, `provider:model`."""
    ensemble: tuple[str, ...] = ()
    """The members of an ensemble whose words were voted, `provider:model`; empty for none."""
    prompt_tokens: int = 0
    """Tokens of the prompt to which an answer has begun to reach the client."""
    completion_tokens: int = 0
    """Tokens of the answer that have reached the client."""
    charged_tokens: tuple[int, int] = (0, 0)
    """Tokens of the prompt and of the answer in the ledger, once it is settled."""
    cost: float = 0.0
    """What the providers charge for it, US dollars; tokens served are added at settlement."""
    outcome: str = "ok"
    """`ok`, `cancelled`, or the class name of what ended it; an error itself would keep all alive."""
    held: Held
    """What admission took."""
    _is_whole: bool = False
    _is_closed: bool = False

    @property
    def provider(self) -> str | None:
        """The provider that answered, or was asked last."""
        return self.trace.provider

    @property
    def model(self) -> str | None:
        """The model that answered, or was asked last."""
        return self.trace.model

    @property
    def attempts(self) -> int:
        """Attempts made at providers."""
        return self.trace.attempts

    @property
    def is_closed(self) -> bool:
        """Whether it is settled, and nothing may be served on it any more."""
        return self._is_closed

    @property
    def media_seconds(self) -> float:
        """Length of the media, seconds; 0 before it was opened."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0

    @property
    def audio_seconds(self) -> float:
        """Length of the media, seconds; 0 for a video."""
        return self.media_seconds if self.unit == "audio_seconds" else 0.0

    @property
    def video_seconds(self) -> float:
        """Length of the video, seconds; 0 for sound alone."""
        return self.media_seconds if self.unit == "video_seconds" else 0.0

    def buffer(self, size: int) -> None:
        """
        Account for `size` more bytes of upload held in memory.

        Raises:
            OverloadedError: the process holds as much as it may.

        """
        self.held.load.buffer(size, self.snapshot.settings.limits)
        self.held.buffered += size

    def serve_all(self) -> None:
        """Note that the whole answer is there: all of the media is charged if all goes well."""
        self._is_whole = True

    def serve_part(self, delta: TranscriptDelta) -> None:
        """Note what a piece of a stream covers, as far as the provider tells its time."""
        if delta.segment is not None:
            self.serve_until(delta.segment.end)

    def serve_until(self, seconds: float) -> None:
        """Note that the client has the text of everything before that time of the media."""
        frames = round(seconds * self.sample_rate)
        self.served_frames = min(self.frames, max(self.served_frames, frames))

    def hear(self, frames: int) -> None:
        """
        Count further sample frames of a live session in, and hold them against the team's day.

        Raises:
            InsufficientBalanceError: the team's seconds of today are used up; nothing is counted.
            TooLongError: the session is longer than the server takes; nothing is counted.

        """
        heard = self.frames + frames
        longest = self.snapshot.settings.limits.max_audio_seconds
        if heard > longest * self.sample_rate:
            raise TooLongError(limit_seconds=longest)
        self.reservation.hold(heard / self.sample_rate)
        self.frames = heard

    def hold_video(self, seconds: float, *, queued: float = 0.0) -> None:
        """
        Set aside seconds of video of the team's day; another call replaces the first.

        A submission does it, and a run of its job does not: that is among those `queued`.

        Args:
            seconds: length of the video that is asked for.
            queued: seconds of the team's jobs that are not over.

        Raises:
            InsufficientBalanceError: the team's seconds of today are used up; nothing changes.

        """
        self.reservation.hold_video(seconds, queued=queued)

    def hold_tokens(self, tokens: int) -> None:
        """
        Set aside tokens of the team's day and of the key's; another call replaces the first.

        Raises:
            InsufficientBalanceError: the tokens of today are used up; nothing changes.

        """
        self.reservation.hold_tokens(tokens)

    def serve_tokens(self, prompt: int, completion: int) -> None:
        """Note what has reached the client so far: tokens of the prompt, and of the answer."""
        self.prompt_tokens = prompt
        self.completion_tokens = completion

    def spend_media(self) -> None:
        """Add what the answering provider charges for the length of the media."""
        self.cost += self.trace.price * self.media_seconds / 60

    def spend(self, card: ModelCard) -> None:
        """Add what one member of an ensemble charges for the length of the media."""
        self.cost += card.price * self.media_seconds / 60

    def spend_tokens(self, prompt: int, completion: int) -> None:
        """Add what the answering provider charges for tokens that are none of the client's."""
        self.cost += self._price(prompt, completion)

    async def close(self, error: BaseException | None = None) -> None:
        """Settle and give back. The first call counts, further ones do nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.outcome = _outcome(error)
        try:
            self.settle()
        finally:
            await self.held.release()

    def settle(self) -> None:
        """
        Write to the ledger what was served so far; the first call counts.

        A stream calls it before its last item leaves, so that a kill cannot come in between.
        """
        frames = 0 if self.is_paid else self._charged_frames()
        prompt, completion = (0, 0) if self.is_paid else self._charged_tokens()
        if frames == prompt == completion == 0:
            self.reservation.release(self.outcome)
            return
        is_first = self.reservation.settle(
            self.outcome,
            unit=self.unit,
            frames=frames,
            rate=self.sample_rate,
            provider=self.provider or "",
            model=self.model or "",
            cost=self.cost + self._price(prompt, completion),
            attempts=self.attempts,
            prompt_tokens=prompt,
            completion_tokens=completion,
        )
        if is_first:
            self.charged_tokens = prompt, completion

    def _charged_frames(self) -> int:
        # A failure is never charged; a client that left pays for what had reached it.
        if self._is_whole and self.outcome == "ok":
            return self.frames
        is_charged = self.is_live or self.outcome in {"ok", "cancelled"}
        return self.served_frames if is_charged else 0

    def _charged_tokens(self) -> tuple[int, int]:
        if self.outcome not in {"ok", "cancelled"}:
            return 0, 0
        # The numbers are a provider's word: whatever it says, the ledger has to take the entry.
        return (
            min(max(0, self.prompt_tokens), MOST_TOKENS),
            min(max(0, self.completion_tokens), MOST_TOKENS),
        )

    def _price(self, prompt: int, completion: int) -> float:
        return (self.trace.price * prompt + self.trace.output_price * completion) / 1_000_000

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(error)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, ClientGoneError)):
        return "cancelled"
    return type(error).__name__
