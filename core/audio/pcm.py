"""Raw samples as live speech brings them: decoded as they come, measured, made into a clip."""

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.mixdown import mix
from junctor.core.audio.resample import Resampler
from junctor.core.audio.wav import encode_wav, to_pcm16
from junctor.core.errors import InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_BYTES: Final = 2
"""Of one sample of PCM as all live code hands it on: signed 16-bit little-endian."""
Encoding = Literal["pcm_s16le", "mulaw", "alaw"]
"""How samples are sent; the latter two as in ITU-T G.711."""

_WIDTHS: Final = MappingProxyType({"pcm_s16le": 2, "mulaw": 1, "alaw": 1})
_QUIET: Final = bytes((0x00, 0x01, 0x02, 0xFD, 0xFE, 0xFF))
"""High bytes of samples below 2.3 % of full scale: the noise of a room, and not quiet speech."""


def is_loud(pcm: bytes) -> bool:
    """
    Say whether there is more than the noise of a quiet room; a microsecond per 20 ms.

    It cannot tell speech from music. What it calls quiet has no speech in it.

    Args:
        pcm: signed 16-bit mono, 16 kHz.

    """
    return bool(pcm[1::2].translate(None, _QUIET))


def samples_of(pcm: bytes) -> "NDArray[np.float32]":
    """Return signed 16-bit little-endian PCM as float32, -1 to 1."""
    import numpy as np

    return np.frombuffer(pcm, "<i2").astype(np.float32) * np.float32(1 / 32768)


def clip_of_pcm(pcm: bytes) -> Clip:
    """Return a clip, its bytes a WAV file, of signed 16-bit little-endian mono PCM at 16 kHz."""
    samples = samples_of(pcm)

    async def decode() -> "NDArray[np.float32]":
        return samples

    return Clip(
        data=encode_wav(samples, SAMPLE_RATE),
        media_type="audio/wav",
        filename="audio.wav",
        frames=len(samples),
        rate=SAMPLE_RATE,
        decode=decode,
        samples=samples,
    )


class PcmIntake:
    """
    Turns the chunks of one client into PCM as live code hands it on, and counts what came in.

    Making the first one of a process imports numpy and soxr, so make it in a thread.

    Args:
        encoding: how the samples are sent.
        rate: their rate, Hz.
        channels: interleaved; they are averaged.

    """

    def __init__(self, encoding: Encoding, rate: int, *, channels: int = 1) -> None:
        self.rate = rate
        self._encoding = encoding
        self._channels = channels
        self._is_plain = encoding == "pcm_s16le" and rate == SAMPLE_RATE and channels == 1
        self._resampler = Resampler(rate)

    def frames_in(self, chunk: bytes) -> int:
        """
        Return how many sample frames a chunk has.

        Raises:
            InvalidRequestError: there is a broken one at its end.

        """
        frame = _WIDTHS[self._encoding] * self._channels
        frames, rest = divmod(len(chunk), frame)
        if rest:
            raise InvalidRequestError(
                f"A chunk of audio has whole samples, {frame} bytes for each instant; "
                f"this one has {len(chunk)} bytes.",
                param="audio",
            )
        return frames

    def feed(self, chunk: bytes) -> bytes:
        """Return signed 16-bit mono PCM at 16 kHz; it lags some milliseconds behind."""
        if self._is_plain:
            return chunk
        return to_pcm16(self._resampler.feed(self._mono(chunk))).tobytes()

    def flush(self) -> bytes:
        """Return the rest; nothing may be fed afterwards."""
        return to_pcm16(self._resampler.flush()).tobytes()

    def _mono(self, chunk: bytes) -> "NDArray[np.float32]":
        import numpy as np

        if self._encoding == "pcm_s16le":
            samples = np.frombuffer(chunk, "<i2")
        else:
            samples = _g711(self._encoding)[np.frombuffer(chunk, np.uint8)]
        return mix([samples[channel :: self._channels] for channel in range(self._channels)])


@cache
def _g711(encoding: Encoding) -> "NDArray[np.int16]":
    """Return the linear value of each of the 256 codes."""
    import numpy as np

    linear = _mulaw if encoding == "mulaw" else _alaw
    return np.array([linear(code) for code in range(256)], np.int16)


def _mulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def _alaw(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else mantissa + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude
