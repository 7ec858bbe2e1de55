"""Request bodies as lists of byte parts, so that a large upload is never copied into a new one."""

import secrets
from collections.abc import Iterable
from functools import cached_property

import msgspec
from attrs import frozen

_encoder = msgspec.json.Encoder()


@frozen(kw_only=True, slots=False)
class Body:
    """What is sent: parts that follow each other on the wire; may be sent again."""

    parts: tuple[bytes, ...]
    content_type: str

    @cached_property
    def size(self) -> int:
        """Length, bytes."""
        return sum(map(len, self.parts))


@frozen(kw_only=True)
class Upload:
    """The file of a form. Its names go into headers: they come from our tables, never a caller."""

    data: bytes
    filename: str
    media_type: str
    field: str = "file"


def form_body(fields: Iterable[tuple[str, str]], upload: Upload) -> Body:
    """
    Return a multipart form: the text fields in order, and the file last, as some vendors want.

    Field names must be our own; values may be anything, since the boundary is a fresh secret.
    """
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{upload.field}"; '
        f'filename="{upload.filename}"\r\nContent-Type: {upload.media_type}\r\n\r\n'
    )
    tail = f"\r\n--{boundary}--\r\n"
    return Body(
        parts=(head.encode("utf-8", "replace"), upload.data, tail.encode()),
        content_type=f"multipart/form-data; boundary={boundary}",
    )


def json_body(value: object) -> Body:
    """Return a JSON document."""
    return Body(parts=(_encoder.encode(value),), content_type="application/json")
