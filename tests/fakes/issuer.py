"""Somebody who signs tokens: RSA keys, a key set, and a server that hands it out."""

import json
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm


@lru_cache
def private_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key, the same for the same name in one run."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(name: str) -> bytes:
    """Return the public part as everybody may have it."""
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private_key(name).public_key().public_bytes(*form)


def public_jwk(name: str, **more: Any) -> dict[str, Any]:
    """Return the public part as a JSON Web Key, named like the key itself."""
    jwk = json.loads(RSAAlgorithm.to_jwk(private_key(name).public_key()))
    return {**jwk, "kid": name, "use": "sig", "alg": "RS256", "key_ops": ["verify"], **more}


def key_set(*names: str) -> str:
    """Return a JSON Web Key Set."""
    return json.dumps({"keys": [public_jwk(name) for name in names]})


def signed(claims: dict[str, Any], name: str, *, kid: str | None = None) -> str:
    """Return a token signed by a key, which the header names unless another name is given."""
    headers = {"kid": name if kid is None else kid}
    return jwt.encode(claims, private_key(name), algorithm="RS256", headers=headers)


class Issuer:
    """Serves a key set at `url` on loopback; counts how often it was asked."""

    def __init__(self, *names: str) -> None:
        self.body = key_set(*names)
        self.status = 200
        self.asked = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/keys"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _keys(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text=self.body, status=self.status, content_type="application/json")
