"""
Frames and sound written to an MP4 as they come: H.264 and AAC, the index in front.

Sound is encoded no further than the frames have come, so both lie side by side in the file, and
what is kept in memory does not grow with the length of the video.
"""

import os
from collections import deque
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

AUDIO_BITS: Final = 128_000
"""Bits per second of the sound."""
GOP_SECONDS: Final = 2
"""Between two frames at which a player can start, at most."""
VIDEO_OPTIONS: Final = {"preset": "veryfast", "crf": "18", "profile": "high"}
"""Of libx264. On two cores, `faster` takes nearly twice the time; 18 is taken for visually lossless."""
MOST_THREADS: Final = 8
"""Each of them costs memory, and 720p gains nothing from more."""


class Mp4Writer:
    """
    One file that is being written; blocks, and belongs in a thread or an engine's process.

    Leaving the block finishes the file; leaving it by an error removes it.

    Args:
        path: of the file; one that is there is overwritten.
        width: pixels, even.
        height: pixels, even.
        rate: frames per second.
        audio_rate: of the sound, Hz.
        threads: of the video encoder; None for as many as there are cores, 8 at most.

    Raises:
        ValueError: a side is odd, or not above zero.
        OSError: the file cannot be written, now or later; then none is left.

    """

    def __init__(
        self, path: Path, *, width: int, height: int, rate: int, audio_rate: int = 48_000,
        threads: int | None = None,
    ) -> None:  # fmt: skip
        if min(width, height) < 2 or width % 2 or height % 2:  # noqa: PLR2004 - even, above zero
            raise ValueError(f"H.264 takes even sides only, not {width} x {height}.")
        import av

        self._path = path
        self._size = (width, height)
        self._rate = rate
        self._audio_rate = audio_rate
        self._frames = 0
        self._sounded = 0
        self._ahead: deque[NDArray[np.float32]] = deque()
        path.open("wb").close()  # whether it can be written is said in plain words of the system
        self._file = av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._file.add_stream("libx264", rate=rate, options=VIDEO_OPTIONS)
        self._audio = self._file.add_stream("aac", rate=audio_rate)
        self._set_up(threads or min(os.cpu_count() or 1, MOST_THREADS))

    def _set_up(self, threads: int) -> None:
        from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

        video = self._video.codec_context
        video.width, video.height = self._size
        video.pix_fmt = "yuv420p"
        video.gop_size = GOP_SECONDS * self._rate
        video.thread_count = threads
        video.color_primaries = ColorPrimaries.BT709
        video.color_trc = ColorTrc.BT709
        video.colorspace = Colorspace.ITU709
        video.color_range = ColorRange.MPEG
        self._audio.bit_rate = AUDIO_BITS
        self._audio.codec_context.layout = "stereo"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def frame(self, pixels: "NDArray[np.uint8]") -> None:
        """
        Write the next frame.

        Args:
            pixels: RGB, of shape (height, width, 3).

        Raises:
            ValueError: another shape.
            OSError: it cannot be written.

        """
        width, height = self._size
        if pixels.shape != (height, width, 3):
            raise ValueError(f"A frame of {width} x {height} has not the shape {pixels.shape}.")
        self._write(converted(pixels))

    def planes(self, pixels: "NDArray[np.uint8]") -> None:
        """
        Write the next frame, which is converted already; see `planes_of`.

        Args:
            pixels: limited-range BT.709 4:2:0, of shape (height * 3 / 2, width).

        Raises:
            ValueError: another shape.
            OSError: it cannot be written.

        """
        import av

        width, height = self._size
        if pixels.shape != (height * 3 // 2, width):
            raise ValueError(f"Planes of {width} x {height} have not the shape {pixels.shape}.")
        self._write(av.VideoFrame.from_ndarray(pixels, format="yuv420p"))

    def sound(self, samples: "NDArray[np.float32]") -> None:
        """
        Add sound; what is over the length of the video is left out, what lacks is silence.

        Args:
            samples: float32, -1 to 1, of shape (2, n); a copy is not made.

        Raises:
            ValueError: another shape.
            OSError: it cannot be written.

        """
        if samples.ndim != 2 or len(samples) != 2:  # noqa: PLR2004 - channels by samples, stereo
            raise ValueError(f"Stereo sound has not the shape {samples.shape}.")
        self._ahead.append(samples)
        self._catch_up()

    def close(self) -> None:
        """
        Finish the file.

        Raises:
            ValueError: it has no frame; then none is left.
            OSError: it cannot be written.

        """
        try:
            self._finish()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove the file, however far it is."""
        import av

        with suppress(av.FFmpegError):  # it goes anyway
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        import numpy as np

        if not self._frames:
            raise ValueError("A video has one frame at least.")
        self._catch_up()
        while missing := self._due:
            self._ahead.append(np.zeros((2, min(missing, self._audio_rate)), np.float32))
            self._catch_up()
        self._file.mux(self._video.encode(None))
        self._file.mux(self._audio.encode(None))
        self._file.close()

    @property
    def _due(self) -> int:
        """Samples that the frames so far last longer than the sound so far."""
        return self._frames * self._audio_rate // self._rate - self._sounded

    def _write(self, frame: "av.VideoFrame") -> None:
        frame.pts, frame.time_base = self._frames, Fraction(1, self._rate)
        self._file.mux(self._video.encode(frame))
        self._frames += 1
        self._catch_up()

    def _catch_up(self) -> None:
        """Encode the sound that is there and due."""
        import av
        import numpy as np

        while self._ahead and (due := self._due):
            samples = self._ahead.popleft()
            if samples.shape[1] > due:
                self._ahead.appendleft(samples[:, due:])
                samples = samples[:, :due]
            if not samples.shape[1]:
                continue
            plain = np.ascontiguousarray(samples, np.float32)
            block = av.AudioFrame.from_ndarray(plain, format="fltp", layout="stereo")
            block.sample_rate = self._audio_rate
            block.pts, block.time_base = self._sounded, Fraction(1, self._audio_rate)
            self._sounded += samples.shape[1]
            self._file.mux(self._audio.encode(block))


def converted(pixels: "NDArray[np.uint8]") -> "av.VideoFrame":
    """Return RGB pixels of shape (height, width, 3) as a limited-range BT.709 4:2:0 frame."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def planes_of(pixels: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """
    Convert RGB pixels once, for frames that are all made of them.

    Args:
        pixels: RGB, of shape (height, width, 3), both sides even.

    Returns:
        Luma in the first `height` rows, then the two quarter planes of chroma, one after the other:
        limited-range BT.709 4:2:0, of shape (height * 3 / 2, width).

    """
    import numpy as np

    return np.asarray(converted(pixels).to_ndarray(), np.uint8)
