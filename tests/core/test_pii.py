"""Personal data is masked in text, segments and words, and nothing else is touched."""

import json
import re
import subprocess
import sys
from itertools import accumulate, pairwise

import phonenumbers
import pytest
from attrs import frozen
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stdnum import luhn, verhoeff
from stdnum.in_ import aadhaar

from junctor.core.pii import redact, redacted
from junctor.core.transcripts import Segment, Transcript, Word

SPOKEN = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")
THAI = str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙")
MASKS = {"[EMAIL]", "[PHONE]", "[AADHAAR]", "[CARD]"}
quick = settings(max_examples=60, deadline=None)


def heard(words: list[str], *, text: str = "", language: str = "en-IN", cut: int = 0) -> Transcript:
    """Return a transcript of these words, a second each, in two segments where it is cut."""
    timed = tuple(Word(text=one, start=at, end=at + 0.9) for at, one in enumerate(words))
    parts = (timed[:cut], timed[cut:]) if 0 < cut < len(timed) else (timed,)
    segments = tuple(
        Segment(
            text=" ".join(word.text for word in part),
            start=part[0].start,
            end=part[-1].end,
            words=part,
            tokens=(1, 2),
        )
        for part in parts
        if part
    )
    return Transcript(
        text=text or " ".join(words), language=language, segments=segments, words=timed
    )


def everything(transcript: Transcript) -> list[str]:
    """Return every text of a transcript."""
    segments = transcript.segments
    return [
        transcript.text,
        " ".join(word.text for word in transcript.words),
        *(one.text for one in segments),
        *(" ".join(word.text for word in one.words) for one in segments),
    ]


def masked(text: str, language: str = "en-IN") -> str:
    """Return what becomes of a text, and see that its words say the same."""
    found = redact(heard(text.split(), language=language))
    assert found.text == " ".join(word.text for word in found.words)
    return found.text


@frozen
class Item:
    """Something personal, as it is written."""

    text: str
    mask: str


@st.composite
def items(draw: st.DrawFn) -> Item:
    """An e-mail address, or a valid number, written in one of many ways."""
    mask = draw(st.sampled_from(sorted(MASKS)))
    if mask == "[EMAIL]":
        local = draw(st.from_regex(r"[a-z]{4}[a-z0-9._+-]{0,8}[a-z]", fullmatch=True))
        return Item(f"{local}@{draw(st.sampled_from(['example.com', 'Mail.Example.co.in']))}", mask)
    digits = draw(numbers(mask))
    sizes = draw(st.sampled_from([[20], [4, 4, 4, 4, 4], [5, 5, 5, 5], [1] * 20]))
    ends = [0, *accumulate(sizes)]
    groups = [digits[a:b] for a, b in pairwise(ends) if digits[a:b]]
    text = draw(st.sampled_from([" ", "-"])).join(groups)
    script = draw(st.sampled_from([{}, DEVANAGARI, THAI]))
    if len(groups) > 12 and not script:
        text = " ".join(SPOKEN[int(one)] for one in digits)
    return Item(text.translate(script), mask)


@st.composite
def numbers(draw: st.DrawFn, mask: str) -> str:
    """The digits of a valid number of that kind."""
    if mask == "[PHONE]":
        digits = draw(st.from_regex(r"[6-9][0-9]{9}", fullmatch=True))
        assume(phonenumbers.is_valid_number(phonenumbers.parse(digits, "IN")))
        return digits
    if mask == "[AADHAAR]":
        first = draw(st.from_regex(r"[2-9][0-9]{10}", fullmatch=True))
        digits = first + verhoeff.calc_check_digit(first)
        assume(aadhaar.is_valid(digits))
        return digits
    first = draw(st.from_regex(r"[3-6][0-9]{11,17}", fullmatch=True))
    return first + luhn.calc_check_digit(first)


fillers = st.lists(
    st.sampled_from(["so", "my", "number", "is", "please", "हाँ", "ครับ", "thanks", "it's", "(ok)"]),
    max_size=4,
)


@st.composite
def cuts(draw: st.DrawFn, item: Item) -> list[str]:
    """The item as words: as written, or cut anywhere."""
    if draw(st.booleans()) or (" " in item.text and item.text[0].isalpha()):
        return item.text.split()
    whole = "".join(item.text.split())
    places = draw(st.sets(st.integers(1, len(whole) - 1), max_size=4))
    return [whole[a:b] for a, b in pairwise([0, *sorted(places), len(whole)])]


@quick
@given(st.data(), items(), fillers, fillers)
def test_nothing_of_an_item_survives(data, item, before, after):
    """Whatever is masked in one place is in no other, however it is cut into words and segments."""
    inside = data.draw(cuts(item))
    words = [*before, *inside, *after]
    cut = data.draw(st.integers(0, len(words)))
    text = " ".join([*before, item.text, *after])
    found = redact(heard(words, text=text, cut=cut))
    left = " ".join(everything(found))

    assert set(re.findall(r"\[[A-Z]+\]", left)) <= MASKS
    assert all("[" in one for one in everything(found)[:2]), left
    assert not re.search(r"\d|@|example", left, re.IGNORECASE), left
    assert not set(SPOKEN) & set(left.split())


@quick
@given(st.data(), items(), fillers, fillers)
def test_times_stay(data, item, before, after):
    """The first word of an item lasts until the end of its last one; the others are as they were."""
    inside = data.draw(cuts(item))
    words = heard([*before, *inside, *after], text=" ".join([*before, item.text, *after])).words
    found = redact(
        heard([*before, *inside, *after], text=" ".join([*before, item.text, *after]))
    ).words
    first, last = words[len(before)], words[len(before) + len(inside) - 1]

    assert words[: len(before)] == found[: len(before)]
    assert words[len(words) - len(after) :] == found[len(found) - len(after) :]
    assert first.start == found[len(before)].start
    assert last.end == found[len(found) - len(after) - 1].end


@quick
@given(items(), fillers, fillers)
def test_masks_stay(item, before, after):
    """What was masked is not masked again."""
    found = redact(heard([*before, *item.text.split(), *after]))

    assert found is redact(found)


@quick
@given(st.lists(st.text().map(lambda text: re.sub(r"[\d@]", "", text))))
def test_text_without_items_is_unchanged(words):
    """Without a digit and an at sign there is nothing to mask, and the very transcript comes back."""
    transcript = heard([*words, "two", "three"])

    assert transcript is redact(transcript)


@quick
@given(st.lists(st.sampled_from(["at", "10:30", "on", "12", "May", "2026", "room", "3", "$45.99"])))
def test_ordinary_numbers_stay(words):
    """Times, dates, years and prices between words are no personal data."""
    transcript = heard([*(part for word in words for part in (word, "and"))], language="hi")

    assert transcript is redact(transcript)


@pytest.mark.parametrize(
    "text",
    [
        "2341 2341 2347",  # Verhoeff says no
        "234123412340",
        "4111 1111 1111 1112",  # Luhn says no
        "4111111111111110",
        "378282246310006",
    ],
)
def test_wrong_check_digits_stay(text):
    """A number that fails its check is none."""
    said = f"the code {text} ends"

    assert said == masked(said)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en-IN", "call 98765 43210.", "call [PHONE]."),
        ("en-IN", "call 98765, 43210 now", "call [PHONE] now"),
        ("en", "call +66 81 234 5678 now", "call [PHONE] now"),
        ("en", "call (415) 555-2671 now", "call [PHONE] now"),
        ("hi", "नंबर ९८७६५ ४३२१० है", "नंबर [PHONE] है"),
        ("th", "โทร๐๘๑-๒๓๔-๕๖๗๘ค่ะ", "โทร[PHONE]ค่ะ"),
        ("th-TH", "โทร 081 234 5678 ค่ะ", "โทร [PHONE] ค่ะ"),
        ("en-IN", "pin 5 98765 43210 ok", "pin 5 [PHONE] ok"),
        ("en-IN", "room 12 98765 43210 ok", "room 12 [PHONE] ok"),
        ("en-IN", "nine eight seven six five four three two one oh", "[PHONE]"),
        ("en-IN", "double nine eight seven six five four three two one", "[PHONE]"),
        ("en-IN", "it is 2341 2341 2346, yes", "it is [AADHAAR], yes"),
        ("en-IN", "card 4111-1111-1111-1111, yes", "card [CARD], yes"),
        ("en-IN", "mail to John.Doe+x@Example.co.in, yes", "mail to [EMAIL], yes"),
        ("en-IN", "mail to john @ example.com yes", "mail to [EMAIL] yes"),
        ("hi", "मोहन@उदाहरण.भारत पर", "[EMAIL] पर"),
        ("th", "อีเมลpim@example.comครับ", "อีเมล[EMAIL]ครับ"),
        ("es-419", "call +66 81 234 5678", "call [PHONE]"),
        ("no language", "call 98765 43210", "call [PHONE]"),
        ("de", "call 98765 43210", "call 98765 43210"),
    ],
)
def test_examples(language, text, expected):
    """Numbers and addresses in many scripts and ways to say them."""
    assert expected == masked(text, language)


def test_item_across_segments():
    """An item that goes on in the next segment is masked in both."""
    found = redact(heard(["call", "98765", "43210", "now"], cut=2))

    assert ["call [PHONE]", "[PHONE] now"] == [one.text for one in found.segments]
    assert [["call", "[PHONE]"], ["[PHONE]", "now"]] == [
        [word.text for word in one.words] for one in found.segments
    ]
    assert ["call", "[PHONE]", "now"] == [word.text for word in found.words]
    assert [(), ()] == [one.tokens for one in found.segments]


def test_words_cut_unlike_the_text():
    """An address that only the text shows whole is masked in the words too."""
    transcript = heard(["mail", "pim", "@", "example", ".com"], text="mail pim@example.com")
    found = redact(transcript)

    assert ["mail", "[EMAIL]"] == [word.text for word in found.words]
    assert (1, 4.9) == (found.words[1].start, found.words[1].end)


def test_item_said_twice():
    """A number that is hidden in a code the second time is masked there too."""
    assert "[PHONE] or x[PHONE]y" == masked("98765 43210 or x9876543210y")


def test_nothing_at_all():
    """An empty transcript is left alone."""
    empty = Transcript(text="")

    assert empty is redact(empty)


async def test_off_the_loop():
    """The asynchronous one does the same in a thread."""
    transcript = heard(["call", "98765", "43210"])

    assert redact(transcript) == await redacted(transcript)


def test_import_is_cheap():
    """What it needs is loaded when it is first needed."""
    program = "import json, sys, junctor.core.pii; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert not {"phonenumbers", "stdnum", "langcodes"} & set(json.loads(shown.stdout))
