"""
The contract: `POST /morse/v1/decode` reads a recording, `GET /morse/v1/stats` counts.

Errors are problem details (RFC 9457). A handler walks the gateway's way and no other: admit, open
the clip, transcribe, and close the ticket, which settles what the request costs.
"""

import secrets

import structlog
from junctor.core.errors import (
    AuthenticationError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    InternalError,
    JunctorError,
    NoCandidateError,
    OverloadedError,
    ProviderError,
    RateLimitedError,
    RequestError,
    TooLargeError,
)
from junctor.core.gateway import Gateway
from junctor.core.requests import TranscribeRequest
from junctor.core.tickets import Ticket
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from msgspec import Struct

from junctor_morse.provider import CARD
from junctor_morse.tally import Tally
from junctor_morse.transcripts import LANGUAGE, words_per_minute

PATH = "/morse/v1"

Http = Request[None, None, State]

_STATUSES: dict[type[JunctorError], int] = {
    AuthenticationError: 401,
    InsufficientBalanceError: 402,
    ForbiddenError: 403,
    TooLargeError: 413,
    RateLimitedError: 429,
    ConcurrencyLimitedError: 429,
    RequestError: 400,
    NoCandidateError: 503,
    OverloadedError: 503,
    DeadlineExceededError: 504,
    InternalError: 500,
    JunctorError: 502,
}
"""The nearest class of an error's line counts; what is left is a provider's failure."""

_FAILED = "The provider failed. Try again."
"""What a single provider says may quote addresses or keys; it is for the log."""


class Decoded(Struct, frozen=True, kw_only=True):
    """What was keyed."""

    text: str
    wpm: float | None
    """Speed, words a minute; null when there is no Morse code in the recording."""
    seconds: float
    """Length of the recording."""


class Stats(Struct, frozen=True, kw_only=True):
    """What the provider did since the server started."""

    attempts: dict[str, int]
    """By outcome."""
    seconds: float
    """Audio in all of them."""


class Problem(Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 has it."""

    title: str
    status: int
    detail: str


@post("/decode", status_code=200)
async def decode(request: Http, gateway: NamedDependency[Gateway]) -> Decoded:
    """Read the recording that is the request's body."""
    async with await _admitted(request, gateway, "decode") as ticket:
        clip = await gateway.open_clip(ticket, await _body(request, ticket), filename=None)
        asked = TranscribeRequest(audio=clip, language=LANGUAGE, word_timestamps=True)
        transcript = await gateway.transcribe(ticket, asked, model=CARD.name)
        return Decoded(text=transcript.text, wpm=words_per_minute(transcript), seconds=clip.seconds)


@get("/stats")
async def stats(
    request: Http, gateway: NamedDependency[Gateway], tally: NamedDependency[Tally]
) -> Stats:
    """Say what was done so far."""
    await gateway.accounts.authenticate(_credential(request))
    return Stats(attempts=tally.outcomes, seconds=tally.audio_seconds)


async def _admitted(request: Http, gateway: Gateway, operation: str) -> Ticket:
    return await gateway.admit(
        contract="morse",
        operation=operation,
        credential=_credential(request),
        request_id=_request_id(),
    )


def _credential(request: Http) -> str | None:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bearer.strip() or request.headers.get("x-api-key")


def _request_id() -> str:
    # junctor binds the id that its log line and the header x-request-id have.
    known = structlog.contextvars.get_contextvars().get("request_id")
    return str(known) if known else secrets.token_hex(16)


async def _body(request: Http, ticket: Ticket) -> bytes:
    pieces = []
    async for piece in request.stream():
        ticket.buffer(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _problem(_request: Http, error: Exception) -> Response[Problem]:
    """Say any error in this contract's shape; what a defect says stays inside."""
    if isinstance(error, HTTPException):
        status, detail = error.status_code, error.detail
    elif isinstance(error, JunctorError):
        status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
        detail = _FAILED if isinstance(error, ProviderError) else str(error)
    else:
        structlog.get_logger().error("morse_defect", exc_info=error)
        return _problem(_request, InternalError())
    name = type(error).__name__.removesuffix("Error").removesuffix("Exception")
    return Response(
        Problem(title=name, status=status, detail=detail),
        status_code=status,
        media_type="application/problem+json",
    )


def router(tally: Tally) -> Router:
    """Return the contract's paths."""
    return Router(
        PATH,
        route_handlers=[decode, stats],
        dependencies={"tally": Provide(lambda: tally, sync_to_thread=False)},
        exception_handlers={Exception: _problem, HTTPException: _problem, JunctorError: _problem},
    )
