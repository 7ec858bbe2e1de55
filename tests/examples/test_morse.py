"""The example plugin as a stranger ships it: a wheel, pip, a real server, real clients."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from attrs import frozen

from junctor.core.testing.clips import silent_clip
from tests.fakes.installations import Site, build

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "examples" / "junctor-morse"
TEXT = "CQ DE PARIS"
SILENCE = silent_clip().data
CONFIG = """
extends = []
default_model = "echo"
[loader]
allow = ["morse", "echo"]
"""
ECHO = """
from junctor.core.cards import Capability, ModelCard
from junctor.core.hooks import hookimpl
from junctor.core.transcripts import Transcript

class Echo:
    name = "echo"

    def models(self):
        wanted = frozenset({Capability.TRANSCRIBE})
        return [ModelCard(provider="echo", id="echo", capabilities=wanted)]

    async def start(self): ...

    async def close(self): ...

    async def transcribe(self, request):
        return Transcript(text="echo")

@hookimpl
def junctor_providers():
    return [Echo()]
"""


@frozen
class Served:
    """A running server, and how to reach it."""

    site: Site
    url: str
    key: str
    recording: bytes
    """`TEXT <AR>`, keyed at 24 words a minute."""

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def openai(self, *, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0)

    def decode(self, body: bytes, **headers: str) -> httpx.Response:
        told = headers or self.authorization
        return httpx.post(f"{self.url}/morse/v1/decode", content=body, headers=told, timeout=30)

    def stats(self) -> dict[str, dict[str, int]]:
        answer = httpx.get(f"{self.url}/morse/v1/stats", headers=self.authorization)
        counted: dict[str, dict[str, int]] = answer.json()
        return counted


def installed(folder: Path, wheel: Path) -> Site:
    site = Site.at(folder, CONFIG)
    site.install(wheel)
    site.add("echo", ECHO)
    return site


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SOURCE, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(name="served", scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("morse")
    site = installed(folder, wheel)
    key = site.run("keys", "create", "--team", "acme")
    recording = folder / "hello.wav"
    site.run("morse", "encode", f"{TEXT} <AR>", str(recording), "--wpm", "24", "--hertz", "750")
    with site.serving() as url:
        yield Served(site, url, key, recording.read_bytes())


def ask(client, data, **more):
    return client.audio.transcriptions.create(model="morse", file=("a.wav", data), **more)


def test_the_wheel_brings_only_its_own(wheel):
    """One package, its metadata, one entry point; nothing of junctor is changed."""
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
        points = archive.read("junctor_morse-1.0.0.dist-info/entry_points.txt").decode()

    assert folders == {"junctor_morse", "junctor_morse-1.0.0.dist-info"}
    assert points.split() == ["[junctor]", "morse", "=", "junctor_morse.plugin:plugin"]


@pytest.mark.timeout(300)
def test_its_own_tests_pass(served):
    """The conformance kit among them, on what pip has installed."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-o", "pythonpath=", "-p", "no:cacheprovider"],
        cwd=SOURCE,
        env=served.site.environ(),
        stdout=subprocess.PIPE,
        check=False,
    )

    assert done.returncode == 0, done.stdout.decode()


def test_is_listed(served):
    """By its entry point's name, with its distribution and its models."""
    listed = {one["name"]: one for one in served.site.run_json("plugins")["plugins"]}

    assert (listed["morse"]["status"], listed["morse"]["reason"]) == ("ok", "")
    assert (listed["morse"]["distribution"], listed["morse"]["version"]) == (
        "junctor-morse",
        "1.0.0",
    )
    assert listed["morse"]["models"] == ["morse:morse"]


def test_serves_the_openai_contract(served):
    """The openai SDK, unmodified, gets what was keyed, with the times of its words."""
    answer = ask(
        served.openai(),
        served.recording,
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    words = answer.words

    assert (answer.text, [word.word for word in words]) == (TEXT, TEXT.split())
    assert words[0].start == pytest.approx(7 * 0.05, abs=0.02)


def test_streams_over_the_openai_contract(served):
    """Deltas, then the whole."""
    events = list(ask(served.openai(), served.recording, stream=True))

    assert [one.type for one in events] == ["transcript.text.delta", "transcript.text.done"]
    assert events[-1].text == TEXT


def test_is_a_model_among_others(served):
    """Beside the one of another stranger."""
    names = {model.id for model in served.openai().models.list()}

    assert names == {"morse", "echo"}


def test_serves_its_own_contract(served):
    """Text, speed and length; the pitch and the speed were not told."""
    answer = served.decode(served.recording)
    found = answer.json()

    assert (answer.status_code, found["text"]) == (200, TEXT)
    assert found["wpm"] == pytest.approx(24, abs=1)
    assert answer.headers["x-request-id"]


def test_takes_a_key_in_either_header(served):
    """As the message of a missing key says."""
    answer = served.decode(served.recording, **{"x-api-key": served.key})

    assert answer.status_code == 200


def test_counts_attempts_over_any_contract(served):
    """Whoever asks, the observer sees it."""
    before = served.stats()["attempts"].get("ok", 0)
    ask(served.openai(), served.recording)
    served.decode(served.recording)

    assert served.stats()["attempts"]["ok"] == before + 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "title"),
    [
        (b"x", {"Authorization": "Bearer jn_nobody_knows"}, 401, "Not authenticated"),
        (b"x", {"x-nothing": "here"}, 401, "Not authenticated"),
        (b"not audio", {}, 400, "Bad request"),
        (b"", {}, 400, "Bad request"),
    ],
    ids=["wrong key", "no key", "not audio", "empty"],
)
def test_errors_have_its_own_shape(served, body, headers, status, title):
    """Problem details, nothing of another contract's envelope."""
    answer = served.decode(body, **headers)

    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"title", "status", "detail"}


def test_a_wrong_key_is_the_openai_contracts_error_elsewhere(served):
    """Its envelope stays at its own paths."""
    with pytest.raises(openai.AuthenticationError):
        ask(served.openai(key="jn_nobody_knows"), served.recording)


def test_steps_back_where_models_are_ranked(served):
    """Its hook has a say in the plan, and gives its reason."""
    plan = served.site.run_json("route", "explain", "--tier", "low", "--language", "en")

    assert [one["model"] for one in plan["candidates"]] == ["echo:echo"]
    assert plan["excluded"] == [
        {
            "model": "morse:morse",
            "reason": "reads Morse code only; ask for it by name",
            "fault": "request",
        }
    ]


def test_sabotaged_it_costs_nobody_else_anything(tmp_path, wheel):
    """A plugin that raises when it is imported is listed with its reason; the others serve."""
    site = installed(tmp_path, wheel)
    with (site.packages / "junctor_morse" / "plugin.py").open("a", encoding="utf-8") as file:
        file.write("\nraise RuntimeError('sabotage')\n")
    key = site.run("keys", "create", "--team", "acme")
    with site.serving() as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        text = client.audio.transcriptions.create(model="echo", file=("a.wav", SILENCE)).text
        health = httpx.get(f"{url}/health").json()
        gone = httpx.post(f"{url}/morse/v1/decode").status_code
    broken = next(one for one in health["plugins"] if one["name"] == "morse")

    assert (text, health["status"], gone) == ("echo", "degraded", 404)
    assert (broken["status"], broken["stage"], broken["reason"]) == (
        "failed",
        "import",
        "RuntimeError: sabotage",
    )
