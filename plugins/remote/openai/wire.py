"""The OpenAI wire: requests as form fields, answers as Structs; unknown fields are ignored."""

from collections.abc import Iterable

import msgspec
from attrs import frozen

from junctor.core.cards import Feature
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.plugins.remote.openai.cards import Served
from junctor.plugins.remote.openai.languages import code_of

EXTENSIONS = {
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "webm",
}
"""File extensions by media type; vendors look at the file name, and the caller's is not sent."""


class WireLanguage(msgspec.Struct):
    """A detected language."""

    code: str


class WireWord(msgspec.Struct):
    """A word of `verbose_json`."""

    word: str
    start: float
    end: float
    probability: float | None = None


class WireSegment(msgspec.Struct):
    """A segment of `verbose_json` or `diarized_json`."""

    text: str
    start: float
    end: float
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None
    tokens: list[int] | None = None
    words: list[WireWord] | None = None
    speaker: str | None = None


class WireTranscript(msgspec.Struct):
    """An answer in `json`, `verbose_json` or `diarized_json`, or a `transcript.text.done` event."""

    text: str
    language: str | None = None
    languages: list[WireLanguage] | None = None
    segments: list[WireSegment] | None = None
    words: list[WireWord] | None = None


class WireMessage(msgspec.Struct):
    """What the server says, in part."""

    content: str | None = None


class WireChoice(msgspec.Struct):
    """One piece of a streamed transcript."""

    delta: WireMessage | None = None


class WireEvent(msgspec.Struct):
    """An event of a streamed transcript; vLLM sends `choices` instead of `type`."""

    type: str = ""
    delta: str = ""
    choices: list[WireChoice] | None = None
    error: object = None

    @property
    def is_last(self) -> bool:
        """Whether it holds the whole transcript."""
        return self.type == "transcript.text.done"

    @property
    def is_error(self) -> bool:
        """Whether it says that the server gives up."""
        return self.type == "error" or self.error is not None

    @property
    def piece(self) -> str:
        """The text that it adds."""
        if self.type == "transcript.text.delta":
            return self.delta
        deltas = (choice.delta for choice in self.choices or ())
        return "".join(delta.content or "" for delta in deltas if delta is not None)


_transcripts = msgspec.json.Decoder(WireTranscript)
_events = msgspec.json.Decoder(WireEvent)
END_OF_STREAM = b"[DONE]"


@frozen
class Form:
    """What is posted beside the file, and where to."""

    path: str
    fields: tuple[tuple[str, str], ...]


def form_of(request: TranscribeRequest, served: Served, *, stream: bool = False) -> Form:
    """Return the form of a request to this model."""
    is_translation = request.task is Task.TRANSLATE
    fields = [("model", served.card.id), *_format(request, served)]
    if not is_translation:
        hints = served.hints(request.language, request.allowed_languages)
        fields += ((served.language_field, code) for code in hints)
    if request.prompt and served.has(Feature.PROMPT):
        fields.append(("prompt", request.prompt))
    if request.temperature:
        fields.append(("temperature", f"{request.temperature:g}"))
    if stream:
        fields.append(("stream", "true"))
    path = "/audio/translations" if is_translation else "/audio/transcriptions"
    return Form(path, tuple(fields))


def _format(request: TranscribeRequest, served: Served) -> Iterable[tuple[str, str]]:
    if served.has(Feature.DIARIZATION):
        yield "chunking_strategy", "auto"  # without it nothing over 30 seconds is taken
    wants_segments = request.segment_timestamps or request.word_timestamps or request.diarization
    # Without a hint the longer answer is asked for too: only it tells the language found.
    tells_language = served.segments_format == "verbose_json" and request.language is None
    if not (served.is_timed and (wants_segments or tells_language)):
        yield "response_format", "json"
        return
    yield "response_format", served.segments_format
    if request.word_timestamps and request.task is Task.TRANSCRIBE:
        yield "timestamp_granularities[]", "word"
        yield "timestamp_granularities[]", "segment"


def read_transcript(body: bytes, request: TranscribeRequest) -> Transcript:
    """
    Return the transcript of an answer.

    Raises:
        msgspec.DecodeError: it is not one.

    """
    wire = _transcripts.decode(body)
    words = tuple(map(_word, wire.words or ()))
    segments = tuple(_segment(segment, words) for segment in wire.segments or ())
    return Transcript(
        text=wire.text.strip(),
        language=_language(wire, request),
        segments=segments,
        words=words or tuple(word for segment in segments for word in segment.words),
    )


def _language(wire: WireTranscript, request: TranscribeRequest) -> str | None:
    if request.language is not None or request.task is Task.TRANSLATE:
        return request.language  # a translation answers "english", whatever was spoken
    found = wire.languages[0].code if wire.languages else wire.language
    return code_of(found)


def _word(wire: WireWord) -> Word:
    return Word(text=wire.word.strip(), start=wire.start, end=wire.end, confidence=wire.probability)


def _segment(wire: WireSegment, words: tuple[Word, ...]) -> Segment:
    own = tuple(map(_word, wire.words or ()))
    return Segment(
        text=wire.text.strip(),
        start=wire.start,
        end=wire.end,
        speaker=wire.speaker,
        words=own or tuple(w for w in words if wire.start <= (w.start + w.end) / 2 < wire.end),
        avg_logprob=wire.avg_logprob,
        no_speech_prob=wire.no_speech_prob,
        compression_ratio=wire.compression_ratio,
        temperature=wire.temperature,
        tokens=tuple(wire.tokens or ()),
    )


def read_event(data: bytes) -> WireEvent:
    """
    Return one event of a streamed transcript.

    Raises:
        msgspec.DecodeError: it is not one.

    """
    return _events.decode(data)
