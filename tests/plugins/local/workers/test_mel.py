"""The batched features are those of faster-whisper, window by window."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from junctor.plugins.local.workers.mel import Mel, frames_of
from tests.plugins.local.voices import say


@pytest.fixture(name="extractor", scope="module", params=[80, 128])
def _extractor(request):
    return FeatureExtractor(feature_size=request.param)


def noise(samples: int, level: float) -> np.ndarray:
    return (level * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


async def test_each_window_is_as_if_alone(extractor):
    """Loud beside faint, short beside long: each has its own range, and the same numbers."""
    speech = await say("please open the door").samples()
    windows = [noise(25_600, 0.2), speech, noise(8_001, 1e-4), noise(400, 0.5), speech[:25_599]]
    found = Mel(extractor.mel_filters).batch(windows, frames=400)

    for window, features in zip(windows, found, strict=True):
        alone = extractor(window)
        count = alone.shape[1]
        assert frames_of(len(window)) == count
        assert np.abs(features[:, :count] - alone).max() < 1e-4
        assert not features[:, count:].any()


def test_what_is_too_much_is_cut(extractor):
    """More frames than asked for are left out, though they count for the range, as in Whisper."""
    window = noise(32_000, 0.1)
    [features] = Mel(extractor.mel_filters).batch([window], frames=100)

    assert np.abs(features - extractor(window)[:, :100]).max() < 1e-4


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_next_to_nothing_has_features(extractor, samples):
    """A window shorter than a frame is one."""
    [features] = Mel(extractor.mel_filters).batch([noise(samples, 0.1)], frames=20)

    assert np.isfinite(features).all()
    assert features.dtype == np.float32
