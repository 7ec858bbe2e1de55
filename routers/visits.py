"""
The outermost layer: every request gets an id, its answer carries it, and every request is reported.

One line per request, also of those that never were admitted: no key, a path that does not exist.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, cast

from attrs import define, field
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from junctor.core.errors import ClientGoneError, JunctorError, OverloadedError
from junctor.core.telemetry import RequestRecord, Telemetry
from junctor.core.tracing import Note, NoTracing

if TYPE_CHECKING:
    from junctor.core.tickets import Ticket

Refuse = Callable[[Scope, JunctorError], ASGIApp]
"""Renders an error in the contract of the scope's path."""

REQUEST_ID = b"x-request-id"
CLIENT_GONE = 499
"""Status in the log of a request whose client left before the answer."""

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "junctor.visit"


@define(eq=False, kw_only=True)
class Visit:
    """One request, from its first byte to its last."""

    request_id: str
    contract: str = ""
    operation: str = ""
    team: str | None = None
    ticket: "Ticket | None" = None
    """Set once it is admitted; knows who answered."""
    status: int = CLIENT_GONE
    """HTTP status, once the answer has begun."""
    error: str | None = None
    """Class name of the error that was answered."""
    started: float = field(factory=monotonic)

    @property
    def failure(self) -> str | None:
        """Class name of what it ended with; None when it ended well."""
        if self.error is not None or self.ticket is None or self.ticket.error is None:
            return self.error
        is_gone = isinstance(self.ticket.error, (asyncio.CancelledError, GeneratorExit))
        kind = ClientGoneError if is_gone else type(self.ticket.error)
        return kind.__name__

    def record(self) -> RequestRecord:
        """Return what is known of it, for its log line and its metrics."""
        ticket = self.ticket
        return RequestRecord(
            request_id=self.request_id,
            contract=self.contract,
            operation=self.operation,
            team=self.team,
            provider=ticket.provider if ticket else None,
            model=ticket.model if ticket else None,
            attempts=ticket.attempts if ticket else 0,
            status=self.status,
            audio_seconds=ticket.clip.seconds if ticket and ticket.clip else 0.0,
            seconds=monotonic() - self.started,
            error=self.failure,
        )

    def note(self) -> Note:
        """Return what is known of it, for its span."""
        record = self.record()
        note: Note = {
            "name": f"{record.contract or 'junctor'} {record.operation or 'request'}",
            "http.response.status_code": record.status,
            "junctor.request_id": record.request_id,
            "junctor.team": record.team or "",
            "junctor.provider": record.provider or "",
            "junctor.attempts": record.attempts,
            "junctor.audio_seconds": record.audio_seconds,
        }
        if record.error is not None:
            note["junctor.error"] = record.error
        return note


def shutting_down() -> OverloadedError:
    """Return the error of requests that a shutdown cuts off."""
    return OverloadedError("The server is shutting down. Try again.")


def visit_of(scope: Scope) -> Visit:
    """Return the visit of a request; made on the spot for an application without the layer."""
    visit = cast("dict[str, object]", scope).get(_KEY)
    if isinstance(visit, Visit):
        return visit
    return _begun(scope)


def _begun(scope: Scope) -> Visit:
    sent = next((value for name, value in scope["headers"] if name == REQUEST_ID), b"")
    is_sane = _SANE_ID.fullmatch(sent) is not None
    visit = Visit(request_id=sent.decode() if is_sane else secrets.token_hex(16))
    cast("dict[str, object]", scope)[_KEY] = visit
    return visit


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
        header = (REQUEST_ID, visit.request_id.encode())

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        with bound_contextvars(request_id=visit.request_id):
            if self._is_traced:
                await self._traced(visit, scope, receive, tagged)
            else:
                await self._reported(visit, scope, receive, tagged)

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
            if scope["type"] == ScopeType.HTTP:
                self._telemetry.request(visit.record())
