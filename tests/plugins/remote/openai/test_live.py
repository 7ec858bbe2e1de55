"""Live speech over OpenAI's realtime WebSocket, in turns that are cut here."""

from contextlib import AsyncExitStack, aclosing

import numpy as np
import pytest

from junctor.conf.settings import Settings
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveFinal, LivePartial, LiveReady
from junctor.plugins.remote.openai import junctor_providers
from junctor.plugins.remote.openai.live import Turn
from tests.fakes.vendors.openai import RATE, OpenAIFake

RNG = np.random.default_rng(0)
FAILED = "conversation.item.input_audio_transcription.failed"


def noise(seconds: float, level: float) -> bytes:
    samples = RNG.uniform(-level, level, round(seconds * 16_000))
    return (samples * 32767).astype("<i2").tobytes()


def speech(seconds: float) -> bytes:
    return noise(seconds, 0.3)


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 16_000) * 2)


@pytest.fixture(name="fake")
async def _fake():
    async with OpenAIFake() as fake:
        yield fake


@pytest.fixture(name="start")
async def _start(fake):
    async with AsyncExitStack() as stack:

        async def start(**changes: object):
            table = fake.settings_table()
            table["providers"]["openai"].update(changes)
            (provider,) = junctor_providers(Settings(plugins={"openai": table}))
            stack.push_async_callback(provider.close)
            await provider.start()
            return provider

        yield start


@pytest.fixture(name="provider")
async def _provider(start):
    return await start()


async def spoken(*chunks: bytes):
    for chunk in chunks:
        yield chunk


async def heard(provider, *chunks, **more: object):
    request = LiveRequest(**{"model": "gpt-live-transcribe", "language": "th-TH", **more})  # type: ignore[arg-type]
    async with aclosing(provider.live_transcribe(request, spoken(*chunks))) as events:
        return [event async for event in events]


def finals(events):
    return [
        (event.text, round(event.start, 3), round(event.end, 3))
        for event in events
        if isinstance(event, LiveFinal)
    ]


async def test_a_conversation(provider, fake):
    """Ready first, then what the turn sounds like, and its text once it is over."""
    fake.turns = ["good morning"]
    events = await heard(provider, speech(1.0))

    assert [
        LiveReady(),
        LivePartial(text="good", language="th-TH"),
        LivePartial(text="good morning", language="th-TH"),
        LiveFinal(text="good morning", start=0.0, end=1.0, language="th-TH"),
    ] == events
    assert [] == fake.problems


async def test_turns_end_at_pauses(provider, fake):
    """Half a second of quiet ends a turn; each has its own times, and none is lost."""
    fake.turns = ["one", "two", "three"]
    audio = speech(1.0) + silence(0.7) + speech(1.0) + noise(0.6, 0.01) + speech(0.4)
    events = await heard(provider, audio)

    assert [("one", 0.0, 1.5), ("two", 1.5, 3.2), ("three", 3.2, 3.7)] == finals(events)
    assert [] == fake.problems


async def test_all_audio_is_sent(provider, fake):
    """At 24 kHz, what was committed is as long as what was spoken."""
    await heard(provider, speech(1.03) + silence(0.57) + speech(0.4))

    assert round(2.0 * RATE) * 2 == sum(fake.live_bytes)


async def test_long_speech_is_cut(provider, fake):
    """Without a pause a turn ends after 15 seconds."""
    fake.turns = ["one", "two"]
    events = await heard(provider, speech(16.0))

    assert [("one", 0.0, 15.0), ("two", 15.0, 16.0)] == finals(events)


async def test_silence_is_not_transcribed(provider, fake):
    """A stream in which nothing is said ends without a word, and without a commit."""
    events = await heard(provider, silence(16.0))

    assert [LiveReady()] == events
    assert ([], 2) == (fake.live_bytes, fake.cleared)


async def test_no_audio_at_all(provider, fake):
    """A stream without audio ends at once."""
    assert [LiveReady()] == await heard(provider)
    assert [] == fake.problems


async def test_a_moment(provider, fake):
    """What is too short for the API is made long enough."""
    assert [("hello", 0.0, 0.02)] == finals(await heard(provider, speech(0.02)))
    assert [] == fake.problems


async def test_turns_that_are_done_out_of_order(provider, fake):
    """A later turn's text waits for the earlier one's."""
    fake.turns, fake.is_backward = ["one", "two"], True
    events = await heard(provider, speech(0.5) + silence(0.5) + speech(0.5))

    assert [("one", 0.0, 1.0), ("two", 1.0, 1.5)] == finals(events)


async def test_turns_without_text(provider, fake):
    """A turn in which the model hears nothing is final all the same, for it was listened to."""
    fake.turns = ["", "two"]
    events = await heard(provider, speech(0.5) + silence(0.5) + speech(0.5))

    assert [("", 0.0, 1.0), ("two", 1.0, 1.5)] == finals(events)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, {"languages": ["th"]}),
        ({"language": None}, {}),
        ({"language": None, "allowed_languages": ("ta", "en-IN")}, {"languages": ["ta", "en"]}),
        ({"model": "gpt-realtime-whisper"}, {"language": "th"}),
        (
            {"model": "gpt-realtime-whisper", "language": None, "allowed_languages": ("ta", "en")},
            {},
        ),
    ],
)
async def test_wishes_on_the_wire(provider, fake, wish, expected):
    """The session names the model and, as the model takes them, the languages."""
    await heard(provider, speech(0.2), **wish)
    (update,) = fake.updates
    transcription = update.session.audio.input.transcription

    assert {"model": wish.get("model", "gpt-live-transcribe"), **expected} == {
        name: value
        for name in transcription.__struct_fields__
        if (value := getattr(transcription, name)) is not None
    }
    assert [] == fake.problems


@pytest.mark.parametrize(
    ("news", "kind"),
    [
        ({"type": "error", "error": {"code": "rate_limit_exceeded"}}, ProviderRateLimitedError),
        ({"type": FAILED, "error": {"code": "insufficient_quota"}}, ProviderQuotaError),
        ({"type": "error", "error": {"code": "invalid_api_key"}}, ProviderAuthError),
        ({"type": "error", "error": {"type": "invalid_request_error"}}, ProviderRejectedError),
        ({"type": "error", "error": {"code": "session_expired"}}, ProviderUnavailableError),
        ({"type": "error", "error": {"type": "server_error"}}, ProviderUnavailableError),
        ({"type": FAILED, "error": {"message": "LEAK"}}, ProviderUnavailableError),
        ({"type": "error"}, ProviderUnavailableError),
        ({"type": 1}, ProviderAnswerError),
        ({}, ProviderAnswerError),
    ],
)
async def test_bad_news(provider, fake, news, kind):
    """An event that tells of a fault is our error, and its text stays with us."""
    fake.bad_news = news or {"LEAK": 1}
    with pytest.raises(ProviderError) as caught:
        await heard(provider, speech(0.2))

    assert kind is type(caught.value)
    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("unauthorized", ProviderAuthError),
        ("rate-limited", ProviderRateLimitedError),
        ("quota", ProviderQuotaError),
        ("unavailable", ProviderUnavailableError),
        ("reset", ProviderUnavailableError),
    ],
)
async def test_refused_upgrade(provider, fake, fault, kind):
    """A socket that cannot be opened is our error, before anything was ready."""
    fake.always = fault
    with pytest.raises(kind):
        await heard(provider, speech(0.2))


async def test_unknown_live_model_is_refused_by_the_session(start, fake):
    """What the server does not accept is an error before anything was ready."""
    provider = await start(models={"m": {"capabilities": ["live-transcribe"]}})
    with pytest.raises(ProviderRejectedError):
        await heard(provider, speech(0.2), model="m")


async def test_a_model_for_recordings_does_not_listen(provider, fake):
    """A model without the capability is refused without a connection."""
    with pytest.raises(ProviderRejectedError):
        await heard(provider, model="gpt-transcribe")

    assert [] == fake.seen


async def test_closing_ends_the_session(provider, fake):
    """A stream closed by its reader leaves no socket behind."""
    request = LiveRequest(model="gpt-live-transcribe")
    stream = provider.live_transcribe(request, spoken(speech(30.0)))
    assert LiveReady() == await anext(stream)
    await stream.aclose()

    await fake.until(lambda: not fake.sockets)


def test_a_turn_is_over_after_a_pause():
    """Quiet is measured beside the loudest of the turn, so that steady noise is no speech."""
    turn = Turn(0, 0)
    for loudness in (0.2, 0.2, 0.01, 0.01, 0.01, 0.01):
        turn.hear(loudness, 1600)
    assert not turn.is_over
    turn.hear(0.01, 1600)

    assert turn.is_over
