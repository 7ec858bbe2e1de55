"""Recordings to judge a model by: rendered sentences with the truth about them, from a fixed seed."""

import random
from collections.abc import Sequence

import attrs
import numpy as np

from junctor.plugins.local.tiny import domain, speech
from junctor.plugins.local.tiny.speech import SAMPLE_RATE, Manner, Span, Utterance, Wave

_SEED = 4242


@attrs.frozen(eq=False)
class Recording:
    """A rendering with the truth about it."""

    language: str
    words: tuple[str, ...]
    wave: Wave
    spans: tuple[Span | None, ...]

    @property
    def text(self) -> str:
        """The words as the language writes them."""
        return ("" if self.language == "th" else " ").join(self.words)


@attrs.frozen(eq=False)
class Cut:
    """What a window holds of a sentence, cut where it happened to begin and to end."""

    language: str
    wave: Wave
    full: tuple[str, ...]
    """Words heard from their start to their end."""
    touched: tuple[str, ...]
    """Words heard in part or in full."""


class Studio:
    """Records renderings with a random rate, pitch, silence around, noise and gain."""

    def __init__(self, seed: int = _SEED) -> None:
        self._random = random.Random(seed)  # noqa: S311 — not a secret
        self._normal = np.random.default_rng(seed)

    def record(
        self,
        sentence: Sequence[str],
        language: str,
        *,
        voices: Sequence[str],
        noise_db: float | None = None,
        joined: bool = False,
    ) -> Recording:
        """Record one sentence; `noise_db` is the signal-to-noise ratio, None is clean."""
        draw = self._random
        spoken = self._say(sentence, language, voices, joined=joined)
        lead, tail = draw.uniform(0, 0.8), draw.uniform(0, 0.8)
        wave = np.pad(spoken.wave, (int(lead * SAMPLE_RATE), int(tail * SAMPLE_RATE)))
        if noise_db is not None:
            level = float(np.sqrt(np.mean(spoken.wave**2))) * 10 ** (-noise_db / 20)
            wave = wave + level * self._normal.standard_normal(len(wave)).astype(np.float32)
        spans = tuple(span and (lead + span[0], lead + span[1]) for span in spoken.spans)
        gain = 10 ** (draw.uniform(-15, 0) / 20)
        return Recording(language, tuple(sentence), (wave * gain).astype(np.float32), spans)

    def _say(
        self, sentence: Sequence[str], language: str, voices: Sequence[str], *, joined: bool
    ) -> Utterance:
        draw = self._random
        voice = draw.choice(voices)
        manner = Manner(rate=draw.choice([138, 152, 166, 181]), pitch=draw.randint(33, 67))
        return speech.render(sentence, language, voice=voice, manner=manner, joined=joined)

    def cut(
        self,
        sentence: Sequence[str],
        language: str,
        *,
        voices: Sequence[str],
        seconds: float,
        is_prefix: bool = False,
    ) -> Cut:
        """
        Record `seconds` out of a sentence through noise 25 dB below it, begun anywhere.

        A prefix begins with the sentence, after up to 0.3 s of silence that come on top.
        """
        draw = self._random
        spoken = self._say(sentence, language, voices, joined=False)
        first = 0.0 if is_prefix else draw.uniform(0, max(0.0, spoken.duration - seconds))
        lead = draw.uniform(0, 0.3) if is_prefix else 0.0
        part = spoken.between(first, first + seconds)
        wave = np.pad(part.wave, (int(lead * SAMPLE_RATE), 0))
        level = float(np.sqrt(np.mean(spoken.wave**2))) * 10 ** (-25 / 20)
        wave = wave + level * self._normal.standard_normal(len(wave)).astype(np.float32)
        full, touched = (
            spoken.between(first, first + seconds, least=least).words for least in (0.98, 1e-9)
        )
        return Cut(language, wave.astype(np.float32), full, touched)

    def sentences(self, language: str, *, known: bool) -> list[list[str]]:
        """Return the trained or the held-out sentences of `language`, split into words."""
        chosen = domain.sentences(language) if known else domain.held_out(language)
        return [sentence.split() for sentence in chosen]

    def sequences(self, language: str, *, count: int = 40, words: int = 5) -> list[list[str]]:
        """Draw word sequences that mean nothing."""
        pool = domain.vocabulary(language)
        return [self._random.choices(pool, k=words) for _ in range(count)]

    def conversation(self, language: str, *, count: int = 14) -> Recording:
        """Record `count` known sentences, one after the other, with pauses of up to 1.6 s."""
        sentences = self._random.choices(self.sentences(language, known=True), k=count)
        voices = speech.FIRST_VOICES[language]
        parts = [self.record(words, language, voices=voices, noise_db=30) for words in sentences]
        words = tuple(word for part in parts for word in part.words)
        return Recording(language, words, np.concatenate([part.wave for part in parts]), ())
