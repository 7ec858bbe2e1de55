"""Sarvam against a server that knows its documentation."""

import asyncio
from contextlib import aclosing

import pytest
from attrs import evolve

from junctor.conf.settings import Settings
from junctor.core.audio.clip import Clip
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.providers import LiveTranscriber, Provider, Transcriber
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import LiveFinal, LivePartial, LiveReady, Segment, Transcript
from junctor.plugins.remote.sarvam import Sarvam, junctor_providers
from tests.fakes.vendors.sarvam import SarvamFake
from tests.plugins.remote.adapters import plugged, spoken
from tests.waiting import patience

CLIP = tone_clip(0.2)
LONG = tone_clip(31.0)
HINDI = TranscribeRequest(audio=CLIP, model="saaras:v4", language="hi")
LIVE = LiveRequest(model="saaras:v4", language="or")
SOUND = bytes(32_000 // 5)
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("unauthorized", ProviderAuthError),
    ("quota", ProviderQuotaError),
    ("locale", ProviderRejectedError),
    ("model-call", ProviderUnavailableError),
    ("gateway-timeout", ProviderUnavailableError),
    ("billing-down", ProviderUnavailableError),
    ("authentication", ProviderAuthError),
    ("unprocessable", ProviderRejectedError),
    ("too-large", ProviderRejectedError),
    ("missing", ProviderRejectedError),
    ("malformed", ProviderAnswerError),
    ("cut", ProviderAnswerError),
    ("reset", ProviderUnavailableError),
    ("hang", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]


@pytest.fixture(name="vendor")
def _vendor():
    return SarvamFake


def form(fake: SarvamFake) -> str:
    return fake.seen[0].body.partition(b"filename=")[0].decode()


async def endless():
    yield SOUND
    await asyncio.Event().wait()


async def heard(provider: Sarvam, request: LiveRequest = LIVE, audio=None) -> list[object]:
    async with aclosing(provider.live_transcribe(request, audio or spoken(SOUND))) as events:
        return [event async for event in events]


def test_has_the_protocols(fake):
    """It transcribes, and follows speech under way."""
    provider = plugged(fake)

    assert isinstance(provider, Transcriber)
    assert isinstance(provider, LiveTranscriber)


def test_sits_out_without_a_key():
    """Without a key the plugin says what to set."""
    with pytest.raises(NotConfiguredError, match="api_key"):
        junctor_providers(Settings())


def test_settings_are_checked(fake):
    """A setting that does not exist is named."""
    with pytest.raises(ConfigError, match="stream_type"):
        plugged(fake, stream_type="slow")


@pytest.mark.parametrize(
    ("language", "code"),
    [("hi", "hi-IN"), ("en-US", "en-IN"), ("or-IN", "od-IN"), ("sat", "sat-IN"), (None, "unknown")],
)
async def test_language_goes_as_sarvam_writes_it(provider, fake, language, code):
    """A language is sent as India speaks it; Odia has a code of Sarvam's own."""
    await provider.transcribe(evolve(HINDI, language=language))

    assert f'name="language_code"\r\n\r\n{code}\r\n' in form(fake)
    assert not fake.problems


async def test_request(provider, fake):
    """Model, mode and key are sent, and the file is the recording."""
    await provider.transcribe(HINDI)
    seen = fake.seen[0]

    assert ("POST", "/speech-to-text") == (seen.method, seen.path)
    assert 'name="model"\r\n\r\nsaaras:v4' in form(fake)
    assert 'name="mode"\r\n\r\ntranscribe' in form(fake)
    assert b'filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n' + CLIP.data in seen.body


async def test_translation(provider, fake):
    """Translation to English is a mode."""
    await provider.transcribe(evolve(HINDI, task=Task.TRANSLATE))

    assert 'name="mode"\r\n\r\ntranslate' in form(fake)


async def test_other_media_is_encoded_again(provider, fake):
    """A type that Sarvam does not take goes as FLAC."""
    await provider.transcribe(evolve(HINDI, audio=evolve(CLIP, media_type="audio/basic")))

    assert b'filename="audio.flac"\r\nContent-Type: audio/flac\r\n\r\nfLaC' in fake.seen[0].body
    assert not fake.problems


async def test_answer(provider):
    """Text and the language that was given come back."""
    expected = Transcript(text="नमस्ते दुनिया", language="hi")

    assert expected == await provider.transcribe(HINDI)


async def test_language_is_found(provider, fake):
    """A language that was found comes back as BCP-47, with its probability."""
    fake.answer["language_code"] = "od-IN"
    transcript = await provider.transcribe(evolve(HINDI, language=None))

    assert ("or-IN", 0.97) == (transcript.language, transcript.language_confidence)


async def test_phrases(provider):
    """Phrases are segments with times."""
    transcript = await provider.transcribe(evolve(HINDI, segment_timestamps=True))

    assert (
        Segment(text="नमस्ते", start=0.0, end=0.1),
        Segment(text="दुनिया", start=0.1, end=0.2),
    ) == transcript.segments
    assert () == transcript.words


@pytest.mark.parametrize(
    "answer",
    [
        {"transcript": None},
        {"transcript": "a", "timestamps": {"words": ["a"], "start_time_seconds": []}},
        {"transcript": "a", "timestamps": [1]},
    ],
    ids=["null", "lengths", "shape"],
)
async def test_odd_answers(provider, fake, answer):
    """An answer of another shape is an error of ours."""
    fake.answer = {"timestamps": None, **answer}

    with pytest.raises(ProviderAnswerError):
        await provider.transcribe(HINDI)


@pytest.mark.parametrize("answer", [{}, {"language_code": None, "language_probability": None}])
async def test_missing_fields(provider, fake, answer):
    """Fields that are null or left out are unknown."""
    fake.answer = {"transcript": " ", "timestamps": None, **answer}

    assert Transcript(text="") == await provider.transcribe(evolve(HINDI, language=None))


@pytest.mark.parametrize(("name", "error"), FAULTS, ids=[name for name, _ in FAULTS])
async def test_faults(start, fake, name, error):
    """Each fault is its error, and tells nothing of what Sarvam said."""
    provider = await start(timeout=patience(error))
    fake.always = name
    with pytest.raises(error) as caught:
        await provider.transcribe(HINDI)

    assert ("sarvam", "saaras:v4") == (caught.value.provider, caught.value.model)
    assert "LEAK" not in f"{caught.value!r}"


async def test_retry_after_is_told(provider, fake):
    """The wait that the server asks for is in the error."""
    fake.script.append("rate-limited")
    with pytest.raises(ProviderRateLimitedError) as caught:
        await provider.transcribe(HINDI)

    assert 7.0 == caught.value.retry_after


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"language": "th"}, "does not understand th"),
        ({"word_timestamps": True}, "no word times"),
        ({"model": "saaras:v3-realtime"}, "does not offer transcribe"),
        ({"model": "saarika:v2"}, "no model"),
    ],
)
async def test_what_it_cannot_do_is_not_sent(provider, fake, changes, why):
    """A wish beyond the card is refused here."""
    with pytest.raises(ProviderRejectedError, match=why):
        await provider.transcribe(evolve(HINDI, **changes))

    assert [] == fake.seen


async def test_job_for_long_audio(provider, fake):
    """More than 30 seconds go through a job, step by step."""
    transcript = await provider.transcribe(evolve(HINDI, audio=LONG, segment_timestamps=True))

    assert [(0.0, 15.5), (15.5, 31.0)] == [(one.start, one.end) for one in transcript.segments]
    assert [
        ("POST", "/speech-to-text/job/v1"),
        ("POST", "/speech-to-text/job/v1/upload-files"),
        ("PUT", "/storage/job-0/audio.wav"),
        ("POST", "/speech-to-text/job/v1/job%2F0/start"),
        *[("GET", "/speech-to-text/job/v1/job%2F0/status")] * 3,
        ("POST", "/speech-to-text/job/v1/download-files"),
        ("GET", "/storage/job-0/0.json"),
    ] == [(one.method, one.path.replace("job/0", "job%2F0")) for one in fake.seen]
    assert {"audio.wav": LONG.data} == fake.jobs["job/0"].files
    assert not fake.problems


async def test_speakers_by_job(provider, fake):
    """Telling speakers apart is a job, however short the audio is."""
    transcript = await provider.transcribe(evolve(HINDI, diarization=True, language="or"))

    assert [("नमस्ते", "0"), ("दुनिया", "1")] == [(s.text, s.speaker) for s in transcript.segments]
    assert {
        "model": "saaras:v4",
        "language_code": "od-IN",
        "mode": "transcribe",
        "with_diarization": True,
    } == fake.jobs["job/0"].parameters


@pytest.mark.parametrize(
    ("state", "detail", "error"),
    [
        ("Completed", "API Error", ProviderRejectedError),
        ("Completed", "Internal Server Error", ProviderUnavailableError),
        ("Failed", "", ProviderUnavailableError),
        ("Failed", "API Error", ProviderRejectedError),
    ],
)
async def test_failed_jobs(provider, fake, state, detail, error):
    """A job that failed is an error, though its status is 200."""
    fake.states = [state]
    fake.detail = {"state": detail, "error_message": "LEAK", "outputs": None} if detail else {}
    with pytest.raises(error) as caught:
        await provider.transcribe(evolve(HINDI, audio=LONG))

    assert "LEAK" not in f"{caught.value!r}"


async def test_job_without_result(provider, fake):
    """A job that has nothing to fetch makes no sense."""
    fake.detail = {"state": "Success", "outputs": []}

    with pytest.raises(ProviderAnswerError):
        await provider.transcribe(evolve(HINDI, audio=LONG))


async def test_job_that_never_ends(start, fake):
    """A job has the time of the settings, then it is a timeout."""
    provider = await start(timeout=1.0)
    fake.states = ["Running"]

    with pytest.raises(ProviderTimeoutError):
        await provider.transcribe(evolve(HINDI, audio=LONG))


async def test_links_to_strangers_are_not_followed(provider, fake):
    """A link that is not to the vendor or its storage gets nothing."""
    fake.link_host = "https://blob.core.windows.net.example.org"
    with pytest.raises(ProviderAnswerError, match="not its own"):
        await provider.transcribe(evolve(HINDI, audio=LONG))

    assert not any(one.method == "PUT" for one in fake.seen)


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_storage_that_refuses(provider, fake, status):
    """A storage that refuses a link does not mean that our key is wrong."""
    fake.link_status = status

    with pytest.raises(ProviderUnavailableError):
        await provider.transcribe(evolve(HINDI, audio=LONG))


@pytest.mark.parametrize(("audio", "calls"), [(CLIP, 1), (LONG, 3)], ids=["at-once", "job"])
async def test_cancel_reaches_the_upstream(provider, fake, audio, calls):
    """A cancelled task closes its connection."""
    fake.script.extend([*["ok"] * (calls - 1), "hang"])
    task = asyncio.create_task(provider.transcribe(evolve(HINDI, audio=audio)))
    await fake.until(lambda: len(fake.seen) == calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await fake.until(lambda: fake.aborted == 1)


async def test_live(provider, fake):
    """Ready, partials and finals come in order; the last words after the end of the audio."""
    events = await heard(provider)

    assert [
        LiveReady(),
        LivePartial(text="नम", language="hi-IN"),
        LivePartial(text="नमस्ते"),
        LiveFinal(text="नमस्ते", start=0.05, end=0.15, language="hi-IN"),
        LiveFinal(text="last words", start=0.15, end=0.2, language="or-IN"),
    ] == events
    assert SOUND == bytes(fake.heard)
    assert not fake.problems


@pytest.mark.parametrize(("language", "code"), [("or", "or-IN"), ("en", "en-IN"), (None, "auto")])
async def test_live_query(provider, fake, language, code):
    """What is wanted goes into the address."""
    await heard(provider, evolve(LIVE, language=language))

    assert {
        "language_code": code,
        "model": "saaras:v4",
        "stream_type": "fast",
        "encoding": "linear16",
        "sample_rate": "16000",
        "endpointing": "vad",
        "return_timestamps": "true",
    } == dict(fake.seen[0].query)


@pytest.mark.parametrize(
    ("instead", "error"),
    [
        ([{"event": "error", "code": "x", "is_fatal": True}], ProviderUnavailableError),
        (
            [{"event": "error", "code": "x", "is_fatal": True, "status_code": 429}],
            ProviderRateLimitedError,
        ),
        (
            [{"event": "error", "code": "invalid_api_key_error", "is_fatal": True}],
            ProviderAuthError,
        ),
        ([{"event": "session.end", "request_id": "r"}], ProviderUnavailableError),
        ([{"evnt": "session.end"}], ProviderAnswerError),
        (1000, ProviderUnavailableError),
        (1003, ProviderUnavailableError),
        (1008, ProviderUnavailableError),
        (1011, ProviderUnavailableError),
        (4000, ProviderUnavailableError),
    ],
)
async def test_live_faults(provider, fake, instead, error):
    """An error message, a strange one, an end too soon and a close are errors, never a silent cut."""
    fake.instead = instead
    with pytest.raises(error) as caught:
        await heard(provider, audio=endless())

    assert "LEAK" not in f"{caught.value!r}"


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (None, ProviderTimeoutError),
        ({"event": "pong"}, ProviderAnswerError),
        ({"event": "error", "code": "insufficient_quota_error"}, ProviderQuotaError),
    ],
)
async def test_live_is_not_ready(start, fake, greeting, error):
    """A session that does not begin is an error before it is ready."""
    provider = await start(connections={"connect_timeout": 0.2})
    fake.greeting = greeting

    with pytest.raises(error):
        await heard(provider)


@pytest.mark.parametrize(
    ("name", "error"), [("unauthorized", ProviderAuthError), ("quota", ProviderQuotaError)]
)
async def test_live_refused(provider, fake, name, error):
    """A refused upgrade is its error."""
    fake.always = name

    with pytest.raises(error):
        await heard(provider)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "saaras:v3"}, "does not offer live-transcribe"),
        ({"diarization": True}, "nor speakers"),
        ({"word_timestamps": True}, "neither word times"),
    ],
)
async def test_what_it_cannot_do_live(provider, fake, changes, why):
    """A live wish beyond the card is refused here."""
    with pytest.raises(ProviderRejectedError, match=why):
        await heard(provider, evolve(LIVE, **changes))

    assert [] == fake.seen


async def test_closing_the_stream_closes_the_socket(provider, fake):
    """Leaving a live stream after its first item ends the session."""
    async with aclosing(provider.live_transcribe(LIVE, spoken(SOUND))) as events:
        assert LiveReady() == await anext(events)
        await fake.until(lambda: len(fake.sockets) == 1)

    await fake.until(lambda: not fake.sockets)


class TestSarvam(ProviderConformance):
    """The conformance kit, over a fake that is slow with long recordings."""

    patience = 10.0
    language = "hi"

    @pytest.fixture
    def clip(self) -> Clip:
        return tone_clip(2.0)

    @pytest.fixture
    def provider(self, fake: SarvamFake, clip: Clip) -> Provider:
        fake.slow_above = 2 * len(clip.data)
        fake.needs_sound = True
        self.fake = fake
        return plugged(fake)

    async def stopped(self, provider: Provider) -> None:
        await self.fake.left()
