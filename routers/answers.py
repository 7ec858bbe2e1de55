"""Answers as small ASGI applications: bytes at once, or events as they come."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

from litestar import Request
from litestar.datastructures import State
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from junctor.core.errors import ClientGoneError
from junctor.core.presence import Attended
from junctor.core.stalls import within
from junctor.core.tickets import Ticket

Http = Request[None, None, State]
"""The request that handlers take: no user, no session."""

UNREAD = 5.0
"""Seconds that a client has for what it has not read when the request's time is over."""
FAREWELL = 1.0
"""Seconds that a client has to take the last event at a shutdown."""
EVENT_STREAM = b"text/event-stream; charset=utf-8"

Headers = Iterable[tuple[str, str]]


def ticket_headers(ticket: Ticket) -> list[tuple[str, str]]:
    """Return the plan, who answered after how many attempts, and where the rate limit stands."""
    headers = [
        ("x-junctor-attempts", str(ticket.attempts)),
        ("x-ratelimit-limit-requests", str(ticket.rate.limit)),
        ("x-ratelimit-remaining-requests", str(ticket.rate.remaining)),
        ("x-ratelimit-reset-requests", f"{ticket.rate.reset:.3g}s"),
    ]
    if ticket.planned:
        names = ", ".join(ticket.planned).encode("ascii", "replace").decode()
        headers.append(("x-junctor-plan", names))
    if ticket.provider is not None:
        headers.append(("x-junctor-provider", ticket.provider))
    return headers


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    body: bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Headers = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Send it."""
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            *_encoded(self.headers),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class EventStream(Struct, frozen=True, kw_only=True, eq=False):
    """
    Server-sent events, sent as they come.

    Litestar's own stream leaves the generator to the garbage collector when the client leaves in
    the middle of a send. This one always closes it: the work behind it stops, and is settled, at
    that moment.
    """

    first: bytes
    """The first event, pulled before the answer, so that a failure before it had its own status."""
    rest: AsyncGenerator[bytes, None]
    """Further events, each finished with its blank line."""
    farewell: bytes
    """The event that says, instead of the rest, that the server is shutting down."""
    until: float
    """Event-loop time at which the work behind it is over; soon after, who does not read is left."""
    headers: Headers = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Send the events until they end, the client leaves, or has not read them in time."""
        try:
            async with Attended(receive), aclosing(self.rest):
                await within(self.until + UNREAD, lambda: self._send(send))
        except (ClientGoneError, TimeoutError):
            return
        except asyncio.CancelledError:
            soon = asyncio.get_running_loop().time() + FAREWELL
            last = {"type": "http.response.body", "body": self.farewell, "more_body": False}
            with suppress(TimeoutError):
                await within(soon, lambda: send(last))  # type: ignore[arg-type]

    async def _send(self, send: Send) -> None:
        headers = [
            (b"content-type", EVENT_STREAM),
            (b"cache-control", b"no-cache"),
            *_encoded(self.headers),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.first, "more_body": True})
        async for event in self.rest:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
