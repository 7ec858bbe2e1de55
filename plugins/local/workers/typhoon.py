"""sherpa-onnx with a NeMo transducer, inside its child process."""

from collections.abc import Generator, Iterator, Sequence
from math import exp
from pathlib import Path
from statistics import fmean
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from msgspec import Struct

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES, is_loud, samples_of
from junctor.core.audio.vad import speech_spans
from junctor.core.engine.worker import Job
from junctor.core.transcripts import Segment, Word
from junctor.plugins.local.workers.items import Heard, SpeechItem, Spoken, WindowHeard
from junctor.plugins.local.workers.nemo_folder import open_folder
from junctor.plugins.local.workers.stretches import split
from junctor.plugins.local.workers.whisper import sliced
from junctor.plugins.local.workers.whisper_guards import decoding, loading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANGUAGE: Final = "th"
MARK: Final = "\u2581"
"""SentencePiece's space, at the start of a token that begins a word."""
_TRAILING: Final = frozenset(
    "\u0e30\u0e31\u0e32\u0e33\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e3a\u0e45\u0e46\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c\u0e4d\u0e4e"
)
"""Thai vowels, tones and signs that follow the letter they belong to."""
UNKNOWN: Final = "<unk>"
SHORTEST: Final = SAMPLE_RATE // 10
"""Samples; less is no speech, and an encoder may stumble over it."""
FEATURES: Final = 80
"""Mel bands that NeMo's models are shown."""


class TyphoonOptions(Struct, frozen=True):
    """What is loaded and how it decodes."""

    path: str
    cpu_threads: int = 1
    longest: float = 30.0
    """Longest stretch decoded at once, seconds."""


class WindowArgs(Struct, frozen=True):
    """One window of a job."""

    samples: int
    has_words: bool = False


class TyphoonArgs(Struct, frozen=True):
    """
    One job.

    Its payload is a recording, mono 16 kHz float32; or windows, mono 16 kHz signed 16-bit
    little-endian, one after the other.
    """

    windows: tuple[WindowArgs, ...] | None = None


class Token(NamedTuple):
    """What the decoder emitted at one instant."""

    text: str
    start: float
    """Seconds from the start of the audio."""
    log_probability: float


class Spelled(NamedTuple):
    """A word, and how it stands in the text: its space before it, if there is one."""

    piece: str
    word: Word


class TyphoonWorker:
    """One loaded transducer; it is always Thai that it hears."""

    Options: ClassVar = TyphoonOptions
    Args: ClassVar = TyphoonArgs

    def __init__(self, options: TyphoonOptions) -> None:
        import numpy as np

        self.options = options
        # A live window has a thread of its own: it waits for one stretch of a recording at most.
        self._turn = Lock()
        folder = open_folder(Path(options.path))
        self.step = folder.step
        with loading():
            from sherpa_onnx import OfflineRecognizer

            self._recognizer = OfflineRecognizer.from_transducer(
                encoder=folder.encoder,
                decoder=folder.decoder,
                joiner=folder.joiner,
                tokens=folder.tokens,
                model_type="nemo_transducer",
                num_threads=options.cpu_threads,
                sample_rate=SAMPLE_RATE,
                feature_dim=FEATURES,
            )
            # networks that do not fit one another show it only now
            self._decode([np.zeros(SAMPLE_RATE, np.float32)])

    def run(self, job: Job[TyphoonArgs]) -> Generator[SpeechItem | WindowHeard, None, None]:
        """Say what each stretch of speech says, or each window."""
        with decoding():
            if job.args.windows is None:
                yield from self._hear(job)
            else:
                yield from self._hear_windows(job, job.args.windows)

    def _hear(self, job: Job[TyphoonArgs]) -> Iterator[SpeechItem]:
        import numpy as np

        samples = np.frombuffer(job.payload, np.float32)
        spans = speech_spans(samples, min_silence=0.5, pad=0.2)
        if spans:
            yield Spoken(language=LANGUAGE)
        for start, end in split(samples, spans, longest=self.options.longest):
            job.check()
            [found] = self._decode([sliced(samples, (start, end))])
            tokens = [token._replace(start=start + token.start) for token in found]
            if spelled := spell(tokens, step=self.step, end=end):
                yield Heard(segment=segment_of(spelled, tokens))

    def _hear_windows(
        self, job: Job[TyphoonArgs], windows: Sequence[WindowArgs]
    ) -> Iterator[WindowHeard]:
        began = perf_counter()
        sounds = cut(bytes(job.payload), [window.samples for window in windows])
        found: list[list[Token]] = [[] for _ in windows]
        for group in alike([len(sound) for sound in sounds]):
            job.check()
            decoded = self._decode([sounds[index] for index in group])
            for index, tokens in zip(group, decoded, strict=True):
                found[index] = tokens
        seconds = perf_counter() - began
        for window, tokens in zip(windows, found, strict=True):
            spelled = spell(tokens, step=self.step, end=window.samples / SAMPLE_RATE)
            yield window_of(spelled, tokens, seconds=seconds, has_words=window.has_words)

    def _decode(self, sounds: "Sequence[NDArray[np.float32]]") -> list[list[Token]]:
        """Return the tokens of each stretch; they are decoded together."""
        streams = [self._recognizer.create_stream() for _ in sounds]
        for stream, sound in zip(streams, sounds, strict=True):
            stream.accept_waveform(SAMPLE_RATE, sound)
        with self._turn:
            self._recognizer.decode_streams(streams)
        results = [stream.result for stream in streams]
        return [
            [
                Token(text.replace(MARK, " "), float(start), min(float(log_probability), 0.0))
                for text, start, log_probability in zip(
                    result.tokens, result.timestamps, result.ys_log_probs, strict=True
                )
                if text != UNKNOWN
            ]
            for result in results
        ]


def cut(pcm: bytes, lengths: Sequence[int]) -> "list[NDArray[np.float32]]":
    """Part windows (samples) that lie one after the other; those without speech become empty."""
    sounds, first = [], 0
    for length in lengths:
        part = pcm[first : first + length * SAMPLE_BYTES]
        first += len(part)
        sounds.append(samples_of(part if length >= SHORTEST and is_loud(part) else b""))
    return sounds


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """
    Group what is decoded together, by index: all are padded to the longest of their group.

    The longest first; none is less than half as long as the first of its group, so that at most
    half of the work is padding. What is empty is in no group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if not lengths[index]:
            break
        if not groups or lengths[index] * 2 < lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return groups


def spell(tokens: Sequence[Token], *, step: float, end: float) -> list[Spelled]:
    """
    Put tokens together to words: a space begins one, and what has none belongs to the one before.

    Args:
        tokens: in order of time.
        step: seconds that the last token lasts; any other lasts until the next one begins.
        end: where the audio ends, seconds; no word goes beyond.

    """
    starts = [min(token.start, end) for token in tokens]
    ends = [*starts[1:], min(starts[-1] + step, end)] if starts else []
    spelled: list[Spelled] = []
    for first, after in _words(tokens):
        piece = "".join(token.text for token in tokens[first:after])
        if text := piece.strip():
            word = Word(
                text=text,
                start=starts[first],
                end=ends[after - 1],
                confidence=confidence_of(tokens[first:after]),
            )
            spelled.append(Spelled(piece if spelled else piece.lstrip(), word))
    return spelled


def _words(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Yield where each word begins, and the next one."""
    begins = [
        number
        for number, token in enumerate(tokens)
        if number == 0 or (_begins_word(token.text) and tokens[number - 1].text != " ")
    ]
    return zip(begins, [*begins[1:], len(tokens)], strict=True) if tokens else iter(())


def _begins_word(text: str) -> bool:
    """
    Say whether a token begins a word, or what stands for one.

    Thai is written without spaces, so that each of its tokens is one that does not begin with a sign
    which belongs to the letter before; else a whole phrase would be one word, and captions would
    wait for its end.
    """
    return text.startswith(" ") or ("\u0e01" <= text[:1] <= "\u0e4f" and text[0] not in _TRAILING)


def confidence_of(tokens: Sequence[Token]) -> float:
    """Return the geometric mean of the probabilities of at least one token."""
    return exp(fmean(token.log_probability for token in tokens))


def segment_of(spelled: Sequence[Spelled], tokens: Sequence[Token]) -> Segment:
    """Return at least one word as a segment."""
    return Segment(
        text="".join(one.piece for one in spelled),
        start=spelled[0].word.start,
        end=spelled[-1].word.end,
        words=tuple(one.word for one in spelled),
        avg_logprob=fmean(token.log_probability for token in tokens),
    )


def window_of(
    spelled: Sequence[Spelled], tokens: Sequence[Token], *, seconds: float, has_words: bool
) -> WindowHeard:
    """Return what was heard in a window, `seconds` of work having gone into all of them."""
    return WindowHeard(
        text="".join(one.piece for one in spelled),
        pieces=tuple(one.piece for one in spelled),
        words=tuple(one.word for one in spelled) if has_words else (),
        language=LANGUAGE,
        confidence=confidence_of(tokens) if spelled else None,
        seconds=seconds,
    )
