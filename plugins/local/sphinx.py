"""
pocketsphinx: general English with the model its wheel carries, on any machine, at modest quality.

Its card says `low`: about two words in three are wrong on telephone speech. It is there so that a
fresh install answers something real, and as the last candidate of a chain.
"""

import importlib.util
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import msgpack

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.engine.spec import EngineSpec, EngineStatus
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import NotConfiguredError, ProviderRejectedError
from junctor.core.hooks import hookimpl
from junctor.core.locales import understands
from junctor.core.plugins import plugin_settings
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.transcripts import Transcript, TranscriptEvent
from junctor.plugins.local.hearing import events, last
from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.workers.items import SpeechItem
from junctor.plugins.local.workers.sphinx import SphinxArgs, SphinxOptions

NAME: Final = "sphinx"
MODEL: Final = "en-us"
CARD: Final = ModelCard(
    provider=NAME,
    id=MODEL,
    capabilities=frozenset({Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE}),
    summary="pocketsphinx with its bundled US English model: many words are wrong.",
    locales=frozenset({"en"}),
    features=frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS}),
    quality=0.2,
    latency=2.0,
    tiers=frozenset({Tier.LOW}),
)


class SphinxSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.sphinx]`."""


class SphinxProvider:
    """One English recogniser in a process of its own."""

    name = NAME

    def __init__(self, settings: SphinxSettings) -> None:
        self._settings = settings
        self._answer = msgpack.Decoder(SpeechItem)
        self._engine = Engine(
            EngineSpec(
                provider=NAME,
                model=MODEL,
                worker="junctor.plugins.local.workers.sphinx:SphinxWorker",
                options=SphinxOptions(),
                bounds=settings.bounds(),
            )
        )

    def models(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return (CARD,)

    def engines(self) -> dict[str, EngineStatus]:
        """Return how the engine is, by model id."""
        return {MODEL: self._engine.status}

    async def start(self) -> None:
        """Load now if so set."""
        if self._settings.preload:
            await self._engine.preload()

    async def close(self) -> None:
        """End the process."""
        await self._engine.close()

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """Write down English speech; every word has its time and confidence."""
        async with aclosing(self.stream_transcribe(request)) as stream:
            return await last(stream)

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """Yield each stretch of speech as soon as it is decoded."""
        check(request)
        samples = await request.audio.samples()
        job = self._engine.stream(SphinxArgs(), answer=self._answer, payload=samples.data)
        async with aclosing(events(job)) as stream:
            async for event in stream:
                yield event


def check(request: TranscribeRequest) -> None:
    """
    Refuse what this engine cannot do.

    Raises:
        ProviderRejectedError: another language, or a translation.

    """
    if request.language is not None and not understands(CARD.locales, request.language):
        reason = f"pocketsphinx understands English, not {request.language!r}."
    elif request.task is Task.TRANSLATE:
        reason = "pocketsphinx cannot translate."
    else:
        return
    raise ProviderRejectedError(reason, provider=NAME, model=MODEL)


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[SphinxProvider]:
    """Return the provider, or say which extra is missing."""
    for package in ("pocketsphinx", "faster_whisper"):  # the latter carries the speech detector
        if importlib.util.find_spec(package) is None:
            raise NotConfiguredError(
                f"{package} is not installed. Install it with: pip install 'junctor[sphinx]'"
            )
    return [SphinxProvider(plugin_settings(settings, NAME, SphinxSettings))]
