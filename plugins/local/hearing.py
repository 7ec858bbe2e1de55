"""Turn what a speech worker says into the transcript that every contract renders."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from junctor.core.transcripts import Segment, Transcript, TranscriptDelta, TranscriptEvent
from junctor.plugins.local.languages import gap_of, tag_of
from junctor.plugins.local.workers.items import Heard, SpeechItem, Spoken


async def events(
    items: AsyncGenerator[SpeechItem, None],
) -> AsyncGenerator[TranscriptEvent, None]:
    """Yield each segment as it is heard, then the whole; closing this closes the job."""
    spoken: Spoken | None = None
    segments: list[Segment] = []
    async with aclosing(items):
        async for item in items:
            match item:
                case Spoken():
                    spoken = item
                case Heard(segment=segment):
                    gap = gap_of(spoken.language if spoken else None) if segments else ""
                    segments.append(segment)
                    yield TranscriptDelta(text=gap + segment.text, segment=segment)
    yield whole(spoken, segments)


async def last(stream: AsyncIterator[TranscriptEvent]) -> Transcript:
    """Return the transcript that ends a stream."""
    transcript = Transcript(text="")
    async for event in stream:
        if isinstance(event, Transcript):
            transcript = event
    return transcript


def whole(spoken: Spoken | None, segments: list[Segment]) -> Transcript:
    """Put segments together."""
    language = tag_of(spoken.language) if spoken else None
    return Transcript(
        text=gap_of(language).join(segment.text for segment in segments),
        language=language,
        language_confidence=spoken.confidence if spoken else None,
        segments=tuple(segments),
        words=tuple(word for segment in segments for word in segment.words),
    )
