import json
import os
import subprocess
import sys

import pytest

COMMAND = """
import click
from junctor.core.hooks import hookimpl
from junctor.core.errors import PluginError, ConfigError

@click.command
@click.argument("word")
def {name}(word):
    "Say a word."
    if word == "bad":
        raise PluginError("no such\\n word")
    if word == "wrong":
        raise ConfigError("is wrong", file="f", key="k")
    click.echo(word)

@hookimpl
def junctor_commands():
    return [{name}]
"""

HEAVY = {"asyncio", "litestar", "msgspec", "numpy", "pluggy", "sqlalchemy", "structlog", "uvicorn"}


def python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def test_help_imports_nothing_heavy():
    """Whoever only reads the help waits for no server, no database and no engine."""
    done = python(
        "import json, sys\n"
        "from junctor.routers.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )

    assert HEAVY & set(json.loads(done.stderr)) == set()


def test_help_names_all_commands(junctor):
    """Our own ones, in the order of the table."""
    shown = junctor("--help").stdout

    places = [shown.index(f" {name} ") for name in ("serve", "keys", "models", "plugins", "db")]
    assert places == sorted(places)


def test_module_runs_as_the_script_does():
    """`python -m junctor.routers.cli` serves where no script is installed."""
    done = subprocess.run(
        [sys.executable, "-m", "junctor.routers.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("junctor, version ")


def test_plugin_brings_a_command(junctor, shelf):
    """It stands in the help and runs like our own."""
    shelf.add("acme", COMMAND.format(name="shout"))

    assert ("shout" in junctor("--help").stdout, junctor("shout", "hello").stdout) == (
        True,
        "hello\n",
    )


@pytest.mark.parametrize(
    ("word", "code", "line"),
    [("bad", 1, "junctor: no such word\n"), ("wrong", 2, "junctor: f: k: is wrong\n")],
)
def test_error_on_purpose_is_one_line_and_an_exit_code(junctor, shelf, word, code, line):
    """Two for the configuration, one for the rest, and no traceback."""
    shelf.add("acme", COMMAND.format(name="shout"))

    result = junctor("shout", word)

    assert (result.exit_code, result.stderr, result.stdout) == (code, line, "")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit('bye')", "failed at import: SystemExit: bye"),
        (COMMAND.format(name="shout") + "    raise ValueError", "failed at commands: ValueError"),
        (COMMAND.format(name="shout").replace("[shout]", "5"), "failed at commands: TypeError"),
        (COMMAND.format(name="shout").replace("[shout]", "[5]"), "is no command"),
    ],
    ids=["import", "hook", "no list", "no command"],
)
def test_broken_plugin_does_not_break_the_command_line(junctor, shelf, source, said):
    """It is told on standard error, and everything else is there."""
    source = source.replace("return [shout]\n    raise", "raise")
    shelf.add("acme", source)
    shelf.add("good", COMMAND.format(name="whisper_it"))

    result = junctor("--help")

    assert (result.exit_code, said in result.stderr) == (0, True)
    assert "whisper-it" in result.stdout


def test_own_command_is_not_replaced(junctor, shelf):
    """A plugin cannot take the name of one of ours."""
    shelf.add("acme", COMMAND.format(name="serve"))

    result = junctor("--help")

    assert result.stderr == (
        "junctor: plugin 'acme' brings a command 'serve', which there is already\n"
    )


def test_denied_plugin_brings_no_command(junctor, shelf, config):
    """`[loader]` counts on the command line, too."""
    shelf.add("acme", COMMAND.format(name="shout"))
    path = config("[loader]\ndeny = ['acme']\n")

    result = junctor("shout", "x", JUNCTOR_CONFIG=path)

    assert (result.exit_code, "No such command" in result.stderr) == (2, True)


def test_help_survives_a_wrong_configuration(junctor, shelf, config):
    """Whoever has to mend it may need the help."""
    shelf.add("acme", COMMAND.format(name="shout"))
    path = config("[serve]\n")

    result = junctor("--help", JUNCTOR_CONFIG=path)

    assert (result.exit_code, "serve: Unknown key." in result.stderr) == (0, True)
