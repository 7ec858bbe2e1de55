"""Pictures made of arithmetic, for tests that need one and not what it shows."""

import struct
import zlib


def picture_of(width: int, height: int) -> bytes:
    """Return a PNG of that size, RGB, 8 bits a sample: red grows to the right, green downwards."""
    row = bytes(one for x in range(width) for one in (255 * x // width, 0, 128))
    rows = bytearray()
    for y in range(height):
        line = bytearray(row)
        line[1::3] = bytes([255 * y // height]) * width
        rows += b"\0" + line
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
