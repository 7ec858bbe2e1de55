"""What README and the operator's pages show is true: configuration loads, commands and links exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from junctor.conf.loader import load
from junctor.routers.cli.root import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
COMMAND = re.compile(r"^junctor ((?:[a-z]+ ?)+)", re.MULTILINE)
INLINE = re.compile(r"`junctor ((?:[a-z]+ ?)+)")
ENVIRON = {"HOME": "/nobody", "OPENAI_API_KEY": "sk-none", "JUNCTOR_DATABASE_URL": "sqlite:///x.db"}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in FENCE.finditer(page.read_text("utf-8")):
            if found[1] == language:
                yield page.name, found[2]


def test_the_readme_shows_a_configuration_that_loads(tmp_path: Path) -> None:
    """As it stands there, with nothing but the key in the environment."""
    [text] = [text for name, text in blocks("toml") if name == "README.md"]
    config = tmp_path / "junctor.toml"
    config.write_text(text, "utf-8")
    settings = load(config, ENVIRON)

    assert settings.models["whisper-large-v3"].chain == ("whisper:large-v3", "openai:whisper-1")


def test_python_in_the_readme_is_python() -> None:
    """It runs against a server in the tests of the SDK; here it must at least parse."""
    sources = [text for name, text in blocks("python") if name == "README.md"]

    assert [compile(text, "README.md", "exec") is not None for text in sources] == [True]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or folder of the repository."""
    links = LINK.findall(page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Each `junctor …` that a page names has a help text, as far as its plain words go."""
    text = page.read_text("utf-8")
    scripts = "\n".join(found[2] for found in FENCE.finditer(text) if found[1] == "sh")
    shown = {found.strip() for found in (*COMMAND.findall(scripts), *INLINE.findall(text))}
    own = {words for words in shown if words.split()[0] not in {"morse", "greet"}}
    failed = [
        words
        for words in own
        if CliRunner().invoke(main, [*words.split()[:2], "--help"]).exit_code != 0
    ]

    assert failed == []
