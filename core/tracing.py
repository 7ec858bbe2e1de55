"""
Spans for OpenTelemetry: one per request, one per attempt below it.

Nothing of OpenTelemetry is imported unless an endpoint is configured; it comes with the extra
``otel``.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from junctor.core.attempts import Attempt
from junctor.core.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_NANO = 1_000_000_000
_PATH = "/v1/traces"
_NO_SPAN: AbstractContextManager[None] = nullcontext()

Note = dict[str, str | int | float]
"""What is known of a request at its end: attributes of its span."""


class Tracing(Protocol):
    """Follows requests; the attempts made while one is followed belong to it."""

    def request(self, headers: Mapping[str, str], note: Note) -> AbstractContextManager[None]:
        """Follow one request; `note` is read at its end, `name` in it names the span."""

    def attempt(self, attempt: Attempt) -> None:
        """Report one finished attempt of the request that the current task works on."""

    def close(self) -> None:
        """Send what waits; may block for some seconds."""


class NoTracing:
    """Follows nothing, at no cost."""

    def request(self, headers: Mapping[str, str], note: Note) -> AbstractContextManager[None]:  # noqa: ARG002  # the protocol's
        """Do nothing."""
        return _NO_SPAN

    def attempt(self, attempt: Attempt) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OpenTelemetryTracing:
    """Sends spans to a collector, in batches, from a thread of its own."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("junctor")
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace

    def request(self, headers: Mapping[str, str], note: Note) -> AbstractContextManager[None]:
        """Follow one request, as a part of the caller's trace where it sent a `traceparent`."""
        return self._followed(headers, note)

    @contextmanager
    def _followed(self, headers: Mapping[str, str], note: Note) -> Iterator[None]:
        parent = self._propagator.extract(headers)
        kind = self._trace.SpanKind.SERVER
        with self._tracer.start_as_current_span("request", context=parent, kind=kind) as span:
            try:
                yield
            finally:
                span.update_name(str(note.pop("name", "request")))
                span.set_attributes(note)
                self._judge(span, str(note.get("junctor.error", "")))

    def attempt(self, attempt: Attempt) -> None:
        """Report an attempt, with the times it had."""
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{attempt.capability} {attempt.provider}",
            start_time=end - int(attempt.seconds * _NANO),
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "junctor.provider": attempt.provider,
                "junctor.model": attempt.model,
                "junctor.outcome": attempt.outcome,
                "junctor.is_fallback": attempt.is_fallback,
                "junctor.audio_seconds": attempt.audio_seconds,
            },
        )
        self._judge(span, "" if attempt.is_ok else attempt.outcome)
        span.end(end)

    def _judge(self, span: "Span", error: str) -> None:
        if error:
            status = self._trace.Status(self._trace.StatusCode.ERROR, error)
            span.set_status(status)

    def close(self) -> None:
        """Send what waits and stop the thread."""
        self._provider.shutdown()


def open_tracing(endpoint: str, *, version: str) -> Tracing:
    """
    Send spans to a collector that speaks OTLP over HTTP.

    Args:
        endpoint: the collector's base URL, or the whole URL of its `/v1/traces`.
        version: of this server.

    Raises:
        ConfigError: OpenTelemetry is not installed.

    """
    try:
        exporter = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        sdk = import_module("opentelemetry.sdk.trace")
    except ImportError as exc:
        message = "OpenTelemetry is not installed. Install it with: pip install 'junctor[otel]'"
        raise ConfigError(message, key="telemetry.otlp_endpoint") from exc
    batches = import_module("opentelemetry.sdk.trace.export")
    resources = import_module("opentelemetry.sdk.resources")
    url = endpoint if endpoint.endswith(_PATH) else endpoint.rstrip("/") + _PATH
    resource = resources.Resource.create({"service.name": "junctor", "service.version": version})
    provider = sdk.TracerProvider(resource=resource)
    sender = exporter.OTLPSpanExporter(endpoint=url)
    provider.add_span_processor(batches.BatchSpanProcessor(sender))
    return OpenTelemetryTracing(provider)
