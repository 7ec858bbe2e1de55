"""The chat template, letter for letter as `transformers` renders it."""

import pytest
from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError

from junctor.plugins.local.tiny_chat import TEMPLATE
from junctor.plugins.local.tiny_chat.conversations import said, weather_tool
from junctor.plugins.local.tiny_chat.rendering import compile_template, render

ASKED = said("user", "Hello")
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Bangkok"}'},
        },
        {
            "id": "2",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "เชียงใหม่"}},
        },
    ],
}


@pytest.fixture(name="template", scope="module")
def _template() -> Template:
    return compile_template(TEMPLATE.read_text())


def test_system_and_user(template: Template) -> None:
    """ChatML; thinking is the model's to begin."""
    prompt = render(template, [said("system", "Be brief."), ASKED], thinking=True)

    assert prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_thinking_switched_off(template: Template) -> None:
    """The prompt itself has an empty reasoning, as Qwen3's has."""
    prompt = render(template, [ASKED], thinking=False)

    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_tools_stand_in_the_system_message(template: Template) -> None:
    """Behind what it says, as JSON with letters as they are."""
    prompt = render(template, [said("system", "สั้น ๆ"), ASKED], tools=[weather_tool(about="อากาศ")])

    assert prompt.startswith(
        "<|im_start|>system\nสั้น ๆ\n\n# Tools\n\nYou may call these functions:\n<tools>\n"
        '{"type": "function", "function": {"name": "get_weather", "description": "อากาศ", '
        '"parameters": {"type": "object", "properties": {"city": {"type": "string"}}, '
        '"required": ["city"]}}}\n</tools>\n\nFor each call, answer with its name and arguments as JSON:\n'
        '<tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nHello<|im_end|>\n"
    )


def test_calls_and_their_results(template: Template) -> None:
    """Arguments as text or as an object; all results in one turn of the user."""
    prompt = render(template, [ASKED, CALL, said("tool", "31"), said("tool", "24")], thinking=True)

    assert prompt == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bangkok"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "เชียงใหม่"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n31\n</tool_response>\n<tool_response>\n24\n</tool_response>"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


def test_old_reasoning_is_left_out(template: Template) -> None:
    """Of an answer only what stood behind it, however the client sends it."""
    answers = (
        said("assistant", "<think>\nhm\n</think>\n\nHi."),
        {"role": "assistant", "content": "Hi.", "reasoning_content": "hm"},
    )
    prompts = [render(template, [ASKED, answer, ASKED], thinking=True) for answer in answers]

    assert prompts[0] == prompts[1]
    assert "<|im_start|>assistant\nHi.<|im_end|>\n" in prompts[0]


def test_reasoning_of_the_turn_under_way_is_kept(template: Template) -> None:
    """Between a call and the answer to its result the model sees what it thought."""
    prompt = render(template, [ASKED, {**CALL, "reasoning_content": "hm"}, said("tool", "31")])

    assert "<|im_start|>assistant\n<think>\nhm\n</think>\n\n<tool_call>\n" in prompt


def test_content_in_parts(template: Template) -> None:
    """Parts of text are joined; of anything else the template says that it is none."""
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    whole = render(template, [{"role": "user", "content": parts}])

    assert whole == render(template, [ASKED])
    with pytest.raises(TemplateError, match="only text"):
        render(template, [{"role": "user", "content": [{"type": "image_url"}]}])


def test_unknown_roles_are_refused(template: Template) -> None:
    """With a sentence that says which ones there are."""
    with pytest.raises(TemplateError, match="a role is"):
        render(template, [said("narrator", "Hello")])


def test_templates_of_strangers_stay_in_their_sandbox() -> None:
    """A model folder may come from anywhere."""
    with pytest.raises(SecurityError):
        render(compile_template("{{ messages.append(1) }}"), [ASKED])
    with pytest.raises(SecurityError):
        render(compile_template("{{ ''.__class__.__mro__ }}"), [ASKED])


def test_templates_may_tell_the_date() -> None:
    """Some do."""
    assert render(compile_template("{{ strftime_now('%Y') }}"), []).isdigit()
