"""Samples of every kind made mono at 16 kHz."""

import numpy as np
import pytest

from junctor.core.audio.mixdown import Mixdown, mix
from tests.media import make_tone


@pytest.mark.parametrize(
    ("dtype", "loudest", "quietest"),
    [("u1", 255, 0), ("i2", 32767, -32768), ("i4", 2**31 - 1, -(2**31)), ("f4", 1, -1)],
)
def test_full_scale_of_each_type(dtype: str, loudest: int, quietest: int) -> None:
    """The extremes of each sample type are close to 1 and -1, in stereo too."""
    channel = np.array([loudest, quietest], dtype)

    assert [1, -1] == pytest.approx(mix([channel]).tolist(), abs=0.01)
    assert [1, -1] == pytest.approx(mix([channel, channel]).tolist(), abs=0.01)


def test_channels_are_averaged() -> None:
    """Opposite channels cancel out, and the inputs stay as they were."""
    left = np.array([0.5, 0.25], np.float32)

    assert [0, 0] == mix([left, -left]).tolist()
    assert [0.5, 0.25] == left.tolist()


def test_rate_may_change_in_the_middle() -> None:
    """Blocks of several rates are joined at 16 kHz."""
    mixdown = Mixdown()
    for rate in (16_000, 48_000, 48_000, 8_000):
        mixdown.add(make_tone(0.5, rate), rate)

    assert 4 * 8_000 == len(mixdown.finish())


def test_nothing_added() -> None:
    """No sound gives an empty array."""
    assert (0,) == Mixdown().finish().shape
