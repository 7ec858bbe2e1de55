"""What a chat worker is built from, what it is asked, and what it says."""

from msgspec import Struct

from junctor.plugins.local.workers.chat_text import Call


class ChatOptions(Struct, frozen=True):
    """What is loaded, and how."""

    path: str
    device: str = "auto"
    device_index: int = 0
    compute_type: str = "default"
    threads: int = 0
    """Of one decode on a CPU; 0 for half of the cores."""
    slots: int = 8
    """Conversations decoded at the same time."""
    context_tokens: int = 4096
    """Of prompt and answer together."""
    has_tools: bool = True
    """Whether the model may call functions."""
    may_think: bool = True
    """Whether it may be asked to think first."""


class ChatArgs(Struct, frozen=True):
    """One conversation; its payload is the request's JSON."""

    is_stream: bool = False
    """Whether the answer is wanted piece by piece."""


class Scored(Struct, frozen=True, array_like=True):
    """One token of an answer, and how likely it was."""

    token: bytes
    logprob: float
    others: tuple[tuple[bytes, float], ...] = ()
    """The likeliest tokens in its place."""


class Said(Struct, frozen=True, tag=True, omit_defaults=True):
    """What is new of one answer."""

    index: int
    content: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    scores: tuple[Scored, ...] = ()
    """Of the tokens that have come since; empty unless they were asked for."""
    finish: str = ""
    """`stop`, `length` or `tool_calls` in the last one of each answer."""


class Took(Struct, frozen=True, tag=True):
    """Tokens of the prompt and of all answers; comes last."""

    prompt: int
    completion: int


ChatItem = Said | Took
