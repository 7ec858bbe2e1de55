"""Pictures and videos as tests look at them: made up, decoded, compared, and judged by ffprobe."""

import json
import subprocess
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BLOCK = 8
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def scene(width: int, height: int) -> NDArray[np.uint8]:
    """Return RGB pixels with broad shapes, edges and fine texture, the same at every call."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 255, (9, 16, 3), np.uint8)
    broad = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:height, :width]
    stripes = 25 * np.sin(x / 5 + 6 * np.sin(y / 40))
    boxes = 40 * (((x // 37) + (y // 29)) % 2)
    whole = broad * 0.7 + (stripes + boxes)[..., None] + random.normal(0, 2, (height, width, 1))
    return np.asarray(np.clip(whole, 0, 255), np.uint8)


def frames(path: Path) -> list[NDArray[np.uint8]]:
    """Return all frames of a video, RGB."""
    with av.open(str(path)) as container:
        return [
            np.asarray(
                frame.reformat(
                    format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU709"
                ).to_ndarray(),
                np.uint8,
            )
            for frame in container.decode(video=0)
        ]


def sound(path: Path) -> NDArray[np.float32]:
    """Return the sound of a video, stereo."""
    with av.open(str(path)) as container:
        blocks = [block.to_ndarray() for block in container.decode(audio=0)]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """
    Return the mean structural similarity of two pictures' luma, in blocks of 8 by 8.

    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: "Image quality assessment: from error
    visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004,
    equation 13.
    """
    a, b = (_blocks(picture @ np.array([0.2126, 0.7152, 0.0722])) for picture in (one, other))
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    together = ((a - mean_a[..., None]) * (b - mean_b[..., None])).mean(-1)
    top = (2 * mean_a * mean_b + _C1) * (2 * together + _C2)
    bottom = (mean_a**2 + mean_b**2 + _C1) * (a.var(-1) + b.var(-1) + _C2)
    return float((top / bottom).mean())


def probe(path: Path) -> dict[str, dict[str, str]]:
    """Return what ffprobe says: the picture (`video`), the sound (`audio`) and the file (`format`)."""
    command = ["ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format"]
    said = subprocess.run(
        [*command, "-of", "json", str(path)], check=True, capture_output=True
    ).stdout
    found = json.loads(said)
    streams = {stream["codec_type"]: stream for stream in found["streams"]}
    assert len(found["streams"]) == len(streams)
    return streams | {"format": found["format"]}


def _blocks(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a plane into blocks, leaving out what is over at the right and below."""
    height, width = (side - side % _BLOCK for side in luma.shape)
    rows = luma[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return rows.swapaxes(1, 2).reshape(height // _BLOCK, width // _BLOCK, _BLOCK * _BLOCK)
