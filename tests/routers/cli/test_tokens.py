import jwt
import pytest

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
extends = "default"
[tokens]
secret = "{SECRET}"
audience = "junctor"
issuer = "me"
max_ttl = 86400
"""


def claims(token: str):
    return jwt.decode(token, SECRET, algorithms=["HS256"], audience="junctor", issuer="me")


@pytest.fixture(name="issue")
def _issue(junctor, config):
    path = config(CONFIG)

    def issue(*arguments: str):
        return junctor("tokens", "issue", "--config", path, "--team", "acme", *arguments)

    return issue


def test_token_stands_alone_on_standard_output(issue):
    """A script takes it as it comes."""
    result = issue()

    assert (result.stdout.count("\n"), result.stderr) == (1, "")
    assert claims(result.stdout.strip())["team"] == "acme"


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("1d", 86_400)]
)
def test_ttl(issue, ttl, seconds):
    """Times are told in seconds, minutes, hours or days."""
    found = claims(issue("--ttl", ttl).stdout.strip())

    assert found["exp"] - found["iat"] == seconds


def test_ttl_is_capped(issue):
    """A longer time than `max_ttl` is cut, and standard error says so."""
    result = issue("--ttl", "7d")
    found = claims(result.stdout.strip())

    assert found["exp"] - found["iat"] == 86_400
    assert "good for 86400 seconds, the longest" in result.stderr


@pytest.mark.parametrize("ttl", ["", "1", "0s", "-1h", "1w", "1.5h", "1h30m", "9999999999s"])
def test_bad_ttl(issue, ttl):
    """What is no time is refused with an example of one."""
    result = issue("--ttl", ttl)

    assert (result.exit_code, "is not a time such as" in result.stderr) == (2, True)


def test_json(junctor, config):
    """Programs get the token, whom it speaks for and its end."""
    found = junctor.json("tokens", "issue", "--config", config(CONFIG), "--team", "acme")

    assert sorted(found) == ["expires_at", "team", "token"]
    assert (found["team"], found["expires_at"][-1]) == ("acme", "Z")


def test_no_secret(junctor):
    """Without a secret nothing is printed, and the error says what to set."""
    result = junctor("tokens", "issue", "--team", "acme")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("junctor: tokens.secret: Tokens are signed with")


def test_bad_team(issue):
    """A team that cannot be is refused."""
    result = issue("--team", "a b")

    assert (result.exit_code, "cannot name a team" in result.stderr) == (1, True)


def test_weak_secret(junctor, config):
    """A secret that can be guessed is a wrong setting, and is not repeated."""
    path = config('[tokens]\nsecret = "hunter2hunter2"\n')
    result = junctor("config", "check", "--config", path)

    assert (result.exit_code, "tokens: secret has to be 32 bytes" in result.stderr) == (2, True)
    assert "hunter2" not in result.stderr
