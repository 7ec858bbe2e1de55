"""Frames of a picture, looked at straight and askew."""

import itertools

import av
import numpy as np
import pytest
from PIL import Image

from junctor.plugins.local.workers.stills_frames import Drawing
from junctor.plugins.local.workers.stills_moves import WHOLE, path_of
from tests.core.video.pictures import scene, similarity

WIDTH, HEIGHT = 320, 180
PROMPTS = ["zoom in", "pan left", "tilt down fast", "zoom out", "rotate", "orbit", "dolly in"]


def shown(planes):
    """Return planes as RGB."""
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    return frame.reformat(
        format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU709"
    ).to_ndarray()


def drawing(pixels):
    """Return the drawing of RGB pixels."""
    return Drawing(Image.fromarray(pixels))


def dot(x, y):
    """Return a picture with one soft dot, its middle at that place (pixels)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    light = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2))
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)


def place(planes):
    """Return the middle of what is bright, pixels."""
    light = np.clip(planes[:HEIGHT].astype(float) - 24, 0, None)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_begins_with_the_picture(prompt):
    """The first frame is the picture itself, and the next few hardly differ from it."""
    picture = scene(WIDTH, HEIGHT)
    drawn = drawing(picture)
    path = path_of(prompt, seed=1, aspect=WIDTH / HEIGHT)
    seen = [shown(drawn.frame(path.at(number / 119))) for number in range(3)]

    assert similarity(picture, seen[0]) > 0.995
    assert similarity(seen[0], seen[1]) > 0.995
    assert similarity(seen[0], seen[2]) > 0.99


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", [(320, 180), (180, 320), (214, 214)])
def test_makes_nothing_up_at_the_edges(prompt, size):
    """A white picture stays white to the last pixel, whatever the camera does."""
    white = drawing(np.full((size[1], size[0], 3), 255, np.uint8))
    path = path_of(f"{prompt} dramatic fast", seed=2, aspect=size[0] / size[1])
    seen = [white.frame(path.at(number / 20)) for number in range(21)]

    assert {235} == {int(planes[: size[1]].min()) for planes in seen}
    assert {128} == {int(one) for planes in seen for one in np.unique(planes[size[1] :])}


@pytest.mark.parametrize(
    "prompt", ["pan left", "pan right", "tilt up", "zoom in", "rotate", "orbit"]
)
def test_moves_smoothly_between_pixels(prompt):
    """A dot goes its way without trembling: no step differs from the next by a fraction of a pixel."""
    drawn = drawing(dot(90.0, 60.0))
    path = path_of(prompt, seed=1, aspect=WIDTH / HEIGHT)
    places = np.array([place(drawn.frame(path.at(number / 119))) for number in range(120)])
    steps = np.diff(places, axis=0)
    largest = np.abs(steps).max()

    assert 0.05 < largest < 2
    assert np.abs(np.diff(steps, axis=0)).max() < 0.06
    assert np.hypot(*steps.T)[:2].max() < 0.08


def test_pans_by_what_the_path_says():
    """A dot is seen where the corners say that it is."""
    drawn = drawing(dot(100.0, 90.0))
    path = path_of("pan left", seed=4, aspect=WIDTH / HEIGHT)
    for moment in (0.25, 0.5, 0.75, 1.0):
        (left, top), _, (right, bottom), _ = path.at(moment)
        expected = (
            (100 / WIDTH - left) / (right - left) * WIDTH,
            (90 / HEIGHT - top) / (bottom - top) * HEIGHT,
        )

        assert expected == pytest.approx(place(drawn.frame(path.at(moment))), abs=0.1)


def test_looks_alike_straight_and_askew():
    """The filter for what is askew is about as sharp as the one for what is straight."""
    drawn = drawing(scene(WIDTH, HEIGHT))
    straight = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
    askew = ((0.1, 0.1), (0.9, 0.1 + 1e-7), (0.9, 0.9), (0.1, 0.9))

    assert similarity(shown(drawn.frame(straight)), shown(drawn.frame(askew))) > 0.98


def test_frames_do_not_share_memory():
    """A frame that is drawn does not change with the next."""
    drawn = drawing(scene(WIDTH, HEIGHT))
    corners = [path_of("zoom in", seed=0, aspect=1.0).at(moment) for moment in (0.5, 1.0)]
    first = drawn.frame(corners[0])
    kept = first.copy()
    drawn.frame(corners[1])

    assert np.array_equal(kept, first)
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise([drawn.frame(WHOLE), first]))
