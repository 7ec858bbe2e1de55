"""One request on its way through the ledger."""

from asyncio import CancelledError
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Self

from junctor.core.accounts import Principal
from junctor.core.records import NOTHING, Reserved, Served, printable

NANO = 1_000_000_000

_name = lru_cache(maxsize=1000)(printable)
"""For models, providers and outcomes, which are few; a request's line costs less for it."""

Hold = Callable[[Principal, float, float], None]
"""Takes the seconds held and the seconds wanted; raises `InsufficientBalanceError`."""
HoldTokens = Callable[[Principal, int, int], None]
"""Takes the tokens held and the tokens wanted; raises `InsufficientBalanceError`."""
End = Callable[[Reserved, Served, str, float, int], None]
"""Takes what was reserved, what was served, the outcome, the seconds and the tokens held."""


class Reservation:
    """
    One request on its way: settled or released exactly once, later calls do nothing.

    As a context manager it releases what was not settled, with the error's name as outcome, so
    that no way out of a request leaves it open.
    """

    __slots__ = (
        "_end",
        "_held",
        "_held_tokens",
        "_hold",
        "_hold_tokens",
        "_is_open",
        "_opened",
        "_principal",
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
        self._opened = opened
        self._principal = principal
        self._hold = hold
        self._hold_tokens = hold_tokens
        self._end = end
        self._held = 0.0
        self._held_tokens = 0
        self._is_open = True

    @property
    def id(self) -> str:
        """The entry's id in the ledger."""
        return self._opened.id

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
        self._hold(self._principal, self._held, seconds)
        self._held = seconds

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
        self._hold_tokens(self._principal, self._held_tokens, tokens)
        self._held_tokens = tokens

    def settle(  # noqa: PLR0913 - one entry, field by field
        self,
        outcome: str = "ok",
        *,
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
            frames: audio frames decoded, exact.
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
        self._end(self._opened, served, _name(outcome), self._held, self._held_tokens)
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
