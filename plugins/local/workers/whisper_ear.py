"""A loaded Whisper, asked piece by piece: encode, which language, which words, and when."""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.errors import ProviderRejectedError
from junctor.plugins.local.workers.mel import Mel, frames_of

if TYPE_CHECKING:
    import numpy as np
    from ctranslate2 import StorageView
    from ctranslate2.models import WhisperAlignmentResult
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer
    from numpy.typing import NDArray

FULL: Final = 3000
"""Frames that Whisper was taught to hear at once."""
_LEAST: Final = 200
"""Frames of the shortest context; the first `junctor-tiny` wrote nonsense from 160."""
_QUIET: Final = 40
"""Frames of nothing behind the speech; without them the first one had a tenth of its letters wrong."""
_STEP: Final = 20
"""Contexts are as long as a multiple of so many frames, so that like lengths meet in a batch."""
_FRAME_SECONDS: Final = 0.02
"""From one position of the encoder to the next."""
_LONG: Final = 1.5
"""Times the usual length of a word, after which the first one has begun before it is said: its way
through time starts with the window's silence."""
_FLOOR: Final = 1e-9
"""Least probability that is told from none."""


class Place(Struct, frozen=True):
    """Where a word is, seconds, and how sure that is: the geometric mean of its tokens."""

    start: float
    end: float
    confidence: float


class Ear:
    """One model, and what is computed once for it."""

    def __init__(self, model: "WhisperModel", *, is_short: bool) -> None:
        self.model = model
        self.is_short = is_short
        """Whether it hears contexts that are not padded to half a minute."""
        self.is_multilingual = bool(model.model.is_multilingual)
        self.window = float(model.feature_extractor.chunk_length)
        """Seconds it hears at once."""
        self._mel = Mel(model.feature_extractor.mel_filters)
        self.tokenizer = cache(self._tokenizer)

    def _tokenizer(self, language: str) -> "Tokenizer":
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(
            self.model.hf_tokenizer, self.is_multilingual, task="transcribe", language=language
        )

    def check(self, language: str | None) -> None:
        """
        Make sure that it knows the language (Whisper's code).

        Raises:
            ProviderRejectedError: it does not.

        """
        if language is not None and language not in self.model.supported_languages:
            raise ProviderRejectedError(
                f"This model does not know the language {language!r}.", provider=""
            )

    def frames(self, samples: int) -> int:
        """Return how many frames are encoded for so many samples."""
        if not self.is_short:
            return FULL
        steps = -(-(frames_of(samples) + _QUIET) // _STEP)
        return min(max(steps * _STEP, _LEAST), FULL)

    def encode(self, windows: Sequence["NDArray[np.float32]"]) -> "StorageView":
        """Hear windows of samples (-1 to 1) together."""
        from ctranslate2 import StorageView

        frames = max(self.frames(len(window)) for window in windows)
        features = self._mel.batch(windows, frames=frames)
        return self.model.model.encode(StorageView.from_array(features))

    def languages(self, heard: "StorageView", allowed: Sequence[Collection[str]]) -> Iterator[str]:
        """
        Yield the language of each window that was heard, out of those allowed; of any if none is.

        Raises:
            ProviderRejectedError: the model knows none of those allowed.

        """
        if not self.is_multilingual:
            yield from ["en"] * len(allowed)
            return
        for found, codes in zip(self.model.model.detect_language(heard), allowed, strict=True):
            known = [token[2:-2] for token, _ in found if not codes or token[2:-2] in codes]
            if not known:
                raise ProviderRejectedError(
                    "This model knows none of the languages to choose from.", provider=""
                )
            yield known[0]  # the likeliest comes first

    def places(
        self,
        heard: "StorageView",
        texts: Sequence[Sequence[Sequence[int]]],
        lengths: Sequence[int],
        *,
        language: str,
    ) -> list[list[Place]]:
        """
        Return where the words of each window are.

        Args:
            heard: what `encode` made of the windows.
            texts: for each window its words, each of them tokens.
            lengths: samples of each window.
            language: Whisper's code.

        """
        tokenizer = self.tokenizer(language)
        flat = [[token for word in words for token in word] for words in texts]
        found = self.model.model.align(
            heard,
            tokenizer.sot_sequence,
            [tokens or [tokenizer.eot] for tokens in flat],  # nothing at all would crash it
            [frames_of(length) for length in lengths],
        )
        return [
            _placed(one, [len(word) for word in words], length / SAMPLE_RATE)
            for one, words, length in zip(found, texts, lengths, strict=True)
        ]


def _placed(found: "WhisperAlignmentResult", sizes: Sequence[int], end: float) -> list[Place]:
    """Turn the path of tokens through time into times of words of so many tokens, in order."""
    starts: dict[int, float] = {}
    for token, position in found.alignments:
        starts.setdefault(token, min(position * _FRAME_SECONDS, end))
    bounds = list(accumulate(sizes, initial=0))
    probs = found.text_token_probs
    spans = [(starts.get(a, end), starts.get(b, end)) for a, b in pairwise(bounds)]
    if len(spans) > 1:
        usual = median(b - a for a, b in spans[1:])
        spans[0] = (max(spans[0][0], spans[0][1] - _LONG * usual), spans[0][1])
    return [
        Place(*span, mean(probs[a:b])) for span, (a, b) in zip(spans, pairwise(bounds), strict=True)
    ]


def mean(probabilities: Collection[float]) -> float:
    """Return the geometric mean, 0 to 1; of nothing it is 0."""
    logs = [log(max(one, _FLOOR)) for one in probabilities]
    return min(exp(sum(logs) / len(logs)), 1.0) if logs else 0.0


def pieces_of(tokenizer: "Tokenizer", tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
    """
    Cut a text where it may be cut: words with the space before them, or what tokens make.

    No piece begins with a mark that belongs on the letter before it.
    """
    pieces: list[tuple[str, list[int]]] = []
    for text, ids in zip(*tokenizer.split_to_word_tokens(list(tokens)), strict=True):
        if pieces and (not text or unicodedata.category(text[0]) in {"Mn", "Mc"}):
            before, earlier = pieces[-1]
            pieces[-1] = (before + text, earlier + ids)
        else:
            pieces.append((text, ids))
    return pieces
