"""From token ids to what a caller reads: text, thoughts and calls, as soon as they are certain."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

REPLACEMENT: Final = "\ufffd"
"""What bytes decode to that are no whole character, or not yet."""
MISSING: Final = 3
"""Replacements at the end of a text that the next token may turn into one character."""
KEPT, LONGEST_WINDOW = 8, 40
"""Tokens that are decoded again with those that follow, so that the work does not grow."""
THINK: Final = ("<think>", "</think>")
CALL: Final = ("<tool_call>", "</tool_call>")


class Detokeniser:
    """
    Text of tokens as they come, never with half a character.

    Args:
        decode: text of ids, without the special ones.

    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        """The last tokens: a decoder may look at those before."""
        self._told = ""
        """What was told of their text."""

    def push(self, ids: Sequence[int]) -> str:
        """Return the text that these tokens complete."""
        self._window += ids
        text = _whole(self._decode(self._window))
        piece = text[len(self._told) :]
        self._told = text
        if len(self._window) > LONGEST_WINDOW:
            del self._window[:-KEPT]
            self._told = _whole(self._decode(self._window))
        return piece

    def finish(self) -> str:
        """Return what is left: a character that stays broken."""
        return self._decode(self._window)[len(self._told) :]


class Call(Struct, frozen=True):
    """A function that the model wants called."""

    name: str
    arguments: str
    """JSON."""


class Thought(Struct, frozen=True):
    """Something that the model says to itself."""

    text: str


Found = str | Thought | Call
"""A `str` is text for the caller."""


class _Wanted(Struct):
    name: str
    arguments: Raw = Raw(b"{}")


_wanted = msgspec.json.Decoder(_Wanted)


class AnswerReader:
    """
    Tells thoughts (`<think>`) and calls (`<tool_call>`) from the text of an answer.

    What may be the beginning of a mark, and line ends before one, are held back. A call that is no
    JSON is text, marks included.

    Args:
        is_thinking: whether the prompt has opened the thoughts already.
        has_tools: whether calls are looked for.

    """

    def __init__(self, *, is_thinking: bool = False, has_tools: bool = False) -> None:
        self._has_tools = has_tools
        self._rest = ""
        self._is_fresh = True
        """Whether line ends that come now only part sections."""
        self._read = self._thoughts if is_thinking else self._start

    def push(self, text: str) -> Iterator[Found]:
        """Yield what is certain now."""
        self._rest += text
        while self._rest:
            before = self._read, len(self._rest)
            yield from self._read(is_end=False)
            if before == (self._read, len(self._rest)):
                return

    def finish(self) -> Iterator[Found]:
        """Yield what is left."""
        while self._rest:
            yield from self._read(is_end=True)

    def _start(self, *, is_end: bool) -> Iterator[Found]:
        text = self._rest.lstrip()
        if text.startswith(THINK[0]):
            self._rest = text.removeprefix(THINK[0])
            self._read = self._thoughts
        elif is_end or not THINK[0].startswith(text):
            self._is_fresh = False
            self._read = self._answer
        yield from ()

    def _thoughts(self, *, is_end: bool) -> Iterator[Found]:
        text, is_marked = self._until(THINK[1], is_end=is_end)
        if text:
            yield Thought(text)
        if is_marked:
            self._is_fresh = True
            self._read = self._answer

    def _answer(self, *, is_end: bool) -> Iterator[Found]:
        if not self._has_tools:
            text, self._rest = self._trimmed(self._rest), ""
            is_marked = False
        else:
            text, is_marked = self._until(CALL[0], is_end=is_end)
        if text:
            yield text
        if is_marked:
            self._read = self._call

    def _call(self, *, is_end: bool) -> Iterator[Found]:
        body, mark, rest = self._rest.partition(CALL[1])
        if not (mark or is_end):
            return
        yield _called(body) or CALL[0] + body + mark
        self._rest, self._is_fresh = rest, True
        self._read = self._answer

    def _until(self, mark: str, *, is_end: bool) -> tuple[str, bool]:
        """Take what is before a mark, and say whether that has come; hold back what may be one."""
        self._rest = self._trimmed(self._rest)
        text, found, rest = self._rest.partition(mark)
        if found:
            self._rest = rest
            return text.rstrip("\n"), True
        if not is_end:
            text = text[: len(text) - held(text, (mark,))].rstrip("\n")
        self._rest = self._rest[len(text) :]
        return text, False

    def _trimmed(self, text: str) -> str:
        """Leave out the line ends at the beginning of a section."""
        if self._is_fresh:
            text = text.lstrip("\n")
            self._is_fresh = not text
        return text


class Stops:
    """Finds the first of some texts, also across pieces; it and what follows is not let through."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)
        self._search = re.compile("|".join(map(re.escape, texts))).search if texts else None
        self._rest = ""
        self.is_hit = False

    def push(self, text: str) -> str:
        """Return what is certainly before the first of them."""
        if self._search is None:
            return text
        if self.is_hit:
            return ""
        self._rest += text
        found = self._search(self._rest)
        self.is_hit = found is not None
        end = found.start() if found else len(self._rest) - held(self._rest, self._texts)
        text, self._rest = self._rest[:end], self._rest[end:]
        return text

    def finish(self) -> str:
        """Return what was held back."""
        return "" if self.is_hit else self._rest


def _whole(text: str) -> str:
    """Leave out the end that may be half a character."""
    certain = len(text.rstrip(REPLACEMENT))
    return text[: max(certain, len(text) - MISSING)]


def held(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    longest = min(max(map(len, marks)) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if _may_begin(text[-n:], marks)), 0)


def _may_begin(tail: str, marks: Sequence[str]) -> bool:
    return any(mark.startswith(tail) for mark in marks)


def _called(body: str) -> Call | None:
    """Read a call as Hermes and Qwen write it; None where it is none."""
    try:
        wanted = _wanted.decode(body)
        arguments = bytes(wanted.arguments).decode()
        if arguments.startswith('"'):  # JSON in JSON
            arguments = msgspec.json.decode(arguments, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return Call(wanted.name, arguments)
