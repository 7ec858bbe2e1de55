"""
BCP-47 language tags: what is one, and which of a model's tags serves the one that is asked for.

Tags are read and compared by the langcodes library, which has the CLDR's distances: `en-IN` is
nearer to `en-GB` than to `en-US`, and `zh-HK` to `zh-TW`. A region that a model does not list falls
back to the language.
"""

from collections.abc import Iterable
from functools import lru_cache

from junctor.core.errors import InvalidRequestError

_LONGEST = 35
"""Characters of the longest tag that anybody needs (RFC 5646, section 4.4.1)."""
_SAME = {
    "cmn": "zh", "in": "id", "iw": "he", "ji": "yi", "jw": "jv", "mo": "ro", "nb": "no", "tl": "fil",
}  # fmt: skip
"""Two codes of one speech, of which vendors and callers write either (Norwegian is Bokmål here)."""
_REGIONS_APART = 10
"""CLDR distance up to which two tags of one language and script count as the same speech."""


def primary(tag: str) -> str:
    """Return the language of a tag, without region or script: `en-IN` is `en`."""
    return tag.replace("_", "-").split("-", 1)[0].lower()


def prepare() -> None:
    """Read the tables of languages, a tenth of a second; call it in a thread at start."""
    match({"en-US", "en-GB"}, "en-IN")


@lru_cache(maxsize=1024)
def standard(tag: str) -> str | None:
    """Return a tag as BCP-47 writes it (`en_in` is `en-IN`); None when it is not a known tag."""
    import langcodes

    if not 1 < len(tag) <= _LONGEST or not tag.isascii():
        return None
    try:
        if not langcodes.tag_is_valid(tag):
            return None
        return langcodes.standardize_tag(tag)
    except ValueError:
        return None


def checked(tag: str, *, param: str) -> str:
    """
    Return a caller's tag as BCP-47 writes it.

    Raises:
        InvalidRequestError: it is not a BCP-47 tag.

    """
    found = standard(tag.strip())
    if found is None or found == "und":
        raise InvalidRequestError(
            f"{tag[:_LONGEST]!r} is not a BCP-47 language tag. Send one such as en, en-IN or th-TH.",
            param=param,
        )
    return found


def match(known: Iterable[str], tag: str) -> str | None:
    """Return the tag of `known` that serves `tag` best, as `known` writes it; None for none."""
    return _match(frozenset(known), tag)


@lru_cache(maxsize=4096)
def _match(known: frozenset[str], tag: str) -> str | None:
    wanted = _speech(tag)
    same = sorted(one for one in known if _speech(one) == wanted)
    if len(same) <= 1:
        return same[0] if same else None
    written = tag.lower().replace("_", "-")
    exact = next((one for one in same if one.lower().replace("_", "-") == written), None)
    if exact is not None:
        return exact
    import langcodes

    found, _ = langcodes.closest_match(tag, same, max_distance=_REGIONS_APART)
    return same[0] if found == "und" else found


def _speech(tag: str) -> str:
    language = primary(tag)
    return _SAME.get(language, language)


def understands(known: Iterable[str] | None, tag: str) -> bool:
    """Say whether a model that lists `known` (None: any language) understands `tag`."""
    return known is None or match(known, tag) is not None
