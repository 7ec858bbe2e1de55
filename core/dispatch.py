"""
Run a plan: candidates in order, under one deadline, until one of them answers.

Everything here works on an `Operation`: a call without arguments that opens an asynchronous
iterator. An answer is a stream of one item, so answers and streams share each wrapper. A wrapper
takes an operation and returns one that does the same, but guarded:

    fall_back → retried → broken → bulkheaded → observed → timed → contained → provider

An operation may fail over only until its first item; after it, the error goes to the caller.
"""

# Annotations of the closures below would otherwise be evaluated for every request.
from __future__ import annotations

import asyncio
import random
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from time import monotonic
from typing import TypeVar

import structlog
from attrs import define, field, frozen

from junctor.conf.settings import Policy
from junctor.core.attempts import Attempt
from junctor.core.errors import (
    AllCandidatesFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    JunctorError,
    ProviderAnswerError,
    ProviderBusyError,
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.health import Gate, Health
from junctor.core.plans import Candidate, Plan

A = TypeVar("A")
Operation = Callable[[], AsyncGenerator[A, None]]
"""Opens the work anew each time it is called."""

_END = object()
_log = structlog.get_logger()


@define(kw_only=True)
class Trace:
    """What became of a request; the dispatcher writes it, headers, ledger and log line read it."""

    attempts: int = 0
    provider: str | None = None
    """Provider of the last attempt: once there is an answer, the one who gave it."""
    model: str | None = None
    price: float = 0.0
    """Price on that model's card."""
    causes: list[str] = field(factory=list)
    """One `provider:model ErrorClass` for each failed attempt."""


@contextmanager
def translated(*, provider: str, model: str) -> Iterator[None]:
    """Turn whatever foreign code raises into an error of the tree; log what is a defect."""
    try:
        yield
    except JunctorError:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ProviderUnavailableError(
            "It cancelled its own work.", provider=provider, model=model
        ) from None
    except Exception as exc:  # the boundary to foreign code
        _log.warning("provider_defect", provider=provider, model=model, exc_info=True)
        raise ProviderAnswerError(
            f"It failed in an unexpected way ({type(exc).__name__}).",
            provider=provider,
            model=model,
        ) from exc


def contained(open_: Callable[[], AsyncIterator[A]], *, provider: str, model: str) -> Operation[A]:
    """Let nothing out of a provider but items and errors of the tree; no item is an error too."""

    async def run() -> AsyncGenerator[A, None]:
        is_empty = True
        with translated(provider=provider, model=model):
            items = open_()
            try:
                async for item in items:
                    is_empty = False
                    yield item
            finally:
                close = getattr(items, "aclose", None)
                if close is not None:
                    await close()
        if is_empty:
            raise ProviderAnswerError("It gave no answer.", provider=provider, model=model)

    return run


def timed(
    operation: Operation[A], *, provider: str, first_by: float, all_by: float, pause: float
) -> Operation[A]:
    """
    Bound the time to the first item, between items and in all.

    Args:
        operation: what is bounded.
        provider: its name, for the error.
        first_by: event-loop time by which the first item must be there.
        all_by: event-loop time of the request's deadline.
        pause: longest time between two items, seconds.

    """

    async def run() -> AsyncGenerator[A, None]:
        now = asyncio.get_running_loop().time
        until = first_by
        async with aclosing(operation()) as items:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        item = await anext(items, _END)
                except ProviderError:
                    raise
                except TimeoutError as exc:
                    raise ProviderTimeoutError("It was too slow.", provider=provider) from exc
                if item is _END:
                    return
                yield item  # type: ignore[misc]  # the sentinel has returned above
                until = min(all_by, now() + pause)

    return run


def observed(
    operation: Operation[A], *, blank: Attempt, observe: Callable[[Attempt], None], trace: Trace
) -> Operation[A]:
    """Report each attempt once it is over, and keep the trace."""

    async def run() -> AsyncGenerator[A, None]:
        started = monotonic()
        first: float | None = None
        outcome = "cancelled"
        trace.attempts += 1
        trace.provider, trace.model = blank.provider, blank.model
        try:
            async with aclosing(operation()) as items:
                async for item in items:
                    if first is None:
                        first = monotonic() - started
                    yield item
            outcome = "ok"
        except ProviderError as error:
            outcome = type(error).__name__
            trace.causes.append(f"{blank.provider}:{blank.model} {outcome}")
            raise
        finally:
            observe(blank.finished(outcome, seconds=monotonic() - started, first=first))

    return run


def bulkheaded(operation: Operation[A], *, gate: Gate, provider: str) -> Operation[A]:
    """Turn away what is beyond the candidate's concurrency, so that it spills over."""

    async def run() -> AsyncGenerator[A, None]:
        if gate.is_full:
            raise ProviderBusyError("It has enough requests under way.", provider=provider)
        was_probe = gate.enter()
        try:
            async with aclosing(operation()) as items:
                async for item in items:
                    yield item
        finally:
            gate.leave(was_probe=was_probe)

    return run


def broken(operation: Operation[A], *, gate: Gate, provider: str) -> Operation[A]:
    """Leave a candidate alone that keeps failing; tell its gate how it went."""

    async def run() -> AsyncGenerator[A, None]:
        if gate.is_open:
            raise ProviderBusyError("It is left alone after failures.", provider=provider)
        started: float | None = monotonic()
        try:
            async with aclosing(operation()) as items:
                async for item in items:
                    if started is not None:
                        gate.succeed(monotonic() - started)
                        started = None
                    yield item
        except ProviderError as error:
            gate.fail(error)
            raise

    return run


def retried(operation: Operation[A], *, attempts: int, backoff: float, by: float) -> Operation[A]:
    """
    Try again when the error may pass by itself and there is time.

    The pause is the provider's `Retry-After`, or `backoff` seconds doubled with each try and
    jittered by half; a try that could not start before the event-loop time `by` is not made.
    """

    async def run() -> AsyncGenerator[A, None]:
        now = asyncio.get_running_loop().time
        for number in range(1, attempts + 1):
            has_begun = False
            try:
                async with aclosing(operation()) as items:
                    async for item in items:
                        has_begun = True
                        yield item
            except ProviderError as error:
                pause = _pause(error, backoff * 2 ** (number - 1))
                is_last = number == attempts or not error.retryable
                if has_begun or is_last or now() + pause >= by:
                    raise
            else:
                return
            await asyncio.sleep(pause)

    return run


def _pause(error: ProviderError, backoff: float) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return backoff * random.uniform(0.5, 1.5)  # noqa: S311  # jitter needs no secrecy


def fall_back(
    operations: Sequence[Callable[[], Operation[A]]], *, deadline: float, seconds: float
) -> Operation[A]:
    """
    Try one operation after the other until one yields its first item.

    Args:
        operations: makers, called when their turn comes: budgets depend on the time left.
        deadline: event-loop time at which the request's time is used up.
        seconds: the whole time, for the error's sentence.

    """

    async def run() -> AsyncGenerator[A, None]:
        now = asyncio.get_running_loop().time
        causes: list[ProviderError] = []
        for make in operations:
            has_begun = False
            try:
                async with aclosing(make()()) as items:
                    async for item in items:
                        has_begun = True
                        yield item
            except ProviderError as error:
                if now() >= deadline:
                    raise DeadlineExceededError(seconds=seconds) from error
                if has_begun:
                    raise
                causes.append(error)
            else:
                return
        raise verdict(causes) from causes[-1]

    return run


def verdict(causes: Sequence[ProviderError]) -> JunctorError:
    """Return the error of a plan that was run to its end."""
    if all(isinstance(cause, ProviderRejectedError) for cause in causes):
        return InvalidRequestError(
            "Every provider tried refused this request as invalid. Check the file and the options."
        )
    return AllCandidatesFailedError(causes)


@frozen(kw_only=True)
class Deadline:
    """The one deadline of a request."""

    at: float
    """Event-loop time."""
    seconds: float
    """The whole time, as configured."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now; call it on the event loop."""
        return cls(at=asyncio.get_running_loop().time() + seconds, seconds=seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Raise DeadlineExceededError when the block is not done by then."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError as exc:
            raise DeadlineExceededError(seconds=self.seconds) from exc

    def share(self, policy: Policy, *, is_last: bool) -> float:
        """Return the event-loop time by which a candidate must have begun to answer."""
        if is_last:
            return self.at
        budget = min(policy.max_attempt, self.remaining * policy.attempt_share)
        return asyncio.get_running_loop().time() + budget


@frozen(kw_only=True)
class Dispatcher:
    """Runs plans. One is made per settings snapshot; the health behind it lives on."""

    health: Health
    policy: Policy
    observe: Callable[[Attempt], None]

    def run(
        self,
        plan: Plan,
        open_: Callable[[Candidate], AsyncIterator[A]],
        *,
        blank: Attempt,
        deadline: Deadline,
        trace: Trace,
    ) -> AsyncGenerator[A, None]:
        """
        Open a plan that has at least one candidate; nothing runs before the first item is asked.

        Args:
            plan: the candidates in order.
            open_: opens one candidate's work.
            blank: capability and media length, for the reports of the attempts.
            deadline: the one deadline of the request.
            trace: written as the work goes on.

        Raises:
            AllCandidatesFailedError: from the iterator, when no candidate answered.
            InvalidRequestError: from the iterator, when all of them refused the request itself.
            DeadlineExceededError: from the iterator, when the time is used up.
            ProviderError: from the iterator, when a stream breaks after its first item.

        """
        last = len(plan.candidates) - 1

        def maker(number: int, candidate: Candidate) -> Callable[[], Operation[A]]:
            def make() -> Operation[A]:
                attempt = blank.at(candidate.card, is_fallback=number > 0)
                first_by = deadline.share(self.policy, is_last=number == last)
                trace.price = candidate.card.price
                return self._guarded(
                    lambda: open_(candidate), attempt, deadline.at, first_by, trace
                )

            return make

        makers = [maker(number, one) for number, one in enumerate(plan.candidates)]
        return fall_back(makers, deadline=deadline.at, seconds=deadline.seconds)()

    def _guarded(
        self,
        open_: Callable[[], AsyncIterator[A]],
        attempt: Attempt,
        all_by: float,
        first_by: float,
        trace: Trace,
    ) -> Operation[A]:
        provider, policy = attempt.provider, self.policy
        gate = self.health.gate(f"{provider}:{attempt.model}", attempt.capability)
        operation = contained(open_, provider=provider, model=attempt.model)
        operation = timed(
            operation,
            provider=provider,
            first_by=first_by,
            all_by=all_by,
            pause=policy.max_attempt,
        )
        operation = observed(operation, blank=attempt, observe=self.observe, trace=trace)
        operation = bulkheaded(operation, gate=gate, provider=provider)
        operation = broken(operation, gate=gate, provider=provider)
        return retried(
            operation,
            attempts=policy.attempts_per_candidate,
            backoff=policy.backoff,
            by=first_by,
        )


async def only(items: AsyncGenerator[A, None]) -> A:
    """Return the one item of an answer, and run the stream to its end."""
    async with aclosing(items):
        answer = await anext(items)
        async for _ in items:
            pass
        return answer


async def single(answer: Callable[[], Awaitable[A]]) -> AsyncGenerator[A, None]:
    """Make the one answer of a provider's method a stream of one item."""
    yield await answer()
