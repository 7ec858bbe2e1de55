"""Whisper's codes and BCP-47 tags say the same."""

import pytest

from junctor.plugins.local.languages import CODES, TAGS, code_of, gap_of, tag_of


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("en-GB", "en"), ("zh-Hant", "zh"), ("jv", "jw"), ("nb", "no"), ("tlh", None)],
)
def test_tags_have_codes(tag, code):
    """A region or script does not matter, and old codes are known."""
    assert code == code_of(tag)


def test_every_code_has_a_tag_and_back():
    """No language is lost between the two."""
    assert set(CODES) == {code_of(tag_of(code)) for code in CODES}
    assert all(code_of(tag) for tag in TAGS)


def test_codes_are_fasters_own():
    """The list is the one that faster-whisper knows."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(_LANGUAGE_CODES) == set(CODES)


@pytest.mark.parametrize(("language", "gap"), [("ja", ""), ("zh", ""), ("th", " "), (None, " ")])
def test_segments_join_as_the_language_does(language, gap):
    """Chinese and Japanese have no spaces between sentences."""
    assert gap == gap_of(language)
