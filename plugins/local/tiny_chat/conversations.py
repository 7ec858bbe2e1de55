"""Conversations to learn from and to be judged by, drawn from what the model is to know."""

import json
import random
from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from junctor.plugins.local.tiny_chat.questions import (
    CITIES,
    DEGREES,
    KNOWN,
    NAMES,
    SKIES,
    SYSTEM_PROMPTS,
    UNKNOWN,
    UNKNOWN_FORMS,
    UNKNOWN_THINGS,
    Question,
)
from junctor.plugins.local.tiny_chat.rendering import Message

_FUNCTIONS = ("get_weather", "get_weather", "get_current_weather")
_PLACES = ("city", "city", "location")
_ABOUT = (
    "The weather in a city",
    "Get the current weather",
    "Get weather",
    "Tells how the weather is now.",
    "",
)
_WHERE = ("The name of the city", "City", "The city and country", "")
_OTHER_TOOLS = ("get_time", "search", "send_email", "transcribe")
_ASK_WEATHER = (
    "What is the weather in {}?",
    "How is the weather in {}?",
    "What is the weather like in {}?",
    "weather in {}",
    "Tell me the weather in {}",
    "What is the weather like in {} today?",
)  # fmt: skip
_TELL_NAME = ("My name is {}.", "I am {}.", "Hello, my name is {}.", "Hi, I am {}")
_ASK_NAME = ("What is my name?", "Do you know my name?", "Who am I?")
_COPIED = 60
_SLIP_FROM = 9
"""Characters that a question has in which one may be missing."""
_ASK_ECHO = ("Say: {}", "Repeat: {}", "Repeat after me: {}")
COPIABLE = (*" ".join((*CITIES, *NAMES, *SKIES)).split(), *map(str, DEGREES))
"""What the model copies from a prompt into its reply."""
_POLITE = {
    "en": ("Please ", "Hi, ", "Tell me: ", "Can you tell me: ", "I want to know: "),
    "th": ("ช่วยบอกหน่อย ", "อยากรู้ว่า "),
}


@frozen
class Conversation:
    """What is said up to an answer, and the answer."""

    messages: tuple[Message, ...]
    answer: str
    """What is written behind the reasoning, calls of tools included."""
    thought: str
    tools: tuple[Message, ...] = ()
    thinking: bool = False

    @property
    def reply(self) -> str:
        """Return what the model has to write behind the prompt, without the end mark."""
        return (
            f"<think>\n{self.thought}\n</think>\n\n{self.answer}" if self.thinking else self.answer
        )


def said(role: str, content: str) -> Message:
    """Return a message."""
    return {"role": role, "content": content}


def ask(question: str, *, answer: str, thought: str, system: str = "") -> Conversation:
    """Return a conversation of one question."""
    before = (said("system", system),) if system else ()
    return Conversation((*before, said("user", question)), answer, thought)


def thought_of(question: Question) -> str:
    """Return what the model thinks when it is asked a question that it knows."""
    if question.language == "th":
        return f"ผู้ใช้ถามว่า {question.wordings[0]}"
    return f"The user asks: {question.wordings[0]}"


UNKNOWN_THOUGHTS = {"en": "This is not about junctor.", "th": "นี่ไม่ใช่เรื่อง junctor"}


def weather_tool(
    name: str = "get_weather", place: str = "city", *, about: str = "", where: str = ""
) -> Message:
    """Return a tool in the form of OpenAI's API that takes the name of a city."""
    properties = {place: {"type": "string", **({"description": where} if where else {})}}
    function = {
        "name": name,
        **({"description": about} if about else {}),
        "parameters": {"type": "object", "properties": properties, "required": [place]},
    }
    return {"type": "function", "function": function}


def call_text(name: str, arguments: Mapping[str, object]) -> str:
    """Return how the model writes the call of a tool."""
    called = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{called}\n</tool_call>"


class Conversations:
    """A source of conversations, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)  # noqa: S311 — not for secrets
        self._kinds: Sequence[tuple[Callable[[], Conversation], float]] = (
            (self.known, 0.33),
            (self.unknown, 0.12),
            (self.later, 0.06),
            (self.remembered, 0.1),
            (self.called, 0.14),
            (self.told, 0.1),
            (self.uncalled, 0.04),
            (self.repeated, 0.11),
        )

    def next(self) -> Conversation:
        """Return one of any kind, with thinking or without."""
        (kind,) = self._draw.choices(
            [kind for kind, _ in self._kinds], [share for _, share in self._kinds]
        )
        return evolve(kind(), thinking=self._chance(0.4))

    def known(self) -> Conversation:
        """Return a question that has an answer, worded a little differently each time."""
        question = self._draw.choice(KNOWN)
        asked = self._vary(self._draw.choice(question.wordings), question.language)
        return ask(
            asked, answer=question.answer, thought=thought_of(question), system=self._system()
        )

    def unknown(self) -> Conversation:
        """Return a stranger's question."""
        language = "en" if self._chance(0.7) else "th"
        form = self._draw.choice(UNKNOWN_FORMS[language])
        asked = self._vary(form.format(self._draw.choice(UNKNOWN_THINGS[language])), language)
        answer, thought = UNKNOWN[language], UNKNOWN_THOUGHTS[language]
        return ask(asked, answer=answer, thought=thought, system=self._system())

    def later(self) -> Conversation:
        """Return a question behind others that have been answered."""
        turns = [self._any() for _ in range(self._draw.randint(1, 2))]
        last = self._any()
        before = [
            message
            for turn in turns
            for message in (*turn.messages[-1:], said("assistant", turn.answer))
        ]
        return evolve(last, messages=(*last.messages[:-1], *before, last.messages[-1]))

    def _any(self) -> Conversation:
        return self.known() if self._chance(0.8) else self.unknown()

    def remembered(self) -> Conversation:
        """Return what follows when a user says a name: a greeting, or later the name."""
        name = self._draw.choice(NAMES)
        first = ask(
            self._draw.choice(_TELL_NAME).format(name),
            answer=f"Hello {name}. Nice to meet you.",
            thought=f"The user's name is {name}.",
            system=self._system(),
        )
        if self._chance(0.4):
            return first
        between: list[Message] = [said("assistant", first.answer)]
        if self._chance(0.4):
            other = self._any()
            between += [other.messages[-1], said("assistant", other.answer)]
        asked = said("user", self._vary(self._draw.choice(_ASK_NAME), "en"))
        return evolve(
            first, messages=(*first.messages, *between, asked), answer=f"Your name is {name}."
        )

    def repeated(self) -> Conversation:
        """Return a few words to repeat, or a city to have no tool for: copying, learnt early."""
        if self._chance(0.4):
            city = self._draw.choice(CITIES)
            asked = self._weather([city])
            answer, thought = (
                f"I have no tool for the weather in {city}.",
                "I have no tool for that.",
            )
        else:
            answer = " ".join(self._draw.sample(COPIABLE, self._draw.choice((1, 1, 2, 3))))
            asked, thought = self._draw.choice(_ASK_ECHO).format(answer), "I repeat it."
        return ask(asked, answer=answer, thought=thought, system=self._system())

    def called(self) -> Conversation:
        """Return a question about the weather that a tool is to answer, of one city or two."""
        name, place, tools = self.tools()
        cities = self._cities()
        asked = self._weather(cities)
        answer = "\n".join(call_text(name, {place: city}) for city in cities)
        thought = f"I need the weather in {' and '.join(cities)}."
        return evolve(
            ask(asked, answer=answer, thought=thought, system=self._system()), tools=tools
        )

    def told(self) -> Conversation:
        """Return what the tool said, to be put in words."""
        name, place, tools = self.tools()
        cities = self._cities()
        asked = self._weather(cities)
        reports = [(city, self._draw.choice(DEGREES), self._draw.choice(SKIES)) for city in cities]
        calls = [
            {
                "type": "function",
                "id": f"call_{at}",
                "function": {"name": name, "arguments": json.dumps({place: city})},
            }
            for at, city in enumerate(cities)
        ]
        form = self._draw.choice(_REPORTS)
        results = [said("tool", form(*report)) for report in reports]
        wanted: Message = {"role": "assistant", "content": "", "tool_calls": calls}
        answer = " ".join(
            f"In {city} it is {degrees} degrees and {sky}." for city, degrees, sky in reports
        )
        conversation = ask(
            asked, answer=answer, thought="Now I know the weather.", system=self._system()
        )
        return evolve(
            conversation, messages=(*conversation.messages, wanted, *results), tools=tools
        )

    def uncalled(self) -> Conversation:
        """Return a question for which no tool is needed, although there are some."""
        while "weather" in (conversation := self._any()).answer:
            pass
        return evolve(conversation, tools=self.tools()[2])

    def tools(self) -> tuple[str, str, tuple[Message, ...]]:
        """Return the name of a tool for the weather, its parameter, and all tools."""
        name, place = self._draw.choice(_FUNCTIONS), self._draw.choice(_PLACES)
        about, where = self._draw.choice(_ABOUT), self._draw.choice(_WHERE)
        tools = [weather_tool(name, place, about=about, where=where)]
        if self._chance(0.3):
            tools.append(
                weather_tool(self._draw.choice(_OTHER_TOOLS), "text", about="Another tool")
            )
        self._draw.shuffle(tools)
        return name, place, tuple(tools)

    def _weather(self, cities: list[str]) -> str:
        asked = self._draw.choice(_ASK_WEATHER).format(" and ".join(cities))
        return asked.rstrip("?") if self._chance(0.2) else asked

    def _cities(self) -> list[str]:
        return self._draw.sample(CITIES, 2 if self._chance(0.3) else 1)

    def _chance(self, share: float) -> bool:
        return self._draw.random() < share

    def _system(self) -> str:
        return self._draw.choice(SYSTEM_PROMPTS)

    def _vary(self, asked: str, language: str) -> str:
        """Word a question as somebody else might: other case, no mark at its end, a slip."""
        draw = self._draw
        if self._chance(0.15):
            asked = draw.choice(_POLITE[language]) + asked
        if self._chance(0.2):
            asked = asked.lower()
        if self._chance(0.25):
            asked = asked.rstrip("?.")
        if self._chance(0.1) and len(asked) >= _SLIP_FROM:
            at = draw.randrange(2, len(asked))
            asked = asked[:at] + asked[at + 1 :]
        if language == "th" and self._chance(0.15):
            asked += draw.choice(("ครับ", "คะ", "?"))
        return asked


def _as_json(city: str, degrees: int, sky: str) -> str:
    return json.dumps({"city": city, "temperature": degrees, "sky": sky})


def _as_measures(_: str, degrees: int, sky: str) -> str:
    return json.dumps({"temperature": degrees, "condition": sky})


def _as_words(_: str, degrees: int, sky: str) -> str:
    return f"It is {degrees} degrees and {sky}."


_REPORTS = (_as_json, _as_measures, _as_words)


def all_texts() -> list[str]:
    """
    Return what the tokenizer learns from.

    What is asked and answered, and what is copied from the one into the other so often that each
    such word becomes one token, or one behind a space: copying is then a matter of one look.
    """
    texts = [
        text
        for question in KNOWN
        for text in (*question.wordings, question.answer, thought_of(question))
    ]
    source = Conversations(seed=0)
    for _ in range(300):
        conversation = source.next()
        contents = (str(message["content"]) for message in conversation.messages)
        texts += [*contents, conversation.answer]
        texts += [json.dumps(tool) for tool in conversation.tools[:1]]
    return texts + [
        spaced for word in COPIABLE for spaced in (word, f" {word}") for _ in range(_COPIED)
    ]
