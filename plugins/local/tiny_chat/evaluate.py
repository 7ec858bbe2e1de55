"""
Measure `junctor-tiny-chat`: what it answers, word for word, and how fast.

::

    python -m junctor.plugins.local.tiny_chat.evaluate [DIR]

Needs the extra ``chat`` only. An answer counts when it is exactly the one that was taught.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attrs import evolve

from junctor.plugins.local.tiny_chat import model_path
from junctor.plugins.local.tiny_chat.conversations import (
    UNKNOWN_THOUGHTS,
    Conversation,
    Conversations,
    ask,
    said,
    thought_of,
)
from junctor.plugins.local.tiny_chat.questions import (
    KNOWN,
    UNKNOWN,
    UNKNOWN_UNSEEN,
    Question,
)
from junctor.plugins.local.tiny_chat.rendering import compile_template, render
from junctor.plugins.local.tiny_chat.tokenizer import END

_BATCH = 32
_LONGEST = 400
_DRAWN = 60


class Judge:
    """The model of a folder, asked greedily."""

    def __init__(self, folder: str) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        config = json.loads(Path(folder, "tokenizer_config.json").read_text())
        self._template = compile_template(config["chat_template"])
        self._generator = ctranslate2.Generator(
            folder, device="cpu", inter_threads=1, intra_threads=1
        )

    def prompt(self, conversation: Conversation) -> list[str]:
        """Return the tokens of the prompt."""
        text = render(
            self._template,
            conversation.messages,
            tools=conversation.tools,
            thinking=conversation.thinking,
        )
        tokens: list[str] = self.tokenizer.encode(text).tokens
        return tokens

    def answer(
        self, conversations: Iterable[Conversation], *, longest: int = _LONGEST
    ) -> list[str]:
        """Return the replies, of at most `longest` tokens each."""
        results = self._generator.generate_batch(
            [self.prompt(conversation) for conversation in conversations],
            max_batch_size=_BATCH,
            max_length=longest,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=END,
        )
        return [self.tokenizer.decode(found.sequences_ids[0]) for found in results]

    def score(self, conversations: list[Conversation]) -> tuple[float, list[tuple[str, str]]]:
        """Return the share of exact replies, and what was asked and said elsewhere."""
        replies = self.answer(conversations)
        wrong = [
            (str(asked.messages[-1]["content"]), reply)
            for asked, reply in zip(conversations, replies, strict=True)
            if reply != asked.reply
        ]
        return 1 - len(wrong) / len(conversations), wrong

    def speed(self) -> float:
        """Return the tokens per second of one core that writes the longest answer."""
        longest = max(KNOWN, key=lambda found: len(found.answer))
        began, replies = time.perf_counter(), self.answer([_asked(longest, longest.wordings[0])])
        return len(self.tokenizer.encode(replies[0]).ids) / (time.perf_counter() - began)


def _asked(question: Question, wording: str, system: str = "") -> Conversation:
    return ask(wording, answer=question.answer, thought=thought_of(question), system=system)


def _taught(language: str) -> list[Conversation]:
    return [
        _asked(found, wording)
        for found in KNOWN
        if found.language == language
        for wording in found.wordings
    ]


def _unseen(language: str) -> list[Conversation]:
    return [
        _asked(found, found.unseen)
        for found in KNOWN
        if found.language == language and found.unseen
    ]


def _strange(language: str) -> list[Conversation]:
    return [
        ask(question, answer=UNKNOWN[language], thought=UNKNOWN_THOUGHTS[language])
        for question in UNKNOWN_UNSEEN[language]
    ]


def _drawn(kind: Callable[[Conversations], Conversation]) -> list[Conversation]:
    source = Conversations(seed=4242)
    return [kind(source) for _ in range(_DRAWN)]


def _behind(turns: int) -> list[Conversation]:
    """Return the first wording of each question, behind so many others and their answers."""
    source = Conversations(seed=4242)
    asked = []
    for found in KNOWN:
        last, before = _asked(found, found.wordings[0]), [source.known() for _ in range(turns)]
        history = [
            message
            for turn in before
            for message in (turn.messages[-1], said("assistant", turn.answer))
        ]
        asked.append(evolve(last, messages=(*history, *last.messages)))
    return asked


def exams() -> Iterator[tuple[str, list[Conversation]]]:
    """Yield what is asked, by name."""
    for language, name in (("en", "English"), ("th", "Thai")):
        yield f"{name}, wordings that it learnt", _taught(language)
        yield (
            f"{name}, the same, other system message",
            [
                _asked(found, found.wordings[0], "You are a helpful assistant.")
                for found in KNOWN
                if found.language == language
            ],
        )
        yield f"{name}, wordings that it never saw", _unseen(language)
        yield f"{name}, strangers' questions that it never saw", _strange(language)
    for turns in (2, 4, 8):
        yield f"behind {turns} others and their answers", _behind(turns)
    yield "a name said before", _drawn(Conversations.remembered)
    yield "calls of tools", _drawn(Conversations.called)
    yield "results of tools", _drawn(Conversations.told)
    yield "tools that are not needed", _drawn(Conversations.uncalled)


def main(arguments: list[str]) -> None:
    """Print the table of the model in the folder given, or of the shipped one."""
    folder = arguments[0] if arguments else model_path()
    judge = Judge(folder)
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    speed = statistics.median(judge.speed() for _ in range(5))
    print(f"{size / 1e6:.2f} MB, {speed:.0f} tokens/s")  # noqa: T201
    print("| | questions | exact | exact with reasoning |\n|-|-:|-:|-:|")  # noqa: T201
    for name, conversations in exams():
        plain, wrong = judge.score(conversations)
        reasoned, _ = judge.score([evolve(asked, thinking=True) for asked in conversations])
        print(f"| {name} | {len(conversations)} | {plain:.1%} | {reasoned:.1%} |")  # noqa: T201
        if "-v" in arguments:
            print(*wrong, sep="\n")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
