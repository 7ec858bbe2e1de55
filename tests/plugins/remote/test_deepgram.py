"""Deepgram against its fake: what is sent, what comes back, what breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import attrs
import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature
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
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady, Word
from junctor.plugins.remote.deepgram import CARDS, Deepgram, junctor_providers
from junctor.plugins.remote.vendor import VendorSettings
from tests.fakes.vendors.deepgram import DeepgramFake

CLIP = tone_clip(0.5)
ENGLISH = TranscribeRequest(audio=CLIP, model="nova-3", language="en")
LIVE = LiveRequest(model="nova-3", language="en")
FLUX = LiveRequest(model="flux-general-multi")


@pytest.fixture(name="fake")
async def _fake():
    async with DeepgramFake() as fake:
        yield fake
        assert [] == fake.problems


@pytest.fixture(name="deepgram")
async def _deepgram(fake):
    deepgram = provider(fake)
    await deepgram.start()
    yield deepgram
    await deepgram.close()


def provider(fake: DeepgramFake) -> Deepgram:
    (found,) = junctor_providers(Settings(plugins={"deepgram": fake.settings_table()}))
    return found


async def speech(seconds: float = 0.5) -> AsyncIterator[bytes]:
    for _ in range(round(seconds * 10)):
        yield b"\0" * 3200


async def heard(deepgram: Deepgram, request: LiveRequest) -> list[LiveEvent]:
    async with aclosing(deepgram.live_transcribe(request, speech())) as events:
        return [event async for event in events]


@pytest.mark.parametrize("protocol", [Transcriber, LiveTranscriber])
def test_has_the_protocols(protocol):
    """It is a provider of each capability that its cards claim."""
    assert isinstance(Deepgram(VendorSettings(api_key=Secret("k"))), protocol)


def test_sits_out_without_a_key():
    """Without a key there is no provider, and the reason names the setting."""
    with pytest.raises(NotConfiguredError, match=r"\[plugins.deepgram\]"):
        junctor_providers(Settings())


def test_key_with_a_line_end():
    """A key that cannot be a header is a wrong setting."""
    with pytest.raises(ConfigError, match="api_key"):
        Deepgram(VendorSettings(api_key=Secret("k\n")))


def test_indic_and_thai_have_a_model():
    """Nova-3 understands Thai and the Indic languages that Deepgram lists."""
    locales = next(card.locales for card in CARDS if card.id == "nova-3")

    assert locales is not None
    assert locales >= {"th", "hi", "ta", "te", "kn", "mr", "bn", "gu", "en-IN"}


def test_flux_is_live_only():
    """Flux models claim no recordings, and no card claims a prompt."""
    flux = [card for card in CARDS if card.id.startswith("flux")]

    assert {frozenset({Capability.LIVE_TRANSCRIBE})} == {card.capabilities for card in flux}
    assert not any(Feature.PROMPT in card.features for card in CARDS)


async def test_the_recording_arrives_whole(deepgram, fake):
    """The very bytes go out as the body, with type and key, to the documented path."""
    await deepgram.transcribe(ENGLISH)
    (seen,) = fake.seen

    assert ("POST", "/v1/listen", CLIP.data) == (seen.method, seen.path, seen.body)
    assert "audio/wav" == seen.headers["Content-Type"]
    assert f"Token {fake.KEY}" == seen.headers["Authorization"]


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({}, [("language", "en")]),
        ({"language": "en-IN"}, [("language", "en-IN")]),
        ({"language": "th-TH"}, [("language", "th-TH")]),
        ({"language": "ta-IN"}, [("language", "ta")]),
        ({"language": None}, [("detect_language", "true")]),
        (
            {"language": None, "allowed_languages": ("hi-IN", "en-IN")},
            [("detect_language", "hi"), ("detect_language", "en")],
        ),
        ({"language": None, "allowed_languages": ("ta", "en")}, [("language", "multi")]),
        ({"diarization": True}, [("language", "en"), ("diarize_model", "latest")]),
        ({"segment_timestamps": True}, [("language", "en"), ("utterances", "true")]),
        ({"word_timestamps": True, "prompt": "Ms Rao"}, [("language", "en")]),
    ],
)
async def test_query(deepgram, fake, changes, query):
    """Each field of a request becomes its parameter, and no other is sent."""
    await deepgram.transcribe(attrs.evolve(ENGLISH, **changes))
    always = {("model", "nova-3"), ("smart_format", "true")}

    assert query == [pair for pair in fake.seen[0].query if pair not in always]
    assert always <= set(fake.seen[0].query)


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("nova-3", {"language": "sw"}, "does not understand sw"),
        ("nova-3", {"task": Task.TRANSLATE}, "does not translate"),
        ("nova-3-medical", {"language": None}, "cannot tell the language"),
        ("flux-general-en", {}, "takes live speech only"),
        ("whisper", {}, "has no model 'whisper'"),
    ],
)
async def test_what_it_cannot_do(deepgram, fake, model, changes, said):
    """What no parameter can say is refused before anything is sent."""
    with pytest.raises(ProviderRejectedError, match=said):
        await deepgram.transcribe(attrs.evolve(ENGLISH, model=model, **changes))

    assert [] == fake.seen


async def test_old_models_detect_what_they_can(deepgram, fake):
    """A model without code switching is asked to choose among the languages it can tell apart."""
    request = attrs.evolve(
        ENGLISH, model="nova-2", language=None, allowed_languages=("ta", "hi-IN")
    )
    await deepgram.transcribe(request)

    assert ("detect_language", "hi") in fake.seen[0].query


async def test_text_and_words_come_back(deepgram, fake):
    """Text, confidence and punctuated words with their times are the transcript."""
    fake.text = "สวัสดี ครับ"
    transcript = await deepgram.transcribe(attrs.evolve(ENGLISH, language="th"))

    assert ("สวัสดี ครับ", "th", 0.98) == (
        transcript.text,
        transcript.language,
        transcript.confidence,
    )
    assert Word(text="สวัสดี", start=0.0, end=0.2, confidence=0.99) == transcript.words[0]


async def test_detected_language_comes_back(deepgram, fake):
    """The language found is told, with its probability."""
    fake.language = "pt-BR"
    transcript = await deepgram.transcribe(attrs.evolve(ENGLISH, language=None))

    assert ("pt-BR", 0.97) == (transcript.language, transcript.language_confidence)


async def test_languages_of_code_switching_come_back(deepgram, fake):
    """Of the languages that the multilingual model heard, the first is told."""
    fake.language = "ta"
    request = attrs.evolve(ENGLISH, language=None, allowed_languages=("ta", "en"))

    assert "ta" == (await deepgram.transcribe(request)).language


async def test_speakers_and_segments_come_back(deepgram):
    """Utterances are segments with their words; speakers are strings."""
    request = attrs.evolve(ENGLISH, diarization=True, segment_timestamps=True)
    transcript = await deepgram.transcribe(request)
    (segment,) = transcript.segments

    assert (0.0, 0.5, "0") == (segment.start, round(segment.end, 3), segment.speaker)
    assert transcript.words == segment.words
    assert {"0"} == {word.speaker for word in transcript.words}


@pytest.mark.parametrize(
    "channel",
    [
        {},
        {"alternatives": []},
        {"alternatives": [{"transcript": ""}]},
        {"alternatives": [{"words": None, "languages": None}], "detected_language": None},
    ],
)
async def test_sparse_answer(deepgram, fake, channel):
    """Parts that Deepgram leaves out are no error: silence has neither words nor text."""
    fake.changes = {"results": {"channels": [channel], "utterances": None}}
    transcript = await deepgram.transcribe(ENGLISH)

    assert (True, (), "en") == (transcript.is_empty, transcript.words, transcript.language)


@pytest.mark.parametrize(
    "results", [None, {}, {"channels": []}, {"channels": [{"alternatives": [{"words": "LEAK"}]}]}]
)
async def test_senseless_answer(deepgram, fake, results):
    """An answer of another shape is an error, and shows nothing of itself."""
    fake.changes = {"results": results}
    with pytest.raises(ProviderAnswerError, match="cannot be understood") as caught:
        await deepgram.transcribe(ENGLISH)

    assert "LEAK" not in str(caught.value)


async def test_other_media_is_encoded_again(deepgram, fake):
    """A type that the card does not name is sent as FLAC."""
    await deepgram.transcribe(
        attrs.evolve(ENGLISH, audio=attrs.evolve(CLIP, media_type="audio/amr"))
    )

    assert "audio/flac" == fake.seen[0].headers["Content-Type"]
    assert fake.seen[0].body.startswith(b"fLaC")


@pytest.mark.parametrize(
    ("refusal", "error", "wait"),
    [
        ("rate-limited", ProviderRateLimitedError, 7.0),
        ("error", ProviderUnavailableError, None),
        ("unavailable", ProviderUnavailableError, None),
        ("slow", ProviderUnavailableError, None),
        ("unauthorized", ProviderAuthError, None),
        ("forbidden", ProviderAuthError, None),
        ("quota", ProviderQuotaError, None),
        ("locale", ProviderRejectedError, None),
        ("missing", ProviderRejectedError, None),
        ("too-large", ProviderRejectedError, None),
    ],
)
@pytest.mark.parametrize("is_live", [False, True], ids=["recording", "live"])
async def test_refusals(deepgram, fake, refusal, error, wait, is_live):
    """Every documented error is one of ours, for an upload as for an upgrade, and leaks nothing."""
    fake.script.append(refusal)
    call = heard(deepgram, LIVE) if is_live else deepgram.transcribe(ENGLISH)
    with pytest.raises(error) as caught:
        await call

    assert ("deepgram", "nova-3", wait) == (
        caught.value.provider,
        caught.value.model,
        caught.value.retry_after,
    )
    assert "LEAK" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_timeout(fake):
    """An answer that never comes fails when its time is up, and the upstream is told."""
    table = VendorSettings(api_key=Secret(fake.KEY), base_url=fake.url, timeout=1.0)
    deepgram = Deepgram(table)
    await deepgram.start()
    fake.always = "hang"
    with pytest.raises(ProviderTimeoutError):
        await deepgram.transcribe(ENGLISH)
    await fake.until(lambda: fake.aborted == 1)

    await deepgram.close()


async def test_live(deepgram, fake):
    """Ready, a partial, and a final that covers the audio; all of it was sent."""
    ready, partial, final = await heard(deepgram, LIVE)

    assert (LiveReady(), LivePartial(text="Hello", language="en")) == (ready, partial)
    assert isinstance(final, LiveFinal)
    assert (fake.text, 0.0, 0.5, 0.98) == (final.text, final.start, final.end, final.confidence)
    assert ["Hello", "from", "upstream."] == [word.text for word in final.words]
    assert (16_000, ["CloseStream"]) == (fake.heard, fake.said)


@pytest.mark.parametrize(
    ("request_", "query"),
    [
        (LIVE, [("language", "en")]),
        (LiveRequest(model="nova-3"), [("language", "multi")]),
        (attrs.evolve(LIVE, diarization=True), [("language", "en"), ("diarize_model", "latest")]),
        (FLUX, []),
        (attrs.evolve(FLUX, language="hi-IN"), [("language_hint", "hi")]),
        (
            attrs.evolve(FLUX, allowed_languages=("en-IN", "hi", "ta")),
            [("language_hint", "en"), ("language_hint", "hi")],
        ),
        (LiveRequest(model="flux-general-en", language="en-GB"), []),
    ],
)
async def test_live_query(deepgram, fake, request_, query):
    """The stream's parameters, by model; raw audio is announced."""
    await heard(deepgram, request_)
    path = "/v2/listen" if request_.model.startswith("flux") else "/v1/listen"
    named = {"language", "language_hint", "diarize_model"}

    assert path == fake.seen[0].path
    assert query == [pair for pair in fake.seen[0].query if pair[0] in named]
    assert {("encoding", "linear16"), ("sample_rate", "16000")} < set(fake.seen[0].query)


@pytest.mark.parametrize(
    "request_",
    [
        LiveRequest(model="nova-2"),
        LiveRequest(model="flux-general-en"),
        attrs.evolve(FLUX, language="th"),
        attrs.evolve(LIVE, language="sw"),
    ],
)
async def test_live_language_that_cannot_be(deepgram, fake, request_):
    """A language that the model cannot hear, or cannot find out, is refused before anything."""
    with pytest.raises(ProviderRejectedError, match=r"language|understand"):
        await heard(deepgram, request_)

    assert [] == fake.seen


async def test_finals_follow_each_other(deepgram, fake):
    """Each locked stretch is a final with its own times; empty ones are left out."""

    def result(text: str, start: float, duration: float) -> dict[str, object]:
        best = {"transcript": text, "confidence": 0.5, "words": []}
        return {
            "type": "Results", "start": start, "duration": duration, "is_final": True,
            "speech_final": False, "channel": {"alternatives": [best]},
        }  # fmt: skip

    fake.tells = [result("one", 0.0, 1.25), result("", 1.25, 2.0), result("two", 3.25, 0.5)]
    finals = [event for event in await heard(deepgram, LIVE) if isinstance(event, LiveFinal)]

    assert [("one", 0.0, 1.25), ("two", 3.25, 3.75)] == [(f.text, f.start, f.end) for f in finals]


async def test_flux(deepgram, fake):
    """A turn is partials until its end, which is a final."""
    ready, partial, final = await heard(deepgram, FLUX)

    assert (LiveReady(), LivePartial(text="Hello", language="en")) == (ready, partial)
    assert isinstance(final, LiveFinal)
    assert (fake.text, 0.0, 0.5) == (final.text, final.start, final.end)
    assert 3 == len(final.words)


async def test_flux_says_when_it_is_ready(deepgram, fake):
    """Audio goes to a Flux that is connected, and to nobody else."""
    fake.greets = {"type": "Metadata"}
    with pytest.raises(ProviderAnswerError):
        await heard(deepgram, FLUX)

    assert 0 == fake.heard


async def test_other_messages_of_flux(deepgram, fake):
    """What is no turn is passed over."""
    fake.tells = [{"type": "ConfigureSuccess"}]

    assert [LiveReady()] == await heard(deepgram, FLUX)


async def test_flux_loses_no_open_turn(deepgram, fake):
    """A turn that was still open when the conversation ended is its last final."""
    update = {
        "type": "TurnInfo", "event": "Update", "transcript": "not over", "audio_window_start": 0.1,
        "audio_window_end": 0.4, "words": [{"word": "not", "confidence": 0.9}],
    }  # fmt: skip
    fake.tells = [update]
    final = (await heard(deepgram, FLUX))[-1]

    assert LiveFinal(text="not over", start=0.1, end=0.4) == final


@pytest.mark.parametrize(
    ("farewell", "error"),
    [
        ((1008, b"DATA-0000"), ProviderRejectedError),
        ((1011, b"NET-0001"), ProviderUnavailableError),
        ((4000, b"LEAK"), ProviderUnavailableError),
    ],
)
async def test_close_codes(deepgram, fake, farewell, error):
    """Audio that cannot be decoded is a rejection, any other bad close a broken connection."""
    fake.farewell = farewell
    with pytest.raises(error) as caught:
        await heard(deepgram, LIVE)

    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize("request_", [LIVE, FLUX])
async def test_error_message(deepgram, fake, request_):
    """An error in a message ends the conversation as one of ours."""
    fake.tells = [{"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "LEAK"}]
    with pytest.raises(ProviderUnavailableError, match="gave up the conversation") as caught:
        await heard(deepgram, request_)

    assert "LEAK" not in str(caught.value)


async def test_keep_alive(fake):
    """While no audio comes, Deepgram is told that more will, and the audio itself is whole."""

    class Impatient(Deepgram):
        KEEP_ALIVE_AFTER = 0.02

    async def audio() -> AsyncIterator[bytes]:
        yield b"\0" * 3200
        await fake.until(lambda: "KeepAlive" in fake.said)
        yield b"\0" * 3200

    table = VendorSettings(api_key=Secret(fake.KEY), base_url=fake.url, stream_url=fake.socket_url)
    deepgram = Impatient(table)
    await deepgram.start()
    async with aclosing(deepgram.live_transcribe(LIVE, audio())) as events:
        final = [event async for event in events][-1]
    await deepgram.close()

    assert isinstance(final, LiveFinal)
    assert ({"KeepAlive", "CloseStream"}, 6400) == (set(fake.said), fake.heard)


async def test_leaving_closes_the_socket(deepgram, fake):
    """A caller who leaves a live stream takes Deepgram's connection along."""
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"\0" * 3200
        await endless.wait()

    async with aclosing(deepgram.live_transcribe(LIVE, audio())) as events:
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
        async with DeepgramFake() as self.fake:
            self.fake.slow_above = 4 * len(CLIP.data)
            self.fake.needs_sound = True
            yield provider(self.fake)

    async def stopped(self, provider: Provider) -> None:
        await self.fake.left()
