"""Jobs of the other junctor: what is asked, and what is told of them."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import msgspec
from attrs import define
from msgspec import Raw

from junctor.core.net import Target
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.video.sizes import RATE, AspectRatio, Resolution, Size, size_of
from junctor.plugins.remote.vendor import rejected

SHAPES: Final[Mapping[Size, tuple[AspectRatio, Resolution]]] = {
    size_of(ratio, resolution): (ratio, resolution)
    for ratio in get_args(AspectRatio)
    for resolution in get_args(Resolution)
}
"""What the contract calls a size."""
_STAGES: Final[Mapping[str, VideoStage]] = {
    **{one.value: one for one in VideoStage},
    "starting": VideoStage.LOADING,
    "storing": VideoStage.ENCODING,
}


class Begun(msgspec.Struct):
    """A job that was submitted."""

    request_id: str


class File(msgspec.Struct):
    """Where a video is."""

    url: str


class Progress(msgspec.Struct):
    """How far a job is, as far as it tells."""

    stage: str | None = None
    percent: float | None = None
    step: int | None = None
    steps: int | None = None


class State(msgspec.Struct):
    """A job as it is now."""

    status: Literal["queued", "processing", "done", "failed", "canceled"]
    video: File | None = None
    progress: Raw = Raw()


@define(eq=False)
class Watch:
    """What is known of a job while it is waited for."""

    report: Callable[[VideoProgress], None]
    share: float = 0.0
    """As it was reported last; it does not go back."""
    was_alive: bool = False
    """Whether it was seen before it was over."""
    failing_since: float | None = None
    """When questions began to fail, loop time; None while they do not."""

    def see(self, state: State) -> None:
        """Report how far the job is."""
        self.was_alive = self.was_alive or state.status in {"queued", "processing"}
        if state.status != "processing":
            return
        told = _understood(state.progress)
        self.share = max(self.share, min(1.0, (told.percent or 0.0) / 100))
        steps = max(0, told.steps or 0)
        self.report(
            VideoProgress(
                stage=_STAGES.get(told.stage or "", VideoStage.GENERATING),
                share=self.share,
                step=min(max(0, told.step or 0), steps),
                steps=steps,
            )
        )


def wish_of(request: VideoRequest, model: str, target: Target) -> Mapping[str, object]:
    """
    Return the body of a submission.

    Raises:
        ProviderRejectedError: the contract has no such size or rate.

    """
    shape = SHAPES.get(Size(request.width, request.height))
    if shape is None or request.rate != RATE:
        size = f"{request.width}x{request.height} at {request.rate} frames per second"
        raise rejected(target, f"makes no videos of {size}")
    return {
        "model": model,
        "prompt": request.prompt,
        "image": {"url": f"data:image/png;base64,{b64encode(request.image).decode()}"},
        "duration": request.seconds,
        "aspect_ratio": shape[0],
        "resolution": shape[1],
        "seed": request.seed,
    }


def _understood(told: Raw) -> Progress:
    """Return what is told of the progress; nothing of what cannot be understood."""
    try:
        return msgspec.json.decode(told, type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Progress()
