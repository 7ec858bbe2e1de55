"""Answers that come compressed although nobody asked for it."""

import zlib
from collections.abc import Mapping

from attrs import define, field

from junctor.core.net.wires import CodingError, Wire

_LARGEST_PIECE = 256 * 1024
_ANY_HEADER = 47
"""Window bits for a gzip or a zlib header, whichever comes."""
_NO_HEADER = -15
_IS_ZLIB = 8
"""Lower half of the first byte of a zlib stream."""
_GZIP = b"\x1f\x8b"


def inflated(wire: Wire, coding: str) -> Wire:
    """
    Return the answer without its content coding.

    Raises:
        CodingError: the coding is none of gzip, deflate and identity.

    """
    match coding.strip().lower():
        case "identity":
            return wire
        case "gzip" | "x-gzip" | "deflate":
            return _Inflated(wire)
        case _:
            raise CodingError


@define(eq=False)
class _Inflated:
    """Unpacks as much as is read, at most 256 KB at once: a bomb goes off in the sender's time."""

    _wire: Wire
    _unpacker: "zlib._Decompress | None" = field(default=None, init=False)
    _has_more: bool = field(default=False, init=False)
    """Whether what was handed in may give another piece."""
    at_end: bool = field(default=False, init=False)

    @property
    def status(self) -> int:
        return self._wire.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._wire.headers

    async def next(self) -> bytes:
        """Return a piece of the body, b"" at the end; raises `CodingError` too."""
        while not self.at_end:
            if self._has_more and self._unpacker is not None:
                packed = self._unpacker.unconsumed_tail
            elif not (packed := await self._wire.next()):
                self._finish()
                break
            if piece := self._unpacked(packed):
                return piece
        return b""

    def _unpacked(self, packed: bytes) -> bytes:
        if self._unpacker is None:
            # Some call a stream without any header "deflate".
            has_header = packed[0] & 15 == _IS_ZLIB or packed[0] == _GZIP[0]
            self._unpacker = zlib.decompressobj(_ANY_HEADER if has_header else _NO_HEADER)
        try:
            piece = self._unpacker.decompress(packed, _LARGEST_PIECE)
        except zlib.error:
            raise CodingError from None
        if self._unpacker.unused_data:
            raise CodingError
        self._has_more = len(piece) == _LARGEST_PIECE
        return piece

    def _finish(self) -> None:
        if self._unpacker is not None and not self._unpacker.eof:
            raise CodingError
        self.at_end = True

    def close(self) -> None:
        self._wire.close()
