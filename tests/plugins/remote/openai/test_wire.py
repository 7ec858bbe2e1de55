"""Requests become the right form, answers the right transcript."""

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.conf.settings import Secret
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.plugins.remote.openai.cards import KNOWN, served_by
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings
from junctor.plugins.remote.openai.wire import form_of, read_event, read_transcript

REQUEST = TranscribeRequest(audio=tone_clip(0.1), language="th-TH")
JSON = ("response_format", "json")
VERBOSE = ("response_format", "verbose_json")
DIARIZE = "gpt-4o-transcribe-diarize"
CHUNKS = ("chunking_strategy", "auto")
DIARIZED = ("response_format", "diarized_json")
WORDS = (("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"))


def fields(model: str, **more: object) -> tuple[tuple[str, str], ...]:
    request = attrs.evolve(REQUEST, **more)  # type: ignore[arg-type]
    return form_of(request, KNOWN[model]).fields[1:]


@pytest.mark.parametrize(
    ("model", "wish", "expected"),
    [
        ("whisper-1", {}, (JSON, ("language", "th"))),
        ("whisper-1", {"language": None}, (VERBOSE,)),
        ("whisper-1", {"language": "te-IN"}, (JSON,)),
        ("whisper-1", {"segment_timestamps": True}, (VERBOSE, ("language", "th"))),
        ("whisper-1", {"word_timestamps": True}, (VERBOSE, *WORDS, ("language", "th"))),
        ("whisper-1", {"prompt": "p"}, (JSON, ("language", "th"), ("prompt", "p"))),
        ("whisper-1", {"temperature": 0.25}, (JSON, ("language", "th"), ("temperature", "0.25"))),
        ("gpt-4o-transcribe", {"language": None}, (JSON,)),
        ("gpt-4o-transcribe", {"segment_timestamps": True}, (JSON, ("language", "th"))),
        ("gpt-transcribe", {}, (JSON, ("languages[]", "th"))),
        ("gpt-transcribe", {"language": "te"}, (JSON, ("languages[]", "te"))),
        (
            "gpt-transcribe",
            {"language": None, "allowed_languages": ("th", "en-IN")},
            (JSON, ("languages[]", "th"), ("languages[]", "en")),
        ),
        (
            "whisper-1",
            {"language": None, "allowed_languages": ("th",)},
            (VERBOSE, ("language", "th")),
        ),
        (DIARIZE, {"language": None}, (CHUNKS, JSON)),
        (DIARIZE, {"prompt": "p"}, (CHUNKS, JSON, ("language", "th"))),
        (DIARIZE, {"diarization": True}, (CHUNKS, DIARIZED, ("language", "th"))),
        (DIARIZE, {"segment_timestamps": True}, (CHUNKS, DIARIZED, ("language", "th"))),
    ],
)
def test_form(model, wish, expected):
    """Each wish is the field that this model knows."""
    assert expected == fields(model, **wish)


def test_translation_form():
    """A translation goes to its own path, without language and word times."""
    request = attrs.evolve(REQUEST, task=Task.TRANSLATE, word_timestamps=True)
    form = form_of(request, KNOWN["whisper-1"])

    assert "/audio/translations" == form.path
    assert (("model", "whisper-1"), VERBOSE) == form.fields


def test_prompt_is_left_out_where_it_is_refused():
    """A model without prompts gets none."""
    own = ProviderSettings(models={"m": ModelSettings(prompt=False, language_field="")})
    served = served_by("x", own)["m"]

    assert (("model", "m"), JSON) == form_of(attrs.evolve(REQUEST, prompt="p"), served).fields


def test_reads_all_of_verbose_json():
    """Every figure that Whisper tells is kept; what is unknown is ignored."""
    body = b"""{"task": "transcribe", "language": "english", "duration": 2, "text": " Hi you. ",
     "segments": [{"id": 0, "seek": 0, "start": 0, "end": 2, "text": " Hi you.", "tokens": [5, 6],
       "temperature": 0, "avg_logprob": -0.25, "compression_ratio": 1, "no_speech_prob": 0.5,
       "new": {}}],
     "words": [{"word": " Hi", "start": 0, "end": 1}, {"word": "you", "start": 1, "end": 2}]}"""
    words = (Word(text="Hi", start=0, end=1), Word(text="you", start=1, end=2))
    segment = Segment(
        text="Hi you.",
        start=0,
        end=2,
        words=words,
        avg_logprob=-0.25,
        no_speech_prob=0.5,
        compression_ratio=1,
        temperature=0,
        tokens=(5, 6),
    )
    expected = Transcript(text="Hi you.", language="en", segments=(segment,), words=words)

    assert expected == read_transcript(body, attrs.evolve(REQUEST, language=None))


def test_reads_speakers():
    """An answer in `diarized_json` names the speaker of each segment."""
    body = b"""{"task": "transcribe", "duration": 27.4, "text": "Hi. Hello.", "segments": [
     {"type": "transcript.text.segment", "id": "seg_001", "start": 0.0, "end": 4.7, "text": "Hi.",
      "speaker": "A"}, {"type": "transcript.text.segment", "id": "seg_002", "start": 4.7,
      "end": 9, "text": " Hello.", "speaker": "B"}], "usage": {"type": "duration", "seconds": 28}}"""
    expected = (
        Segment(text="Hi.", start=0.0, end=4.7, speaker="A"),
        Segment(text="Hello.", start=4.7, end=9.0, speaker="B"),
    )

    assert expected == read_transcript(body, REQUEST).segments


def test_words_inside_segments():
    """A server that puts words into segments is understood, confidence included."""
    body = b"""{"text": "hi", "segments": [{"start": 0, "end": 1, "text": "hi", "words":
     [{"word": "hi", "start": 0, "end": 1, "probability": 0.5}]}]}"""

    assert (Word(text="hi", start=0, end=1, confidence=0.5),) == read_transcript(
        body, REQUEST
    ).words


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"text": null}',
        b'{"text": 1}',
        b'{"text": "x"',
        b'{"text": "x", "words": [{}]}',
    ],
)
def test_nonsense_is_refused(body):
    """What has no text is no transcript."""
    with pytest.raises(msgspec.DecodeError):
        read_transcript(body, REQUEST)


@given(st.text())
@settings(max_examples=50)
def test_text_survives(text):
    """Any text comes through, but for the space around it."""
    body = msgspec.json.encode({"text": text})

    assert text.strip() == read_transcript(body, REQUEST).text


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (b'{"type": "transcript.text.delta", "delta": "a"}', "a"),
        (b'{"type": "transcript.text.segment", "text": "a"}', ""),
        (b'{"object": "transcription.chunk", "choices": [{"delta": {"content": "a"}}]}', "a"),
        (b'{"choices": [{"delta": {}}]}', ""),
    ],
)
def test_pieces(data, piece):
    """Deltas of OpenAI and of vLLM are understood, other events add nothing."""
    assert piece == read_event(data).piece


def test_secret_is_hidden_in_settings():
    """The settings never show the key."""
    assert "sk-1" not in repr(ProviderSettings(api_key=Secret("sk-1")))
