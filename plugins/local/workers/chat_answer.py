"""One answer, from the tokens that come to what is told of it."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from junctor.core.chat.dialect import Conversation
from junctor.plugins.local.workers.chat_items import Said, Scored
from junctor.plugins.local.workers.chat_prompt import Prompt
from junctor.plugins.local.workers.chat_text import (
    AnswerReader,
    Call,
    Detokeniser,
    Found,
    Stops,
    Thought,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@frozen
class End:
    """Where the model has to stop."""

    ids: frozenset[int]
    """Tokens that end an answer, and are none of it."""
    longest: int
    """Tokens of an answer."""


class Answer:
    """
    One of the answers to a conversation.

    Args:
        index: which one.
        prompt: what it continues.
        conversation: what was asked.
        tokenizer: of the model.
        end: what ends it.

    """

    def __init__(
        self, index: int, prompt: Prompt, conversation: Conversation, tokenizer: "Tokenizer", *,
        end: End,
    ) -> None:  # fmt: skip
        self.index = index
        self.tokens = 0
        """That it has taken, the one that ends it not counted."""
        self.is_over = False
        """Whether no more of its tokens are wanted."""
        self.is_told = False
        """Whether its end was told."""
        self._is_cut = False
        """Whether that is so for what it says, and whatever else has come is left out."""
        self._end = end
        self._text = Detokeniser(tokenizer.decode)
        self._reader = AnswerReader(is_thinking=prompt.is_thinking, has_tools=prompt.has_tools)
        self._stops = Stops(conversation.stops)
        self._is_single_call = conversation.parallel_tool_calls is False
        self._may_end_early = self._is_single_call or bool(conversation.stops)
        self._has_called = False
        self._finish = "length"
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[Call] = []
        self._scores: list[Scored] = []
        self._note(self._reader.push(prompt.begun))

    def take(self, ids: Sequence[int]) -> int:
        """Take further tokens, and return how many of them are the answer's."""
        if self.is_over or not ids:
            return 0
        is_ended = ids[-1] in self._end.ids
        if is_ended:
            ids = ids[:-1]
            self._finish = "stop"
        taken = 0
        for piece in [[one] for one in ids] if self._may_end_early else [ids]:
            taken += len(piece)
            self._note(self._reader.push(self._text.push(piece)))
            if self._is_cut:
                break
        self.tokens += taken
        self.is_over = self._is_cut or is_ended or self.tokens >= self._end.longest
        return taken

    def score(self, scores: Iterable[Scored]) -> None:
        """Note how likely tokens were."""
        self._scores.extend(scores)

    def fresh(self) -> Said | None:
        """Return what can be told now, and was not yet."""
        if not (self._content or self._reasoning or self._calls):
            return None
        return self._said()

    def last(self) -> Said:
        """Return the rest, and how it ended."""
        self.is_told = True
        if not self._is_cut:
            self._note(self._reader.push(self._text.finish()))
            self._note(self._reader.finish())
        if not self._is_cut:
            self._content.append(self._stops.finish())
        finish = "tool_calls" if self._has_called and self._finish == "stop" else self._finish
        return self._said(finish)

    def _note(self, found: Iterable[Found]) -> None:
        for one in found:
            if self._is_cut:
                return
            match one:
                case Thought(text=text):
                    self._reasoning.append(text)
                case Call():
                    self._calls.append(one)
                    self._has_called = True
                    self._cut(self._is_single_call)
                case _:
                    self._content.append(self._stops.push(one))
                    self._cut(self._stops.is_hit)

    def _cut(self, is_wanted: bool) -> None:
        if is_wanted:
            self._is_cut = True
            self._finish = "stop"

    def _said(self, finish: str = "") -> Said:
        said = Said(
            index=self.index,
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            calls=tuple(self._calls),
            scores=tuple(self._scores),
            finish=finish,
        )
        for told in (self._content, self._reasoning, self._calls, self._scores):
            told.clear()
        return said
