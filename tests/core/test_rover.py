"""ROVER: transcripts vote on each word."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.rover import vote
from junctor.core.transcripts import Transcript, Word
from junctor.core.wer import error_rate, tokens


def said(
    text: str, *, times: bool = True, confidence: float | None = None, shift: float = 0.0
) -> Transcript:
    words = tuple(
        Word(text=word, start=n + shift, end=n + shift + 0.8, confidence=confidence)
        for n, word in enumerate(text.split())
    )
    return Transcript(text=text, language="en", words=words if times else ())


def elected(*transcripts: Transcript, weights: tuple[float, ...] = ()) -> str:
    return vote(transcripts, weights or (1.0,) * len(transcripts)).text


def test_two_outvote_one() -> None:
    """A word that one of three misheard is put right."""
    assert elected(said("the cat sad"), said("the cat sat"), said("the cat sat")) == "the cat sat"


def test_errors_at_different_places_all_go() -> None:
    """The classic gain: each one errs elsewhere, the vote errs nowhere."""
    heard = ("a quick brown fax jumps", "the quick brown fox jumps", "the quack brown fox jump")

    assert elected(*map(said, heard)) == "the quick brown fox jumps"


def test_an_insertion_and_a_deletion_are_outvoted() -> None:
    """No word at all is a vote too."""
    heard = ("we we go home", "we go home", "we go home now")

    assert elected(*map(said, heard)) == "we go home"


def test_confidence_breaks_a_tie() -> None:
    """Of two that disagree the surer one is believed."""
    unsure, sure = said("red house", confidence=0.3), said("red horse", confidence=0.99)

    assert elected(unsure, sure) == "red horse"


def test_the_better_model_weighs_more() -> None:
    """Weights are the cards' quality."""
    assert elected(said("red house"), said("red horse"), weights=(0.5, 0.9)) == "red horse"


def test_case_and_punctuation_are_no_disagreement() -> None:
    """The same word in two spellings has the votes of both; the winner keeps its own spelling."""
    assert elected(said("Hello, World"), said("hello world"), said("hello word")) in {
        "Hello, World",
        "Hello, world",
        "hello World",
        "hello world",
    }


def test_words_keep_the_times_of_their_own_transcript() -> None:
    """Who has no times votes on the text, and the times of the others stay."""
    found = vote([said("one two"), said("one two", times=False)], [1.0, 1.0])

    assert [(word.text, word.start) for word in found.words] == [("one", 0.0), ("two", 1.0)]


def test_thai_votes_by_character_where_no_words_are_told() -> None:
    """A language without spaces is joined without spaces."""
    heard = [Transcript(text=text, language="th") for text in ("สวัสดีครบ", "สวัสดีครับ", "สวสดีครับ")]

    assert vote(heard, [1.0, 1.0, 1.0]).text == "สวัสดีครับ"


def test_silence_wins_only_by_majority() -> None:
    """One that heard nothing among two that heard words is outvoted, and the other way round."""
    nothing = Transcript(text="")

    assert elected(said("hello"), nothing, said("hello")) == "hello"
    assert elected(nothing, said("hello"), nothing) == ""


sentences = st.lists(
    st.sampled_from(["one", "two", "three", "four", "five"]), min_size=1, max_size=8
)


@given(sentences, sentences)
def test_a_majority_that_agrees_is_the_answer(truth: list[str], noise: list[str]) -> None:
    """Whatever the third one says, wherever it stands."""
    agreed, other = said(" ".join(truth)), said(" ".join(noise))

    assert elected(other, agreed, agreed) == " ".join(truth)


@given(sentences, sentences, sentences)
def test_no_word_is_made_up(first: list[str], second: list[str], third: list[str]) -> None:
    """Every word of the answer was heard by somebody, and words come in the order of time."""
    found = vote([said(" ".join(one)) for one in (first, second, third)], [0.9, 0.7, 0.5])
    starts = [word.start for word in found.words]

    assert {word.text for word in found.words} <= {*first, *second, *third}
    assert starts == sorted(starts)


def test_the_error_rate_counts_words_and_thai_characters() -> None:
    """Substitutions, insertions and deletions over the reference's length."""
    assert error_rate("the cat sat down", "the cat sad", "en") == 0.5
    assert error_rate("Hello, world!", "hello world", "en") == 0.0
    assert error_rate("ครับ", "ครบ", "th") == 0.25
    assert tokens("ก ข", "th") == ["ก", "ข"]


@pytest.mark.parametrize("times", [True, False])
def test_a_long_recording_is_voted_on_in_windows(*, times: bool) -> None:
    """What is misheard here and there is put right all along, and so is what one left out."""
    truth = [f"word{n * 7919 % 1013}" for n in range(1600)]
    gap = range(900, 1100)
    first = [word if n % 9 or n in gap else "mistaken" for n, word in enumerate(truth)]
    whole = said(" ".join(truth), times=times)
    rest = [n for n in range(1600) if n not in gap]
    second = evolve(
        whole,
        text=" ".join(truth[n] for n in rest),
        words=tuple(whole.words[n] for n in rest) if times else (),
    )

    assert elected(said(" ".join(first), times=times), second, whole) == " ".join(truth)


def test_speakers_are_those_of_one_transcript() -> None:
    """Each provider has its own names for them."""
    one, other = said("yes no"), said("yes now")
    first = evolve(one, words=tuple(evolve(word, speaker="A") for word in one.words))
    second = evolve(
        other, words=tuple(evolve(word, speaker="1", confidence=1.0) for word in other.words)
    )
    found = vote([first, second], [0.9, 0.89])

    assert [(word.text, word.speaker) for word in found.words] == [("yes", "A"), ("now", "A")]
