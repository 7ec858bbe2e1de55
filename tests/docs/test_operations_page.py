"""What docs/operations.md tells of metrics is so."""

import re
from pathlib import Path

import pytest

from junctor.core.cards import Capability
from junctor.core.health import BreakerState
from junctor.core.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
KEY = ("fake:one", Capability.TRANSCRIBE)


@pytest.fixture(name="metrics")
def _metrics() -> Metrics:
    metrics = Metrics()
    metrics.watch_breakers(lambda: {KEY: BreakerState.CLOSED})
    metrics.watch_latencies(lambda: {KEY: 1.0})
    return metrics


def test_every_metric_is_told(metrics: Metrics) -> None:
    """By its name on the page, without the endings of its series."""
    told = set(re.findall(r"\bjunctor_\w+", PAGE))
    bare = {re.sub(r"_(total|sum|count|bucket)$", "", name) for name in told}
    kept = {one.name for one in metrics.registry.collect() if one.name.startswith("junctor_")}

    assert bare == kept


def test_labels_of_the_queries_exist(metrics: Metrics) -> None:
    """What is filtered and summed by is on the metrics of the query."""
    metrics.count_disagreement(provider="fake", model="one", source="sample", rate=0.1)
    shown = metrics.render().decode()
    filters = re.findall(r"(junctor_\w+)\{(\w+=\"[^\"]+\")\}", PAGE)

    assert filters
    assert all(re.search(rf"^{name}\{{.*{pair}", shown, re.MULTILINE) for name, pair in filters)
