"""A streamed transcript is the same however the network cuts it."""

from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from junctor.core.errors import ProviderAnswerError
from junctor.core.net import EventParser, ServerEvent, Target
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.transcripts import Transcript, TranscriptDelta
from junctor.plugins.remote.openai.streaming import transcript_events

REQUEST = TranscribeRequest(audio=tone_clip(0.1), language="th")
OPENAI = (
    'data: {"type":"transcript.text.delta","delta":"สวัสดี"}\r\n\r\n'
    'data: {"type":"transcript.text.delta","delta":" ครับ"}\r\n\r\n'
    'data: {"type":"transcript.text.done","text":"สวัสดี ครับ","usage":{}}\r\n\r\n'
).encode()
VLLM = (
    'data: {"choices":[{"delta":{"content":"สวัสดี"}}]}\n\n'
    'data: {"choices":[{"delta":{"content":" ครับ"},"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
).encode()
SHORT = b'data: {"type":"transcript.text.delta","delta":"a"}\n\n'
WHOLE = [
    TranscriptDelta(text="สวัสดี"),
    TranscriptDelta(text=" ครับ"),
    Transcript(text="สวัสดี ครับ", language="th"),
]


class Cut:
    """An answer that arrives in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def events(self):
        parser = EventParser()
        for piece in self._pieces:
            for event in parser.feed(piece):
                yield event


async def told(*pieces: bytes) -> list[object]:
    events = transcript_events(Cut(*pieces), REQUEST, Target("openai", "m"))  # type: ignore[arg-type]
    async with aclosing(events):
        return [event async for event in events]


@pytest.mark.parametrize("stream", [OPENAI, VLLM], ids=["openai", "vllm"])
async def test_every_cut(stream):
    """Cut at any one byte, the same comes out."""
    for at in range(len(stream)):
        assert WHOLE == await told(stream[:at], stream[at:])


@pytest.mark.parametrize("stream", [OPENAI, VLLM], ids=["openai", "vllm"])
@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_many_cuts(stream, data):
    """Cut into any pieces, the same comes out."""
    edges = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]

    assert WHOLE == await told(*pieces)


async def test_rest_of_the_text():
    """What only the last event tells comes as one more delta."""
    done = b'data: {"type":"transcript.text.done","text":"abc"}\n\n'

    assert [
        TranscriptDelta(text="a"),
        TranscriptDelta(text="bc"),
        Transcript(text="abc", language="th"),
    ] == await told(SHORT + done)


async def test_another_text_at_the_end():
    """A final text that does not continue the pieces is believed, without a further delta."""
    done = b'data: {"type":"transcript.text.done","text":"B"}\n\n'

    assert [TranscriptDelta(text="a"), Transcript(text="B", language="th")] == await told(
        SHORT + done
    )


@pytest.mark.parametrize(
    "stream", [b"", SHORT, OPENAI[:-4], SHORT + b"data: {\n\n", SHORT + b"data: 1\n\n"]
)
async def test_unfinished(stream):
    """A stream that ends too soon, or says what cannot be understood, is no transcript."""
    with pytest.raises(ProviderAnswerError):
        await told(stream)


def test_the_parser_is_the_real_one():
    """The fake above feeds the parser that the relay uses."""
    assert [ServerEvent("message", b"x")] == EventParser().feed(b"data: x\n\n")
