"""
Where somebody speaks: Silero VAD, the model that the faster-whisper wheel carries.

The model is read from that wheel's files; faster-whisper itself, slow to import, is not needed.
Offline and streaming run the same network on the same frames and agree bit for bit.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.errors import NotConfiguredError

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

FRAME_SAMPLES: Final = 512
"""Samples that the network looks at in one step: 32 ms."""
_CONTEXT_SAMPLES: Final = 64
_STATE_SHAPE: Final = (1, 1, 128)
_FRAMES_AT_ONCE: Final = 1_000
_HYSTERESIS: Final = 0.15
_MISSING: Final = (
    "Speech detection needs the model inside faster-whisper. Install it with: "
    "pip install 'junctor[whisper]'"
)


class StreamingVad:
    """
    Speech probability of one stream, frame by frame; 0.07 to 0.3 ms of CPU each.

    Instances are cheap and share one model; each belongs to one stream.

    Raises:
        NotConfiguredError: faster-whisper, which carries the model, is not installed.

    """

    def __init__(self) -> None:
        self._session = _load_session()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: another stream begins."""
        import numpy as np

        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def skip(self, frames: "NDArray[np.float32]") -> None:
        """Take it for granted that nobody speaks in these frames, as of `hear`; costs nothing."""
        self._context = frames[-_CONTEXT_SAMPLES:].copy()

    def hear(self, frames: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """
        Return the probability, 0 to 1, that somebody speaks in each frame.

        Args:
            frames: mono float32 at 16 kHz; 512 samples, or any multiple of that.

        """
        import numpy as np

        if frames.ndim != 1 or len(frames) % FRAME_SAMPLES:
            raise ValueError(f"VAD frames are {FRAME_SAMPLES} samples, not {frames.shape}.")
        if not len(frames):
            return np.zeros(0, np.float32)
        sound = np.concatenate([self._context, frames]).astype(np.float32, copy=False)
        self._context = sound[-_CONTEXT_SAMPLES:].copy()
        steps: NDArray[np.float32] = np.ndarray(  # overlapping views: each frame and its context
            (len(frames) // FRAME_SAMPLES, FRAME_SAMPLES + _CONTEXT_SAMPLES),
            np.float32,
            sound.data,
            strides=(FRAME_SAMPLES * sound.itemsize, sound.itemsize),
        )
        heard = []
        for first in range(0, len(steps), _FRAMES_AT_ONCE):
            batch = np.ascontiguousarray(steps[first : first + _FRAMES_AT_ONCE])
            inputs = {"input": batch, "h": self._h, "c": self._c}
            probabilities, self._h, self._c = self._session.run(None, inputs)
            heard.append(probabilities.reshape(-1))
        return np.concatenate(heard)


def speech_probabilities(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """
    Return the probability of speech in each 32 ms of a recording; blocking, 1.5 ms per second.

    Args:
        samples: mono float32 at 16 kHz; the last frame is filled up with silence.

    """
    import numpy as np

    missing = -len(samples) % FRAME_SAMPLES
    return StreamingVad().hear(np.pad(samples, (0, missing)) if missing else samples)


def speech_spans(
    samples: "NDArray[np.float32]",
    *,
    threshold: float = 0.5,
    min_silence: float = 0.5,
    min_speech: float = 0.1,
    pad: float = 0.1,
) -> list[tuple[float, float]]:
    """
    Find the stretches of speech in a recording; blocking, about 1.5 ms per second.

    Args:
        samples: mono float32 at 16 kHz.
        threshold: probability from which a frame begins speech; it ends at 0.15 less.
        min_silence: seconds of silence that part two stretches.
        min_speech: seconds; shorter stretches are dropped.
        pad: seconds added at both sides, as far as there is room between neighbours.

    Returns:
        (start, end) in seconds, in order, never overlapping.

    Raises:
        NotConfiguredError: faster-whisper, which carries the model, is not installed.

    """
    probabilities = speech_probabilities(samples).tolist()
    end = len(samples) / SAMPLE_RATE
    spans = [
        (start, min(stop, end))
        for start, stop in _spans(probabilities, threshold, min_silence)
        if min(stop, end) - start >= min_speech
    ]
    return _padded(spans, pad, end)


def _spans(
    probabilities: list[float], threshold: float, min_silence: float
) -> list[tuple[float, float]]:
    """Join frames to stretches, with hysteresis, and stretches over short silences."""
    frame = FRAME_SAMPLES / SAMPLE_RATE
    low = max(threshold - _HYSTERESIS, 0.01)
    spans: list[tuple[int, int]] = []
    speaking = False
    for index, probability in enumerate(probabilities):
        speaking = probability >= (low if speaking else threshold)
        if not speaking:
            continue
        silence = index - spans[-1][1] if spans else None
        if silence == 0 or (silence and silence * frame < min_silence):
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return [(first * frame, stop * frame) for first, stop in spans]


def _padded(spans: list[tuple[float, float]], pad: float, end: float) -> list[tuple[float, float]]:
    """Widen each stretch by `pad`; two that would overlap meet in the middle."""
    padded = []
    for index, (start, stop) in enumerate(spans):
        before = spans[index - 1][1] if index else -start
        after = spans[index + 1][0] if index + 1 < len(spans) else 2 * end - stop
        room_before, room_after = (start - before) / 2, (after - stop) / 2
        padded.append((start - min(pad, room_before), stop + min(pad, room_after)))
    return padded


@cache
def _load_session() -> "onnxruntime.InferenceSession":
    model = _find_model()
    try:
        import onnxruntime
    except ImportError as exc:
        raise NotConfiguredError(_MISSING) from exc
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(model), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _find_model() -> Path:
    """Find the newest Silero model among the files of faster-whisper, without importing it."""
    spec = importlib.util.find_spec("faster_whisper")
    folders = spec.submodule_search_locations if spec else None
    models = [m for folder in folders or () for m in Path(folder).glob("assets/silero_vad*.onnx")]
    if not models:
        raise NotConfiguredError(_MISSING)
    return max(models)
