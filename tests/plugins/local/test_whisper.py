"""The tiny Whisper behind the provider: what is said is what is written down."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable

import pytest
import pytest_asyncio

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, Tier
from junctor.core.engine.spec import EngineState
from junctor.core.errors import (
    ConfigError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import IdentifyRequest, Task, TranscribeRequest
from junctor.core.testing.clips import noise_clip, silent_clip, tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import TranscriptDelta
from junctor.plugins.local.tiny import model_path
from junctor.plugins.local.whisper import WhisperProvider, junctor_providers
from junctor.plugins.local.whisper_settings import (
    TINY,
    WhisperModelSettings,
    WhisperSettings,
    card_of,
)
from tests.plugins.local.voices import bare, say

ENGLISH = ("thank you very much", "please open the door", "turn on the light")
THAI = ("สวัสดี ครับ ยินดี ช่วย", "ขอบคุณ มาก ครับ")


def provider_of(**settings) -> WhisperProvider:
    """Return a provider of one model with these settings."""
    models = {"one": WhisperModelSettings(cpu_threads=1, **settings)}
    return WhisperProvider(WhisperSettings(models=models))


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact that only the provider's status tells."""
    while not fact():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)


@pytest.mark.slow
class TestWhisper(ProviderConformance):
    """The rules of every provider; one engine does all."""

    loop_scope = "class"

    @pytest.fixture
    def provider(self):
        return provider_of()

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls):  # type: ignore[override]
        provider = provider_of(max_queue=3)
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def clip(self):
        return say(ENGLISH[0])

    @pytest.fixture
    def said(self):
        return tuple(ENGLISH[0].split())

    async def stopped(self, provider):
        await until(lambda: not provider.engines()["one"].running)


@pytest.fixture(name="whisper", scope="module")
def _whisper():
    """One loaded tiny model, on a loop of its own, for all tests of recognition."""
    with asyncio.Runner() as runner:
        provider = provider_of()
        yield lambda request: runner.run(ask(provider, request))
        runner.run(provider.close())


async def ask(provider, request):
    if isinstance(request, IdentifyRequest):
        return await provider.identify_language(request)
    return await provider.transcribe(request)


def request_of(clip, **fields) -> TranscribeRequest:
    return TranscribeRequest(audio=clip, model="one", **fields)


def test_writes_english_with_spaces(whisper):
    """Each sentence is a segment, joined by spaces, words apart."""
    found = whisper(request_of(say(*ENGLISH), language="en"))

    assert list(ENGLISH) == [segment.text for segment in found.segments]
    assert " ".join(ENGLISH) == found.text


def test_writes_thai_without_spaces_in_a_phrase(whisper):
    """A Thai phrase has no spaces inside, one between phrases; its words are its tokens."""
    found = whisper(request_of(say(*THAI, voice="th"), word_timestamps=True))

    assert " ".join(map(bare, THAI)) == found.text
    assert " ".join(THAI).split() == [word.text for word in found.words]
    assert "th" == found.language


def test_words_are_placed_in_the_whole_recording(whisper):
    """Word times count from the start of the audio, also after silence that was left out."""
    found = whisper(request_of(say(*ENGLISH), language="en", word_timestamps=True))
    thank, turn = found.words[0], next(word for word in found.words if word.text == "turn")

    assert 0.4 < thank.start < 0.9
    assert 0.5 < thank.confidence <= 1
    assert found.segments[2].start == pytest.approx(turn.start)
    assert turn.start > found.segments[1].end


def test_no_words_unless_asked(whisper):
    """Words cost time and come only when asked for."""
    assert () == whisper(request_of(say(ENGLISH[0]))).words


@pytest.mark.parametrize(
    ("voice", "text", "language"), [("en-us", ENGLISH[0], "en"), ("th", THAI[0], "th")]
)
def test_detects_the_language(whisper, voice, text, language):
    """Without a language given, it is found, surely."""
    found = whisper(request_of(say(text, voice=voice)))

    assert language == found.language
    assert found.language_confidence > 0.9


def test_identifies_within_the_allowed(whisper):
    """Identification answers with one of the tags given, as they were given."""
    clip = say(ENGLISH[0])
    found = whisper(IdentifyRequest(audio=clip, model="one", allowed=frozenset({"th", "en-GB"})))
    forced = whisper(IdentifyRequest(audio=clip, model="one", allowed=frozenset({"th-TH"})))

    assert ("en-GB", "th-TH") == (found.language, forced.language)


def test_silence_has_no_language(whisper):
    """Where nobody speaks there is no language to identify."""
    with pytest.raises(ProviderRejectedError):
        whisper(IdentifyRequest(audio=silent_clip(2.0), model="one"))


@pytest.mark.parametrize("make", [silent_clip, tone_clip, noise_clip])
def test_hears_nothing_in_no_speech(whisper, make):
    """Silence, tones and noise are nothing, not imagined words."""
    found = whisper(request_of(make(3.0)))

    assert found.is_empty
    assert () == found.segments


def test_translates(whisper):
    """A translation of Thai is in English."""
    found = whisper(request_of(say(THAI[1], voice="th"), task=Task.TRANSLATE))

    assert found.text.isascii()
    assert "thanks" in found.text


def test_refuses_a_language_it_does_not_know(whisper):
    """A language that is not on the card is refused, for another candidate to take."""
    with pytest.raises(ProviderRejectedError, match="fr"):
        whisper(request_of(say(ENGLISH[0]), language="fr"))


async def test_streams_each_segment_when_decoded():
    """Deltas carry their segments, the second while the job is still going on."""
    provider = provider_of()
    events = [event async for event in provider.stream_transcribe(request_of(say(*ENGLISH)))]
    await provider.close()

    deltas = [event for event in events if isinstance(event, TranscriptDelta)]

    assert deltas == events[:-1]
    assert [ENGLISH[0], " " + ENGLISH[1], " " + ENGLISH[2]] == [delta.text for delta in deltas]
    assert list(ENGLISH) == [delta.segment.text for delta in deltas if delta.segment]


@pytest.mark.parametrize("settings", [{"batch_size": 4}, {"vad_filter": False}])
async def test_other_ways_to_cut(settings):
    """Batched, and without speech detection, it still hears the sentences in order."""
    provider = provider_of(**settings)
    found = await provider.transcribe(request_of(say(*ENGLISH), language="en"))
    await provider.close()

    assert ENGLISH[0].split()[0] in found.text
    assert sorted(found.segments, key=lambda part: part.start) == list(found.segments)


async def test_killed_engine_fails_one_request_and_comes_back():
    """SIGKILL in the middle of a request is that request's failure only."""
    provider = provider_of()
    stream = provider.stream_transcribe(request_of(say(*ENGLISH * 5), language="en"))
    await anext(stream)
    pid = provider.engines()["one"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProviderUnavailableError):
        [event async for event in stream]
    await until(lambda: provider.engines()["one"].state is not EngineState.BACKOFF)
    found = await provider.transcribe(request_of(say(ENGLISH[0]), language="en"))
    await provider.close()

    assert ENGLISH[0] == found.text


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json", None])
async def test_broken_folder_names_the_reason(tmp_path, missing):
    """A folder that lacks something, or is not there, is refused with what it lacks, not where."""
    folder = tmp_path / "model"
    if missing:
        shutil.copytree(model_path(), folder)
        (folder / missing).unlink()
    provider = provider_of(path=str(folder))
    with pytest.raises(ProviderUnavailableError, match=missing or "is missing") as caught:
        await provider.transcribe(request_of(say(ENGLISH[0])))
    await provider.close()

    assert str(tmp_path) not in str(caught.value)


async def test_damaged_model_is_unavailable(tmp_path):
    """Weights that cannot be read fail the model, not the server."""
    folder = shutil.copytree(model_path(), tmp_path / "model")
    (folder / "model.bin").write_bytes(b"\x06\0\0\0rubbish" * 100)
    provider = provider_of(path=str(folder))
    with pytest.raises(ProviderUnavailableError):
        await provider.transcribe(request_of(say(ENGLISH[0])))

    await provider.close()


async def test_hub_name_is_not_downloaded_unasked():
    """A model that is not on this machine is unavailable, without a word on the network."""
    provider = provider_of(path="nobody/no-such-model")
    with pytest.raises(ProviderUnavailableError, match="allow `download`"):
        await provider.transcribe(request_of(say(ENGLISH[0])))

    await provider.close()


async def test_failed_preload_takes_the_provider_out(tmp_path):
    """When no model can be loaded at start, the provider does not start."""
    provider = provider_of(path=str(tmp_path / "nothing"), preload=True)
    with pytest.raises(ProviderUnavailableError):
        await provider.start()

    await provider.close()


async def test_failed_preload_spares_the_others(tmp_path):
    """One model that fails leaves the others served."""
    broken = WhisperModelSettings(path=str(tmp_path / "nothing"), preload=True)
    good = WhisperModelSettings(cpu_threads=1, preload=True)
    provider = WhisperProvider(WhisperSettings(models={"broken": broken, "one": good}))
    await provider.start()
    errors = {model: status.last_error for model, status in provider.engines().items()}
    await provider.close()

    assert {"broken": "The model's folder is missing.", "one": ""} == errors


async def test_idle_engine_is_unloaded():
    """After its idle time the process is gone."""
    provider = provider_of(idle_unload=0.1)
    await provider.transcribe(request_of(say(ENGLISH[0])))
    await until(lambda: provider.engines()["one"].pid is None)

    assert "unloaded" == provider.engines()["one"].state.value
    await provider.close()


def test_serves_the_tiny_model_by_default():
    """Without a table there is junctor-tiny, and its card says what it is."""
    [provider] = junctor_providers(Settings())
    [card] = provider.models()

    assert f"whisper:{TINY}" == card.name
    assert "tiny" in card.summary
    assert ({"th", "en"}, {Tier.LOW}) == (card.locales, card.tiers)
    assert card.quality <= 0.2


def test_table_names_models():
    """Each table is a model, its card as set or as its name suggests."""
    table: dict[str, object] = {
        "models": {
            "large-v3": {"path": "large-v3", "device": "cuda"},
            "base.en": {"path": "base.en"},
        }
    }
    [provider] = junctor_providers(Settings(plugins={"whisper": table}))
    large, base = provider.models()

    assert large.quality > base.quality
    assert Feature.TRANSLATION in large.features
    assert "th" in (large.locales or ())
    assert {"en"} == base.locales
    assert Capability.IDENTIFY_LANGUAGE not in base.capabilities


def test_misspelled_setting_is_named():
    """A key that does not exist is refused with its name."""
    table: dict[str, object] = {"models": {"large-v3": {"pfad": "large-v3"}}}

    with pytest.raises(ConfigError, match="pfad"):
        junctor_providers(Settings(plugins={"whisper": table}))


def test_prompt_is_claimed_where_it_helps():
    """The tiny model has no use for a prompt; a real one does."""
    real, tiny = WhisperModelSettings(path="small"), WhisperModelSettings()

    assert Feature.PROMPT in card_of("small", real).features
    assert Feature.PROMPT not in card_of(TINY, tiny).features
