"""Live speech over Amazon's WebSocket."""

import struct
import zlib
from contextlib import aclosing

import pytest
from attrs import evolve
from botocore.eventstream import EventStreamBuffer

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.net import Target
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveFinal, LivePartial, LiveReady
from junctor.plugins.remote.aws.frames import Clock, Frames, audio_event
from tests.fakes.vendors.aws import frame, heard_event

SECOND = bytes(32_000)


async def spoken(*chunks: bytes):
    for chunk in chunks:
        yield chunk


async def heard(provider, request, *chunks):
    async with aclosing(provider.live_transcribe(request, spoken(*chunks))) as events:
        return [event async for event in events]


def request(**more: object) -> LiveRequest:
    return LiveRequest(**{"model": "transcribe-streaming", "language": "en-IN", **more})  # type: ignore[arg-type]


async def test_a_conversation(provider, fake):
    """Ready first, then partials, and the last words after the end of the audio."""
    events = await heard(provider, request(), SECOND, SECOND[:8000])
    (word,) = events[-1].words

    assert LiveReady() == events[0]
    assert {LivePartial(text="hello", language="en-IN")} == set(events[1:-1])
    assert ("Hello.", 0.0, 1.25, "en-IN") == (
        events[-1].text,
        events[-1].start,
        events[-1].end,
        events[-1].language,
    )
    assert ("Hello.", 0.0, 1.25, 0.9) == (word.text, word.start, word.end, word.confidence)
    assert (1.25, []) == (fake.live_seconds, fake.problems)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"language": "th"}, {"language-code": "th-TH"}),
        ({"diarization": True}, {"language-code": "en-IN", "show-speaker-label": "true"}),
        (
            {"language": None},
            {
                "identify-language": "true",
                "language-options": "en-US,es-US,fr-FR,hi-IN,th-TH",
            },
        ),
        (
            {"language": None, "allowed_languages": ("th", "en")},
            {"identify-language": "true", "language-options": "th-TH,en-US"},
        ),
        ({"language": None, "allowed_languages": ("th",)}, {"language-code": "th-TH"}),
    ],
)
async def test_wishes_on_the_wire(provider, fake, wish, expected):
    """Each wish is the parameter that Amazon has for it."""
    await heard(provider, request(**wish), SECOND)
    (seen,) = fake.seen
    own = {name: value for name, value in seen.query if not name.startswith("X-Amz-")}

    assert {"media-encoding": "pcm", "sample-rate": "16000", **expected} == own
    assert [] == fake.problems


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("BadRequestException", ProviderRejectedError),
        ("SerializationException", ProviderRejectedError),
        ("LimitExceededException", ProviderRateLimitedError),
        ("InternalFailureException", ProviderUnavailableError),
        ("ServiceUnavailableException", ProviderUnavailableError),
        ("ConflictException", ProviderUnavailableError),
        ("StrangeException", ProviderAnswerError),
    ],
)
async def test_exceptions(provider, fake, code, kind):
    """An exception in the stream is our error."""
    fake.live_exception = code
    with pytest.raises(ProviderError) as caught:
        await heard(provider, request(), SECOND)

    assert kind is type(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("unavailable", ProviderUnavailableError),
        ("rate-limited", ProviderRateLimitedError),
        ("throttled", ProviderRateLimitedError),
        ("unauthorized", ProviderAuthError),
        ("reset", ProviderUnavailableError),
    ],
)
async def test_refused_upgrade(provider, fake, fault, kind):
    """A socket that cannot be opened is our error, before anything was ready."""
    fake.always = fault
    with pytest.raises(kind):
        await heard(provider, request(), SECOND)


async def test_wrong_key(start, fake):
    """A signature with another secret is refused."""
    provider = await start(secret_access_key="other")
    with pytest.raises(ProviderAuthError):
        await heard(provider, request(), SECOND)

    assert ["wrong signature"] == fake.problems


async def test_closing_ends_the_conversation(provider, fake):
    """A stream closed by its reader leaves no socket behind."""
    stream = provider.live_transcribe(request(), spoken(SECOND))
    assert LiveReady() == await anext(stream)
    await stream.aclose()

    await fake.until(lambda: not fake.sockets)


async def test_unknown_language(provider, fake):
    """A language that streams do not have is refused without a connection."""
    with pytest.raises(ProviderRejectedError):
        await heard(provider, request(language="mn"), SECOND)

    assert [] == fake.seen


@pytest.mark.parametrize("audio", [b"", b"\x01\x02" * 1600], ids=["the end", "audio"])
def test_botocore_reads_our_frames(audio):
    """The messages that we make are what botocore's decoder takes."""
    buffer = EventStreamBuffer()
    buffer.add_data(audio_event(audio))
    (message,) = buffer

    assert audio == message.payload
    assert "AudioEvent" == message.headers[":event-type"]


def test_silence_of_ours_is_not_the_callers_time():
    """Where no audio came, silence is sent; times that Amazon tells are put right."""
    clock = Clock()
    clock.send(SECOND)
    fills = [clock.send(b""), clock.send(b"")]
    clock.send(SECOND)
    frames = Frames(Target("aws"), request(), clock)
    (event,) = frames.feed(heard_event("Hello.", 0.5, 1.7))

    assert [bytes(3200)] * 2 == fills
    assert (0.5, pytest.approx(1.5)) == (event.start, event.end)  # type: ignore[union-attr]
    assert [0.0, 1.0, 1.0, 1.0, 2.0] == [
        pytest.approx(clock.own(time)) for time in (0.0, 1.0, 1.1, 1.2, 2.2)
    ]


def test_frames_in_pieces():
    """A message may come in pieces, and two in one."""
    frames = Frames(Target("aws"), request())
    data = heard_event("one", 0.0, 1.0) + heard_event("two", 1.0, 2.0)

    assert [] == list(frames.feed(data[:10]))
    assert [("one", 1.0), ("two", 2.0)] == [
        (event.text, event.end) for event in frames.feed(data[10:]) if isinstance(event, LiveFinal)
    ]


def test_events_without_words_are_passed_over():
    """No results, partials without text, and events of other kinds say nothing."""
    frames = Frames(Target("aws"), request())
    none = frame("event", "TranscriptEvent", b'{"Transcript": {"Results": []}}')
    blank = heard_event(" ", 0, 1, partial=True)

    assert [] == list(frames.feed(none + frame("event", "Other", b"") + blank))


def test_a_final_without_words_tells_how_far_it_heard():
    """A stretch in which nothing was said is final too."""
    frames = Frames(Target("aws"), request())

    assert [LiveFinal(text="", start=1.0, end=2.0, language="en-IN")] == [
        evolve(event, words=())
        for event in frames.feed(heard_event("", 1.0, 2.0))
        if isinstance(event, LiveFinal)
    ]


def test_own_language_of_a_result():
    """A stream that detects says which language it is."""
    payload = (
        b'{"Transcript": {"Results": [{"StartTime": 0, "EndTime": 1, "IsPartial": false, '
        b'"LanguageCode": "th-TH", "Alternatives": [{"Transcript": "a", "Items": []}]}]}}'
    )
    frames = Frames(Target("aws"), request(language=None))

    assert [LiveFinal(text="a", start=0.0, end=1.0, language="th-TH")] == list(
        frames.feed(frame("event", "TranscriptEvent", payload))
    )


def _with_bad_sum() -> bytes:
    data = heard_event("x", 0, 1)
    return data[:-4] + struct.pack("!I", zlib.crc32(data))


@pytest.mark.parametrize(
    "data",
    [_with_bad_sum(), b"\x00" * 16, frame("event", "TranscriptEvent", b"{}")],
    ids=["checksum", "zeros", "shape"],
)
def test_nonsense(data):
    """What is not a message is an error of the answer."""
    frames = Frames(Target("aws"), request())
    with pytest.raises(ProviderAnswerError):
        list(frames.feed(data))
