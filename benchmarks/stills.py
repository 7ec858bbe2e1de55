"""
What a video by `stills` takes: seconds of work for each second of video, and memory.

    python -m benchmarks.stills [--rounds 3] [--quick]

`straight` (a zoom) and `askew` (a rotation) are our provider, its engine in a child. `libx264` is
the bare encoder in this process, by the same settings, over the very frames of the zoom, which are
there already; `zoompan` is ffmpeg's own filter for such a zoom, and the same encoder. They take
turns. CPU is what counts on a busy machine: half of it is the time that two idle cores take.
"""

import argparse
import asyncio
import io
import os
import resource
import subprocess
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.engines import cpu_of
from junctor.core.requests import VideoRequest
from junctor.core.video.mp4 import VIDEO_OPTIONS
from junctor.core.video.sizes import RATE, Resolution, Size, size_of
from junctor.plugins.local.stills import MODEL, StillsProvider, StillsSettings
from junctor.plugins.local.workers.stills_frames import Drawing
from junctor.plugins.local.workers.stills_moves import path_of

ZOOM, TURN = "zoom in", "rotate"


@frozen
class Took:
    """One run: seconds by the clock, and of CPU."""

    wall: float
    cpu: float


def picture(size: Size) -> Image.Image:
    """Return a picture with broad shapes, edges and grain, about as hard to encode as a photograph."""
    random = np.random.default_rng(7)
    broad = Image.fromarray(random.integers(0, 255, (9, 16, 3), np.uint8))
    whole = np.asarray(broad.resize((size.width, size.height), Image.Resampling.BICUBIC), float)
    grain = Image.fromarray(random.integers(0, 255, (size.height, size.width), np.uint8))
    soft = np.asarray(grain.filter(ImageFilter.GaussianBlur(2)), float) - 128
    y, x = np.mgrid[: size.height, : size.width]
    boxes = 40.0 * (((x // 97) + (y // 71)) % 2)
    return Image.fromarray(np.clip(whole + (soft + boxes)[..., None], 0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    """Return the picture as requests carry it."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


class Bench:
    """One size and length, and the ways of making it."""

    def __init__(self, provider: StillsProvider, folder: Path, size: Size, seconds: int) -> None:
        self._provider = provider
        self._folder = folder
        self._size = size
        self._count = seconds * RATE
        image = picture(size)
        self._file = folder / "picture.png"
        self._file.write_bytes(png(image))
        self._frames = self._drawn(image)
        self._seconds = seconds

    async def ours(self, prompt: str) -> Took:
        """Have the provider make it."""
        engine = self._provider.engines()[MODEL]
        assert engine.pid is not None
        before, began = cpu_of(engine.pid), time.perf_counter()
        await self._provider.generate_video(
            VideoRequest(
                image=self._file.read_bytes(), prompt=prompt, seconds=self._seconds,
                width=self._size.width, height=self._size.height,
                target=self._folder / "ours.mp4",
            ),
            lambda _: None,
        )  # fmt: skip
        return Took(time.perf_counter() - began, cpu_of(engine.pid) - before)

    def bare(self) -> Took:
        """Encode the frames that are there."""
        before, began = time.process_time(), time.perf_counter()
        with av.open(str(self._folder / "bare.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=RATE, options=VIDEO_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = (
                self._size.width, self._size.height, "yuv420p",
            )  # fmt: skip
            stream.codec_context.thread_count = min(os.cpu_count() or 1, 8)
            for number, planes in enumerate(self._frames):
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        return Took(time.perf_counter() - began, time.process_time() - before)

    def zoompan(self) -> Took:
        """Have ffmpeg do it."""
        size = f"{self._size.width}x{self._size.height}"
        zoom = f"zoompan=z='1+0.22*on/{self._count}':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2'"
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-i", str(self._file), "-vf",
             f"{zoom}:d={self._count}:s={size}:fps={RATE},format=yuv420p", "-c:v", "libx264",
             *(part for name, value in VIDEO_OPTIONS.items() for part in (f"-{name}:v", value)),
             str(self._folder / "zoompan.mp4")],
            check=True,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Took(time.perf_counter() - began, cpu)

    def _drawn(self, image: Image.Image) -> list[NDArray[np.uint8]]:
        drawing = Drawing(image)
        path = path_of(ZOOM, seed=0, aspect=self._size.width / self._size.height)
        last = self._count - 1
        return [drawing.frame(path.at(number / last)) for number in range(self._count)]


async def compare(provider: StillsProvider, folder: Path, *, rounds: int, quick: bool) -> None:
    """Print how long each way takes, in interleaved rounds."""
    print(f"{'':22} {'CPU s / s of video':>20} {'of libx264':>11} {'wall s / s of video':>20}")
    lengths: list[tuple[Resolution, int]] = [("480p", 5), ("720p", 5), ("480p", 10), ("720p", 10)]
    for resolution, seconds in lengths[: 1 if quick else None]:
        bench = Bench(provider, folder, size_of("16:9", resolution), seconds)
        ways: dict[str, Callable[[], Awaitable[Took]]] = {
            "libx264": partial(asyncio.to_thread, bench.bare),
            "zoompan": partial(asyncio.to_thread, bench.zoompan),
            "straight": partial(bench.ours, ZOOM),
            "askew": partial(bench.ours, TURN),
        }
        took: dict[str, list[Took]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                took[name].append(await way())
        bare = median(one.cpu for one in took["libx264"])
        for name, runs in took.items():
            cpu, wall = median(one.cpu for one in runs), median(one.wall for one in runs)
            print(
                f"{resolution} {seconds:3} s {name:>10} {cpu / seconds:20.2f} {cpu / bare:11.2f} "
                f"{wall / seconds:20.2f}"
            )


async def remember(folder: Path, *, quick: bool) -> None:
    """Print the peak memory of a fresh child for each length, 720p."""
    size = size_of("16:9", "720p")
    image = png(picture(size))
    for prompt in (ZOOM, TURN):
        for seconds in (5,) if quick else (5, 10, 60):
            provider = StillsProvider(StillsSettings(max_seconds=60))
            request = VideoRequest(
                image=image, prompt=prompt, seconds=seconds, width=size.width, height=size.height,
                target=folder / "memory.mp4",
            )  # fmt: skip
            await provider.generate_video(request, lambda _: None)
            peak = peak_of(provider.engines()[MODEL].pid)
            await provider.close()
            print(f"720p {seconds:3} s {prompt:>10}: {peak:.0f} MiB at most")


def peak_of(pid: int | None) -> float:
    """Return the most memory that a process ever had resident, MiB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run; its figures mean nothing"
    )
    chosen = parser.parse_args()
    provider = StillsProvider(StillsSettings(preload=True, max_seconds=60))
    with TemporaryDirectory() as name:
        await provider.start()
        try:
            rounds = 1 if chosen.quick else chosen.rounds
            await compare(provider, Path(name), rounds=rounds, quick=chosen.quick)
        finally:
            await provider.close()
        await remember(Path(name), quick=chosen.quick)


if __name__ == "__main__":
    asyncio.run(main())
