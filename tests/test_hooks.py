"""Every hook is documented as it is, and does what it says in the hands of a plugin."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from litestar import Router

from junctor.conf.settings import Settings
from junctor.core import hooks
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.hooks import SPECS
from junctor.core.plans import Candidate, Place, Plan, Wish
from junctor.core.plugins import Plugins
from junctor.core.testing.fakes import fake_card, transcript_of
from tests.fakes.plugins import plugins

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
WISH = Wish(capability=Capability.TRANSCRIBE)


def signature(hook: str) -> str:
    """Return a hook's signature as it is written, without quotes around annotations."""
    (node,) = ast.parse(inspect.getsource(getattr(hooks, hook))).body
    assert isinstance(node, ast.FunctionDef)
    assert node.returns is not None
    parameters, returned = ast.unparse(node.args), ast.unparse(node.returns)
    return re.sub(r"[\"']", "", f"{hook}({parameters}) -> {returned}")


def section(hook: str) -> str:
    """Return what the page says of a hook."""
    return PAGE.partition(f"### `{hook}`\n")[2].partition("\n### ")[0]


def test_specs_names_every_specification() -> None:
    """The list, and what is marked."""
    marked = [name for name, value in vars(hooks).items() if hasattr(value, "junctor_spec")]

    assert list(SPECS) == marked


def test_page_has_no_other_hooks() -> None:
    """A hook that went is gone from the page, and they stand in the module's order."""
    assert re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE) == list(SPECS)


@pytest.mark.parametrize("hook", SPECS)
def test_page_shows_the_exact_signature(hook: str) -> None:
    """In the hook's own section, before anything else."""
    assert section(hook).startswith(f"\n```python\n{signature(hook)}\n```\n")


@pytest.mark.parametrize("hook", SPECS)
def test_page_and_docstring_say_when_it_is_called(hook: str) -> None:
    """The page in the first word below the signature."""
    said = section(hook).partition("\n```\n\n")[2]
    documented = inspect.getdoc(getattr(hooks, hook)) or ""

    assert said.startswith("Called ")
    assert re.search(r"\bcalled\b", documented, re.IGNORECASE)


def offered(loaded: Plugins) -> object:
    return [provider.name for provider in loaded.providers(Settings()).providers]


def paths(loaded: Plugins) -> object:
    found = [router for routers in loaded.routers(Settings()).values() for router in routers]
    return [router.path for router in found if isinstance(router, Router)]


def commands(loaded: Plugins) -> object:
    return [command.name for commands in loaded.commands().values() for command in commands]


def planned(loaded: Plugins) -> object:
    """Make a plan of two ranked models; one of them is the plugin's."""
    from junctor_morse.provider import CARD

    ranked = tuple(Candidate(card=card, place=Place.RANKED) for card in (CARD, fake_card()))
    plan = loaded.plan(Plan(candidates=ranked), WISH)
    return [candidate.card.name for candidate in plan.candidates]


def written(loaded: Plugins) -> object:
    return loaded.transcript(transcript_of("CQ <AR>"), WISH).text


def counted(loaded: Plugins) -> object:
    from junctor_morse.plugin import plugin

    before = plugin.tally.outcomes.get("ok", 0)
    attempt = Attempt(capability=Capability.TRANSCRIBE, provider="morse", outcome="ok")
    loaded.attempt(attempt)
    return plugin.tally.outcomes.get("ok", 0) - before


Effect = tuple[Callable[[Plugins], object], object, object]
EFFECTS: dict[str, Effect] = {
    "junctor_providers": (offered, [], ["morse"]),
    "junctor_routers": (paths, [], ["/morse/v1"]),
    "junctor_commands": (commands, [], ["morse"]),
    "junctor_plan": (planned, ["morse:morse", "fake:one"], ["fake:one"]),
    "junctor_transcript": (written, "CQ <AR>", "CQ"),
    "junctor_attempt": (counted, 0, 1),
}
"""Of each hook: how to see it, what is seen without the example plugin, and what with it."""


@pytest.mark.parametrize("hook", SPECS)
def test_example_plugin_uses_the_hook(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the difference that the hook is there for."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "junctor-morse" / "src"))
    from junctor_morse.plugin import plugin

    see, without, with_it = EFFECTS[hook]
    bare, loaded = plugins(Settings()), plugins(Settings(), morse=plugin)

    assert (see(bare), see(loaded)) == (without, with_it)
