"""The wire of Speech-to-Text v2: one recognition, by REST."""

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import evolve
from msgspec import Struct, field

from junctor.core.audio import Clip
from junctor.core.cards import Feature, ModelCard
from junctor.core.net import Target
from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.plugins.remote.google.cards import CHIRP_2, LONG, SHORT, heard
from junctor.plugins.remote.google.offsets import seconds
from junctor.plugins.remote.vendor import read, rejected

_SURE = frozenset({LONG, SHORT})
"""Models whose confidence is one; that of the Chirps is not, as Google says itself."""


class _Word(Struct, rename="camel"):
    word: str = ""
    start_offset: str | None = None
    end_offset: str | None = None
    confidence: float | None = None
    speaker_label: str | None = None


class _Alternative(Struct):
    transcript: str = ""
    confidence: float | None = None
    words: list[_Word] = field(default_factory=list)


class _Result(Struct, rename="camel"):
    alternatives: list[_Alternative] = field(default_factory=list)
    result_end_offset: str | None = None
    language_code: str | None = None

    @property
    def best(self) -> _Alternative:
        return self.alternatives[0] if self.alternatives else _Alternative()


class _Answer(Struct):
    results: list[_Result] = field(default_factory=list)


def document(
    request: TranscribeRequest, card: ModelCard, codes: list[str], clip: Clip, target: Target
) -> dict[str, object]:
    """
    Return the request's JSON; bytes in it are written as base64.

    Raises:
        ProviderRejectedError: the model cannot find out the language, and none is named.

    """
    features: dict[str, object] = {"enableAutomaticPunctuation": True}
    if request.word_timestamps or request.segment_timestamps:
        features["enableWordTimeOffsets"] = True
        if card.id in _SURE:
            features["enableWordConfidence"] = True
    if request.prompt and Feature.PROMPT in card.features:
        features["customPromptConfig"] = {"customPrompt": request.prompt}
    config = {
        "autoDecodingConfig": {},
        "model": card.id,
        "languageCodes": _codes(card, codes, target),
        "features": features,
    }
    return {"config": config, "content": clip.data}


def _codes(card: ModelCard, codes: list[str], target: Target) -> list[str]:
    if Feature.AUTO_LANGUAGE in card.features and (
        not codes or (card.id == CHIRP_2 and len(codes) > 1)
    ):
        return ["auto"]
    if not codes:
        raise rejected(target, f"must be told the language with {card.id}")
    return codes


def transcript(body: bytes, request: TranscribeRequest, target: Target) -> Transcript:
    """
    Return what was heard.

    Raises:
        ProviderAnswerError: the answer is not one.

    """
    results = [one for one in read(body, _Answer, target).results if one.best.transcript.strip()]
    segments = tuple(_segments(results, target))
    return Transcript(
        text=" ".join(one.best.transcript.strip() for one in results),
        language=request.language or _language(results),
        confidence=_confidence(results) if target.model in _SURE else None,
        segments=segments,
        words=tuple(word for segment in segments for word in segment.words),
    )


def _segments(results: Iterable[_Result], target: Target) -> Iterable[Segment]:
    """Yield one for each result, as long as its words; without words, up to where it ended."""
    end = 0.0
    for one in results:
        words = tuple(_words(one.best.words, target))
        start = words[0].start if words else end
        end = words[-1].end if words else seconds(one.result_end_offset, target)
        if words or end > start:
            yield Segment(text=one.best.transcript.strip(), start=start, end=end, words=words)
        end = max(end, start)


def _words(words: Iterable[_Word], target: Target) -> Iterable[Word]:
    for one in words:
        if one.end_offset is None or not one.word.strip():
            continue  # no times were asked for
        word = Word(
            text=one.word.strip(),
            start=seconds(one.start_offset, target),
            end=seconds(one.end_offset, target),
            speaker=one.speaker_label,
        )
        yield evolve(word, confidence=one.confidence or None) if target.model in _SURE else word


def _language(results: Sequence[_Result]) -> str | None:
    """Return the language in which most is said."""
    spoken: Counter[str] = Counter()
    for one in results:
        if tag := heard(one.language_code):
            spoken[tag] += len(one.best.transcript)
    return spoken.most_common(1)[0][0] if spoken else None


def _confidence(results: Sequence[_Result]) -> float | None:
    """Return the mean over the text; a result without one is left out."""
    weighed = [
        (one.best.confidence, len(one.best.transcript)) for one in results if one.best.confidence
    ]
    total = sum(weight for _, weight in weighed)
    return min(1.0, sum(value * weight for value, weight in weighed) / total) if total else None
