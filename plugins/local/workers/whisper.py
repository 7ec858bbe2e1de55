"""faster-whisper, inside its child process."""

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.vad import speech_spans
from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderRejectedError
from junctor.core.transcripts import Segment, Word
from junctor.plugins.local.workers.items import Aligned, Heard, SpeechItem, Spoken, WindowHeard
from junctor.plugins.local.workers.stretches import Span, join, split
from junctor.plugins.local.workers.whisper_align import align
from junctor.plugins.local.workers.whisper_args import WhisperArgs, WhisperOptions
from junctor.plugins.local.workers.whisper_ear import Ear
from junctor.plugins.local.workers.whisper_guards import check_folder, decoding, loading
from junctor.plugins.local.workers.whisper_windows import Windows

if TYPE_CHECKING:
    import numpy as np
    from faster_whisper.transcribe import Segment as FoundSegment
    from faster_whisper.transcribe import Word as FoundWord
    from numpy.typing import NDArray

Item = SpeechItem | WindowHeard | Aligned


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
        self.ear = Ear(self.model, is_short=options.short_context)
        self.windows = Windows(self.ear, options)

    def run(self, job: Job[WhisperArgs]) -> Generator[Item, None, None]:
        """Do what the job asks."""
        with decoding():
            match job.args.task:
                case "windows":
                    yield from self.windows.run(job)
                case "align":
                    yield from align(self.ear, job)
                case _:
                    yield from self._recording(job)

    def _recording(self, job: Job[WhisperArgs]) -> Generator[SpeechItem, None, None]:
        """Say the language, then, unless only that is asked, what each stretch of speech says."""
        import numpy as np

        args = job.args
        samples = np.frombuffer(job.payload, np.float32)
        self.ear.check(args.language)
        if args.task == "translate" and not self.ear.is_multilingual:
            raise ProviderRejectedError("This model cannot translate.", provider="")
        stretches = self._cut(samples)
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

    def _cut(self, samples: "NDArray[np.float32]") -> list[Span]:
        longest = min(self.options.longest or self.ear.window, self.ear.window)
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
        if not self.ear.is_multilingual:
            return Spoken(language="en", confidence=1.0)
        return self._detect(args, samples, stretches)

    def _detect(
        self, args: WhisperArgs, samples: "NDArray[np.float32]", stretches: list[Span]
    ) -> Spoken:
        import numpy as np

        speech = np.concatenate([sliced(samples, span) for span in stretches[:8]])
        speech = speech[: round(self.ear.window * SAMPLE_RATE)]
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
