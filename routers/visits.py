"""
The outermost layer: every request gets an id, its answer carries it, and every request is reported.

One line per request, also of those that never were admitted: no key, a path that does not exist.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from random import getrandbits

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from junctor.core.errors import JunctorError, OverloadedError
from junctor.core.logs import REQUEST_ID
from junctor.core.telemetry import Telemetry
from junctor.core.tracing import Note, NoTracing
from junctor.core.visits import CLIENT_GONE, VISIT, Visit

Refuse = Callable[[Scope, JunctorError], ASGIApp]
"""Renders an error in the contract of the scope's path."""

ID_HEADER = b"x-request-id"
SWITCHED = 101
"""Status of a WebSocket that was taken, unless its contract says how it ended."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def shutting_down() -> OverloadedError:
    """Return the error of requests that a shutdown cuts off."""
    return OverloadedError("The server is shutting down. Try again.")


def _begun(scope: Scope) -> Visit:
    sent = next((value for name, value in scope["headers"] if name == ID_HEADER), b"")
    is_sane = bool(sent) and _SANE_ID.fullmatch(sent) is not None
    # Names only: nothing is guarded by them, and a system call for each costs more than the rest.
    return Visit(request_id=sent.decode() if is_sane else f"{getrandbits(128):032x}")


class VisitLayer:
    """
    ASGI layer around the whole application.

    Args:
        app: what it wraps.
        telemetry: where requests are reported.
        refuse: makes the answer to a request that is cut off before its answer began.

    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, refuse: Refuse) -> None:
        self._app = app
        self._telemetry = telemetry
        self._refuse = refuse
        self._is_traced = not isinstance(telemetry.tracing, NoTracing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        visit = _begun(scope)
        header = (ID_HEADER, visit.request_id.encode())

        def tagged(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                message["headers"] = [*message["headers"], header]
            elif message["type"] == "websocket.accept":
                visit.status = SWITCHED
                message["headers"] = [*message["headers"], header]
            return send(message)

        REQUEST_ID.set(visit.request_id)
        VISIT.set(visit)  # the server gives every request a task, and a context, of its own
        try:
            if self._is_traced:
                await self._traced(visit, scope, receive, tagged)
            else:
                await self._reported(visit, scope, receive, tagged)
        finally:
            visit.ticket = None  # timers of this request hold its context, and so the visit, on

    async def _traced(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        note: Note = {}
        with self._telemetry.tracing.request(headers, note):
            try:
                await self._reported(visit, scope, receive, send)
            finally:
                note.update(visit.note())

    async def _reported(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # The grace of a shutdown is over. Whoever waits shall know that trying again helps.
            if visit.status != CLIENT_GONE or scope["type"] != ScopeType.HTTP:
                raise
            await self._refuse(scope, shutting_down())(scope, receive, send)
        finally:
            if scope["type"] in {ScopeType.HTTP, ScopeType.WEBSOCKET}:
                self._telemetry.request(visit.record())
