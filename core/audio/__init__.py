"""Audio tools: measure, decode, encode, detect speech. Importing them loads no codec and no numpy."""

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.decode import Decoded
from junctor.core.audio.encode import ENCODABLE, encode_flac, reencode
from junctor.core.audio.intake import open_clip, run_in_slot
from junctor.core.audio.resample import Resampler
from junctor.core.audio.sniff import Container
from junctor.core.audio.vad import StreamingVad, speech_probabilities, speech_spans
from junctor.core.audio.wav import WavHeader, encode_wav, read_wav_header

__all__ = [
    "ENCODABLE",
    "SAMPLE_RATE",
    "Clip",
    "Container",
    "Decoded",
    "Resampler",
    "StreamingVad",
    "WavHeader",
    "encode_flac",
    "encode_wav",
    "open_clip",
    "read_wav_header",
    "reencode",
    "run_in_slot",
    "speech_probabilities",
    "speech_spans",
]
