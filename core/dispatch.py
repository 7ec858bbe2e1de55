"""
Run a plan: candidates in order, under one deadline, until one of them answers.

Each candidate's work is an `Operation` with its wrappers around it (`junctor.core.operations`);
`fall_back` goes from one to the next until the first item is there.
"""

# Annotations of the closures below would otherwise be evaluated for every request.
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from attrs import frozen
from msgspec import Struct

from junctor.conf.settings import Policy
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.errors import (
    AllCandidatesFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidRequestError,
    JunctorError,
    NoCandidateError,
    ProviderBusyError,
    ProviderContextError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderRestingError,
    SaturatedError,
)
from junctor.core.health import Health
from junctor.core.operations import (
    Opened,
    Operation,
    Trace,
    answered,
    guarded,
    retried,
    streamed,
    timed,
)
from junctor.core.plans import Candidate, Plan
from junctor.core.redaction import publishable

A = TypeVar("A")
Contained = Callable[[Candidate], Operation[A]]
"""Makes the bare operation of a candidate."""


def fall_back(
    operations: Sequence[Callable[[], Operation[A]]], *, deadline: float, seconds: float
) -> Operation[A]:
    """
    Try one operation after the other until one gives its first item.

    Args:
        operations: makers, called when their turn comes: budgets depend on the time left.
        deadline: event-loop time at which the request's time is used up.
        seconds: the whole time, for the error's sentence.

    """

    async def run() -> Opened[A]:
        causes: list[ProviderError] = []
        try:
            for make in operations:
                try:
                    return await make()()
                except ProviderError as error:
                    if asyncio.get_running_loop().time() >= deadline:
                        raise DeadlineExceededError(seconds=seconds) from error
                    # A traceback holds the frames of the whole attempt, the upload in them, and
                    # this frame, which holds the error: a circle that only the collector breaks.
                    causes.append(error.with_traceback(None))
            raise verdict(causes) from causes[-1]
        finally:
            del causes

    return run


def verdict(causes: Sequence[ProviderError]) -> JunctorError:
    """Return the error of a plan that was run to its end."""
    if all(isinstance(cause, ProviderRejectedError) for cause in causes):
        reasons = dict.fromkeys(publishable(str(cause)).removesuffix(".") for cause in causes)
        said = "; ".join(reasons)
        if any(isinstance(cause, ProviderContextError) for cause in causes):
            return ContextLengthError(said=said)
        return InvalidRequestError(
            f"Every provider tried refused this request as invalid: {said}. Check what was sent, "
            "and the options."
        )
    if all(isinstance(cause, ProviderRestingError) for cause in causes):
        resting = [str(cause).removesuffix(".") for cause in causes]
        return NoCandidateError(resting, temporary=True)
    if all(isinstance(cause, (ProviderBusyError, ProviderRateLimitedError)) for cause in causes):
        waits = [cause.retry_after for cause in causes if cause.retry_after is not None]
        busy = [f"{cause.provider} is busy" for cause in causes]
        return SaturatedError(busy, retry_after=min(waits, default=None))
    return AllCandidatesFailedError(causes)


def failure(errors: Sequence[Exception]) -> Exception:
    """Return the error of runs of which each has failed: what all of their causes say."""
    causes: list[ProviderError] = []
    for error in errors:
        found = error.causes if isinstance(error, AllCandidatesFailedError) else [error.__cause__]
        told = [one for one in found if isinstance(one, ProviderError)]
        if isinstance(error, DeadlineExceededError) or not told:
            return error
        causes += told
    return verdict(causes)


class Deadline(Struct, frozen=True, kw_only=True):
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

    def share(self, policy: Policy, *, is_last: bool, longest: float | None = None) -> float:
        """Return the event-loop time by which a candidate must have begun to answer."""
        if is_last:
            return self.at
        longest = policy.max_attempt if longest is None else longest
        budget = min(longest, self.remaining * policy.attempt_share)
        return asyncio.get_running_loop().time() + budget


class Order(Struct, frozen=True, kw_only=True):
    """What a plan is run for."""

    blank: Attempt
    """Capability and media length, for the reports of the attempts."""
    deadline: Deadline
    trace: Trace
    """Written as the work goes on."""
    is_live: bool = False
    """Whether it is a live session: the deadline is that of its first item alone."""
    longest: float | None = None
    """Longest time for one attempt, seconds, where `policy.max_attempt` is not meant for it."""
    is_optional: bool = False
    """Whether others have, or may give, an answer without it: it may not use up their time."""


@frozen(kw_only=True)
class Dispatcher:
    """Runs plans that have at least one candidate. One is made per settings snapshot."""

    health: Health
    policy: Policy
    observe: Callable[[Attempt], None]

    async def answer(
        self, plan: Plan, work: Callable[[Candidate], Awaitable[A]], order: Order
    ) -> A:
        """
        Return the answer of the first candidate that gives one.

        Args:
            plan: the candidates in order.
            work: does one candidate's work.
            order: what it is run for.

        Raises:
            AllCandidatesFailedError: no candidate answered.
            InvalidRequestError: all of them refused the request itself.
            NoCandidateError: all of them are busy.
            DeadlineExceededError: the time is used up.

        """

        def contain(candidate: Candidate) -> Operation[A]:
            card = candidate.card
            return answered(lambda: work(candidate), provider=card.provider, model=card.id)

        opened = await self._operation(plan, contain, order)()
        opened.end(None)
        return opened.first

    async def stream(
        self, plan: Plan, open_: Callable[[Candidate], AsyncIterator[A]], order: Order
    ) -> AsyncGenerator[A, None]:
        """
        Yield the items of the first candidate that gives one; raises what `answer` raises.

        Raises:
            ProviderError: the stream breaks after its first item.

        """
        opened = await self.open(plan, open_, order)
        async with aclosing(opened.items()) as items:
            async for item in items:
                yield item

    async def open(
        self, plan: Plan, open_: Callable[[Candidate], AsyncIterator[A]], order: Order
    ) -> Opened[A]:
        """Return the stream of the first candidate that gives an item; its items are to be read."""

        def contain(candidate: Candidate) -> Operation[A]:
            card = candidate.card
            return streamed(lambda: open_(candidate), provider=card.provider, model=card.id)

        return await self._operation(plan, contain, order)()

    def _operation(self, plan: Plan, contain: Contained[A], order: Order) -> Operation[A]:
        last = len(plan.candidates) - 1

        def maker(number: int, candidate: Candidate) -> Callable[[], Operation[A]]:
            def make() -> Operation[A]:
                attempt = order.blank.at(
                    candidate.card, is_fallback=number > 0 or order.blank.is_fallback
                )
                is_last = number == last and not order.is_optional
                first_by = order.deadline.share(self.policy, is_last=is_last, longest=order.longest)
                price = candidate.card.price_of(order.blank.capability)
                order.trace.price = price
                output_price = candidate.card.output_price
                order.trace.output_price = price if output_price is None else output_price
                # Clients of chat wait by themselves, if they are told for how long.
                is_patient = is_last and attempt.capability is not Capability.CHAT
                patience = None if is_patient else self.policy.max_pause
                return retried(
                    self._guarded(contain(candidate), attempt, order, first_by=first_by),
                    attempts=self.policy.attempts_per_candidate,
                    backoff=self.policy.backoff,
                    by=first_by,
                    patience=patience,
                )

            return make

        makers = [maker(number, one) for number, one in enumerate(plan.candidates)]
        return fall_back(makers, deadline=order.deadline.at, seconds=order.deadline.seconds)

    def _guarded(
        self, operation: Operation[A], attempt: Attempt, order: Order, *, first_by: float
    ) -> Operation[A]:
        provider, policy = attempt.provider, self.policy
        gate = self.health.gate(f"{provider}:{attempt.model}", attempt.capability)
        operation = timed(
            operation,
            provider=provider,
            first_by=first_by,
            all_by=order.deadline.at,
            pause=None if order.is_live else policy.max_attempt,
        )
        return guarded(
            operation,
            gate=gate,
            attempt=attempt,
            observe=self.observe,
            trace=order.trace,
            is_live=order.is_live,
        )
