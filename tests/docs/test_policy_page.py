"""What docs/policy.md shows is so: both files load, and the printed plans are those of today."""

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from junctor.conf.loader import load
from junctor.conf.settings import Settings, TierPolicy
from junctor.contracts.speech_to_text import AccuracyLanguagePolicy, LanguagePolicy
from junctor.routers.cli.offering import loaded
from junctor.routers.cli.root import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")
FILES = sorted((ROOT / "examples" / "policies").glob("*.toml"))
[CONSOLE] = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"^\$ junctor (.*)\n((?:[^$].*\n)+)", CONSOLE, re.MULTILINE)


def keys_of(path: Path) -> dict[str, str]:
    """Return an environment with a key for every vendor of a file."""
    return dict.fromkeys(re.findall(r"\$\{(\w+):-\}", path.read_text("utf-8")), "some-key")


def chains(settings: Settings) -> set[str]:
    """Return every name in a list of any tier."""
    tables = (settings.policy.tiers, *(team.tiers for team in settings.teams.values()))
    policies: list[TierPolicy] = [policy for table in tables for policy in table.values()]
    return {
        name
        for policy in policies
        for chain in (policy.provider_preference, policy.fallback_chain, policy.ensemble)
        for name in chain
    }


@pytest.mark.parametrize(("command", "printed"), SHOWN, ids=[one[0] for one in SHOWN])
def test_plans_are_those_that_are_printed(
    command: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows what the command prints, but for empty lines and blanks at the ends."""
    monkeypatch.chdir(ROOT)
    arguments = command.split()
    config = Path(arguments[arguments.index("--config") + 1])
    result = CliRunner().invoke(main, arguments, env=keys_of(config))
    lines = [line.rstrip() for line in result.stdout.splitlines()]

    assert [line for line in lines if line] == printed.splitlines()


def test_both_files_are_explained() -> None:
    """In several ways each."""
    explained = {re.findall(r"policies/(\S+)", command)[0] for command, _ in SHOWN}

    assert explained == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_name_what_there_is(path: Path) -> None:
    """With the keys set, every provider and model in a list of theirs is served."""
    settings = load(path, {"HOME": "/nobody", **keys_of(path)})
    catalog = loaded(settings).providers(settings).catalog(settings.models)
    served = {*catalog.cards, *catalog.providers}

    assert chains(settings) - served == set()
    assert {name for team in settings.teams.values() for name in team.allowed_models} <= served


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_need_no_environment(path: Path) -> None:
    """A vendor without a key sits out."""
    settings = load(path, {"HOME": "/nobody"})

    assert set(settings.policy.tiers) == {"low", "medium", "high"}


def test_policy_of_a_request_is_one() -> None:
    """It is read as the server reads it, and the table has all of its keys."""
    (sample,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    policy = msgspec.json.decode(sample, type=AccuracyLanguagePolicy)
    rows = "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))

    assert policy.high is not None
    assert all(f"`{name}`" in rows for name in LanguagePolicy.__struct_fields__)
