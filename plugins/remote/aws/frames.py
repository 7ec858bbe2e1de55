"""
Live speech on Amazon's wire: binary event-stream messages both ways.

A message is: total and header length, a CRC32 of these, headers, payload, a CRC32 of it all.
botocore reads them; it does not write any, so the audio events are made here.
"""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec
from attrs import define, field

from junctor.core.cards import ModelCard
from junctor.core.net import Target
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial
from junctor.plugins.remote.aws import wire
from junctor.plugins.remote.live import BYTES_PER_SECOND
from junctor.plugins.remote.vendor import nonsense, rejected

if TYPE_CHECKING:  # heavy: imported when a stream begins
    from botocore.eventstream import EventStreamMessage

PATH = "/stream-transcription-websocket"
_STRING = 7
"""Type of a header's value."""
FILL = 0.1
"""Length of the silence that is put in where no audio comes, seconds."""
_FRAME = 16
"""Bytes of a message beside headers and payload."""
_AUDIO_HEADERS = {
    ":content-type": "application/octet-stream",
    ":event-type": "AudioEvent",
    ":message-type": "event",
}


@define
class Clock:
    """
    What time it is in the caller's audio, when Amazon's also has silence of ours in it.

    Amazon ends a stream to which nothing comes for 15 seconds.
    """

    sent: int = 0
    """Audio sent so far, bytes."""
    _fills: list[float] = field(factory=list)
    """Where silence was put in, seconds from the start of what was sent."""

    def send(self, chunk: bytes) -> bytes:
        """Return what to send for a chunk: silence in place of an empty one."""
        if not chunk:
            self._fills.append(self.sent / BYTES_PER_SECOND)
            chunk = bytes(round(FILL * BYTES_PER_SECOND))
        self.sent += len(chunk)
        return chunk

    def own(self, time: float) -> float:
        """Return Amazon's time as the caller's, seconds."""
        return time - sum(min(FILL, time - at) for at in self._fills if at < time)


class _Item(msgspec.Struct, rename="pascal"):
    content: str = ""
    type: str = ""
    start_time: float | None = None
    end_time: float | None = None
    confidence: float | None = None
    speaker: str | None = None

    def as_recorded(self, clock: Clock) -> wire.Item:
        """Return the same item as result files have it."""
        times = (self.start_time, self.end_time) if self.type == "pronunciation" else (None, None)
        start, end = (None if time is None else clock.own(time) for time in times)
        return wire.Item(
            type=self.type,
            alternatives=[wire.Choice(self.content, self.confidence)],
            start_time=start,
            end_time=end,
            speaker_label=self.speaker,
        )


class _Alternative(msgspec.Struct, rename="pascal"):
    transcript: str = ""
    items: list[_Item] = []


class _Result(msgspec.Struct, rename="pascal"):
    start_time: float
    end_time: float
    is_partial: bool
    alternatives: list[_Alternative] = []
    language_code: str | None = None


class _Transcript(msgspec.Struct, rename="pascal"):
    results: list[_Result] = []


class _Event(msgspec.Struct, rename="pascal"):
    transcript: _Transcript


def _header(name: str, value: str) -> bytes:
    return (
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", _STRING, len(value))
        + value.encode()
    )


_HEADERS = b"".join(_header(name, value) for name, value in _AUDIO_HEADERS.items())


def audio_event(audio: bytes) -> bytes:
    """Return a message with PCM of at most 32 KB; an empty one says that no more will come."""
    prelude = struct.pack("!II", _FRAME + len(_HEADERS) + len(audio), len(_HEADERS))
    message = prelude + struct.pack("!I", crc32(prelude)) + _HEADERS + audio
    return message + struct.pack("!I", crc32(message))


def query_of(request: LiveRequest, card: ModelCard, usual: frozenset[str]) -> list[tuple[str, str]]:
    """
    Return the parameters of a stream.

    Args:
        request: what is asked.
        card: the model.
        usual: languages that detection chooses from where the request names none.

    Raises:
        ProviderRejectedError: the language is not one of the vendor's.

    """
    query = [("media-encoding", "pcm"), ("sample-rate", "16000")]
    if request.diarization:
        query.append(("show-speaker-label", "true"))
    if request.language is not None:
        return [*query, ("language-code", wire.own_tag(card, request.language))]
    options = wire.own_tags(card, request.allowed_languages or sorted(usual))
    match options:
        case []:
            raise rejected(Target(card.provider, card.id), "has none of the languages allowed")
        case [only]:
            return [*query, ("language-code", only)]
        case _:
            return [*query, ("identify-language", "true"), ("language-options", ",".join(options))]


class Frames:
    """Takes what arrives apart into events."""

    def __init__(self, target: Target, request: LiveRequest, clock: Clock | None = None) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer = EventStreamBuffer()
        self._target = target
        self._language = request.language
        self._clock = clock or Clock()

    def feed(self, data: bytes) -> Iterator[LiveEvent]:
        """
        Yield what a message says.

        Raises:
            ProviderError: it says that the stream is over, or cannot be understood.

        """
        from botocore.eventstream import ParserError

        try:
            self._buffer.add_data(data)
            messages = list(self._buffer)
        except ParserError as exc:
            raise nonsense(self._target) from exc
        for message in messages:
            yield from self._events(message)

    def _events(self, message: "EventStreamMessage") -> Iterator[LiveEvent]:
        headers = message.headers
        if headers.get(":message-type") != "event":
            code = str(headers.get(":exception-type") or headers.get(":error-code") or "")
            raise wire.coded_error(self._target, code) or nonsense(self._target)
        if headers.get(":event-type") != "TranscriptEvent":
            return
        event = wire.decoded(message.payload, _Event, self._target)
        for result in event.transcript.results:
            best = result.alternatives[0] if result.alternatives else _Alternative()
            if best.transcript.strip() or not result.is_partial:
                yield self._heard(result, best)

    def _heard(self, result: _Result, best: _Alternative) -> LiveEvent:
        text, language = best.transcript.strip(), result.language_code or self._language
        if result.is_partial:
            return LivePartial(text=text, language=language)
        return LiveFinal(
            text=text,
            start=self._clock.own(result.start_time),
            end=self._clock.own(max(result.start_time, result.end_time)),
            words=tuple(wire.words_of(item.as_recorded(self._clock) for item in best.items)),
            language=language,
        )
