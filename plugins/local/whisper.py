"""
Whisper on this machine, through faster-whisper: one supervised process for each model.

Without a `[plugins.whisper]` table it serves `junctor-tiny`, which the package carries. Any other
model is a folder or a hub name in `[plugins.whisper.models."<id>"]`.
"""

import importlib.util
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import msgpack

from junctor.conf.settings import Settings
from junctor.core.engine.spec import EngineSpec
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import (
    NotConfiguredError,
    ProviderAnswerError,
)
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.core.requests import (
    AlignRequest,
    Identification,
    IdentifyRequest,
    TranscribeRequest,
    WindowsRequest,
)
from junctor.core.transcripts import Alignment, Transcript, TranscriptEvent, WindowTranscript
from junctor.plugins.local.hearing import events, last
from junctor.plugins.local.languages import code_of, tag_of
from junctor.plugins.local.served import Served, ServedModels
from junctor.plugins.local.whisper_requests import align_asked, asked, refusal, window_asked
from junctor.plugins.local.whisper_settings import (
    NAME,
    WhisperModelSettings,
    WhisperSettings,
    card_of,
    kind_of,
    location,
)
from junctor.plugins.local.windows import check_windows, window_transcripts
from junctor.plugins.local.workers.items import Aligned, SpeechItem, Spoken, WindowHeard
from junctor.plugins.local.workers.whisper_args import WhisperArgs, WhisperOptions

_HUB_VARIABLES: Final = frozenset(
    ("ALL_PROXY", "HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
     "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "https_proxy", "http_proxy", "no_proxy")
)  # fmt: skip
"""What a download needs of our environment; only a model that may download gets them."""


class WhisperProvider(ServedModels):
    """All Whisper models of this deployment that run here."""

    name = NAME

    def __init__(self, settings: WhisperSettings) -> None:
        self._answer = msgpack.Decoder(SpeechItem)
        self._heard = msgpack.Decoder(WindowHeard)
        self._aligned = msgpack.Decoder(Aligned)
        served = {
            model: Served(
                card=card_of(model, one), engine=Engine(spec_of(model, one)), preloads=one.preload
            )
            for model, one in settings.models.items()
        }
        super().__init__(served)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """Write down a recording, or say it in English."""
        async with aclosing(self.stream_transcribe(request)) as stream:
            return await last(stream)

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """Yield each segment as soon as it is decoded."""
        served = self.find(request.model)
        args = asked(request, served.card)
        samples = await request.audio.samples()
        job = served.engine.stream(args, answer=self._answer, payload=samples.data)
        async with aclosing(events(job)) as stream:
            async for event in stream:
                yield event

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        """Write down short stretches of speech, all in one go."""
        served = self.find(request.model)
        check_windows(request, served.card)
        windows = tuple(window_asked(window, served.card) for window in request.windows)
        payload = b"".join(window.pcm for window in request.windows)
        args = WhisperArgs(task="windows", windows=windows)
        heard = await served.engine.run(args, answer=self._heard, payload=payload, is_urgent=True)
        return window_transcripts(heard, request, served.card)

    async def align(self, request: AlignRequest, /) -> Alignment:
        """Find given words in a recording, and say how surely each is said."""
        served = self.find(request.model)
        args = align_asked(request, served.card)
        samples = await request.audio.samples()
        items = await served.engine.run(
            args, answer=self._aligned, payload=samples.data, is_urgent=True
        )
        match items:
            case [Aligned(words=words, confidence=confidence)]:
                return Alignment(words=words, confidence=confidence)
            case _:
                raise ProviderAnswerError(
                    "The engine aligned nothing.", provider=NAME, model=served.card.id
                )

    async def identify_language(self, request: IdentifyRequest, /) -> Identification:
        """Say which of the allowed languages is spoken, by the first half minute of speech."""
        served = self.find(request.model)
        codes = {code_of(tag): tag for tag in sorted(request.allowed)}
        allowed = tuple(code for code in codes if code is not None)
        if request.allowed and not allowed:
            raise refusal(served.card, "Whisper knows none of the languages to choose from.")
        args = WhisperArgs(task="identify", allowed=allowed)
        samples = await request.audio.samples()
        items = await served.engine.run(args, answer=self._answer, payload=samples.data)
        match items:
            case [Spoken(language=code, confidence=confidence)]:
                language = codes.get(code) or tag_of(code)
                return Identification(language=language, confidence=confidence or 0.0)
            case _:
                raise ProviderAnswerError(
                    "The engine named no language.", provider=NAME, model=served.card.id
                )


def spec_of(model: str, settings: WhisperModelSettings) -> EngineSpec:
    """Return how the engine of a model is started."""
    kind = kind_of(model, settings)
    path, is_folder = location(settings)
    tags = kind.languages if settings.languages is None else settings.languages
    fallback = settings.fallback_temperatures
    is_short = kind.short_context if settings.short_windows is None else settings.short_windows
    options = WhisperOptions(
        path=path,
        is_folder=is_folder,
        device=settings.device,
        device_index=settings.device_index,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads,
        may_download=settings.download,
        batch_size=settings.batch_size,
        beam_size=settings.beam_size or kind.beam_size,
        languages=tuple(code for tag in tags if (code := code_of(tag))),
        vad_filter=settings.vad_filter,
        longest=settings.longest or kind.longest,
        pause=kind.pause,
        fallback=kind.fallback if fallback is None else fallback,
        window_batch=settings.window_batch,
        short_context=is_short,
    )
    return EngineSpec(
        provider=NAME,
        model=model,
        worker="junctor.plugins.local.workers.whisper:WhisperWorker",
        options=options,
        environ={} if settings.download else {"HF_HUB_OFFLINE": "1"},
        inherit=_HUB_VARIABLES if settings.download else frozenset(),
        bounds=settings.bounds(),
    )


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[WhisperProvider]:
    """Return the provider, or say which extra is missing."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise NotConfiguredError(
            "faster-whisper is not installed. Install it with: pip install 'junctor[whisper]'"
        )
    return [WhisperProvider(plugin_settings(settings, NAME, WhisperSettings))]
