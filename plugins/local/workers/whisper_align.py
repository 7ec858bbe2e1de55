"""A given text, found word by word in a recording: forced alignment."""

from collections.abc import Generator, Sequence
from typing import Final

from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderRejectedError
from junctor.core.transcripts import Word
from junctor.plugins.local.workers.items import Aligned
from junctor.plugins.local.workers.whisper_args import WhisperArgs
from junctor.plugins.local.workers.whisper_ear import Ear, mean

_UNSPACED: Final = frozenset(("ja", "lo", "my", "th", "yue", "zh"))
"""Languages (Whisper's codes) in which no space stands before a word."""


def align(ear: Ear, job: Job[WhisperArgs]) -> Generator[Aligned, None, None]:
    """
    Find the words of a job in its recording, which fits into one window.

    Raises:
        ProviderRejectedError: the model does not know the language, or so many words.

    """
    import numpy as np

    language = job.args.language or "en"
    ear.check(language)
    texts = tokens_of(ear, job.args.words, language)
    samples = np.frombuffer(job.payload, np.float32)
    heard = ear.encode([samples])
    job.check()
    [places] = ear.places(heard, [texts], [len(samples)], language=language)
    words = tuple(
        Word(text=text, start=place.start, end=place.end, confidence=place.confidence)
        for text, place in zip(job.args.words, places, strict=True)
    )
    yield Aligned(words=words, confidence=mean([place.confidence for place in places]))


def tokens_of(ear: Ear, words: Sequence[str], language: str) -> list[list[int]]:
    """
    Return the tokens of each word, which never run together with those of its neighbour.

    Raises:
        ProviderRejectedError: they are more than the model can say in one window.

    """
    tokenizer = ear.tokenizer(language)
    space = "" if language in _UNSPACED else " "
    texts = [tokenizer.encode(f"{space}{word}") for word in words]
    room = ear.model.max_length - len(tokenizer.sot_sequence) - 2  # no time stamps, and the end
    if sum(map(len, texts)) > room:
        raise ProviderRejectedError("These are more words than fit into one window.", provider="")
    return texts
