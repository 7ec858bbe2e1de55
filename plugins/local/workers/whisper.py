"""faster-whisper, inside its child process."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from msgspec import Struct

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.vad import speech_spans
from junctor.core.engine.worker import Job
from junctor.core.errors import (
    ProviderBusyError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.transcripts import Segment, Word
from junctor.plugins.local.workers.items import Heard, SpeechItem, Spoken
from junctor.plugins.local.workers.stretches import Span, join, split

if TYPE_CHECKING:
    import numpy as np
    from faster_whisper.transcribe import Segment as FoundSegment
    from faster_whisper.transcribe import Word as FoundWord
    from numpy.typing import NDArray

REQUIRED: Final = ("model.bin", "config.json", "tokenizer.json")
"""Without its tokenizer, faster-whisper would go and ask a model hub for one."""
OUT_OF_MEMORY: Final = ("out of memory", "OUT_OF_MEMORY", "bad allocation", "cudaErrorMemory")


class WhisperOptions(Struct, frozen=True):
    """What is loaded and how it decodes."""

    path: str
    is_folder: bool
    device: str = "auto"
    device_index: int = 0
    compute_type: str = "default"
    cpu_threads: int = 0
    may_download: bool = False
    batch_size: int = 1
    beam_size: int = 5
    languages: tuple[str, ...] = ()
    """Whisper's codes of the languages that may be detected; empty for all."""
    vad_filter: bool = True
    longest: float | None = None
    """Longest stretch decoded at once, seconds; neighbours are joined up to it. None for the
    model's own window."""
    pause: float = 0.5
    """Silence that parts two stretches of speech, seconds."""
    fallback: tuple[float, ...] = ()
    """Temperatures tried one after another when a window decodes badly."""


class WhisperArgs(Struct, frozen=True):
    """One job; its payload is mono 16 kHz float32."""

    task: Literal["transcribe", "translate", "identify"] = "transcribe"
    language: str | None = None
    """Whisper's code; None to detect it."""
    allowed: tuple[str, ...] = ()
    """Whisper's codes to choose from when detecting; empty for any."""
    prompt: str | None = None
    temperature: float = 0.0
    word_timestamps: bool = False


class WhisperWorker:
    """One loaded model."""

    Options: ClassVar = WhisperOptions
    Args: ClassVar = WhisperArgs

    def __init__(self, options: WhisperOptions) -> None:
        if options.is_folder:
            check_folder(Path(options.path))
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        self.options = options
        with loading():
            self.model = WhisperModel(
                options.path,
                device=options.device,
                device_index=options.device_index,
                compute_type=options.compute_type,
                cpu_threads=options.cpu_threads,
                local_files_only=not options.may_download,
            )
        self.pipeline = BatchedInferencePipeline(self.model)
        self.window = float(self.model.feature_extractor.chunk_length)
        """Seconds the model hears at once."""
        self.is_multilingual = bool(self.model.model.is_multilingual)

    def run(self, job: Job[WhisperArgs]) -> Generator[SpeechItem, None, None]:
        """Say the language, then, unless only that is asked, what each stretch of speech says."""
        import numpy as np

        args = job.args
        samples = np.frombuffer(job.payload, np.float32)
        self._check_language(args)
        stretches = self._cut(samples)
        with decoding():
            spoken = self._language(args, samples, stretches)
            if spoken is not None:
                yield spoken
            if args.task == "identify" or spoken is None:
                return
            size = self.options.batch_size
            for first in range(0, len(stretches), size):
                job.check()
                group = stretches[first : first + size]
                for segment in self._decode(args, spoken.language, samples, group):
                    job.check()
                    yield Heard(segment=segment)

    def _check_language(self, args: WhisperArgs) -> None:
        known = self.model.supported_languages
        if args.language is not None and args.language not in known:
            raise ProviderRejectedError(
                f"This model does not know the language {args.language!r}.", provider=""
            )
        if args.task == "translate" and not self.is_multilingual:
            raise ProviderRejectedError("This model cannot translate.", provider="")

    def _cut(self, samples: "NDArray[np.float32]") -> list[Span]:
        longest = min(self.options.longest or self.window, self.window)
        if self.options.vad_filter:
            spans = speech_spans(samples, min_silence=self.options.pause, pad=0.2)
        else:
            spans = [(0.0, len(samples) / SAMPLE_RATE)] if len(samples) else []
        return join(split(samples, spans, longest=longest), longest=longest)

    def _language(
        self, args: WhisperArgs, samples: "NDArray[np.float32]", stretches: list[Span]
    ) -> Spoken | None:
        if not stretches:
            if args.task == "identify":
                raise ProviderRejectedError(
                    "No speech is heard in the recording, so its language is unknown.", provider=""
                )
            return None
        if args.language is not None:
            return Spoken(language=args.language)
        if not self.is_multilingual:
            return Spoken(language="en", confidence=1.0)
        return self._detect(args, samples, stretches)

    def _detect(
        self, args: WhisperArgs, samples: "NDArray[np.float32]", stretches: list[Span]
    ) -> Spoken:
        import numpy as np

        speech = np.concatenate([sliced(samples, span) for span in stretches[:8]])
        speech = speech[: round(self.window * SAMPLE_RATE)]
        _, _, found = self.model.detect_language(audio=speech)
        allowed = set(args.allowed or self.options.languages)
        known = {code: p for code, p in found if not allowed or code in allowed}
        if not known:
            raise ProviderRejectedError(
                "This model knows none of the languages to choose from.", provider=""
            )
        language = max(known, key=known.__getitem__)
        return Spoken(language=language, confidence=known[language] / (sum(known.values()) or 1.0))

    def _decode(
        self, args: WhisperArgs, language: str, samples: "NDArray[np.float32]", group: list[Span]
    ) -> Iterator[Segment]:
        if len(group) > 1:
            yield from self._decode_batch(args, language, samples, group)
            return
        for span in group:
            fallback = () if args.temperature else self.options.fallback
            found, _ = self.model.transcribe(
                sliced(samples, span),
                language=language,
                task=args.task,
                beam_size=self.options.beam_size,
                temperature=[args.temperature, *fallback],
                initial_prompt=args.prompt,
                word_timestamps=args.word_timestamps,
                condition_on_previous_text=False,
                vad_filter=False,
            )
            yield from placed(found, span[0], span[1])

    def _decode_batch(
        self, args: WhisperArgs, language: str, samples: "NDArray[np.float32]", group: list[Span]
    ) -> Iterator[Segment]:
        """
        Decode several windows at once.

        Without timestamps: the pipeline drops what follows the last one in a window.
        """
        found, _ = self.pipeline.transcribe(
            samples,
            language=language,
            task=args.task,
            beam_size=self.options.beam_size,
            temperature=args.temperature,
            initial_prompt=args.prompt,
            word_timestamps=args.word_timestamps,
            without_timestamps=True,
            vad_filter=False,
            clip_timestamps=[{"start": start, "end": end} for start, end in group],
            batch_size=len(group),
        )
        yield from placed(found, 0.0, len(samples) / SAMPLE_RATE)


def sliced(samples: "NDArray[np.float32]", span: Span) -> "NDArray[np.float32]":
    """Return the samples of a span (seconds)."""
    return samples[round(span[0] * SAMPLE_RATE) : round(span[1] * SAMPLE_RATE)]


def placed(found: "Iterable[FoundSegment]", offset: float, end: float) -> Iterator[Segment]:
    """Turn found segments into ours: moved by `offset`, kept in order, ending by `end` (seconds)."""
    last = offset
    for one in found:
        text = one.text.strip()
        if not text:
            continue
        start = min(max(float(one.start) + offset, last), end)
        stop = min(max(float(one.end) + offset, start), end)
        words = tuple(placed_words(one.words or (), offset, (start, stop)))
        yield Segment(
            text=text,
            start=start,
            end=stop,
            words=words,
            avg_logprob=float(one.avg_logprob),
            no_speech_prob=float(one.no_speech_prob),
            compression_ratio=float(one.compression_ratio),
            temperature=None if one.temperature is None else float(one.temperature),
            tokens=tuple(map(int, one.tokens)),
        )
        last = stop


def placed_words(found: "Iterable[FoundWord]", offset: float, within: Span) -> Iterator[Word]:
    """Turn found words into ours: stripped, in order, inside their segment (seconds)."""
    last, end = within
    for one in found:
        if text := one.word.strip():
            start = min(max(float(one.start) + offset, last), end)
            last = min(max(float(one.end) + offset, start), end)
            confidence = min(max(float(one.probability), 0.0), 1.0)
            yield Word(text=text, start=start, end=last, confidence=confidence)


def check_folder(folder: Path) -> None:
    """
    Make sure that a model folder has what is needed.

    Raises:
        ProviderUnavailableError: it has not; the path is only printed, for the operator's log.

    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - the log of a child
        what = "is missing" if len(missing) == len(REQUIRED) else f"lacks {', '.join(missing)}"
        raise ProviderUnavailableError(f"The model's folder {what}.", provider="")


@contextmanager
def loading() -> Iterator[None]:
    """Say why a model cannot be loaded, without saying where it lies."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log of a child
        if is_out_of_memory(error):
            raise ProviderBusyError(
                "The device has no memory for this model.", provider=""
            ) from error
        if type(error).__name__ == "LocalEntryNotFoundError":
            reason = "The model is not on this machine: allow `download`, or give a folder."
        else:
            reason = "The model cannot be loaded: it is damaged, or does not fit the device."
        raise ProviderUnavailableError(reason, provider="") from error


@contextmanager
def decoding() -> Iterator[None]:
    """Tell a device out of memory, which another candidate may serve, from a defect."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ProviderBusyError("The device is out of memory.", provider="") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether a native library complains about memory."""
    return any(sign in str(error) for sign in OUT_OF_MEMORY)
