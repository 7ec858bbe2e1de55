"""
The contract: `POST /morse/v1/decode` reads a recording, `GET /morse/v1/stats` counts.

Errors are problem details (RFC 9457). A handler walks the gateway's way and no other: admit, open
the clip, transcribe, and close the ticket, which settles what the request costs.
"""

from junctor.core.credentials import credential_of
from junctor.core.errors import (
    AuthenticationError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    InternalError,
    JunctorError,
    MethodNotAllowedError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RequestError,
    TooLargeError,
)
from junctor.core.faces import ERROR_FACE, ErrorFace, ErrorRow, Refusal
from junctor.core.gateway import Gateway
from junctor.core.plans import Choice
from junctor.core.presence import Attended
from junctor.core.requests import TranscribeRequest
from junctor.core.tickets import Ticket
from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from msgspec import Struct, json

from junctor_morse.provider import CARD
from junctor_morse.tally import Tally
from junctor_morse.transcripts import LANGUAGE, words_per_minute

PATH = "/morse/v1"

Http = Request[None, None, State]


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
    key = credential_of(request.headers)
    async with await gateway.admit(contract="morse", operation="decode", credential=key) as ticket:
        body = await _body(request, ticket)
        async with Attended(request.receive):  # a client that leaves stops the work
            clip = await gateway.open_clip(ticket, body, filename=None)
            asked = TranscribeRequest(audio=clip, language=LANGUAGE, word_timestamps=True)
            transcript = await gateway.transcribe(ticket, asked, Choice(model=CARD.name))
            return Decoded(
                text=transcript.text, wpm=words_per_minute(transcript), seconds=clip.seconds
            )


@get("/stats")
async def stats(
    request: Http, gateway: NamedDependency[Gateway], tally: NamedDependency[Tally]
) -> Stats:
    """Say what was done so far."""
    await gateway.accounts.authenticate(credential_of(request.headers))
    return Stats(attempts=tally.outcomes, seconds=tally.audio_seconds)


async def _body(request: Http, ticket: Ticket) -> bytes:
    pieces = []
    async with ticket.deadline.enforced():
        async for piece in request.stream():
            ticket.buffer(len(piece))
            pieces.append(piece)
    return b"".join(pieces)


def _problem(refusal: Refusal) -> bytes:
    return json.encode(
        Problem(title=refusal.row.type, status=refusal.status, detail=refusal.message)
    )


FACE = ErrorFace(
    contract="morse",
    rows={
        JunctorError: ErrorRow(502, "Provider failed"),
        RequestError: ErrorRow(400, "Bad request"),
        AuthenticationError: ErrorRow(401, "Not authenticated"),
        InsufficientBalanceError: ErrorRow(402, "Nothing left for today"),
        ForbiddenError: ErrorRow(403, "Not allowed"),
        NotFoundError: ErrorRow(404, "Not found"),
        MethodNotAllowedError: ErrorRow(405, "Method not allowed"),
        TooLargeError: ErrorRow(413, "Too large"),
        RateLimitedError: ErrorRow(429, "Too many requests"),
        ConcurrencyLimitedError: ErrorRow(429, "Too many requests"),
        InternalError: ErrorRow(500, "Internal error"),
        NoCandidateError: ErrorRow(503, "Nobody can serve this"),
        OverloadedError: ErrorRow(503, "Overloaded"),
        DeadlineExceededError: ErrorRow(504, "Out of time"),
    },
    envelope=_problem,
    media_type="application/problem+json",
)
"""The nearest class above an error counts; the server says 404 and 405 below our path with it."""


def router(tally: Tally) -> Router:
    """Return the contract's paths."""
    return Router(
        PATH,
        route_handlers=[decode, stats],
        dependencies={"tally": Provide(lambda: tally, sync_to_thread=False)},
        opt={ERROR_FACE: FACE},
    )
