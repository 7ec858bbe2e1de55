"""BCP-47 tags: what is one, and which of a model's tags serves the one asked for."""

import pytest

from junctor.core.errors import InvalidRequestError
from junctor.core.locales import checked, match, standard, understands


@pytest.mark.parametrize(
    ("known", "tag", "found"),
    [
        ({"en-US", "en-GB", "en-IN"}, "en-IN", "en-IN"),
        ({"en-US", "en-GB"}, "en-IN", "en-GB"),
        ({"en-IN", "en-GB", "en-US"}, "en", "en-US"),
        ({"en", "th"}, "en-IN", "en"),
        ({"th-TH"}, "th", "th-TH"),
        ({"zh-CN", "zh-TW"}, "zh-HK", "zh-TW"),
        ({"en_us", "en_uk"}, "en-US", "en_us"),
        ({"hi", "en"}, "th", None),
        ({"tl", "en"}, "fil", "tl"),
        ({"tl-PH"}, "fil-PH", "tl-PH"),
        ({"no"}, "nb-NO", "no"),
        ({"nb-NO"}, "no", "nb-NO"),
        ({"nb", "no"}, "no", "no"),
        ({"zh", "yue"}, "cmn-CN", "zh"),
        ({"en-US", "en-GB"}, "en_us", "en-US"),
    ],
)
def test_the_nearest_tag_of_the_language_serves(known: set[str], tag: str, found: str) -> None:
    """A region falls back to the language, a bare language to its usual region."""
    assert match(known, tag) == found


@pytest.mark.parametrize(
    ("tag", "written"),
    [("en_in", "en-IN"), ("TH", "th"), ("zh-hant-tw", "zh-Hant-TW")],
)
def test_tags_are_written_as_bcp_47_does(tag: str, written: str) -> None:
    """Case, separators and old codes are put right."""
    assert standard(tag) == written


@pytest.mark.parametrize("tag", ["english", "xx-YY", "e", "", "en-", "ไทย", "en-US" * 10, "und"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    """The message names it and says what to send."""
    with pytest.raises(InvalidRequestError, match="BCP-47") as caught:
        checked(tag, param="language")

    assert caught.value.param == "language"


def test_a_model_without_a_list_understands_all() -> None:
    """None stands for any language."""
    assert understands(None, "th") is True
