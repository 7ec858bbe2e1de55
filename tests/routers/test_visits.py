"""The layer around the application names, traces and reports every request."""

import asyncio
from typing import NoReturn, cast

from attrs import define, field
from litestar.types import Scope
from structlog.testing import capture_logs

from junctor.conf.settings import Telemetry as Settings
from junctor.core.attempts import Attempt
from junctor.core.logs import name_request
from junctor.core.telemetry import Telemetry
from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.tracing import Note
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer
from junctor.routers.visits import VisitLayer
from tests.fakes.server import server_settings, serving


@define
class Followed:
    """Tracing that keeps the notes of the requests it followed."""

    notes: list[Note] = field(factory=list)
    headers: list[dict[str, str]] = field(factory=list)

    def request(self, headers, note):
        self.headers.append(headers)
        self.notes.append(note)
        return self

    def __enter__(self) -> None:
        """Begin a span."""

    def __exit__(self, *_: object) -> None:
        """End it."""

    def attempt(self, attempt: Attempt) -> None:
        """Report nothing."""

    def close(self) -> None:
        """Send nothing."""


async def never() -> NoReturn:
    """Stand for a client that stays and sends nothing."""
    await asyncio.Event().wait()
    raise AssertionError


async def visit(app, *headers: tuple[bytes, bytes], telemetry: Telemetry | None = None):
    """Send one request through the layer and return what came out."""
    sent = []

    async def send(message):
        sent.append(message)

    def refuse(scope, error):
        return Answer(body=type(error).__name__.encode(), status=503)

    layer = VisitLayer(app, telemetry or Telemetry(Settings()), refuse)
    scope = {"type": "http", "path": "/x", "headers": list(headers)}
    await layer(cast("Scope", scope), never, send)
    return sent


async def answer(scope, receive, send):
    current_visit().contract = "openai"
    current_visit().operation = "models"
    await Answer(body=b"ok")(scope, receive, send)


async def test_answer_carries_the_id():
    """The id that came in goes out."""
    sent = await visit(answer, (b"x-request-id", b"abc"))

    assert (b"x-request-id", b"abc") in sent[0]["headers"]


async def test_lines_within_carry_the_id():
    """Whatever is logged on the way says which request it belongs to, and nothing else does."""
    seen = []

    async def app(scope, receive, send):
        seen.append(name_request(None, "info", {"event": "within"}))
        await answer(scope, receive, send)

    await asyncio.create_task(visit(app, (b"x-request-id", b"abc")))  # as the server runs them

    assert [{"event": "within", "request_id": "abc"}] == seen
    assert {"event": "out"} == name_request(None, "info", {"event": "out"})


async def test_every_request_is_reported():
    """A request without a ticket has its line too."""
    with capture_logs() as lines:
        await visit(answer)

    assert [("request", "models", 200)] == [
        (line["event"], line["operation"], line["status"]) for line in lines
    ]


async def test_request_is_traced():
    """A span begins with the caller's headers and ends with what became of it."""
    telemetry = Telemetry(Settings())
    telemetry.tracing = followed = Followed()
    await visit(answer, (b"traceparent", b"00-1-2-01"), telemetry=telemetry)
    [note] = followed.notes

    assert [{"traceparent": "00-1-2-01"}] == followed.headers
    assert ("openai models", 200) == (note["name"], note["http.response.status_code"])


async def test_span_says_who_answered(tmp_path):
    """What the ticket knew is in the span, and the ticket is let go of."""
    telemetry = Telemetry(Settings())
    telemetry.tracing = followed = Followed()
    visits = []
    async with serving(server_settings(tmp_path), FakeTranscriber()) as server:

        async def app(scope, receive, send):
            visits.append(current_visit())
            gateway = server.runtime.gateway
            async with await gateway.admit(
                contract="test", operation="ask", credential=server.key
            ) as ticket:
                ticket.trace.provider, ticket.trace.attempts = "fake", 2
            await Answer(body=b"ok")(scope, receive, send)

        await visit(app, telemetry=telemetry)
    [note] = followed.notes

    assert ("acme", "fake", 2) == tuple(
        note[f"junctor.{name}"] for name in ("team", "provider", "attempts")
    )
    assert [None] == [one.ticket for one in visits]


async def test_shutdown_before_the_answer():
    """Whoever is cut off by a shutdown is told to come again."""

    async def app(scope, receive, send):
        raise asyncio.CancelledError

    sent = await visit(app)

    assert (503, b"OverloadedError") == (sent[0]["status"], sent[1]["body"])
