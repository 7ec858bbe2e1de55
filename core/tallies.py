"""
Counters and histograms of one event loop, which Prometheus' registry collects.

The client's own ones take a lock and walk their buckets for each number: 6 % of what a relayed
request costs. These are a dictionary and a bisection, for one thread that counts and any that reads.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LABEL_SETS = 1000
"""Different combinations of label values per metric, at most."""
OTHER = "other"


class Counter(Collector):
    """
    A number that grows, by label values; beyond `limit` combinations all new ones are `other`.

    Args:
        name: of the metric, without `_total`.
        text: what it counts.
        labels: their names.
        limit: combinations of values, at most.

    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, limit: int = LABEL_SETS
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._limit = limit
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count `by` more of these label values."""
        found = self._values.get(values)
        if found is None:
            if len(self._values) >= self._limit:
                values = (OTHER,) * len(values)
            found = self._values.get(values, 0.0)
        self._values[values] = found + by

    def collect(self) -> Iterable[Metric]:
        """Yield what was counted."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, number in list(self._values.items()):
            family.add_metric(values, number)
        yield family


class Histogram(Collector):
    """
    How numbers spread over buckets, by label values, bounded as `Counter` is.

    Args:
        name: of the metric.
        text: what is measured.
        labels: their names.
        buckets: upper bounds, ascending.
        limit: combinations of values, at most.

    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        limit: int = LABEL_SETS,
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(map(float, buckets))
        self._limit = limit
        self._spreads: dict[tuple[str, ...], list[float]] = {}
        """A count for each bucket, one for what is beyond them, and the sum."""

    def add(self, *values: str, number: float) -> None:
        """Note one number of these label values."""
        spread = self._spreads.get(values)
        if spread is None:
            if len(self._spreads) >= self._limit:
                values = (OTHER,) * len(values)
            spread = self._spreads.setdefault(values, [0.0] * (len(self._bounds) + 2))
        spread[bisect_left(self._bounds, number)] += 1.0
        spread[-1] += number

    def collect(self) -> Iterable[Metric]:
        """Yield how the numbers spread."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        names = (*map(repr, self._bounds), "+Inf")
        for values, spread in list(self._spreads.items()):
            *counts, total = spread
            below, buckets = 0.0, []
            for name, count in zip(names, counts, strict=True):
                below += count
                buckets.append((name, below))
            family.add_metric(values, buckets=buckets, sum_value=total)
        yield family
