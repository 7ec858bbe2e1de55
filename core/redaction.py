"""Take secrets, and where it matters folders, out of free text before anybody reads it."""

import re

MASK = "***"

_USER_INFO = re.compile(r"://[^/\s:@]*:[^/\s@]*@")
_SCHEME = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_PAIR = re.compile(
    r"(key|token|secret|password|passwd|signature)(\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s\"'&,;)\]}]{4,}",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w-]{20,}", re.ASCII)
_PIECES = re.compile(r"[_-]")
_SHORT_SECRET, _LONG_SECRET = 8, 20
_PATH = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?(?:[/\\][\w.+@~-]+)+")
_SEPARATOR = re.compile(r"[/\\]")
_LONGEST = 500


def redact(text: str) -> str:
    """Return the text with everything that looks like a key, a token or a password masked."""
    text = _USER_INFO.sub(f"://{MASK}@", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _PAIR.sub(rf"\1\2{MASK}", text)
    return _WORD.sub(_masked, text)


def publishable(text: str) -> str:
    """
    Return a text that anybody may read: secrets masked, folders cut away, one line, not long.

    File names stay, since an operator needs them to find what is wrong.
    """
    line = _PATH.sub(_file_name, " ".join(redact(text[: 4 * _LONGEST]).split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _masked(word: re.Match[str]) -> str:
    pieces = _PIECES.split(word.group())
    has_label = len(pieces) > 1  # a bare run of hexadecimal digits is a request id, say
    return MASK if has_label and any(map(_is_secret, pieces)) else word.group()


def _is_secret(piece: str) -> bool:
    if len(piece) < _SHORT_SECRET or piece.isalpha() or piece.isdigit():
        return False
    is_mixed = piece.lower() != piece != piece.upper()
    return is_mixed or len(piece) >= _LONG_SECRET


def _file_name(path: re.Match[str]) -> str:
    return _SEPARATOR.split(path.group())[-1]
