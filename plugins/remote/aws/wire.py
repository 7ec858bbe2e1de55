"""The wire of Transcribe and S3: jobs, results, errors; unknown fields are ignored."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeVar
from uuid import uuid4

import msgspec
from attrs import define

from junctor.core.audio import Clip
from junctor.core.cards import ModelCard
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.locales import match, primary
from junctor.core.net import RelayAnswer, Target, retry_after, status_error
from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.plugins.remote.aws.cards import FORMATS
from junctor.plugins.remote.vendor import nonsense, rejected

T = TypeVar("T")

MOST_SPEAKERS = 30
_SENTENCE_ENDS = tuple(".?!\u3002\uff01\uff1f\u0964\u0965\u061f\u06d4")


class Detected(msgspec.Struct, rename="pascal"):
    """What `GetTranscriptionJob` tells of a job."""

    transcription_job_status: Literal["QUEUED", "IN_PROGRESS", "FAILED", "COMPLETED"] = "QUEUED"
    language_code: str | None = None
    identified_language_score: float | None = None
    failure_reason: str = ""


class JobAnswer(msgspec.Struct, rename="pascal"):
    """The answer about a job."""

    transcription_job: Detected


class Choice(msgspec.Struct):
    """What an item may be; the first is the best."""

    content: str
    confidence: float | None = None


class Item(msgspec.Struct):
    """A word, or a mark, which has no times; numbers come as strings."""

    type: str
    alternatives: list[Choice]
    start_time: float | None = None
    end_time: float | None = None
    speaker_label: str | None = None


class Text(msgspec.Struct):
    """The whole text."""

    transcript: str


class Results(msgspec.Struct):
    """What was heard."""

    transcripts: list[Text]
    items: list[Item] = []


class Heard(msgspec.Struct):
    """The result file."""

    results: Results


class _ErrorBody(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")


@define(kw_only=True)
class Job:
    """A job and its two objects."""

    name: str
    upload: str
    """Key of the recording."""
    output: str
    """Key of the result."""
    may_exist: bool = False
    """Whether Amazon may know it."""

    @classmethod
    def of(cls, clip: Clip, prefix: str) -> "Job":
        """Return a new one under a name that nobody can guess."""
        name = f"junctor-{uuid4().hex}"
        return cls(
            name=name,
            upload=f"{prefix}{name}.{FORMATS[clip.media_type]}",
            output=f"{prefix}{name}.json",
        )


def start_document(
    request: TranscribeRequest, clip: Clip, job: Job, *, bucket: str, card: ModelCard
) -> dict[str, object]:
    """
    Return what `StartTranscriptionJob` is told.

    Raises:
        ProviderRejectedError: the language is not one of the vendor's.

    """
    document: dict[str, object] = {
        "TranscriptionJobName": job.name,
        "Media": {"MediaFileUri": f"s3://{bucket}/{job.upload}"},
        "MediaFormat": FORMATS[clip.media_type],
        "OutputBucketName": bucket,
        "OutputKey": job.output,
        **_language(request, card),
    }
    if request.diarization:
        document["Settings"] = {"ShowSpeakerLabels": True, "MaxSpeakerLabels": MOST_SPEAKERS}
    return document


def _language(request: TranscribeRequest, card: ModelCard) -> dict[str, object]:
    if request.language is not None:
        return {"LanguageCode": own_tag(card, request.language)}
    options = own_tags(card, request.allowed_languages)
    match options:
        case []:
            return {"IdentifyLanguage": True}
        case [only]:
            return {"LanguageCode": only}
        case _:
            return {"IdentifyLanguage": True, "LanguageOptions": options}


def own_tag(card: ModelCard, language: str) -> str:
    """
    Return a language as the vendor writes it.

    Raises:
        ProviderRejectedError: the vendor has not got it.

    """
    found = match(card.locales or (), language)
    if found is None:
        raise rejected(Target(card.provider, card.id), f"does not understand {language}")
    return found


def own_tags(card: ModelCard, languages: Iterable[str]) -> list[str]:
    """Return the languages that the vendor has, as it writes them; one dialect of each, as it wants."""
    chosen: dict[str, str] = {}
    for language in languages:
        tag = match(card.locales or (), language)
        if tag is not None:
            chosen.setdefault(primary(tag), tag)
    return list(chosen.values())


def decoded(body: bytes, kind: type[T], target: Target) -> T:
    """
    Decode JSON in which numbers may be strings.

    Raises:
        ProviderAnswerError: it is not JSON of this shape.

    """
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise nonsense(target) from exc


def transcript(heard: Heard, job: Detected, request: TranscribeRequest) -> Transcript:
    """Return a result file as our transcript."""
    words = tuple(words_of(heard.results.items))
    return Transcript(
        text=" ".join(part.transcript.strip() for part in heard.results.transcripts).strip(),
        language=job.language_code or request.language,
        language_confidence=job.identified_language_score,
        words=words,
        segments=tuple(segments_of(words)),
    )


def words_of(items: Iterable[Item]) -> Iterator[Word]:
    """Yield words with the marks that follow them."""
    held: Word | None = None
    for item in items:
        content = item.alternatives[0].content.strip() if item.alternatives else ""
        if item.start_time is None or item.end_time is None:
            held = held and _with_mark(held, content)
        elif content:
            if held is not None:
                yield held
            held = Word(
                text=content,
                start=item.start_time,
                end=max(item.start_time, item.end_time),
                confidence=item.alternatives[0].confidence,
                speaker=item.speaker_label,
            )
    if held is not None:
        yield held


def _with_mark(word: Word, mark: str) -> Word:
    return Word(
        text=word.text + mark,
        start=word.start,
        end=word.end,
        confidence=word.confidence,
        speaker=word.speaker,
    )


def segments_of(words: Iterable[Word]) -> Iterator[Segment]:
    """Yield sentences: words up to the mark that ends one, or to another speaker's first word."""
    held: list[Word] = []
    for word in words:
        if held and held[-1].speaker != word.speaker:
            yield _segment(held)
            held = []
        held.append(word)
        if word.text.endswith(_SENTENCE_ENDS):
            yield _segment(held)
            held = []
    if held:
        yield _segment(held)


def _segment(words: list[Word]) -> Segment:
    return Segment(
        text=" ".join(word.text for word in words),
        start=words[0].start,
        end=words[-1].end,
        words=tuple(words),
        speaker=words[0].speaker,
    )


_SLOW_DOWN = (ProviderRateLimitedError, "asks us to slow down")
_WRONG_KEY = (ProviderAuthError, "refused our credentials; check [plugins.aws] and their rights")
_UNPAID = (ProviderQuotaError, "does not serve our account; look at its billing")
_FAILING = (ProviderUnavailableError, "is failing or overloaded")

_CODES: Mapping[str, tuple[type[ProviderError], str]] = {
    **dict.fromkeys(
        ("LimitExceededException", "RequestLimitExceeded", "SlowDown", "Throttling",
         "ThrottlingException", "TooManyRequestsException"), _SLOW_DOWN,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
         "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
         "InvalidSignatureException", "InvalidToken", "MissingAuthenticationTokenException",
         "NotAuthorized", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
         "UnrecognizedClientException"), _WRONG_KEY,
    ),
    **dict.fromkeys(
        ("AccountProblem", "NotSignedUp", "OptInRequired", "ServiceQuotaExceededException",
         "SubscriptionRequiredException"), _UNPAID,
    ),
    **dict.fromkeys(
        ("InternalError", "InternalFailure", "InternalFailureException", "ServiceUnavailable",
         "ServiceUnavailableException"), _FAILING,
    ),
    "BadRequestException": (ProviderRejectedError, "refuses this request"),
    "SerializationException": (ProviderRejectedError, "refuses this request"),
    "ConflictException": (ProviderUnavailableError, "has a conflict with another request"),
    "NoSuchBucket": (ProviderRejectedError, "knows no such bucket; check `bucket`"),
    "PermanentRedirect": (ProviderRejectedError, "has the bucket elsewhere; check `region`"),
    "RequestTimeout": (ProviderTimeoutError, "gave up waiting"),
}  # fmt: skip
"""Error codes of both services, of which many come with HTTP 400; others go by their status."""
_S3_CODE = re.compile(rb"<Code>(\w{1,64})</Code>")


def fault(target: Target, answer: RelayAnswer) -> ProviderError:
    """Return our error for an answer whose status is not 2xx, by the code in it."""
    error = coded_error(target, _code_of(answer), retry_after(answer.headers))
    return error or status_error(target, answer.status, answer.headers)


def _code_of(answer: RelayAnswer) -> str:
    head = answer.body[:65536]
    if found := _S3_CODE.search(head):
        return found[1].decode()
    try:
        named = msgspec.json.decode(head, type=_ErrorBody).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        named = ""
    named = named or answer.headers.get("x-amzn-errortype", "")
    return named.rpartition("#")[2].partition(":")[0]


def coded_error(target: Target, code: str, wait: float | None = None) -> ProviderError | None:
    """Return our error for an error code; None for one that says nothing to us."""
    known = _CODES.get(code)
    if known is None:
        return None
    kind, sentence = known
    return kind(
        f"{target.provider} {sentence} ({code}).",
        provider=target.provider,
        model=target.model,
        retry_after=wait,
    )


def failure(target: Target, job: Detected) -> ProviderError:
    """Return our error for a job that failed; nearly always it is the recording."""
    kind: type[ProviderError] = ProviderRejectedError
    if "internal" in job.failure_reason.lower():
        kind = ProviderUnavailableError
    return kind(
        f"{target.provider} could not do the job; is the recording sound and half a second long?",
        provider=target.provider,
        model=target.model,
    )
