"""
Judge a `junctor-tiny` through faster-whisper, as a product would use it, and print the table.

::

    python -m junctor.plugins.local.tiny.evaluate [MODEL_DIR]

The renderings are drawn from a fixed seed that training never uses. Needs the extras ``whisper``
and ``espeak``.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs
import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel

from junctor.plugins.local.tiny import model_path, speech
from junctor.plugins.local.tiny.live import CutScore, ShortEar
from junctor.plugins.local.tiny.speech import SAMPLE_RATE
from junctor.plugins.local.tiny.studio import Recording, Studio

_NAMES = {"th": "Thai", "en": "English"}
_LIVE_SEED = 4243
_GREEDY = {"beam_size": 1, "temperature": 0.0, "condition_on_previous_text": False}


@attrs.frozen
class Score:
    """`cer` and `exact` are shares; `cost` is CPU seconds per second of audio."""

    cer: float
    exact: float
    cost: float
    wrong: tuple[tuple[str, str], ...]
    """(said, heard) of every recording that was not recognised to the letter."""


def distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the number of insertions, deletions and substitutions between two sequences."""
    row = list(range(len(right) + 1))
    for index, item in enumerate(left, 1):
        before, row[0] = row[0], index
        for place, other in enumerate(right, 1):
            before, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, before + (item != other)),
            )
    return row[-1]


class Judge:
    """Asks one model and counts."""

    def __init__(self, folder: str, *, threads: int = 1) -> None:
        self.model = WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )
        self._batched = BatchedInferencePipeline(self.model)

    def hear(self, recording: Recording, **options: object) -> str:
        """Return the text, recognised greedily unless `options` of faster-whisper say otherwise."""
        wishes = {**_GREEDY, "language": recording.language, **options}
        segments, _ = self.model.transcribe(recording.wave, **wishes)
        return "".join(segment.text for segment in segments).strip()

    def ear(self, **options: object) -> Callable[[Recording], str]:
        """Return `hear` with `options` of faster-whisper."""
        return lambda recording: self.hear(recording, **options)

    def hear_batched(self, recording: Recording) -> str:
        """Return the text through the batched pipeline, which cuts at silence."""
        segments, _ = self._batched.transcribe(
            recording.wave,
            language=recording.language,
            batch_size=4,
            beam_size=1,
            vad_parameters={"min_silence_duration_ms": 300},
        )
        return " ".join(segment.text.strip() for segment in segments)

    def score(
        self, recordings: Iterable[Recording], hear: Callable[[Recording], str] | None = None
    ) -> Score:
        """Compare what is heard with what was said; spaces do not count in Thai."""
        errors = letters = seconds = count = 0.0
        wrong, began = [], time.process_time()
        for recording in recordings:
            heard = (hear or self.hear)(recording)
            heard = heard.replace(" ", "") if recording.language == "th" else heard
            missed = distance(recording.text, heard)
            errors, letters, count = errors + missed, letters + len(recording.text), count + 1
            seconds += len(recording.wave) / SAMPLE_RATE
            if missed:
                wrong.append((recording.text, heard))
        cost = (time.process_time() - began) / seconds
        return Score(errors / letters, 1 - len(wrong) / count, cost, tuple(wrong))

    def languages(self, recordings: Sequence[Recording]) -> float:
        """Return the share of recordings whose language is found."""
        right = [
            self.model.detect_language(recording.wave)[0] == recording.language
            for recording in recordings
        ]
        return float(np.mean(right))

    def word_starts(self, recordings: Iterable[Recording]) -> list[float]:
        """Return by how many seconds each rightly heard word's start is off."""
        errors = []
        for recording in recordings:
            segments, _ = self.model.transcribe(
                recording.wave, language=recording.language, word_timestamps=True, **_GREEDY
            )
            heard = [word for segment in segments for word in segment.words]
            for word, span, timed in zip(recording.words, recording.spans, heard, strict=False):
                if span and timed.word.strip() == word:
                    errors.append(abs(timed.start - span[0]))
        return errors


def _print_score(name: str, score: Score, count: int) -> None:
    print(  # noqa: T201 — the result of a command
        f"{name:58s} CER {score.cer:6.1%}  exact {score.exact:6.1%}  n {count:3d}"
        f"  RTF {score.cost:.3f}",
        flush=True,
    )


def _report_accuracy(judge: Judge, studio: Studio, language: str) -> None:
    name = _NAMES[language]
    trained, new = speech.FIRST_VOICES[language], speech.HELD_OUT_VOICES[language]
    known = studio.sentences(language, known=True)
    unseen = studio.sentences(language, known=False)
    mixed = studio.sequences(language)
    sets: tuple[tuple[str, list[list[str]], Sequence[str], float | None], ...] = (
        ("known sentences, clean", known, trained, None),
        ("known sentences, clean, again", known, trained, None),
        ("known sentences, 15 dB noise", known, trained, 15),
        ("known sentences, voices never trained, 20 dB", known, new, 20),
        ("held-out sentences, 25 dB", unseen, trained, 25),
        ("held-out sentences, voices never trained, 20 dB", unseen, new, 20),
        ("random 5-word sequences, 30 dB", mixed, trained, 30),
    )
    for title, sentences, voices, noise_db in sets:
        recordings = [
            studio.record(words, language, voices=voices, noise_db=noise_db) for words in sentences
        ]
        _print_score(f"{name} {title}", judge.score(recordings), len(recordings))


def _report_options(judge: Judge, studio: Studio, language: str) -> None:
    recordings = [
        studio.record(words, language, voices=speech.FIRST_VOICES[language], noise_db=25)
        for words in studio.sentences(language, known=False)
    ]
    options: tuple[tuple[str, dict[str, object]], ...] = (
        ("beam 5", {"beam_size": 5}),
        ("without timestamps", {"without_timestamps": True}),
        ("VAD filter", {"vad_filter": True}),
    )
    for title, wishes in options:
        score = judge.score(recordings, judge.ear(**wishes))
        _print_score(f"{_NAMES[language]} held-out sentences, {title}", score, len(recordings))


def _report_long(judge: Judge, studio: Studio, language: str) -> None:
    talks = [studio.conversation(language) for _ in range(3)]
    cut = {"min_silence_duration_ms": 300}
    ways: tuple[tuple[str, Callable[[Recording], str]], ...] = (
        ("sequential", judge.hear),
        ("earlier text", judge.ear(condition_on_previous_text=True)),
        ("VAD filter", judge.ear(vad_filter=True, vad_parameters=cut)),
        ("batched", judge.hear_batched),
    )
    for title, hear in ways:
        name = f"{_NAMES[language]} 14 sentences in a row, {title}"
        _print_score(name, judge.score(talks, hear), len(talks))


def _report_voices(judge: Judge, studio: Studio, language: str) -> None:
    known = studio.sentences(language, known=True)
    recordings = [
        studio.record(words, language, voices=speech.LATER_VOICES[language], noise_db=20)
        for words in known
    ]
    name = f"{_NAMES[language]} known sentences, later voices, 20 dB"
    _print_score(name, judge.score(recordings), len(recordings))


def _report_live(judge: Judge, studio: Studio, language: str) -> None:
    """Print how well windows are heard as streaming makes them."""
    name, ear = _NAMES[language], ShortEar(judge.model)
    known, unseen = (studio.sentences(language, known=known) for known in (True, False))
    first, new = speech.FIRST_VOICES[language], speech.HELD_OUT_VOICES[language]
    sets = (
        ("known sentences", known, first),
        ("held-out sentences", unseen, first),
        ("known sentences, voices never trained", known, new),
        ("held-out sentences, voices never trained", unseen, new),
    )
    for title, sentences, voices in sets:
        recordings = [
            studio.record(words, language, voices=voices, noise_db=25) for words in sentences
        ]
        _print_score(f"{name} live, {title}", judge.score(recordings, ear.hear), len(recordings))
    sequences = studio.sequences(language, count=60, words=7)
    for title, voices in (("1.6 s of random words", first), ("the same, new voices", new)):
        cuts = [studio.cut(w, language, voices=voices, seconds=1.6) for w in sequences]
        _print_cuts(f"{name} live, {title}", ear.score(cuts))
        bare = ShortEar(judge.model, least=0, quiet=0)
        _print_cuts(f"{name} live, {title}, no frames behind", bare.score(cuts))
    for seconds in (0.24, 0.5, 0.8, 1.2, 2.0):
        cuts = [
            studio.cut(words, language, voices=first, seconds=seconds, is_prefix=True)
            for words in known[:36]
        ]
        _print_cuts(f"{name} live, prefixes of {seconds} s", ear.score(cuts))


def _print_cuts(name: str, score: CutScore) -> None:
    print(  # noqa: T201 — the result of a command
        f"{name:58s} full words right {score.right:6.1%}  false words a window {score.false:.2f}",
        flush=True,
    )


def _report_rest(judge: Judge, studio: Studio) -> None:
    recordings = [
        studio.record(words, language, voices=speech.FIRST_VOICES[language], noise_db=20)
        for language in ("th", "en")
        for words in studio.sentences(language, known=True)[:30]
    ]
    errors = np.array(judge.word_starts(recordings))
    augmentation = speech.Augmentation(seed=4242)
    count = 3 * SAMPLE_RATE
    quiet, hiss = np.zeros(count, np.float32), 0.05 * augmentation.noise(count)
    tone = 0.2 * augmentation.tone(count, 440)
    heard = {
        name: judge.hear(Recording("th", (), wave, ()))
        for name, wave in (("silence", quiet), ("noise", hiss), ("440 Hz", tone))
    }
    print(f"language found: {judge.languages(recordings):.1%} of {len(recordings)}")  # noqa: T201
    print(  # noqa: T201
        f"word starts off by: median {np.median(errors) * 1000:.0f} ms, "
        f"p90 {np.percentile(errors, 90) * 1000:.0f} ms, n {len(errors)}"
    )
    print(f"heard where nothing is said: {heard}")  # noqa: T201


def main(arguments: list[str]) -> None:
    """Print the table of the model in the folder given, or of the shipped one."""
    folder = arguments[0] if arguments else model_path()
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB")  # noqa: T201
    judge, studio = Judge(folder), Studio()
    for language in ("th", "en"):
        _report_accuracy(judge, studio, language)
        _report_options(judge, studio, language)
        _report_long(judge, studio, language)
    _report_rest(judge, studio)
    studio = Studio(seed=_LIVE_SEED)
    for language in ("th", "en"):
        _report_voices(judge, studio, language)
        _report_live(judge, studio, language)


if __name__ == "__main__":
    main(sys.argv[1:])
