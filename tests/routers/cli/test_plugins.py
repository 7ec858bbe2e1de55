GOOD = """
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber, fake_card

@hookimpl
def junctor_providers(settings):
    return [FakeTranscriber("acme", cards=[fake_card("one", provider="acme")])]
"""


def strangers(listed) -> list[dict[str, object]]:
    return [one for one in listed["plugins"] if one["distribution"] != "junctor"]


def test_plugins_are_listed_for_programs(junctor, shelf):
    """The shape is stable: what serves, and why the rest does not."""
    shelf.add("acme", GOOD)
    shelf.add("bad", "raise ValueError('no')", version="0.3")

    assert strangers(junctor.json("plugins")) == [
        {
            "name": "acme",
            "distribution": "acme-dist",
            "version": "1.0",
            "status": "ok",
            "stage": None,
            "reason": "",
            "providers": ["acme"],
            "models": ["acme:one"],
        },
        {
            "name": "bad",
            "distribution": "bad-dist",
            "version": "0.3",
            "status": "failed",
            "stage": "import",
            "reason": "ValueError: no",
            "providers": [],
            "models": [],
        },
    ]


def test_own_plugins_are_listed_first(junctor, shelf):
    """In the order in which they are loaded."""
    shelf.add("acme", GOOD)

    *own, last = [one["name"] for one in junctor.json("plugins")["plugins"]]

    assert {"openai", "sphinx", "whisper"} <= set(own)
    assert (own, last) == (sorted(own), "acme")


def test_strict_loading_does_not_hide_the_list(junctor, shelf, config):
    """This is the command to find out what is wrong."""
    shelf.add("bad", "raise ValueError('no')")
    path = config("[loader]\nstrict = true\n")

    result = junctor("plugins", "--config", path)

    assert (result.exit_code, "ValueError: no" in result.stdout, result.stderr) == (0, True, "")
