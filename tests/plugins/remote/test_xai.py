"""xAI against its fake: what is sent, what comes back, what breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import attrs
import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.audio.clip import Clip
from junctor.core.errors import (
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.providers import LiveTranscriber, Provider, Transcriber
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady, Word
from junctor.plugins.remote.vendor import VendorSettings
from junctor.plugins.remote.xai import CARDS, XAI, junctor_providers
from tests.fakes.vendors.xai import XAIFake

MODEL = "grok-voice-transcribe-2.0"
CLIP = tone_clip(0.5)
ENGLISH = TranscribeRequest(audio=CLIP, model=MODEL, language="en")
LIVE = LiveRequest(model=MODEL, language="en")


@pytest.fixture(name="fake")
async def _fake():
    async with XAIFake() as fake:
        yield fake
        assert [] == fake.problems


@pytest.fixture(name="xai")
async def _xai(fake):
    xai = provider(fake)
    await xai.start()
    yield xai
    await xai.close()


def provider(fake: XAIFake) -> XAI:
    (found,) = junctor_providers(Settings(plugins={"xai": fake.settings_table()}))
    return found


async def speech() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield b"\0" * 1600


async def heard(xai: XAI, request: LiveRequest = LIVE) -> list[LiveEvent]:
    async with aclosing(xai.live_transcribe(request, speech())) as events:
        return [event async for event in events]


def partial(
    text: str, start: float, duration: float, *, locked: bool = True, over: bool = False
) -> dict[str, object]:
    return {
        "type": "transcript.partial", "text": text, "is_final": locked, "speech_final": over,
        "start": start, "duration": duration, "words": words(text, start, duration),
    }  # fmt: skip


def words(text: str, start: float, duration: float) -> list[dict[str, object]]:
    each = duration / len(text.split())
    return [
        {"text": word, "start": start + at * each, "end": start + (at + 1) * each}
        for at, word in enumerate(text.split())
    ]


def done(text: str = "", duration: float = 0.0) -> dict[str, object]:
    said = words(text, 0.0, duration) if text else []
    return {"type": "transcript.done", "text": text, "words": said, "duration": duration}


@pytest.mark.parametrize("protocol", [Transcriber, LiveTranscriber])
def test_has_the_protocols(protocol):
    """It is a provider of each capability that its cards claim."""
    assert isinstance(XAI(VendorSettings(api_key=Secret("k"))), protocol)


def test_sits_out_without_a_key():
    """Without a key there is no provider, and the reason names the setting."""
    with pytest.raises(NotConfiguredError, match=r"\[plugins.xai\]"):
        junctor_providers(Settings())


def test_languages():
    """25 languages, with Thai and Hindi, and no other of India."""
    locales = CARDS[0].locales or frozenset()

    assert 25 == len(locales)
    assert locales >= {"th", "hi", "en"}
    assert locales.isdisjoint({"ta", "te", "kn", "mr", "bn", "gu"})


async def test_the_recording_arrives_whole(xai, fake):
    """The very bytes are the form's last part, under a name of ours, with our key."""
    clip = attrs.evolve(CLIP, filename='a"\r\nX: y.wav')
    await xai.transcribe(attrs.evolve(ENGLISH, audio=clip))
    (seen,) = fake.seen

    assert ("POST", "/v1/stt") == (seen.method, seen.path)
    assert ("audio.wav", "audio/wav", CLIP.data) == fake.upload
    assert f"Bearer {fake.KEY}" == seen.headers["Authorization"]


@pytest.mark.parametrize(
    ("changes", "form"),
    [
        ({}, {"language": ["en"], "format": ["true"]}),
        ({"language": "en-IN"}, {"language": ["en"], "format": ["true"]}),
        ({"language": "th-TH"}, {"language": ["th"], "format": ["true"]}),
        ({"language": None, "allowed_languages": ("hi", "en")}, {}),
        ({"language": None, "diarization": True}, {"diarize": ["true"]}),
        ({"word_timestamps": True, "prompt": "x"}, {"language": ["en"], "format": ["true"]}),
    ],
)
async def test_form(xai, fake, changes, form):
    """Each field of a request becomes its form field, and no other is sent."""
    await xai.transcribe(attrs.evolve(ENGLISH, **changes))

    assert {"model": [MODEL], **form} == fake.form


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"language": "ta"}, "does not understand ta"),
        ({"task": Task.TRANSLATE}, "does not translate"),
        ({"model": "whisper"}, "has no model"),
    ],
)
async def test_what_it_cannot_do(xai, fake, changes, said):
    """What no field can say is refused before anything is sent."""
    with pytest.raises(ProviderRejectedError, match=said):
        await xai.transcribe(attrs.evolve(ENGLISH, **changes))

    assert [] == fake.seen


async def test_text_and_words_come_back(xai, fake):
    """Text and words with their times and speakers are the transcript."""
    fake.text = "สวัสดี ครับ"
    transcript = await xai.transcribe(attrs.evolve(ENGLISH, language="th", diarization=True))

    assert "สวัสดี ครับ" == transcript.text
    assert Word(text="สวัสดี", start=0.0, end=0.2, confidence=0.9, speaker="0") == transcript.words[0]


@pytest.mark.parametrize(
    ("told", "found"),
    [("hi", "hi"), ("es-mx", "es-MX"), ("Thai", "th"), ("", "en"), ("Klingonese", "en")],
)
async def test_language_comes_back(xai, fake, told, found):
    """A code or an English name is the language; nothing usable leaves the one asked for."""
    fake.language = told

    assert found == (await xai.transcribe(ENGLISH)).language


async def test_confidence_of_zero_is_left_out(xai, fake):
    """A word without confidence among words with one has none at all, which is zero."""
    fake.changes = {"words": [{"text": "a", "start": 0, "end": 1, "confidence": 0.5},
                              {"text": "b", "start": 1, "end": 2}]}  # fmt: skip
    sure = [word.confidence for word in (await xai.transcribe(ENGLISH)).words]
    fake.changes = {"words": [{"text": "a", "start": 0, "end": 1}]}

    assert [0.5, 0.0] == sure
    assert [None] == [word.confidence for word in (await xai.transcribe(ENGLISH)).words]


@pytest.mark.parametrize("changes", [{"words": None}, {"words": []}])
async def test_silence(xai, fake, changes):
    """Words are left out when there are none."""
    fake.changes = {"text": "", **changes}
    transcript = await xai.transcribe(ENGLISH)

    assert transcript.is_empty
    assert () == transcript.words


async def test_senseless_answer(xai, fake):
    """An answer of another shape is an error, and shows nothing of itself."""
    fake.changes = {"text": ["LEAK"]}
    with pytest.raises(ProviderAnswerError, match="cannot be understood") as caught:
        await xai.transcribe(ENGLISH)

    assert "LEAK" not in str(caught.value)


async def test_other_media_is_encoded_again(xai, fake):
    """WebM, which xAI lists in one place only, is sent as FLAC."""
    await xai.transcribe(attrs.evolve(ENGLISH, audio=attrs.evolve(CLIP, media_type="audio/webm")))

    assert "audio/flac" == fake.upload[1]
    assert fake.upload[0].endswith(".flac")


@pytest.mark.parametrize(
    ("refusal", "error", "wait"),
    [
        ("unauthorized", ProviderAuthError, None),
        ("no-credentials", ProviderAuthError, None),
        ("forbidden", ProviderAuthError, None),
        ("quota", ProviderQuotaError, None),
        ("quota-403", ProviderQuotaError, None),
        ("rate-limited", ProviderRateLimitedError, 7.0),
        ("locale", ProviderRejectedError, None),
        ("plain", ProviderRejectedError, None),
        ("too-large", ProviderRejectedError, None),
        ("fetch", ProviderUnavailableError, None),
        ("error", ProviderUnavailableError, None),
        ("unavailable", ProviderUnavailableError, None),
    ],
)
@pytest.mark.parametrize("is_live", [False, True], ids=["recording", "live"])
async def test_refusals(xai, fake, refusal, error, wait, is_live):
    """Every known error is one of ours, for an upload as for an upgrade, and leaks nothing."""
    fake.script.append(refusal)
    with pytest.raises(error) as caught:
        await (heard(xai) if is_live else xai.transcribe(ENGLISH))

    assert ("xai", MODEL, wait) == (
        caught.value.provider,
        caught.value.model,
        caught.value.retry_after,
    )
    assert "LEAK" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_live(xai, fake):
    """Ready, a partial, and one final, though the end says everything again."""
    ready, running, final = await heard(xai)

    assert (LiveReady(), LivePartial(text="Hello", language="en")) == (ready, running)
    assert isinstance(final, LiveFinal)
    assert (fake.text, 0.0, 0.5, 3) == (final.text, final.start, final.end, len(final.words))
    assert (16_000, ["audio.done"]) == (fake.heard, fake.said)


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({}, [("language", "en")]),
        ({"language": "th-TH", "diarization": True}, [("language", "th"), ("diarize", "true")]),
        ({"language": None, "allowed_languages": ("hi",)}, []),
    ],
)
async def test_live_query(xai, fake, changes, query):
    """Model, raw audio and pauses are always told; language and speakers when asked."""
    await heard(xai, attrs.evolve(LIVE, **changes))
    always = [
        *(("model", MODEL), ("encoding", "pcm"), ("sample_rate", "16000")),
        *(("interim_results", "true"), ("endpointing", "400")),
    ]

    assert [*always, *query] == fake.seen[0].query


@pytest.mark.parametrize(
    ("tells", "expected"),
    [
        (
            [partial("one two", 0.0, 3.0), partial("one two three", 0.0, 4.0, over=True), done()],
            ["~", ("one two three", 0.0, 4.0)],
        ),
        (
            [partial("one two", 0.0, 3.0), partial("three", 3.0, 1.0, over=True), done()],
            [("one two three", 0.0, 4.0)],
        ),
        (
            [partial("one", 0.0, 1.0, over=True), done("one two", 2.0)],
            [("one", 0.0, 1.0), ("two", 1.0, 2.0)],
        ),
        ([partial("one", 0.0, 1.0), done("one", 1.0)], [("one", 0.0, 1.0)]),
        ([partial("one", 0.0, 1.0), done()], [("one", 0.0, 1.0)]),
        ([done("one two", 2.0)], [("one two", 0.0, 2.0)]),
        ([partial("one", 0.0, 1.0, locked=False), done()], []),
        ([{"type": "something.new"}, done()], []),
    ],
    ids=["stitched", "chunks", "unsaid", "locked", "empty end", "end only", "unsure", "unknown"],
)
async def test_finals(xai, fake, tells, expected):
    """No word is lost and none comes twice, in whichever way xAI puts an utterance together."""
    fake.tells = tells
    finals = [event for event in await heard(xai) if isinstance(event, LiveFinal)]

    assert [one for one in expected if one != "~"] == [(f.text, f.start, f.end) for f in finals]
    assert [f.text for f in finals] == [" ".join(w.text for w in f.words) for f in finals]


async def test_partial_is_the_running_utterance(xai, fake):
    """What is locked already is part of what is shown while the utterance goes on."""
    fake.tells = [
        partial("one two", 0.0, 3.0),
        partial("three", 3.0, 0.5, locked=False),
        partial("one two three four", 0.0, 4.0, locked=False),
        done(),
    ]
    shown = [event.text for event in await heard(xai) if isinstance(event, LivePartial)]

    assert ["one two three", "one two three four"] == shown


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("LEAK something broke", ProviderUnavailableError),
        ("Incorrect API key provided: LEAK", ProviderAuthError),
        ("LEAK used all available credits", ProviderQuotaError),
    ],
)
async def test_error_message(xai, fake, message, error):
    """An error in a message ends the conversation as one of ours."""
    fake.tells = [{"type": "error", "message": message}]
    with pytest.raises(error) as caught:
        await heard(xai)

    assert "LEAK" not in str(caught.value)


async def test_no_greeting(xai, fake):
    """Audio is sent to one who says that it is ready, and to nobody else."""
    fake.greets = {"type": "hello"}
    with pytest.raises(ProviderAnswerError):
        await heard(xai)

    assert 0 == fake.heard


async def test_end_without_last_words(xai, fake):
    """A close in good order without the last message has lost words."""
    fake.tells = [partial("one", 0.0, 1.0)]
    with pytest.raises(ProviderAnswerError):
        await heard(xai)


async def test_leaving_closes_the_socket(xai, fake):
    """A caller who leaves a live stream takes xAI's connection along."""
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"\0" * 3200
        await endless.wait()

    async with aclosing(xai.live_transcribe(LIVE, audio())) as events:
        assert LiveReady() == await anext(events)
        assert isinstance(await anext(events), LivePartial)

    await fake.until(lambda: not fake.sockets)


class TestConformance(ProviderConformance):
    """It keeps the promises of every provider."""

    patience = 10.0

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with XAIFake() as self.fake:
            self.fake.slow_above = 4 * len(CLIP.data)
            self.fake.needs_sound = True
            yield provider(self.fake)

    async def stopped(self, provider: Provider) -> None:
        await self.fake.left()
