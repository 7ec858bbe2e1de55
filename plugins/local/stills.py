"""
stills: a camera that moves over the picture, on any machine, without a model.

Nothing in the picture moves by itself, and the sound is silence; the card says so. It is there so
that a fresh install makes real videos, and as the last candidate of a chain.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Final

from attrs import evolve
from msgspec import Meta, msgpack

from junctor.conf.settings import Count, Settings
from junctor.core.cards import Capability, ModelCard
from junctor.core.engine.spec import EngineSpec, EngineState, EngineStatus
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import ProviderRejectedError
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.workers.stills import Drawn, StillsArgs, StillsOptions

NAME: Final = "stills"
MODEL: Final = "camera-moves"
CARD: Final = ModelCard(
    provider=NAME,
    id=MODEL,
    capabilities=frozenset({Capability.GENERATE_VIDEO}),
    summary="A camera moves over the picture as the prompt says, in silence: no model runs.",
    quality=0.1,
    latency=4.0,
)
_SHARES: Final = {VideoStage.PREPARING: 0.0, VideoStage.ENCODING: 0.97}
"""How far a video is when a stage without steps begins; frames are drawn in between."""


class StillsSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.stills]`."""

    max_seconds: Annotated[int, Meta(ge=1, le=60)] = 10
    """Longest video, seconds."""
    threads: Count | None = None
    """Threads of the encoder; without, as many as there are cores, 8 at most."""


class StillsProvider:
    """One engine, in a process of its own, that makes one video after the other."""

    name = NAME

    def __init__(self, settings: StillsSettings) -> None:
        self._settings = settings
        self._card = evolve(CARD, max_seconds=float(settings.max_seconds))
        self._answer = msgpack.Decoder(Drawn)
        self._engine = Engine(
            EngineSpec(
                provider=NAME,
                model=MODEL,
                worker="junctor.plugins.local.workers.stills:StillsWorker",
                options=StillsOptions(threads=settings.threads),
                bounds=settings.bounds(),
            )
        )

    def models(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return (self._card,)

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

    async def generate_video(
        self, request: VideoRequest, report: Callable[[VideoProgress], None], /
    ) -> None:
        """Write the video; a cancel stops the work within a frame, and leaves no file."""
        self._check(request)
        args = StillsArgs(
            prompt=request.prompt,
            seconds=request.seconds,
            width=request.width,
            height=request.height,
            rate=request.rate,
            seed=request.seed,
            target=str(request.target),
        )
        if self._engine.status.state is not EngineState.READY:
            report(VideoProgress(stage=VideoStage.LOADING, share=0.0))
        job = self._engine.stream(args, answer=self._answer, payload=request.image)
        async with aclosing(job) as items:
            async for drawn in items:
                report(progress_of(drawn))

    def _check(self, request: VideoRequest) -> None:
        """
        Refuse what this engine cannot do.

        Raises:
            ProviderRejectedError: another model, or too long.

        """
        if request.model not in {"", MODEL}:
            reason = f"There is no model {request.model!r} here."
        elif request.seconds > self._settings.max_seconds:
            reason = f"It makes {self._settings.max_seconds} seconds of video at most."
        else:
            return
        raise ProviderRejectedError(reason, provider=NAME, model=MODEL)


def progress_of(drawn: Drawn) -> VideoProgress:
    """Turn what the worker tells into what every engine tells."""
    if drawn.of:
        share = _SHARES[VideoStage.ENCODING] * drawn.frames / drawn.of
        return VideoProgress(stage=drawn.stage, share=share, step=drawn.frames, steps=drawn.of)
    return VideoProgress(stage=drawn.stage, share=_SHARES[drawn.stage])


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[StillsProvider]:
    """Return the provider; it needs nothing that is not there."""
    return [StillsProvider(plugin_settings(settings, NAME, StillsSettings))]
