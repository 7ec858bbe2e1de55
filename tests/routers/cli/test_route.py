"""`junctor route explain`: the plan of a described request, without a server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from junctor.routers.cli.root import main
from tests.fakes.distributions import Shelf

CONFIG = """
extends = "default"
[models.best]
chain = ["openai:whisper-1", "whisper:junctor-tiny", "sphinx:en-us"]
[teams.small]
allowed_models = ["sphinx:en-us"]
"""


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> str:
    path = tmp_path / "junctor.toml"
    path.write_text(CONFIG)
    return str(path)


def explain(config: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["route", "explain", "--config", config, *options])


def test_each_candidate_says_why_it_stands_there(config: str) -> None:
    """And each one left out why it does not."""
    result = explain(config, "--model", "best", "--language", "en", "--json")
    plan = json.loads(result.stdout)

    assert [(one["model"], one["place"]) for one in plan["candidates"]] == [
        ("whisper:junctor-tiny", "fallback of the requested model"),
        ("sphinx:en-us", "fallback of the requested model"),
    ]
    assert [(one["model"], one["fault"]) for one in plan["excluded"]] == [
        ("openai:whisper-1", "server")
    ]


def test_the_described_request_is_what_counts(config: str) -> None:
    """Language, feature and team each leave their mark."""
    thai = explain(config, "--model", "best", "--language", "th", "--team", "small", "--json")
    reasons = {one["model"]: one["reason"] for one in json.loads(thai.stdout)["excluded"]}

    assert reasons["sphinx:en-us"] == "does not know the language th"
    assert reasons["whisper:junctor-tiny"] == "not allowed for this team"


def test_people_get_a_table(config: str) -> None:
    """Order, model and reason in one line each."""
    result = explain(config, "--model", "best", "--language", "en")
    lines = [line.split() for line in result.stdout.splitlines() if "whisper:junctor-tiny" in line]

    assert lines[0][:2] == ["1", "whisper:junctor-tiny"]


def test_nobody_to_ask_is_an_exit_code(config: str) -> None:
    """A script can tell."""
    result = explain(config, "--model", "sphinx:en-us", "--language", "th")

    assert result.exit_code == 1


def test_an_unknown_model_is_one_line(config: str) -> None:
    """With the known ones named."""
    result = explain(config, "--model", "worst")

    assert result.exit_code == 1
    assert "best" in result.stderr


def test_what_is_no_language_is_refused_as_a_server_does(config: str) -> None:
    """Else the plan would only say that nobody knows it."""
    result = explain(config, "--model", "best", "--language", "english")

    assert result.exit_code == 1
    assert "BCP-47" in result.stderr


POOLED = """
extends = "default"
[models.pooled]
pool = ["acme:q", "acme:small"]
balance = "peak-ewma"
weights = {"acme:q" = 2.0}
"""
CHATTING = """
from attrs import evolve
from junctor.core.cards import Capability
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber, fake_card

@hookimpl
def junctor_providers(settings):
    chat = fake_card("small", provider="acme", capabilities=[Capability.CHAT])
    replicas = [evolve(chat, id=f"q@{n}", replica_of="q") for n in (1, 2)]
    return [FakeTranscriber("acme", cards=[evolve(chat, context_tokens=100), *replicas])]
"""
LONG = ("--model", "pooled", "--capability", "chat", "--prompt-tokens", "90", "--output-tokens")


def test_a_pool_tells_how_its_members_stand(tmp_path: Path, shelf: Shelf) -> None:
    """In order, with what decides it, and where the conversation is at home."""
    shelf.add("acme", CHATTING)
    path = tmp_path / "pooled.toml"
    path.write_text(POOLED)
    result = explain(str(path), *LONG, "20", "--affinity", "hello")
    again = json.loads(explain(str(path), *LONG, "20", "--affinity", "hello", "--json").stdout)
    first = again["candidates"][0]["model"]
    rows = [
        line.strip().split(maxsplit=2) for line in result.stdout.splitlines() if "acme:" in line
    ]

    assert rows[0][1:] == [
        first,
        "requested; pool: 0 outstanding, latency 1 s, weight 2, holds the conversation",
    ]
    assert [one["home"] for one in again["pool"]] == [True, False]
    assert rows[2][1] == "acme:small"
