"""Counters and histograms read as those of Prometheus' own client do."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from junctor.core.tallies import Counter, Histogram

BUCKETS = (0.1, 1, 5)
NUMBERS = (0.05, 0.1, 0.5, 1.0, 4.0, 6.0, 100.0)


def _shown(registry: CollectorRegistry) -> list[str]:
    return [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]


def test_a_counter_reads_as_the_clients_own() -> None:
    """Line by line."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Counter("x", "What it is.", ("a", "b"))
    ours.register(mine)
    other = prometheus_client.Counter("x", "What it is.", ("a", "b"), registry=theirs)
    for value in ("one", "two", "one"):
        mine.add(value, "b", by=2)
        other.labels(value, "b").inc(2)

    assert _shown(ours) == _shown(theirs)


def test_a_histogram_reads_as_the_clients_own() -> None:
    """Numbers on a bound belong below it; what is beyond the last is in +Inf alone."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("x", "What it is.", ("a",), buckets=BUCKETS)
    ours.register(mine)
    other = prometheus_client.Histogram(
        "x", "What it is.", ("a",), registry=theirs, buckets=BUCKETS
    )
    for number in NUMBERS:
        mine.add("one", number=number)
        other.labels("one").observe(number)

    assert _shown(ours) == _shown(theirs)


@pytest.mark.parametrize("more", [1, 50])
def test_label_sets_are_bounded(more: int) -> None:
    """Beyond the limit everything new is counted together."""
    registry = CollectorRegistry()
    counter = Counter("x", "x", ("a",), limit=2)
    histogram = Histogram("y", "y", ("a",), buckets=BUCKETS, limit=2)
    registry.register(counter)
    registry.register(histogram)
    for value in ("one", "two", *map(str, range(more))):
        counter.add(value)
        histogram.add(value, number=1)

    assert registry.get_sample_value("x_total", {"a": "other"}) == more
    assert registry.get_sample_value("y_count", {"a": "other"}) == more
    assert registry.get_sample_value("x_total", {"a": "one"}) == 1
