"""A clock that stands still until it is told."""


class Clock:
    """Called like `time.monotonic`; starts at 1000 seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time go on."""
        self.now += seconds
