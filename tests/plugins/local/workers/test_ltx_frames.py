"""Pictures padded for the model, pieces put together, sound brought to its rate."""

import numpy as np
import pytest

from junctor.core.errors import ProviderAnswerError, ProviderRejectedError
from junctor.core.testing.pictures import picture_of
from junctor.plugins.local.workers.ltx_frames import (
    as_bytes,
    centre,
    decoded,
    frames_made,
    padded,
    pieces_of,
    read_picture,
    resampled,
)

pytestmark = pytest.mark.slow  # the first of them imports torch


class Ramp:
    """A decoder whose frames show their own number, as the real one counts them."""

    temporal_compression_ratio = 8

    def decode(self, latents, timestep, *, return_dict):
        """Give 8 frames for every latent but the first, which holds the number of its frame."""
        import torch

        start = latents[0, 0, 0, 0, 0]
        count = 8 * (latents.shape[2] - 1) + 1
        frames = start + torch.arange(count, dtype=torch.float32)
        return (frames[None, None, :, None, None].expand(1, 3, count, 4, 4).clone(),)


def latents_of(count):
    """Latents that hold the number of the first frame each of them makes."""
    import torch

    return (8.0 * torch.arange(count))[None, None, :, None, None].expand(1, 1, count, 1, 1)


def test_picture():
    """A PNG becomes its pixels."""
    pixels = read_picture(picture_of(6, 4), width=6, height=4)

    assert ((4, 6, 3), np.uint8) == (pixels.shape, pixels.dtype)


@pytest.mark.parametrize(("data", "size"), [(b"", 6), (b"GIF89a", 6), (picture_of(6, 4), 8)])
def test_no_picture(data, size):
    """Neither rubbish nor another size is taken."""
    with pytest.raises(ProviderRejectedError):
        read_picture(data, width=size, height=4)


@pytest.mark.parametrize(("size", "grid"), [((720, 1280), 32), ((854, 480), 64), ((64, 64), 32)])
def test_padding_is_undone(size, grid):
    """What was put around a picture is what is cut from the video."""
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    large = padded(pixels, grid=grid)
    middle = large[centre(large.shape[0], size[0]), centre(large.shape[1], size[1])]

    assert [0, 0] == [side % grid for side in large.shape[:2]]
    assert np.array_equal(middle, pixels)
    assert np.array_equal(large[0, -1], pixels[0, -1])


@pytest.mark.parametrize(("frames", "made"), [(24, 25), (48, 49), (240, 241), (25, 33), (1, 9)])
def test_frames(frames, made):
    """The model makes a multiple of 8 and one; at least one is left over."""
    assert made == frames_made(frames)


@pytest.mark.parametrize("count", [1, 2, 4, 9, 10, 13, 15, 16, 31])
def test_pieces_follow_one_another(count):
    """Every frame is where it is when all are decoded at once, whatever the length."""
    import torch

    pieces = list(decoded(Ramp(), latents_of(count)))
    numbers = torch.cat(pieces, 1)[0, :, 0, 0]

    assert torch.allclose(torch.arange(8.0 * (count - 1) + 1), numbers, atol=1e-3)
    assert pieces_of(count) == len(pieces)
    assert max(piece.shape[1] for piece in pieces) <= 65


def test_no_numbers():
    """Pictures that are none are no video."""
    with pytest.raises(ProviderAnswerError):
        list(decoded(Ramp(), latents_of(3) * float("nan")))


def test_bytes():
    """-1 to 1 becomes 0 to 255, and what is beyond stays there."""
    import torch

    made = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])[None, :, None, None].expand(3, 5, 4, 6)
    pixels = as_bytes(made, width=2, height=2)

    assert (5, 2, 2, 3) == pixels.shape
    assert [0, 0, 128, 255, 255] == pixels[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("channels", [1, 2])
def test_sound(channels):
    """A second is a second at 48,000 Hz, in two channels."""
    import torch

    hum = torch.sin(torch.arange(16000) * 0.1)[None].expand(channels, 16000)
    found = resampled(hum, rate=16000)

    assert ((2, 48000), np.float32) == (found.shape, found.dtype)
    assert 1.0 == pytest.approx(np.abs(found).max(), abs=0.02)


def test_sound_of_no_numbers():
    """Sound that is none is no video."""
    import torch

    with pytest.raises(ProviderAnswerError):
        resampled(torch.full((2, 10), float("inf")), rate=16000)
