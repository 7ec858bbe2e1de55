"""The way of a conversation: planned, run over the candidates, counted, and served."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from attrs import define, field
from msgspec import Struct

from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.chat.flow import Flow, Tally, checked, naming
from junctor.core.dispatch import Order
from junctor.core.errors import ProviderError
from junctor.core.plans import Candidate, Plan, Wish
from junctor.core.policy import refusal
from junctor.core.providers import ChatModel
from junctor.core.requests import ChatRequest
from junctor.core.tickets import Ticket
from junctor.core.transcriptions import Hooks


class Asked(Struct, frozen=True, kw_only=True):
    """A conversation as its contract understood it."""

    request: ChatRequest
    model: str
    """The name that the caller gave the model; the answer has it, too."""
    prompt_tokens: int
    """Of the prompt, estimated."""


@define(kw_only=True, eq=False)
class Conversing:
    """One conversation of one ticket."""

    ticket: Ticket
    hooks: Hooks
    asked: Asked
    wish: Wish
    _flow: Flow | None = field(default=None, init=False)

    async def answer(self) -> bytes:
        """
        Return a whole answer; all of it is served.

        Raises:
            JunctorError: what `junctor.core.dispatch.Dispatcher.answer` raises, and for an empty
                plan what `junctor.core.policy.refusal` says.

        """
        plan, order = self._planned()
        tally = Tally(self.asked.prompt_tokens)

        async def work(candidate: Candidate) -> bytes:
            card = candidate.card
            reply = await self._model(candidate).chat(self.asked.request.at(card))
            checked(reply.body, card, tally)
            return naming(card.answers_as or card.id, self.asked.model)(reply.body)

        body = await self.ticket.snapshot.dispatcher.answer(plan, work, order)
        self.ticket.serve_tokens(tally.prompt, tally.completion)
        return body

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """
        Yield the events of an answer as they come, `[DONE]` last; raises as `answer` does.

        After the first item an error is one the caller has to be told of in the stream.
        """
        plan, order = self._planned()
        ticket = self.ticket
        has_begun = is_over = False
        try:
            opened = await ticket.snapshot.dispatcher.open(plan, self._opened, order)
            async with aclosing(opened.items()) as events:
                async for data in events:
                    has_begun = True
                    is_over = self._flow is not None and self._flow.is_done
                    if is_over:
                        self._served()
                        ticket.settle()  # before the last words leave, so that a kill comes too late
                    yield data
        except ProviderError:
            if not is_over:  # behind the end there is nothing to be told any more
                raise
        finally:
            if has_begun:  # else what a try said that failed with its first item reached nobody
                self._served()
            self._flow = None

    def _opened(self, candidate: Candidate) -> Flow:
        asked, card = self.asked, candidate.card
        self._flow = Flow(
            self._model(candidate).stream_chat(asked.request.at(card)),
            card,
            asked=asked.model,
            prompt=asked.prompt_tokens,
            wants_usage=asked.request.wants_usage,
        )
        return self._flow

    def _served(self) -> None:
        """Note what has reached the caller: nothing of a stream that has not begun."""
        flow = self._flow
        if flow is not None and flow.has_begun:
            self.ticket.serve_tokens(flow.tally.prompt, flow.tally.completion)

    def _planned(self) -> tuple[Plan, Order]:
        ticket = self.ticket
        plan = self.hooks.plan(ticket.snapshot.planner.plan(self.wish), self.wish)
        ticket.planned = tuple(one.card.name for one in plan.candidates)
        if not plan.candidates:
            raise refusal(plan)
        blank = Attempt(capability=Capability.CHAT)
        return plan, Order(blank=blank, deadline=ticket.deadline, trace=ticket.trace)

    def _model(self, candidate: Candidate) -> ChatModel:
        return cast("ChatModel", self.ticket.snapshot.provider(candidate.card))
