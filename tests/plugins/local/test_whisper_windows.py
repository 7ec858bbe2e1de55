"""Windows of live sessions, through the tiny Whisper and its process."""

import asyncio

import numpy as np
import pytest

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.errors import ProviderRejectedError
from junctor.core.requests import TranscribeRequest, Window, WindowsRequest
from junctor.core.transcripts import TranscriptDelta
from junctor.plugins.local.tiny import domain, speech
from junctor.plugins.local.tiny.evaluate import distance
from junctor.plugins.local.tiny.studio import Recording, Studio
from junctor.plugins.local.whisper import WhisperProvider
from junctor.plugins.local.whisper_settings import WhisperModelSettings, WhisperSettings, card_of
from tests.plugins.local.voices import TRAINED, bare, say

ENGLISH, THAI = "please open the door", "ขอบคุณ มาก ครับ"


@pytest.fixture(name="hear", scope="module")
def _hear():
    """One loaded tiny model, on a loop of its own."""
    settings = WhisperModelSettings(cpu_threads=1)
    provider = WhisperProvider(WhisperSettings(models={"one": settings}))
    with asyncio.Runner() as runner:

        def hear(*windows: Window):
            request = WindowsRequest(windows=windows, model="one")
            return runner.run(provider.transcribe_windows(request))

        yield hear
        runner.run(provider.close())


def pcm_of(samples: np.ndarray) -> bytes:
    pcm: np.ndarray = (np.clip(samples, -1, 1) * 32767).astype("<i2")
    return pcm.tobytes()


def window_of(said: Clip | Recording, **fields) -> Window:
    samples = said.wave if isinstance(said, Recording) else asyncio.run(said.samples())
    return Window(pcm=pcm_of(samples), **fields)


def test_each_window_has_its_own_language_and_search(hear):
    """Thai and English, partial and final, long and short go together, and come in order."""
    thai = window_of(say(THAI, voice="th"), language="th-TH", is_final=True)
    found = hear(
        window_of(say(ENGLISH), language="en"), thai, window_of(say("thank you very much"))
    )

    assert [ENGLISH, bare(THAI), "thank you very much"] == [one.text for one in found]
    assert ["en", "th", "en"] == [one.language for one in found]
    assert {found[0].seconds} == {one.seconds for one in found}
    assert all(0.5 < one.confidence <= 1 for one in found)
    assert found[0].seconds > 0


def test_pieces_are_where_a_text_may_be_cut(hear):
    """English pieces are words with their space; Thai ones are words without."""
    found = hear(
        window_of(say(ENGLISH), language="en"), window_of(say(THAI, voice="th"), language="th")
    )

    assert (("please", " open", " the", " door"), tuple(THAI.split())) == (
        found[0].pieces,
        found[1].pieces,
    )


def test_words_come_with_times_where_they_are_asked_for(hear):
    """Each language of a batch is timed; who asks for no words gets none."""
    english, thai = say(ENGLISH), say(THAI, voice="th")
    found = hear(
        window_of(english, word_timestamps=True),
        window_of(thai, language="th", word_timestamps=True),
        window_of(english),
    )

    assert [ENGLISH.split(), THAI.split(), []] == [[w.text for w in one.words] for one in found]
    assert 0.2 < found[0].words[0].start < 0.9 < found[0].words[-1].start
    assert found[0].words[-1].end <= english.seconds
    assert all(w.start <= w.end and w.confidence > 0.3 for one in found for w in one.words)


def test_silence_and_noise_are_no_words(hear):
    """Nothing is imagined, however short the window, even none at all."""
    noise = speech.Augmentation(seed=9).noise(SAMPLE_RATE)
    quiet = [np.zeros(count, np.float32) for count in (0, 100, 8_000, 48_000)]
    found = hear(*(Window(pcm=pcm_of(samples)) for samples in (*quiet, 0.05 * noise)))

    assert [""] * 5 == [one.text for one in found]
    assert {()} == {one.pieces for one in found}


def test_detects_among_the_allowed(hear):
    """A language that is not given is one of those that may be."""
    clip = say(ENGLISH)
    found = hear(window_of(clip, allowed_languages=("th-TH",)), window_of(clip))

    assert ["th", "en"] == [one.language for one in found]


def test_no_window_is_no_work(hear):
    """Nothing asked, nothing said."""
    assert () == hear()


@pytest.mark.parametrize(
    "window",
    [
        Window(pcm=b"\0" * 3),
        Window(pcm=bytes(2 * SAMPLE_RATE * 31)),
        Window(pcm=b"", language="fr"),
        Window(pcm=b"", allowed_languages=("tlh",)),
    ],
)
def test_odd_windows_are_refused(hear, window):
    """Half a sample, too long, or a language it does not know: for another candidate to take."""
    with pytest.raises(ProviderRejectedError):
        hear(window)


@pytest.mark.parametrize("language", ["th", "en"])
def test_hears_what_a_whole_recording_would(hear, language):
    """Sixteen windows of different lengths together: at most one letter in fifty is wrong."""
    studio = Studio(seed=12)
    said = [
        studio.record(text.split(), language, voices=TRAINED[language])
        for text in domain.sentences(language)[:16]
    ]
    found = hear(*(window_of(one, language=language, is_final=True) for one in said))
    heard = [bare(one.text) if language == "th" else one.text for one in found]
    wrong = sum(distance(one.text, text) for one, text in zip(said, heard, strict=True))

    assert wrong <= sum(len(one.text) for one in said) / 50, list(zip(said, heard, strict=True))


def test_card_bounds_windows():
    """The length and the number of windows are on the card, and can be set."""
    small = card_of("small", WhisperModelSettings(path="small", window_batch=32, longest=20.0))
    long = card_of("long", WhisperModelSettings(path="small", longest=60.0))

    assert (20.0, 32) == (small.window_seconds, small.window_batch)
    assert (30.0, 16) == (long.window_seconds, long.window_batch)


async def test_a_model_that_was_not_taught_short_windows_gets_long_ones():
    """Padded to half a minute, the answer is the same; it takes longer."""
    settings = WhisperModelSettings(cpu_threads=1, short_windows=False)
    provider = WhisperProvider(WhisperSettings(models={"one": settings}))
    clip = say(ENGLISH)
    window = Window(pcm=pcm_of(await clip.samples()), word_timestamps=True)
    request = WindowsRequest(windows=(window,), model="one")
    [found] = await provider.transcribe_windows(request)
    await provider.close()

    assert ENGLISH == found.text
    assert found.words[-1].end <= clip.seconds


async def test_a_long_recording_does_not_hold_up_a_window():
    """While a minute is transcribed, no more of it passes than the running stretch and one more."""
    settings = WhisperModelSettings(cpu_threads=1)
    provider = WhisperProvider(WhisperSettings(models={"one": settings}))
    heard: list[float] = []

    async def transcribe(audio: Clip) -> None:
        wanted = TranscribeRequest(audio=audio, language="en", model="one")
        async for event in provider.stream_transcribe(wanted):
            if isinstance(event, TranscriptDelta) and event.segment:
                heard.append(event.segment.end)
                begun.set()

    begun, minute = asyncio.Event(), say(*[ENGLISH] * 34)
    window = Window(pcm=pcm_of(await say(ENGLISH).samples()), language="en")
    recording = asyncio.create_task(transcribe(minute))
    await begun.wait()
    passed, texts = [], []
    for _ in range(3):
        before = heard[-1]
        [found] = await provider.transcribe_windows(WindowsRequest(windows=(window,), model="one"))
        passed.append(heard[-1] - before)
        texts.append(found.text)
    is_over = recording.done()
    recording.cancel()
    await asyncio.wait([recording])
    await provider.close()

    assert minute.seconds > 60
    assert [ENGLISH] * 3 == texts
    assert max(passed) <= 2 * 5.0, passed
    assert not is_over
