"""From form fields to what is asked of the gateway."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from junctor.contracts.openai import EXPECTED, LIST_FIELDS, TranscriptionForm, TranslationForm
from junctor.core.audio.clip import Clip
from junctor.core.errors import InvalidRequestError
from junctor.core.requests import Task, TranscribeRequest

F = TypeVar("F", bound=TranslationForm)

_TIMED = frozenset({"verbose_json", "srt", "vtt"})
_STREAMABLE = frozenset({"json", "text"})
_FIELD = re.compile(r"\$\.(\w+)")


def decode_form(shape: type[F], texts: Mapping[str, Sequence[str]]) -> F:
    """
    Check and convert the text fields of a form.

    Args:
        shape: the Struct of the endpoint.
        texts: each field's values, as sent.

    Raises:
        InvalidRequestError: a field is wrong, or given more than once; `param` names it.

    """
    values: dict[str, str | Sequence[str]] = {}
    for name, given in texts.items():
        if name in LIST_FIELDS:
            values[name] = given
            continue
        if len(given) > 1:
            message = f"The field {name!r} is given {len(given)} times. Give it once."
            raise InvalidRequestError(message, param=name)
        values[name] = given[0]
    try:
        form = msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as exc:
        raise _refused(exc, values) from exc
    if isinstance(form, TranscriptionForm):
        _check_together(form)
    return form


def _refused(
    error: msgspec.ValidationError, values: Mapping[str, str | Sequence[str]]
) -> InvalidRequestError:
    found = _FIELD.search(str(error))
    name = found.group(1) if found else ""
    given = values.get(name, "")
    shown = given if isinstance(given, str) else ", ".join(given)
    expected = EXPECTED.get(name, "something else")
    return InvalidRequestError(
        f"The field {name!r} is {shown[:100]!r}; expected {expected}.", param=name or None
    )


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
