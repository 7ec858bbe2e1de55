"""How often the provider was asked, and how that ended."""

from collections import Counter

from junctor.core.attempts import Attempt

from junctor_morse.provider import NAME


class Tally:
    """Counts attempts by outcome: `ok`, `cancelled`, or the name of the error's class."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._audio_seconds = 0.0

    def add(self, attempt: Attempt) -> None:
        """Count an attempt, if it was made at this provider."""
        if attempt.provider == NAME:
            self._outcomes[attempt.outcome] += 1
            self._audio_seconds += attempt.audio_seconds

    @property
    def outcomes(self) -> dict[str, int]:
        """Attempts by outcome."""
        return dict(self._outcomes)

    @property
    def audio_seconds(self) -> float:
        """Length of all recordings it was asked to read, seconds."""
        return self._audio_seconds
