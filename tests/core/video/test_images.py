"""A caller's picture: what is taken, what is refused, and that what comes out is what was shown."""

import asyncio
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.Image import Transpose

from junctor.core.errors import PictureError
from junctor.core.testing.pictures import picture_of
from junctor.core.video.images import fitted, look, looked_at
from junctor.core.video.sizes import Size, size_of

SMALL = Size(64, 48)
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
PNG = b"\x89PNG\r\n\x1a\n"


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str, colour: object, *, size: tuple[int, int] = (96, 72)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def fit_of(data: bytes, size: Size = SMALL, *, max_pixels: int = 1_000_000) -> Image.Image:
    looked_at(data, max_pixels=max_pixels)
    return Image.open(BytesIO(fitted(data, size, max_pixels=max_pixels)))


def middle(image: Image.Image) -> tuple[int, ...]:
    found = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], meant: tuple[int, ...], *, by: int = 4) -> bool:
    return len(found) == len(meant) and all(
        abs(one - other) <= by for one, other in zip(found, meant, strict=True)
    )


def refusal(data: bytes, *, max_pixels: int = 1_000_000) -> str:
    with pytest.raises(PictureError) as seen:
        looked_at(data, max_pixels=max_pixels)
    with pytest.raises(PictureError) as caught:
        fitted(data, SMALL, max_pixels=max_pixels)
    assert caught.value.param == "image.url"
    assert str(seen.value) == str(caught.value)
    return str(caught.value)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header_only(width: int, height: int) -> bytes:
    """Return a PNG that promises much and holds a row of nothing."""
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return PNG + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Return a PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def exif_of(orientation: int, *, kind: int = 3, count: int = 1) -> bytes:
    """Return EXIF of nothing but the orientation; a kind of 3 is a 16-bit number."""
    entry = struct.pack("<HHHIII", 1, 0x0112, kind, count, orientation, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + entry


KINDS: tuple[tuple[str, str, str, object, tuple[int, ...]], ...] = (
    ("jpeg", "RGB", "JPEG", BLUE, BLUE),
    ("grey jpeg", "L", "JPEG", 128, GREY),
    ("cmyk jpeg", "CMYK", "JPEG", (0, 255, 255, 0), RED),
    ("png", "RGB", "PNG", BLUE, BLUE),
    ("grey png", "L", "PNG", 128, GREY),
    ("black and white", "1", "PNG", 1, (255, 255, 255)),
    ("16-bit grey", "I;16", "PNG", 128 * 256, GREY),
    ("alpha", "RGBA", "PNG", (255, 0, 0, 255), RED),
    ("nothing to be seen", "RGBA", "PNG", (255, 0, 0, 0), (255, 255, 255)),
    ("half to be seen", "RGBA", "PNG", (0, 0, 0, 127), GREY),
    ("grey and alpha", "LA", "PNG", (0, 127), GREY),
    ("webp", "RGB", "WEBP", BLUE, BLUE),
    ("webp with alpha", "RGBA", "WEBP", (0, 0, 0, 127), GREY),
)


@pytest.mark.parametrize(("mode", "kind", "colour", "meant"), [one[1:] for one in KINDS])
def test_kinds(mode: str, kind: str, colour: object, meant: tuple[int, ...]) -> None:
    """Whatever the picture is kept in, it is shown in its colour, 8-bit RGB of the size asked."""
    image = fit_of(file_of(plain(mode, colour), kind))

    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 48))
    assert near(middle(image), meant)


def test_palette_with_transparency() -> None:
    """A palette is looked up, and what it makes transparent becomes white."""
    source = plain("P", 0)
    source.putpalette([*RED, *BLUE])
    source.paste(1, (0, 0, 48, 72))
    image = fit_of(file_of(source, "PNG", transparency=1))

    assert near(image.getpixel((10, 24)), (255, 255, 255))  # type: ignore[arg-type]
    assert near(image.getpixel((54, 24)), RED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "colour", "key"),
    [("RGB", RED, RED), ("L", 7, 7), ("1", 1, 1), ("I;16", 7000, 7000)],
)
def test_transparent_colour(mode: str, colour: object, key: object) -> None:
    """One colour of a PNG may be named as transparent; of 16-bit grey it is shown all the same."""
    image = fit_of(file_of(plain(mode, colour), "PNG", transparency=key))
    meant = (27, 27, 27) if mode == "I;16" else (255, 255, 255)

    assert near(middle(image), meant)


def corners(image: Image.Image) -> tuple[str, ...]:
    names = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}
    right, bottom = image.width - 3, image.height - 3
    found = [image.getpixel(at) for at in ((2, 2), (right, 2), (2, bottom), (right, bottom))]
    return tuple(
        next((name for colour, name in names.items() if near(one, colour, by=60)), "grey")  # type: ignore[arg-type]
        for one in found
    )


ASIDE: dict[int, Transpose] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""What a camera did to the picture, as EXIF defines each orientation."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind: str, orientation: int) -> None:
    """A picture that lies on its side, or is mirrored, is put upright, in each kind of file."""
    upright = plain("RGB", GREY, size=(320, 240))
    for colour, at in ((RED, (0, 0)), (GREEN, (240, 0)), (BLUE, (0, 160))):
        upright.paste(colour, (*at, at[0] + 80, at[1] + 80))
    stored = upright.transpose(ASIDE[orientation]) if orientation in ASIDE else upright
    image = fit_of(file_of(stored, kind, exif=exif_of(orientation)), Size(160, 120))

    assert corners(image) == ("red", "green", "blue", "grey")


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", exif_of(9), exif_of(0),
        exif_of(6, kind=2, count=4), exif_of(6, count=2), exif_of(6, kind=77), exif_of(6, count=9999),
        exif_of(6)[:-8], b"Exif\0\0" + b"\xff" * 500,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif(kind: str, exif: bytes) -> None:
    """EXIF that makes no sense is nobody's business, and nothing is warned of."""
    data = file_of(plain("RGB", BLUE), kind, exif=exif)
    with warnings.catch_warnings(record=True) as warned:
        image = fit_of(data)

    assert near(middle(image), BLUE)
    assert not warned


def test_nothing_but_pixels() -> None:
    """Neither words, places, times nor profiles of the picture are in what we keep."""
    exif = Image.Exif()
    exif[0x010E] = "my secret garden"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = file_of(
        plain("RGB", BLUE), "JPEG", exif=exif.tobytes(), icc_profile=profile,
        comment=b"secret", dpi=(300, 300), xmp=b"<secret/>",
    )  # fmt: skip
    found = fitted(data, SMALL, max_pixels=10**6)

    assert b"secret" in data
    assert b"secret" not in found
    assert [found[at : at + 4] for at in (12, 37)] == [b"IHDR", b"IDAT"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_profile(kind: str) -> None:
    """A colour profile is honoured: in a space of less blue than ours, blue is another."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    image = fit_of(file_of(plain("RGB", RED), kind, icc_profile=bytes(profile)))

    assert near(middle(image), GREEN, by=8)


@pytest.mark.parametrize("profile", [b"x", b"\0" * 200, b"broken" * 100])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_profile(kind: str, profile: bytes) -> None:
    """A colour profile that is none is ignored."""
    image = fit_of(file_of(plain("RGB", BLUE), kind, icc_profile=profile))

    assert near(middle(image), BLUE)


def test_profile_of_another_kind() -> None:
    """A profile for colours says nothing about a picture in grey."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = fit_of(file_of(plain("L", 128), "JPEG", icc_profile=profile))

    assert near(middle(image), GREY)


@pytest.mark.parametrize("size", [size_of("16:9", "480p"), size_of("9:16", "720p"), SMALL])
@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (64, 48), (33, 77), (900, 700)])
def test_sizes(shape: tuple[int, int], size: Size) -> None:
    """From a single pixel to a thread of them, the frame is filled, without a border."""
    image = fit_of(file_of(plain("RGB", BLUE, size=shape), "PNG"), size)

    assert image.size == (size.width, size.height)
    assert image.getcolors() == [(size.width * size.height, BLUE)]


@pytest.mark.parametrize(
    ("shape", "size"), [((300, 100), Size(96, 96)), ((100, 300), Size(96, 96))]
)
def test_cut_at_both_sides_alike(shape: tuple[int, int], size: Size) -> None:
    """What does not fit is cut where it is farthest from the middle, and nothing is stretched."""
    source = plain("RGB", RED, size=shape)
    source.paste(GREEN, ((shape[0] - 100) // 2, (shape[1] - 100) // 2, 200, 200))
    wide = fit_of(file_of(source, "PNG"), size)

    assert near(middle(wide), GREEN)
    assert RED not in {wide.getpixel(at) for at in ((3, 3), (92, 3), (3, 92), (92, 92))}


def test_of_the_size_already() -> None:
    """A picture that fits comes through to the bit."""
    source = Image.open(BytesIO(picture_of(64, 48)))
    image = fit_of(picture_of(64, 48))

    assert image.tobytes() == source.tobytes()


def test_large_jpeg_is_scaled_well() -> None:
    """A JPEG decoded at an eighth of its size looks as one decoded whole."""
    source = Image.open(BytesIO(picture_of(1600, 1200)))
    image = fit_of(file_of(source, "JPEG", quality=95), max_pixels=2_000_000)

    assert near(image.getpixel((0, 24)), (2, 129, 128), by=6)  # type: ignore[arg-type]
    assert near(image.getpixel((63, 24)), (253, 129, 128), by=6)  # type: ignore[arg-type]


def bmp() -> bytes:
    return file_of(plain("RGB", BLUE), "BMP")


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<?xml version='1.0'?><svg/>", bmp(),
        file_of(plain("P", 0), "GIF"), file_of(plain("RGB", BLUE), "TIFF"),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), file_of(plain("RGB", BLUE), "ICO"),
        b"%PDF-1.7", b"RIFF\x24\0\0\0WAVEfmt ", b"x", b"\0" * 1000, b"P6 1 1 255\n\0\0\0", PNG,
        b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP",
    ],
)  # fmt: skip
def test_other_files(data: bytes) -> None:
    """Everything else is refused, naming what is taken."""
    assert "JPG, PNG or WEBP" in refusal(data)


def test_empty() -> None:
    """Nothing is no picture."""
    assert "empty" in refusal(b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_truncated(kind: str, share: float) -> None:
    """Half a picture is refused, whatever half."""
    source = Image.effect_noise((200, 150), 90).convert("RGB")
    data = file_of(source, kind)

    assert refusal(data[: int(len(data) * share)])


def mpo(kind: int) -> bytes:
    """Return a JPG with another in it, of a type that CIPA DC-007 has for it."""
    more = [plain("RGB", RED, size=(24, 18))]
    data = file_of(plain("RGB", BLUE), "MPO", save_all=True, append_images=more)
    at = data.index(b"MPF\0")
    at = data.index(struct.pack("<LL", 0x030000, data.index(b"\xff\xd9") + 2), at) + 16
    assert data[at : at + 4] == bytes(4)
    return data[:at] + struct.pack("<L", kind) + data[at + 4 :]


@pytest.mark.parametrize("kind", [0x010001, 0x010002, 0x000000])
def test_what_cameras_put_into_a_jpg(kind: int) -> None:
    """A preview, or a gain map, beside the picture in a JPG is left where it is."""
    assert near(middle(fit_of(mpo(kind))), BLUE)


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xda"])
def test_fill_bytes(marker: bytes) -> None:
    """Before each marker of a JPG there may be fill bytes (ITU T.81, B.1.1.2)."""
    data = file_of(plain("RGB", BLUE), "JPEG")
    at = data.index(marker)

    assert near(middle(fit_of(data[:at] + b"\xff\xff\xff" + data[at:])), BLUE)


@pytest.mark.parametrize("kind", [0x020001, 0x020002, 0x020003])
def test_panoramas_and_pairs(kind: int) -> None:
    """A file of several pictures that belong together is refused: which one is meant?"""
    assert "more than one frame" in refusal(mpo(kind))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_more_than_one_frame(kind: str) -> None:
    """A picture that moves is refused."""
    more = [plain("RGB", RED), plain("RGB", GREEN)]
    data = file_of(plain("RGB", BLUE), kind, save_all=True, append_images=more)

    assert "more than one frame" in refusal(data)


def test_too_many_pixels() -> None:
    """The limit is of pixels, and it is one that may be reached."""
    data = picture_of(100, 50)

    assert fitted(data, SMALL, max_pixels=5000)
    assert "more than the 4999 pixels" in refusal(data, max_pixels=4999)


@pytest.mark.parametrize(
    ("width", "height", "limit"),
    [
        (30_000, 30_000, 50_000_000),
        (2**31 - 1, 2**31 - 1, 50_000_000),
        (10_000, 10_000, 90_000_000),
    ],
)
def test_bombs_are_told_by_their_header(width: int, height: int, limit: int) -> None:
    """A tiny file of endless pixels is refused as such, and nothing is warned of."""
    with warnings.catch_warnings(record=True) as warned:
        told = refusal(header_only(width, height), max_pixels=limit)

    assert "pixels allowed" in told
    assert not warned


PEAK = """
import sys
from junctor.core.errors import PictureError
from junctor.core.video.images import fitted
from junctor.core.video.sizes import Size

def peak():
    status = open("/proc/self/status").read()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

small, data = (open(path, "rb").read() for path in sys.argv[1:3])
fitted(small, Size(64, 48), max_pixels=10**6)
before = peak()
try:
    fitted(data, Size(64, 48), max_pixels=int(sys.argv[3]))
except PictureError:
    pass
print(peak() - before)
"""


@pytest.fixture(name="memory")
def _memory(tmp_path) -> Callable[[bytes, int], int]:
    """Return how many bytes a fresh process needs to fit a picture, or to refuse it."""

    def memory(data: bytes, max_pixels: int) -> int:
        (tmp_path / "small").write_bytes(picture_of(8, 8))
        (tmp_path / "data").write_bytes(data)
        paths = [str(tmp_path / "small"), str(tmp_path / "data")]
        command = [sys.executable, "-c", PEAK, *paths, str(max_pixels)]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)

    return memory


def jpeg_bomb() -> bytes:
    """Return some bytes of 30,000 x 30,000 pixels."""
    data = bytearray(file_of(plain("RGB", BLUE), "JPEG"))
    struct.pack_into(">2H", data, data.index(b"\xff\xc0") + 5, 30_000, 30_000)
    return bytes(data)


def webp_bomb() -> bytes:
    """Return some bytes of 16,383 x 9,999 pixels."""
    data = bytearray(file_of(plain("RGB", BLUE, size=(16383, 1)), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, (bits & ~(0x3FFF << 14)) | (9998 << 14))
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        header_only(30_000, 30_000),
        header_only(12_000, 12_000),
        webp_bomb(),
        jpeg_bomb(),
        with_chunks(picture_of(9, 9), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        with_chunks(picture_of(9, 9), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    ],
    ids=["png", "less png", "webp", "jpeg", "text", "profile"],
)
def test_a_bomb_costs_no_memory(memory: Callable[[bytes, int], int], data: bytes) -> None:
    """What is refused by its header is never unpacked."""
    assert refusal(data, max_pixels=50_000_000)
    assert memory(data, 50_000_000) < 8_000_000


@pytest.mark.parametrize(
    ("mode", "kind", "options", "most"),
    [
        ("RGB", "JPEG", {}, 7), ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 7),
        ("CMYK", "JPEG", {}, 7), ("RGB", "PNG", {}, 10), ("RGBA", "PNG", {}, 10),
        ("I;16", "PNG", {}, 10), ("RGB", "WEBP", {"method": 0}, 20), ("RGBA", "WEBP", {"method": 0}, 20),
    ],
)  # fmt: skip
def test_memory_is_bounded(
    memory: Callable[[bytes, int], int], mode: str, kind: str, options: dict[str, object], most: int
) -> None:
    """A picture takes no more memory for each pixel than is promised."""
    data = file_of(plain(mode, None, size=(2400, 2000)), kind, **options)

    assert memory(data, 5_000_000) < most * 2400 * 2000 + len(data) + 4_000_000


def test_many_scans() -> None:
    """A JPEG that goes over its pixels a thousand times is refused before the first."""
    data = file_of(plain("RGB", BLUE), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]

    assert "scans" in refusal(data[:at] + scan * 1000 + b"\xff\xd9")
    assert fitted(data, SMALL, max_pixels=10**6)


def test_scans_without_end() -> None:
    """They are not counted, and kept, beyond the bound: 5 million took 230 MB and many seconds."""
    data = file_of(plain("RGB", BLUE), "JPEG") + b"\xff\xda\x00\x08\x01" * 1_000_000
    refusal(data[:1000])
    tracemalloc.start()
    told = refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert ("scans" in told, peak < 2_000_000) == (True, True)


@pytest.mark.parametrize(
    ("block", "told"), [(b"\xff\xe0\0\2", "blocks"), (b"\xff\xff\xff\xff", "broken")]
)
def test_blocks_without_end(block: bytes, told: str) -> None:
    """They are not kept beyond the bound: six million took 800 MB and half a minute."""
    data = file_of(plain("RGB", BLUE), "JPEG")
    refusal(data[:100])
    tracemalloc.start()
    found = refusal(data[:2] + block * 100_000 + data[2:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (told in found, peak < 2_000_000) == (True, True)


def test_chunks_without_end() -> None:
    """Of empty ones, which Pillow would keep one by one, a PNG may have as many as files have."""
    data, empty = picture_of(9, 9), chunk(b"prVt", b"")
    looked_at(with_chunks(data, *[empty] * 20_000), max_pixels=1000)

    assert "chunks" in refusal(with_chunks(data, *[empty] * 30_000))


@pytest.mark.parametrize(("size", "times"), [(2_000_000, 1), (900_000, 80)])
def test_much_text(size: int, times: int) -> None:
    """Text without end in a PNG, in one piece or in many, is refused as any broken file."""
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size)))

    assert "broken" in refusal(with_chunks(picture_of(9, 9), *[text] * times))


@pytest.mark.parametrize(
    "pixels", [b"", b"none", zlib.compress(bytes(252))[:-1] + b"x", b"\xff" * 99]
)
def test_broken_inside(pixels: bytes) -> None:
    """A PNG whose checksums are right and whose pixels are not is refused, and not taken as black."""
    broken = header_only(9, 9)[:33] + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    looked_at(broken, max_pixels=1000)

    with pytest.raises(PictureError, match="broken"):
        fitted(broken, SMALL, max_pixels=1000)


def test_frames_that_are_promised_wrongly() -> None:
    """A PNG that says it moves, and does not say how, is taken as it stands, without a warning."""
    data = with_chunks(picture_of(9, 9), chunk(b"acTL", struct.pack(">2I", 0, 0)))
    with warnings.catch_warnings(record=True) as warned:
        image = fit_of(data)

    assert image.size == (64, 48)
    assert not warned


SOURCES = [
    file_of(Image.effect_noise((24, 18), 90).convert(mode), kind, exif=exif_of(6))
    for mode, kind in (("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "WEBP"))
]
SOURCES.append(mpo(0x010001))


def outcome(data: bytes) -> str:
    with suppress(PictureError):
        looked_at(data, max_pixels=100_000)
    try:
        return fit_of(data, Size(16, 16), max_pixels=100_000).mode
    except PictureError:
        return "refused"


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", PNG, b"\xff\xd8\xff\xe0", b"RIFF\0\1\0\0WEBP"])
)
def test_random_bytes(data: bytes, start: bytes) -> None:
    """Noise is refused, whatever it begins with."""
    assert outcome(start + data) in {"RGB", "refused"}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SOURCES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
def test_mutations(source: bytes, changes: list[tuple[float, int]], share: float) -> None:
    """A picture with wrong bytes in it is refused or shown; nothing else comes out."""
    data = bytearray(source)
    for at, value in changes:
        data[int(at * len(data))] = value

    assert outcome(bytes(data)) in {"RGB", "refused"}
    assert outcome(bytes(data[: int(share * len(data))])) in {"RGB", "refused"}


async def test_slots_bound_the_pictures() -> None:
    """As many as there are slots are looked at at a time; the time bound is the caller's."""
    slots = asyncio.Semaphore(1)
    await slots.acquire()

    async def in_time() -> None:
        async with asyncio.timeout(0.05):
            await look(picture_of(9, 9), max_pixels=100, slots=slots)

    with pytest.raises(TimeoutError):
        await in_time()
    slots.release()

    await look(picture_of(9, 9), max_pixels=100, slots=slots)

    assert not slots.locked()
