from functools import partial

import msgspec
import pytest
from attrs import evolve
from structlog.testing import capture_logs

from junctor.conf.loader import load
from junctor.conf.settings import Loader, Secret, Settings
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.complaints import Complaints
from junctor.core.errors import ConfigError, PluginError
from junctor.core.lifecycle import close_all, start_all
from junctor.core.plans import Candidate, Exclusion, Fault, Place, Plan, Wish
from junctor.core.plugin_status import Stage, State
from junctor.core.plugins import Plugins, plugin_settings
from junctor.core.testing.fakes import fake_card, transcript_of

GOOD = """
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber, fake_card

@hookimpl
def junctor_providers(settings):
    return [FakeTranscriber("{name}", cards=[fake_card("{name}-model", provider="{name}")])]
"""

HOOK = """
from junctor.core.hooks import hookimpl
from attrs import evolve

@hookimpl
def {signature}:
    {body}
"""

WISH = Wish(capability=Capability.TRANSCRIBE)
ATTEMPT = Attempt(provider="p", model="m", capability=Capability.CHAT, outcome="ok", seconds=1.0)


def hook(signature: str, body: str) -> str:
    return HOOK.format(signature=signature, body=body)


def loaded(shelf, **loader) -> Plugins:
    quiet = Complaints(is_quiet=True)
    return Plugins.load(Loader(**loader), installed=shelf.installed, complaints=quiet)


def status_of(statuses, name: str):
    return next(status for status in statuses if status.name == name)


BROKEN = {
    "import error": ("import nothing_of_this_name", Stage.IMPORT, "ModuleNotFoundError: No module"),
    "syntax error": ("def", Stage.IMPORT, "SyntaxError: "),
    "exit": ("raise SystemExit('bye')", Stage.IMPORT, "SystemExit: bye"),
    "base exception": (
        "class Odd(BaseException): pass\nraise Odd('odd')",
        Stage.IMPORT,
        "Odd: odd",
    ),
    "no hook": ("x = 1", Stage.REGISTRATION, "it implements no hook"),
    "misspelled hook": (
        hook("junctor_atempt(attempt)", "pass"),
        Stage.REGISTRATION,
        "there is no hook 'junctor_atempt'; did you mean 'junctor_attempt'?",
    ),
    "bad argument": (
        hook("junctor_plan(plan, mood)", "pass"),
        Stage.REGISTRATION,
        "Plugin 'bad' for hook 'junctor_plan'",
    ),
    "hook raises": (
        hook("junctor_providers()", "raise ValueError('no')"),
        Stage.PROVIDERS,
        "ValueError: no",
    ),
    "hook exits": (
        hook("junctor_providers()", "raise SystemExit"),
        Stage.PROVIDERS,
        "SystemExit",
    ),
    "hook fails on its way": (
        hook("junctor_providers()", "yield 1 / 0"),
        Stage.PROVIDERS,
        "ZeroDivisionError: division by zero",
    ),
    "not a list": (
        hook("junctor_providers()", "return 5"),
        Stage.PROVIDERS,
        "TypeError: 'int' object is not iterable",
    ),
    "not a provider": (
        hook("junctor_providers()", "return [object()]"),
        Stage.PROVIDERS,
        "A provider needs a `name`",
    ),
    "taken model": (
        GOOD.format(name="bad").replace("bad-model", "aaa-model"),
        Stage.PROVIDERS,
        "Plugin 'bad' offers a model 'aaa-model', which plugin 'aaa' offers already.",
    ),
    "taken provider": (
        GOOD.format(name="aaa").replace("aaa-model", "x"),
        Stage.PROVIDERS,
        "Plugin 'bad' offers a provider 'aaa', which plugin 'aaa' offers already.",
    ),
    "wrong setting": (
        hook("junctor_providers(settings)", "settings.plugins['bad'] = {'size': 'x'}")
        + "    import msgspec\n"
        "    from junctor.core.plugins import plugin_settings\n"
        "    plugin_settings(settings, 'bad', msgspec.defstruct('T', [('size', int)]))\n",
        Stage.CONFIGURATION,
        "ConfigError: plugins.bad.size: Expected an integer, got a string.",
    ),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_broken_plugin_is_listed_and_all_else_serves(shelf, kind):
    """Whatever is wrong with one, its neighbours before and behind it serve."""
    source, stage, reason = BROKEN[kind]
    shelf.add("aaa", GOOD.format(name="aaa"))
    shelf.add("bad", source, version="1.2")
    shelf.add("zzz", GOOD.format(name="zzz"))

    offer = loaded(shelf).providers(Settings())
    bad = status_of(offer.statuses, "bad")

    assert [one.name for one in offer.offered] == ["aaa", "zzz"]
    assert (bad.distribution, bad.version, bad.status, bad.stage) == (
        "bad-dist",
        "1.2",
        State.FAILED,
        stage,
    )
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_strict_loader_refuses_what_is_broken(shelf, kind):
    """With `loader.strict` the same failures stop the start, by name."""
    shelf.add("aaa", GOOD.format(name="aaa"))
    shelf.add("bad", BROKEN[kind][0])

    with pytest.raises(PluginError, match=r"loader\.strict is set.*bad \(bad-dist 1\.0\) failed"):
        loaded(shelf, strict=True).providers(Settings())


def test_interrupt_while_loading_is_passed_on(shelf):
    """Ctrl-C is the operator's, not the plugin's."""
    shelf.add("bad", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        loaded(shelf)


def test_status_tells_what_a_plugin_serves(shelf):
    """Names of its providers and of their models."""
    shelf.add("acme", GOOD.format(name="acme"))

    (status,) = loaded(shelf).providers(Settings()).statuses

    assert (status.status, status.providers, status.models) == (
        State.OK,
        ("acme",),
        ("acme:acme-model",),
    )


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        ({"deny": ("acme",)}, "turned off by loader.deny"),
        ({"allow": ()}, "not in loader.allow"),
        ({"allow": ("acme",), "deny": ("acme",)}, "turned off by loader.deny"),
    ],
)
def test_denied_plugin_is_not_even_imported(shelf, loader, reason):
    """The operator's word goes before the plugin's first line."""
    shelf.add("acme", "raise SystemExit")

    (status,) = loaded(shelf, **loader).statuses

    assert (status.status, status.reason) == (State.DENIED, reason)


def test_allowed_plugin_that_is_not_installed_is_a_failure(shelf):
    """A misspelled name in `loader.allow` is not overlooked."""
    (status,) = loaded(shelf, allow=("acme",)).statuses

    assert (status.status, status.stage, status.distribution) == (
        State.FAILED,
        Stage.DISCOVERY,
        "",
    )


def test_second_plugin_of_a_name_is_out(shelf):
    """The first one keeps name, table and providers; the other is listed beside it."""
    shelf.add("acme", GOOD.format(name="acme"), distribution="a-dist")
    shelf.add("acme", "raise SystemExit", distribution="b-dist")

    offer = loaded(shelf).providers(Settings())

    assert [(one.distribution, one.status, one.reason) for one in offer.statuses] == [
        ("a-dist", State.OK, ""),
        ("b-dist", State.FAILED, "the name 'acme' is taken by a-dist 1.0"),
    ]
    assert offer.absences == {}


def test_unreadable_distribution_is_listed(shelf):
    """Its metadata is its first line."""
    shelf.announce("broken", "[junctor]\nno equals sign here\n")

    (status,) = loaded(shelf).statuses

    assert (status.name, status.status, status.stage) == ("broken", State.FAILED, Stage.DISCOVERY)


def test_failure_is_logged_once(shelf):
    """Not again by whoever asks for the providers."""
    shelf.add("bad", "raise ValueError('no')")
    with capture_logs() as lines:
        plugins = Plugins.load(Loader(), installed=shelf.installed)
        plugins.providers(Settings())

    assert [(line["event"], line["plugin"], line["stage"]) for line in lines] == [
        ("plugin_failed", "bad", "import")
    ]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1
    api_key: Secret | None = None


def test_plugin_settings_are_typed():
    """A raw table, with its secrets still wrapped, becomes the plugin's own Struct."""
    settings = Settings(plugins={"acme": {"size": "2", "api_key": Secret("k")}})

    assert plugin_settings(settings, "acme", Table) == Table(size=2, api_key=Secret("k"))


def test_absent_plugin_table_is_an_empty_one():
    """The plugin's defaults hold."""
    assert plugin_settings(Settings(), "acme", Table) == Table()


def test_wrong_plugin_settings_name_file_and_key(tmp_path):
    """As any other setting does."""
    path = tmp_path / "junctor.toml"
    path.write_text("[plugins.acme]\nsiez = 3\n")

    with pytest.raises(ConfigError) as caught:
        plugin_settings(load(path, {}), "acme", Table)

    assert str(caught.value) == (f"{path}: plugins.acme.siez: Unknown key. Did you mean 'size'?")


def candidates(*models: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(card=fake_card(model), place=Place.RANKED) for model in models)


def planned(shelf, body):
    shelf.add("acme", hook("junctor_plan(plan)", body))
    plugins = Plugins.load(Loader(), installed=shelf.installed)
    with capture_logs() as lines:
        return plugins.plan(Plan(candidates=candidates("a", "b")), WISH), lines


def test_plan_may_be_reordered(shelf):
    """The last candidate becomes the first."""
    plan, _ = planned(shelf, "return evolve(plan, candidates=plan.candidates[::-1])")

    assert plan == Plan(candidates=candidates("b", "a"))


def test_candidate_left_out_in_silence_is_listed(shelf):
    """`route explain` says who vetoed it."""
    plan, _ = planned(shelf, "return evolve(plan, candidates=plan.candidates[1:])")

    assert plan == Plan(
        candidates=candidates("b"),
        excluded=(Exclusion(model="fake:a", reason="left out by plugin acme", fault=Fault.SERVER),),
    )


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        "raise ValueError",
        "return 5",
        (
            "return evolve(plan, candidates=(*plan.candidates, *(evolve(c, card=evolve(c.card, id='x'))"
            " for c in plan.candidates)))"
        ),
    ],
    ids=["nothing", "raises", "no plan", "adds a candidate"],
)
def test_plan_stands_when_a_hook_says_nothing_or_nonsense(shelf, body):
    """Nor can a plugin bring in what the team may not use."""
    plan, lines = planned(shelf, body)

    assert plan == Plan(candidates=candidates("a", "b"))
    assert len(lines) == (body != "return None")


def test_transcript_passes_through_plugins_by_name(shelf):
    """Each sees what the one before has made; one that raises is passed over."""
    signature = "junctor_transcript(transcript, wish)"
    for name, body in {
        "b": "return evolve(transcript, text=transcript.text + 'b')",
        "c": "raise ValueError",
        "d": "return 'not a transcript'",
        "e": "return None",
        "a": "return evolve(transcript, text=transcript.text + 'a')",
    }.items():
        shelf.add(name, hook(signature, body))
    transcript = transcript_of("x")

    result = loaded(shelf).transcript(transcript, WISH)

    assert result == evolve(transcript, text="xab")


def test_every_observer_is_told_of_an_attempt(shelf):
    """One that raises does not keep the next from hearing it."""
    shelf.add("a", hook("junctor_attempt(attempt)", "raise ValueError"))
    shelf.add("b", "heard = []\n" + hook("junctor_attempt(attempt)", "heard.append(attempt)"))
    with capture_logs() as lines:
        Plugins.load(Loader(), installed=shelf.installed).attempt(ATTEMPT)

    assert [(line["event"], line["plugin"]) for line in lines] == [("hook_raised", "a")]
    assert shelf.module("b").heard == [ATTEMPT]


def test_routers_and_commands_come_by_plugin(shelf):
    """Whoever mounts them knows whose they are."""
    shelf.add("a", hook("junctor_routers(settings)", "return [settings.default_model]"))
    shelf.add("b", hook("junctor_commands()", "yield 'command'"))
    plugins = loaded(shelf)

    found = {**plugins.routers(Settings()), **plugins.commands()}

    assert repr(found) == "{'a': ('whisper-large-v3',), 'b': ('command',)}"


@pytest.mark.parametrize("kind", ["routers", "commands"])
def test_plugin_whose_routers_or_commands_fail_is_taken_out_whole(shelf, kind):
    """Its providers do not serve either, and nobody else's are touched."""
    arguments = "settings" if kind == "routers" else ""
    source = GOOD.format(name="bad") + hook(f"junctor_{kind}({arguments})", "return 1 / 0")
    shelf.add("bad", source)
    shelf.add("good", GOOD.format(name="good"))
    plugins = loaded(shelf)

    found = plugins.routers(Settings()) if kind == "routers" else plugins.commands()
    offer = plugins.providers(Settings())

    assert (found, [one.name for one in offer.offered]) == ({}, ["good"])
    assert status_of(offer.statuses, "bad").stage == kind


def test_strict_loader_refuses_broken_routers(shelf):
    """A contract that is missing is a failure like any other."""
    shelf.add("bad", hook("junctor_routers()", "return 1 / 0"))
    plugins = loaded(shelf, strict=True)

    with pytest.raises(PluginError, match=r"bad .* failed at routers"):
        plugins.routers(Settings())


def test_plugin_can_be_taken_out_later(shelf):
    """Whoever finds its path taken says so, and its hooks are gone."""
    shelf.add("acme", hook("junctor_attempt(attempt)", "raise ValueError"))
    plugins = Plugins.load(Loader(), installed=shelf.installed)
    plugins.take_out("acme", Stage.ROUTERS, "the path /v1/x is taken")
    with capture_logs() as lines:
        plugins.attempt(ATTEMPT)

    assert lines == []
    assert [str(status) for status in plugins.statuses] == [
        "acme (acme-dist 1.0) failed at routers: the path /v1/x is taken"
    ]


RECORDING = """
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber

events = ["import"]

class Recording(FakeTranscriber):
    def models(self):
        events.append("models")
        return super().models()

    async def start(self):
        events.append("start")

    async def close(self):
        events.append("close")

@hookimpl
def junctor_providers(settings):
    events.append("providers")
    return [Recording()]

@hookimpl
def junctor_routers(settings):
    events.append("routers")

@hookimpl
def junctor_commands():
    events.append("commands")

@hookimpl
def junctor_plan(plan, wish):
    events.append("plan")

@hookimpl
def junctor_transcript(transcript, wish):
    events.append("transcript")

@hookimpl
def junctor_attempt(attempt):
    events.append("attempt")
"""


async def test_whole_life_of_a_plugin(shelf):
    """The order of everything that happens to a plugin, a reload without changes included."""
    shelf.add("acme", RECORDING)
    settings, quiet = Settings(), Complaints(is_quiet=True)
    start = partial(start_all, start_timeout=5, close_timeout=5, complaints=quiet)
    plugins = loaded(shelf)
    plugins.commands()
    plugins.routers(settings)
    offer = await start(plugins.providers(settings))
    plugins.plan(Plan(), WISH)
    plugins.attempt(ATTEMPT)
    plugins.transcript(transcript_of("x"), WISH)
    again = await start(plugins.providers(settings, previous=offer))
    await close_all(offer.dropped_by(again), close_timeout=5, complaints=quiet)
    await close_all(again.providers, close_timeout=5, complaints=quiet)

    assert shelf.module("acme").events == [
        "import",
        "commands",
        "routers",
        "providers",
        "models",
        "start",
        "plan",
        "attempt",
        "transcript",
        "close",
    ]
