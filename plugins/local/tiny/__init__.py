"""`junctor-tiny`: a Whisper of 1.1 million parameters that knows a closed domain, shipped as data."""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
"""The folder that faster-whisper loads: weights, tokenizer and configuration."""


def model_path() -> str:
    """Return the shipped model's folder, as `faster_whisper.WhisperModel` wants it."""
    return str(MODEL_DIR)
