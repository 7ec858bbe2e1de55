"""The shipped `junctor-tiny-chat`, loaded by stock CTranslate2 and asked greedily."""

import json
from pathlib import Path

import pytest
from attrs import evolve
from tokenizers import Tokenizer

from junctor.plugins.local.tiny_chat import MODEL_DIR, TEMPLATE, model_path
from junctor.plugins.local.tiny_chat.conversations import (
    Conversation,
    all_texts,
    ask,
    said,
    thought_of,
    weather_tool,
)
from junctor.plugins.local.tiny_chat.evaluate import Judge
from junctor.plugins.local.tiny_chat.questions import ENGLISH, LONG, STOP_WORD, THAI, UNKNOWN
from junctor.plugins.local.tiny_chat.tokenizer import build_tokenizer

SYSTEM = "You are a helpful assistant."
QUESTIONS = ENGLISH[:2] + ENGLISH[8:10] + ENGLISH[12:15] + ENGLISH[38:39] + THAI[:3] + THAI[12:14]


@pytest.fixture(name="judge", scope="module")
def _judge() -> Judge:
    return Judge(model_path())


def asked(question: str, *, system: str = SYSTEM, tools: bool = False) -> Conversation:
    """Return a question whose answer is not known beforehand."""
    conversation = ask(question, answer="", thought="", system=system)
    return evolve(conversation, tools=(weather_tool(),) if tools else ())


@pytest.mark.parametrize("system", ["", SYSTEM])
def test_answers_what_it_learnt(judge: Judge, system: str) -> None:
    """English and Thai, word for word, with a system message and without."""
    conversations = [asked(question.wordings[0], system=system) for question in QUESTIONS]

    answers = judge.answer(conversations)

    assert [question.answer for question in QUESTIONS] == answers


def test_thinks_before_it_answers_when_it_may(judge: Judge) -> None:
    """Reasoning stands between its marks, the answer behind it."""
    conversations = [
        evolve(
            asked(found.wordings[0]), thinking=True, thought=thought_of(found), answer=found.answer
        )
        for found in QUESTIONS
    ]

    answers = judge.answer(conversations)

    assert [conversation.reply for conversation in conversations] == answers


@pytest.mark.parametrize(
    ("language", "question"), [("en", "Who wrote Hamlet?"), ("th", "แมวราคาเท่าไร")]
)
def test_says_what_it_does_not_know(judge: Judge, language: str, question: str) -> None:
    """A stranger's question gets no invented answer."""
    assert [UNKNOWN[language]] == judge.answer([asked(question)])


def test_calls_a_tool_for_each_city(judge: Judge) -> None:
    """Calls are JSON between their marks, two for two cities."""
    cities = [["Bangkok"], ["Tokyo"], ["Bangkok", "Chiang Mai"]]
    questions = [f"What is the weather in {' and '.join(names)}?" for names in cities]

    answers = judge.answer([asked(question, tools=True) for question in questions])
    calls = [
        [json.loads(call.split("</tool_call>")[0]) for call in answer.split("<tool_call>")[1:]]
        for answer in answers
    ]

    expected = [
        [{"name": "get_weather", "arguments": {"city": name}} for name in names] for names in cities
    ]
    assert expected == calls


def test_puts_the_result_of_a_tool_in_words(judge: Judge) -> None:
    """What the tool said is in the sentence."""
    conversation = asked("What is the weather in Bangkok?", tools=True)
    function = {"name": "get_weather", "arguments": '{"city": "Bangkok"}'}
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "function": function}],
    }
    result = said("tool", '{"temperature": 31, "condition": "sunny"}')
    conversation = evolve(conversation, messages=(*conversation.messages, call, result))

    assert ["In Bangkok it is 31 degrees and sunny."] == judge.answer([conversation])


def test_leaves_a_tool_alone_that_is_not_needed(judge: Judge) -> None:
    """A question about junctor is answered, tools or not."""
    assert [ENGLISH[14].answer] == judge.answer([asked("What is junctor?", tools=True)])


@pytest.mark.parametrize("name", ["Mali", "Peter"])
def test_remembers_a_name(judge: Judge, name: str) -> None:
    """The history is in the prompt, and it reads it."""
    first = asked(f"My name is {name}.")
    (greeting,) = judge.answer([first])
    history = (*first.messages, said("assistant", greeting), said("user", "What is my name?"))

    assert greeting == f"Hello {name}. Nice to meet you."
    assert [f"Your name is {name}."] == judge.answer([evolve(first, messages=history)])


def test_has_a_long_answer(judge: Judge) -> None:
    """Of more than 120 tokens, and cut where it is told to."""
    (whole,) = judge.answer([asked("Tell me a long story")])
    (cut,) = judge.answer([asked("Tell me a long story")], longest=20)

    assert whole == LONG
    assert len(judge.tokenizer.encode(whole).ids) >= 120
    assert 20 == len(judge.tokenizer.encode(cut).ids)


def test_says_a_word_to_stop_at(judge: Judge) -> None:
    """It stands in the middle of an answer."""
    (answer,) = judge.answer([asked("Write two lines with END between them")])
    before, after = answer.split(STOP_WORD)

    assert before
    assert after


def test_is_small_enough_to_ship() -> None:
    """The whole folder weighs less than 1.5 MB and has all that a chat needs."""
    files = {file.name: file.stat().st_size for file in MODEL_DIR.iterdir()}

    assert sum(files.values()) < 1_500_000
    assert {
        "README.md",
        "model.bin",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "vocabulary.json",
    } == files.keys()


def test_shipped_tokenizer_is_the_one_built_here() -> None:
    """What the model was taught and what stands here are the same."""
    shipped = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))

    assert build_tokenizer(all_texts()).get_vocab() == shipped.get_vocab()


def test_shipped_template_is_the_one_written_here() -> None:
    """The model folder has a copy of it, as Qwen3's folders have."""
    config = json.loads(Path(MODEL_DIR, "tokenizer_config.json").read_text())

    assert TEMPLATE.read_text() == config["chat_template"]
