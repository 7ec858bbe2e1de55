"""What two guesses in a row agree on is shown as sure, and never taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.agreement import Agreement, pieces_of


def test_two_in_a_row_agree():
    """The common beginning of two guesses is agreed on; one guess alone is not."""
    guesses = Agreement()

    assert guesses.hear(["the", " cat"]) == 0
    assert guesses.hear(["the", " car", " is"]) == 1
    assert guesses.hear(["the", " car", " is", " red"]) == 1
    assert (guesses.agreed, guesses.rest) == (["the", " car"], [" is", " red"])


def test_the_last_piece_is_not_sure():
    """Two guesses that are alike to the end may both have heard half a word there."""
    guesses = Agreement()
    for _ in range(3):
        guesses.hear(["good", " morn"])

    assert guesses.agreed == ["good"]


def test_a_contradiction_takes_nothing_back():
    """A later guess that denies what was agreed on is shown behind it, and confirms nothing."""
    guesses = Agreement()
    for _ in range(2):
        guesses.hear(["one", " two", " th"])

    assert guesses.hear(["won", " too", " three"]) == 0
    assert guesses.agreed == ["one", " two"]
    assert guesses.rest == [" three"]


def test_the_window_moves_on():
    """What lies before the window is dropped from both parts."""
    guesses = Agreement(agreed=["a", "b"], rest=["c", "d"])
    guesses.drop(3)

    assert (guesses.agreed, guesses.rest) == ([], ["d"])


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("two words", ("two", " words")),
        ("ครับที่", ("ค", "รั", "บ", "ที่")),
        ("OK ครับ", ("OK", " ค", "รั", "บ")),
        ("東京 is", ("東", "京", " is")),
        ("", ()),
    ],
)
def test_pieces(text, pieces):
    """Words where there are spaces, characters with their marks where there are none."""
    assert pieces_of(text) == pieces


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=12))
def test_what_was_agreed_on_stays(guesses):
    """Whatever comes, the agreed part only grows."""
    agreement, before = Agreement(), list[str]()
    for guess in guesses:
        agreement.hear(guess)
        assert agreement.agreed[: len(before)] == before
        before = list(agreement.agreed)


@given(st.text(alphabet="ab กิ่ง東 ", max_size=20))
def test_pieces_are_the_text(text):
    """Nothing is lost but space at the end."""
    assert "".join(pieces_of(text)).rstrip() == text.rstrip()
