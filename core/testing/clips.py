"""Recordings made of arithmetic, for tests that need a clip and not its words."""

import io
import wave
from typing import TYPE_CHECKING

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def clip_of(samples: "NDArray[np.float32]", *, filename: str = "audio.wav") -> Clip:
    """Return a clip of mono 16 kHz float32 samples (-1 to 1), its bytes a 16-bit WAV file."""
    import numpy as np

    pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
    decoded = np.ascontiguousarray(samples, dtype=np.float32)

    async def decode() -> "NDArray[np.float32]":
        return decoded

    return Clip(
        data=out.getvalue(),
        media_type="audio/wav",
        filename=filename,
        frames=len(decoded),
        rate=SAMPLE_RATE,
        decode=decode,
    )


def silent_clip(seconds: float = 1.0) -> Clip:
    """Return digital silence of that length, seconds."""
    import numpy as np

    return clip_of(np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32))


def tone_clip(seconds: float = 1.0, *, hertz: float = 440.0) -> Clip:
    """Return a pure tone of that length (seconds) at half of full scale."""
    import numpy as np

    times = np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    return clip_of(0.5 * np.sin(2 * np.pi * hertz * times).astype(np.float32))


def noise_clip(seconds: float = 1.0, *, seed: int = 0) -> Clip:
    """Return white noise of that length (seconds), the same for the same seed."""
    import numpy as np

    count = round(seconds * SAMPLE_RATE)
    return clip_of(np.random.default_rng(seed).uniform(-0.3, 0.3, count).astype(np.float32))


def undecodable_clip(seconds: float = 1.0) -> Clip:
    """Return a clip whose bytes are rubbish and whose samples cannot be had."""

    async def decode() -> "NDArray[np.float32]":
        raise MediaError("The media cannot be decoded.")

    return Clip(
        data=b"rubbish" * 100,
        media_type="audio/wav",
        filename="audio.wav",
        frames=round(seconds * SAMPLE_RATE),
        rate=SAMPLE_RATE,
        decode=decode,
    )
