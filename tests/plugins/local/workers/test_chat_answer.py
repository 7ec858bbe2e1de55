"""When an answer is over, and what is told of it."""

import msgspec
import pytest
from tokenizers import Tokenizer

from junctor.core.chat.dialect import Conversation
from junctor.plugins.local.tiny_chat import MODEL_DIR
from junctor.plugins.local.workers.chat_answer import Answer, End
from junctor.plugins.local.workers.chat_prompt import Prompt

TEXT = "one two three four five"
CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer():
    return Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))


def answer_of(tokenizer, *, longest: int = 1000, **fields) -> Answer:
    conversation = msgspec.convert({"messages": [], **fields}, Conversation)
    prompt = Prompt(tokens=(), is_thinking=False, has_tools=True)
    end = End(frozenset({tokenizer.token_to_id("<|im_end|>")}), longest)
    return Answer(0, prompt, conversation, tokenizer, end=end)


def test_an_answer_ends_with_its_end_token(tokenizer):
    """The token that ends it is no part of it, and does not count."""
    answer = answer_of(tokenizer)
    ids = tokenizer.encode(TEXT).ids
    answer.take([*ids, tokenizer.token_to_id("<|im_end|>")])
    said = answer.last()

    assert answer.is_over
    assert (TEXT, "stop", len(ids)) == (said.content, said.finish, answer.tokens)


def test_an_answer_ends_at_its_longest(tokenizer):
    """It is over at once, whatever others in its batch still have to say."""
    ids = tokenizer.encode(TEXT).ids
    answer = answer_of(tokenizer, longest=len(ids))
    answer.take(ids)
    said = answer.last()

    assert answer.is_over
    assert (TEXT, "length") == (said.content, said.finish)


def test_an_answer_ends_at_a_stop(tokenizer):
    """What comes behind a stop in the same piece is neither told nor counted."""
    answer = answer_of(tokenizer, stop="three")
    taken = answer.take(tokenizer.encode(TEXT).ids)
    said = answer.last()

    assert answer.is_over
    assert ("one two ", "stop") == (said.content, said.finish)
    assert taken == answer.tokens < len(tokenizer.encode(TEXT))


def test_one_call_is_enough_where_only_one_is_wanted(tokenizer):
    """`parallel_tool_calls: false` ends the answer behind its first call."""
    answer = answer_of(tokenizer, parallel_tool_calls=False)
    answer.take(tokenizer.encode(CALL + CALL).ids)
    said = answer.last()

    assert answer.is_over
    assert (["f"], "tool_calls") == ([call.name for call in said.calls], said.finish)
