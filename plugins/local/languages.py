"""The languages Whisper was trained on, and its codes where BCP-47 has other ones."""

from typing import Final

from junctor.core.locales import primary

CODES: Final = frozenset(
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he "  # noqa: SIM905 - a hundred quotes less
    "hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne "
    "nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk "
    "ur uz vi yi yo yue zh".split()
)
"""Whisper's own codes."""
_CODE_OF: Final = {
    "jv": "jw", "fil": "tl", "nb": "no", "cmn": "zh", "iw": "he", "in": "id", "ji": "yi",
    "mo": "ro",
}  # fmt: skip
_TAG_OF: Final = {"jw": "jv"}
_UNSPACED: Final = frozenset(("ja", "yue", "zh"))

TAGS: Final = frozenset(_TAG_OF.get(code, code) for code in CODES) | _CODE_OF.keys()
"""BCP-47 languages that have one."""


def code_of(tag: str) -> str | None:
    """Return Whisper's code for a BCP-47 tag, whatever its region; None where it has none."""
    language = primary(tag)
    code = _CODE_OF.get(language, language)
    return code if code in CODES else None


def tag_of(code: str) -> str:
    """Return the BCP-47 language of a Whisper code."""
    return _TAG_OF.get(code, code)


def gap_of(language: str | None) -> str:
    """Return what stands between two segments: nothing in Chinese and Japanese, else a space."""
    return "" if language and primary(language) in _UNSPACED else " "
