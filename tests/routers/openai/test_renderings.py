"""One transcript, five formats; the SDK's own types judge the JSON ones."""

import json

import pytest
from openai.types.audio import Transcription, TranscriptionVerbose, TranslationVerbose

from junctor.contracts.openai import Granularity, ResponseFormat
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import transcript_of
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.routers.openai.renderings import (
    Rendering,
    delta_event,
    done_event,
    render,
    timed_segments,
)

REQUEST = TranscribeRequest(audio=silent_clip(2.0))
SAID = transcript_of("good morning", seconds=2.0, language="th")
PLAIN = Transcript(text="good morning")


def rendered(
    transcript: Transcript = SAID,
    response_format: ResponseFormat = "verbose_json",
    *asked: Granularity,
) -> Rendering:
    return render(transcript, REQUEST, response_format=response_format, granularities=asked)


def verbose(transcript: Transcript = SAID, *asked: Granularity) -> TranscriptionVerbose:
    """Decode strictly, as no SDK does: every field must be there and of its type."""
    body = rendered(transcript, "verbose_json", *asked).body
    return TranscriptionVerbose.model_validate_json(body, strict=True)


@pytest.mark.parametrize(
    ("response_format", "media_type", "body"),
    [
        (
            "json",
            "application/json",
            b'{"text":"good morning","usage":{"type":"duration","seconds":2.0}}',
        ),
        ("text", "text/plain; charset=utf-8", b"good morning\n"),
        (
            "srt",
            "application/x-subrip; charset=utf-8",
            b"1\n00:00:00,000 --> 00:00:02,000\ngood morning\n\n",
        ),
        (
            "vtt",
            "text/vtt; charset=utf-8",
            b"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\ngood morning\n\n",
        ),
    ],
)
def test_formats(response_format, media_type, body):
    """Each format has its bytes and its content type."""
    rendering = rendered(SAID, response_format)

    assert (media_type, body) == (rendering.media_type, rendering.body)


def test_json_is_the_sdks():
    """The short form decodes strictly as the SDK's type."""
    body = rendered(SAID, "json").body

    assert "good morning" == Transcription.model_validate_json(body, strict=True).text


def test_verbose_has_segments():
    """Segments are what verbose means when nothing is said; the language is a name."""
    answer = verbose()

    assert ("thai", 2.0, None) == (answer.language, answer.duration, answer.words)
    assert ["good morning"] == [segment.text for segment in answer.segments or []]


def test_verbose_with_words_alone():
    """Asked for words, OpenAI leaves the segments out; so do we."""
    answer = verbose(SAID, "word")

    assert answer.segments is None
    assert [("good", 0.0, 1.0), ("morning", 1.0, 2.0)] == [
        (word.word, word.start, word.end) for word in answer.words or []
    ]


def test_words_within_segments_are_found():
    """A provider that tells words by segment only is understood too."""
    words = (Word(text="hi", start=0.1, end=0.4),)
    segment = Segment(text="hi", start=0.0, end=1.0, words=words)
    answer = verbose(Transcript(text="hi", segments=(segment,)), "word")

    assert ["hi"] == [word.word for word in answer.words or []]


def test_provider_without_segments():
    """Text without times is one segment of the whole recording."""
    segments = verbose(PLAIN).segments or []

    assert [("good morning", 0.0, 2.0)] == [(one.text, one.start, one.end) for one in segments]


def test_unknown_figures_are_derived():
    """A mean log probability comes from the words where the provider tells only those."""
    words = (Word(text="a", start=0, end=1, confidence=0.5),)
    segment = Segment(text="a a a a", start=0.0, end=1.0, words=words)
    answer = verbose(Transcript(text="a", segments=(segment,))).segments or []

    assert -0.69 == round(answer[0].avg_logprob, 2)


def test_nothing_heard():
    """An empty transcript has no segments, and is still whole."""
    answer = verbose(Transcript(text=""))

    assert ("", [], "unknown") == (answer.text, answer.segments, answer.language)
    assert timed_segments(Transcript(text=" "), 2.0) == ()


def test_translation_is_english():
    """A translation's language is the one it is in."""
    request = TranscribeRequest(audio=silent_clip(2.0), task=Task.TRANSLATE)
    body = render(SAID, request, response_format="verbose_json").body

    assert "english" == TranslationVerbose.model_validate_json(body, strict=True).language


def test_events():
    """Stream events are one line of JSON each, and a blank line."""
    delta, done = delta_event("a\nb"), done_event(SAID)

    assert b'data: {"type":"transcript.text.delta","delta":"a\\nb"}\n\n' == delta
    assert {
        "type": "transcript.text.done",
        "text": "good morning",
        "languages": [{"code": "th"}],
    } == json.loads(done.removeprefix(b"data: "))
