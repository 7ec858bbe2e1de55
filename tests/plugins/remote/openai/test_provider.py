"""The OpenAI provider against a scripted upstream: what is sent, what comes back, what breaks."""

import asyncio
import hashlib
import logging
from contextlib import aclosing

import attrs
import pytest

from junctor.conf.settings import Secret
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool
from junctor.core.providers import ChatModel, StreamTranscriber, Transcriber
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.transcripts import Transcript, TranscriptDelta
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings
from tests.fakes.upstream import MODES, Mode, refused_url
from tests.waiting import patience

KEY = "sk-very-secret"
CLIP = tone_clip(0.1)
WHISPER = TranscribeRequest(audio=CLIP, model="whisper-1", language="en")
GPT = TranscribeRequest(audio=CLIP, model="gpt-4o-transcribe", language="en")
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("quota", ProviderQuotaError),
    ("payment", ProviderQuotaError),
    ("unauthorized", ProviderAuthError),
    ("forbidden", ProviderAuthError),
    ("missing", ProviderRejectedError),
    ("locale", ProviderRejectedError),
    ("too-large", ProviderRejectedError),
    ("media", ProviderRejectedError),
    ("unprocessable", ProviderRejectedError),
    ("redirect", ProviderRejectedError),
    ("slow", ProviderTimeoutError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("overloaded", ProviderUnavailableError),
    ("reset", ProviderUnavailableError),
    ("close", ProviderUnavailableError),
    ("reset-mid-body", ProviderAnswerError),
    ("cut", ProviderAnswerError),
    ("garbage", ProviderAnswerError),
    ("html", ProviderAnswerError),
    ("malformed", ProviderAnswerError),
    ("wrong-shape", ProviderAnswerError),
    ("hang", ProviderTimeoutError),
    ("stall", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]


async def drained(provider: OpenAIProvider, request: TranscribeRequest) -> list[object]:
    async with aclosing(provider.stream_transcribe(request)) as events:
        return [event async for event in events]


@pytest.mark.parametrize("protocol", [Transcriber, StreamTranscriber, ChatModel])
def test_has_the_protocols(protocol):
    """It is a provider of each capability that its cards may claim."""
    assert isinstance(OpenAIProvider("openai", ProviderSettings(), Pool()), protocol)


async def test_the_recording_arrives_whole(provider, upstream):
    """The very bytes of the clip arrive as a file whose name fits its type."""
    await provider.transcribe(WHISPER)
    upload = upstream.requests[0].upload

    assert ("audio.wav", "audio/wav") == (upload.name, upload.media_type)
    assert (len(CLIP.data), hashlib.sha256(CLIP.data).hexdigest()) == (upload.size, upload.sha256)


async def test_headers(provider, upstream):
    """The key goes as a bearer token, the organization in its header."""
    await provider.transcribe(WHISPER)
    headers = upstream.requests[0].headers

    assert (f"Bearer {KEY}", "org-1") == (headers["authorization"], headers["openai-organization"])
    assert "openai-project" not in headers


async def test_text_comes_back(provider, upstream):
    """The text is the transcript; the language is the one that was given."""
    upstream.text = "สวัสดี ครับ"

    assert Transcript(text="สวัสดี ครับ", language="en") == await provider.transcribe(WHISPER)


async def test_times_come_back(provider):
    """Words and segments keep their times, and each segment has its words."""
    transcript = await provider.transcribe(attrs.evolve(WHISPER, word_timestamps=True))

    assert ["hello", "from", "upstream"] == [word.text for word in transcript.words]
    assert [(0.0, 0.4), (0.5, 0.9), (1.0, 1.4)] == [(w.start, w.end) for w in transcript.words]
    assert [transcript.words] == [segment.words for segment in transcript.segments]


async def test_language_is_found(provider, upstream):
    """The language name that Whisper answers with becomes a code."""
    upstream.language = "thai"
    transcript = await provider.transcribe(attrs.evolve(WHISPER, language=None))

    assert "th" == transcript.language
    assert "language" not in upstream.requests[0].form


async def test_language_found_by_gpt_transcribe(provider):
    """The list of languages of gpt-transcribe is read."""
    request = TranscribeRequest(audio=CLIP, model="gpt-transcribe")

    assert "en" == (await provider.transcribe(request)).language


async def test_translation(provider, upstream):
    """A translation has its own path, takes no language and tells none."""
    request = attrs.evolve(WHISPER, task=Task.TRANSLATE, language=None)
    transcript = await provider.transcribe(request)

    assert "/v1/audio/translations" == upstream.requests[0].path
    assert ("hello from upstream", None) == (transcript.text, transcript.language)


async def test_other_media_is_encoded_again(provider, upstream):
    """A type that the model does not take is sent as FLAC, and no other is touched."""
    await provider.transcribe(
        attrs.evolve(WHISPER, audio=attrs.evolve(CLIP, media_type="audio/aac"))
    )
    upload = upstream.requests[0].upload

    assert ("audio.flac", "audio/flac") == (upload.name, upload.media_type)


@pytest.mark.parametrize(("mode", "error"), FAULTS, ids=[mode for mode, _ in FAULTS])
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_faults(start, upstream, caplog, mode, error, model):
    """Each fault of the upstream is its error, soon, with and without streaming, and is discreet."""
    provider = await start(upstream.url(mode), within=patience(error))
    request = attrs.evolve(WHISPER, model=model)
    async with asyncio.timeout(20):
        with pytest.raises(error) as caught:
            await drained(provider, request)
    logging.getLogger("test").error("failed", exc_info=caught.value)

    assert ("openai", model) == (caught.value.provider, caught.value.model)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "LEAK" not in f"{caught.value!r}"
    assert "127.0.0.1" not in f"{caught.value!r}"


def test_every_mode_is_tried():
    """No fault that the upstream knows is left out above."""
    tried = {mode for mode, _ in FAULTS}

    assert {"early", "ok", "unread", "huge", "stream-error"} == MODES.keys() - tried


async def test_refused(start):
    """A server that is down is unavailable at once."""
    provider = await start(refused_url())

    with pytest.raises(ProviderUnavailableError, match="openai refused the connection"):
        await provider.transcribe(WHISPER)


async def test_retry_after_is_told(start, upstream):
    """The wait that the server asks for is in the error."""
    provider = await start(upstream.url("rate-limited"))
    with pytest.raises(ProviderRateLimitedError) as caught:
        await provider.transcribe(WHISPER)

    assert 7.0 == caught.value.retry_after


@pytest.mark.parametrize("mode", ["hang", "drip"])
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_cancel_reaches_the_upstream(start, upstream, mode, model):
    """A cancelled task closes the connection, streaming or not."""
    provider = await start(upstream.url(mode))
    task = asyncio.create_task(drained(provider, attrs.evolve(WHISPER, model=model)))
    await upstream.until(lambda: len(upstream.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await upstream.until(lambda: upstream.cancelled == 1 and upstream.open_connections == 0)


async def test_closing_the_stream_reaches_the_upstream(start, upstream):
    """Leaving a stream after its first item closes the connection."""
    upstream.text = "a very long story " * 50
    provider = await start(upstream.url("drip"))
    async with aclosing(provider.stream_transcribe(GPT)) as events:
        assert TranscriptDelta(text="a") == await anext(events)

    await upstream.until(lambda: upstream.cancelled == 1 and upstream.open_connections == 0)


async def test_one_connection(provider, upstream):
    """Requests in a row, streams and failures among them, use one connection."""
    upstream.script("ok", "ok", "rate-limited", "ok")
    await provider.transcribe(WHISPER)
    await drained(provider, GPT)
    with pytest.raises(ProviderError):
        await provider.transcribe(WHISPER)
    await provider.transcribe(WHISPER)

    assert (4, 1) == (len(upstream.requests), upstream.connections)


async def test_streams(provider, upstream):
    """Deltas come as they are written and join to the transcript, which is last."""
    *deltas, last = await drained(provider, GPT)

    assert [TranscriptDelta(text=t) for t in ("hello", " from", " upstream")] == deltas
    assert Transcript(text="hello from upstream", language="en") == last
    assert "true" == upstream.requests[0].first("stream")


@pytest.mark.parametrize("model", ["whisper-1", "deaf"])
async def test_streams_in_one_piece(start, upstream, model):
    """A model that does not stream, or a server that ignores the wish, gives one delta."""
    upstream.script(Mode(body=b'{"text": "all at once"}'))
    provider = await start(deaf=ModelSettings(streaming=True))
    events = await drained(provider, attrs.evolve(WHISPER, model=model))

    assert [
        TranscriptDelta(text="all at once"),
        Transcript(text="all at once", language="en"),
    ] == events


async def test_silence_streams_no_delta(provider, upstream):
    """Nothing heard is a transcript without a delta before it."""
    upstream.script(Mode(body=b'{"text": ""}'))

    assert [Transcript(text="", language="en")] == await drained(provider, WHISPER)


async def test_stream_that_tells_an_error(start, upstream):
    """An error event in the stream is an error, and its text stays out of the message."""
    provider = await start(upstream.url("stream-error"))
    with pytest.raises(ProviderUnavailableError) as caught:
        await drained(provider, GPT)

    assert "LEAK" not in repr(caught.value)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (attrs.evolve(WHISPER, model="other"), "no model 'other'"),
        (attrs.evolve(GPT, word_timestamps=True), "no word times"),
        (attrs.evolve(GPT, task=Task.TRANSLATE), "does not translate"),
    ],
    ids=["model", "words", "translation"],
)
async def test_what_it_cannot_do_is_not_sent(provider, upstream, request_, why):
    """A wish beyond the card is rejected here, before it costs anything."""
    with pytest.raises(ProviderRejectedError, match=why):
        await provider.transcribe(request_)

    assert [] == upstream.requests


async def test_closes_twice_and_says_so():
    """Closing twice, or without a start, is fine; asking it then is an error of ours."""
    provider = OpenAIProvider("openai", ProviderSettings(default_models=True), Pool())
    await provider.close()
    await provider.start()
    await provider.close()
    await provider.close()

    with pytest.raises(ProviderUnavailableError, match="not started"):
        await provider.transcribe(WHISPER)


def test_key_is_not_shown():
    """No `repr` on the way shows the key."""
    settings = ProviderSettings(api_key=Secret(KEY))

    assert KEY not in f"{OpenAIProvider('openai', settings, Pool())!r} {settings!r}"
