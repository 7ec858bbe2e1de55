"""
Counters for Prometheus, by contract, provider and model.

Label values come from cards, settings and our own constants, never from a caller, and their number
is bounded besides: beyond `LABEL_SETS` combinations a metric counts everything new as `other`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from junctor.core.attempts import Attempt
from junctor.core.health import BreakerState, Key
from junctor.core.tallies import Counter, Histogram
from junctor.core.windows import Batch

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RATES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1)
_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_STATES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

Breakers = Callable[[], Mapping[Key, BreakerState]]
Latencies = Callable[[], Mapping[Key, float]]
Counts = Callable[[], Mapping[tuple[str, ...], float]]
"""Values by their labels."""


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = self._counter(
            "requests", "Requests answered.", "contract", "operation", "provider", "status"
        )
        self._request_seconds = self._histogram(
            "request_seconds", "Time from request to answer.", "contract", "operation"
        )
        self._audio = self._counter(
            "audio_seconds", "Seconds of audio in requests that were served.", "provider", "model"
        )
        self._video = self._counter(
            "video_seconds", "Seconds of video that were made.", "provider", "model"
        )
        self._tokens = self._counter(
            "tokens", "Tokens that were charged.", "provider", "model", "kind"
        )
        where = ("provider", "model", "capability")
        self._attempts = self._counter("attempts", "Attempts at providers.", *where, "outcome")
        self._fallbacks = self._counter("fallbacks", "Attempts after another failed.", *where)
        self._attempt_seconds = self._histogram("attempt_seconds", "Time an attempt took.", *where)
        self._first_seconds = self._histogram(
            "first_item_seconds", "Time to an attempt's first item.", *where
        )
        self._factor = self._histogram(
            "real_time_factor",
            "Seconds of work per second of audio.",
            *where,
            buckets=_FACTORS,
        )
        self._add_transcripts()
        self._add_windows()

    def _add_transcripts(self) -> None:
        who = ("provider", "model")
        self._transcripts = self._counter("transcripts", "Transcripts served.", *who)
        self._empty = self._counter("empty_transcripts", "Transcripts without a word.", *who)
        self._proxy = self._histogram(
            "wer_proxy", "Word errors against what others heard.", *who, "source", buckets=_RATES
        )
        self._sampled = self._counter(
            "sampled_audio_seconds", "Seconds of audio transcribed again to compare.", *who
        )

    def _add_windows(self) -> None:
        who = ("provider", "model")
        self._batch_size = self._histogram(
            "window_batch_size",
            "Windows of live sessions decoded together.",
            *who,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
        )
        self._batch_queue = self._histogram(
            "window_queue_seconds", "Longest wait of a window for its batch.", *who
        )
        self._batch_seconds = self._histogram(
            "window_batch_seconds", "Time a batch of windows took.", *who
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(f"junctor_{name}", text, labels)
        self.registry.register(counter)
        return counter

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        histogram = Histogram(f"junctor_{name}", text, labels, buckets=buckets)
        self.registry.register(histogram)
        return histogram

    def count_request(
        self, *, contract: str, operation: str, provider: str, status: int, seconds: float
    ) -> None:
        """Count one answered request that took so many seconds."""
        self._requests.add(contract, operation, provider, str(status))
        self._request_seconds.add(contract, operation, number=seconds)

    def count_audio(self, *, provider: str, model: str, seconds: float) -> None:
        """Count seconds of audio that were served."""
        self._audio.add(provider, model, by=seconds)

    def count_video(self, *, provider: str, model: str, seconds: float) -> None:
        """Count seconds of video that were made."""
        self._video.add(provider, model, by=seconds)

    def count_tokens(self, *, provider: str, model: str, prompt: int, completion: int) -> None:
        """Count tokens that were charged."""
        self._tokens.add(provider, model, "prompt", by=prompt)
        self._tokens.add(provider, model, "completion", by=completion)

    def count_attempt(self, attempt: Attempt) -> None:
        """Count one finished attempt, good or bad."""
        where = (attempt.provider, attempt.model, attempt.capability.value)
        self._attempts.add(*where, attempt.outcome)
        self._attempt_seconds.add(*where, number=attempt.seconds)
        if attempt.is_fallback:
            self._fallbacks.add(*where)
        if attempt.first_item_seconds is not None:
            self._first_seconds.add(*where, number=attempt.first_item_seconds)
        if attempt.is_ok and attempt.audio_seconds > 0:
            self._factor.add(*where, number=attempt.seconds / attempt.audio_seconds)

    def count_transcript(self, *, provider: str, model: str, is_empty: bool) -> None:
        """Count a transcript that was served, with or without a word."""
        self._transcripts.add(provider, model)
        if is_empty:
            self._empty.add(provider, model)

    def count_disagreement(self, *, provider: str, model: str, source: str, rate: float) -> None:
        """Count a transcript by how far it is from what others heard, 0 to 1."""
        self._proxy.add(provider, model, source, number=rate)

    def count_sampled(self, *, provider: str, model: str, seconds: float) -> None:
        """Count seconds of audio that were transcribed for a comparison alone."""
        self._sampled.add(provider, model, by=seconds)

    def count_windows(self, batch: Batch) -> None:
        """Count windows of live sessions that were decoded together."""
        who = (batch.provider, batch.model)
        self._batch_size.add(*who, number=batch.size)
        self._batch_queue.add(*who, number=batch.queued)
        self._batch_seconds.add(*who, number=batch.seconds)

    def watch_breakers(self, breakers: Breakers) -> None:
        """Show the state of every breaker, asked for at each scrape."""
        self._watch(
            "breaker_state",
            "0 closed, 1 half-open, 2 open.",
            lambda: {key: float(_STATES[state]) for key, state in breakers().items()},
        )

    def watch_latencies(self, latencies: Latencies) -> None:
        """Show the 95th percentile of every candidate's latency, asked for at each scrape."""
        self._watch("latency_p95_seconds", "95th percentile of the time to an answer.", latencies)

    def watch_jobs(self, counts: Counts) -> None:
        """Show how many jobs are queued and running, asked for at each scrape."""
        labels = ("queue", "state")
        text = "Jobs that are not over, in all processes together."
        self.registry.register(_Gauges("junctor_jobs", text, labels, counts))

    def _watch(self, name: str, text: str, values: Latencies) -> None:
        def named() -> dict[tuple[str, ...], float]:
            return {
                (*_halves(model), capability.value): value
                for (model, capability), value in values().items()
            }

        labels = ("provider", "model", "capability")
        self.registry.register(_Gauges(f"junctor_{name}", text, labels, named))

    def render(self) -> bytes:
        """Return everything in Prometheus' text format; some milliseconds of work."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, name: str, text: str, labels: Sequence[str], values: Counts) -> None:
        self._name, self._text, self._labels, self._values = name, text, labels, values

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._values().items():
            family.add_metric(labels, value)
        yield family


def _halves(name: str) -> tuple[str, str]:
    provider, _, model = name.partition(":")
    return provider, model
