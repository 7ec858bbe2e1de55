"""
Speech decoded to mono float32 at 16 kHz, with the limits enforced while it is decoded.

A few kilobytes can claim, or really hold, hours of sound. So a length that the container declares
is refused before anything is decoded; then the decoded frames are counted; and when a minute has
been decoded, the rest of the packets are counted ahead, which is about eight times as fast as
decoding them.

All functions here block and belong in a thread; `stop` ends them within a few milliseconds.
"""

import io
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define, frozen

from junctor.core.audio.mixdown import Mixdown, mix
from junctor.core.audio.sniff import WAV, Container, sniff
from junctor.core.audio.wav import HIGHEST_RATE, LOWEST_RATE, WavHeader, read_wav_header, slim_wav
from junctor.core.errors import ClientGoneError, MediaError, TooLongError

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.audio import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

_Block: TypeAlias = "tuple[NDArray[np.float32], int]"
"""Mono samples and their rate, Hz."""

SUPPORTED: Final = "wav, mp3, m4a, mp4, ogg, flac, webm, aac or aiff"
_UNREADABLE: Final = f"The file cannot be decoded as audio. Send a working {SUPPORTED} file."
_SILENT: Final = f"The file holds no audio samples. Send a {SUPPORTED} file with sound in it."
_SLACK: Final = 0.5  # seconds; containers round, and declare the codec's padding too
_UNRELIABLE: Final = frozenset(("mp3", "aac"))  # FFmpeg guesses their length from the first frames
_COUNT_AHEAD_AFTER: Final = 60.0
_BLOCK_FRAMES: Final = 48_000
_PLANES_READABLE: Final = 7
_WAV_BLOCK_FRAMES: Final = 1 << 18


@frozen(eq=False)
class Decoded:
    """A recording's samples, and its exact length as it was sent."""

    samples: "NDArray[np.float32]"
    """float32 of shape (n,), mono, 16 kHz, -1 to 1, finite."""
    frames: int
    """Sample frames decoded from the source, at `rate`."""
    rate: int
    """Hz of the source; where it changes in the middle, the first."""


def decode(data: bytes, *, max_seconds: float, stop: threading.Event | None = None) -> Decoded:
    """
    Decode the first audio track of a file of any supported container.

    A file cut short decodes to what is there; packets that are broken are left out.

    Args:
        data: the file.
        max_seconds: the longest recording allowed, in seconds of the source.
        stop: set it to end the work from another thread.

    Raises:
        MediaError: empty, not audio, no audio track, or not one sample in it.
        TooLongError: it is longer than `max_seconds`.
        ClientGoneError: `stop` was set.

    """
    container = recognise(data)
    watch = _Watch(max_seconds, stop or threading.Event())
    header = read_wav_header(data)
    if header is not None:
        check_length(header, max_seconds)
        return _gather(_read_pcm(data, header), watch)
    return _decode_any(slim_wav(data) if container is WAV else data, container, watch)


def recognise(data: bytes) -> Container:
    """
    Tell the container of `data`.

    Raises:
        MediaError: nothing there, or nothing known.

    """
    if not data:
        raise MediaError(f"The file is empty. Send a {SUPPORTED} file.")
    container = sniff(data)
    if container is None:
        raise MediaError(f"The file is not audio of a known format. Send a {SUPPORTED} file.")
    return container


def check_length(header: WavHeader, max_seconds: float) -> None:
    """
    Check a WAV file's length by its header alone.

    Raises:
        MediaError: it has no samples.
        TooLongError: it is longer than `max_seconds`.

    """
    if not header.frames:
        raise MediaError(_SILENT)
    if header.frames > max_seconds * header.format.rate:
        raise TooLongError(limit_seconds=max_seconds)


@define
class _Watch:
    """Counts what was decoded and knows when to give up."""

    max_seconds: float
    stop: threading.Event
    frames: int = 0
    rate: int = 0
    seconds: float = 0.0

    def check_stop(self) -> None:
        if self.stop.is_set():
            raise ClientGoneError("The decode was cancelled.")

    def count(self, frames: int, rate: int) -> None:
        self.rate = self.rate or rate
        self.frames += frames if rate == self.rate else round(frames * self.rate / rate)
        self.seconds = self.frames / self.rate
        self.check_seconds(self.seconds)

    def check_seconds(self, seconds: float) -> None:
        if seconds > self.max_seconds:
            raise TooLongError(limit_seconds=self.max_seconds)


def _decode_any(data: bytes, container: Container, watch: _Watch) -> Decoded:
    import av

    try:
        with _open(data, container) as source:
            stream = _find_track(source)
            if container.demuxer not in _UNRELIABLE:
                watch.check_seconds(_declared_seconds(source, stream) - _SLACK)
            ahead = partial(_count_ahead, data, container, watch)
            return _gather(_read_track(source.demux(stream), watch, ahead), watch)
    except MediaError:
        raise
    except (av.FFmpegError, ValueError) as exc:
        raise MediaError(_UNREADABLE) from exc


def _open(data: bytes, container: Container) -> "InputContainer":
    import av

    # Tags are often not UTF-8, which PyAV would take for an error of the file.
    return av.open(io.BytesIO(data), "r", format=container.demuxer, metadata_errors="replace")


def _find_track(source: "InputContainer") -> "AudioStream":
    if not source.streams.audio:
        raise MediaError(f"The file has no audio track. Send a {SUPPORTED} file.")
    return source.streams.audio[0]


def _declared_seconds(source: "InputContainer", stream: "AudioStream") -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (source.duration or 0) / 1_000_000


def _count_ahead(data: bytes, container: Container, watch: _Watch) -> None:
    """Add up the lengths that the packets themselves tell, as far as they can be read."""
    import av

    try:
        with _open(data, container) as source:
            stream = source.streams.audio[0]
            ticks, tick = 0, stream.time_base or Fraction(0)
            for packet in source.demux(stream):
                watch.check_stop()
                ticks += packet.duration or 0
                watch.check_seconds(ticks * tick.numerator / tick.denominator - _SLACK)
    except av.FFmpegError:
        return


def _read_track(
    packets: "Iterator[av.Packet[AudioStream]]", watch: _Watch, ahead: Callable[[], None]
) -> Iterator[_Block]:
    """
    Decode packets to mono blocks of a second or so.

    FFmpeg's frames are some 20 ms short; gathering them first halves the time of the whole.
    """
    import av

    fifo, shape, is_counted = av.AudioFifo(), None, False
    for frame in _decode_packets(packets, watch):
        # The fifo does not notice a change of channels itself, and reads memory that is not there.
        changed = shape != (shape := (frame.sample_rate, frame.format.name, frame.layout.name))
        if changed or fifo.samples >= _BLOCK_FRAMES:
            yield from _drain(fifo)
        if changed:
            fifo = av.AudioFifo()
        frame.pts = None
        fifo.write(frame)
        if watch.seconds > _COUNT_AHEAD_AFTER and not is_counted:
            is_counted = True
            ahead()
    yield from _drain(fifo)


def _decode_packets(
    packets: "Iterator[av.Packet[AudioStream]]", watch: _Watch
) -> "Iterator[av.AudioFrame]":
    import av

    while True:
        watch.check_stop()
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.FFmpegError:
            continue  # one bad packet; a file that broke off ends the iterator by itself
        yield from frames


def _drain(fifo: "av.AudioFifo") -> Iterator[_Block]:
    block = fifo.read()
    if block is None:
        return
    if not LOWEST_RATE <= block.sample_rate <= HIGHEST_RATE:
        raise MediaError(
            f"The audio claims {block.sample_rate} Hz. Send {LOWEST_RATE} to {HIGHEST_RATE} Hz."
        )
    for part in _readable(block):
        values = part.to_ndarray()
        if not part.format.is_planar:
            values = values.reshape(-1, part.layout.nb_channels).T
        yield mix(list(values)), part.sample_rate


def _readable(block: "av.AudioFrame") -> "list[av.AudioFrame]":
    """
    Interleave a frame of many planes.

    PyAV 18 finds the end of the planes by a null pointer that is only there up to seven of them,
    and reads foreign memory from the eighth on: the process would crash.
    """
    import av

    if not block.format.is_planar or block.layout.nb_channels <= _PLANES_READABLE:
        return [block]
    interleaver = av.AudioResampler(format="flt", layout=block.layout, rate=block.sample_rate)
    return [*interleaver.resample(block), *interleaver.resample(None)]


def _read_pcm(data: bytes, header: WavHeader) -> Iterator[_Block]:
    """Read a PCM WAV in blocks; some 30 % faster than through FFmpeg."""
    import numpy as np

    wav = header.format
    for first in range(0, header.frames, _WAV_BLOCK_FRAMES):
        count = min(_WAV_BLOCK_FRAMES, header.frames - first) * wav.channels
        offset = header.start + first * wav.frame_bytes
        if wav.sample_type == "<i3":
            packed = np.frombuffer(data, np.uint8, count * 3, offset).reshape(-1, 3)
            wide = np.zeros((count, 4), np.uint8)
            wide[:, 1:] = packed
            values = wide.view("<i4").ravel()
        else:
            values = np.frombuffer(data, wav.sample_type, count, offset)
        yield mix([values[channel :: wav.channels] for channel in range(wav.channels)]), wav.rate


def _gather(blocks: Iterator[_Block], watch: _Watch) -> Decoded:
    mixdown = Mixdown()
    for block, rate in blocks:
        watch.check_stop()
        watch.count(len(block), rate)
        mixdown.add(block, rate)
    if not watch.frames:
        raise MediaError(_SILENT)
    return Decoded(mixdown.finish(), watch.frames, watch.rate)
