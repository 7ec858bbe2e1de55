"""
Take personal numbers and addresses out of a transcript: from its text, its segments and its words.

Masked are e-mail addresses, phone numbers (Google's libphonenumber; valid ones only), Aadhaar
numbers (12 digits, the last a Verhoeff check digit) and payment cards (13 to 19 digits, the last a
Luhn check digit), in the digits of any script and in digits spoken as English words. Names, street
addresses, and numbers of which a digit was misheard are not found.

What is found in one place is masked in every other one too, however it is cut there into words or
segments.
"""

import asyncio
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from attrs import evolve, frozen

from junctor.core.transcripts import Segment, Transcript, Word

EMAIL, PHONE, AADHAAR, CARD = "[EMAIL]", "[PHONE]", "[AADHAAR]", "[CARD]"

_AADHAAR_DIGITS = 12
_CARD_DIGITS = range(13, 20)
_HOME = ("IN", "TH")
"""Whose phone numbers are looked for where the language tells no country."""

_LATIN_EMAIL = re.compile(
    r"(?<![A-Za-z0-9.%+_'-])[A-Za-z0-9.%+_'-]+\s?@\s?(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
)
_OTHER = r"[^\s@.,;:!?<>()\[\]\"]"
_OTHER_EMAIL = re.compile(
    rf"(?<![^\s,;:!?<>()\[\]\"])[^\s@,;:!?<>()\[\]\"]+\s?@\s?(?:{_OTHER}+\.)+{_OTHER}+"
)
_NUMBERS = re.compile(r"\d(?:[^\w\n]*\d){6,}")
"""As many digits as the shortest phone number has, and what may stand between them."""
_CONTEXT = 4
"""Characters before a number that show what it is: a plus, a currency, the letter of a code."""
_GAPS = re.compile(r"[\W_]")
_SPACES = re.compile(r"\s")
_GROUP = re.compile(r"\d+")
_PAUSE = re.compile(r"[,;](?=\s)")
_SHORT = re.compile(r"(?<!\d)\d{1,2}(?!\d)")
_SPOKEN = {
    **{
        word: str(value)
        for value, word in enumerate(
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
        )
    },
    "oh": "0",
}
_TIMES = {"double": 2, "triple": 3}
_DIGIT_WORD = re.compile(rf"\b(?:({'|'.join(_TIMES)})\s+)?({'|'.join(_SPOKEN)})\b", re.IGNORECASE)


@frozen
class _Span:
    """A stretch of a string, and what takes its place."""

    start: int
    end: int
    mask: str

    @property
    def length(self) -> int:
        return self.end - self.start


@frozen
class _Reading:
    """A string with each digit written as 0 to 9; `starts` and `ends` lead back to the original."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original(self, span: _Span) -> _Span:
        """Return where a span of the reading is in the original."""
        return _Span(self.starts[span.start], self.ends[span.end - 1], span.mask)


async def redacted(transcript: Transcript) -> Transcript:
    """Return the transcript with personal data masked, as `redact` does, off the event loop."""
    return await asyncio.to_thread(redact, transcript)


def redact(transcript: Transcript) -> Transcript:
    """
    Return the transcript with `[EMAIL]`, `[PHONE]`, `[AADHAAR]` and `[CARD]` for what they name.

    Of several words that hold one item, the first gets the mask and lasts until the end of the
    last one. An item that goes on in the next segment is masked in both.

    It blocks: milliseconds for minutes of speech, and more on the first call, which loads
    phonenumbers.
    """
    texts = [one.text for one in transcript.segments]
    words = [word.text for word in transcript.words]
    inner = [word.text for one in transcript.segments for word in one.words]
    spans = _found({transcript.text, *map(" ".join, (texts, words, inner))}, transcript.language)
    if not any(spans.values()):
        return transcript
    cut_texts = _cut(texts, spans[" ".join(texts)])
    cut_inner = _cut(inner, spans[" ".join(inner)])
    return evolve(
        transcript,
        text=_masked(transcript.text, spans[transcript.text]),
        segments=tuple(
            _segment(one, next(cut_texts), [next(cut_inner) for _ in one.words])
            for one in transcript.segments
        ),
        words=_words(transcript.words, _cut(words, spans[" ".join(words)])),
    )


def _found(texts: Iterable[str], language: str | None) -> dict[str, list[_Span]]:
    """Return what is to be masked in each text: what it shows itself, and what the others show."""
    regions = _regions(language)
    readings = {text: _read(text) for text in texts}
    own = {text: list(_items(reading.text, regions)) for text, reading in readings.items()}
    keys = {
        text: Counter(_key(readings[text].text, span) for span in spans)
        for text, spans in own.items()
    }
    known = set().union(*keys.values())
    for text, reading in readings.items():
        own[text] += _missed(reading.text, known, keys[text])
    return {text: _merged(map(reading.original, own[text])) for text, reading in readings.items()}


def _regions(language: str | None) -> tuple[str, ...]:
    """Return the countries whose phone numbers are looked for, as ISO 3166 has them."""
    if language is None:
        return _HOME
    import langcodes

    try:
        tag = langcodes.Language.get(language)
    except ValueError:
        return _HOME
    likely = tag.maximize().territory
    guessed = _HOME if tag.territory is None and tag.language in {None, "en", "und"} else ()
    return tuple(dict.fromkeys((*(one for one in (likely,) if one), *guessed)))


def _read(text: str) -> _Reading:
    foreign = () if text.isascii() else set(re.findall(r"\d", text))
    text = text.translate({ord(one): str(unicodedata.decimal(one)) for one in foreign})
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for found in _DIGIT_WORD.finditer(text):
        start, end = found.span()
        digits = _SPOKEN[found[2].lower()] * _TIMES.get((found[1] or "").lower(), 1)
        pieces += [text[at:start], digits]
        starts += [*range(at, start), *[start] * len(digits)]
        ends += [*range(at + 1, start + 1), *[end] * len(digits)]
        at = end
    pieces.append(text[at:])
    starts += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return _Reading("".join(pieces), starts, ends)


def _items(text: str, regions: Sequence[str]) -> Iterator[_Span]:
    if "@" in text:
        latin = [_Span(*found.span(), EMAIL) for found in _LATIN_EMAIL.finditer(text)]
        others = (_Span(*found.span(), EMAIL) for found in _OTHER_EMAIL.finditer(text))
        yield from latin
        yield from (
            one for one in others if all(one.end <= it.start or it.end <= one.start for it in latin)
        )
    for found in _NUMBERS.finditer(text):
        start, end = max(0, found.start() - _CONTEXT), found.end() + 1
        yield from _phones(text[start:end], start, regions)
        yield from _checked(text, [group.span() for group in _GROUP.finditer(text, *found.span())])


def _phones(text: str, offset: int, regions: Sequence[str]) -> Iterator[_Span]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    paused = _PAUSE.sub(" ", text)
    alone = _SHORT.sub(lambda short: "\n" * len(short[0]), paused)
    for variant in dict.fromkeys((text, paused, alone)):
        for region in regions:
            for found in PhoneNumberMatcher(variant, region, Leniency.VALID, len(text)):
                yield _Span(offset + found.start, offset + found.end, PHONE)


def _checked(text: str, groups: Sequence[tuple[int, int]]) -> Iterator[_Span]:
    """Yield neighbouring groups of digits whose check digit is right."""
    from stdnum import luhn
    from stdnum.in_ import aadhaar

    for first, (start, _) in enumerate(groups):
        digits = ""
        for last, (begin, end) in enumerate(groups[first : first + _CARD_DIGITS.stop], first):
            digits += text[begin:end]
            if len(digits) >= _CARD_DIGITS.stop:
                break
            if len(digits) < _AADHAAR_DIGITS or _is_counting(groups, first, last):
                continue
            if len(digits) in _CARD_DIGITS and luhn.is_valid(digits):
                yield _Span(start, end, CARD)
            elif aadhaar.is_valid(digits):
                yield _Span(start, end, AADHAAR)


def _is_counting(groups: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Say whether single digits go on before or behind: some of many are right by chance."""

    def single(at: int) -> bool:
        return 0 <= at < len(groups) and groups[at][1] - groups[at][0] == 1

    return (single(first - 1) and single(first)) or (single(last) and single(last + 1))


def _key(text: str, span: _Span) -> tuple[str, str]:
    """Return an item's mask, and what of it is the same however it is cut."""
    item = text[span.start : span.end]
    kept = item.lower().split() if span.mask == EMAIL else re.findall(r"\d", item)
    return span.mask, "".join(kept)


def _missed(
    text: str, known: Iterable[tuple[str, str]], found: Mapping[tuple[str, str], int]
) -> Iterator[_Span]:
    """Yield where a text holds an item that was found elsewhere, with other cuts in it."""
    dense = _GAPS.sub("", text)
    for mask, kept in known:
        gap = _SPACES if mask == EMAIL else _GAPS
        inside = gap.sub("", text).lower() if mask == EMAIL else dense
        if inside.count(kept) > found.get((mask, kept), 0):
            pattern = f"{gap.pattern}*".join(map(re.escape, kept))
            for hit in re.finditer(pattern, text, re.IGNORECASE):
                yield _Span(hit.start(), hit.end(), mask)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Return spans in order, each group that overlaps as one with the mask of its longest."""
    result: list[_Span] = []
    longest = 0
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if result and span.start < result[-1].end:
            last = result[-1]
            mask = span.mask if span.length > longest else last.mask
            result[-1] = _Span(last.start, max(last.end, span.end), mask)
            longest = max(longest, span.length)
        else:
            result.append(span)
            longest = span.length
    return result


def _masked(text: str, spans: Iterable[_Span]) -> str:
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], span.mask]
        at = span.end
    return "".join([*pieces, text[at:]])


def _cut(pieces: Sequence[str], spans: Sequence[_Span]) -> Iterator[list[_Span]]:
    """Yield for each piece the spans of the joined pieces that lie in it, as it counts."""
    starts = accumulate((len(piece) + 1 for piece in pieces), initial=0)
    first = 0
    for piece, start in zip(pieces, starts, strict=False):
        end = start + len(piece)
        while first < len(spans) and spans[first].end <= start:
            first += 1
        within: list[_Span] = []
        for at in range(first, len(spans)):
            span = spans[at]
            if span.start >= end:
                break
            within.append(_Span(span.start - start, span.end - start, span.mask))
        yield within


def _segment(segment: Segment, spans: list[_Span], words: Sequence[list[_Span]]) -> Segment:
    if not spans and not any(words):
        return segment
    return evolve(
        segment,
        text=_masked(segment.text, _clipped(segment.text, spans)),
        words=_words(segment.words, words),
        tokens=(),  # they spell the text
    )


def _clipped(text: str, spans: Iterable[_Span]) -> list[_Span]:
    return [_Span(max(0, one.start), min(len(text), one.end), one.mask) for one in spans]


def _words(words: Iterable[Word], cuts: Iterable[list[_Span]]) -> tuple[Word, ...]:
    result: list[Word] = []
    for word, spans in zip(words, cuts, strict=False):
        if not spans:
            result.append(word)
            continue
        text = _masked(word.text, _clipped(word.text, spans))
        if result and spans[0].start < 0:  # it began in the word before
            before = result.pop()
            rest = text.removeprefix(spans[0].mask)
            result.append(evolve(before, text=before.text + rest, end=max(before.end, word.end)))
        else:
            result.append(evolve(word, text=text))
    return tuple(result)
