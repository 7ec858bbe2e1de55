"""Other sample rates, whole and as a stream."""

import numpy as np
import pytest

from junctor.core.audio.resample import Resampler, resample
from tests.media import make_tone


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_tone_survives(rate: int) -> None:
    """The same tone comes out at the other rate, as long as before."""
    samples = resample(make_tone(1.0, rate), rate)
    middle = slice(2_000, -2_000)

    assert (16_000, "float32") == (len(samples), samples.dtype.name)
    assert np.abs(samples - make_tone(1.0, 16_000))[middle].max() < 0.001


def test_nothing_to_do() -> None:
    """At the right rate the very array comes back."""
    samples = make_tone(0.1, 16_000)

    assert resample(samples, 16_000) is samples


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("size", [37, 1_000, 44_100])
def test_stream_equals_whole(rate: int, size: int) -> None:
    """Blocks of any size give what the whole gives."""
    tone = make_tone(1.0, rate)
    resampler = Resampler(rate)
    parts = [resampler.feed(tone[first : first + size]) for first in range(0, len(tone), size)]
    joined = np.concatenate([*parts, resampler.flush()])

    assert len(resample(tone, rate)) == len(joined)
    assert np.abs(joined - resample(tone, rate)).max() < 1e-4
