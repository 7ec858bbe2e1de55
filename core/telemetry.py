"""What the server tells about itself: one line per request, metrics, and spans when asked for."""

from collections.abc import Mapping

import structlog
from msgspec import Struct

from junctor.conf.settings import Telemetry as TelemetrySettings
from junctor.core.attempts import Attempt
from junctor.core.logs import Lines
from junctor.core.metrics import Metrics
from junctor.core.tracing import NoTracing, Tracing, open_tracing
from junctor.core.windows import Batch

PROBES = frozenset({"health", "metrics"})
"""Operations of machines that ask every few seconds: their lines are for debugging only."""

_SERVER_ERROR = 500


class RequestRecord(Struct, frozen=True, kw_only=True):
    """One request, over: what its log line says and its metrics count."""

    request_id: str
    contract: str
    """Our name of the contract; empty where the path belongs to none."""
    operation: str = ""
    """What was asked (`transcribe` …); empty where it was never understood."""
    team: str | None = None
    """None where nobody was recognised."""
    provider: str | None = None
    """Who answered, or failed last."""
    model: str | None = None
    """The provider's own model id."""
    attempts: int = 0
    failed_attempts: tuple[str, ...] = ()
    """One `provider:model ErrorClass` for each attempt that failed."""
    status: int = 200
    """HTTP status of the answer; 499 when the client had gone before it."""
    audio_seconds: float = 0.0
    """Length of the audio, seconds."""
    seconds: float = 0.0
    """From the arrival of the request to the end of its work, seconds."""
    error: str | None = None
    """Class name of the error it ended with."""
    told: Mapping[str, object] | None = None
    """What the caller wants to find in the line: a correlation id, metadata."""
    prompt_tokens: int = 0
    """Tokens of the prompt that were charged; in the line where there are any."""
    completion_tokens: int = 0
    """Tokens of the answer that were charged; in the line where there are any."""


class Telemetry:
    """
    The one place that requests, attempts and transcripts are reported to.

    Args:
        settings: `otlp_endpoint` decides whether there are spans.
        version: of the server, named in the spans.

    Raises:
        ConfigError: spans are asked for, and OpenTelemetry is not installed.

    """

    def __init__(self, settings: TelemetrySettings, *, version: str = "") -> None:
        self.metrics = Metrics()
        self.tracing: Tracing = (
            open_tracing(settings.otlp_endpoint, version=version)
            if settings.otlp_endpoint
            else NoTracing()
        )
        self.adopt_logging()

    def adopt_logging(self) -> None:
        """Take over how logging is configured now; bound once, a line costs a third less."""
        self._log = structlog.get_logger().bind()
        self._lines = Lines()

    def request(self, record: RequestRecord) -> None:
        """Write the request's one line and count it."""
        line = {
            "event": "request",
            "contract": record.contract,
            "operation": record.operation,
            "team": record.team,
            "model": record.model,
            "provider": record.provider,
            "attempts": record.attempts,
            "failed_attempts": record.failed_attempts,
            "status": record.status,
            "audio_seconds": round(record.audio_seconds, 3),
            "ms": round(record.seconds * 1000, 2),
            "request_id": record.request_id,
            "error": record.error,
            **_more(record),
        }
        level = _level(record)
        if record.told or not self._lines.write(level, line):
            getattr(self._log, level)(**line)
        self.metrics.count_request(
            contract=record.contract,
            operation=record.operation,
            provider=record.provider or "",
            status=record.status,
            seconds=record.seconds,
        )
        if record.error is None and record.provider is not None and record.audio_seconds > 0:
            self.metrics.count_audio(
                provider=record.provider, model=record.model or "", seconds=record.audio_seconds
            )
        if record.prompt_tokens or record.completion_tokens:
            self.metrics.count_tokens(
                provider=record.provider or "",
                model=record.model or "",
                prompt=record.prompt_tokens,
                completion=record.completion_tokens,
            )

    def attempt(self, attempt: Attempt) -> None:
        """Count one finished attempt at a candidate, and trace it."""
        self.metrics.count_attempt(attempt)
        self.tracing.attempt(attempt)

    def video(self, *, provider: str, model: str, seconds: float) -> None:
        """Count a video that was made; its job has no request that could tell of it."""
        self.metrics.count_video(provider=provider, model=model, seconds=seconds)

    def windows(self, batch: Batch) -> None:
        """Count windows of live sessions that were decoded together."""
        self.metrics.count_windows(batch)

    def transcript(self, *, provider: str, model: str, is_empty: bool) -> None:
        """Count a transcript that was served; `is_empty` where nothing was heard."""
        self.metrics.count_transcript(provider=provider, model=model, is_empty=is_empty)

    def disagreement(self, *, provider: str, model: str, source: str, rate: float) -> None:
        """Count how far a transcript is from what others heard, 0 to 1."""
        self.metrics.count_disagreement(provider=provider, model=model, source=source, rate=rate)

    def sampled(self, *, provider: str, model: str, seconds: float) -> None:
        """Count seconds of audio that were transcribed for a comparison alone."""
        self.metrics.count_sampled(provider=provider, model=model, seconds=seconds)

    def close(self) -> None:
        """Send the spans that wait; may block for some seconds, so call it in a thread."""
        self.tracing.close()


def _level(record: RequestRecord) -> str:
    if record.status >= _SERVER_ERROR:
        return "warning"
    return "debug" if record.operation in PROBES else "info"


def _more(record: RequestRecord) -> Mapping[str, object]:
    """Return what not every line has."""
    told = record.told or {}
    if not (record.prompt_tokens or record.completion_tokens):
        return told
    tokens = {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens}
    return {**told, **tokens}
