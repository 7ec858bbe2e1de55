"""The benchmark of live captions runs, each part in small."""

import os
import shutil

import pytest

from tests.test_benchmarks import output

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def taskset() -> None:
    """Need what pins servers to a core."""
    if shutil.which("taskset") is None:
        assert not os.environ.get("CI"), "not installed: taskset"
        pytest.skip("not installed: taskset")


async def test_sessions_with_batches_and_without() -> None:
    """Both knees are printed, and their ratio."""
    told = await output("benchmarks.captions", "sessions", "--quick")

    assert "batched: held " in told
    assert "alone: held " in told
    assert "batched / alone: " in told


async def test_overhead_beside_a_bare_echo() -> None:
    """The ratios are printed, and what voice detection costs."""
    told = await output("benchmarks.captions", "overhead", "--quick")

    assert "junctor, VAD off / bare echo: " in told
    assert "VAD costs " in told


async def test_memory_and_latency_of_a_long_session() -> None:
    """Slopes and both latencies are printed, and the final behind them."""
    told = await output("benchmarks.captions", "hour", "--quick")

    assert "KB a minute of audio" in told
    assert "latency of partials, p50/p95 ms: last " in told
    assert "ms behind the end" in told
