"""A picture as a camera sees it, in the planes that the encoder takes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import frozen

from junctor.core.video.mp4 import planes_of
from junctor.plugins.local.workers.stills_moves import WHOLE, Corners

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_STRAIGHT: Final = 1e-9
_FINE: Final = (2, 4, 4)
"""
How many samples a plane is enlarged to, for each it has, where it is looked at askew.

The filter of luma is the quick one (it would blur what is not enlarged), and chroma has none.
"""


@frozen(eq=False)
class _Plane:
    """One of luma and the two of chroma."""

    image: "Image"
    fine: "Image"
    """The same enlarged; its samples are among those, so that seen from the front it is no other."""
    factor: int
    """How often it is enlarged."""
    start: int
    """Of its samples among those of all planes."""

    def seen(self, corners: Corners, matrix: "NDArray[np.float64] | None") -> "Image":
        """Return what is between corners; the matrix maps the frame onto it, where it is askew."""
        import numpy as np
        from PIL.Image import Resampling, Transform

        width, height = self.image.size
        if matrix is None:
            (left, top), _, (right, bottom), _ = corners
            box = (left * width, top * height, right * width, bottom * height)
            return self.image.resize((width, height), Resampling.BICUBIC, box=box)
        factor, shift = self.factor, 0.5 - self.factor / 2
        onto = np.array([[factor * width, 0, shift], [0, factor * height, shift], [0, 0, 1]])
        whole = onto @ matrix @ np.diag([1 / width, 1 / height, 1])
        data = (whole / whole[2, 2]).ravel()[:8].tolist()
        sampling = Resampling.BILINEAR if factor == _FINE[0] else Resampling.NEAREST
        return self.fine.transform((width, height), Transform.PERSPECTIVE, data, sampling)


class Drawing:
    """
    One picture; frames of it may be drawn in several threads at once.

    Args:
        picture: with both sides even.

    """

    def __init__(self, picture: "Image") -> None:
        import numpy as np

        self._width, self._height = picture.size
        self._whole = planes_of(np.asarray(picture))
        self._planes = list(self._cut())

    def frame(self, corners: Corners) -> "NDArray[np.uint8]":
        """Return the frame between corners, as `Mp4Writer.planes` takes it."""
        import numpy as np

        if corners == WHOLE:
            return self._whole
        matrix = None if _is_straight(corners) else _onto(corners)
        drawn = np.empty_like(self._whole)
        samples = drawn.reshape(-1)
        for plane in self._planes:
            seen = np.asarray(plane.seen(corners, matrix)).reshape(-1)
            samples[plane.start : plane.start + seen.size] = seen
        return drawn

    def _cut(self) -> "Iterator[_Plane]":
        from PIL import Image

        samples, start = self._whole.reshape(-1), 0
        for factor, half in zip(_FINE, (1, 2, 2), strict=True):
            width, height = self._width // half, self._height // half
            image = Image.fromarray(samples[start : start + width * height].reshape(height, width))
            edge = 0.5 - 0.5 / factor
            fine = image.resize(
                (factor * (width - 1) + 1, factor * (height - 1) + 1),
                Image.Resampling.BICUBIC,
                box=(edge, edge, width - edge, height - edge),
            )
            yield _Plane(image=image, fine=fine, factor=factor, start=start)
            start += width * height


def _is_straight(corners: Corners) -> bool:
    """Whether they are those of an upright rectangle."""
    (a, b), (c, d), (e, f), (g, h) = corners
    return max(abs(a - g), abs(c - e), abs(b - d), abs(f - h)) < _STRAIGHT


def _onto(corners: Corners) -> "NDArray[np.float64]":
    """
    Return the projective map of the unit square onto corners, 3 by 3.

    Eight equations for eight unknowns: P. S. Heckbert, "Fundamentals of texture mapping and image
    warping", 1989, section 2.2.3.
    """
    import numpy as np

    rows, sides = [], []
    for (u, v), (x, y) in zip(WHOLE, corners, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        sides += [x, y]
    return np.append(np.linalg.solve(np.array(rows), np.array(sides)), 1.0).reshape(3, 3)
