"""A random transducer behind the provider: what it says means nothing, how it is served does."""

import asyncio
import os
import signal

import numpy as np
import pytest
import pytest_asyncio

from junctor.conf.settings import Settings
from junctor.core.audio.pcm import samples_of
from junctor.core.audio.wav import to_pcm16
from junctor.core.cards import Capability, Tier
from junctor.core.engine.spec import EngineState
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import Task, TranscribeRequest, Window, WindowsRequest
from junctor.core.testing.clips import clip_of, silent_clip, tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import TranscriptDelta
from junctor.plugins.local.typhoon import TyphoonProvider, junctor_providers
from junctor.plugins.local.typhoon_settings import TyphoonModelSettings, TyphoonSettings
from tests.plugins.local.nemo import build
from tests.plugins.local.voices import say
from tests.waiting import until

SPEECH = say("สวัสดี ครับ ยินดี ช่วย", "ขอบคุณ มาก ครับ", voice="th")
MODEL = "typhoon-asr-realtime"


def provider_of(path, **settings) -> TyphoonProvider:
    """Return a provider of one model with these settings."""
    models = {MODEL: TyphoonModelSettings(path=str(path), **settings)}
    return TyphoonProvider(TyphoonSettings(models=models))


def request_of(clip=SPEECH, **fields) -> TranscribeRequest:
    return TranscribeRequest(audio=clip, model=MODEL, **fields)


def windows_of(*pcm: bytes, **fields) -> WindowsRequest:
    return WindowsRequest(model=MODEL, windows=tuple(Window(pcm=one, **fields) for one in pcm))


async def pcm_of(start: float, end: float) -> bytes:
    """Return a part (seconds) of the speech, as live sessions have it."""
    samples = await SPEECH.samples()
    return to_pcm16(samples[round(start * 16_000) : round(end * 16_000)]).tobytes()


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nemo"))


@pytest.fixture(name="typhoon", scope="module")
def _typhoon(folder):
    """One loaded model, on a loop of its own."""
    with asyncio.Runner() as runner:
        provider = provider_of(folder)
        yield lambda request: runner.run(ask(provider, request))
        runner.run(provider.close())


async def ask(provider, request):
    if isinstance(request, WindowsRequest):
        return await provider.transcribe_windows(request)
    return await provider.transcribe(request)


@pytest.mark.slow
class TestTyphoon(ProviderConformance):
    """The rules of every provider; one engine does all."""

    loop_scope = "class"
    language = "th"
    head_start = 0.02

    @pytest.fixture
    def provider(self, folder):
        return provider_of(folder)

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls, folder):
        provider = provider_of(folder, max_queue=3)
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def clip(self):
        return SPEECH

    @pytest_asyncio.fixture
    async def long_clip(self, clip):
        return clip_of(np.tile(await clip.samples(), 30))

    async def stopped(self, provider):
        await until(lambda: not provider.engines()[MODEL].running)


def test_hears_words_inside_their_stretches(typhoon):
    """Each stretch of speech is a segment; its words make its text and lie within it."""
    found = typhoon(request_of(language="th-TH"))

    assert 2 == len(found.segments)
    assert found.text == " ".join(segment.text for segment in found.segments)
    for segment in found.segments:
        assert segment.text.replace(" ", "") == "".join(word.text for word in segment.words)
        assert segment.start == segment.words[0].start <= segment.words[-1].end == segment.end
        assert all(0 < word.confidence <= 1 for word in segment.words)


def test_knows_its_language(typhoon):
    """It is Thai whatever it is asked, and no token of the model's own shows in the text."""
    found = typhoon(request_of())

    assert "th" == found.language
    assert not {"<", "\u2581"} & set(found.text)


def test_same_recording_same_text(typhoon):
    """What was heard before does not change what is heard now."""
    first = typhoon(request_of())
    typhoon(request_of(say("another recording at all")))

    assert first == typhoon(request_of())


@pytest.mark.parametrize("make", [silent_clip, tone_clip])
def test_hears_nothing_in_no_speech(typhoon, make):
    """Where nobody speaks the model, which would say something, is not asked."""
    assert typhoon(request_of(make(2.0))).is_empty


async def test_streams_each_stretch(folder):
    """Each stretch of speech is a piece of its own."""
    provider = provider_of(folder)
    events = [event async for event in provider.stream_transcribe(request_of())]
    await provider.close()
    segments = [
        event.segment.text
        for event in events
        if isinstance(event, TranscriptDelta) and event.segment
    ]

    assert [segments[0], " " + segments[1]] == [event.text for event in events[:-1]]
    assert " ".join(segments) == events[-1].text


async def test_long_stretches_are_cut(folder):
    """No stretch is longer than the window that is set."""
    provider = provider_of(folder, window_seconds=1.0)
    found = await provider.transcribe(request_of())
    await provider.close()

    assert len(found.segments) > 2
    assert all(segment.end - segment.start <= 1.0 for segment in found.segments)


def test_windows_alone_and_together(typhoon):
    """A window says the same whether it is decoded alone or with shorter and longer ones."""
    spans = ((0.6, 2.0), (0.0, 0.8), (0.9, 4.0), (0.7, 1.5))
    parts = [asyncio.run(pcm_of(*span)) for span in spans]
    together = typhoon(windows_of(*parts))
    alone = [typhoon(windows_of(part))[0] for part in parts]

    assert [one.text for one in alone] == [one.text for one in together]
    assert len({one.text for one in together}) == 4
    assert len({one.seconds for one in together}) == 1
    assert together[0].seconds > 0


def test_window_is_cut_into_its_words(typhoon):
    """Pieces joined are the text, and each is a word with its times and its share of the surety."""
    pcm = asyncio.run(pcm_of(0.5, 4.0))
    [found] = typhoon(windows_of(pcm, word_timestamps=True))
    times = [time for word in found.words for time in (word.start, word.end)]

    assert found.text == "".join(found.pieces)
    assert [piece.strip() for piece in found.pieces] == [word.text for word in found.words]
    assert 0 <= times[0] <= times[-1] <= len(samples_of(pcm)) / 16_000
    assert sorted(times) == times
    assert 0 < found.confidence < 1


def test_window_words_only_when_asked(typhoon):
    """Without the wish there are pieces, and no words."""
    [found] = typhoon(windows_of(asyncio.run(pcm_of(0.5, 2.0))))

    assert found.pieces
    assert () == found.words


@pytest.mark.parametrize("pcm", [b"", bytes(10), bytes(32_000)])
def test_silent_windows_are_empty(typhoon, pcm):
    """A window without sound, or with next to none, has no text, and nobody is sure of it."""
    speech = asyncio.run(pcm_of(0.6, 1.6))
    silent, spoken = typhoon(windows_of(pcm, speech))

    assert ("", (), None) == (silent.text, silent.pieces, silent.confidence)
    assert spoken.text


def test_no_windows_no_transcripts(typhoon):
    """Nothing asked, nothing answered."""
    assert () == typhoon(windows_of())


@pytest.mark.parametrize(
    "windows",
    [
        windows_of(*[b""] * 17),
        windows_of(bytes(2 * 16_000 * 30 + 2)),
        windows_of(b"", b"abc"),
        windows_of(b"", language="en"),
    ],
    ids=["many", "long", "odd", "language"],
)
def test_refuses_windows_it_cannot(typhoon, windows):
    """Windows that do not fit the card are refused before the engine sees them."""
    with pytest.raises(ProviderRejectedError):
        typhoon(windows)


@pytest.mark.parametrize("fields", [{"language": "en"}, {"task": Task.TRANSLATE}])
def test_refuses_what_it_cannot(typhoon, fields):
    """Another language and translation are for another candidate."""
    with pytest.raises(ProviderRejectedError):
        typhoon(request_of(**fields))


async def test_killed_engine_fails_one_request_and_comes_back(folder):
    """SIGKILL in the middle of a request is that request's failure only."""
    provider = provider_of(folder)
    long = clip_of(np.tile(await SPEECH.samples(), 30))
    stream = provider.stream_transcribe(request_of(long))
    await anext(stream)
    os.kill(provider.engines()[MODEL].pid or 0, signal.SIGKILL)
    with pytest.raises(ProviderUnavailableError):
        [event async for event in stream]
    await until(lambda: provider.engines()[MODEL].state is not EngineState.BACKOFF)
    found = await provider.transcribe(request_of())
    await provider.close()

    assert found.text


async def test_eight_bit_names_are_found(tmp_path):
    """An 8-bit export is taken by its names."""
    provider = provider_of(build(tmp_path, suffix=".int8"))
    found = await provider.transcribe(request_of())
    await provider.close()

    assert found.text


async def test_bad_model_is_unavailable_with_its_reason(tmp_path):
    """What is wrong is said to the caller; where it lies is not."""
    provider = provider_of(build(tmp_path, metadata={"pred_hidden": None}))
    with pytest.raises(ProviderUnavailableError, match="lacks the metadata pred_hidden") as caught:
        await provider.transcribe(request_of())
    await provider.close()

    assert str(tmp_path) not in str(caught.value)


async def test_failed_preload_takes_the_provider_out(tmp_path):
    """When no model can be loaded at start, the provider does not start."""
    provider = provider_of(tmp_path / "nothing", preload=True)
    with pytest.raises(ProviderUnavailableError, match="is missing"):
        await provider.start()

    await provider.close()


async def test_failed_preload_spares_the_others(folder, tmp_path):
    """One model that fails leaves the others served."""
    broken = TyphoonModelSettings(path=str(tmp_path / "nothing"), preload=True)
    good = TyphoonModelSettings(path=str(folder), preload=True)
    provider = TyphoonProvider(TyphoonSettings(models={"broken": broken, "one": good}))
    await provider.start()
    errors = {model: status.last_error for model, status in provider.engines().items()}
    await provider.close()

    assert {"broken": "The model's folder is missing.", "one": ""} == errors


def test_sits_out_without_a_model():
    """The weights are the operator's: without them the plugin says what to set."""
    with pytest.raises(NotConfiguredError, match="set `path`"):
        junctor_providers(Settings())


def test_path_is_wanted():
    """A model without its folder is a mistake in the file, named."""
    table: dict[str, object] = {"models": {MODEL: {}}}

    with pytest.raises(ConfigError, match="path"):
        junctor_providers(Settings(plugins={"typhoon": table}))


def test_card_is_as_set():
    """The card says Thai and what was set; the rest has its default."""
    table: dict[str, object] = {"models": {MODEL: {"path": "~/typhoon", "window_batch": 4}}}
    [provider] = junctor_providers(Settings(plugins={"typhoon": table}))
    [card] = provider.models()

    assert (f"typhoon:{MODEL}", {"th"}, set(Tier)) == (card.name, card.locales, card.tiers)
    assert (0.75, 30.0, 4) == (card.quality, card.window_seconds, card.window_batch)
    assert Capability.TRANSCRIBE_WINDOWS in card.capabilities
