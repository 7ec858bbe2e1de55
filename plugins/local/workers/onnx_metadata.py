"""
The metadata of an ONNX file, read without its network.

Opening a model with onnxruntime for a few words of metadata would load all its weights. The file is
one protocol buffer (onnx.proto, `ModelProto`); everything but field 14 is skipped over.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_METADATA: Final = 14  # ModelProto.metadata_props
_KEY, _VALUE = 1, 2  # StringStringEntryProto
_VARINT, _BYTES = 0, 2
_FIXED: Final = {1: 8, 5: 4}
_CONTINUES: Final = 0x80
_LONGEST_VARINT: Final = 10


def metadata_of(path: Path) -> dict[str, str]:
    """
    Return the metadata of an ONNX file, by key.

    Raises:
        ValueError: it is no protocol buffer, or not a whole one.
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        entries = [dict(_fields(io.BytesIO(body))) for body in _only(file, _METADATA)]
    return {
        entry.get(_KEY, b"").decode("utf-8"): entry.get(_VALUE, b"").decode("utf-8")
        for entry in entries
    }


def _only(file: BinaryIO, number: int) -> Iterator[bytes]:
    return (body for _, body in _fields(file, only=number))


def _fields(file: BinaryIO, *, only: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the number and bytes of each field that has some, or only of those of one number."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < size:
        number, kind = divmod(_varint(file), 8)
        if kind == _VARINT:
            _varint(file)
            continue
        length = _varint(file) if kind == _BYTES else _FIXED.get(kind, size)
        if file.tell() + length > size:
            raise ValueError("The file ends in the middle of a field.")
        if kind == _BYTES and number == (only or number):
            yield number, file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)


def _varint(file: BinaryIO) -> int:
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & ~_CONTINUES) << 7 * index
        if not byte[0] & _CONTINUES:
            return value
    raise ValueError("The file ends in the middle of a number.")
