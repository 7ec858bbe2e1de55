"""What a Whisper worker is built from, and what it is asked."""

from typing import Literal

from msgspec import Struct


class WhisperOptions(Struct, frozen=True):
    """What is loaded and how it decodes."""

    path: str
    is_folder: bool
    device: str = "auto"
    device_index: int = 0
    compute_type: str = "default"
    cpu_threads: int = 0
    may_download: bool = False
    batch_size: int = 1
    beam_size: int = 5
    languages: tuple[str, ...] = ()
    """Whisper's codes of the languages that may be detected; empty for all."""
    vad_filter: bool = True
    longest: float | None = None
    """Longest stretch decoded at once, seconds; neighbours are joined up to it. None for the
    model's own window."""
    pause: float = 0.5
    """Silence that parts two stretches of speech, seconds."""
    fallback: tuple[float, ...] = ()
    """Temperatures tried one after another when a window decodes badly."""
    window_batch: int = 16
    """Windows of live sessions decoded at once."""
    short_context: bool = False
    """Whether it was taught windows that are not padded to half a minute."""


class WindowArgs(Struct, frozen=True):
    """One window of a live session."""

    samples: int
    """Its length; the windows lie in the payload one after the other."""
    language: str | None = None
    """Whisper's code; None to detect it."""
    allowed: tuple[str, ...] = ()
    """Whisper's codes to choose from when detecting; empty for any."""
    word_timestamps: bool = False
    is_final: bool = False


class WhisperArgs(Struct, frozen=True):
    """One job; its payload is mono, 16 kHz: signed 16-bit for `windows`, else float32."""

    task: Literal["transcribe", "translate", "identify", "windows", "align"] = "transcribe"
    language: str | None = None
    """Whisper's code; None to detect it."""
    allowed: tuple[str, ...] = ()
    """Whisper's codes to choose from when detecting; empty for any."""
    prompt: str | None = None
    temperature: float = 0.0
    word_timestamps: bool = False
    windows: tuple[WindowArgs, ...] = ()
    """For the task `windows`."""
    words: tuple[str, ...] = ()
    """For the task `align`."""
