"""What is logged of plugins that fail; often enough to be seen, never so often as to flood."""

from collections.abc import Callable
from time import monotonic

from junctor.core.plugin_status import PluginStatus, said

INTERVAL = 60.0
"""Seconds between two log lines on one plugin's hooks."""


class Complaints:
    """
    Writes failures of plugins to the log.

    structlog is imported by the first one, since the command line usually needs none.
    """

    def __init__(self, *, is_quiet: bool = False, clock: Callable[[], float] = monotonic) -> None:
        self._is_quiet = is_quiet
        self._clock = clock
        self._last: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def failed(self, status: PluginStatus) -> None:
        """Log that a plugin, or one of its providers, is out."""
        self._write(
            "plugin_failed",
            status.error,
            plugin=status.name,
            distribution=status.distribution,
            version=status.version,
            stage=str(status.stage),
            reason=status.reason,
        )

    def raised(self, plugin: str, hook: str, error: BaseException) -> None:
        """Log that a hook raised: at once, and then once a minute for each plugin."""
        now = self._clock()
        last = self._last.get(plugin)
        if last is not None and now - last < INTERVAL:
            self._unsaid[plugin] = self._unsaid.get(plugin, 0) + 1
            return
        self._last[plugin] = now
        unsaid = self._unsaid.pop(plugin, 0)
        self._write(
            "hook_raised", error, plugin=plugin, hook=hook, reason=said(error), unsaid=unsaid
        )

    def close_failed(self, provider: str, error: BaseException) -> None:
        """Log that a provider did not close in order."""
        self._write("close_failed", error, provider=provider, reason=said(error))

    def _write(self, event: str, error: BaseException | None, **values: object) -> None:
        if self._is_quiet:
            return
        import structlog

        structlog.get_logger().warning(event, exc_info=error, **values)
