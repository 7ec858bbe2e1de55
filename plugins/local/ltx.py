"""
LTX-2.3 on this machine, through diffusers: a picture set in motion, with sound.

One supervised process does all variants, one video at a time: they are the same weights, and a GPU
has room for one. Without a `[plugins.ltx]` table that names the weights' folder it sits out.
"""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import aclosing

from msgspec import msgpack

from junctor.conf.settings import Settings
from junctor.core.cards import ModelCard
from junctor.core.engine.spec import EngineSpec, EngineState, EngineStatus
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import NotConfiguredError, ProviderRejectedError
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.plugins.local.ltx_settings import NAME, LtxSettings, Offered, offered
from junctor.plugins.local.workers.ltx_args import LtxArgs, Made


class LtxProvider:
    """The variants of LTX-2.3 that the weights here allow."""

    name = NAME

    def __init__(self, settings: LtxSettings) -> None:
        self._settings = settings
        self._offered = offered(settings)
        self._answer = msgpack.Decoder(Made)
        self._engine = Engine(
            EngineSpec(
                provider=NAME,
                model=settings.device,
                worker="junctor.plugins.local.workers.ltx:LtxWorker",
                options=settings.options(),
                environ={
                    "HF_HUB_OFFLINE": "1",
                    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
                },
                bounds=settings.bounds(),
            )
        )

    def models(self) -> Sequence[ModelCard]:
        """Return the card of each variant."""
        return tuple(one.card for one in self._offered.values())

    def engines(self) -> dict[str, EngineStatus]:
        """Return how the one engine is, by model id."""
        return dict.fromkeys(self._offered, self._engine.status)

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
        """Make a video with sound; nothing of it is read before it is whole."""
        one = self._find(request)
        if self._engine.status.state is not EngineState.READY:
            report(VideoProgress(stage=VideoStage.LOADING, share=0.0))
        args = LtxArgs(
            target=str(request.target),
            prompt=request.prompt,
            width=request.width,
            height=request.height,
            frames=request.seconds * request.rate,
            rate=request.rate,
            seed=request.seed,
            variant=one.variant,
        )
        reached = 0.0
        job = self._engine.stream(args, answer=self._answer, payload=request.image)
        async with aclosing(job) as stream:
            async for made in stream:
                reached = max(reached, made.share)
                report(
                    VideoProgress(stage=made.stage, share=reached, step=made.step, steps=made.steps)
                )

    def _find(self, request: VideoRequest) -> Offered:
        """
        Return the variant that is asked for.

        Raises:
            ProviderRejectedError: there is none of that id, or the video is too long for it.

        """
        one = self._offered.get(request.model)
        if one is None:
            reason = f"There is no model {request.model!r} here, only {', '.join(self._offered)}."
        elif request.seconds > self._settings.max_seconds:
            reason = f"It makes videos of up to {self._settings.max_seconds:g} seconds."
        else:
            return one
        raise ProviderRejectedError(reason, provider=NAME, model=request.model)


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[LtxProvider]:
    """Return the provider, or say what it lacks."""
    own = plugin_settings(settings, NAME, LtxSettings)
    if not (own.base or own.distilled):
        raise NotConfiguredError(
            "No weights are set: plugins.ltx.base or plugins.ltx.distilled names their folder."
        )
    for package in ("diffusers", "torch"):
        if importlib.util.find_spec(package) is None:
            raise NotConfiguredError(
                f"{package} is not installed. Install it with: pip install 'junctor[ltx]'"
            )
    return [LtxProvider(own)]
