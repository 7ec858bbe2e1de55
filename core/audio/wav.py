"""
PCM WAV: measured from its header alone, and written.

The header of a WAV file tells its exact length, so that the most common upload needs no decoder
to be metered. Compressed WAV (ADPCM, mu-law) is left to FFmpeg.
"""

import struct
from typing import TYPE_CHECKING, Final

from attrs import frozen

from junctor.core.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOWEST_RATE: Final = 1_000
HIGHEST_RATE: Final = 768_000
"""Sample rates that make sense for sound, Hz."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FORMATS: Final = {
    (_PCM, 8): "u1",
    (_PCM, 16): "<i2",
    (_PCM, 24): "<i3",
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
    (_FLOAT, 64): "<f8",
}
_GUID_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")
_FIRST_CHUNK: Final = 12
_RIFF: Final = (b"RIFF", b"RF64")
_CHUNKS_LOOKED_AT: Final = 64  # a file of a million empty chunks must not hold the event loop
_UNKNOWN_SIZE: Final = 0xFFFFFFFF
_FORMAT_SIZE: Final = 16
_EXTENSIBLE_SIZE: Final = 40
_LONGEST_FORMAT: Final = 1024


@frozen
class WavFormat:
    """What the samples look like."""

    rate: int
    """Hz."""
    channels: int
    sample_type: str
    """`u1`, `<i2`, `<i3` (packed 24 bit), `<i4`, `<f4` or `<f8`."""
    frame_bytes: int
    """Bytes of one sample of every channel."""


@frozen
class WavHeader:
    """Where the samples of a PCM WAV file are, and what they look like."""

    format: WavFormat
    start: int
    """Offset of the first sample, bytes."""
    frames: int
    """Whole sample frames that are really there, whatever the header claims."""


def read_wav_header(data: bytes) -> WavHeader | None:
    """
    Find format and exact length of a PCM or float WAV in some microseconds, without decoding.

    A data size of 0 or 0xFFFFFFFF, as encoders write that cannot seek back, means all the rest;
    a file cut short counts for what is there.

    Returns:
        None when the file is not plain little-endian PCM; a decoder may know better.

    Raises:
        MediaError: the header is one of PCM, but its sample rate or channel count is absurd.

    """
    found = _find_sound(data)
    if found is None:
        return None
    chunk, start, size = found
    wav_format = _read_format(chunk)
    if wav_format is None:
        return None
    return WavHeader(wav_format, start, size // wav_format.frame_bytes)


def slim_wav(data: bytes) -> bytes:
    """
    Copy a WAV file of any codec without all that is not sound.

    FFmpeg allocates what a broken LIST chunk claims: gigabytes for a file of some kilobytes.

    Raises:
        MediaError: there is no format or no data in it.

    """
    found = _find_sound(data)
    if found is None:
        raise MediaError("The WAV file has no sound in it. Send one with fmt and data chunks.")
    chunk, start, size = found
    head = struct.pack("<4sI4s4sI", b"RIFF", len(chunk) + size + 20, b"WAVE", b"fmt ", len(chunk))
    return b"".join((head, chunk, struct.pack("<4sI", b"data", size), data[start : start + size]))


def _find_sound(data: bytes) -> tuple[bytes, int, int] | None:
    """Find the fmt chunk's content, and offset and bytes of the samples that are there."""
    if data[:4] not in _RIFF or data[8:12] != b"WAVE":
        return None
    chunk, offset, real_size = b"", _FIRST_CHUNK, _UNKNOWN_SIZE
    for _ in range(_CHUNKS_LOOKED_AT):
        if offset + 8 > len(data):
            return None
        name, size = struct.unpack_from("<4sI", data, offset)
        offset += 8
        if name == b"data":
            return (chunk, offset, _bytes_there(data, offset, size, real_size)) if chunk else None
        if name == b"fmt ":
            chunk = data[offset : offset + (min(size, _LONGEST_FORMAT) & ~1)]
        elif name == b"ds64":
            real_size = int.from_bytes(data[offset + 8 : offset + 16], "little")
        offset += size + (size & 1)
    return None


def _bytes_there(data: bytes, start: int, size: int, real_size: int) -> int:
    there = len(data) - start
    if size == _UNKNOWN_SIZE:
        return min(real_size, there)
    return there if size == 0 and not _is_finished(data) else min(size, there)


def _read_format(chunk: bytes) -> WavFormat | None:
    if len(chunk) < _FORMAT_SIZE:
        return None
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE:
        if len(chunk) < _EXTENSIBLE_SIZE or chunk[26:40] != _GUID_TAIL:
            return None
        (tag,) = struct.unpack_from("<H", chunk, 24)
    sample_type = _FORMATS.get((tag, bits))
    if sample_type is None or frame_bytes != channels * bits // 8:
        return None
    if not channels or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise MediaError(
            f"The WAV header claims {channels} channels at {rate} Hz. Send at least one channel "
            f"at {LOWEST_RATE} to {HIGHEST_RATE} Hz."
        )
    return WavFormat(rate, channels, sample_type, frame_bytes)


def _is_finished(data: bytes) -> bool:
    """Whether the writer came back to fill in the sizes, so that an empty data chunk is empty."""
    (size,) = struct.unpack_from("<I", data, 4)
    return bool(size + 8 == len(data))


def encode_wav(samples: "NDArray[np.float32]", rate: int) -> bytes:
    """
    Write mono samples as a 16-bit PCM WAV file; what was 16-bit before stays the same to the bit.

    Args:
        samples: float32 of shape (n,), -1 to 1; louder is clipped, NaN becomes silence.
        rate: Hz.

    """
    import numpy as np

    pcm = to_pcm16(samples).astype("<i2", copy=False)
    body = np.ascontiguousarray(pcm).tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(body), b"WAVE"),
        *(b"fmt ", 16, _PCM, 1, rate, rate * 2, 2, 16),
        *(b"data", len(body)),
    )
    return head + body


def to_pcm16(samples: "NDArray[np.float32]") -> "NDArray[np.int16]":
    """Round float samples (-1 to 1) to int16, clipping what is louder; NaN becomes 0."""
    import numpy as np

    scaled = np.rint(np.nan_to_num(samples * np.float32(32768), nan=0.0))
    pcm: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return pcm
