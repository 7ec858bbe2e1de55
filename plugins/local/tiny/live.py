"""Judges a `junctor-tiny` on the windows of streaming: cut anywhere, encoded with few frames."""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import attrs
import ctranslate2
import numpy as np

from junctor.plugins.local.tiny.speech import Wave
from junctor.plugins.local.tiny.studio import Cut, Recording

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

_STEP = 20


@attrs.frozen
class CutScore:
    """How well windows were heard that cut words off."""

    right: float
    """Share of the words heard in full that were written, in their order."""
    false: float
    """Words written for each window that nobody said there, not even in part."""


def in_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for item in left:
        before = 0
        for place, other in enumerate(right, 1):
            above = row[place]
            row[place] = before + 1 if item == other else max(above, row[place - 1])
            before = above
    return row[-1]


class ShortEar:
    """
    Hears a window at once, in a context no longer than it needs.

    Args:
        model: the loaded model.
        least: frames (10 ms) of the shortest context.
        quiet: frames of nothing behind the speech, at least.

    """

    def __init__(self, model: "WhisperModel", *, least: int = 200, quiet: int = 40) -> None:
        self._model = model
        self._least, self._quiet = least, quiet
        self._tokenizer = cache(self._load_tokenizer)

    def _load_tokenizer(self, language: str) -> "Tokenizer":
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(self._model.hf_tokenizer, True, task="transcribe", language=language)

    def _features(self, wave: Wave) -> ctranslate2.StorageView:
        found = self._model.feature_extractor(wave)
        frames = math.ceil((found.shape[1] + self._quiet) / _STEP) * _STEP
        padded = np.zeros((1, len(found), max(self._least, frames)), np.float32)
        padded[0, :, : found.shape[1]] = found
        return ctranslate2.StorageView.from_array(padded)

    def words(self, wave: Wave, language: str) -> list[str]:
        """Return the words of a window (16 kHz, up to 10 s), greedily; a token is a word."""
        tokenizer = self._tokenizer(language)
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        result = self._model.model.generate(
            self._model.model.encode(self._features(wave)),
            [prompt],
            beam_size=1,
            max_length=60,
        )[0]
        ids = (id_ for id_ in result.sequences_ids[0] if id_ < tokenizer.eot)
        return [tokenizer.decode([id_]).strip() for id_ in ids]

    def hear(self, recording: Recording) -> str:
        """Return the text of a recording."""
        return " ".join(self.words(recording.wave, recording.language))

    def score(self, cuts: Iterable[Cut]) -> CutScore:
        """Count the right and the false words of windows."""
        right = full = false = windows = 0
        for cut in cuts:
            heard = self.words(cut.wave, cut.language)
            right, full = right + in_common(cut.full, heard), full + len(cut.full)
            false += len(heard) - in_common(cut.touched, heard)
            windows += 1
        return CutScore(right / max(1, full), false / windows)
