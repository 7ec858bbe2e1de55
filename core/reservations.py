"""One request on its way through the ledger."""

from asyncio import CancelledError
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Self

from junctor.core.accounts import Principal
from junctor.core.records import NOTHING, Media, Reserved, Served, printable

NANO = 1_000_000_000

_name = lru_cache(maxsize=1000)(printable)
"""For models, providers and outcomes, which are few; a request's line costs less for it."""

Hold = Callable[[Principal, Media, float, float, float], None]
"""
Takes the seconds held, those wanted, and those that are spoken for besides; raises
`InsufficientBalanceError`.
"""
HoldTokens = Callable[[Principal, int, int], None]
"""Takes the tokens held and the tokens wanted; raises `InsufficientBalanceError`."""
End = Callable[["Reservation", Served, str], None]
"""Takes what is over, what was served, and the outcome."""


class Reservation:
    """
    One request on its way: settled or released exactly once, later calls do nothing.

    As a context manager it releases what was not settled, with the error's name as outcome, so
    that no way out of a request leaves it open.
    """

    __slots__ = (
        "_end",
        "_hold",
        "_hold_tokens",
        "_is_open",
        "_principal",
        "held",
        "held_tokens",
        "held_video",
        "opened",
    )

    def __init__(
        self,
        opened: Reserved,
        principal: Principal,
        *,
        hold: Hold,
        hold_tokens: HoldTokens,
        end: End,
    ) -> None:
        self.opened = opened
        self._principal = principal
        self._hold = hold
        self._hold_tokens = hold_tokens
        self._end = end
        self.held = 0.0
        """Seconds of audio."""
        self.held_video = 0.0
        """Seconds of video."""
        self.held_tokens = 0
        self._is_open = True

    @property
    def id(self) -> str:
        """The entry's id in the ledger, unless what is charged has one of its own."""
        return self.opened.id

    @property
    def is_open(self) -> bool:
        """Whether it is neither settled nor released."""
        return self._is_open

    def hold(self, seconds: float) -> None:
        """
        Set aside seconds of audio of the team's day; another call replaces the first.

        Raises:
            InsufficientBalanceError: what is settled today, what others hold and this together
                are more than the team may use; what was held before stays held.

        """
        if not self._is_open:
            return
        self._hold(self._principal, "audio_seconds", self.held, seconds, 0.0)
        self.held = seconds

    def hold_video(self, seconds: float, *, queued: float = 0.0) -> None:
        """
        Set aside seconds of video of the team's day; another call replaces the first.

        Args:
            seconds: wanted.
            queued: seconds that are spoken for besides: those of the team's unfinished jobs.

        Raises:
            InsufficientBalanceError: what is settled today, what others hold, what is queued and
                this together are more than the team may use; what was held before stays held.

        """
        if not self._is_open:
            return
        self._hold(self._principal, "video_seconds", self.held_video, seconds, queued)
        self.held_video = seconds

    def hold_tokens(self, tokens: int) -> None:
        """
        Set aside tokens of the team's day and of the key's; another call replaces the first.

        Raises:
            InsufficientBalanceError: what is settled today, what others hold and this together
                are more than the team or the key may use, or that is used up; what was held
                before stays held.

        """
        if not self._is_open:
            return
        self._hold_tokens(self._principal, self.held_tokens, tokens)
        self.held_tokens = tokens

    def settle(  # noqa: PLR0913 - one entry, field by field
        self,
        outcome: str = "ok",
        *,
        unit: Media = "audio_seconds",
        frames: int = 0,
        rate: int = 0,
        model: str = "",
        provider: str = "",
        cost: float = 0.0,
        attempts: int = 1,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> bool:
        """
        Record what was served; False when it was settled or released before.

        Never fails for want of the journal or the database: the entry is then kept and written
        as soon as either can take it, and until then no further request is admitted.

        Args:
            outcome: `ok`, or why it ended although something was served.
            unit: what the frames are.
            frames: of audio decoded, or of video made, exact.
            rate: frames in one second, Hz.
            model: the provider's own model id.
            provider: the provider's name.
            cost: US dollars, kept to a billionth.
            attempts: tries it took, fallbacks included.
            prompt_tokens: tokens of the prompt.
            completion_tokens: tokens of the answer.

        Raises:
            ValueError: a negative number, or frames without a rate.

        """
        if frames < 0 or rate < 0 or cost < 0 or attempts < 0 or (frames and not rate):
            raise ValueError(f"cannot settle {frames} frames at {rate} Hz for {cost} dollars")
        if prompt_tokens < 0 or completion_tokens < 0:
            raise ValueError(f"cannot settle {prompt_tokens} and {completion_tokens} tokens")
        served = Served(
            unit=unit,
            frames=frames,
            rate=rate,
            model=_name(model),
            provider=_name(provider),
            cost=round(cost * NANO),
            attempts=attempts,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )
        return self._close(served, outcome)

    def release(self, outcome: str) -> bool:
        """Record that nothing is charged, and why; False when it was over before."""
        return self._close(NOTHING, outcome)

    def _close(self, served: Served, outcome: str) -> bool:
        if not self._is_open:
            return False
        self._is_open = False
        self._end(self, served, _name(outcome))
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_open:
            return
        if isinstance(error, CancelledError):
            self.release("cancelled")
        else:
            self.release("unsettled" if error is None else type(error).__name__)
