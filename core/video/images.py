"""
A caller's picture becomes the first frame of a video: of its exact size, in sRGB, nothing beside.

What a file is, is read from its bytes. A submission only looks at it (`look`), which takes
milliseconds; its job fits it (`fitted`). Its pixels are counted in its header before any is decoded,
and it is scaled first and turned, laid over white and converted after, when it is small.
"""

import asyncio
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Final
from zlib import crc32

from junctor.core.audio import run_in_slot
from junctor.core.errors import PictureError
from junctor.core.video.sizes import Size

if TYPE_CHECKING:  # Pillow is imported with the first picture
    from PIL.Image import Image, Transpose

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_ORIENTATION: Final = 0x0112
"""The EXIF tag."""
_MP_ENTRIES: Final = 0xB002
"""The tag that lists the pictures in a JPG: CIPA DC-007, 5.2.3."""
_SCAN: Final = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]")
_JPEG: Final = b"\xff\xd8\xff"
_MARKER: Final = re.compile(rb"\xff{1,1000}([^\xff])", re.DOTALL)
"""There may be fill bytes before one (ITU T.81, B.1.1.2)."""
_MAX_BLOCKS: Final = 1000
"""
Before the first scan of a JPG: 25 MB of profiles and metadata are 400. Pillow goes through a header
byte by byte and keeps each block, so that one of six million takes half a minute and 800 MB.
"""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 25_000
"""Of a PNG; encoders write 8 KB or more into each. Empty ones, of which Pillow keeps each, took 2 s for 4 MB."""
_START_OF_SCAN: Final = b"\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"
_MAX_SCANS: Final = 32
"""
Passes over a progressive JPEG; encoders make about ten. A scan may be a few bytes of file and yet
cost a pass over all pixels, so that a file of 25 MB could keep a processor busy for minutes.
"""


async def look(
    data: bytes,
    *,
    max_pixels: int,
    slots: asyncio.Semaphore,
    bound: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> None:
    """
    Do what `looked_at` does in a thread, as soon as a slot is free.

    Args:
        data: the file as it came.
        max_pixels: largest picture that is taken.
        slots: how many pictures may be looked at or decoded at once.
        bound: makes the context in which it is waited for; it may bound the time.

    Raises:
        PictureError: as `looked_at` raises it.

    """
    async with bound():
        await run_in_slot(slots, lambda _stop: looked_at(data, max_pixels=max_pixels))


def looked_at(data: bytes, *, max_pixels: int) -> None:
    """
    Refuse what `fitted` would refuse, as far as that can be seen in a few milliseconds.

    Of a PNG the checksums are compared, of a WEBP the length, and a JPG has to have an end. What is
    broken in spite of these is found by `fitted`. It blocks.

    Args:
        data: the file as it came.
        max_pixels: largest picture that is taken.

    Raises:
        PictureError: empty, something else, broken, cut short, moving, or with too many pixels.

    """
    with _opened(data, max_pixels) as image:
        if image.format == "PNG":
            _check_png(data)
        elif image.format == "WEBP" and len(data) < int.from_bytes(data[4:8], "little") + 8:
            raise _cut_short()


def _check_jpeg(data: bytes) -> None:
    """Look for the end behind the first scan; previews before it have ends of their own (ITU T.81, B.1)."""
    at, kind, blocks = 2, b"", 0
    while kind != _START_OF_SCAN:
        blocks += 1
        if blocks > _MAX_BLOCKS:
            raise PictureError(
                f"The picture has more than {_MAX_BLOCKS} blocks of metadata. "
                "Save it again with any tool."
            )
        marker = _MARKER.match(data, at)
        if marker is None:
            raise _cut_short()
        kind, at = marker[1], marker.end()
        if kind != _START_OF_SCAN:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    if data.find(_END_OF_IMAGE, at) < 0:
        raise _cut_short()


def _count_chunks(data: bytes) -> None:
    """Bound the chunks of a PNG; what else is wrong with them is found later."""
    at, chunks = len(_PNG), 0
    while at < len(data):
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise PictureError(
                f"The picture has more than {_MAX_CHUNKS} chunks. Save it again with any tool."
            )
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _check_png(data: bytes) -> None:
    """Compare the checksum of each chunk up to the last (ISO/IEC 15948, section 5.3)."""
    at, kind, view = 8, b"", memoryview(data)
    while kind != b"IEND":
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 8 + size
        if len(kind) < 4 or crc32(view[at + 4 : end]).to_bytes(4, "big") != view[end : end + 4]:  # noqa: PLR2004
            raise _cut_short()
        at = end + 4


def fitted(data: bytes, size: Size, *, max_pixels: int) -> bytes:
    """
    Return a picture as a PNG file of exactly `size`, 8-bit RGB in sRGB, without metadata.

    It is turned as its EXIF orientation says, scaled until it covers the frame, and cut at both
    sides alike. Transparent parts become white. A colour profile or an EXIF block that cannot be
    read is ignored. While it runs it takes, beside the file, up to 7 bytes of memory for each pixel
    of a JPG, 10 of a PNG, 20 of a WEBP. It blocks.

    Args:
        data: a JPG, PNG or WEBP file; its bytes decide.
        size: of the result, pixels.
        max_pixels: largest picture that is decoded; above 178,956,970 there is none in any case.

    Raises:
        PictureError: empty, something else, broken, cut short, moving, or with too many pixels.

    """
    with _opened(data, max_pixels) as opened:
        if opened.format == "PNG":
            opened.load()  # or Pillow does while `_turn` looks for EXIF, which forgives everything
        turn = _turn(opened)
        width, height = _shape(size, turn)
        opened.draft(None, (2 * width, 2 * height))
        opened.load()
        image = _scalable(opened)
    small = _over_white(_covering(image, width, height))
    small = _in_srgb(small, image.info.get("icc_profile"))
    if turn is not None:
        small = small.transpose(turn)
    small.info.clear()
    file = BytesIO()
    small.save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextmanager
def _opened(data: bytes, max_pixels: int) -> "Iterator[Image]":
    """Yield a picture whose header is well; whatever is wrong with the rest is a `PictureError`."""
    import PIL.WebPImagePlugin  # noqa: F401 - or Pillow imports all of its forty formats to find it
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise PictureError("The picture is empty. Send a JPG, PNG or WEBP file.")
    # Of a file that is a little wrong Pillow warns; nobody could do anything about it.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if data.startswith(_JPEG) and data != _JPEG:
        _check_jpeg(data)  # before Pillow keeps what it finds
    elif data.startswith(_PNG):
        _count_chunks(data)
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
        _check(image, data, max_pixels)
        yield image
    except PictureError:
        raise
    except Image.DecompressionBombError as exc:
        raise _too_many(max_pixels) from exc
    except UnidentifiedImageError as exc:
        raise PictureError(
            "The picture is not a JPG, PNG or WEBP file, or its beginning is broken. "
            "Only these three kinds are taken."
        ) from exc
    except Exception as exc:  # the boundary: what Pillow raises for a stranger's bytes is endless
        raise _cut_short() from exc


def _cut_short() -> PictureError:
    return PictureError("The picture is broken or cut short. Send a whole file.")


def _check(image: "Image", data: bytes, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _too_many(max_pixels)
    if _has_frames(image):
        raise PictureError("The picture has more than one frame. Send one that does not move.")
    if len(list(islice(_SCAN.finditer(data), _MAX_SCANS + 1))) > _MAX_SCANS:
        raise PictureError(
            f"The picture has more than {_MAX_SCANS} scans. Save it again with any tool."
        )


def _has_frames(image: "Image") -> bool:
    """Whether it is several pictures; previews and gain maps that cameras put into JPGs are none."""
    from PIL.MpoImagePlugin import MpoImageFile

    if isinstance(image, MpoImageFile):
        entries = (image.mpinfo or {})[_MP_ENTRIES]
        return any(one["Attribute"]["MPType"].startswith("Multi-Frame") for one in entries)
    return bool(getattr(image, "n_frames", 1) > 1)


def _too_many(max_pixels: int) -> PictureError:
    return PictureError(
        f"The picture has more than the {max_pixels} pixels allowed. Send a smaller one."
    )


def _turn(image: "Image") -> "Transpose | None":
    """Return what puts a picture upright."""
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90,
    )  # fmt: skip
    try:
        orientation: object = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - the boundary: EXIF that cannot be read says nothing
        return None
    return next((turn for at, turn in enumerate(turns, start=2) if at == orientation), None)


def _shape(size: Size, turn: "Transpose | None") -> tuple[int, int]:
    """Return width and height before the turn."""
    from PIL.Image import Transpose

    sideways = {
        Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90,
    }  # fmt: skip
    return (size.height, size.width) if turn in sideways else (size.width, size.height)


def _scalable(image: "Image") -> "Image":
    if image.mode in {"I;16", "I"}:  # 16-bit grey, which `convert` alone would cut off at 255
        return image.point(lambda level: level * (1 / 256)).convert("L")
    if image.has_transparency_data and image.mode not in {"LA", "RGBA"}:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB") if image.mode == "P" else image


def _covering(image: "Image", width: int, height: int) -> "Image":
    from PIL.Image import Resampling

    scale = min(image.width / width, image.height / height)
    left = max(0.0, (image.width - width * scale) / 2)
    top = max(0.0, (image.height - height * scale) / 2)
    box = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _over_white(image: "Image") -> "Image":
    from PIL import Image

    if image.mode not in {"LA", "RGBA"}:
        return image
    opaque = image.convert(image.mode.removesuffix("A"))
    under = Image.new(opaque.mode, image.size, "white")
    under.paste(opaque, mask=image.getchannel("A"))
    return under


def _in_srgb(image: "Image", profile: bytes | None) -> "Image":
    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass  # broken, or of another kind of picture than this
        else:
            if converted is not None:
                return converted
    return image.convert("RGB")
