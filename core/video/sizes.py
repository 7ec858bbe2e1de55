"""How large a video is: the shapes and resolutions that callers name."""

from typing import Final, Literal

from attrs import frozen

AspectRatio = Literal["16:9", "9:16", "1:1"]
Resolution = Literal["480p", "720p"]

RATE: Final = 24
"""Frames per second."""
MAX_SEED: Final = 2**31 - 1


@frozen
class Size:
    """Width and height in pixels, both even, as H.264 with 4:2:0 chroma needs them."""

    width: int
    height: int


_SHORT: Final[dict[Resolution, int]] = {"480p": 480, "720p": 720}
_LONG: Final[dict[Resolution, int]] = {"480p": 854, "720p": 1280}


def size_of(aspect_ratio: AspectRatio, resolution: Resolution) -> Size:
    """Return the size of a video; the resolution names the shorter side."""
    short, long = _SHORT[resolution], _LONG[resolution]
    match aspect_ratio:
        case "16:9":
            return Size(long, short)
        case "9:16":
            return Size(short, long)
        case "1:1":
            return Size(short, short)
