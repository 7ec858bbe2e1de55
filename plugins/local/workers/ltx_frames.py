"""Pictures into the model and out of it: padded to its grid, decoded in pieces, cropped again."""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from junctor.core.errors import ProviderAnswerError, ProviderRejectedError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

PIECE: Final = 9
"""Latent frames decoded at once: 65 frames."""
STRIDE: Final = 6
"""Latent frames from one piece to the next; what both have is blended."""


def read_picture(png: bytes | bytearray, *, width: int, height: int) -> "NDArray[np.uint8]":
    """
    Return the picture's pixels, (height, width, 3).

    Raises:
        ProviderRejectedError: it is no picture of that size.

    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(png), formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("RGB")) if image.size == (width, height) else None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ProviderRejectedError("The first frame is no PNG.", provider="") from error
    if pixels is None:
        raise ProviderRejectedError("The first frame has another size.", provider="")
    return pixels


def padded(pixels: "NDArray[np.uint8]", *, grid: int) -> "NDArray[np.uint8]":
    """Return the picture with its edges repeated on all sides, up to multiples of `grid` pixels."""
    import numpy as np

    sides = [(-size % grid) for size in pixels.shape[:2]]
    before = [side // 2 for side in sides]
    around = [(one, side - one) for one, side in zip(before, sides, strict=True)]
    return np.pad(pixels, (*around, (0, 0)), mode="edge")


def frames_made(frames: int) -> int:
    """Return how many frames the model makes for so many: the next multiple of 8, and one."""
    return -(-frames // 8) * 8 + 1


def centre(size: int, wanted: int) -> slice:
    """Return where the middle `wanted` of `size` pixels are, as `padded` put them."""
    start = (size - wanted) // 2
    return slice(start, start + wanted)


def decoded(
    vae: Any, latents: "torch.Tensor", *, piece: int = PIECE, stride: int = STRIDE
) -> Iterator["torch.Tensor"]:
    """
    Decode a video a piece at a time, so that memory does not grow with its length.

    A piece of latent frames a to b gives the frames 8a to 8b: its first is one frame, every other
    eight. What two pieces both have goes over from one to the other, since the ends of a piece lack
    what lies beyond. (diffusers' own way places each piece but the first a frame too late.)

    Args:
        vae: the video's autoencoder.
        latents: (1, channels, latent frames, height, width), as the autoencoder wants them.
        piece: latent frames decoded at once.
        stride: latent frames from one piece to the next.

    Yields:
        (3, frames, height, width), -1 to 1, in the model's numbers.

    Raises:
        ProviderAnswerError: they are no numbers.

    """
    import torch

    ratio = vae.temporal_compression_ratio
    count = latents.shape[2]
    tail: torch.Tensor | None = None
    for start in range(0, max(count - 1, 1), stride):
        is_last = start + piece >= count
        made = vae.decode(latents[:, :, start : start + piece], None, return_dict=False)[0][0]
        if not torch.isfinite(made).all():
            raise ProviderAnswerError("The model made pictures of no numbers.", provider="")
        if tail is not None:
            shared = tail.shape[1]
            rising = torch.arange(shared, device=made.device, dtype=made.dtype)
            rising = (rising / shared)[None, :, None, None]
            made[:, :shared] = tail * (1 - rising) + made[:, :shared] * rising
        if is_last:
            yield made
            return
        yield made[:, : stride * ratio]
        tail = made[:, stride * ratio :].clone()


def pieces_of(count: int, *, piece: int = PIECE, stride: int = STRIDE) -> int:
    """Return how many pieces so many latent frames are decoded in."""
    return 1 + max(0, -(-(count - piece) // stride))


def as_bytes(made: "torch.Tensor", *, width: int, height: int) -> "NDArray[np.uint8]":
    """Return frames (frames, height, width, 3), the middle of what the model made."""
    import torch

    rows, columns = centre(made.shape[2], height), centre(made.shape[3], width)
    cut = made[:, :, rows, columns].permute(1, 2, 3, 0).float()
    pixels: NDArray[np.uint8] = (
        ((cut + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    )
    return pixels


def resampled(sound: "torch.Tensor", *, rate: int) -> "NDArray[np.float32]":
    """
    Return what the vocoder made as 48,000 Hz stereo, (2, samples), -1 to 1.

    Args:
        sound: (channels, samples).
        rate: its samples per second.

    Raises:
        ProviderAnswerError: they are no numbers.

    """
    import numpy as np
    import soxr

    made = sound.float().cpu().numpy()
    if not np.isfinite(made).all():
        raise ProviderAnswerError("The model made sound of no numbers.", provider="")
    stereo = np.broadcast_to(made, (2, made.shape[1])) if len(made) == 1 else made[:2]
    at_rate = soxr.resample(np.ascontiguousarray(stereo.T), rate, 48_000).T
    return np.ascontiguousarray(at_rate.clip(-1, 1), dtype=np.float32)
