"""
Training windows: features in, and everything that is known about them as targets.

Because eSpeak tells when it says what, each window is labelled three times: the tokens to write,
the word and the phoneme of every 20 ms, and where each token is heard.
"""

import math
import random
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from junctor.plugins.local.tiny import domain, speech
from junctor.plugins.local.tiny.speech import SAMPLE_RATE, Manner, Span, Utterance, Wave
from junctor.plugins.local.tiny.tokenizer import WINDOW_SECONDS, Vocabulary, build_tokenizer

IGNORED = -100
"""A target that is not learnt."""

FULL_FRAMES = 3000
"""What faster-whisper pads every window to, in frames of 10 ms."""

# CTranslate2 lets no window begin later than this; a longer silence is written as this much.
_LATEST_START = 1.0
_EDGE = 0.06
# Windows from this length on, in seconds, hold several sentences and follow earlier text.
_LONG = 4
# Less room than this, in seconds, is not worth starting to speak.
_SHORTEST = 0.7
# How fast utterances are played in the second stage; a fixed few, since soxr keeps what it plans.
_SPEEDS = (0.86, 0.93, 1.0, 1.0, 1.0, 1.07, 1.14)
Ints = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Placed:
    """An utterance at `start` seconds of a window; not `whole` if the window cuts it off."""

    start: float
    utterance: Utterance
    whole: bool

    @property
    def end(self) -> float:
        """Where it ends, seconds."""
        return self.start + self.utterance.duration

    def spans(self) -> list[Span | None]:
        """Where each word lies in the window, seconds."""
        return [
            span and (self.start + span[0], self.start + span[1]) for span in self.utterance.spans
        ]


@attrs.frozen(eq=False)
class Example:
    """One window: log-mel `features` (80, frames), tokens, and frame labels every 20 ms."""

    features: npt.NDArray[np.float32]
    inputs: Sequence[int]
    labels: Sequence[int]
    words: Ints
    phonemes: Ints
    heard: Sequence[tuple[int, int]]
    """First and last frame + 1 in which each token (inputs and the final label) is heard, or -1."""


@attrs.frozen(eq=False)
class Batch:
    """Examples of one length, padded; see `Example` for the fields."""

    features: npt.NDArray[np.float32]
    inputs: Ints
    labels: Ints
    words: Ints
    phonemes: Ints
    heard: Ints


@attrs.frozen
class Plan:
    """
    What the next batch shall be: `size` windows of `seconds`, padded to 30 s if `full`.

    Those that are `live` begin and end in the middle of speech, as streaming cuts them. `quiet`
    frames of nothing follow the longest window if it is not `full`.
    """

    seconds: float
    size: int
    full: bool
    live: bool = False
    quiet: int = 0


class Examples:
    """
    An endless, seeded supply of training windows.

    Args:
        seed: of all that is drawn.
        wide: have many more voices, speakers of other sizes, echoes and microphones.

    """

    def __init__(self, seed: int, *, wide: bool = False) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self.vocabulary = Vocabulary.of(build_tokenizer())
        self.phonemes = speech.phoneme_classes()
        self._wide = wide
        self._random = random.Random(seed)  # noqa: S311 — not a secret
        self._augmentation = speech.Augmentation(seed)
        self._extract = FeatureExtractor(feature_size=80, chunk_length=WINDOW_SECONDS)
        self._class = {id_: place for place, id_ in enumerate(self.vocabulary.heard, 1)}
        self._forbidden = {
            sentence for language in ("th", "en") for sentence in domain.held_out(language)
        }

    def _happens(self, share: float) -> bool:
        return self._random.random() < share

    def draw_words(self, language: str, most: int) -> list[str]:
        """Draw a known sentence, or words at random so that grammar is no help."""
        draw = self._random
        while True:
            if self._happens(0.35):
                words = draw.choice(domain.sentences(language)).split()
            else:
                words = draw.choices(domain.vocabulary(language), k=draw.randint(1, most))
            if len(words) <= most and " ".join(words) not in self._forbidden:
                return words

    def draw_utterance(self, language: str, most: int, *, joined: bool = True) -> Utterance:
        """Draw words, a voice, a rate and a pitch."""
        draw = self._random
        later = self._wide and self._happens(0.6)
        voices = speech.LATER_VOICES if later else speech.FIRST_VOICES
        words, voice = self.draw_words(language, most), draw.choice(voices[language])
        joined = joined and language == "th" and self._happens(0.2)
        return speech.render(words, language, voice=voice, manner=self._manner(), joined=joined)

    def _manner(self) -> Manner:
        draw = self._random
        if not self._wide:
            return Manner(rate=draw.randint(125, 195), pitch=draw.randint(30, 70))
        rate, pitch = draw.randint(115, 205), draw.randint(20, 80)
        return Manner(rate=rate, pitch=pitch, speed=draw.choice(_SPEEDS))

    def _place(self, language: str, seconds: float) -> Iterator[Placed]:
        draw = self._random
        longest = 0.1 if self._happens(0.4) else min(2.0, seconds / 4)
        position = draw.uniform(0, longest)
        several = seconds >= _LONG and self._happens(0.7)
        for index in range(draw.randint(2, 7) if several else 1):
            room = seconds - position
            if room < _SHORTEST:
                return
            utterance = self.draw_utterance(language, max(1, min(9, int(room / 0.45))))
            whole = utterance.duration <= room
            # Only a window that is full up can be cut off: the next one goes on from there.
            if whole or (index and seconds == WINDOW_SECONDS):
                yield Placed(position, utterance, whole)
            if not whole:
                return
            position += utterance.duration + draw.uniform(0.1, 1.5)

    def _cut_out(self, language: str, length: float) -> Iterator[Placed]:
        """Place what `length` seconds of somebody speaking hold, begun anywhere."""
        draw = self._random
        utterance = self.draw_utterance(language, 9, joined=False)
        position = draw.choice([0.0, draw.uniform(0, 0.6)])
        if self._happens(0.45):
            position = -draw.uniform(0, max(0.1, utterance.duration - 0.4))
        for _ in range(3):
            heard = utterance.between(-position, length - position)
            if len(heard.wave):
                yield Placed(max(0.0, position), heard, whole=True)
            position += utterance.duration + draw.uniform(0.1, 1.0)
            if position > length - 0.1 or self._happens(0.3):
                return
            utterance = self.draw_utterance(language, 9, joined=False)

    def _length(self, placed: Sequence[Placed], seconds: float) -> float:
        """Return how long the window is that holds `placed`, up to `seconds`."""
        draw = self._random
        if not placed:
            return draw.uniform(0.5, seconds)
        length = placed[-1].end + draw.choice([0.0, draw.uniform(0, 1.5)])
        return min(seconds, max(0.5, length))

    def _wave(self, placed: Sequence[Placed], length: float) -> Wave:
        limit = int(length * SAMPLE_RATE)
        if not placed:
            return self._augmentation.no_speech(limit)
        wave = np.zeros(limit, np.float32)
        for item in placed:
            first = int(item.start * SAMPLE_RATE)
            wave[first : first + len(item.utterance.wave)] += item.utterance.wave[
                : max(0, limit - first)
            ]
        if self._wide and self._happens(0.25):
            wave = self._augmentation.echo(wave)
        return self._augmentation.spoil(wave)

    def _prompt(self) -> list[int]:
        """Earlier text as faster-whisper passes it on: with or without its timestamps."""
        draw, ids = self._random, self.vocabulary
        if not self._happens(0.2):
            return []
        stamped = self._happens(0.5)
        tokens = [] if stamped or self._happens(0.5) else [ids.space]
        pool = list(ids.words[draw.choice(("th", "th", "en"))].values())
        for _ in range(draw.randint(1, 6)):
            words = draw.choices(pool, k=draw.randint(1, 9))
            first, last = sorted(draw.uniform(0, WINDOW_SECONDS) for _ in range(2))
            tokens += [ids.timestamp(first), *words, ids.timestamp(last)] if stamped else words
        return [ids.previous, *tokens]

    def _written(self, item: Placed, task: str) -> list[int]:
        if task == "translate" and item.utterance.language == "th":
            return [self.vocabulary.words["en"][domain.THAI[word]] for word in item.utterance.words]
        return [
            self.vocabulary.words[item.utterance.language][word] for word in item.utterance.words
        ]

    def _body(
        self, placed: Sequence[Placed], task: str, *, stamped: bool
    ) -> Iterator[tuple[int, Span | None]]:
        """Yield the text's tokens, each with where it is heard (seconds)."""
        ids = self.vocabulary
        placed = [item for item in placed if item.utterance.words]
        if stamped and not placed:
            yield ids.timestamp(0), None
        for index, item in enumerate(placed):
            start = item.start if index else min(item.start, _LATEST_START)
            if stamped:
                yield ids.timestamp(start), (item.start - _EDGE, item.start + _EDGE)
            if not item.whole:
                return
            yield from zip(self._written(item, task), item.spans(), strict=True)
            if stamped:
                yield ids.timestamp(item.end), (item.end - _EDGE, item.end + _EDGE)

    def _frame_labels(self, placed: Sequence[Placed], frames: int) -> tuple[Ints, Ints]:
        words = np.zeros(frames, np.int64)
        phonemes = np.full(frames, self.phonemes["_"], np.int64)
        for item in placed:
            utterance, ids = item.utterance, self.vocabulary.words[item.utterance.language]
            words[round(item.start * 50) : round(item.end * 50)] = IGNORED
            for word, span in zip(utterance.words, item.spans(), strict=True):
                if span:
                    words[round(span[0] * 50) : round(span[1] * 50)] = self._class[ids[word]]
            for name, (start, end) in utterance.timed_phonemes():
                first, last = (round((item.start + time) * 50) for time in (start, end))
                phonemes[first:last] = self.phonemes.get(name, IGNORED)
        return words, phonemes

    def _scene(self, language: str, plan: Plan) -> tuple[list[Placed], float]:
        """Draw what is said in a window, and how long that is, seconds."""
        silent = self._happens(0.06)
        if plan.live:
            length = plan.seconds * self._random.uniform(0.25, 1)
            return [] if silent else list(self._cut_out(language, length)), length
        placed = [] if silent else list(self._place(language, plan.seconds))
        return placed, self._length(placed, plan.seconds)

    def _features(self, wave: Wave, seconds: float) -> npt.NDArray[np.float32]:
        features: npt.NDArray[np.float32] = self._extract(wave)[:, : int(seconds * 100)]
        wide = self._wide and self._happens(0.4)
        return self._augmentation.equalise(features) if wide else features

    def draw(self, plan: Plan) -> Example:
        """Draw one window of `plan`."""
        draw, ids, seconds = self._random, self.vocabulary, plan.seconds
        language = "th" if self._happens(0.55) else "en"
        share = 0.2 if language == "th" else 0.05
        task = "translate" if draw.random() < share / (1 + 2 * plan.live) else "transcribe"
        stamped = self._happens(0.25 if plan.live else 0.65)
        placed, length = self._scene(language, plan)
        features = self._features(self._wave(placed, length), seconds)
        if not stamped and placed and not placed[-1].whole:
            features = features[:, : max(10, int(placed[-1].start * 100) - 2)]
        head = [ids.start, ids.languages[language], ids.tasks[task]]
        head += [] if stamped else [ids.no_timestamps]
        body = list(self._body(placed, task, stamped=stamped))
        prompt = self._prompt() if seconds >= _LONG else []
        tokens = [*prompt, *head, *(token for token, _ in body), ids.end]
        places = [None] * (len(prompt) + len(head)) + [span for _, span in body] + [None]
        labels = self._labels(tokens, len(prompt), stamped=stamped, silent=not placed)
        frame_words, frame_phonemes = self._frame_labels(placed, features.shape[1] // 2)
        heard = [
            (max(0, round(span[0] * 50)), round(span[1] * 50)) if span else (-1, -1)
            for span in places
        ]
        return Example(features, tokens[:-1], labels, frame_words, frame_phonemes, heard)

    def _labels(
        self, tokens: Sequence[int], prompt: int, *, stamped: bool, silent: bool
    ) -> list[int]:
        """Return what follows each token; what the caller dictates is not learnt."""
        labels = list(tokens[1:])
        labels[:prompt] = [IGNORED] * prompt
        labels[prompt + 1] = IGNORED
        if not stamped:
            labels[prompt + 2] = IGNORED
        if silent:
            labels[prompt] = self.vocabulary.no_speech
        return labels

    def batch(self, plan: Plan) -> Batch:
        """Draw the examples of `plan` and pad them to one length."""
        drawn = [self.draw(plan) for _ in range(plan.size)]
        longest = max(example.features.shape[1] for example in drawn)
        frames = max(100, math.ceil((longest + plan.quiet) / 20) * 20)
        frames = FULL_FRAMES if plan.full else frames
        length = max(len(example.inputs) for example in drawn)
        shape = (plan.size, length)
        batch = Batch(
            features=np.zeros((plan.size, 80, frames), np.float32),
            inputs=np.full(shape, self.vocabulary.end),
            labels=np.full(shape, IGNORED),
            words=np.full((plan.size, frames // 2), IGNORED),
            phonemes=np.full((plan.size, frames // 2), IGNORED),
            heard=np.full((plan.size, length + 1, 2), -1),
        )
        for row, example in enumerate(drawn):
            known = len(example.words)
            batch.features[row, :, : example.features.shape[1]] = example.features
            batch.inputs[row, : len(example.inputs)] = example.inputs
            batch.labels[row, : len(example.labels)] = example.labels
            batch.words[row, :known] = example.words
            batch.words[row, known : known + 10] = 0
            batch.phonemes[row, :known] = example.phonemes
            batch.heard[row, : len(example.heard)] = example.heard
        return batch
