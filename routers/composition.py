"""What servers and workers are put together from alike."""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.complaints import Complaints
from junctor.core.plugins import Plugins
from junctor.core.runtime import Runtime
from junctor.core.telemetry import Telemetry
from junctor.routers import ltx_video, speech_to_text, system


def compose(
    settings: Settings, *, plugins: Plugins | None = None, queues: Sequence[str] | None = None
) -> Runtime:
    """
    Return a runtime that knows the work of every kind of job; nothing is opened.

    Args:
        settings: as loaded.
        plugins: those to run with; None loads what is installed and allowed.
        queues: those whose jobs it does, instead of what `jobs.work` says.

    Raises:
        PluginError: a plugin failed, and `loader.strict` is set.
        ConfigError: tracing is asked for, and OpenTelemetry is not installed.

    """
    complaints = Complaints()
    plugins = plugins or Plugins.load(settings.loader, complaints=complaints)
    telemetry = Telemetry(settings.telemetry, version=system.server_version())
    runtime = Runtime(settings, plugins, telemetry=telemetry, complaints=complaints, queues=queues)
    speech_to_text.register_jobs(runtime)
    ltx_video.register_jobs(runtime)
    telemetry.metrics.watch_breakers(runtime.health.states)
    telemetry.metrics.watch_latencies(runtime.health.slowness)
    telemetry.metrics.watch_jobs(lambda: runtime.jobs.counts)
    return runtime
