"""Attempts, requests and breakers are counted by provider and model."""

import pytest

from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.health import BreakerState
from junctor.core.metrics import Metrics
from junctor.core.windows import Batch

WHERE = {"provider": "fake", "model": "one", "capability": "transcribe"}


def attempt(outcome: str = "ok", *, is_fallback: bool = False) -> Attempt:
    return Attempt(
        provider="fake",
        model="one",
        capability=Capability.TRANSCRIBE,
        outcome=outcome,
        seconds=0.5,
        first_item_seconds=0.4,
        audio_seconds=2.0,
        is_fallback=is_fallback,
    )


def test_attempt_is_counted_by_outcome():
    """Each outcome has its own series."""
    metrics = Metrics()
    metrics.count_attempt(attempt("ProviderTimeoutError"))

    labels = {**WHERE, "outcome": "ProviderTimeoutError"}

    assert metrics.registry.get_sample_value("junctor_attempts_total", labels) == 1


def test_windows_are_counted_by_batch():
    """How many went together, how long they waited and took."""
    metrics, who = Metrics(), {"provider": "fake", "model": "one"}
    for size in (2, 6):
        metrics.count_windows(
            Batch(provider="fake", model="one", size=size, queued=0.1, seconds=0.02)
        )

    found = {
        name: metrics.registry.get_sample_value(f"junctor_window_{name}_sum", who)
        for name in ("batch_size", "queue_seconds", "batch_seconds")
    }

    assert found == pytest.approx({"batch_size": 8, "queue_seconds": 0.2, "batch_seconds": 0.04})


def test_fallback_is_counted():
    """An attempt after a failed one counts as a fallback."""
    metrics = Metrics()
    metrics.count_attempt(attempt())
    metrics.count_attempt(attempt(is_fallback=True))

    assert metrics.registry.get_sample_value("junctor_fallbacks_total", WHERE) == 1


def test_real_time_factor():
    """It is seconds of work per second of audio, of good attempts only."""
    metrics = Metrics()
    metrics.count_attempt(attempt())
    metrics.count_attempt(attempt("cancelled"))

    total = metrics.registry.get_sample_value("junctor_real_time_factor_sum", WHERE)

    assert total == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("state", "value"),
    [(BreakerState.CLOSED, 0), (BreakerState.HALF_OPEN, 1), (BreakerState.OPEN, 2)],
)
def test_breaker_state(state, value):
    """Every breaker shows its state at each scrape."""
    metrics = Metrics()
    metrics.watch_breakers(lambda: {("fake:one", Capability.TRANSCRIBE): state})

    assert metrics.registry.get_sample_value("junctor_breaker_state", WHERE) == value


def test_latency():
    """The 95th percentile of each candidate shows at each scrape."""
    metrics = Metrics()
    metrics.watch_latencies(lambda: {("fake:one", Capability.TRANSCRIBE): 0.7})

    assert metrics.registry.get_sample_value("junctor_latency_p95_seconds", WHERE) == 0.7


def test_jobs():
    """Jobs that are not over show at each scrape, by queue and state."""
    metrics = Metrics()
    metrics.watch_jobs(lambda: {("video", "queued"): 3})
    labels = {"queue": "video", "state": "queued"}

    assert metrics.registry.get_sample_value("junctor_jobs", labels) == 3


def test_request_and_audio():
    """Requests are counted by status, audio by who served it."""
    metrics = Metrics()
    metrics.count_request(
        contract="openai", operation="transcribe", provider="fake", status=200, seconds=0.1
    )
    metrics.count_audio(provider="fake", model="one", seconds=2.5)
    metrics.count_transcript(provider="fake", model="one", is_empty=True)

    text = metrics.render().decode()

    assert (
        'junctor_requests_total{contract="openai",operation="transcribe",'
        'provider="fake",status="200"} 1.0' in text
    )
    assert 'junctor_audio_seconds_total{model="one",provider="fake"} 2.5' in text
    assert 'junctor_empty_transcripts_total{model="one",provider="fake"} 1.0' in text
