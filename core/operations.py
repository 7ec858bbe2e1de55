"""
A piece of work at a provider, and the small wrappers that guard it.

Everything here works on an `Operation`: a call without arguments that does the work as far as its
first item. An answer is a stream of one item, so answers and streams share each wrapper. A wrapper
takes an operation and returns one that does the same, but guarded::

    retried → guarded → timed → answered or streamed → provider

An operation may fail over only until its first item, which is why the first item is the result of
the call. What follows it comes from `Opened.items`, and its errors go to the caller.
"""

# Annotations of the closures below would otherwise be evaluated for every request.
from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Generic, TypeVar

import structlog
from msgspec import Struct, field

from junctor.core.attempts import Attempt
from junctor.core.errors import (
    JunctorError,
    ProviderAnswerError,
    ProviderBusyError,
    ProviderError,
    ProviderRejectedError,
    ProviderRestingError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.health import Gate
from junctor.core.stalls import StallWatch, within

A = TypeVar("A")
_END = object()
_log = structlog.get_logger()


class Trace(Struct, kw_only=True):
    """What became of a request; the dispatcher writes it, headers, ledger and log line read it."""

    attempts: int = 0
    provider: str | None = None
    """Provider of the last attempt: once there is an answer, the one who gave it."""
    model: str | None = None
    price: float = 0.0
    """Price on that model's card."""
    output_price: float = 0.0
    """Price of an answer's tokens on that model's card."""
    causes: list[str] = field(default_factory=list)
    """One `provider:model ErrorClass` for each failed attempt."""

    def add(self, other: Trace, *, has_answered: bool = False) -> None:
        """Take over what another run of the request did; its provider when it `has_answered`."""
        self.attempts += other.attempts
        self.causes += other.causes
        if has_answered or self.provider is None:
            self.provider, self.model = other.provider, other.model
            self.price, self.output_price = other.price, other.output_price


class Opened(Struct, Generic[A], eq=False, kw_only=True):
    """
    Work that has given its first item.

    Whoever receives one reads `items` to its end or closes it: that is when the wrappers let go.
    """

    first: A
    more: Callable[[], Awaitable[object]] | None = None
    """Gives the next item, or `_END`; None for an answer, which has no more."""
    close: Callable[[], Awaitable[None]] | None = None
    """Stops the work."""
    ends: list[Callable[[BaseException | None], None]] = field(default_factory=list)
    """Called once, the last one first, with what ended the work; None when it ended well."""

    def end(self, error: BaseException | None) -> None:
        """Tell all wrappers that the work is over; the first call counts."""
        while self.ends:
            self.ends.pop()(error)

    async def items(self) -> AsyncGenerator[A, None]:
        """Yield the first item and the others, then end."""
        error: BaseException | None = None
        try:
            yield self.first
            while self.more is not None and (item := await self.more()) is not _END:
                yield item  # type: ignore[misc]  # the sentinel has ended the loop
        except BaseException as exc:
            error = exc
            raise
        finally:
            if self.close is not None:
                await self.close()
            self.end(error)
            del error  # its traceback holds this frame: keep neither alive by the other


Operation = Callable[[], Awaitable[Opened[A]]]
"""Does the work anew each time it is called, as far as its first item."""


class translated:  # noqa: N801  # a context manager, spelled as one
    """
    Turn whatever foreign code raises into an error of the tree; log what is a defect.

    It keeps nothing between its uses: one serves for all items of a stream.
    """

    __slots__ = ("_model", "_provider")

    def __init__(self, *, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or isinstance(error, JunctorError):
            return
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return
            raise ProviderUnavailableError(
                "It cancelled its own work.", provider=self._provider, model=self._model
            ) from None
        if not isinstance(error, Exception):
            return
        _log.warning("provider_defect", provider=self._provider, model=self._model, exc_info=True)
        if isinstance(error, RecursionError):  # whoever nests a request so must open no breaker
            raise ProviderRejectedError(
                "The request is nested too deeply for it.",
                provider=self._provider,
                model=self._model,
            ) from None
        raise ProviderAnswerError(  # the boundary to foreign code
            f"It failed in an unexpected way ({type(error).__name__}).",
            provider=self._provider,
            model=self._model,
        ) from error


def answered(work: Callable[[], Awaitable[A]], *, provider: str, model: str) -> Operation[A]:
    """Contain a provider's method that answers: only errors of the tree come out."""

    async def run() -> Opened[A]:
        with translated(provider=provider, model=model):
            return Opened(first=await work())

    return run


def streamed(open_: Callable[[], AsyncIterator[A]], *, provider: str, model: str) -> Operation[A]:
    """Contain a provider's method that streams; a stream without an item is a failure too."""
    tree = translated(provider=provider, model=model)

    async def run() -> Opened[A]:
        with tree:
            items = open_()

        async def more() -> object:
            with tree:
                try:
                    return await items.__anext__()
                except StopAsyncIteration:
                    return _END

        async def close() -> None:
            stop = getattr(items, "aclose", None)
            if stop is not None:
                with tree:
                    await stop()

        try:
            first = await more()
        except BaseException:
            await close()
            raise
        if first is _END:
            raise ProviderAnswerError("It gave no answer.", provider=provider, model=model)
        return Opened(first=first, more=more, close=close)  # type: ignore[arg-type]

    return run


def timed(
    operation: Operation[A], *, provider: str, first_by: float, all_by: float, pause: float | None
) -> Operation[A]:
    """
    Bound the time to the first item, between items and in all.

    Args:
        operation: what is bounded.
        provider: its name, for the error.
        first_by: event-loop time by which the first item must be there.
        all_by: event-loop time of the request's deadline.
        pause: longest time between two items, seconds; None for a live session, in which silence
            is no fault: nothing is bounded then after the first item.

    """

    async def run() -> Opened[A]:
        try:
            opened = await within(first_by, operation)
        except ProviderError:  # which may be a TimeoutError, too
            raise
        except TimeoutError as exc:
            raise ProviderTimeoutError("It was too slow.", provider=provider) from exc
        inner = opened.more
        if inner is not None and pause is not None:
            watch = StallWatch(pause, all_by, provider)
            opened.more = partial(watch.wait, inner)
            opened.ends.append(lambda _: watch.close())
        return opened

    return run


def guarded(
    operation: Operation[A],
    *,
    gate: Gate,
    attempt: Attempt,
    observe: Callable[[Attempt], None],
    trace: Trace,
    is_live: bool = False,
) -> Operation[A]:
    """
    Leave a candidate alone that keeps failing, turn away what is beyond its concurrency, report.

    Breaker, bulkhead and report are one wrapper: three of them were a twentieth of what a relayed
    request costs.

    Args:
        operation: what is guarded.
        gate: of the candidate; told how it went.
        attempt: as it begins; reported once it is over.
        observe: takes the report.
        trace: written as the work goes on.
        is_live: whether it is a live session.

    """
    provider = attempt.provider

    async def run() -> Opened[A]:
        if gate.is_open:
            text = f"{provider} is left alone after failures."
            raise ProviderRestingError(text, provider=provider)
        if gate.is_full:
            raise ProviderBusyError("It has enough requests under way.", provider=provider)
        trace.attempts += 1
        trace.provider, trace.model = provider, attempt.model
        passage = _Passage(gate, attempt, observe, trace, is_live)
        try:
            opened = await operation()
        except BaseException as error:
            passage.end(error)
            raise
        passage.begin()
        opened.ends.append(passage.end)
        return opened

    return run


class _Passage:
    """One attempt on its way through the gate of its candidate."""

    __slots__ = (
        "_attempt", "_began", "_first", "_gate", "_is_live", "_observe", "_started", "_trace",
        "_was_probe",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        attempt: Attempt,
        observe: Callable[[Attempt], None],
        trace: Trace,
        is_live: bool,
    ) -> None:
        self._gate = gate
        self._attempt = attempt
        self._observe = observe
        self._trace = trace
        self._is_live = is_live
        self._first: float | None = None
        self._was_probe = gate.enter()
        self._began = gate.clock()
        self._started = monotonic()

    def begin(self) -> None:
        """Note that the first item is here."""
        self._first = monotonic() - self._started
        self._gate.succeed(self._first)
        if self._is_live:  # it may go on for hours, over an engine that was killed and came back
            self._gate.settle()

    def end(self, error: BaseException | None) -> None:
        """Let go, and tell how it went."""
        self._gate.leave(was_probe=self._was_probe)
        attempt, outcome = self._attempt, "ok"
        if isinstance(error, ProviderError):
            outcome = type(error).__name__
            self._trace.causes.append(f"{attempt.provider}:{attempt.model} {outcome}")
            self._gate.fail(error, began=self._began, is_live=self._is_live)
        else:
            outcome = "ok" if error is None else "cancelled"
            if self._first is not None:
                self._gate.settle()
        seconds = monotonic() - self._started
        self._observe(attempt.finished(outcome, seconds=seconds, first=self._first))


def retried(
    operation: Operation[A],
    *,
    attempts: int,
    backoff: float,
    by: float,
    patience: float | None = None,
) -> Operation[A]:
    """
    Try again when the error may pass by itself and there is time.

    The pause is the provider's `Retry-After`, or `backoff` seconds doubled with each try and
    jittered by half; a try that could not start before the event-loop time `by` is not made. Nor is
    one after a pause longer than `patience` seconds, for somebody else can be asked at once.
    """

    async def run() -> Opened[A]:
        number = 1
        while True:
            try:
                return await operation()
            except ProviderError as error:
                pause = _pause(error, backoff * 2 ** (number - 1))
                is_last = number >= attempts or not error.retryable
                is_long = patience is not None and pause > patience
                if is_last or is_long or asyncio.get_running_loop().time() + pause >= by:
                    raise
            await asyncio.sleep(pause)
            number += 1

    return run


def _pause(error: ProviderError, backoff: float) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return backoff * random.uniform(0.5, 1.5)  # noqa: S311  # jitter needs no secrecy
