"""What docs/plugins.md shows runs, and what it says of the order of things is so."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from attrs import fields

from junctor.conf.settings import Model, Settings
from junctor.core import errors
from junctor.core.cards import ModelCard
from junctor.core.errors import ProviderError, ProviderRejectedError, ProviderUnavailableError
from junctor.core.hooks import PROJECT, hookimpl
from junctor.core.inspection import checked
from junctor.core.plugin_status import State
from junctor.core.requests import ReviseRequest
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import FakeTranscriber, fake_card, transcript_of
from tests.fakes.plugins import plugins
from tests.fakes.server import Served, server_settings, serving

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
CLIP = silent_clip(2.0)


def blocks(language: str) -> dict[str, str]:
    """Return the code blocks that name their file in their first line, joined by file."""
    found: dict[str, str] = {}
    for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL):
        name = re.match(r"# (\S+\.\w+)\n", code)
        if name:
            found[name[1]] = found.get(name[1], "") + code
    return found


@pytest.fixture(name="page")
def _page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Import every Python block of the page but its tests, in the order of the page."""
    folder = tmp_path / "page"
    folder.mkdir()
    sources = blocks("python")
    for name, source in sources.items():
        (folder / name).write_text(source, "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    names = [name.removesuffix(".py") for name in sources if not name.startswith("test_")]
    yield {name: __import__(name) for name in names}
    for name in names:
        del sys.modules[name]


async def transcribe(server: Served, model: str) -> str:
    form = aiohttp.FormData({"model": model, "response_format": "text"})
    form.add_field("file", CLIP.data, filename="a.wav")
    url = f"{server.url}/v1/audio/transcriptions"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=form, headers=server.authorization) as answer,
    ):
        return (await answer.text()).strip()


@pytest.mark.parametrize("model", ["echo-1", "echo:echo-1", "public"])
async def test_twelve_lines_serve(page, tmp_path, model):
    """Under each of the names that the page tells."""
    settings = server_settings(tmp_path, models={"public": Model(chain=("echo:echo-1",))})
    async with serving(settings, FakeTranscriber(), echo=page["junctor_echo"]) as server:
        text = await transcribe(server, model)

    assert text == "2 seconds"


def test_there_are_about_twelve_lines():
    """Blank ones and the file's name apart."""
    lines = [line for line in blocks("python")["junctor_echo.py"].splitlines() if line.strip()]

    assert len(lines) - 1 <= 12


def test_card_fits_its_provider(page):
    """It is looked over as the loader does."""
    offered = checked("counter", page["counter"].Counter())

    assert offered.cards == (page["cards"].CARD,)


def test_card_in_full_leaves_out_little():
    """A field that is added shows up here; the two left out concern uploads to vendors."""
    code = blocks("python")
    shown = set(re.findall(r"^    (\w+)=", code["cards.py"] + code["parrot.py"], re.MULTILINE))

    assert {one.name for one in fields(ModelCard)} - shown == {"media_types", "max_bytes"}


def test_every_capability_is_in_the_table():
    """With the name of its method."""
    from junctor.core.providers import PROTOCOLS

    rows = re.findall(r"^\| `([A-Z_]+)` \| `(?:async )?(\w+)\(", PAGE, re.MULTILINE)
    own = {
        (capability.name, name)
        for capability, protocol in PROTOCOLS.items()
        for name in vars(protocol)
        if not name.startswith("_")
    }

    assert set(rows) == own


@pytest.mark.parametrize("streams", [False, True])
async def test_the_parrot_chats(page, tmp_path, streams):
    """Whole and streamed, by the caller's name of it, through the server."""
    settings = server_settings(tmp_path, models={"polly": Model(chain=("parrot:parrot-1",))})
    question = [{"role": "user", "content": "Polly wants a cracker"}]
    asked = {"model": "polly", "messages": question, "stream": streams}
    async with (
        serving(settings, page["parrot"].Parrot()) as server,
        aiohttp.ClientSession(headers=server.authorization) as http,
        http.post(f"{server.url}/v1/chat/completions", json=asked) as answer,
    ):
        said = await answer.text()
        (entry,) = await server.entries()

    assert ("Polly wants a cracker" in said) is not streams
    assert '"model":"polly"' in said
    assert said.endswith("data: [DONE]\n\n") is streams
    assert (entry.prompt_tokens, entry.completion_tokens) == (4, 4)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_counter_passes_the_kit(page, tmp_path):
    """In the way that the page tells a stranger to run it."""
    folder = tmp_path / "page"
    (folder / "pyproject.toml").write_text(KIT, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=False,
    )
    printed = done.stdout.decode()

    assert done.returncode == 0, printed
    assert int(re.findall(r"(\d+) passed", printed)[0]) >= 32


async def test_editor_corrects_the_draft(page):
    """The words change, the times stay."""
    draft = transcript_of("the quick brown focks", seconds=2.0)
    revised = await page["editor"].Editor().revise(ReviseRequest(transcript=draft))
    (segment,) = revised.segments

    assert (revised.text, segment.text) == ("the quick brown fox", "the quick brown fox")
    assert (segment.start, segment.end, revised.words) == (0.0, 2.0, ())


KIT = next(
    code for code in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "tool.pytest" in code
)


def test_error_table_is_the_tree():
    """Every provider error is in it, with whether it is asked again."""
    rows = re.findall(r"^\| `(Provider\w+)` \|.*?\| (yes|no)", PAGE, re.MULTILINE)
    leaves = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ProviderError) and kind is not ProviderError
    }

    assert {name: again == "yes" for name, again in rows} == {
        name: kind.retryable for name, kind in leaves.items()
    }


async def test_errors_are_translated(page):
    """An error of the network, and a refusal of the upstream."""

    async def refused(_: bytes) -> tuple[int, str]:
        raise ConnectionRefusedError

    async def unprocessable(_: bytes) -> tuple[int, str]:
        return 422, ""

    with pytest.raises(ProviderUnavailableError) as caught:
        await page["upstream"].ask(refused, b"")
    with pytest.raises(ProviderRejectedError):
        await page["upstream"].ask(unprocessable, b"")

    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize(
    ("table", "state"),
    [
        ({}, State.INACTIVE),
        ({"api_key": "x"}, State.OK),
        ({"api_key": "x", "workers": "many"}, State.FAILED),
    ],
)
def test_settings_decide(page, table, state):
    """Without a key it sits out, with one it serves, and what is wrong is told as the page says."""
    settings = Settings(plugins={"echo": table}, origins={"plugins.echo.workers": "acme.toml"})
    (status,) = plugins(settings, echo=page["configured"]).providers(settings).statuses
    told = re.findall(r"^acme\.toml: .*$", PAGE, re.MULTILINE)

    assert status.status is state
    assert state is not State.FAILED or [status.reason.removeprefix("ConfigError: ")] == told


def test_packaging_names_the_group_and_the_module():
    """The two tables say the same, and the loader looks there."""
    tables = [
        tomllib.loads(code)["project"]["entry-points"]
        for code in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
        if "entry-points" in code
    ]

    assert tables == [{PROJECT: {"echo": "junctor_echo"}}] * 2
    assert "junctor_echo.py" in blocks("python")


async def test_contract_serves(page, tmp_path):
    """Its own path, its own shape, its own errors."""
    brought = {"echo": page["junctor_echo"], "acme": page["contract"]}
    async with (
        serving(server_settings(tmp_path), FakeTranscriber(), **brought) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        good = await http.post("/acme/listen", data=CLIP.data, headers={"x-api-key": server.key})
        bad = await http.post("/acme/listen", data=CLIP.data)
        answers = [(one.status, await one.json()) for one in (good, bad)]

    assert answers[0] == (200, {"heard": "2 seconds"})
    assert (answers[1][0], list(answers[1][1])) == (418, ["trouble"])


class Recorder(FakeTranscriber):
    """A plugin and its provider in one, which write down what is called."""

    def __init__(self) -> None:
        super().__init__("recorder", cards=[fake_card("tape", provider="recorder")])
        self.calls_made: list[str] = []

    def _note(self, what: str) -> None:
        if what not in self.calls_made:
            self.calls_made.append(what)

    def models(self):
        self._note("models")
        return super().models()

    async def start(self):
        self._note("start")
        await super().start()

    async def close(self):
        self._note("close")
        await super().close()

    async def transcribe(self, request, /):
        self._note("transcribe")
        return await super().transcribe(request)

    @hookimpl
    def junctor_routers(self):
        self._note("junctor_routers")

    @hookimpl
    def junctor_providers(self):
        self._note("junctor_providers")
        return [self]

    @hookimpl
    def junctor_plan(self):
        self._note("junctor_plan")

    @hookimpl
    def junctor_attempt(self):
        self._note("junctor_attempt")

    @hookimpl
    def junctor_transcript(self):
        self._note("junctor_transcript")


async def test_life_cycle_is_in_the_order_of_the_diagram(tmp_path):
    """From the start to the end of a server that answers one request."""
    recorder = Recorder()
    async with serving(server_settings(tmp_path), FakeTranscriber(), tape=recorder) as server:
        await transcribe(server, "tape")
    diagram = PAGE.partition("junctor serve\n   │")[2].partition("```")[0]
    drawn = re.findall(r"^(?:   │| {4}) +(\w+) {2,}", diagram, re.MULTILINE)

    assert ["registration", *recorder.calls_made] == drawn
