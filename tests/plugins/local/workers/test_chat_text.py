"""Text, thoughts, calls and stops, found in pieces however they are cut."""

import pytest

from junctor.plugins.local.workers.chat_text import (
    AnswerReader,
    Call,
    Detokeniser,
    Stops,
    Thought,
)

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def decode(ids) -> str:
    """Decode as a byte-level tokenizer does: each id is a byte."""
    return bytes(ids).decode("utf-8", "replace")


def read(text: str, size: int, **options) -> list[object]:
    """Return what a reader finds in a text that comes in pieces, neighbours put together."""
    reader = AnswerReader(**{"has_tools": True, **options})
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found: list[object] = []
    for one in [*(one for piece in pieces for one in reader.push(piece)), *reader.finish()]:
        if found and isinstance(one, str) and isinstance(found[-1], str):
            found[-1] += one
        elif found and isinstance(one, Thought) and isinstance(found[-1], Thought):
            found[-1] = Thought(found[-1].text + one.text)
        else:
            found.append(one)
    return found


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello\n\nyou\n", ["Hello\n\nyou\n"]),
        ("<think>\nHm.\n</think>\n\nYes.", [Thought("Hm."), "Yes."]),
        ("<think>\n\n</think>\n\nYes.", ["Yes."]),
        ("a < b <thin", ["a < b <thin"]),
        (f"Wait.\n{CALL}\n{CALL}", ["Wait.", Call("f", '{"a": 1}'), Call("f", '{"a": 1}')]),
        (CALL.removesuffix("</tool_call>"), [Call("f", '{"a": 1}')]),
        ("<tool_call>{nonsense}</tool_call>", ["<tool_call>{nonsense}</tool_call>"]),
        ('<tool_call>{"name": "f", "argum', ['<tool_call>{"name": "f", "argum']),
        ('<tool_call>{"name": "f"}</tool_call>', [Call("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}', [Call("f", '{"a": 1}')]),
        ("<think>Only this", [Thought("Only this")]),
    ],
)
def test_an_answer_is_read_however_it_is_cut(text, expected, size):
    """Marks are found also where they are cut, and what is none is text."""
    assert expected == read(text, size)


def test_without_tools_a_call_is_text():
    """Who offers no functions gets what the model writes."""
    assert [CALL] == read(CALL, 7, has_tools=False)


def test_thoughts_may_be_open_already():
    """A template that opens the thoughts itself leaves only their end to the model."""
    assert [Thought("Hm."), "Yes."] == read("Hm.\n</think>\n\nYes.", 3, is_thinking=True)


def test_text_is_told_at_once():
    """Nothing is held back that cannot be a mark."""
    reader = AnswerReader(has_tools=True)

    assert ["Hello you"] == list(reader.push("Hello you"))
    assert [" a "] == list(reader.push(" a <tool"))
    assert ["<toolbox"] == list(reader.push("box"))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_characters_are_never_halved(size):
    """Thai comes piece by piece, and all of it."""
    text = "สวัสดีครับ hello 🙂 ยินดีช่วย " * 5
    ids = list(text.encode())
    tokens = Detokeniser(decode)
    pieces = [tokens.push(ids[at : at + size]) for at in range(0, len(ids), size)]

    assert text == "".join(pieces) + tokens.finish()
    assert not any("\ufffd" in piece for piece in pieces)
    assert sum(map(bool, pieces)) > len(text) / (size + 2)


def test_a_broken_character_is_told_in_the_end():
    """Bytes that stay half a character are shown as such, once."""
    tokens = Detokeniser(decode)

    assert "a" == tokens.push([97, 0xE0])
    assert "\ufffd" == tokens.finish()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_stops_are_found_across_pieces(size):
    """The first stop ends the text, wherever it is cut; what only begins like one does not."""
    text = "one ENE two END three"
    stops = Stops(["END", "three"])
    told = "".join(stops.push(text[at : at + size]) for at in range(0, len(text), size))

    assert stops.is_hit
    assert "one ENE two " == told + stops.finish()


def test_the_beginning_of_a_stop_is_told_in_the_end():
    """What might have become a stop, and did not, is not lost."""
    stops = Stops(["END"])

    assert "a " == stops.push("a EN")
    assert "EN" == stops.finish()
