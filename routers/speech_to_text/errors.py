"""
The speech-to-text contract's errors: the statuses of its table, and two envelopes.

What the caller can mend (400, 401, 404, 405, 413, 429) comes as ``{"detail": {…}, "message": …}``,
what it cannot as ``{"error": …}``. A team that may not use a model gets 400, as for any model that
is not supported; a server that is full gets 429, as for any concurrency that is exceeded.
"""

import msgspec

from junctor.contracts.speech_to_text import Failed, Refused
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    ClientGoneError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
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

HTTP_500 = 500
_INVALID, _UPSTREAM = "invalid_request", "upstream_failure"

STT_ROWS: dict[type[JunctorError], ErrorRow] = {
    JunctorError: ErrorRow(500, "internal_error"),
    RequestError: ErrorRow(400, _INVALID),
    UnsupportedOptionError: ErrorRow(400, "unsupported_option"),
    MediaError: ErrorRow(400, "bad_audio"),
    UnknownModelError: ErrorRow(400, "unsupported_model"),
    ForbiddenError: ErrorRow(400, "model_not_allowed"),
    AuthenticationError: ErrorRow(401, "unauthorized"),
    NotFoundError: ErrorRow(404, "not_found"),
    MethodNotAllowedError: ErrorRow(405, "method_not_allowed"),
    TooLargeError: ErrorRow(413, "too_large"),
    TooLongError: ErrorRow(413, "too_long"),
    RateLimitedError: ErrorRow(429, "rate_limited"),
    ConcurrencyLimitedError: ErrorRow(429, "concurrency_limited"),
    InsufficientBalanceError: ErrorRow(429, "quota_exceeded"),
    OverloadedError: ErrorRow(429, "overloaded"),
    ClientGoneError: ErrorRow(499, "client_gone"),
    ProviderError: ErrorRow(502, _UPSTREAM),
    ProviderBusyError: ErrorRow(429, "overloaded"),
    NoCandidateError: ErrorRow(502, _UPSTREAM),
    AllCandidatesFailedError: ErrorRow(502, _UPSTREAM),
    DeadlineExceededError: ErrorRow(502, _UPSTREAM),
}

_PARAMS = {"file": "audio"}
"""What the errors of uploads call the part, and what it is called here."""


def detail(refusal: Refusal) -> dict[str, object]:
    """Return what a program may want to know of a refusal."""
    found: dict[str, object] = {"code": refusal.row.type, "request_id": refusal.request_id}
    if refusal.param is not None:
        found["param"] = _PARAMS.get(refusal.param, refusal.param)
    return found


def envelope(refusal: Refusal) -> bytes:
    """Put the contract's envelope around an error."""
    if refusal.status >= HTTP_500:
        return msgspec.json.encode(Failed(error=refusal.message))
    return msgspec.json.encode(Refused(detail=detail(refusal), message=refusal.message))


STT_FACE = ErrorFace(contract="speech-to-text", rows=STT_ROWS, envelope=envelope)
