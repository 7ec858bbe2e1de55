"""What a template gets to see, and what becomes of folders of other makers."""

import json
import shutil

import msgspec
import pytest

from junctor.core.chat.dialect import Conversation
from junctor.core.errors import ProviderRejectedError
from junctor.plugins.local.tiny_chat import MODEL_DIR
from junctor.plugins.local.workers.chat_items import ChatOptions
from junctor.plugins.local.workers.chat_prompt import Prompts, template_of

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A model folder without a template."""
    shutil.copy(MODEL_DIR / "tokenizer.json", tmp_path)
    return tmp_path


def prompt(folder, template: str, messages: list[dict[str, object]], **fields):
    """Return what a template makes of a conversation."""
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    prompts = Prompts(folder, ChatOptions(path=str(folder)))
    conversation = msgspec.convert({"messages": messages, **fields}, Conversation)
    made = prompts.prompt(conversation)
    return prompts.tokenizer.decode(
        [prompts.tokenizer.token_to_id(token) or 0 for token in made.tokens],
        skip_special_tokens=False,
    ), made


def test_a_template_sees_plain_messages(folder):
    """Text is one string, arguments are an object, and a developer is the system."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages: list[dict[str, object]] = [
        {"role": "developer", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    text, _ = prompt(folder, "{{ messages | tojson }}", messages)
    system, assistant = json.loads(text)

    assert {"role": "system", "content": "ab"} == system
    assert "" == assistant["content"]
    assert {"a": 1} == assistant["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(
    ("effort", "thinks"),
    [(None, False), ("none", False), ("low", True), ("high", True), ("minimal", False)],
)
def test_effort_is_the_thinking_switch(folder, effort, thinks):
    """Only `low`, `medium` and `high` let the model think."""
    messages: list[dict[str, object]] = [{"role": "user", "content": "a"}]
    text, _ = prompt(folder, "{{ enable_thinking }}", messages, reasoning_effort=effort)

    assert str(thinks) == text


def test_a_template_may_open_the_thoughts(folder):
    """A model that always thinks has the mark in its prompt."""
    _, made = prompt(folder, "<|im_start|>assistant\n<think>\n", [{"role": "user"}])

    assert made.is_thinking


def test_a_required_call_is_begun(folder):
    """The answer begins as a call, of the function that is named."""
    named = {"type": "function", "function": {"name": "f"}}
    text, made = prompt(folder, "a", [{"role": "user"}], tools=[TOOL], tool_choice=named)

    assert text == "a" + made.begun
    assert '<tool_call>\n{"name": "f", "arguments":' == made.begun


def test_tools_are_refused_by_models_without(folder):
    """A model that calls no functions does not pretend."""
    (folder / "chat_template.jinja").write_text("a")
    prompts = Prompts(folder, ChatOptions(path="", has_tools=False))
    conversation = msgspec.convert({"messages": [], "tools": [TOOL]}, Conversation)
    with pytest.raises(ProviderRejectedError, match="calls no functions"):
        prompts.prompt(conversation)


@pytest.mark.parametrize("broken", ["{{ raise_exception('no wizards') }}", "{{ messages[9].a.b }}"])
def test_a_template_that_fails_refuses(folder, broken):
    """Whatever a template raises is a refusal of the request, not a defect."""
    with pytest.raises(ProviderRejectedError, match="chat template"):
        prompt(folder, broken, [{"role": "user", "content": "a"}])


def test_the_default_of_several_templates_is_taken(folder):
    """Some folders name more than one."""
    templates = [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))

    assert "yes" == template_of(folder)
