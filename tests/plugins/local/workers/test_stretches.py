"""Recordings are cut where nobody speaks, into what a window holds."""

import numpy as np
import pytest

from junctor.plugins.local.workers.stretches import join, split


def test_joins_within_the_window():
    """Neighbours share a window as long as the whole fits."""
    assert [(0, 9), (12, 20)] == join([(0, 4), (5, 9), (12, 20)], longest=10)


def test_leaves_short_spans():
    """What fits is not cut."""
    assert [(0.0, 2.0)] == split(np.ones(32_000, np.float32), [(0.0, 2.0)], longest=2.0)


def test_cuts_at_the_quietest_place():
    """A span that is too long is cut where it is quietest, in the last third of the window."""
    samples = np.ones(160_000, np.float32)
    samples[int(5.2 * 16_000) : int(5.3 * 16_000)] = 0
    (_, cut), (begin, end) = split(samples, [(0.0, 10.0)], longest=6.0)

    assert cut == begin == pytest.approx(5.25, abs=0.06)
    assert 10.0 == end


def test_no_part_is_too_long():
    """Whatever the sound, every part fits, and together they are the whole."""
    noise = np.random.default_rng(1).standard_normal(16_000 * 60).astype(np.float32)
    parts = split(noise, [(3.0, 58.0)], longest=7.0)

    assert all(0 < end - start <= 7.0 for start, end in parts)
    assert (3.0, 58.0) == (parts[0][0], parts[-1][1])
    assert [end for _, end in parts[:-1]] == [start for start, _ in parts[1:]]
