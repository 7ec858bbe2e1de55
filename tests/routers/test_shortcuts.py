"""The short way to a handler answers as the long one does."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, field
from litestar import Litestar, asgi
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.types import Receive, Scope, Send
from structlog.testing import capture_logs

from junctor.conf.settings import Telemetry as Settings
from junctor.core.errors import InvalidRequestError, RateLimitedError, TooLargeError
from junctor.core.faces import ErrorFaces
from junctor.core.telemetry import Telemetry
from junctor.routers.answers import Answer
from junctor.routers.chat.errors import CHAT_FACE
from junctor.routers.errors import error_handler, refusal_of
from junctor.routers.shortcuts import SHORTCUT, with_shortcuts
from junctor.routers.visits import VisitLayer

ORIGIN = b"https://page.example"


class Handler:
    """Fails as it is told to, or answers; notes which way it was reached."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.has_begun = False
        self.ways: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ways.append("long" if "route_handler" in scope else "short")
        if self.has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.failure is not None:
            raise self.failure
        await Answer(body=b"{}")(scope, receive, send)


@pytest.fixture(name="handler")
def _handler() -> Handler:
    return Handler()


def made(handler: Handler, cors: CORSConfig | None = None) -> Litestar:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await handler(scope, receive, send)

    faces = ErrorFaces(default=CHAT_FACE)
    answer = error_handler(faces)
    app = Litestar(
        [
            asgi("/short", copy_scope=False, opt={SHORTCUT: True})(serve),
            asgi("/long", copy_scope=False)(serve),
        ],
        exception_handlers={Exception: answer, HTTPException: answer},
        cors_config=cors,
        logging_config=None,
        openapi_config=None,
    )
    app.asgi_handler = VisitLayer(
        with_shortcuts(app, faces), Telemetry(Settings()), lambda s, e: refusal_of(s, e, faces)
    )
    return app


@define
class Told:
    """What went out."""

    status: int = 0
    headers: Mapping[bytes, bytes] = field(factory=dict)
    body: bytes = b""


async def told(app: Litestar, path: str, host: str = "h:1", **more: str) -> Told:
    out = Told()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        out.status = message.get("status", out.status)
        out.headers = dict(message.get("headers", out.headers))
        out.body += message.get("body", b"")

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", host.encode()), (b"x-request-id", b"r"), (b"origin", ORIGIN)],
        **more,
    }
    await app(scope, receive, send)
    return out


@pytest.mark.parametrize(
    "failure",
    [
        None,
        InvalidRequestError("bad", param="messages"),
        RateLimitedError(limit=1, retry_after=2.0),
        TooLargeError(limit_bytes=3),
        MethodNotAllowedException(headers={"Allow": "POST"}),
        HTTPException(status_code=413),
        RuntimeError("a defect"),
    ],
    ids=repr,
)
async def test_both_ways_say_the_same(handler: Handler, failure: Exception | None) -> None:
    """An answer and every kind of error are alike: status, headers and body."""
    handler.failure, app = failure, made(handler)
    with capture_logs() as lines:
        short, long = await told(app, "/short"), await told(app, "/long")
    defects = [line["event"] for line in lines if line["event"] == "unexpected_error"]

    assert handler.ways == ["short", "long"]
    assert short == long
    assert len(defects) == (2 if isinstance(failure, RuntimeError) else 0)


@pytest.mark.parametrize("more", [{"path": "/short/"}, {"path": "/a/short", "root_path": "/a"}])
async def test_other_spellings_take_the_long_way(handler: Handler, more: dict[str, str]) -> None:
    """A slash at the end and a path in front of all are litestar's to understand."""
    answer = await told(made(handler), **more)

    assert (handler.ways, answer.status) == (["long"], 200)


async def test_a_host_that_is_none(handler: Handler) -> None:
    """It is refused, as on every path."""
    answer = await told(made(handler), "/short", host="a b")

    assert (handler.ways, answer.status) == ([], 400)


async def test_pages_that_are_let_in(handler: Handler) -> None:
    """Where origins are let in there is no short way: their headers are litestar's to add."""
    answer = await told(made(handler, CORSConfig(allow_origins=["*"])), "/short")

    assert handler.ways == ["long"]
    assert answer.headers[b"access-control-allow-origin"] == b"*"


async def test_a_failure_behind_the_begin_breaks_off(handler: Handler) -> None:
    """No second head goes out; the server is left to close the connection."""
    handler.failure, handler.has_begun = RuntimeError("late"), True
    with pytest.raises(RuntimeError, match="late"):
        await told(made(handler), "/short")

    assert handler.ways == ["short"]
