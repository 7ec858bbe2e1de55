"""Where the picture of a request comes from: the request itself, what is stored here, the internet."""

import asyncio
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from junctor.core.audio import run_in_slot
from junctor.core.errors import NotFoundError, PictureError
from junctor.core.net.guard import UrlError
from junctor.core.runtime import Runtime

_PARAM: Final = "image.url"
_OWN: Final = re.compile(r"/uploads/generations/ltx23/ltx23_in_[0-9]{8}_([0-9a-f]{32})\.png")
_LONGEST_PATH: Final = 256
_LONGEST_TYPE: Final = 256
"""Characters of a data URL before its comma, and of a path, percent-encoded."""
_TYPE: Final = re.compile(
    r"data:image/(?:jpeg|jpg|png|webp)(?:;[^;]*)*;\s*base64\s*", re.IGNORECASE
)
_ESCAPED: Final = {
    b"%2B": b"+", b"%2b": b"+", b"%2F": b"/", b"%2f": b"/", b"%3D": b"=", b"%3d": b"=",
    b"%0A": b"", b"%0a": b"", b"%0D": b"", b"%0d": b"", b"%20": b"",
}  # fmt: skip
"""What is percent-encoded in base64; to decode all of it could take a gigabyte."""
_PIECE: Final = 256 * 1024
"""Characters that are decoded at a time: while they are, Python does nothing else in any thread."""
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_OK: Final = 200


async def picture(
    url: str,
    *,
    runtime: Runtime,
    team: str,
    max_bytes: int,
    within: float,
    slots: asyncio.Semaphore,
) -> bytes:
    """
    Return the file that `image.url` names, whatever is in it.

    Args:
        url: a data URL, the path or the URL of a picture stored here, or a public URL.
        runtime: what is stored here, and the client for strangers' URLs.
        team: whose stored pictures may be named.
        max_bytes: largest file.
        within: seconds that a stranger's server has for all of it; redirects are not followed.
        slots: how many data URLs may be decoded at once; meanwhile one takes five times its size.

    Raises:
        PictureError: it names nothing that may be had, or something too large.
        UrlError: likewise, of a stranger's server.
        OverloadedError: what is stored cannot be read at the moment.

    """
    own = runtime.settings.server.public_url
    if url[:5].lower() == "data:":
        return await run_in_slot(slots, lambda _stop: _inline(url, max_bytes))
    if own and url.startswith(f"{own}/uploads/"):
        url = url.removeprefix(own)
    if url.startswith("/"):
        return await _stored(url, runtime, team, max_bytes)
    if url[:8].lower().startswith(("http://", "https://")):
        return await _fetched(url, runtime, max_bytes, within)
    raise PictureError(
        "image.url has to be a data URL of a JPG, PNG or WEBP picture in base64, a public http:// "
        "or https:// URL of one, or the path of a picture stored here."
    )


def _inline(url: str, max_bytes: int) -> bytes:
    """Decode a data URL; its base64 may be URL-safe, without padding, and have white space in it."""
    kind, comma, text = url.partition(",")
    if not comma or len(kind) > _LONGEST_TYPE or not _TYPE.fullmatch(unquote(kind)):
        raise PictureError(
            "The data URL of image.url has to begin with data:image/jpeg;base64, or the same with "
            "image/png or image/webp."
        )
    try:
        coded = b"".join(_plain(text)).rstrip(b"=")
        if len(coded) * 3 // 4 > max_bytes:
            raise _too_large(max_bytes)
        if b"=" in coded:
            raise _no_base64()
        coded += b"=" * (-len(coded) % 4)
        pieces = range(0, len(coded), _PIECE)
        return b"".join(
            binascii.a2b_base64(coded[at : at + _PIECE], strict_mode=True) for at in pieces
        )
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise _no_base64() from exc


def _no_base64() -> PictureError:
    return PictureError("The data URL of image.url does not hold base64.")


def _plain(text: str) -> Iterator[bytes]:
    """Yield base64 as RFC 4648 has it, piece by piece."""
    at = 0
    while at < len(text):
        end = at + _PIECE
        cut = text.rfind("%", end - 2, end)  # an escape is not cut in two
        end = end if cut < 0 else cut
        piece = text[at:end].encode("ascii")
        if b"%" in piece:
            for escaped, meant in _ESCAPED.items():
                piece = piece.replace(escaped, meant)
        yield piece.translate(_URL_SAFE, delete=b" \t\r\n\f")
        at = end


async def _stored(path: str, runtime: Runtime, team: str, max_bytes: int) -> bytes:
    found = _OWN.fullmatch(unquote(path)) if len(path) <= _LONGEST_PATH else None
    if found is None:
        raise PictureError(
            "The path in image.url is not that of a picture stored here. Send one as an answer "
            "named it, the picture itself as a data URL, or a public URL."
        )
    try:
        proof = await runtime.artefacts.proof(found[1], team=team)
        if proof.size > max_bytes:
            raise _too_large(max_bytes)
        return await runtime.artefacts.get(found[1], team=team)
    except NotFoundError as exc:
        raise PictureError(
            "There is no such picture: it has expired, was deleted, or never was. Send it again."
        ) from exc


async def _fetched(url: str, runtime: Runtime, max_bytes: int, within: float) -> bytes:
    try:
        answer = await runtime.guard.get(url, max_bytes=max_bytes, within=within, max_hops=0)
    except UrlError as exc:
        raise UrlError(str(exc), reason=exc.reason, param=_PARAM) from exc
    if answer.status != _OK:
        raise PictureError(
            f"The server behind image.url answered with status {answer.status} and not with the "
            "picture. Send a URL that anybody may read."
        )
    return answer.body


def _too_large(max_bytes: int) -> PictureError:
    return PictureError(
        f"The picture is larger than the {max_bytes} bytes allowed. Send a smaller one."
    )
