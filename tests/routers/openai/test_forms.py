"""Fields are checked by their Struct, and refused by name with what was expected."""

import pytest

from junctor.contracts.openai import EXPECTED, TranscriptionForm, TranslationForm
from junctor.core.errors import InvalidRequestError
from junctor.core.requests import Task
from junctor.core.testing.clips import silent_clip
from junctor.routers.openai.forms import decode_form, transcription_of, translation_of

CLIP = silent_clip(0.1)


def decoded(**texts: list[str]) -> TranscriptionForm:
    return decode_form(TranscriptionForm, texts)


def test_nothing_given():
    """Every field has the contract's default."""
    assert TranscriptionForm() == decoded()


def test_everything_given():
    """Texts become what they mean."""
    form = decoded(
        model=["whisper-tiny"],
        language=["en_IN"],
        prompt=["Names: Ada"],
        response_format=["verbose_json"],
        temperature=["0.5"],
        timestamp_granularities=["word", "segment"],
        stream=["false"],
    )

    request = transcription_of(form, CLIP)

    assert ("en-IN", "Names: Ada", 0.5) == (request.language, request.prompt, request.temperature)
    assert (True, True) == (request.word_timestamps, request.segment_timestamps)


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_stream(value):
    """SDKs write truth in several ways."""
    assert decoded(stream=[value]).stream


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "1.1"),
        ("temperature", "-0.1"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("response_format", "xml"),
        ("language", "klingon language"),
        ("stream", "maybe"),
        ("timestamp_granularities", "sentence"),
    ],
)
def test_wrong_value(name, value):
    """The message names the field, the value and what was expected."""
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**{name: [value]})

    assert name == caught.value.param
    assert all(word in str(caught.value) for word in (name, value, EXPECTED[name]))


def test_given_twice():
    """Two values for one field are a mistake, not a choice."""
    with pytest.raises(InvalidRequestError, match="2 times"):
        decoded(model=["one", "two"])


@pytest.mark.parametrize("response_format", ["json", "srt"])
def test_granularities_need_verbose_json(response_format):
    """Where there is no place for timestamps, asking for them is refused."""
    with pytest.raises(InvalidRequestError, match="verbose_json"):
        decoded(timestamp_granularities=["word"], response_format=[response_format])


@pytest.mark.parametrize("response_format", ["srt", "vtt", "verbose_json"])
def test_stream_needs_text(response_format):
    """Events carry text; a subtitle file is no event."""
    with pytest.raises(InvalidRequestError, match="stream"):
        decoded(stream=["true"], response_format=[response_format])


@pytest.mark.parametrize(
    ("texts", "words", "segments"),
    [
        ({}, False, False),
        ({"response_format": ["srt"]}, False, True),
        ({"response_format": ["verbose_json"]}, False, True),
        (
            {"response_format": ["verbose_json"], "timestamp_granularities": ["word"]},
            True,
            False,
        ),
    ],
    ids=["json", "srt", "verbose", "words"],
)
def test_timestamps_asked_of_the_provider(texts, words, segments):
    """A provider is asked for the times that the answer needs, and no others."""
    request = transcription_of(decoded(**texts), CLIP)

    assert (words, segments) == (request.word_timestamps, request.segment_timestamps)


def test_translation():
    """A translation has its own task, and no language field."""
    form = decode_form(TranslationForm, {"model": ["m"], "language": ["th"]})

    assert (Task.TRANSLATE, None) == (
        translation_of(form, CLIP).task,
        translation_of(form, CLIP).language,
    )
