"""From form fields to what is asked of the gateway."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from junctor.contracts.openai import EXPECTED, LIST_FIELDS, TranscriptionForm, TranslationForm
from junctor.core.audio.clip import Clip
from junctor.core.errors import InvalidRequestError
from junctor.core.requests import Task, TranscribeRequest
from junctor.routers.forms import decode_fields

F = TypeVar("F", bound=TranslationForm)

_TIMED = frozenset({"verbose_json", "srt", "vtt"})
_STREAMABLE = frozenset({"json", "text"})


def decode_form(shape: type[F], texts: Mapping[str, Sequence[str]]) -> F:
    """
    Check and convert the text fields of a form.

    Args:
        shape: the Struct of the endpoint.
        texts: each field's values, as sent.

    Raises:
        InvalidRequestError: a field is wrong, or given more than once; `param` names it.

    """
    form = decode_fields(shape, texts, expected=EXPECTED, lists=LIST_FIELDS)
    if isinstance(form, TranscriptionForm):
        _check_together(form)
    return form


def _check_together(form: TranscriptionForm) -> None:
    if form.timestamp_granularities and form.response_format != "verbose_json":
        raise InvalidRequestError(
            "timestamp_granularities needs response_format=verbose_json.",
            param="timestamp_granularities",
        )
    if form.stream and form.response_format not in _STREAMABLE:
        raise InvalidRequestError(
            f"stream=true does not go with response_format={form.response_format}; "
            "use json or text.",
            param="response_format",
        )


def transcription_of(form: TranscriptionForm, clip: Clip) -> TranscribeRequest:
    """Return the request to write a recording down."""
    wants_segments = "segment" in form.timestamp_granularities or (
        form.response_format in _TIMED and not form.timestamp_granularities
    )
    return TranscribeRequest(
        audio=clip,
        language=form.language and form.language.replace("_", "-"),
        prompt=form.prompt or None,
        temperature=form.temperature,
        word_timestamps="word" in form.timestamp_granularities,
        segment_timestamps=wants_segments,
    )


def translation_of(form: TranslationForm, clip: Clip) -> TranscribeRequest:
    """Return the request to say a recording in English."""
    return TranscribeRequest(
        audio=clip,
        task=Task.TRANSLATE,
        prompt=form.prompt or None,
        temperature=form.temperature,
        segment_timestamps=form.response_format in _TIMED,
    )
