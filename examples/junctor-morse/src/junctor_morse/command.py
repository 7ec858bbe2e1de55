"""`junctor morse`: make recordings of Morse code."""

import wave
from pathlib import Path

import click

from junctor_morse.tones import RATE, key


@click.group
def morse() -> None:
    """Work with Morse code."""


@morse.command
@click.argument("text")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--wpm", type=click.FloatRange(3, 60), default=20.0, show_default=True)
@click.option("--hertz", type=click.FloatRange(200, 4000), default=600.0, show_default=True)
def encode(text: str, path: Path, wpm: float, hertz: float) -> None:
    """Write TEXT as tones to the WAV file PATH."""
    try:
        samples = key(text, wpm=wpm, hertz=hertz)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="TEXT") from exc
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
