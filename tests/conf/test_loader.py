from pathlib import Path

import pytest

from junctor.conf.loader import load
from junctor.conf.settings import Secret, Settings
from junctor.conf.sources import profile_names
from junctor.core.errors import ConfigError

REMOTE = {"OPENAI_API_KEY": "sk-very-secret"}
CLUSTER = {"JUNCTOR_DATABASE_URL": "sqlite://"}
ENVIRONS = {"cluster": CLUSTER, "default": {}, "gpu": {}, "remote": REMOTE}
WHISPERS = {"whisper-large-v3", "whisper-medium", "whisper-small", "whisper-tiny"}
QWENS = {
    "qwen2.5:0.5b",
    "qwen3-4b",
    "qwen3.5:27b-Q4_K_M",
    "qwen3.5:4b-q4_K_M",
    "qwen3.5:9B-Q4_K_M",
}
LTXES = {
    "ltx-2.3",
    "ltx23",
    "ltx23-standard",
    "ltx23-standard-distilled",
    "ltx23-standard-fast",
    "ltx23-standard-full",
    "ltx23-standard-quality",
}
SEED_MODELS = WHISPERS | QWENS | LTXES | {"thai-asr"}


@pytest.fixture(name="write")
def _write(tmp_path):
    def write(text, name="junctor.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def refusal(path: Path | None, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value


def test_nothing_at_all_gives_the_embedded_default():
    """No file and no environment: the public names stand for the engines of this machine."""
    settings = load(None, {})
    captions = ("typhoon:typhoon-asr-realtime", "whisper:junctor-tiny")

    assert {name: model.chain for name, model in settings.models.items()} == {
        **dict.fromkeys(WHISPERS, ("whisper:junctor-tiny", "sphinx:en-us")),
        **dict.fromkeys(QWENS, ("ctranslate2:junctor-tiny-chat",)),
        **dict.fromkeys(LTXES, ("stills:camera-moves",)),
        "thai-asr": captions,
    }


@pytest.mark.parametrize("name", ["whisper-large-v3", "qwen3.5:27b-Q4_K_M"])
def test_embedded_default_says_what_it_is(name):
    """Nobody is told that the tiny stand-in is large-v3, or has 27 billion parameters."""
    description = load(None, {}).models[name].description

    assert "tiny model" in description


@pytest.mark.parametrize("name", sorted(LTXES))
def test_embedded_default_says_that_no_model_runs(name):
    """Nobody is told that a camera that moves over a picture is LTX-2.3."""
    assert "no model runs" in load(None, {}).models[name].description


@pytest.mark.parametrize("name", sorted(ENVIRONS))
def test_each_profile_serves_the_names_of_the_seed(name):
    """Every built-in profile loads by name and answers to the same public model names."""
    settings = load(Path(name), ENVIRONS[name])

    assert (name in profile_names(), set(settings.models)) == (True, SEED_MODELS)


@pytest.mark.parametrize(
    ("profile", "first"), [("gpu", "whisper:large-v3"), ("remote", "openai:whisper-1")]
)
def test_profile_resolves_large_v3_to_its_own_engine(profile, first):
    """The same public name is another candidate in another deployment."""
    settings = load(Path(profile), ENVIRONS[profile])

    assert settings.models["whisper-large-v3"].chain[0] == first


def test_chains_of_the_gpu_profile_name_models_it_configures():
    """Each candidate of the profile's engines has its entry in the plugin's table."""
    settings = load(Path("gpu"), {})
    chained = {one for model in settings.models.values() for one in model.chain}
    chained = {
        one for one in chained if not one.startswith(("ltx:", "typhoon:"))
    }  # nobody ships them

    tables = {plugin: settings.plugins[plugin]["models"] for plugin in ("vllm", "whisper")}
    named = {
        f"{plugin}:{name}"
        for plugin, models in tables.items()
        if isinstance(models, dict)
        for name in models
    }

    assert chained == named


def test_file_lies_on_the_default_profile(write):
    """A file of one line changes that line and nothing else."""
    settings = load(write("[server]\nport = 9000\n"), {})

    assert (settings.server.port, set(settings.models)) == (9000, SEED_MODELS)


def test_file_may_start_from_nothing(write):
    """`extends = []` gives the bare defaults of the settings themselves."""
    settings = load(write("extends = []\n"), {})

    assert (settings.models, settings.server) == ({}, Settings().server)


def test_several_profiles_lie_on_each_other(write):
    """`remote` and `cluster` combine, and what both extend counts once, at the bottom."""
    settings = load(write('extends = ["remote", "cluster"]\n'), REMOTE | CLUSTER)

    assert (settings.models["whisper-tiny"].chain, settings.storage.database_url) == (
        ("openai:whisper-1",),
        "sqlite://",
    )


def test_file_extends_its_neighbour(write):
    """A path in `extends` is relative to the file that says it."""
    write("[server]\nport = 1\nhost = 'below'\n", "base.toml")

    settings = load(write("extends = 'base.toml'\n[server]\nport = 2\n"), {})

    assert (settings.server.host, settings.server.port) == ("below", 2)


def test_variable_names_the_file(write):
    """`JUNCTOR_CONFIG` is the file when none is given."""
    path = write("[server]\nport = 9001\n")

    assert load(None, {"JUNCTOR_CONFIG": str(path)}).server.port == 9001


def test_given_file_goes_before_the_variable(write):
    """A file that was asked for is not overridden by the environment."""
    path = write("[server]\nport = 9001\n")

    assert load(path, {"JUNCTOR_CONFIG": "/nowhere.toml"}).server.port == 9001


def test_variable_overrides_the_data_folder(write):
    """`JUNCTOR_DATA_DIR` goes before the file."""
    path = write("[storage]\ndata_dir = '/from/file'\n")

    assert load(path, {"JUNCTOR_DATA_DIR": "/from/env"}).storage.data_dir == "/from/env"


def test_home_of_the_given_environment_counts(write):
    """`~` is the HOME of the environment that was passed, not of the process."""
    path = write("[storage]\ndata_dir = '~/data'\n")

    assert load(path, {"HOME": "/home/somebody"}).storage.data_dir == "/home/somebody/data"


def test_data_folder_needs_no_home():
    """Without any environment the folder is still an absolute one."""
    assert Path(load(None, {}).storage.data_dir).is_absolute()


def test_number_may_come_from_the_environment(write):
    """A string from the environment is read as the number that the setting wants."""
    path = write('[server]\nport = "${PORT:-8081}"\n')

    assert (load(path, {}).server.port, load(path, {"PORT": "80"}).server.port) == (8081, 80)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[server]\nprot = 1", "server.prot", "Unknown key. Did you mean 'port'?"),
        ("[serve]\nport = 1", "serve", "Unknown key. Did you mean 'server'?"),
        ("[origins]\nx = 'y'", "origins", "Unknown key."),
        ("[server]\nport = []", "server.port", "Expected an integer, got an array."),
        ("[server]\nport = 70000", "server.port", "Expected an integer <= 65535."),
        ("server = 3", "server", "Expected a table, got an integer."),
        ("storage = 3", "storage", "Expected a table, got an integer."),
        ("[storage]\ndata_dir = 3", "storage.data_dir", "Expected a string, got an integer."),
        ("plugins.x = 3", "plugins.x", "Expected a table, got an integer."),
        (
            "[teams.a]\n[teams.b]\nconcurrency = 0",
            "teams.b.concurrency",
            "Expected an integer >= 1.",
        ),
        (
            "[models.'m.1']\nchain = []",
            'models."m.1"',
            "Expected pool or chain with at least one 'provider:model'.",
        ),
        (
            "[models.m]\npool = ['a:b', 'ab']",
            "models.m.pool[1]",
            "Expected 'provider:model', got 'ab'.",
        ),
        (
            "[models.m]\npool = ['a:b']\nweights = {'a:b' = 0.0}",
            'models.m.weights."a:b"',
            "Expected a number > 0.0.",
        ),
        (
            "[models.m]\npool = ['a:b']\nweights = {'a:c' = 2.0}",
            "models.m",
            "weights may only name members of pool, which 'a:c' is not.",
        ),
        (
            "[models.m]\npool = ['a:b']\nbalance = 'fair'",
            "models.m.balance",
            "Expected 'least-outstanding' or 'peak-ewma' or 'weighted', got 'fair'.",
        ),
        (
            "[models.m]\nchain = ['a:b', 2]",
            "models.m.chain[1]",
            "Expected a string, got an integer.",
        ),
        ("[models.m]\nchain = ['ab']", "models.m.chain[0]", "Expected 'provider:model', got 'ab'."),
        (
            "[models.m]\ndescription = ''",
            "models.m",
            "Expected pool or chain with at least one 'provider:model'.",
        ),
        (
            "[policy.tiers.low]\nfallback_chain = ['x:']",
            "policy.tiers.low.fallback_chain[0]",
            "Expected a provider or 'provider:model', got 'x:'.",
        ),
        (
            "[teams.a.tiers.high]\nensemble = ['x', ':y']",
            "teams.a.tiers.high.ensemble[1]",
            "Expected a provider or 'provider:model', got ':y'.",
        ),
        (
            "[policy.tiers.lo]",
            "policy.tiers",
            "Wrong table name; Expected 'high' or 'low' or 'medium', got 'lo'.",
        ),
        (
            "[telemetry]\nlog_format = 'xml'",
            "telemetry.log_format",
            "Expected 'auto' or 'console' or 'json', got 'xml'.",
        ),
    ],
)
def test_wrong_value_names_file_key_and_what_was_expected(write, text, key, said):
    """Whoever reads the error can mend the file without opening another page."""
    path = write(text)

    assert str(refusal(path)) == f"{path}: {key}: {said}"


def test_tiers_name_providers_or_models(write):
    """Of a provider its best model is meant, in each of their lists."""
    lists = "provider_preference = ['x']\nfallback_chain = ['y', 'z:m:1']\nensemble = ['y']\n"
    settings = load(write(f"[policy.tiers.low]\n{lists}[team_defaults.tiers.low]\n{lists}"), {})

    assert settings.policy.tiers["low"] == settings.team_defaults.tiers["low"]
    assert settings.policy.tiers["low"].fallback_chain == ("y", "z:m:1")


def test_error_names_the_file_that_set_the_value(write):
    """The file below is named when the mistake is there."""
    base = write("[server]\nport = []\n", "base.toml")

    error = refusal(write("extends = 'base.toml'\n[server]\nhost = 'x'\n"))

    assert (error.file, error.key) == (str(base), "server.port")


def test_missing_variable_names_file_key_and_variable(write):
    """A plugin's table is no exception."""
    path = write('[plugins.acme]\ntoken = "${ACME_TOKEN}"\n')

    assert str(refusal(path)) == (
        f"{path}: plugins.acme.token: The environment variable ACME_TOKEN is not set; "
        "set it or write the value here."
    )


def test_overridden_reference_asks_for_nothing(write):
    """A value that was replaced above needs no variable."""
    key = "[plugins.openai.providers.openai]\napi_key = 'sk-mine'\n"

    settings = load(write(f"extends = 'remote'\n{key}"), {})

    assert "sk-mine" not in repr(settings)


def test_secrets_of_plugins_never_show():
    """What came from the environment is a `Secret` in the raw table."""
    table = load(Path("remote"), REMOTE).plugins["openai"]["providers"]

    assert isinstance(table, dict)
    assert table["openai"]["api_key"] == Secret("sk-very-secret")


def test_value_of_the_wrong_kind_in_an_error_is_never_a_secret(write):
    """An error tells types, not values, of what may be secret."""
    error = refusal(write('[storage]\nkey_cache_size = "${SIZE}"\n'), {"SIZE": "hunter2"})

    assert "hunter2" not in str(error)


def test_command_line_goes_before_everything(write):
    """And is named when the mistake is there."""
    path = write("[server]\nport = 1\nhost = 'x'\n")

    server = load(path, {}, overrides={"server": {"port": 2}}).server
    with pytest.raises(ConfigError, match=r"^command line: server\.port: "):
        load(path, {}, overrides={"server": {"port": -1}})

    assert (server.host, server.port) == ("x", 2)


def test_key_with_limits_of_its_own(write):
    """A team's table bounds its keys, and one of them by its prefix."""
    path = write("[teams.a]\nkey_tokens_per_day = 5\nkeys.abcd1234.tokens_per_day = 9\n")
    team = load(path, {}).teams["a"]

    assert (team.tokens_per_day, team.key_tokens_per_day) == (None, 5)
    assert team.keys["abcd1234"].tokens_per_day == 9


def test_prefix_that_no_key_has(write):
    """A limit under a whole key, or its label, would never count."""
    error = refusal(write("[teams.a.keys.jn_abcd1234]\ntokens_per_day = 9\n"))

    assert (error.key, "[a-z0-9]{8}" in str(error)) == ("teams.a.keys", True)
