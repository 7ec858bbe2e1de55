"""The tiny Whisper finds given words, and doubts those that are not said."""

import asyncio
import random

import pytest

from junctor.core.audio.clip import Clip
from junctor.core.errors import ProviderRejectedError
from junctor.core.requests import AlignRequest
from junctor.core.testing.clips import clip_of, silent_clip
from junctor.core.transcripts import Alignment
from junctor.plugins.local.tiny import domain, speech
from junctor.plugins.local.tiny.studio import Recording, Studio
from junctor.plugins.local.whisper import WhisperProvider
from junctor.plugins.local.whisper_settings import WhisperModelSettings, WhisperSettings
from tests.plugins.local.voices import TRAINED, say

SEED = 2
WORDS = ("please", "open", "the", "door")


@pytest.fixture(name="align", scope="module")
def _align():
    """One loaded tiny model, on a loop of its own."""
    settings = WhisperModelSettings(cpu_threads=1)
    provider = WhisperProvider(WhisperSettings(models={"one": settings}))
    with asyncio.Runner() as runner:

        def align(audio: Clip, words=WORDS, language="en") -> Alignment:
            request = AlignRequest(audio=audio, words=tuple(words), language=language, model="one")
            return runner.run(provider.align(request))

        yield align
        runner.run(provider.close())


def test_finds_each_word(align):
    """Words come in their order, where they are said, and surely."""
    clip = say(" ".join(WORDS))
    found = align(clip)
    times = [time for word in found.words for time in (word.start, word.end)]

    assert list(WORDS) == [word.text for word in found.words]
    assert times == sorted(times)
    assert 0.2 < times[0] < times[-1] <= clip.seconds
    assert found.confidence > 0.5


def test_confidence_is_the_mean_of_the_words(align):
    """The geometric one: a single wrong word drags it down."""
    clip = say(" ".join(WORDS))
    right, wrong = align(clip), align(clip, ("please", "coffee", "the", "door"))
    product = 1.0
    for word in right.words:
        product *= word.confidence or 0.0

    assert product ** (1 / len(WORDS)) == pytest.approx(right.confidence)
    assert wrong.confidence < right.confidence / 5


def test_doubts_everything_in_silence(align):
    """Nobody says anything, so no word is sure."""
    found = align(silent_clip(2.0))

    assert found.confidence < 0.1
    assert all(0 <= word.start <= word.end <= 2.0 for word in found.words)


@pytest.mark.parametrize(
    ("seconds", "words", "language"),
    [
        (1.0, (), "en"),
        (1.0, ("a", " "), "en"),
        (1.0, ("bonjour",), "fr"),
        (5.1, WORDS, "en"),
        (1.0, WORDS * 200, "en"),
    ],
)
def test_refuses(align, seconds, words, language):
    """No text, a blank word, a foreign language, a long recording, a long text."""
    with pytest.raises(ProviderRejectedError):
        align(silent_clip(seconds), words, language)


def read_aloud(studio: Studio, chance: random.Random, number: int) -> Recording:
    """Have a text of a few words read: a known sentence, or any words."""
    language = "en" if number % 3 == 0 else "th"
    words = chance.sample(list(domain.vocabulary(language)), chance.randint(3, 5))
    if number % 2:
        words = chance.choice(domain.sentences(language)).split()
    return studio.record(words, language, voices=TRAINED[language], noise_db=25)


def test_tells_right_words_from_replaced_ones(align):
    """Of a right and a replaced word of 25 readings, the right one is surer 97 times in 100."""
    studio, chance = Studio(seed=SEED), random.Random(SEED)
    right: list[float] = []
    wrong: list[float] = []
    for number in range(25):
        said = read_aloud(studio, chance, number)
        audio, words = clip_of(said.wave[: 5 * speech.SAMPLE_RATE]), list(said.words)
        right += [word.confidence for word in align(audio, words, said.language).words]
        place = chance.randrange(len(words))
        words[place] = chance.choice(sorted(set(domain.vocabulary(said.language)) - set(words)))
        wrong.append(align(audio, words, said.language).words[place].confidence)
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    area = sum(pairs) / len(pairs)

    assert area >= 0.97, f"AUC {area:.3f} of {len(right)} right words, seed {SEED}"
