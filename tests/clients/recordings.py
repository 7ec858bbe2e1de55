"""Recordings of human speech, what is said in them, and how wrong an answer is."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

BOOK = Path("/usr/share/pocketsphinx/test/data/librivox")
"""Read sentences of a novel, from Debian's pocketsphinx-testdata."""
SPEAKERS = Path("/usr/share/sounds/alsa")
"""Names of loudspeakers, 48 kHz, from Debian's alsa-utils."""
CENTER = SPEAKERS / "Front_Center.wav"


def needed(*paths: Path | str | None) -> None:
    """Skip where a tool is missing; in CI that is a failure."""
    missing = [str(path) for path in paths if path is None or not Path(path).exists()]
    if missing:
        reason = f"not installed: {missing}; .ci/run installs what is needed"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)


def sentences() -> dict[Path, list[str]]:
    """Return each recording of the book and the words said in it."""
    found = {}
    for line in (BOOK / "transcription").read_text("utf-8").splitlines():
        words = line.partition("<s>")[2].partition("</s>")[0].split()
        found[BOOK / f"{line.rpartition('(')[2].rstrip(')')}.wav"] = words
    return found


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the word edits between two sentences (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, start=1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]
