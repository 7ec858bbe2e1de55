"""
Windows of all live sessions, on their way to one model: decoded together, in micro-batches.

While the model is at work the windows of other sessions gather, and all of them go with the next
batch: no timer, no waiting when there is nobody to wait for. Whole stretches go before those in
which somebody is still speaking, and of those the ones of which nothing was shown yet come first. A session has at most one of the latter waiting, and renews it:
the newest speech takes the place in the queue that the older one had.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Final

from attrs import define, field, frozen

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderBusyError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.operations import translated
from junctor.core.providers import WindowTranscriber
from junctor.core.requests import Window, WindowsRequest
from junctor.core.transcripts import Timing, WindowTranscript

_OF_ALL = (ProviderBusyError, ProviderTimeoutError, ProviderUnavailableError)
"""Errors for which no single window is to blame."""
_AWAKE: Final = 30.0
"""Seconds after its last work for which a model is taken to be loaded."""
_SHARE: Final = 4
"""By this the batches of suspects are smaller with each failure."""
_PATIENCE: Final = 0.05
"""Seconds of work that captions which are only made anew may fill a batch with: what is urgent
waits no longer for the next one."""
_NEWS: Final = 0.05
"""What one batch counts in the running mean."""
_ALIKE: Final = 0.1
"""Variance of the sizes below which nothing can be told from them."""
_MANY: Final = 1_000
_SILENCE: Final = bytes(2 * SAMPLE_RATE // 5)


@frozen(kw_only=True)
class Answer:
    """What was heard in a window, and what it took."""

    heard: WindowTranscript
    timing: Timing


@define(eq=False, kw_only=True)
class Slip:
    """One window at a desk, from `WindowDesk.leave` until it is done or cancelled."""

    window: Window
    done: Callable[[], object]
    """Called once, when there is an answer or an error."""
    suspicion: int = 0
    """How often a window like it may have broken the model: such go in small batches, then alone."""
    is_first: bool = False
    """Whether nothing of its stretch was shown yet: such go before those that renew a caption."""
    at: float = field(factory=monotonic)
    answer: Answer | None = None
    error: ProviderError | None = None
    is_waiting: bool = True
    """Whether the model has not begun it."""
    is_cancelled: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None

    def renew(self, window: Window) -> None:
        """Take a newer window instead, in the same place of the queue; only while it waits."""
        self.window = window
        self.at = monotonic()


@frozen(kw_only=True)
class Batch:
    """What became of windows that were handed over together, for whoever counts."""

    provider: str
    model: str
    size: int
    """Windows in it."""
    queued: float
    """The longest wait of one of them, seconds."""
    seconds: float
    """What it took."""


@define(eq=False)
class Pace:
    """
    What a batch takes by its size, as seen lately: a line through a running mean.

    A CPU takes longer with each window; a GPU takes about as long for many as for one.
    """

    _size: float = 0.0
    _took: float = 0.0
    _spread: float = 0.0
    _rise: float = 0.0
    _count: int = 0

    def note(self, size: int, took: float) -> None:
        """Take a batch into account that took so many seconds."""
        self._count += 1
        news = max(_NEWS, 1 / self._count)
        size_off, took_off = size - self._size, took - self._took
        self._size += news * size_off
        self._took += news * took_off
        self._spread += news * (size_off * (size - self._size) - self._spread)
        self._rise += news * (size_off * (took - self._took) - self._rise)

    @property
    def in_time(self) -> int:
        """How many windows are decoded before somebody new waits too long for the next batch."""
        each = self._rise / self._spread if self._spread > _ALIKE else 0.0
        if each <= 0:
            return _MANY
        fixed = max(0.0, self._took - each * self._size)
        patience = max(_PATIENCE, 2 * (fixed + each))
        return max(1, min(_MANY, int((patience - fixed) / each)))


@define(eq=False, kw_only=True)
class WindowDesk:
    """Where windows wait for one model; belongs to one event loop."""

    provider: WindowTranscriber
    model: str
    batch: int
    """Windows handed over at once, at most."""
    observe: Callable[[Batch], object] = lambda _: None
    """Told of each batch that was decoded."""
    _finals: list[Slip] = field(factory=list, init=False)
    _partials: list[Slip] = field(factory=list, init=False)
    _worker: asyncio.Task[None] | None = field(default=None, init=False)
    _asking: asyncio.Task[Sequence[WindowTranscript]] | None = field(default=None, init=False)
    _batch: Sequence[Slip] = field(default=(), init=False)
    _worked_at: float = field(default=-inf, init=False)
    _pace: Pace = field(factory=Pace, init=False)
    _have_suspects_waited: bool = field(default=False, init=False)

    def leave(
        self,
        window: Window,
        *,
        done: Callable[[], object],
        suspicion: int = 0,
        is_first: bool = False,
    ) -> Slip:
        """Queue a window; `done` is called when its slip is over."""
        slip = Slip(window=window, done=done, suspicion=suspicion, is_first=is_first)
        (self._finals if window.is_final else self._partials).append(slip)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"windows of {self.model}")
        return slip

    def wake(self) -> None:
        """Have a model that has not worked for a while get ready: loading it may take seconds."""
        if self._worker is None and monotonic() - self._worked_at > _AWAKE:
            slip = self.leave(Window(pcm=_SILENCE), done=lambda: None)
            slip.is_cancelled = True  # nobody waits: it goes when somebody has waited behind it

    def withdraw(self, slip: Slip) -> None:
        """Forget a slip; the model stops when nobody waits for its batch any more."""
        slip.is_cancelled = True
        for queue in (self._finals, self._partials):
            if slip in queue:
                queue.remove(slip)
        if self._asking is not None and all(one.is_cancelled for one in self._batch):
            self._asking.cancel()

    async def _work(self) -> None:
        try:
            while batch := self._next():
                began = monotonic()
                for slip in batch:
                    slip.is_waiting = False
                await self._decode(batch, began)
        finally:
            self._worker = None

    def _next(self) -> list[Slip]:
        """
        Take the next batch from the queues: whole stretches first, suspects among themselves.

        Their turn comes after every other batch, however many others there are. With each failure
        over it, a window shares its fate with fewer: one that does break the model ends up alone,
        and those that were with it by chance soon have their answer.
        """
        partials = sorted(self._partials, key=lambda slip: not slip.is_first)
        waiting = [*self._finals, *partials]
        batch = [slip for slip in waiting if not slip.suspicion]
        urgent = sum(slip.window.is_final or slip.is_first for slip in batch)
        batch = batch[: min(self.batch, max(urgent, self._pace.in_time))]
        least = min((slip.suspicion for slip in waiting if slip.suspicion), default=0)
        suspects = [slip for slip in waiting if slip.suspicion == least > 0]
        suspects = suspects[: max(1, self.batch // _SHARE**least)]
        is_their_turn = self._have_suspects_waited or not batch
        self._have_suspects_waited = bool(suspects) and not is_their_turn
        batch = (suspects if is_their_turn else batch) or batch
        for slip in batch:
            (self._finals if slip.window.is_final else self._partials).remove(slip)
        return batch

    async def _decode(self, batch: Sequence[Slip], began: float) -> None:
        try:
            found = await self._asked(batch)
        except ProviderError as error:
            if len(batch) > 1 and not isinstance(error, _OF_ALL):
                for slip in batch:  # one of them is refused, and the others need not know
                    if not slip.is_cancelled:
                        await self._decode([slip], began)
                return
            for slip in batch:  # raised in as many sessions, each with a traceback of its own
                slip.error = _copied(error)
        else:
            took = monotonic() - began
            self._count(batch, began, took)
            for slip, heard in zip(batch, found, strict=True):
                slip.answer = Answer(heard=heard, timing=_timing(slip, heard, began, took))
        _tell(batch)

    def _count(self, batch: Sequence[Slip], began: float, took: float) -> None:
        self._worked_at = monotonic()
        self._pace.note(len(batch), took)
        self.observe(
            Batch(
                provider=self.provider.name,
                model=self.model,
                size=len(batch),
                queued=max(0.0, began - min(slip.at for slip in batch)),
                seconds=took,
            )
        )

    async def _asked(self, batch: Sequence[Slip]) -> Sequence[WindowTranscript]:
        self._batch = batch
        self._asking = asyncio.create_task(self._ask(batch))
        try:
            await asyncio.wait([self._asking])
            if self._asking.cancelled():
                raise self._failure("It was not waited for.")
            return self._asking.result()
        finally:
            self._asking.cancel()
            self._asking, self._batch = None, ()

    async def _ask(self, batch: Sequence[Slip]) -> Sequence[WindowTranscript]:
        request = WindowsRequest(windows=tuple(one.window for one in batch), model=self.model)
        with translated(provider=self.provider.name, model=self.model):
            found = tuple(await self.provider.transcribe_windows(request))
        if len(found) != len(batch):
            raise self._failure(f"It answered {len(found)} of {len(batch)} windows.")
        if not all(isinstance(one, WindowTranscript) for one in found):
            raise self._failure("It answered something that is no transcript.")
        return found

    def _failure(self, text: str) -> ProviderAnswerError:
        return ProviderAnswerError(text, provider=self.provider.name, model=self.model)


def _tell(batch: Sequence[Slip]) -> None:
    for slip in batch:
        if not slip.is_cancelled:
            slip.done()


def _timing(slip: Slip, heard: WindowTranscript, began: float, took: float) -> Timing:
    queued = max(0.0, began - slip.at)
    return Timing(at=slip.at, queued=queued, decoding=took, working=min(heard.seconds, took))


def _copied(error: ProviderError) -> ProviderError:
    return type(error)(
        str(error), provider=error.provider, model=error.model, retry_after=error.retry_after
    )
