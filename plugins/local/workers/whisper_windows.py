"""Many short windows of live sessions, decoded together and straight through CTranslate2."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from math import exp
from typing import TYPE_CHECKING, Final

from attrs import frozen
from msgspec.structs import replace

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.engine.worker import Job
from junctor.core.transcripts import Word
from junctor.plugins.local.workers.items import WindowHeard
from junctor.plugins.local.workers.whisper_args import WhisperArgs, WhisperOptions, WindowArgs
from junctor.plugins.local.workers.whisper_ear import Ear, pieces_of

if TYPE_CHECKING:
    import numpy as np
    from ctranslate2 import StorageView
    from ctranslate2.models import WhisperGenerationResult
    from numpy.typing import NDArray

_TOKENS: Final = (8, 25)
"""Tokens that a text may have, and as many more for each second: Thai in Whisper's letters."""
_WASTE: Final = 200
"""Frames of padding in a batch, in all, that cost about as much as one batch more."""
_NO_SPEECH: Final = 0.6
_LEAST_LOGPROB: Final = -1.0
"""What is probably no speech, and written down as unsurely as this, is imagined."""


@frozen(kw_only=True)
class Task:
    """One window: its place in the request, what is asked, and its samples (-1 to 1)."""

    place: int
    asked: WindowArgs
    samples: "NDArray[np.float32]"
    frames: int


class Windows:
    """The windows of one model."""

    def __init__(self, ear: Ear, options: WhisperOptions) -> None:
        self._ear = ear
        self._options = options

    def run(self, job: Job[WhisperArgs]) -> Generator[WindowHeard, None, None]:
        """Say what is in each window, in their order."""
        began = time.perf_counter()
        asked = job.args.windows
        for one in asked:
            self._ear.check(one.language)
        found: dict[int, WindowHeard] = {}
        for batch in self._batches(list(self._tasks(asked, job.payload))):
            job.check()
            found |= zip((task.place for task in batch), self._hear(batch), strict=True)
        seconds = time.perf_counter() - began
        for place in range(len(asked)):
            yield replace(found[place], seconds=seconds)

    def _tasks(self, asked: Iterable[WindowArgs], payload: bytearray) -> Iterator[Task]:
        import numpy as np

        samples = np.frombuffer(payload, "<i2") * np.float32(1 / 32768)
        first = 0
        for place, one in enumerate(asked):
            part = samples[first : first + one.samples]
            first += one.samples
            yield Task(place=place, asked=one, samples=part, frames=self._ear.frames(len(part)))

    def _batches(self, tasks: list[Task]) -> Iterator[list[Task]]:
        """Put together what is searched alike and about as long."""
        rows: dict[tuple[bool, bool], list[Task]] = {}
        for task in sorted(tasks, key=lambda task: task.frames):
            rows.setdefault((task.asked.is_final, task.asked.word_timestamps), []).append(task)
        for row in rows.values():
            yield from batched(row, most=self._options.window_batch)

    def _hear(self, batch: Sequence[Task]) -> list[WindowHeard]:
        heard = self._ear.encode([task.samples for task in batch])
        languages = self._languages(batch, heard)
        results = self._ear.model.model.generate(
            heard,
            [self._prompt(language) for language in languages],
            beam_size=self._options.beam_size if batch[0].asked.is_final else 1,
            max_length=self._longest(batch),
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        texts = [
            self._read(result, language)
            for result, language in zip(results, languages, strict=True)
        ]
        if not batch[0].asked.word_timestamps:
            return [text for text, _ in texts]
        return self._timed(batch, heard, texts)

    def _languages(self, batch: Sequence[Task], heard: "StorageView") -> list[str]:
        """Take the language that is given, or listen which one it is."""
        given = [task.asked.language for task in batch]
        if None not in given:
            return [language for language in given if language is not None]
        allowed = [
            [task.asked.language]
            if task.asked.language
            else task.asked.allowed or self._options.languages
            for task in batch
        ]
        return list(self._ear.languages(heard, allowed))

    def _prompt(self, language: str) -> list[int]:
        tokenizer = self._ear.tokenizer(language)
        return [*tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _longest(self, batch: Sequence[Task]) -> int:
        seconds = max(len(task.samples) for task in batch) / SAMPLE_RATE
        few, each = _TOKENS
        most: int = self._ear.model.max_length
        return min(few + round(each * seconds), most)

    @cached_property
    def _suppressed(self) -> list[int]:
        from faster_whisper.transcribe import get_suppressed_tokens

        tokenizer = self._ear.tokenizer("en")
        return list(get_suppressed_tokens(tokenizer, [-1]) or ())

    def _read(
        self, result: "WhisperGenerationResult", language: str
    ) -> tuple[WindowHeard, list[list[int]]]:
        """Return the text, and the tokens of each of its pieces."""
        tokenizer, tokens = self._ear.tokenizer(language), result.sequences_ids[0]
        logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)  # of the end, too
        words = [token for token in tokens if token < tokenizer.eot]  # silence is a time stamp
        pieces = [] if is_imagined(result.no_speech_prob, logprob) else pieces_of(tokenizer, words)
        texts = trimmed([text for text, _ in pieces])
        heard = WindowHeard(
            text="".join(texts),
            pieces=tuple(text for text in texts if text),
            language=language,
            confidence=min(exp(logprob), 1.0),
        )
        return heard, [ids for (_, ids), text in zip(pieces, texts, strict=True) if text]

    def _timed(
        self,
        batch: Sequence[Task],
        heard: "StorageView",
        texts: Sequence[tuple[WindowHeard, list[list[int]]]],
    ) -> list[WindowHeard]:
        """Give each piece its times; a language at a time, since one prompt holds for a batch."""
        lengths = [len(task.samples) for task in batch]
        ids = [words for _, words in texts]
        places = {
            language: self._ear.places(heard, ids, lengths, language=language)
            for language in {text.language for text, _ in texts if text.text and text.language}
        }
        return [
            replace(
                text,
                words=tuple(
                    Word(text=piece.strip(), start=p.start, end=p.end, confidence=p.confidence)
                    for piece, p in zip(text.pieces, found[row], strict=True)
                    if piece.strip()
                ),
            )
            if (found := places.get(text.language or ""))
            else text
            for row, (text, _) in enumerate(texts)
        ]


def is_imagined(no_speech_prob: float, logprob: float) -> bool:
    """Whether a text is more likely made up than heard, as faster-whisper judges it."""
    return no_speech_prob > _NO_SPEECH and logprob < _LEAST_LOGPROB


def batched(tasks: Sequence[Task], *, most: int) -> Iterator[list[Task]]:
    """Cut a row of tasks, shortest first, where one batch would waste too much on padding."""
    batch: list[Task] = []
    waste = 0
    for task in tasks:
        more = len(batch) * (task.frames - batch[-1].frames) if batch else 0
        if batch and (len(batch) == most or waste + more > _WASTE):
            yield batch
            batch, waste, more = [], 0, 0
        batch.append(task)
        waste += more
    if batch:
        yield batch


def trimmed(pieces: Sequence[str]) -> list[str]:
    """Take the space away from both ends of a text in pieces."""
    text = "".join(pieces)
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    bounds = pairwise(accumulate(map(len, pieces), initial=0))
    return [text[max(start, first) : max(min(end, last), first)] for start, end in bounds]
