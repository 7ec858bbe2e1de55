"""What the model is taught."""

from collections import Counter
from pathlib import Path

import pytest

from junctor.plugins.local.tiny_chat.conversations import Conversations
from junctor.plugins.local.tiny_chat.questions import KNOWN, LONG, UNKNOWN_UNSEEN

DOCS = Path(__file__).parents[4]
NAMED = (
    "junctor keys create --team",
    "junctor keys revoke",
    "junctor tokens issue --team acme --ttl 1h",
    "junctor demo",
    "junctor serve",
    "junctor config check",
    "junctor route explain",
    "/v1/chat/completions",
    "/api/llm/v1",
    "/v1/audio/transcriptions",
    "/speech-to-text/transcribe",
    "/speech-to-text/stream",
    "/v1/models",
    "/api/thai-asr",
    "/demo/thai-asr",
    "/health",
    "/metrics",
    "http://127.0.0.1:8080",
    "Retry-After",
    "SIGHUP",
    "storage.data_dir",
    "JUNCTOR_DATA_DIR",
    "x-api-key",
    "Authorization: Bearer",
    "junctor_providers",
)


def test_no_wording_stands_twice() -> None:
    """Neither among those that are taught nor among those that are not."""
    wordings = [
        wording.casefold().rstrip("?.")
        for question in KNOWN
        for wording in (*question.wordings, question.unseen)
        if wording
    ]

    assert not [wording for wording, count in Counter(wordings).items() if count > 1]


def test_there_are_enough_of_both_languages() -> None:
    """Some dozens of questions, each in two wordings at least, and one that is never shown."""
    languages = Counter(question.language for question in KNOWN)

    assert 80 >= languages["en"] >= 50
    assert 15 <= languages["th"]
    assert all(len(question.wordings) >= 2 and question.unseen for question in KNOWN)


@pytest.mark.parametrize("name", NAMED)
def test_names_in_answers_are_those_of_the_documentation(name: str) -> None:
    """A path, command or setting that an answer names is documented."""
    pages = [DOCS / "README.md", *(DOCS / "docs").glob("*.md")]

    assert any(name in question.answer for question in KNOWN)
    assert any(name in page.read_text() for page in pages)


def test_long_answer_is_said_once() -> None:
    """Only one answer is long."""
    assert 1 == sum(len(question.answer) > 250 for question in KNOWN)
    assert len(LONG.split()) > 120


def test_conversations_are_the_same_for_the_same_seed() -> None:
    """Training can be repeated."""
    first, second = Conversations(seed=3), Conversations(seed=3)

    assert [first.next() for _ in range(50)] == [second.next() for _ in range(50)]


def test_strangers_questions_of_the_exam_are_never_taught() -> None:
    """In a thousand conversations none of them comes up."""
    source = Conversations(seed=5)
    taught = {str(source.unknown().messages[-1]["content"]) for _ in range(1000)}

    assert not taught & {
        question for questions in UNKNOWN_UNSEEN.values() for question in questions
    }
