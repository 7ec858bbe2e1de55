"""
Typhoon ASR (scb10x/typhoon-asr-realtime): Thai, by a FastConformer transducer in sherpa-onnx.

Each `[plugins.typhoon.models."<id>"]` names the folder of an export, and is served by a supervised
process of its own. Nothing is ever downloaded.
"""

import importlib.util
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import msgpack

from junctor.conf.settings import Settings
from junctor.core.cards import ModelCard
from junctor.core.engine.spec import EngineSpec
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import NotConfiguredError, ProviderRejectedError
from junctor.core.hooks import hookimpl
from junctor.core.locales import understands
from junctor.core.plugins import plugin_settings
from junctor.core.requests import Task, TranscribeRequest, WindowsRequest
from junctor.core.transcripts import Transcript, TranscriptEvent, WindowTranscript
from junctor.plugins.local.hearing import events, last
from junctor.plugins.local.served import Served, ServedModels
from junctor.plugins.local.typhoon_settings import (
    EXAMPLE,
    NAME,
    TyphoonModelSettings,
    TyphoonSettings,
    card_of,
)
from junctor.plugins.local.windows import check_windows, samples_in, window_transcripts
from junctor.plugins.local.workers.items import SpeechItem, WindowHeard
from junctor.plugins.local.workers.typhoon import TyphoonArgs, TyphoonOptions, WindowArgs


class TyphoonProvider(ServedModels):
    """All exported transducers of this deployment."""

    name = NAME

    def __init__(self, settings: TyphoonSettings) -> None:
        self._answer = msgpack.Decoder(SpeechItem)
        self._window_answer = msgpack.Decoder(WindowHeard)
        served = {
            model: Served(
                card=card_of(model, one), engine=Engine(spec_of(model, one)), preloads=one.preload
            )
            for model, one in settings.models.items()
        }
        super().__init__(served)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """Write down Thai speech; every word has its time and confidence."""
        async with aclosing(self.stream_transcribe(request)) as stream:
            return await last(stream)

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """Yield each stretch of speech as soon as it is decoded."""
        served = self.find(request.model)
        check(request, served.card)
        samples = await request.audio.samples()
        job = served.engine.stream(TyphoonArgs(), answer=self._answer, payload=samples.data)
        async with aclosing(events(job)) as stream:
            async for event in stream:
                yield event

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        """Write down windows of many sessions in one job of the engine."""
        served = self.find(request.model)
        check_windows(request, served.card)
        windows = tuple(
            WindowArgs(samples=samples_in(window), has_words=window.word_timestamps)
            for window in request.windows
        )
        heard = await served.engine.run(
            TyphoonArgs(windows=windows),
            answer=self._window_answer,
            payload=b"".join(window.pcm for window in request.windows),
            is_urgent=True,
        )
        return window_transcripts(heard, request, served.card)


def check(request: TranscribeRequest, card: ModelCard) -> None:
    """
    Refuse what these models cannot do.

    Raises:
        ProviderRejectedError: another language, or a translation.

    """
    if request.language is not None and not understands(card.locales, request.language):
        reason = f"This model understands Thai, not {request.language!r}."
    elif request.task is Task.TRANSLATE:
        reason = "This model cannot translate."
    else:
        return
    raise ProviderRejectedError(reason, provider=NAME, model=card.id)


def spec_of(model: str, settings: TyphoonModelSettings) -> EngineSpec:
    """Return how the engine of a model is started."""
    return EngineSpec(
        provider=NAME,
        model=model,
        worker="junctor.plugins.local.workers.typhoon:TyphoonWorker",
        options=TyphoonOptions(
            path=settings.folder,
            cpu_threads=settings.cpu_threads,
            longest=settings.window_seconds,
        ),
        bounds=settings.bounds(),
    )


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[TyphoonProvider]:
    """Return the provider, or say what it lacks: a model, or the extra."""
    table = plugin_settings(settings, NAME, TyphoonSettings)
    if not table.models:
        raise NotConfiguredError(
            "no model: set `path` to the folder of its sherpa-onnx export in "
            f'[plugins.{NAME}.models."{EXAMPLE}"]'
        )
    for package in ("sherpa_onnx", "faster_whisper"):  # the latter carries the speech detector
        if importlib.util.find_spec(package) is None:
            raise NotConfiguredError(
                f"{package} is not installed. Install it with: pip install 'junctor[typhoon]'"
            )
    return [TyphoonProvider(table)]
