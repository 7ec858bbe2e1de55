"""
What is known of the request that is being served, from its first byte to its last.

The outermost layer of the server begins a visit for each request and writes its one log line at
the end. Whoever serves the request finds it by `current_visit`; `Gateway.admit` fills it in, so
that the line of a plugin's contract says as much as ours.
"""

import secrets
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct, field

from junctor.core.errors import ClientGoneError
from junctor.core.telemetry import RequestRecord
from junctor.core.tracing import Note

if TYPE_CHECKING:
    from junctor.core.tickets import Ticket

CLIENT_GONE = 499
"""Status in the log of a request whose client left before the answer."""

VISIT: "ContextVar[Visit | None]" = ContextVar("junctor_visit", default=None)
"""The visit of the request that this task serves."""


class Visit(Struct, eq=False, kw_only=True):
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
    told: dict[str, object] = field(default_factory=dict)
    """What the caller wants to find in the line, by name: a correlation id, metadata."""
    started: float = field(default_factory=monotonic)

    @property
    def failure(self) -> str | None:
        """Class name of what it ended with; None when it ended well."""
        if self.error is not None or self.ticket is None or self.ticket.outcome == "ok":
            return self.error
        is_gone = self.ticket.outcome == "cancelled"
        return ClientGoneError.__name__ if is_gone else self.ticket.outcome

    def record(self) -> RequestRecord:
        """Return what is known of it, for its log line and its metrics."""
        ticket = self.ticket
        prompt_tokens, completion_tokens = ticket.charged_tokens if ticket else (0, 0)
        return RequestRecord(
            request_id=self.request_id,
            contract=self.contract,
            operation=self.operation,
            team=self.team,
            provider=ticket.provider if ticket else None,
            model=ticket.model if ticket else None,
            attempts=ticket.attempts if ticket else 0,
            failed_attempts=tuple(ticket.trace.causes) if ticket else (),
            status=self.status,
            audio_seconds=ticket.audio_seconds if ticket else 0.0,
            seconds=monotonic() - self.started,
            error=self.failure,
            told=self.told,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
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


def current_visit() -> Visit:
    """Return the visit of the request being served; outside one, a visit that nobody reports."""
    return VISIT.get() or Visit(request_id=secrets.token_hex(16))
