"""Real media made at test time, so that no recording needs to be in the repository."""

import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

RATE = 24_000
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}
FORMATS = {
    "wav": ("wav", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "ogg": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "webm": ("webm", "libopus"),
    "aac": ("adts", "aac"),
    "aiff": ("aiff", "pcm_s16be"),
    "mkv": ("matroska", "flac"),
}
"""FFmpeg's muxer and codec of each file extension."""


def make_tone(seconds: float, rate: int = RATE, *, hertz: float = 440.0) -> NDArray[np.float32]:
    """Return a tone at half scale: float32 of shape (n,)."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def make_media(
    extension: str,
    seconds: float = 2.0,
    *,
    rate: int = RATE,
    channels: int = 1,
    samples: NDArray[np.float32] | None = None,
) -> bytes:
    """Encode a tone, or mono `samples`; an mp4 gets a video track too."""
    muxer, codec = FORMATS[extension]
    samples = make_tone(seconds, rate) if samples is None else samples
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        video = _add_video(container) if extension == "mp4" else None
        options = {"mapping_family": "255"} if channels == 16 else {}
        stream = container.add_stream(codec, rate=rate, layout=LAYOUTS[channels], options=options)
        assert isinstance(stream, av.AudioStream)
        if video is not None:
            _write_video(container, video, seconds)
        for first in range(0, len(samples), rate):
            block = np.repeat(samples[first : first + rate], channels)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=LAYOUTS[channels])
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _add_video(container: OutputContainer) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=10, options={"threads": "1"})
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def _write_video(container: OutputContainer, stream: av.VideoStream, seconds: float) -> None:
    for index in range(round(10 * seconds)):
        frame = av.VideoFrame.from_ndarray(np.full((96, 64), index, np.uint8), format="yuv420p")
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_silent_video() -> bytes:
    """Return an mp4 without any audio track."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        _write_video(container, _add_video(container), 1)
    return target.getvalue()


def make_bomb(seconds: int, *, declared: int = 0, block: int = 65_535) -> bytes:
    """Return a FLAC file of silence, 12 bytes for each `block` samples, declaring any length."""
    info = struct.pack(">HH6xQ16x", block, block, 16_000 << 44 | 15 << 36 | declared * 16_000)
    frames = (_silent_frame(number, block) for number in range(seconds * 16_000 // block))
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


def _silent_frame(number: int, block: int) -> bytes:
    coded = chr(number).encode("utf-8", "surrogatepass")
    head = b"\xff\xf8\x75\x08" + coded + struct.pack(">H", block - 1)
    frame = head + bytes([_crc(head, 8, 0x07)]) + b"\0\0\0"
    return frame + struct.pack(">H", _crc(frame, 16, 0x8005))


def _crc(message: bytes, bits: int, polynomial: int) -> int:
    register = 0
    for byte in message:
        register ^= byte << bits - 8
        for _ in range(8):
            register <<= 1
            if register >> bits:
                register ^= 1 << bits | polynomial
    return register


def make_wav(  # noqa: PLR0913
    body: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    data_size: int | None = None,
    chunks: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """Put `body` behind a header with every field as told; `chunks` come between fmt and data."""
    frame_bytes = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate, 32_000, frame_bytes, bits)
    if tag == 0xFFFE:
        head += struct.pack("<HHIH", 22, bits, 0, 1 if bits < 32 else 3)
        head += bytes.fromhex("000000001000800000aa00389b71")
    between = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )
    size = len(body) if data_size is None else data_size
    inside = b"WAVEfmt " + struct.pack("<I", len(head)) + head + between
    inside += b"data" + struct.pack("<I", size) + body
    return b"RIFF" + struct.pack("<I", 0 if data_size == 0 else len(inside)) + inside
