"""pocketsphinx, inside its child process."""

from collections.abc import Generator
from typing import TYPE_CHECKING, ClassVar, Final

from msgspec import Struct

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.vad import speech_spans
from junctor.core.engine.worker import Job
from junctor.core.transcripts import Segment, Word
from junctor.plugins.local.workers.items import Heard, SpeechItem, Spoken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAME_SECONDS: Final = 0.01
PIECE: Final = SAMPLE_RATE // 4
"""Samples per call: the decoder keeps the interpreter lock, and pings must be answered."""
MAX_PHRASE: Final = 20.0
"""Longest stretch decoded as one utterance, seconds; the search slows down on long ones."""


class SphinxOptions(Struct, frozen=True):
    """The bundled English model has nothing to choose."""


class SphinxArgs(Struct, frozen=True):
    """A job is its samples: mono 16 kHz float32."""


class SphinxWorker:
    """The bundled US English model, shown only what is speech: it hears words in silence."""

    Options: ClassVar = SphinxOptions
    Args: ClassVar = SphinxArgs

    def __init__(self, options: SphinxOptions) -> None:
        from pocketsphinx import Config, Decoder, get_model_path

        self.options = options
        self._decoder = Decoder(
            Config(
                hmm=get_model_path("en-us/en-us"),
                lm=get_model_path("en-us/en-us.lm.bin"),
                dict=get_model_path("en-us/cmudict-en-us.dict"),
                loglevel="FATAL",
            )
        )
        self._cmn = self._decoder.get_cmn(False)

    def run(self, job: Job[SphinxArgs]) -> Generator[SpeechItem, None, None]:
        """Decode each stretch of speech; each gives a segment, if words were heard in it."""
        import numpy as np

        samples = np.frombuffer(job.payload, np.float32)
        self._decoder.set_cmn(self._cmn)  # else the recording before would change what is heard
        self._decoder.start_stream()
        spans = [part for span in speech_spans(samples) for part in phrases(*span)]
        if spans:
            yield Spoken(language="en")
        for start, end in spans:
            stretch = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
            if words := self._decode(job, stretch, start):
                text = " ".join(word.text for word in words)
                first, last = words[0].start, words[-1].end
                yield Heard(segment=Segment(text=text, start=first, end=last, words=words))

    def _decode(
        self, job: Job[SphinxArgs], samples: "NDArray[np.float32]", offset: float
    ) -> tuple[Word, ...]:
        import numpy as np

        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
        self._decoder.start_utt()
        try:
            for first in range(0, len(pcm), PIECE):
                job.check()
                self._decoder.process_raw(pcm[first : first + PIECE].tobytes())
        finally:
            self._decoder.end_utt()
        end = offset + len(samples) / SAMPLE_RATE
        return tuple(
            Word(
                text=word,
                start=min(offset + found.start_frame * FRAME_SECONDS, end),
                end=min(offset + (found.end_frame + 1) * FRAME_SECONDS, end),
                confidence=min(max(float(found.prob), 0.0), 1.0),
            )
            for found in self._decoder.seg() or ()
            if (word := spoken(found.word))
        )


def spoken(entry: str) -> str:
    """Return the word of a dictionary entry (`read(2)` is `read`); empty for silence and noise."""
    return "" if entry[:1] in {"<", "[", "+"} else entry.partition("(")[0]


def phrases(start: float, end: float) -> list[tuple[float, float]]:
    """Cut a stretch (seconds) into equal parts that are not too long."""
    count = int((end - start) // MAX_PHRASE) + 1
    step = (end - start) / count
    return [(start + step * n, start + step * (n + 1)) for n in range(count)]
