"""Sarvam's wire: what is asked, what is answered, and what its errors mean."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from junctor.core.cards import ModelCard
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderUnavailableError,
)
from junctor.core.locales import match
from junctor.core.net import Target, status_error
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.transcripts import Segment, Transcript
from junctor.plugins.remote.vendor import nonsense, rejected

_REFUSED = (ProviderAuthError, "refused our credentials; check its api_key")
_FAULTS: Mapping[str, tuple[type[ProviderError], str]] = MappingProxyType(
    {
        "authentication_error": _REFUSED,
        "insufficient_quota_error": (ProviderQuotaError, "says our credits are used up; top it up"),
        "invalid_api_key_error": _REFUSED,
    }
)


class Phrases(msgspec.Struct):
    """Phrases and their times, seconds; three lists of one length."""

    words: list[str] = []
    start_time_seconds: list[float] = []
    end_time_seconds: list[float] = []


class Entry(msgspec.Struct):
    """What one speaker said; times are seconds."""

    transcript: str
    start_time_seconds: float
    end_time_seconds: float
    speaker_id: str | int | None = None


class Diarized(msgspec.Struct):
    """Speakers in turn."""

    entries: list[Entry] = []


class Answer(msgspec.Struct):
    """A transcript, at once or as a job's result."""

    transcript: str
    timestamps: Phrases | None = None
    diarized_transcript: Diarized | None = None
    language_code: str | None = None
    language_probability: float | None = None


class Job(msgspec.Struct):
    """A job that was made."""

    job_id: str


class Link(msgspec.Struct):
    """Where a file of a job is."""

    file_url: str


class Uploads(msgspec.Struct):
    """Where files are to be put, by name."""

    upload_urls: dict[str, Link]


class Downloads(msgspec.Struct):
    """Where results are, by name."""

    download_urls: dict[str, Link]


class File(msgspec.Struct):
    """A result."""

    file_name: str


class Detail(msgspec.Struct):
    """What became of one file of a job."""

    outputs: list[File] | None = None
    state: str | None = None


class Status(msgspec.Struct):
    """How far a job is."""

    job_state: str
    job_details: list[Detail] | None = None


class _Error(msgspec.Struct):
    code: str = ""


class _Errors(msgspec.Struct):
    error: _Error


def parameters_of(
    request: TranscribeRequest, card: ModelCard, target: Target
) -> dict[str, str | bool]:
    """
    Return what is asked for, as a job's parameters have it.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    tag = code_of(card, request.language, target)
    wanted: dict[str, str | bool] = {
        "model": card.id,
        # Odia is `or` in BCP-47 and on the realtime socket, but `od` everywhere else here.
        "language_code": {None: "unknown", "or-IN": "od-IN"}.get(tag, tag or ""),
        "mode": "translate" if request.task is Task.TRANSLATE else "transcribe",
    }
    if request.segment_timestamps:
        wanted["with_timestamps"] = True
    if request.diarization:
        wanted["with_diarization"] = True
    return wanted


def code_of(card: ModelCard, language: str | None, target: Target) -> str | None:
    """
    Return the model's tag for a language; None for none.

    Raises:
        ProviderRejectedError: it does not understand it.

    """
    found = match(card.locales or (), language or "")
    if language is not None and found is None:
        raise rejected(target, f"does not understand {language}")
    return found


def tag_of(code: str | None) -> str | None:
    """Return a language that the vendor tells as BCP-47; None where it tells none."""
    if not code or code in {"unknown", "auto"}:
        return None
    return "or-IN" if code == "od-IN" else code


def output_of(status: Status, target: Target) -> str | None:
    """
    Return the name of the result of a job of one file; None while it runs.

    Raises:
        ProviderError: the job failed.

    """
    if status.job_state not in {"Completed", "Failed"}:
        return None
    detail = next(iter(status.job_details or ()), Detail())
    if detail.state == "API Error":
        raise rejected(target, "could not transcribe this recording in a job")
    if status.job_state == "Failed" or detail.state != "Success":
        raise unavailable(target, "failed in a job")
    if not detail.outputs:
        raise nonsense(target)
    return detail.outputs[0].file_name


def transcript_of(answer: Answer, request: TranscribeRequest, target: Target) -> Transcript:
    """
    Return the transcript of an answer.

    Raises:
        ProviderAnswerError: its phrases and their times do not fit each other.

    """
    is_found = request.language is None
    return Transcript(
        text=answer.transcript.strip(),
        language=tag_of(answer.language_code) if is_found else request.language,
        language_confidence=answer.language_probability if is_found else None,
        segments=_turns(answer) or _phrases(answer, target),
    )


def _turns(answer: Answer) -> tuple[Segment, ...]:
    diarized = answer.diarized_transcript or Diarized()
    return tuple(
        Segment(
            text=entry.transcript.strip(),
            start=entry.start_time_seconds,
            end=entry.end_time_seconds,
            speaker=None if entry.speaker_id is None else str(entry.speaker_id),
        )
        for entry in diarized.entries
    )


def _phrases(answer: Answer, target: Target) -> tuple[Segment, ...]:
    told = answer.timestamps or Phrases()
    rows = zip(told.words, told.start_time_seconds, told.end_time_seconds, strict=True)
    try:
        return tuple(Segment(text=text.strip(), start=start, end=end) for text, start, end in rows)
    except ValueError as exc:
        raise nonsense(target) from exc


def unavailable(target: Target, sentence: str) -> ProviderUnavailableError:
    """Return the error of a vendor that cannot go on; `sentence` follows its name."""
    return ProviderUnavailableError(
        f"{target.provider} {sentence}.", provider=target.provider, model=target.model
    )


def error_code(body: bytes) -> str:
    """Return the machine-readable code of an error's body; empty where it has none."""
    try:
        return msgspec.json.decode(body, type=_Errors).error.code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def fault_of(
    target: Target, code: str, status: int, headers: Mapping[str, str] | None = None
) -> ProviderError:
    """Return our error: a 429 may say that the credits are gone, and any status that the key is wrong."""
    if code not in _FAULTS:
        return status_error(target, status, headers or {})
    kind, sentence = _FAULTS[code]
    return kind(f"{target.provider} {sentence}.", provider=target.provider, model=target.model)
