"""
Every error junctor raises on purpose.

::

    JunctorError
    ├── RequestError                  the caller can mend it
    │   ├── InvalidRequestError       a field is wrong; `param` names it
    │   │   ├── ContextLengthError    more tokens than any candidate takes
    │   │   └── PictureError          a picture is not usable, or not to be had
    │   ├── UnsupportedOptionError    well formed, but no candidate can do it
    │   ├── MediaError                the upload is not usable audio
    │   ├── TooLargeError             more bytes than allowed
    │   │   └── BodyTooLargeError     of a document that is no upload
    │   ├── TooLongError              more seconds than allowed
    │   ├── UnknownModelError         no such model; the known ones are named
    │   ├── AuthenticationError       no key, a wrong one, a revoked one
    │   ├── ForbiddenError            the team may not do this
    │   ├── NotFoundError             no such path or object
    │   ├── MethodNotAllowedError     the path exists, the method does not
    │   ├── RateLimitedError          too many requests a minute
    │   ├── ConcurrencyLimitedError   too many requests at once
    │   ├── InsufficientBalanceError  the wallet is empty
    │   └── ClientGoneError           the client left before its answer
    ├── ProviderError                 one attempt at one provider failed
    │   ├── ProviderTimeoutError
    │   ├── ProviderUnavailableError  refused, reset, no such host, 5xx, crashed
    │   ├── ProviderRateLimitedError  429, with `retry_after` where it was told
    │   ├── ProviderQuotaError        402, or a 429 that says the credits are gone
    │   ├── ProviderAuthError         our key was refused
    │   ├── ProviderRejectedError     it refuses this very request (400, 413, 415, 422)
    │   │   └── ProviderContextError  the conversation is longer than its context
    │   ├── ProviderAnswerError       its answer makes no sense
    │   └── ProviderBusyError         its queue is full, try the next candidate
    │       └── ProviderRestingError  not back yet: left alone after failures, or starting
    ├── NoCandidateError              the plan is empty; says why for each
    │   └── SaturatedError            whoever could serve it is busy
    ├── AllCandidatesFailedError      the plan was run to its end
    ├── DeadlineExceededError         the request's total time is used up
    ├── OverloadedError               the server itself is full or shutting down
    ├── InternalError                 a defect; the cause is logged, never sent
    ├── ConfigError                   a setting is wrong; names file and key
    └── PluginError                   a plugin cannot be used
        └── NotConfiguredError        it sits out, for example without credentials

Errors carry fields and build their sentence: what was wrong, what was expected, what to do.
Contracts render the first six branches in their own envelope; the last two never reach a caller.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar


class JunctorError(Exception):
    """The root of the tree; `str()` is a sentence fit for the caller."""


class RequestError(JunctorError):
    """The caller can mend it."""


class InvalidRequestError(RequestError, ValueError):
    """A field of the request is missing, malformed or out of range."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextLengthError(InvalidRequestError):
    """More tokens than any model that may serve the request takes."""

    def __init__(
        self, *, needed: int = 0, limit: int = 0, is_answer_long: bool = False, said: str = ""
    ) -> None:
        """
        Build the sentence.

        Args:
            needed: tokens that the request needs at least: prompt and answer, or the answer alone;
                0 where a provider said so, and did not say how many.
            limit: the most that there is of that.
            is_answer_long: whether the answer alone is meant: a shorter one would fit.
            said: what the providers said, fit for a caller.

        """
        if not needed:
            message = (
                "Prompt and answer together are longer than the context of every model tried: "
                f"{said}. Send fewer or shorter messages, or ask for a shorter answer."
            )
        elif is_answer_long:
            message = (
                f"The request asks for an answer of {needed} tokens, and with this prompt {limit} is "
                "the most that a model here gives. Lower max_tokens."
            )
        else:
            message = (
                f"The request needs at least {needed} tokens, prompt and answer together, and the "
                f"largest context here is {limit}. Send fewer or shorter messages."
            )
        super().__init__(message, param="max_tokens" if is_answer_long else "messages")
        self.needed = needed
        self.limit = limit


class PictureError(InvalidRequestError):
    """The picture of a video is broken, too large, not of a kind that is taken, or not there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="image.url")


class UnsupportedOptionError(RequestError):
    """A well-formed wish that no candidate can fulfil."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class MediaError(RequestError, ValueError):
    """The uploaded media is empty, broken, or not what the contract takes."""

    param = "file"


class TooLargeError(RequestError):
    """More bytes than allowed."""

    param: str | None = "file"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(
            f"The upload is larger than the {limit_bytes} bytes allowed. "
            "Send a shorter or more compressed file."
        )
        self.limit_bytes = limit_bytes


class BodyTooLargeError(TooLargeError):
    """More bytes of a document than allowed."""

    param = None

    def __init__(self, *, limit_bytes: int) -> None:
        RequestError.__init__(
            self,
            f"The body is larger than the {limit_bytes} bytes allowed. Send less text, or "
            "smaller pictures.",
        )
        self.limit_bytes = limit_bytes


class TooLongError(RequestError):
    """More seconds of media than allowed."""

    param = "file"

    def __init__(self, *, limit_seconds: float) -> None:
        super().__init__(
            f"The audio is longer than the {limit_seconds:g} seconds allowed. Split it."
        )
        self.limit_seconds = limit_seconds


class UnknownModelError(RequestError, LookupError):
    """No provider serves a model of this name."""

    param = "model"

    def __init__(self, model: str, known: Iterable[str]) -> None:
        self.model = model
        self.known = tuple(sorted(known))
        super().__init__(
            f"There is no model {model!r} for this request. Known models: "
            f"{', '.join(self.known) or 'none'}."
        )


class AuthenticationError(RequestError):
    """No key, a key nobody was given, or one that was revoked."""


class ForbiddenError(RequestError):
    """The key is good, but its team may not do this."""


class NotFoundError(RequestError, LookupError):
    """No such path or object."""


class MethodNotAllowedError(RequestError):
    """The path exists, the method does not."""


class RateLimitedError(RequestError):
    """The team has used up its requests of this minute."""

    def __init__(self, *, limit: int, retry_after: float) -> None:
        super().__init__(
            f"Rate limit of {limit} requests per minute reached. "
            f"Try again in {max(1, round(retry_after))} seconds."
        )
        self.limit = limit
        self.retry_after = retry_after


class ConcurrencyLimitedError(RequestError):
    """The team has too many requests under way."""

    retry_after: float = 1.0

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"Limit of {limit} concurrent requests reached. Wait for one to finish, then try again."
        )
        self.limit = limit


class InsufficientBalanceError(RequestError):
    """The team's wallet does not cover the request."""


class ClientGoneError(RequestError):
    """The client left before its answer; nobody reads this, the log does."""


class ProviderError(JunctorError):
    """One attempt at one provider failed. `provider` and `model` say where."""

    retryable: ClassVar[bool] = False
    """Whether the same provider may succeed when asked again at once."""

    def __init__(
        self, message: str, *, provider: str, model: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.retry_after = retry_after


class ProviderTimeoutError(ProviderError, TimeoutError):
    """It did not answer in the time given to it."""

    retryable = True


class ProviderUnavailableError(ProviderError, ConnectionError):
    """Refused, reset, no such host, a 5xx answer, or a crashed engine."""

    retryable = True


class ProviderRateLimitedError(ProviderError):
    """It asks us to slow down."""

    retryable = True


class ProviderQuotaError(ProviderError):
    """Our credits with it are used up; asking again cannot help."""


class ProviderAuthError(ProviderError):
    """It refused our credentials."""


class ProviderRejectedError(ProviderError):
    """It refuses this very request; another provider may not."""


class ProviderContextError(ProviderRejectedError):
    """The conversation is longer than its context; that of another may be larger."""


class ProviderAnswerError(ProviderError):
    """Its answer cannot be understood."""

    retryable = True


class ProviderBusyError(ProviderError):
    """Its queue is full: spill over to the next candidate instead of waiting."""


class ProviderRestingError(ProviderBusyError):
    """It cannot be asked for a while: it failed again and again, or its server is not ready."""


class NoCandidateError(JunctorError):
    """Nothing can serve the request now; `excluded` says why for each candidate."""

    def __init__(self, excluded: Sequence[str], *, temporary: bool) -> None:
        self.excluded = tuple(excluded)
        self.temporary = temporary
        super().__init__(
            "No provider can serve this request"
            + (" at the moment: " if temporary else ": ")
            + ("; ".join(excluded) or "none is configured")
            + "."
        )


class SaturatedError(NoCandidateError):
    """All who could serve it have as much to do as they may; it will pass."""

    def __init__(self, busy: Sequence[str], *, retry_after: float | None = None) -> None:
        super().__init__(busy, temporary=True)
        self.retry_after = retry_after
        """Seconds, where one of them said so."""


class AllCandidatesFailedError(JunctorError):
    """Every candidate of the plan was tried and failed; `causes` in the order of trial."""

    def __init__(self, causes: Sequence[ProviderError]) -> None:
        self.causes = tuple(causes)
        super().__init__(
            f"Every provider tried for this request failed ({len(self.causes)} attempts). "
            "Try again later."
        )


class DeadlineExceededError(JunctorError, TimeoutError):
    """The total time of the request is used up."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"The request was not finished within {seconds:g} seconds.")
        self.seconds = seconds


class OverloadedError(JunctorError):
    """The server itself is full or shutting down."""

    retry_after: float = 1.0


class InternalError(JunctorError):
    """A defect of ours; the cause is logged, never sent."""

    def __init__(self) -> None:
        super().__init__("The server failed in an unexpected way. It has been logged.")


class ConfigError(JunctorError, ValueError):
    """A setting is wrong."""

    def __init__(self, message: str, *, file: str = "", key: str = "") -> None:
        where = ": ".join(part for part in (file, key) if part)
        super().__init__(f"{where}: {message}" if where else message)
        self.file = file
        self.key = key


class PluginError(JunctorError):
    """A plugin cannot be used."""


class NotConfiguredError(PluginError):
    """The plugin is well but sits out, for example because no credentials are set."""
