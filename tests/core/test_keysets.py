import json
from pathlib import Path

import pytest

from junctor.conf.settings import Tokens as Section
from junctor.core.errors import ConfigError
from junctor.core.keysets import KeySet, given_keys
from tests.fakes.issuer import key_set, private_key, public_jwk

SYMMETRIC = {"kty": "oct", "k": "AAAA", "kid": "s", "alg": "HS256"}


def test_keys_of_a_file(tmp_path: Path) -> None:
    """A path names a file with the same JSON that can stand inline."""
    path = tmp_path / "keys.json"
    path.write_text(key_set("one"))

    assert given_keys(Section(jwks=str(path))) == given_keys(Section(jwks=key_set("one")))


def test_no_keys() -> None:
    """Without keys in the settings there are none."""
    assert given_keys(Section()).find(None) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/no/such/file", "cannot be read"),
        ("{", "no JSON Web Key Set"),
        ('{"keys": 7}', "no JSON Web Key Set"),
        (json.dumps({"keys": [SYMMETRIC]}), "no RSA key for signatures"),
        (json.dumps({"keys": [public_jwk("one", use="enc")]}), "no RSA key for signatures"),
        (json.dumps({"keys": [public_jwk("one", alg="RS512")]}), "no RSA key for signatures"),
        (json.dumps({"keys": [public_jwk("one", n="AQ")]}), "RSA keys"),
        (json.dumps({"keys": [public_jwk("one", e="!")]}), "RSA keys"),
    ],
)
def test_bad_keys(text: str, said: str) -> None:
    """Keys that cannot be used stop the start, naming the setting and what is wrong."""
    with pytest.raises(ConfigError, match=rf"^tokens\.jwks: .*{said}"):
        given_keys(Section(jwks=text))


def test_other_kinds_are_left_out() -> None:
    """A set may hold keys of other kinds, which are never used."""
    data = json.dumps({"keys": [SYMMETRIC, public_jwk("one"), {"kty": "EC", "kid": "e"}]})
    keys = KeySet.parse(data.encode())

    assert [keys.find(kid) is not None for kid in ("s", "one", "e", None)] == [
        False,
        True,
        False,
        True,
    ]


def test_small_key() -> None:
    """A key of 1024 bits can be broken, and is refused."""
    numbers = private_key("small", 1024).public_key().public_numbers()
    jwk = public_jwk("one", n=_encoded(numbers.n))

    with pytest.raises(ValueError, match="less than 2048 bits"):
        KeySet.parse(json.dumps({"keys": [jwk]}).encode())


def _encoded(number: int) -> str:
    from jwt.utils import to_base64url_uint

    return to_base64url_uint(number).decode()
