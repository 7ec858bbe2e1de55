"""
The paths of chat, under `/v1` and under `/api/llm/v1`: one implementation.

A request is decoded once for what policy has to know, and goes on in the bytes it came in.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from litestar import Router, asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.types import HTTPScope, Receive, Scope, Send

from junctor.core.cards import Capability
from junctor.core.credentials import credential_in
from junctor.core.errors import JunctorError
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.core.presence import Attended
from junctor.core.tickets import Ticket
from junctor.core.visits import Visit, current_visit
from junctor.routers.answers import Answer, EventStream, ticket_headers
from junctor.routers.chat.asked import asked_of, read_chat, wish_of
from junctor.routers.chat.errors import CHAT_FACE
from junctor.routers.errors import noted
from junctor.routers.openai.controllers import model_handlers
from junctor.routers.openai.renderings import server_sent
from junctor.routers.shortcuts import SHORTCUT
from junctor.routers.uploads import read_body
from junctor.routers.visits import shutting_down

CONTRACT = "llm"


@asgi("/completions", copy_scope=False, opt={SHORTCUT: True})
async def create_chat_completion(scope: Scope, receive: Receive, send: Send) -> None:
    """
    Continue a conversation.

    A bare ASGI handler: on this path what litestar does for an ordinary one was a sixth of the CPU.
    """
    if cast("HTTPScope", scope)["method"] != "POST":
        raise MethodNotAllowedException(headers={"Allow": "POST"})
    gateway: Gateway = scope["litestar_app"].state["runtime"].gateway
    ticket = await gateway.admit(
        contract=CONTRACT, operation="chat", credential=credential_in(scope["headers"])
    )
    try:
        answer = await _answered(scope, receive, gateway, ticket)
    except BaseException as error:
        await ticket.close(error)
        raise
    if isinstance(answer, Answer):
        await ticket.close()  # a stream's events do it themselves
    await answer(scope, receive, send)


async def _answered(
    scope: Scope, receive: Receive, gateway: Gateway, ticket: Ticket
) -> Answer | EventStream:
    limit = ticket.snapshot.settings.limits.max_upload_bytes
    body = await read_body(scope["headers"], receive, ticket, limit=limit)
    wire = read_chat(body)
    asked = asked_of(wire, body)
    wish = wish_of(wire, ticket, asked.prompt_tokens)
    ticket.hold_tokens(asked.prompt_tokens + wish.output_tokens * (wire.n or 1))
    async with Attended(receive):
        if not wire.stream:
            answer = await gateway.chat(ticket, asked, wish)
            return Answer(body=answer, headers=ticket_headers(ticket))
        visit = current_visit()
        events = _events(gateway.stream_chat(ticket, asked, wish), ticket, visit)
        first = await anext(events)
    return EventStream(
        first=first,
        rest=events,
        until=ticket.deadline.at,
        farewell=_error_event(shutting_down(), visit),
        headers=ticket_headers(ticket),
    )


async def _events(
    source: AsyncGenerator[bytes, None], ticket: Ticket, visit: Visit
) -> AsyncGenerator[bytes, None]:
    """Pass a stream on; an error after the first event is one too, never a silent cut."""
    has_begun = False
    async with ticket, aclosing(source):
        try:
            async for event in source:
                has_begun = True
                yield event
        except Exception as exc:
            if not has_begun:
                raise
            await ticket.close(exc)
            yield _error_event(noted(exc, visit), visit)


def _error_event(error: JunctorError, visit: Visit) -> bytes:
    refusal = CHAT_FACE.refuse(error, request_id=visit.request_id)
    return server_sent(CHAT_FACE.envelope(refusal))


def routers() -> list[Router]:
    """Return the paths of chat."""
    face = {ERROR_FACE: CHAT_FACE}
    chats = Router("/v1/chat", route_handlers=[create_chat_completion], opt=face)
    models = Router("/v1/models", route_handlers=model_handlers(Capability.CHAT))
    pooled = Router(
        "/api/llm",
        route_handlers=[
            Router("/v1/chat", route_handlers=[create_chat_completion]),
            models,
        ],
        opt=face,
    )
    return [chats, pooled]
