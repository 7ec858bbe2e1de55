"""A chat template rendered as `transformers` renders it, with nothing but jinja2."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from jinja2 import Template

Message = Mapping[str, object]
"""A message or a tool in the form of OpenAI's API."""


def compile_template(source: str) -> "Template":
    """
    Compile a chat template, which may neither change what it is given nor leave its sandbox.

    Render it with ``messages``, ``tools``, ``add_generation_prompt`` and what else the template
    knows (``enable_thinking``).

    Raises:
        jinja2.TemplateSyntaxError: it is none.

    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def fail(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(source)


def _as_json(value: object, *, indent: int | None = None) -> str:
    """Write JSON for a model to read: jinja2's own filter writes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def render(
    template: "Template",
    messages: Iterable[Message],
    *,
    tools: Iterable[Message] = (),
    thinking: bool = False,
) -> str:
    """Return the prompt for the next answer."""
    return template.render(
        messages=list(messages),
        tools=list(tools),
        add_generation_prompt=True,
        enable_thinking=thinking,
    )
