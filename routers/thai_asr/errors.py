"""The Thai captions contract's errors: statuses over HTTP, codes and close codes on a socket."""

import msgspec
from attrs import frozen

from junctor.contracts.thai_asr import Failed
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    ClientGoneError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    InvalidRequestError,
    JunctorError,
    MediaError,
    MethodNotAllowedError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    ProviderBusyError,
    ProviderError,
    RateLimitedError,
    RequestError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.faces import ErrorFace, ErrorRow, Refusal

_UNAVAILABLE = "unavailable"

THAI_ASR_ROWS: dict[type[JunctorError], ErrorRow] = {
    JunctorError: ErrorRow(500, "internal_error"),
    RequestError: ErrorRow(400, "invalid_request"),
    UnsupportedOptionError: ErrorRow(400, "unsupported_option"),
    MediaError: ErrorRow(400, "bad_audio"),
    UnknownModelError: ErrorRow(400, "unknown_model"),
    AuthenticationError: ErrorRow(401, "unauthorized"),
    ForbiddenError: ErrorRow(403, "forbidden"),
    NotFoundError: ErrorRow(404, "not_found"),
    MethodNotAllowedError: ErrorRow(405, "method_not_allowed"),
    TooLargeError: ErrorRow(413, "too_large"),
    TooLongError: ErrorRow(413, "audio_too_long"),
    RateLimitedError: ErrorRow(429, "rate_limited"),
    ConcurrencyLimitedError: ErrorRow(429, "concurrency_limited"),
    InsufficientBalanceError: ErrorRow(429, "quota_exceeded"),
    ClientGoneError: ErrorRow(499, "client_gone"),
    ProviderError: ErrorRow(503, _UNAVAILABLE),
    ProviderBusyError: ErrorRow(503, "overloaded"),
    NoCandidateError: ErrorRow(503, _UNAVAILABLE),
    AllCandidatesFailedError: ErrorRow(503, _UNAVAILABLE),
    DeadlineExceededError: ErrorRow(503, _UNAVAILABLE),
    OverloadedError: ErrorRow(503, "overloaded"),
}


def envelope(refusal: Refusal) -> bytes:
    """Put the contract's envelope around an error."""
    return msgspec.json.encode(
        Failed(
            error=refusal.message,
            code=refusal.row.type,
            param=refusal.param,
            request_id=refusal.request_id,
        )
    )


THAI_ASR_FACE = ErrorFace(contract="thai_asr", rows=THAI_ASR_ROWS, envelope=envelope)


@frozen
class Ending:
    """How an error ends a socket."""

    code: str
    close: int


SHUTDOWN = Ending("shutting_down", 1012)
_DEFECT = 1011

_ENDINGS: dict[type[JunctorError], Ending] = {
    JunctorError: Ending("internal_error", _DEFECT),
    InvalidRequestError: Ending("too_many_errors", 1008),
    AuthenticationError: Ending("unauthorized", 4401),
    NotFoundError: Ending("unknown_session", 4401),
    ForbiddenError: Ending("forbidden", 4403),
    ClientGoneError: Ending("timeout", 4408),
    TooLongError: Ending("audio_too_long", 4413),
    RateLimitedError: Ending("rate_limited", 4429),
    ConcurrencyLimitedError: Ending("concurrency_limited", 4429),
    InsufficientBalanceError: Ending("quota_exceeded", 4429),
    OverloadedError: Ending("overloaded", 4429),
    ProviderError: Ending(_UNAVAILABLE, _DEFECT),
    NoCandidateError: Ending(_UNAVAILABLE, _DEFECT),
    AllCandidatesFailedError: Ending(_UNAVAILABLE, _DEFECT),
    DeadlineExceededError: Ending(_UNAVAILABLE, _DEFECT),
}


def ending_of(error: JunctorError) -> Ending:
    """Return how an error ends a socket; what only a client's single message did never gets here."""
    return next(_ENDINGS[kind] for kind in type(error).__mro__ if kind in _ENDINGS)
