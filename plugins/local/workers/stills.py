"""A camera that moves over a picture, inside its child process; no model runs."""

import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from msgspec import Struct

from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError
from junctor.core.requests import VideoStage
from junctor.core.video.mp4 import Mp4Writer
from junctor.plugins.local.workers.stills_frames import Drawing
from junctor.plugins.local.workers.stills_moves import path_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

AUDIO_RATE: Final = 48_000
"""Hz."""
AHEAD: Final = 2
"""Frames drawn while one is encoded, each by a thread."""
NICE: Final = 15
"""By how much the threads step back behind those of the server."""
TOLD: Final = 6
"""Frames between two reports: a quarter of a second of video."""


class StillsOptions(Struct, frozen=True):
    """What the engine is built from."""

    threads: int | None = None
    """Of the encoder; None for as many as there are cores, 8 at most."""


class StillsArgs(Struct, frozen=True):
    """A job; its payload is the picture, a PNG of the video's size."""

    prompt: str
    seconds: int
    width: int
    height: int
    rate: int
    seed: int
    target: str
    """Path of the MP4."""


class Drawn(Struct, frozen=True):
    """How far a job is."""

    stage: VideoStage
    frames: int = 0
    """Of the stage, so far."""
    of: int = 0
    """In all."""


class StillsWorker:
    """Draws frames in threads and encodes them as they come; the sound is silence."""

    Options: ClassVar = StillsOptions
    Args: ClassVar = StillsArgs

    def __init__(self, options: StillsOptions) -> None:
        import av  # noqa: F401 - imported now, so that the first job need not wait for it
        import PIL.PngImagePlugin  # noqa: F401

        self._threads = options.threads
        if hasattr(
            os, "nice"
        ):  # it takes all cores there are, and whoever asks the server goes first
            os.nice(NICE)

    def run(self, job: Job[StillsArgs]) -> Generator[Drawn, None, None]:
        """Write one video."""
        import numpy as np

        args = job.args
        yield Drawn(stage=VideoStage.PREPARING)
        drawing = Drawing(picture_in(job.payload, args))
        count = args.seconds * args.rate
        silence = np.zeros((2, AUDIO_RATE // args.rate), np.float32)
        with writing(), Mp4Writer(
            Path(args.target),
            width=args.width, height=args.height, rate=args.rate, audio_rate=AUDIO_RATE,
            threads=self._threads,
        ) as mp4:  # fmt: skip
            for number, planes in enumerate(frames(drawing, args, count)):
                job.check()
                if number % TOLD == 0:
                    yield Drawn(stage=VideoStage.GENERATING, frames=number, of=count)
                mp4.planes(planes)
                mp4.sound(silence)
            yield Drawn(stage=VideoStage.ENCODING)


def frames(drawing: Drawing, args: StillsArgs, count: int) -> "Iterator[NDArray[np.uint8]]":
    """Yield the frames in order, the next ones being drawn meanwhile."""
    path = path_of(args.prompt, seed=args.seed, aspect=args.width / args.height)
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for number in range(count):
            corners = path.at(number / max(count - 1, 1))
            waiting.append(pool.submit(drawing.frame, corners))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def picture_in(payload: bytearray, args: StillsArgs) -> "Image":
    """
    Decode the first frame.

    Raises:
        ProviderRejectedError: it is no PNG, or not of the video's size.

    """
    from PIL import Image

    try:
        with Image.open(BytesIO(payload), formats=["PNG"]) as picture:
            if picture.size != (args.width, args.height):
                raise ProviderRejectedError("The picture is not of the video's size.", provider="")
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ProviderRejectedError("The picture cannot be decoded.", provider="") from exc


@contextmanager
def writing() -> Iterator[None]:
    """Say why a file cannot be written, without saying where."""
    try:
        yield
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else type(exc).__name__
        raise ProviderUnavailableError(
            f"The video cannot be written ({why}).", provider=""
        ) from exc
